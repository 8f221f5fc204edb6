"""`check` reads tokens with the tokenizer's own library, wherever it is here as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthflow.check import check_run
from synthflow.stores.files import sha256_of
from synthflow.stores.manifest import Manifest

OLD = Path(__file__).parents[1] / "data" / "run-0.1.0" / "run"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "run"))


def rewrite(run: Path, table: str, column: str, value: str) -> str:
    """Put another text into the first row of a shard, with the hash that the manifest then has; the row's id."""
    shards = [s for c in Manifest(run).active() for s in c.shards if s.table == table]
    summary = json.loads((run / "manifest.json").read_text())
    shard = shards[0].to_json() if shards else next(s for s in summary["reference"] if s["table"] == table)
    path = run / shard["path"]
    rows = pq.read_table(path)
    values = [value, *rows.column(column).to_pylist()[1:]]
    at = rows.schema.get_field_index(column)
    pq.write_table(rows.set_column(at, rows.schema.field(at), pa.array(values, pa.string())), path)
    for name in ("manifest.jsonl", "manifest.json"):
        text = (run / name).read_text().replace(shard["sha256"], sha256_of(path))
        for gap in ("", " "):
            text = text.replace(f'"bytes":{gap}{shard["bytes"]},', f'"bytes":{gap}{path.stat().st_size},')
        (run / name).write_text(text)
    return str(rows.column(0)[0])


def kinds(run: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in check_run(run).findings:
        found.setdefault(finding.kind, []).append(f"{finding.where} {finding.what}")
    return found


def test_tokens_of_a_text_that_is_not_there_are_found(run: Path) -> None:
    """As where a server cuts the thought out of the text, and not out of the tokens."""
    pytest.importorskip("transformers")
    report = check_run(run)
    rollouts = sum(s.rows for c in Manifest(run).active() for s in c.shards if s.table == "rollouts")
    assert report.ok and report.checked["tokens_text"] == rollouts > 100
    rollout = rewrite(run, "rollouts", "completion", "It is 2.")
    [found] = kinds(run)["tokens_text"]
    assert f"rollout_id={rollout} its token_ids spell" in found and "'It is 2.'" in found


def test_a_tokenizer_that_is_not_the_run_s_says_nothing(run: Path) -> None:
    rewrite(run, "rollouts", "completion", "It is 2.")
    rewrite(run, "policies", "tokenizer_hash", "another")
    assert "tokens_text" not in kinds(run)
