"""The page that Prometheus reads, with Prometheus' own parser as the oracle where it is installed."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest

from synthflow.errors import UserError
from synthflow.execute.prometheus import CONTENT_TYPE, METRICS, exposition, serve, serving
from synthflow.spec.models import ExecutionSpec

NASTY = 'a "b"\\c\nd é'


def _stage(name: str, **counts: float) -> dict[str, Any]:
    return {
        "stage": name, "counts": counts, "units_done": 3, "units_total": 4, "pass_rate": None, "eta_s": None,
        "recent_tokens_per_s": None,
    }  # fmt: skip


SNAPSHOT: dict[str, Any] = {
    "state": "stopped: no space",
    "elapsed_s": 12.5,
    "stages": [
        {**_stage(NASTY, sampled=7, tokens=123456789), "pass_rate": 0.25, "eta_s": 90.0},
        _stage("verdicts", rows=7),
    ],
    "total": {"retries": 2.0, "cost": None, "cost_projected": None, "eta_s": 90.0},
}


class FakeTracker:
    def snapshot(self) -> dict[str, Any]:
        return SNAPSHOT


def test_every_metric_has_help_and_type_before_its_samples() -> None:
    seen: dict[str, set[str]] = {}
    for line in exposition(SNAPSHOT, "p").splitlines():
        if line.startswith("# "):
            _, word, name, _ = line.split(" ", 3)
            seen.setdefault(name, set()).add(word)
        else:
            assert seen[line.partition("{")[0].partition(" ")[0]] == {"HELP", "TYPE"}, line
    assert len({m.name for m in METRICS}) == len(METRICS)


def test_the_lines_are_as_the_format_says() -> None:
    page = exposition(SNAPSHOT, "p").splitlines()
    escaped = 'a \\"b\\"\\\\c\\nd é'
    assert f'synthflow_tokens_total{{stage="{escaped}"}} 123456789' in page
    assert f'synthflow_pass_rate{{stage="{escaped}"}} 0.25' in page
    assert 'synthflow_rollouts_total{stage="verdicts"} 0' in page  # a counter begins at 0
    assert not any(line.startswith('synthflow_pass_rate{stage="verdicts"}') for line in page)  # nobody knows yet
    assert "synthflow_retries_total 2" in page
    assert 'synthflow_run_info{name="p",state="stopped"} 1' in page
    assert not any("cost" in line for line in page)


def test_prometheus_reads_it() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    found = {}
    for family in parser.text_string_to_metric_families(exposition(SNAPSHOT, NASTY)):
        for sample in family.samples:
            found[sample.name, sample.labels.get("stage")] = (sample.value, family.type)
    assert found["synthflow_tokens_total", NASTY] == (123456789.0, "counter")
    assert found["synthflow_rollouts_total", NASTY] == (7.0, "counter")
    assert found["synthflow_units_done", "verdicts"] == (3.0, "gauge")
    assert found["synthflow_units_total", "verdicts"] == (4.0, "gauge")
    assert found["synthflow_pass_rate", NASTY] == (0.25, "gauge")
    assert found["synthflow_retries_total", None] == (2.0, "counter")
    assert found["synthflow_eta_seconds", None] == (90.0, "gauge")


def test_it_is_served_and_only_there_and_only_so_long() -> None:
    with serve(FakeTracker(), "p", "127.0.0.1", 0) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics?x=1", timeout=5) as answer:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
            assert answer.read().decode() == exposition(SNAPSHOT, "p")
        with pytest.raises(urllib.error.HTTPError) as missing:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
        assert missing.value.code == 404
        spec = ExecutionSpec.model_validate({"prometheus_port": port})
        with (
            pytest.raises(UserError, match=f"127.0.0.1:{port} cannot be listened on"),
            serving(spec, "p", FakeTracker()),
        ):
            raise AssertionError("two servers on one port")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_nothing_is_served_unless_asked_for() -> None:
    with serving(ExecutionSpec.model_validate({}), "p", FakeTracker()) as port:
        assert port is None
