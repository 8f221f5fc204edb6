"""The stages of a spec: classes looked up, fields validated, references followed, the graph checked.

Invariant: one pass finds as many mistakes as it can. What builds on something broken is not checked, so that one
mistake never brings forth others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from synthflow import registry
from synthflow.contracts import PolicyConfig, Stage, StageConfig, StageInfo
from synthflow.contracts.foreign import told_in_one_line, wraps
from synthflow.errors import SynthflowError, UserError, suggest
from synthflow.spec import graph
from synthflow.spec.document import Document
from synthflow.spec.explain import check_bools, explain, show
from synthflow.spec.models import stage_name_problem
from synthflow.stages.adapters import all_stage_names, stage_class
from synthflow.stages.source.base import Source

ALWAYS_WRITTEN = frozenset(("rejects", "telemetry"))


@dataclass(frozen=True)
class Node:
    """A stage in its place. `given` is its configuration with every default written out and paths as given."""

    name: str
    use: str
    stage: Stage
    parents: tuple[str, ...]
    config: StageConfig
    given: Mapping[str, Any]

    def info(self) -> StageInfo:
        """What other stages may know of this one."""
        return StageInfo(
            self.name, self.use, tuple(self.stage.writes), self.parents, self.given, type(self.stage).capabilities()
        )


def read_nodes(document: Document, policies: set[str], base_dir: Path) -> dict[str, Node]:
    """Stages by name in the order of the spec; those that are wrong are missing and stand in `document.found`."""
    stages = document.data.get("stages")
    stages = stages if isinstance(stages, dict) else {}
    raw = {name: fields for name, fields in stages.items() if isinstance(fields, dict)}
    _check_names(document, raw)
    drawn = _Drawn({}, dict.fromkeys(stages, ()), set())
    for name, fields in raw.items():
        cls = _class_of(document, name, fields)
        if cls is not None:
            drawn.classes[name] = cls
        drawn.parents[name] = _references(document, name, fields, list(stages), drawn.lost)
    nodes: dict[str, Node] = {}
    for name, cls in drawn.classes.items():
        node = _node(document, name, cls, raw[name], drawn.parents[name], base_dir)
        if node is not None:
            nodes[name] = node
            _check_policies(document, node, policies)
    if stages and len(drawn.classes) == len(stages) and not any(is_source(cls) for cls in drawn.classes.values()):
        document.mistake(("stages",), "no stage brings problems in", "add one such as {use: source.jsonl, path: ...}")
    _check_graph(document, nodes, drawn)
    return nodes


@dataclass
class _Drawn:
    """The graph as far as it can be read: `lost` names the stages with a reference that leads nowhere."""

    classes: dict[str, type[Stage]]
    parents: dict[str, tuple[str, ...]]
    lost: set[str]


def is_source(cls: type[Stage]) -> bool:
    """A stage that brings problems in from outside: it reads no stage, and the engine streams it."""
    return issubclass(cls, Source)


def _check_names(document: Document, raw: Mapping[str, Any]) -> None:
    folded: dict[str, str] = {}
    for name in raw:
        problem = stage_name_problem(name)
        if problem:
            document.mistake(("stages", name), problem, "choose another name")
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            what = f"{other!r} and {name!r} differ in case only, and would share a folder on some disks"
            document.mistake(("stages", name), what, "choose another name")


def _class_of(document: Document, name: str, fields: Mapping[str, Any]) -> type[Stage] | None:
    use = fields.get("use")
    path = ("stages", name, "use")
    if use is None:
        hint = suggest(name, all_stage_names()) or "`synthflow list stages` shows all"
        document.mistake(path, "missing", f"say which stage this is; {hint}")
        return None
    if not isinstance(use, str):
        document.mistake(path, f"{show(use)} is not right", "expected the name of a stage")
        return None
    try:
        return stage_class(use)
    except UserError as error:
        document.mistake(path, str(error))
        return None


def _references(
    document: Document, name: str, fields: Mapping[str, Any], known: list[str], lost: set[str]
) -> tuple[str, ...]:
    """The stages in `of` that exist; wrong types are left to the validation of the fields."""
    of = fields.get("of")
    wanted = [of] if isinstance(of, str) else of if isinstance(of, list) else []
    found: list[str] = []
    for i, parent in enumerate(wanted):
        path = ("stages", name, "of") if isinstance(of, str) else ("stages", name, "of", i)
        if not isinstance(parent, str):
            continue
        if parent not in known:
            lost.add(name)
            others = [other for other in known if other != name]
            hint = suggest(parent, others) or f"known: {', '.join(others) or 'none'}"
            document.mistake(path, f"no stage here is called {parent!r}", hint)
        elif parent in found:
            document.mistake(path, f"{parent!r} stands twice", "keep one")
        else:
            found.append(parent)
    return tuple(found)


def _node(
    document: Document,
    name: str,
    cls: type[Stage],
    fields: Mapping[str, Any],
    parents: tuple[str, ...],
    base_dir: Path,
) -> Node | None:
    path = ("stages", name)
    of = fields.get("of")
    if is_source(cls) and of:
        document.mistake((*path, "of"), f"{cls.use} reads no stage", "remove `of`")
        return None
    if not is_source(cls) and of in (None, "", []):
        document.mistake((*path, "of"), "missing", "name the stage that it reads")
        return None
    try:
        with told_in_one_line(f"the configuration of {fields['use']}", cls, getattr(cls, "wrapped", cls)):
            try:
                given = cls.Config.model_validate(fields).model_dump(mode="json")
                config = cls.Config.model_validate(_anchored(document, name, cls, fields, base_dir))
            except ValidationError as error:
                explain(document, path, error, cls.Config)
                return None
            stage = cls(name, config)
    except SynthflowError as error:
        document.mistake(path, str(error))
        return None
    check_bools(document, path, fields, given)
    return Node(name, str(fields["use"]), stage, parents, config, given)


def _anchored(
    document: Document, name: str, cls: type[Stage], fields: Mapping[str, Any], base_dir: Path
) -> dict[str, Any]:
    """Paths in the file are relative to the file; one given with -o to the folder in which it was typed."""
    typed = {k: v for k, v in fields.items() if document.places.get(("stages", name, k), "").startswith("-o ")}
    return cls.resolve_paths(fields, base_dir) | cls.resolve_paths(typed, Path.cwd())


def _check_policies(document: Document, node: Node, policies: set[str]) -> None:
    for policy in type(node.stage).policies(node.config):
        if policy in policies:
            continue
        fields = [key for key, value in node.given.items() if value == policy]
        field = "policy" if "policy" in fields or not fields else fields[0]
        hint = suggest(policy, policies) or (
            f"known: {', '.join(sorted(policies))}" if policies else "add policy: {backend: ..., model: ...} at the top"
        )
        document.mistake(("stages", node.name, field), f"no policy is called {policy!r}", hint)


def _check_graph(document: Document, nodes: Mapping[str, Node], drawn: _Drawn) -> None:
    """Circles, tables that nobody above writes, and each stage's own `check` where all that is above is sound."""
    found = graph.cycles(drawn.parents)
    for cycle in found:
        names = " -> ".join([*cycle, cycle[0]])
        document.mistake(("stages", cycle[0], "of"), f"a circle of stages: {names}", "cut it at one of these")
    if found:
        return
    for name, cls in drawn.classes.items():
        above = graph.ancestors(name, drawn.parents)
        blind = drawn.lost.intersection([name, *above]) or any(other not in drawn.classes for other in above)
        if blind or (not above and not is_source(cls)):
            continue
        written = {table for other in above for table in drawn.classes[other].writes} | ALWAYS_WRITTEN
        missing = [table for table in cls.reads if table not in written]
        for table in missing:
            what = f"{cls.use} needs the table {table!r}, which no stage above it writes"
            document.mistake(("stages", name, "of"), what, _who_writes(table, name, drawn))
        if not missing and name in nodes and all(other in nodes for other in above):
            _own_check(document, nodes[name], [nodes[other].info() for other in above])


