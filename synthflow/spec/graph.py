"""Walks over the graph of stages, given as `parents` by name.

Invariant: every order is topological, and where that leaves a choice it is the order of the spec, so that the same
spec gives the same order everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Parents = Mapping[str, tuple[str, ...]]


def topological(parents: Parents, last: Iterable[str] = ()) -> list[str]:
    """All names, parents before children; those in `last` as late as that allows. Names on a circle are left out."""
    late, done, order = set(last), set[str](), list[str]()
    waiting = list(parents)
    while True:
        ready = [name for name in waiting if all(parent in done for parent in parents[name])]
        if not ready:
            return order
        chosen = next((name for name in ready if name not in late), ready[0])
        waiting.remove(chosen)
        done.add(chosen)
        order.append(chosen)


def ancestors(name: str, parents: Parents) -> list[str]:
    """Ancestors of `name` in topological order, its parents as late as that allows (so the last is one of them)."""
    found, todo = set[str](), list(parents.get(name, ()))
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo.extend(parents.get(current, ()))
    inside = {other: tuple(p for p in parents[other] if p in found) for other in parents if other in found}
    return topological(inside, last=parents.get(name, ()))


def cycles(parents: Parents) -> list[list[str]]:
    """Circles, each named once, as names in the order in which one reads the next."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in parents:
        path: list[str] = []
        stack = [(start, iter(parents[start]))] if start not in done else []
        if stack:
            path.append(start)
        while stack:
            name, rest = stack[-1]
            step = next((p for p in rest if p not in done), None)
            if step is None:
                done.add(name)
                path.pop()
                stack.pop()
            elif step in path:
                found.append(path[path.index(step) :])
            else:
                path.append(step)
                stack.append((step, iter(parents[step])))
    return found
