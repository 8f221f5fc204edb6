"""What a run says of its speed, its cost and its end, from fabricated reports on a clock of our own."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from synthflow.cli.display import LineDisplay, LiveDisplay, display_for, facts, totals
from synthflow.cli.status import run_status, status
from synthflow.contracts import Estimate
from synthflow.execute.progress import StageProgress, Tracker, cost
from synthflow.execute.rates import LEAST_REPORTS, RecentRate
from synthflow.stores.graph import Graph, StageRecord
from synthflow.stores.manifest import Commit, Manifest


def _record(name: str, scope: str, parents: tuple[str, ...] = ()) -> StageRecord:
    return StageRecord(name, f"use.{name}", "1", f"f_{name:0>20}", scope, parents, (), {})  # type: ignore[arg-type]


def _commit(graph: Graph, stage: str, unit: str) -> Commit:
    record = graph.stages[stage]
    return Commit(stage, record.fingerprint, record.stage_id, unit, graph.key(stage, unit), 1, (), {})


GRAPH = Graph(
    [_record("problems", "source"), _record("rollouts", "partition", ("problems",))], {"problems": ["q_a", "q_b"]}
)


class Clock:
    """time.monotonic, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def _tracker(folder: Path, price: float | None = None, done: tuple[tuple[str, str], ...] = ()) -> Tracker:
    manifest = Manifest(folder)
    for stage, unit in done:
        manifest.commit(_commit(GRAPH, stage, unit))
    return Tracker(GRAPH, manifest, folder, {"rollouts": 1000}, price)


def test_a_recent_rate_forgets_what_was_fast() -> None:
    rate = RecentRate(window_s=10, least=2)
    for second in range(10):
        rate.add(second, 100, 5000)
    assert rate.per_s(9.0) == (100.0, 5000.0)
    for second in range(10, 40):
        rate.add(second, 10, 500)
    assert rate.per_s(39.0) == (10.0, 500.0)


def test_silence_lowers_a_recent_rate_and_too_little_tells_nothing() -> None:
    rate = RecentRate()
    assert rate.per_s(0.0) is None
    rate.add(0.0, 1, 10)
    assert rate.per_s(5.0) is None
    rate.add(10.0, 1, 10)
    assert rate.per_s(10.0) == (0.1, 1.0)
    assert rate.per_s(20.0) == (0.05, 0.5)


@given(st.lists(st.tuples(st.floats(0.1, 50), st.integers(0, 9), st.integers(0, 999)), min_size=2, max_size=80))
def test_a_recent_rate_is_tokens_over_time_whatever_comes(reports: list[tuple[float, int, int]]) -> None:
    rate, now, told = RecentRate(), 0.0, []
    for gap, rollouts, tokens in reports:
        now += gap
        rate.add(now, rollouts, tokens)
        told.append((now, tokens))
    kept = [t for t in told if t[0] >= now - rate.window_s]
    kept = kept if len(kept) >= LEAST_REPORTS else told[-LEAST_REPORTS:]
    found = rate.per_s(now)
    if now - kept[0][0] >= 0.5:
        assert found is not None
        assert found[1] == pytest.approx(sum(t for _, t in kept[1:]) / (now - kept[0][0]))


def test_eta_is_tokens_left_over_recent_tokens_a_second(clock: Clock, tmp_path: Path) -> None:
    tracker = _tracker(tmp_path, price=2.0)
    # 100 rollouts of 50 tokens a second for 5 s, and 100 more from the journal: 400 are left, 20,000 tokens.
    tracker.counted({"stage": "rollouts", "from_journal": 100})
    for _ in range(5):
        clock.now += 1
        tracker.counted({"stage": "rollouts", "sampled": 100, "tokens": 5000})
    stage = tracker.snapshot()["stages"][1]
    assert stage["requests_left"] == 400 and stage["mean_tokens"] == 50
    assert stage["recent_tokens_per_s"] == pytest.approx(5000)
    assert stage["eta_s"] == pytest.approx(400 * 50 / 5000)
    assert stage["cost"] == pytest.approx(25_000 / 1e6 * 2)
    assert stage["cost_projected"] == pytest.approx((25_000 + 20_000) / 1e6 * 2)
    total = tracker.snapshot()["total"]
    assert (total["tokens"], total["rollouts"], total["from_journal"]) == (25_000, 500, 100)
    after = 0.4 * 1.0  # releases and the catalog: the first answer came after a second
    assert total["eta_s"] == pytest.approx(stage["eta_s"] + after)
    assert total["cost_projected"] == stage["cost_projected"]


