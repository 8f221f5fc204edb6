"""What a server's answer means.

Invariant: bytes become a completion, a refusal, or `BadAnswer`, and nothing else, whatever they hold. A field that is
absent or null is null in the result, never guessed; one that is there and cannot be true (of the wrong type, out of
range, at odds with another) spoils the whole answer, because then nothing in it can be relied on. With a
tokenizer at hand the text is what the answer's tokens decode to, the thought that a server cut out of it included. Of
more tokens than were asked for the first are what an obedient server would have sent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from synthflow.backends.admission import cut_at_stop, refusal
from synthflow.backends.openai.fields import BadAnswer, field, shown
from synthflow.backends.openai.message import THINKING, Markers, Message, read_message
from synthflow.backends.openai.protocol import Endpoint
from synthflow.backends.renderer import PolicyRenderer, encodable
from synthflow.contracts import SampleRequest, SampleResult

_INT32 = 2**31 - 1
"""The journal and the tables hold token ids and counts as int32."""
_FLOAT32 = 3.4e38
ABOVE_ZERO = 1e-3
"""Rounding that may lift a log probability above zero."""
_BYTES, _BYTES_PER_TOKEN = 1 << 20, 2048
OVER = "the server ignores the token limit"


def most_bytes(tokens: int) -> int:
    """Bytes that an honest answer about `tokens` tokens (prompt and completion) stays below.

    A token brings its text, its id, and its log probability with the token's bytes one by one: some 300 bytes.
    """
    return _BYTES + _BYTES_PER_TOKEN * tokens


def decode(body: bytes) -> Any:
    """JSON, as servers write it: NaN and halves of surrogate pairs, which JSON has not, are read.

    Raises:
        BadAnswer: if it is none, is no UTF-8, or is nested without end.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        what = "JSON nested without end" if isinstance(error, RecursionError) else f"no JSON: {error}"
        raise BadAnswer(what) from None


def parse(
    request: SampleRequest,
    answer: Any,
    endpoint: Endpoint,
    renderer: PolicyRenderer | None,
    elapsed_s: float,
    *,
    limit: int | None = None,
    vocabulary: int | None = None,
    markers: Markers = THINKING,
) -> SampleResult:
    """The result that an answer (decoded JSON) holds.

    Args:
        renderer: of the model that is served, if its tokenizer is here.
        limit: tokens that were asked for at most.
        vocabulary: token ids are below this.
        markers: what opens and closes a thought.

    Raises:
        BadAnswer: if it holds no choice with a text, or anything in it cannot be true.
    """
    choices = field(answer, "choices", list, "the answer")
    if not choices:
        raise BadAnswer("no choices")
    choice = choices[0]
    finish = field(choice, "finish_reason", str, "choice")
    usage = field(answer, "usage", dict, "the answer") or {}
    prompt_tokens, counted = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if prompt_tokens is None and request.prompt_token_ids is not None:
        prompt_tokens = len(request.prompt_token_ids)
    if finish == "content_filter":
        return _filtered(request, choice, endpoint, prompt_tokens, counted)
    if finish not in ("stop", "length"):
        raise BadAnswer(f"finish_reason {shown(finish)}; expected stop, length or content_filter")
    said = _said(choice, finish, endpoint, markers)
    if said.refusal:
        return _refused(request, "the model refuses, in the words of its text", said.text, prompt_tokens, counted)
    tokens = _tokens(choice, _INT32 if vocabulary is None else vocabulary)
    logprobs = _logprobs(choice)
    if tokens is not None:
        _agree(tokens, logprobs, counted)
    told = len(tokens) if tokens is not None else counted
    if told == 0 and (said.text or finish == "length"):
        raise BadAnswer(f"no tokens, finish_reason {finish}, and a text of {len(said.text)} characters")
    drawn = _Drawn(said.text, finish == "stop", tokens, logprobs, said.answer_start, said.notes)
    if told is not None and limit is not None and told > limit:
        drawn = drawn.cut(limit, renderer is not None, told)
    if drawn.tokens is not None and renderer is not None:
        drawn = drawn.decoded(renderer, request.params.stop)
    n = len(drawn.tokens) if drawn.tokens is not None else counted
    return SampleResult(
        rollout_id=request.rollout_id,
        text=drawn.text,
        finish_reason="stop" if drawn.stopped else "length",
        token_ids=drawn.tokens,
        logprobs=drawn.logprobs,
        n_tokens=len(logprobs) if n is None and logprobs is not None else n,
        prompt_tokens=prompt_tokens,
        elapsed_s=elapsed_s,
        notes=drawn.notes,
        answer_start=drawn.answer_start,
    )


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What a server says was drawn."""

    text: str
    stopped: bool
    tokens: tuple[int, ...] | None
    logprobs: tuple[float, ...] | None
    answer_start: int | None
    notes: tuple[str, ...]

    def cut(self, limit: int, is_decoded: bool, told: int) -> _Drawn:
        """The first `limit` of `told` tokens; all, where the text is the server's own."""
        notes = (*self.notes, OVER)
        if self.tokens is None or not is_decoded:
            return replace(self, notes=notes)
        logprobs = None if self.logprobs is None else self.logprobs[:limit]
        return replace(self, stopped=False, tokens=self.tokens[:limit], logprobs=logprobs, notes=notes)

    def decoded(self, renderer: PolicyRenderer, stops: Sequence[str]) -> _Drawn:
        """The text of the tokens themselves, up to where a stop text begins: no server's reading of it."""
        assert self.tokens is not None
        text, kept, at_text = cut_at_stop(renderer, self.tokens, stops)
        return _Drawn(
            text,
            self.stopped or at_text,
            self.tokens[:kept],
            None if self.logprobs is None else self.logprobs[:kept],
            None,
            tuple(note for note in self.notes if note == OVER),
        )


