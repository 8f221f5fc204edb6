"""What a server's answer says of given tokens: see `answer`, whose rules hold here too.

Invariant: an answer that tells no log probabilities of a prompt is a refusal, since that server never will; one that
tells them of another number of tokens, or something that is no number, spoils the whole answer. A number that JSON has
not (NaN, -Infinity) is kept: it is the model's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from synthflow.backends.admission import refusal, scored
from synthflow.backends.openai.answer import ABOVE_ZERO
from synthflow.backends.openai.fields import BadAnswer, field, kind, shown
from synthflow.backends.openai.protocol import Server, top_of
from synthflow.backends.top_logprobs import entropy_floor
from synthflow.contracts import SampleRequest, SampleResult

UNTOLD = "the server tells no log probabilities of a prompt; score with another policy, or on vLLM's server"


def parse_scores(
    request: SampleRequest, answer: Any, prompt: Sequence[int], server: Server, elapsed_s: float, vocabulary: int | None
) -> SampleResult:
    """The result that an answer (decoded JSON) holds.

    Args:
        vocabulary: tokens of the model, where known: entropies from that many are exact.

    Raises:
        BadAnswer: if it holds no choice, or anything in it cannot be true.
    """
    choices = field(answer, "choices", list, "the answer")
    if not choices:
        raise BadAnswer("no choices")
    score, top = request.score or (), top_of(request, server)
    told = _of_vllm(choices[0], score, prompt) if server == "vllm" else _of_echo(choices[0], score, prompt)
    if told is None:
        return refusal(request, UNTOLD, len(prompt) + len(score))
    logprobs, rivals = told
    has_entropies = top > 0 and all(rivals)
    entropies = [entropy_floor(each) for each in rivals] if has_entropies else None
    exact = vocabulary is not None and top >= vocabulary
    return scored(request, logprobs, entropies, elapsed_s, exact=exact, prompt_tokens=len(prompt) + len(score))


Told = tuple[list[float], list[list[float]]]
"""Log probabilities of the tokens, and at every place those of the likeliest."""


def _of_vllm(choice: Any, score: Sequence[int], prompt: Sequence[int]) -> Told | None:
    places = field(choice, "prompt_logprobs", list, "choice")
    if places is None:
        return None
    if len(places) != len(prompt) + len(score):
        raise BadAnswer(f"prompt_logprobs has {len(places)} entries for {len(prompt) + len(score)} tokens")
    logprobs, rivals = [], []
    for token, place in zip(score, places[len(prompt) :], strict=True):
        own = field(place, str(token), dict, "an entry of prompt_logprobs")
        if own is None:
            raise BadAnswer(f"prompt_logprobs does not tell of token {token}")
        logprobs.append(_number(own.get("logprob")))
        rivals.append([_number(e.get("logprob") if isinstance(e, dict) else None) for e in place.values()])
    return logprobs, rivals


def _of_echo(choice: Any, score: Sequence[int], prompt: Sequence[int]) -> Told | None:
    given = field(choice, "logprobs", dict, "choice")
    numbers = None if given is None else field(given, "token_logprobs", list, "logprobs")
    if numbers is None:
        return None
    own = slice(len(prompt), len(prompt) + len(score))
    if len(numbers[own]) != len(score):
        return None  # the completion's alone: it has not echoed
    tops = field(given, "top_logprobs", list, "logprobs")
    places = (tops or [])[own]
    rivals = [[_number(x) for x in place.values()] if isinstance(place, dict) else [] for place in places]
    return [_number(x) for x in numbers[own]], rivals if len(rivals) == len(score) else [[] for _ in score]


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise BadAnswer(f"a log probability is {shown(value) if value is not None else kind(value)}; expected a number")
    if value > ABOVE_ZERO:
        raise BadAnswer(f"a log probability is {shown(value)}; expected a number not above 0")
    return max(float(value), -math.inf)
