"""What a change costs, in one line and in the cells of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthflow.cli.text import count, duration, money

_MOST_CAUSES = 3


def change_line(change: Mapping[str, Any]) -> str:
    """The whole of `Change.to_json` in one line."""
    total = change["total"]
    said = [f"since attempt {change['since_attempt']}: {_causes(change)}"] if change["since_attempt"] else []
    if change["since_attempt"]:
        stale = f", {count(total['stale'])} stale" if total["stale"] else ""
        said.append(f"{count(total['kept'])} units kept, {count(total['owed'])} owed{stale}")
    said.append(_requests(change))
    return "; ".join(said)


def to_ask(stage: Mapping[str, Any]) -> str:
    """Requests of one stage: a number, or its bound."""
    if not stage["requests"]:
        return "–"
    return f"{'≤ ' if stage['at_most'] else ''}{count(stage['requests'])}"


def _causes(change: Mapping[str, Any]) -> str:
    problems = [f"{count(change['problems'][how])} {how}" for how in ("added", "edited", "removed")
                if change["problems"][how]]  # fmt: skip
    causes = [f"problems {', '.join(problems)}"] if problems else []
    causes += [f"{s['stage']} ({s['why']})" for s in change["stages"] if s["why"] and not _follows(s["why"])]
    causes += [f"{s['stage']} (gone)" for s in change["gone"]]
    more = len(causes) - _MOST_CAUSES
    return ", ".join(causes[:_MOST_CAUSES]) + (f" and {more} more" if more > 0 else "") if causes else "nothing changed"


def _follows(why: str) -> bool:
    return why == "other problems" or why.startswith("follows ")


def _requests(change: Mapping[str, Any]) -> str:
    asking = [stage for stage in change["stages"] if stage["requests"]]
    if not asking:
        return "nothing will be asked"
    counted = sum(s["requests"] for s in asking if not s["at_most"])
    bounded = sum(s["requests"] for s in asking if s["at_most"])
    total = change["total"]
    said = [f"{count(counted)} requests"] if counted else []
    if bounded:
        said.append(f"at most {count(bounded)} {'more' if counted else 'requests'}")
    if total["expected_tokens"] is None:
        said.append(f"at most {count(total['tokens'])} tokens")
    else:
        said.append(f"about {count(total['expected_tokens'])} tokens in {duration(total['expected_s'])}")
    if total["cost"] is not None:
        said.append(f"at most {money(total['cost'])}")
    return ", ".join(said)