def _filtered(
    request: SampleRequest, choice: Any, endpoint: Endpoint, prompt_tokens: int | None, counted: int | None
) -> SampleResult:
    try:
        text = _said(choice, "length", endpoint, THINKING).text
    except BadAnswer:  # often nothing is left of it
        text = ""
    return _refused(request, "the server's content filter ended the completion", text, prompt_tokens, counted)


def _refused(
    request: SampleRequest, reason: str, text: str, prompt_tokens: int | None, counted: int | None
) -> SampleResult:
    told = replace(refusal(request, reason), text=text, prompt_tokens=prompt_tokens)
    return replace(told, n_tokens=counted if text else 0)


def _is_integer(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most  # a bool is an int, and no count


def _count(usage: dict[str, Any], name: str) -> int | None:
    found = usage.get(name)
    if found is not None and not _is_integer(found, _INT32):
        raise BadAnswer(f"usage.{name} is {shown(found)}; expected a count")
    return found


def _said(choice: Any, finish: str, endpoint: Endpoint, markers: Markers) -> Message:
    if endpoint == "completions":
        text = field(choice, "text", str, "choice")
        said = None if text is None else Message(encodable(text))
    else:
        said = read_message(field(choice, "message", dict, "choice"), finish, markers)
    if said is None:
        raise BadAnswer("no text")
    return said


def _tokens(choice: dict[str, Any], vocabulary: int) -> tuple[int, ...] | None:
    given = field(choice, "token_ids", list, "choice")
    if given is None:
        return None
    most = min(vocabulary - 1, _INT32)
    for token in given:
        if not _is_integer(token, most):
            raise BadAnswer(f"token_ids hold {shown(token)}; expected integers from 0 to {most}")
    return tuple(given)


def _logprobs(choice: dict[str, Any]) -> tuple[float, ...] | None:
    """Log probabilities, nats; None where they are absent or any of them is null, NaN or beyond float32."""
    given = field(choice, "logprobs", dict, "choice")
    if given is None:
        return None
    numbers = field(given, "token_logprobs", list, "logprobs")
    if numbers is None:
        content = field(given, "content", list, "logprobs")
        if content is None:
            return None
        numbers = [c.get("logprob") if isinstance(c, dict) else c for c in content]
    whole = True
    for x in numbers:
        if x is None or (isinstance(x, float) and not math.isfinite(x)):
            whole = False
        elif type(x) not in (int, float) or x > ABOVE_ZERO:
            raise BadAnswer(f"a log probability is {shown(x)}; expected a number not above 0")
        elif x < -_FLOAT32:
            whole = False
    return tuple(float(x) for x in numbers) if whole else None


def _agree(tokens: tuple[int, ...], logprobs: tuple[float, ...] | None, counted: int | None) -> None:
    n = len(tokens)
    if logprobs is not None and len(logprobs) != n:
        raise BadAnswer(f"{n} token_ids and {len(logprobs)} log probabilities; expected one a token")
    if counted is not None and counted != n:
        raise BadAnswer(f"{n} token_ids and completion_tokens {counted}; expected the same number")
