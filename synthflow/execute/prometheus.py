"""Metrics of a running run for Prometheus: one page of text, served by the driver.

Invariant: the page is a rendering of `Tracker.snapshot()` and of nothing else, so that Prometheus, `progress.json` and
the screen never disagree. Counters count this attempt. Text exposition format 0.0.4, of Prometheus' own documentation.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Literal, Protocol

from synthflow.errors import UserError
from synthflow.spec.models import ExecutionSpec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/metrics"


class Snapshots(Protocol):
    """What is rendered: a `Tracker`, or something with the same snapshots."""

    def snapshot(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. `field` is a dotted path in a stage's snapshot, or in the run's where `per_stage` is false."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    field: str
    per_stage: bool = True


METRICS = (
    Metric("synthflow_rollouts_total", "counter", "Rollouts sampled in this attempt.", "counts.sampled"),
    Metric(
        "synthflow_rollouts_from_journal_total", "counter", "Rollouts found in the journal.", "counts.from_journal"
    ),
    Metric("synthflow_tokens_total", "counter", "Tokens sampled in this attempt.", "counts.tokens"),
    Metric("synthflow_prompt_tokens_total", "counter", "Prompt tokens of sampled rollouts.", "counts.prompt_tokens"),
    Metric("synthflow_rows_total", "counter", "Rows written in this attempt.", "counts.rows"),
    Metric("synthflow_units_done", "gauge", "Units of work that are committed.", "units_done"),
    Metric("synthflow_units_total", "gauge", "Units of work of the stage.", "units_total"),
    Metric("synthflow_pass_rate", "gauge", "Correct over correct and wrong, so far.", "pass_rate"),
    Metric("synthflow_tokens_per_second", "gauge", "Tokens a second over the last minute.", "recent_tokens_per_s"),
    Metric("synthflow_stage_eta_seconds", "gauge", "Seconds to go for the stage.", "eta_s"),
    Metric("synthflow_retries_total", "counter", "Requests retried after a failure.", "total.retries", False),
    Metric("synthflow_cost_total", "counter", "Cost so far of this attempt, in the currency of the price.",
           "total.cost", False),
    Metric("synthflow_cost_projected", "gauge", "Cost of this attempt when it is done.", "total.cost_projected", False),
    Metric("synthflow_eta_seconds", "gauge", "Seconds to go for the run.", "total.eta_s", False),
    Metric("synthflow_elapsed_seconds", "gauge", "Seconds since the attempt began.", "elapsed_s", False),
)  # fmt: skip

_ZERO_WHERE_MISSING = "counts."


def _value(record: Mapping[str, Any], field: str) -> float | None:
    """A number of a snapshot. A counter that has not counted yet is 0; what nobody knows is no sample."""
    found: Any = record
    for part in field.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if found is None:
        return 0.0 if field.startswith(_ZERO_WHERE_MISSING) else None
    return float(found)


def _label(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_label(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _samples(metric: Metric, snapshot: Mapping[str, Any]) -> Iterator[str]:
    rows: Iterable[tuple[Mapping[str, str], Mapping[str, Any]]] = [({}, snapshot)]
    if metric.per_stage:
        rows = [({"stage": str(stage["stage"])}, stage) for stage in snapshot["stages"]]
    for labels, record in rows:
        value = _value(record, metric.field)
        if value is not None:
            yield f"{metric.name}{_labels(labels)} {_number(value)}"


def exposition(snapshot: Mapping[str, Any], name: str = "") -> str:
    """The page for one snapshot. `name` is that of the pipeline."""
    lines = [
        "# HELP synthflow_run_info What is running.",
        "# TYPE synthflow_run_info gauge",
        f"synthflow_run_info{_labels({'name': name, 'state': str(snapshot['state']).partition(':')[0]})} 1",
    ]
    for metric in METRICS:
        samples = list(_samples(metric, snapshot))
        if samples:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *samples]
    return "\n".join(lines) + "\n"


def _handler(tracker: Snapshots, name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "synthflow"
        timeout = 10.0

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != PATH:
                self._answer(404, "text/plain; charset=utf-8", f"metrics are at {PATH}\n".encode())
                return
            self._answer(200, CONTENT_TYPE, exposition(tracker.snapshot(), name).encode())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Scrapes are not worth a line each."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        # HTTPServer's own asks a name server for this machine's name, which may take long and is not needed.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


@contextmanager
def serve(tracker: Snapshots, name: str, host: str, port: int) -> Iterator[int]:
    """Serve the metrics while the block lasts; yields the port (one that is free, for port 0).

    Raises:
        UserError: if the address cannot be had.
    """
    try:
        server = _Server((host, port), _handler(tracker, name))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"execution.prometheus_port: {host}:{port} cannot be listened on ({error}); give another port, or none"
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True, name="synthflow-prometheus")
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=2)


@contextmanager
def serving(execution: ExecutionSpec, name: str, tracker: Snapshots) -> Iterator[int | None]:
    """`serve` as the spec asks for it; nothing if it does not.

    Raises:
        UserError: if the address cannot be had.
    """
    if execution.prometheus_port is None:
        yield None
        return
    with serve(tracker, name, execution.prometheus_host, execution.prometheus_port) as port:
        yield port
