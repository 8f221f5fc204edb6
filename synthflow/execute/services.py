"""What a worker lends a running stage: tokenizers, engines, verifiers, counters."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synthflow.contracts import UNANSWERED, Earlier, Judgement, PolicyIdentity, Question, Renderer, SampleRequest
from synthflow.errors import InfrastructureError
from synthflow.execute.reporting import Reporter
from synthflow.execute.request_block import RequestBlock
from synthflow.execute.sampling import run_engine_task
from synthflow.execute.tasks import ENGINE, EngineTask, RunContext
from synthflow.execute.unanswered import Heard
from synthflow.ids import canonical, content_id
from synthflow.stores.graph import ALL
from synthflow.stores.journal import find, finish_of
from synthflow.stores.results import Results
from synthflow.stores.segments import attempt_of, listing

if TYPE_CHECKING:
    from synthflow.verifiers.workers.sharing import SharedVerifier


_HAND_OVERS = 5
"""Times that requests are handed to the engines' workers, which Dask gives up after six deaths: so the search for a
request that kills its worker (`suspects`) comes to an end before."""


class _Shared:
    """Tokenizers and verifiers of this process, opened once and used by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.renderers: dict[str, Renderer | None] = {}
        self.verifiers: dict[str, SharedVerifier] = {}


_shared = _Shared()


class WorkerServices:
    """`Services` for a unit of work on a Dask worker (or, without one, in this process)."""

    def __init__(self, context: RunContext, stage: str, stage_id: str, unit: str = ALL) -> None:
        self.stage_id = stage_id
        self.run_seed = context.run_seed
        self.round = context.round
        self.attempt = context.attempt
        self.memory_mb = context.memory_mb
        self.counts_rows = False
        self.earlier: Earlier | None = None
        self.heard = Heard()
        self._context, self._stage, self._unit, self._asked = context, stage, unit, 0
        self._reporter = Reporter(stage)

    def renderer(self, policy: str) -> Renderer | None:
        from synthflow.backends import load_renderer

        config = self._context.policies[policy]
        key = canonical(config)
        with _shared.lock:
            if key not in _shared.renderers:
                _shared.renderers[key] = load_renderer(config)
            return _shared.renderers[key]

    def identity(self, policy: str) -> PolicyIdentity:
        return self._context.identities[policy]

    def sample(self, requests: Sequence[SampleRequest], policy: str) -> Results:
        self._asked += len(requests)
        self._reporter.asks(self._unit, self._asked)
        context, problem_ids = self._context, {r.problem_id for r in requests}
        ids = [r.rollout_id for r in requests]
        names = listing(context.root / "journal", context.token)
        names.look()
        read = names.segments(problem_ids)
        known = find(read, ids, context.standing(policy))
        owed = [r for r in requests if r.rollout_id not in known]
        if known:
            self._reporter.count(from_journal=len(known))
        if owed and context.journal_only:
            what = f"{len(owed)} of {len(ids)} samples are not in the journal, and nothing is to be sampled now"
            raise InfrastructureError(f"stage {self._stage!r}: {what}")
        if owed:
            # Segments of this attempt may still be written to, by a stage that samples the same at the same time.
            old = frozenset(path.name for path in read if attempt_of(path.name) < self.attempt)
            answered = (r for r in requests if r.rollout_id in known)
            has_answer = next((r for r in answered if finish_of(known[r.rollout_id]) not in UNANSWERED), None)
            task = EngineTask(context, policy, self._stage, RequestBlock(owed), old, has_answer)
            known.update(zip((r.rollout_id for r in owed), self._on_engine(task), strict=True))
        self._reporter.flush()
        results = Results([known[rollout] for rollout in ids])
        self.heard.add(requests, results)
        return results

    def _on_engine(self, task: EngineTask) -> list[bytes]:
        from distributed import KilledWorker, get_worker, worker_client

        try:
            get_worker()
        except ValueError:
            return run_engine_task(task)
        of = ([r.rollout_id for r in task.requests], task.context.attempt, task.context.token)
        key = f"engine-{content_id('t', *of)}"
        # The stage steps aside while it waits: its worker's thread serves other units meanwhile.
        with worker_client() as client:
            for hand_over in range(_HAND_OVERS):
                future = client.submit(
                    run_engine_task, task, key=f"{key}-{hand_over}", resources={ENGINE: 1}, pure=False
                )
                try:
                    lines: list[bytes] = future.result()
                    return lines
                except KilledWorker as error:
                    last = error
            raise InfrastructureError(f"engine workers died under these requests again and again ({last})")

    def judge(
        self, verifier: str, config: Mapping[str, Any], questions: Sequence[Question]
    ) -> tuple[list[Judgement], str, str]:
        from synthflow.execute.judged import judged
        from synthflow.verifiers.workers.sharing import acquire

        key = canonical([verifier, dict(config)])
        with _shared.lock:
            if key not in _shared.verifiers:
                _shared.verifiers[key] = acquire(verifier, config)
            lent = _shared.verifiers[key]
        with lent.turn:
            judgements = judged(lent.verifier, questions)
        return judgements, lent.full_version, lent.config_hash

    def count(self, **counts: float) -> None:
        if not self.counts_rows:
            counts.pop("rows", None)  # counted by `wrote`, for every stage alike
        self._reporter.count(**counts)

    def wrote(self, rows: int) -> None:
        """Count a finished unit's rows."""
        self._reporter.count(rows=rows)

    def flush(self) -> None:
        self._reporter.flush()


def close_shared() -> None:
    """Close this process's verifiers. Idempotent."""
    from synthflow.verifiers.workers.sharing import release

    with _shared.lock:
        for lent in _shared.verifiers.values():
            release(lent)
        _shared.verifiers.clear()