def test_eta_follows_a_server_that_became_slow(clock: Clock, tmp_path: Path) -> None:
    tracker = _tracker(tmp_path)
    for _ in range(100):
        clock.now += 1
        tracker.counted({"stage": "rollouts", "sampled": 8, "tokens": 400})
    fast = tracker.snapshot()["stages"][1]["eta_s"]
    for _ in range(100):
        clock.now += 1
        tracker.counted({"stage": "rollouts", "sampled": 1, "tokens": 50})
    slow = tracker.snapshot()["stages"][1]
    assert fast == pytest.approx(200 * 50 / 400)
    assert slow["eta_s"] == pytest.approx(100 * 50 / 50)
    assert slow["tokens_per_s"] > 4 * slow["recent_tokens_per_s"]


def test_what_earlier_attempts_finished_is_not_left(clock: Clock, tmp_path: Path) -> None:
    tracker = _tracker(tmp_path, done=(("rollouts", "q_a"),))
    assert tracker.stages["rollouts"].requests_left == 500
    clock.now += 1
    tracker.counted({"stage": "rollouts", "sampled": 500, "tokens": 1000})
    assert tracker.snapshot()["stages"][1]["eta_s"] == 0


def test_only_refusals_are_counted_by_requests(clock: Clock) -> None:
    stage = StageProgress("s", "sample", 2, expected_requests=10, counts={"sampled": 5, "tokens": 0}, first_at=990.0)
    assert stage.eta_s(0) == pytest.approx(10.0 * 5 / 5)


def test_without_known_requests_units_count(clock: Clock) -> None:
    stage = StageProgress("s", "label", 10, done_units=6, counts={"tokens": 300.0}, first_at=980.0)
    assert stage.eta_s(started_done=2) == pytest.approx(20.0 * 4 / 4)
    assert stage.projected_tokens(started_done=2) == pytest.approx(300 * 8 / 4)


def test_a_cost_is_projected_only_when_every_sampling_stage_tells(clock: Clock, tmp_path: Path) -> None:
    graph = Graph([*GRAPH.stages.values(), _record("steps", "partition", ("rollouts",))], GRAPH.partitions)
    tracker = Tracker(graph, Manifest(tmp_path), tmp_path, {"rollouts": 100}, 1.0, ["rollouts", "steps"])
    clock.now += 1
    tracker.counted({"stage": "rollouts", "sampled": 50, "tokens": 500})
    assert tracker.snapshot()["total"]["cost_projected"] is None
    clock.now += 1
    tracker.counted({"stage": "steps", "sampled": 10, "tokens": 100})
    tracker.committed(_commit(graph, "steps", "q_a"))
    assert tracker.snapshot()["total"]["cost_projected"] == pytest.approx((1000 + 200) / 1e6)


def test_the_eta_of_a_run_counts_all_that_sample(clock: Clock, tmp_path: Path) -> None:
    graph = Graph([*GRAPH.stages.values(), _record("steps", "partition", ("rollouts",))], GRAPH.partitions)
    guesses = {
        "rollouts": Estimate(requests=100, tokens=10_000),
        "steps": Estimate(requests=400, tokens=20_000, most_requests=800),
    }
    sampling = ["rollouts", "steps"]
    tracker = Tracker(graph, Manifest(tmp_path), tmp_path, {"rollouts": 100}, None, sampling, guesses)
    for _ in range(6):
        clock.now += 1
        tracker.counted({"stage": "rollouts", "sampled": 10, "tokens": 500})
    # 40 rollouts of 50 tokens; 400 continuations, guessed half as long: 25 tokens each; 500 a second.
    assert tracker.snapshot()["total"]["eta_s"] == pytest.approx((40 * 50 + 400 * 25) / 500 + 0.4)
    # One of two units asks for 20: so will the other. The plan's guess is forgotten.
    tracker.counted({"stage": "steps", "unit": "q_a", "asked": 20})
    assert tracker.snapshot()["total"]["eta_s"] == pytest.approx((40 * 50 + 40 * 25) / 500 + 0.4)
    assert "asked" not in tracker.stages["steps"].counts
    # Judges count by this word what they have asked.
    tracker.counted({"stage": "steps", "asked": 3})
    assert tracker.stages["steps"].counts["asked"] == 3


def test_no_price_is_no_cost(clock: Clock, tmp_path: Path) -> None:
    tracker = _tracker(tmp_path)
    clock.now += 1
    tracker.counted({"stage": "rollouts", "sampled": 1, "tokens": 5})
    total = tracker.snapshot()["total"]
    assert total["cost"] is None and total["cost_projected"] is None
    assert cost(None, 1.0) is None and cost(2e6, 1.5) == 3.0


