"""`synthflow verify … --explain`: how one verdict came about, for a person who doubts it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthflow.cli.text import console, echo_json
from synthflow.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from synthflow.workflows.explained import Explained
    from synthflow.workflows.verify_file import VerifyFile

_LINES = 12  # of a completion's end
_COLOURS = {"correct": "green", "wrong": "red", "unknown": "yellow"}


def explain_file(asked: VerifyFile, row: str, as_json: bool) -> None:
    """Row `row` of a file, the first of which is 1."""
    from synthflow.workflows.explained import explain_row

    if not row.isdecimal() or int(row) < 1:
        raise UserError(f"--explain {row}: of a file, the number of a row; the first is 1")
    _tell(explain_row(asked, int(row)), as_json)


def explain_run(root: Path, settings: dict[str, Any], options: dict[str, Any]) -> None:
    """A rollout of a run."""
    from synthflow.workflows.reverify.explain_rollout import explain_rollout
    from synthflow.workflows.reverify.reverify import Rejudge

    asked = Rejudge(root, options["stage"], options["verifier"], settings)
    _tell(explain_rollout(asked, options["explain"]), options["as_json"])


def _tell(found: Explained, as_json: bool) -> None:
    if as_json:
        echo_json(found.to_json())
    else:
        _print(console(), found)


def _print(screen: Console, found: Explained) -> None:
    from rich.text import Text

    said = found.explanation.judgement
    screen.print(f"{found.where}\nby {found.scorer} {found.scorer_version}\n", markup=False)
    _print_texts(screen, found)
    _print_candidates(screen, found)
    _print_readings(screen, found)
    line = Text.assemble("verdict       ", (said.verdict, f"bold {_COLOURS[said.verdict]}"))
    if said.reason:
        line.append(f": {said.reason}")
    if said.detail and said.detail != said.extracted:
        line.append(f"\n              {said.detail}")
    screen.print(line, soft_wrap=True)
    if found.recorded is not None:
        recorded = found.recorded
        told = " ".join(filter(None, (recorded["verdict"], recorded["reason"])))
        screen.print(f"recorded      {told}, by version {recorded['scorer_version']}", markup=False, soft_wrap=True)


def _print_texts(screen: Console, found: Explained) -> None:
    from synthflow.workflows.explained import asked_of, end_of

    question = found.question
    if question is None:
        return
    table = _table()
    if asked_of(question):
        _add(table, "asked", asked_of(question).strip())
    lines = end_of(question.completion).splitlines()
    shown = "\n".join(lines[-_LINES:])
    _add(table, "it ends", ("… " if len(shown) < len(question.completion.strip()) else "") + shown)
    _add(table, "gold", question.answer if question.answer is not None else "(none)")
    screen.print(table)
    screen.print()


def _print_candidates(screen: Console, found: Explained) -> None:
    candidates = found.explanation.candidates
    if not candidates:
        return
    screen.print("what the rules find", markup=False)
    table = _table()
    for place, candidate in enumerate(candidates):
        is_chosen = place == 0 and found.explanation.judgement.rule == candidate.rule
        notes = [candidate.note, "" if candidate.sure or not candidate.text else "it guesses: it calls nothing wrong"]
        said = "; ".join(note for note in notes if note)
        _add(table, f"{'→' if is_chosen else ' '} {candidate.rule}", candidate.text or "(nothing)", said)
    screen.print(table)
    screen.print()


def _print_readings(screen: Console, found: Explained) -> None:
    if not found.explanation.readings:
        return
    screen.print("how it is read", markup=False)
    table = _table()
    for of, how in found.explanation.readings:
        _add(table, f"  {of}", how)
    screen.print(table)
    screen.print()


def _table() -> Table:
    """Rows without lines around them; the first column is as wide everywhere."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(min_width=12, no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", style="dim")
    return table


def _add(table: Table, *cells: str) -> None:
    """A row in which nothing is markup."""
    from rich.text import Text

    table.add_row(*map(Text, cells))
