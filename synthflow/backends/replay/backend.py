"""Answers from recorded rollouts: the dummy server as a first-class backend, for tests and re-runs.

Invariant: a rollout that was recorded is answered with what was recorded, byte for byte, on any machine and in
any order. A rollout that was not is refused by name (`missing: error`), so that the run goes on and says what the
recording lacks; or, for tests that need more than was recorded, a stand-in is chosen by the request's seed from
what was recorded for the same problem (`missing: resample`), which is deterministic and no sample of the policy. Given
tokens are scored with what the recorded run's journal says of them, or, if they are a recorded rollout, with its own
log probabilities; there is no stand-in for a score.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from synthflow.backends.admission import done, refusal, scored
from synthflow.backends.renderer import PolicyRenderer
from synthflow.backends.replay.recorded_rollouts import Recorded, Recording
from synthflow.backends.template_options import TemplateOptions
from synthflow.contracts import (
    UNANSWERED,
    Backend,
    FinishReason,
    PolicyConfig,
    PolicyIdentity,
    SampleRequest,
    SampleResult,
)
from synthflow.errors import InfrastructureError, UserError
from synthflow.models import directories
from synthflow.stores.journal import lookup

PROBLEMS = 64
"""Problems whose rollouts are kept decoded."""


class ReplayOptions(TemplateOptions):
    """Options of the replay backend."""

    missing: Literal["error", "resample"] = Field(
        "error", description="what becomes of a rollout that was not recorded: refused, or a stand-in"
    )
    delay_s: float = Field(0.0, ge=0, le=3600, description="seconds every request takes")
    concurrency: int = Field(8, ge=1, le=1024, description="requests answered at once, where they take time")
    cache_mb: int = Field(16, ge=1, description="memory for recorded rollouts, in MiB")
    tokenizer: str | None = Field(
        None, description="demo, a model directory or a hub name: renders prompts, and the text of stand-ins"
    )


class ReplayBackend(Backend):
    """Answers from a run directory, a folder of Parquet files or one file; registered as `replay`."""

    name = "replay"
    Options = ReplayOptions

    def __init__(self, policy: PolicyConfig) -> None:
        super().__init__(policy)
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._problems: OrderedDict[str, dict[str, Recorded]] = OrderedDict()

    @staticmethod
    def tokenizer_directory(policy: PolicyConfig) -> Path | None:
        """Where the tokenizer of this policy is; None if the options name none."""
        options = ReplayOptions.model_validate(policy.options)
        return None if options.tokenizer is None else directories.resolve_model(options.tokenizer)

    @cached_property
    def _recording(self) -> Recording:
        return Recording(self.policy.model, self.options.cache_mb * 2**20)

    @cached_property
    def _renderer(self) -> PolicyRenderer | None:
        directory = self.tokenizer_directory(self.policy)
        return None if directory is None else PolicyRenderer.load(directory, self.options)

    def identity(self) -> PolicyIdentity:
        """The recorded policy, whatever tokenizer the options name."""
        return self._recording.identity()

    def start(self) -> None:
        """Index the recording.

        Raises:
            UserError: if there is none, or a file is not of the rollouts table.
        """
        self._recording.open()
        self._pool = ThreadPoolExecutor(self.options.concurrency, thread_name_prefix="synthflow-replay")

    def submit(self, request: SampleRequest) -> Future[SampleResult]:
        if self._pool is None:
            raise InfrastructureError("the replay backend is not started")
        if self.options.delay_s:
            return self._pool.submit(self._answer, request)
        try:
            return done(self._answer(request))
        except Exception as error:
            failed: Future[SampleResult] = Future()
            failed.set_exception(error)
            return failed

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
            self._recording.close()

    def _of_problem(self, problem_id: str) -> dict[str, Recorded]:
        with self._lock:
            known = self._problems.get(problem_id)
            if known is None:
                known = self._problems[problem_id] = self._recording.of_problem(problem_id)
                if len(self._problems) > PROBLEMS:
                    self._problems.popitem(last=False)
            return known

    def _answer(self, request: SampleRequest) -> SampleResult:
        if self.options.delay_s:
            time.sleep(self.options.delay_s)
        try:
            recorded = self._of_problem(request.problem_id)
        except (OSError, UserError) as error:  # a file that vanished: the work is owed
            raise InfrastructureError(f"the recording cannot be read: {error}") from error
        if request.score is not None:
            return self._scored(request, list(recorded.values()))
        if request.rollout_id in recorded:
            return _as_recorded(recorded[request.rollout_id])
        if self.options.missing == "resample":
            return stand_in(request, list(recorded.values()), self._renderer)
        return refusal(
            request,
            f"not in the recording: rollout {request.rollout_id} of problem {request.problem_id}; replay the run that "
            "sampled it, or set missing: resample for a stand-in",
        )

    def _scored(self, request: SampleRequest, recorded: list[Recorded]) -> SampleResult:
        wanted = [request.rollout_id]
        journaled = lookup(Path(self.policy.model).expanduser() / "journal", [request.problem_id], wanted)
        if request.rollout_id in journaled:
            return journaled[request.rollout_id]
        prompt, score = request.prompt_token_ids or (), request.score or ()
        for row in recorded:
            # Told of the rollout's own tokens when they were sampled, and by the policy that is asked now.
            if row.logprobs is not None and row.prompt == prompt and row.tokens == score:
                return scored(request, row.logprobs, None, 0.0, prompt_tokens=len(prompt) + len(score))
        return refusal(request, f"not in the recording: a scoring of {len(score)} tokens of {request.problem_id}")

    @classmethod
    def cannot_score(cls, policy: PolicyConfig) -> str | None:
        return None


def _as_recorded(row: Recorded) -> SampleResult:
    if row.finish_reason in UNANSWERED:
        return SampleResult(
            rollout_id=row.rollout_id,
            text=row.text,
            finish_reason=cast(FinishReason, row.finish_reason),
            n_tokens=row.n_tokens,
            prompt_tokens=len(row.prompt or ()),
            reason=f"{row.finish_reason} in the recording",
        )
    return SampleResult(
        rollout_id=row.rollout_id,
        text=row.text,
        finish_reason="stop" if row.finish_reason == "stop" else "length",
        token_ids=row.tokens,
        logprobs=row.logprobs,
        sampling_logprobs=row.sampling_logprobs,
        n_tokens=row.n_tokens,
        prompt_tokens=len(row.prompt or ()),
        answer_start=row.answer_start,
    )


def stand_in(request: SampleRequest, recorded: list[Recorded], renderer: PolicyRenderer | None) -> SampleResult:
    """A deterministic answer to a rollout that was never recorded.

    A first rollout is any recorded one of its problem, chosen by seed. A continuation is what follows its prompt
    in a recorded rollout that begins with it; if none does, what follows the same number of tokens in any.
    """
    rows = [r for r in recorded if r.finish_reason not in UNANSWERED]
    if not rows:
        return refusal(request, f"not in the recording: problem {request.problem_id} has no rollout to stand in")
    firsts = [r for r in rows if r.first] or rows
    prompt = request.prompt_token_ids
    if prompt is None or any(r.prompt == prompt for r in firsts):
        same = [r for r in firsts if prompt is None or r.prompt == prompt]
        return _cut(request, same[request.seed % len(same)], 0, renderer)
    following = [(r, n) for r in rows if (n := _shared(r, prompt)) is not None]
    if following:
        row, skipped = following[request.seed % len(following)]
        return _cut(request, row, skipped, renderer)
    tokened = [r for r in firsts if r.prompt is not None and r.tokens]
    if not tokened:
        return refusal(request, "the recording has no token ids, which a stand-in for a continuation needs")
    skips = {r.rollout_id: max(len(prompt) - len(r.prompt or ()), 0) for r in tokened}
    longer = [r for r in tokened if len(r.tokens or ()) > skips[r.rollout_id]]
    if longer:
        row = longer[request.seed % len(longer)]
        return _cut(request, row, skips[row.rollout_id], renderer)
    row = tokened[request.seed % len(tokened)]
    return _cut(request, row, len(row.tokens or ()) - 1, renderer)


def _shared(row: Recorded, prompt: tuple[int, ...]) -> int | None:
    """Tokens of `row` that `prompt` holds already, if the row begins with it and goes on after it."""
    if row.prompt is None or row.tokens is None:
        return None
    skipped = len(prompt) - len(row.prompt)
    fits = 0 <= skipped < len(row.tokens) and prompt == row.prompt + row.tokens[:skipped]
    return skipped if fits else None


def _cut(request: SampleRequest, row: Recorded, skipped: int, renderer: PolicyRenderer | None) -> SampleResult:
    most = request.params.max_tokens
    truncated = (row.n_tokens or 0) - skipped > most
    if skipped == 0 and not truncated:
        return _renamed(_as_recorded(row), request)
    if row.tokens is None or renderer is None:
        return refusal(
            request, "a stand-in that is part of a recorded rollout needs the tokenizer: set tokenizer in the options"
        )
    part = slice(skipped, skipped + most)
    tokens = row.tokens[part]
    return SampleResult(
        rollout_id=request.rollout_id,
        text=renderer.decode(tokens),
        finish_reason="length" if truncated or row.finish_reason == "length" else "stop",
        token_ids=tokens,
        logprobs=None if row.logprobs is None else row.logprobs[part],
        sampling_logprobs=None if row.sampling_logprobs is None else row.sampling_logprobs[part],
        n_tokens=len(tokens),
        prompt_tokens=len(request.prompt_token_ids or ()),
    )


def _renamed(result: SampleResult, request: SampleRequest) -> SampleResult:
    values: dict[str, Any] = {name: getattr(result, name) for name in SampleResult.__slots__}
    return SampleResult(**{**values, "rollout_id": request.rollout_id})