def test_the_saved_file_and_the_metrics_say_the_same(clock: Clock, tmp_path: Path) -> None:
    tracker = _tracker(tmp_path)
    for _ in range(3):
        clock.now += 3
        tracker.counted(
            {"stage": "rollouts", "sampled": 2, "tokens": 20, "correct": 1, "wrong": 1, "worker": "tcp://x"}
        )
    tracker.finish("done")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1] == json.loads((tmp_path / "progress.json").read_text())
    assert [line["state"] for line in lines] == ["running", "running", "running", "done"]
    assert lines[-1]["stages"][1]["pass_rate"] == 0.5
    for key in ("tokens_per_s", "rollouts_per_s", "eta_s", "counts", "units_done", "units_total", "doing"):
        assert key in lines[-1]["stages"][1], key  # what scripts of earlier versions read


def test_people_read_recent_rates_and_old_files_still_show(clock: Clock, tmp_path: Path) -> None:
    tracker = _tracker(tmp_path, price=10.0)
    for _ in range(4):
        clock.now += 1
        tracker.counted({"stage": "rollouts", "sampled": 25, "tokens": 2500})
    snapshot = tracker.snapshot()
    assert facts(snapshot["stages"][1]) == "100/1,000 rollouts  25/s  2,500 tok/s"
    assert totals(snapshot) == "10,000 tokens  25/s  2,500 tok/s  cost 0.1 of about 1.00  ETA 0:36"
    old = {"counts": {"sampled": 4}, "doing": "", "expected_requests": 0, "pass_rate": None,
           "rollouts_per_s": 0.5, "tokens_per_s": 20.0}  # fmt: skip
    assert facts(old) == "4 rollouts  0.5/s  20 tok/s"
    assert totals({"stages": [old]}) == ""


def test_a_log_file_gets_one_line_a_stage_when_it_is_done(tmp_path: Path) -> None:
    tracker = _tracker(tmp_path, done=(("problems", "q_a"), ("problems", "q_b"), ("rollouts", "q_a")))
    said = io.StringIO()
    display = display_for(tracker, Console(file=said, width=140))
    assert isinstance(display, LineDisplay)
    with display:
        tracker.counted({"stage": "rollouts", "sampled": 7, "poison": 2})
        tracker.committed(_commit(GRAPH, "rollouts", "q_b"))
    [line] = said.getvalue().splitlines()
    assert line.split()[1:3] == ["rollouts", "done"] and "7/1,000 rollouts" in line and line.endswith("2 poison")


def _lines(tracker: Tracker) -> tuple[LineDisplay, io.StringIO]:
    """A display whose lines are told by hand."""
    said = io.StringIO()
    return LineDisplay(tracker, Console(file=said, width=140)), said


def test_a_log_tells_what_moved_and_not_what_stands_still(clock: Clock, tmp_path: Path) -> None:
    display, said = _lines(_tracker(tmp_path))
    tracker = display._tracker
    clock.now += 1
    tracker.counted({"stage": "rollouts", "sampled": 7, "tokens": 70})
    for _ in range(3):
        clock.now += 10
        display._tell(due=True)
    [line] = said.getvalue().splitlines()
    assert line.startswith("[0:11] rollouts 0/2 (7/1,000 rollouts): 70 tokens")


def test_what_is_waited_for_is_told_when_it_changes_and_its_numbers_seldom(clock: Clock, tmp_path: Path) -> None:
    display, said = _lines(_tracker(tmp_path))
    for doing in ("starting workers", "finishing 9 requests", "finishing 8 requests", "", "building the catalog"):
        clock.now += 1
        display._tracker.doing = doing
        display._tell(due=False)
    clock.now += 5
    display._tracker.doing = "finishing 2 requests"
    display._tell(due=False)
    clock.now += 5
    display._tracker.doing = "finishing 1 requests"
    display._tell(due=False)
    told = [line.partition("] ")[2] for line in said.getvalue().splitlines()]
    assert told == [
        "starting workers", "finishing 9 requests", "building the catalog", "finishing 2 requests",
        "finishing 1 requests",
    ]  # fmt: skip


def test_pauses_between_lines_grow_to_a_minute(clock: Clock, tmp_path: Path) -> None:
    display, _ = _lines(_tracker(tmp_path))
    told: list[float] = []

    class Steps:
        """Half a second passes at each wait; after ten minutes the display is asked to stop."""

        def wait(self, seconds: float) -> bool:
            clock.now += seconds
            return clock.now >= 1600

    display._stop = Steps()  # type: ignore[assignment]
    display._tell = lambda due: told.append(clock.now - 1000) if due else None  # type: ignore[method-assign]
    display._loop()
    assert told[:7] == [10, 30, 60, 100, 150, 210, 270] and len(told) == 12


