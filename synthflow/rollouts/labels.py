"""Which label stage a miner believes, and its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from synthflow.contracts import Inputs, StageInfo


def label_stages(ancestors: Sequence[StageInfo]) -> list[str]:
    """Names of the ancestors that value steps."""
    return [a.name for a in ancestors if "step_values" in a.writes]


def check_labels(ancestors: Sequence[StageInfo], wanted: str | None) -> Iterable[tuple[str, str, str]]:
    """Mistakes in a stage's `labels` field, in the form of `Stage.check`."""
    known = label_stages(ancestors)
    if wanted is not None and wanted not in known:
        yield "labels", f"{wanted!r} is not a label stage above this one", f"known: {', '.join(known) or 'none'}"
    elif not known:
        yield "labels", "no stage above this one values steps", "read one such as label.tree or label.monte_carlo"
    elif wanted is None and len(known) > 1:
        yield "labels", f"several label stages above: {', '.join(known)}", "say which with labels: NAME"


def label_stage(inputs: Inputs, wanted: str | None) -> str:
    """The label stage that counts: the one named, or the only one (`check_labels` makes sure at planning)."""
    return wanted if wanted is not None else label_stages(inputs.ancestors)[-1]


def of_stage(inputs: Inputs, stage: str, table: str, columns: Sequence[str]) -> pl.DataFrame:
    """Rows that one ancestor wrote, as a Polars frame."""
    frame = pl.from_arrow(inputs.of_stage(stage, table, columns))
    assert isinstance(frame, pl.DataFrame)
    return frame