def _who_writes(table: str, name: str, drawn: _Drawn) -> str:
    here = [
        other
        for other, cls in drawn.classes.items()
        if table in cls.writes and other != name and name not in graph.ancestors(other, drawn.parents)
    ]
    if here:
        return f"{' and '.join(here)} {'writes' if len(here) == 1 else 'write'} it: read one, or what follows it"
    return f"stages that write it: {', '.join(_registered_writers(table)) or 'none'}"


def _registered_writers(table: str) -> list[str]:
    found = []
    for use in all_stage_names():
        try:
            if table in stage_class(use).writes:
                found.append(use)
        except UserError:  # not installed: it cannot be the advice
            continue
    return found


def _own_check(document: Document, node: Node, above: list[StageInfo]) -> None:
    try:
        with told_in_one_line(f"the check of {node.use}", *wraps(node.stage)):
            for field, what, fix in node.stage.check(above):
                keys = [int(key) if key.isdigit() else key for key in field.split(".")] if field else []
                document.mistake(("stages", node.name, *keys), what, fix)
    except SynthflowError as error:
        document.mistake(("stages", node.name), str(error))


def check_scorers(document: Document, nodes: Mapping[str, Node], policies: Mapping[str, PolicyConfig]) -> None:
    """Policies that are to score given tokens, on backends that cannot."""
    for node in nodes.values():
        for name in type(node.stage).scorers(node.config):
            if name not in policies:
                continue
            why = registry.load("backends", policies[name].backend).cannot_score(policies[name])
            if why is not None:
                what = f"policy {name!r} is to score given tokens: {why}"
                fields = [key for key, value in node.given.items() if value == name]
                document.mistake(("stages", node.name, *fields[:1]), what, "the transformers and vllm backends can")


def check_tokens(document: Document, nodes: Mapping[str, Node], policies: Mapping[str, PolicyConfig]) -> None:
    """Policies whose tokens nobody knows, under stages that need them (those that are to score are told already)."""
    for node in nodes.values():
        name = str(getattr(node.config, "policy", None))
        is_told = name in type(node.stage).scorers(node.config)
        if not node.stage.needs_tokens or name not in policies or is_told:
            continue
        why = registry.load("backends", policies[name].backend).tells_no_tokens(policies[name])
        if why is not None:
            what = f"{node.use} works on tokens, and those of policy {name!r} are not known: {why}"
            fix = "name the model's tokenizer in the policy with weights: PATH, and leave endpoint: chat out"
            document.mistake(("stages", node.name, "policy"), what, fix)


def check_params(document: Document, nodes: Mapping[str, Node], policies: Mapping[str, PolicyConfig]) -> None:
    """Ways of sampling that a policy's backend does not have."""
    for node in nodes.values():
        params = getattr(node.config, "params", None)
        if params is None or not callable(params):
            continue
        for name in type(node.stage).policies(node.config):
            if name not in policies:
                continue
            why = registry.load("backends", policies[name].backend).cannot_sample(policies[name], params())
            if why is not None:
                document.mistake(("stages", node.name), f"policy {name!r} cannot sample so: {why}", "")
