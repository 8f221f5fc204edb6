"""A policy's thought in a release: kept with both markers, dropped, or left out of the loss."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from synthflow.contracts import PolicyIdentity
from synthflow.rollouts.rows import thought_and_answer
from synthflow.schema import TABLES
from synthflow.stages.export.preference import ExportPreference
from synthflow.stages.export.sft import ExportSft

OPENED, CLOSED = "<think>\nso\n</think>\n\n", "so\n</think>\n\n"
"""A whole thought; and one that the template opened in its generation prompt."""


class ByCharacter:
    """A tokenizer of one token a character."""

    def token_ends(self, tokens: list[int]) -> list[int]:
        return list(range(1, len(tokens) + 1))


def thoughtful(tables: Any, thought: str) -> Any:
    """The tables with a thought before every answer, as a sampling stage writes them, and a token a character."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        text = thought + row["completion"]
        spans = thought_and_answer(text, None)
        tokens = [ord(c) for c in text]
        return row | {
            "completion": text, "completion_hash": text, "author_spans": spans, "token_ids": tokens,
            "n_tokens": len(tokens), "prompt_token_ids": [7, 8],
        }  # fmt: skip

    rows = [edit(row) for row in tables["rollouts"]["rollouts"].to_pylist()]
    pairs = [row | {"prefix": thought + row["prefix"]} for row in tables["pairs"]["pairs"].to_pylist()]
    return tables | {
        "rollouts": {"rollouts": TABLES["rollouts"].from_rows(rows)},
        "pairs": {"pairs": TABLES["pairs"].from_rows(pairs)},
    }


def release(world: Any, tables: Any, out: Path, stage: Any, **options: Any) -> Counter[str]:
    made = stage(name="export", config=stage.Config(use=stage.use, of="pairs", **options))
    out.mkdir(parents=True)
    services = world.NoServices()
    services.renderer = lambda policy: ByCharacter()
    services.identity = lambda policy: PolicyIdentity(world.POLICY, "w", "t", "c")
    return Counter(world.released(made, world.make_inputs(tables), out, services).column("reason").to_pylist())


def answers(out: Path, config: str, column: str = "messages") -> list[str]:
    return sorted(row[column][-1]["content"] for row in pq.read_table(out / config).to_pylist())


@pytest.mark.parametrize("thought", [OPENED, CLOSED])
def test_a_kept_thought_has_both_of_its_markers(thought: str, world: Any, tables: Any, tmp_path: Path) -> None:
    release(world, tables, tmp_path / "plain", ExportSft)
    plain = answers(tmp_path / "plain", "sft")
    release(world, thoughtful(tables, thought), tmp_path / "kept", ExportSft)
    assert answers(tmp_path / "kept", "sft") == [OPENED + text for text in plain]
    release(world, thoughtful(tables, thought), tmp_path / "dropped", ExportSft, thinking="drop")
    assert answers(tmp_path / "dropped", "sft") == plain


def test_a_masked_thought_is_in_no_text_and_out_of_the_loss(world: Any, tables: Any, tmp_path: Path) -> None:
    reasons = release(world, thoughtful(tables, CLOSED), tmp_path / "m", ExportSft, thinking="mask", tokens=True)
    assert reasons["its thought is masked, which text cannot say: see sft_tokens"] > 0
    rows = pq.read_table(tmp_path / "m" / "sft_tokens").to_pylist()
    assert rows
    for row in rows:
        hidden = 2 + len(CLOSED.rstrip())
        assert row["labels"][:hidden] == [-100] * hidden and row["labels"][hidden:] == row["input_ids"][hidden:]
        assert "".join(map(chr, row["input_ids"][2:])).startswith(CLOSED)


@pytest.mark.parametrize("thought", [OPENED, CLOSED])
def test_pairs_keep_or_drop_the_thought_of_both_sides(thought: str, world: Any, tables: Any, tmp_path: Path) -> None:
    release(world, tables, tmp_path / "plain", ExportPreference)
    found = thoughtful(tables, thought)
    release(world, found, tmp_path / "kept", ExportPreference)
    release(world, found, tmp_path / "dropped", ExportPreference, thinking="drop")
    for side in ("chosen", "rejected"):
        plain = answers(tmp_path / "plain", "preference", side)
        assert answers(tmp_path / "dropped", "preference", side) == plain
        assert answers(tmp_path / "kept", "preference", side) == [OPENED + text for text in plain]
    rows = pq.read_table(tmp_path / "kept" / "preference").to_pylist()
    for row in rows:
        trunk, sides = row["sf_prefix_chars"], [row[side][0]["content"] for side in ("chosen", "rejected")]
        assert sides[0][:trunk] == sides[1][:trunk] and trunk >= len(OPENED)


def test_an_answer_that_is_nothing_but_a_thought_is_left_out(world: Any, tables: Any, tmp_path: Path) -> None:
    rows = [row | {"completion": ""} for row in tables["rollouts"]["rollouts"].to_pylist()]
    bare = tables | {"rollouts": {"rollouts": TABLES["rollouts"].from_rows(rows)}}
    reasons = release(world, thoughtful(bare, OPENED), tmp_path / "d", ExportSft, thinking="drop")
    assert reasons["no answer after its thought"] > 0
