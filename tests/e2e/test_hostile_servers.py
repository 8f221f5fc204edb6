"""Servers that misbehave in one way each, to every prompt or to one of twelve: what a whole run ends in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.hostile_server import BEHAVIOURS, GOOD, MARK, HostileServer
from support.runs import tables
from synthflow.check import check_run
from synthflow.contracts import UNANSWERED
from synthflow.errors import ExitCode, SynthflowError
from synthflow.execute.cluster import ClusterSize, connected
from synthflow.execute.run import run_pipeline
from synthflow.plan.costs import Change
from synthflow.report.summary import run_summary, summary_lines
from synthflow.spec.pipeline import Pipeline
from synthflow.stores.catalog.build import open_catalog

pytestmark = [pytest.mark.slow]

PROBLEMS, N = 12, 2
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
COOL_S = 5.5
"""Seconds for which a client that has given up does not ask again; a run of its own would not have to wait."""


@dataclass
class Outcome:
    """What a run ended in, and what the same command did once the server was mended."""

    code: int
    words: str
    rows: pl.DataFrame
    released: int
    said: list[str]
    notes: dict[str, int]
    rejects: dict[str, str]
    mended: int | None = None
    after: pl.DataFrame | None = None


def spec(server: HostileServer, problems: Path, options: dict[str, Any]) -> Pipeline:
    policy = {"backend": "openai", "model": "m", "base_url": server.url, "timeout_s": 1, "retries": 1, "patience_s": 2}
    return Pipeline.build(
        "hostile",
        {
            "problems": {"use": "source.jsonl", "path": str(problems)},
            "rollouts": {"use": "sample", "of": "problems", "n": N, "max_tokens": 100},
            "verdicts": {"use": "verify.math", "of": "rollouts"},
            "sft": {"use": "export.sft", "of": "verdicts", "deduplicate": False},
        },
        {**policy, **options},
        execution={"retries": 1, "partition_size": 8},
    )


def attempt(pipeline: Pipeline, out: Path, scheduler: str) -> tuple[int, str]:
    """Exit code and words, as the command line has them."""
    try:
        run_pipeline(pipeline, out, scheduler=scheduler)
    except SynthflowError as error:
        return int(error.exit_code), str(error)
    return int(ExitCode.OK), ""


def outcome(kind: str, alone: bool, folder: Path, scheduler: str) -> Outcome:
    behaviour = BEHAVIOURS[kind]
    problems, out = folder / "problems.jsonl", folder / "run"
    texts = [f"What is 1 + 1? Say {MARK if i == 5 else f'number {i}'}." for i in range(PROBLEMS)]
    problems.write_text("".join(json.dumps({"problem": text, "answer": "2"}) + "\n" for text in texts))
    server = HostileServer(behaviour, marked=not alone)
    try:
        pipeline = spec(server, problems, dict(behaviour.options))
        found = _found(out, *attempt(pipeline, out, scheduler))
        if found.code != ExitCode.OK:
            server.mend()
            time.sleep(COOL_S)
            found.mended, _ = attempt(pipeline, out, scheduler)
            found.after = tables(out)["rollouts"]
        return found
    finally:
        server.close()


def _found(out: Path, code: int, words: str) -> Outcome:
    if code != ExitCode.OK:
        return Outcome(code, words, pl.DataFrame(), 0, [], {}, {})
    with open_catalog(out) as con:
        said = summary_lines(run_summary(con, out))
        notes = con.execute("SELECT metric, value::INT FROM telemetry WHERE metric LIKE 'note: %'").fetchall()
        rejects = con.execute(
            "SELECT target_id, reason FROM rejects JOIN stages USING (stage_id) WHERE name = 'rollouts'"
        )
        reasons = dict(rejects.fetchall())
    released = sum(pl.read_parquet(path).height for path in out.glob("exports/sft/sft/*.parquet"))
    counts: dict[str, int] = {}
    for metric, n in notes:
        counts[metric.removeprefix("note: ")] = counts.get(metric.removeprefix("note: "), 0) + n
    return Outcome(code, words, tables(out)["rollouts"], released, said, counts, reasons)


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[tuple[str, bool], Future[Outcome]]]:
    """All cases that this session asks for, several at a time on one cluster: most of their time is waiting."""
    wanted = {(i.callspec.params["kind"], i.callspec.params["alone"]) for i in request.session.items
              if getattr(i, "callspec", None) and "alone" in i.callspec.params and i.path == request.path}  # fmt: skip
    root = tmp_path_factory.mktemp("hostile")
    with connected(ClusterSize(1, 1, 8), None, root) as client, ThreadPoolExecutor(8) as pool:
        scheduler = client.scheduler.address
        yield {case: pool.submit(outcome, *case, tmp_path_factory.mktemp("case"), scheduler) for case in sorted(wanted)}


QUICK = ("400 for the request", "400 for the seed", "500", "reasoning_content")
"""Kinds that `make test` tries; the others are part of the extended tests."""
KINDS = [pytest.param(kind, marks=[] if kind in QUICK else [pytest.mark.extended]) for kind in BEHAVIOURS]


@pytest.mark.parametrize("alone", [False], ids=["among"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_prompt_among_good_ones(kind: str, alone: bool, outcomes: dict[tuple[str, bool], Future[Outcome]]) -> None:
    """The run ends well, nothing else is lost, and the prompt's rollouts are rows that say what became of them."""
    behaviour, found = BEHAVIOURS[kind], outcomes[kind, alone].result(280)
    assert (found.code, found.words) == (0, "")
    assert found.rows.height == PROBLEMS * N
    met = found.rows.filter(pl.col("prompt").list.last().struct.field("content").str.contains(MARK))
    others = found.rows.filter(~pl.col("rollout_id").is_in(met["rollout_id"].to_list()))
    assert set(others["finish_reason"]) == {"stop"} and set(others["completion"]) == {GOOD}
    assert set(met["finish_reason"]) == {behaviour.ends}
    check_what_is_said(kind, found, met)
    without = behaviour.ends in UNANSWERED or behaviour.text == "nothing"
    assert found.released == (PROBLEMS - 1) * N if without else found.released == PROBLEMS * N