def test_a_run_that_was_asked_to_stop_says_how_much_is_in_flight(clock: Clock, tmp_path: Path) -> None:
    asked = []
    manifest = Manifest(tmp_path)
    tracker = Tracker(GRAPH, manifest, tmp_path, {"rollouts": 1000}, stopping=lambda: bool(asked))
    tracker.counted({"stage": "rollouts", "handed_in": 40, "handed_back": 28})
    assert tracker.snapshot()["doing"] == ""
    asked.append(True)
    assert tracker.snapshot()["doing"] == "finishing 12 requests in flight"
    tracker.finish("interrupted")
    assert tracker.snapshot()["doing"] == ""


def test_rows_of_an_export_are_told_by_config() -> None:
    stage = {"counts": {"rows": 1500.0, "rows of preference": 1200.0, "rows of unpaired": 300.0, "rejected": 9.0},
             "doing": "", "expected_requests": 0, "pass_rate": None, "rollouts_per_s": None,
             "tokens_per_s": None}  # fmt: skip
    assert facts(stage) == "1,500 rows (preference 1,200, unpaired 300)  9 left out"


def _crashed(folder: Path) -> Path:
    """A run whose first attempt was killed at work, and its second before it said anything."""
    manifest = Manifest(folder)
    manifest.open_attempt(list(GRAPH.stages.values()), {"name": "crashed"})
    manifest.set_partitions("problems", ["q_a", "q_b"], None)
    for unit in ("q_a", "q_b"):
        manifest.commit(_commit(manifest.graph, "problems", unit))
    logs = folder / "logs" / "attempt-1"
    logs.mkdir(parents=True)
    tracker = Tracker(manifest.graph, manifest, logs, {"rollouts": 1000}, 3.0)
    tracker.counted({"stage": "rollouts", "sampled": 200, "tokens": 1_000_000, "correct": 3, "wrong": 1})
    tracker.save(force=True)
    manifest.open_attempt(list(GRAPH.stages.values()), {"name": "crashed"})
    dead = {"host": "elsewhere", "pid": 1, "boot": "b", "started": 0.0, "heartbeat": 0.0}
    (folder / "lock").write_text(json.dumps(dead))
    return folder


def test_status_tells_the_last_that_was_said_also_after_a_crash(tmp_path: Path) -> None:
    found = run_status(_crashed(tmp_path))
    assert (found["state"], found["died"], found["attempt"], found["progress_attempt"]) == ("incomplete", True, 2, 1)
    assert 0 <= found["progress_age_s"] < 60
    assert found["progress"]["total"]["tokens"] == 1_000_000
    assert found["progress"]["total"]["cost"] == 3.0
    shown = CliRunner().invoke(status, [str(tmp_path)])
    assert shown.exit_code == 0
    for text in ("incomplete, attempt 2", "its last process died", "200/1,000 rollouts", "pass rate 0.75",
                 "it last said: 1.0M tokens", "cost 3.00 of about 15.00", "progress of attempt 1, 0:0",
                 "run the same"):  # fmt: skip
        assert text in shown.output, f"{text}\n{shown.output}"


@pytest.mark.parametrize("text", ["", "{", '{"torn'])
def test_status_of_a_run_that_said_nothing_or_half_a_thing(tmp_path: Path, text: str) -> None:
    folder = _crashed(tmp_path)
    (folder / "logs" / "attempt-1" / "progress.json").write_text(text)
    found = run_status(folder)
    assert (found["progress"], found["progress_attempt"], found["progress_age_s"]) == (None, None, None)
    assert CliRunner().invoke(status, [str(folder)]).exit_code == 0


def test_a_terminal_shows_a_row_a_stage_and_one_for_all(clock: Clock, tmp_path: Path) -> None:
    tracker = _tracker(tmp_path)
    screen = Console(file=io.StringIO(), width=140, force_terminal=True, record=True)
    display = display_for(tracker, screen)
    assert isinstance(display, LiveDisplay)
    clock.now += 1
    tracker.counted({"stage": "rollouts", "sampled": 7, "tokens": 70, "doing": "[asked]"})
    tracker.doing = "[waiting]"
    screen.print(display._table())
    rows = [line.split() for line in screen.export_text().splitlines()]
    assert rows[1][0] == "▸" and rows[1][1] == "rollouts" and "7/1,000" in rows[1] and "[asked]" in rows[1]
    assert {"elapsed", "tokens", "[waiting]"} <= set(rows[2])