@pytest.mark.parametrize("alone", [True], ids=["alone"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_prompt(kind: str, alone: bool, outcomes: dict[tuple[str, bool], Future[Outcome]]) -> None:
    """Where nothing is answered the run stops and says why, with no release; mended, the same command asks again."""
    behaviour, found = BEHAVIOURS[kind], outcomes[kind, alone].result(280)
    assert found.code == behaviour.alone, found.words
    if found.code == ExitCode.OK:
        assert found.rows.height == PROBLEMS * N and set(found.rows["finish_reason"]) == {behaviour.ends}
        check_what_is_said(kind, found, found.rows)
        empty = any("EMPTY" in line for line in found.said)
        assert (found.released == 0) == empty
        return
    assert "stage 'rollouts'" in found.words and ("the first said" in found.words or "the last said" in found.words)
    assert found.mended == ExitCode.OK and found.after is not None
    assert found.after.height == PROBLEMS * N and set(found.after["finish_reason"]) == {"stop"}


def check_what_is_said(kind: str, found: Outcome, met: pl.DataFrame) -> None:
    behaviour = BEHAVIOURS[kind]
    if behaviour.note:
        assert set(found.notes) == {behaviour.note} and found.notes[behaviour.note] >= met.height
        assert any(behaviour.note in line for line in found.said)
    else:
        assert found.notes == {}
    text = behaviour.text or (GOOD if behaviour.ends == "stop" else "")
    assert set(met["completion"]) == {"" if text == "nothing" else text}
    if behaviour.ends in UNANSWERED:
        ended = {rollout: found.rejects[rollout].partition(":")[0] for rollout in met["rollout_id"]}
        assert set(ended.values()) == {behaviour.ends}
        assert any(f"{met.height} {behaviour.ends} of {found.rows.height} requests" in line for line in found.said)


def test_the_page_says_what_each_ends_in() -> None:
    """The table of docs/faults.md has a line for each behaviour, with what this file tests."""
    page = PAGE.read_text()
    for kind, behaviour in BEHAVIOURS.items():
        assert row_of_page(kind) in page, f"docs/faults.md lacks the line\n{row_of_page(kind)}"
        assert behaviour.says
    assert len(BEHAVIOURS) >= 30


def row_of_page(kind: str) -> str:
    behaviour = BEHAVIOURS[kind]
    ended = f"`{behaviour.ends}`" + (f"; told: {behaviour.note}" if behaviour.note else "")
    return f"| {behaviour.says} | {ended} | {behaviour.alone} |"


@pytest.mark.parametrize("how", ["retry", pytest.param("settings", marks=pytest.mark.extended)])
def test_what_was_refused_is_asked_again_and_nothing_else(how: str, tmp_path: Path) -> None:
    """By name, or because the policy's settings are others; a run with neither has nothing to do."""
    problems, out = tmp_path / "problems.jsonl", tmp_path / "run"
    texts = [f"What is 1 + 1? Say {MARK if i == 5 else f'number {i}'}." for i in range(PROBLEMS)]
    problems.write_text("".join(json.dumps({"problem": text, "answer": "2"}) + "\n" for text in texts))
    server, costs = HostileServer(BEHAVIOURS["400 for the request"], marked=True), list[Change]()
    try:
        pipeline = spec(server, problems, {})
        run_pipeline(pipeline, out)
        before = tables(out)["rollouts"]
        assert sum(before["finish_reason"] == "refused") == N
        server.mend()
        server.asked = 0
        assert run_pipeline(pipeline, out).attempt is None and server.asked == 0
        assert run_pipeline(pipeline, out, retry=["failed"]).attempt is None and server.asked == 0
        if how == "retry":
            run_pipeline(pipeline, out, retry=["refused"], told=costs.append)
        else:
            run_pipeline(spec(server, problems, {"timeout_s": 2}), out, told=costs.append)
        assert server.asked == N == sum(stage.requests for stage in costs[0].stages), "the line before it said so"
        after = tables(out)["rollouts"]
        assert set(after["finish_reason"]) == {"stop"}
        kept = before.filter(pl.col("finish_reason") == "stop")
        assert after.join(kept, on="rollout_id", how="semi").drop("stage_id").equals(kept.drop("stage_id"))
        assert sum(pl.read_parquet(path).height for path in out.glob("exports/sft/sft/*.parquet")) == PROBLEMS * N
        report = check_run(out)
        assert report.ok and not report.warnings, report.findings
        assert run_pipeline(pipeline, out, retry=["refused"]).attempt is None or how == "settings"
    finally:
        server.close()
