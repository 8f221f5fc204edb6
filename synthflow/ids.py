"""Content ids: the same work has the same id on every machine.

An id is a one-letter kind, an underscore and 96 bits of BLAKE2b over canonical JSON. It never contains a path, a
backend, a time or a position in a file, so order, partition size and worker count cannot change it.
`problem_id = H(messages)`; `policy_id = H(weights, tokenizer, chat template)`; `sampling_id = H(sampling
parameters, prompt template, condition)`, never n; `prefix_id = H(problem, prefix tokens)`;
`rollout_id = H(problem, policy, round, sampling, prefix, index, run seed)`, never the text;
`score_id = H(policy, entropies wanted, prompt tokens, scored tokens)`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NO_PREFIX = "x_none"
"""prefix_id of a first rollout: it continues nothing but the prompt."""


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, no NaN or infinity.

    Raises:
        ValueError: for a value that has no canonical form (NaN, infinity, an unknown type).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | set | frozenset):
        return sorted(value) if isinstance(value, set | frozenset) else list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise ValueError(f"no canonical form for {type(value).__name__}")


def digest(text: str | bytes) -> str:
    """96 bits of BLAKE2b in hex. Lone surrogates, which hostile text may hold, are hashed as they are."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return _hash(raw).hexdigest()


def _hash(raw: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(raw, digest_size=12)


def content_id(kind: str, *parts: Any) -> str:
    """Id of `kind` (one letter) over `parts`, which must have a canonical form."""
    return f"{kind}_{digest(canonical(parts))}"


def problem_id(messages: Sequence[Mapping[str, str]]) -> str:
    """H(messages): role and content of every chat message, nothing else."""
    return content_id("p", [[m["role"], m["content"]] for m in messages])


def policy_id(weights: str, tokenizer: str, chat_template: str) -> str:
    """H(weights, tokenizer, chat template), each given as a content hash or a declared name."""
    return content_id("m", weights, tokenizer, chat_template)


def sampling_id(params: Mapping[str, Any], template: str, condition: str) -> str:
    """H(sampling parameters, prompt template, condition). n is not a parameter: raising it adds rollouts."""
    if "n" in params:
        raise ValueError("n is not part of a sampling's identity")
    return content_id("g", dict(params), template, condition)


def prefix_id(problem: str, prefix_token_ids: Sequence[int]) -> str:
    """H(problem, prefix tokens); `NO_PREFIX` for an empty prefix."""
    if not prefix_token_ids:
        return NO_PREFIX
    raw = problem + ":" + ",".join(map(str, prefix_token_ids))
    return f"x_{digest(raw)}"


def rollout_id(problem: str, policy: str, round_: int, sampling: str, prefix: str, index: int, run_seed: int) -> str:
    """H(problem, policy, round, sampling, prefix, index, run seed)."""
    return rollout_ids(problem, policy, round_, sampling, prefix, (index,), run_seed)[0]


def rollout_ids(
    problem: str, policy: str, round_: int, sampling: str, prefix: str, indices: Iterable[int], run_seed: int
) -> list[str]:
    """The rollout_id of each index; what they share is hashed once."""
    shared = _hash(f"{problem}|{policy}|{round_}|{sampling}|{prefix}|".encode("utf-8", "surrogatepass"))
    found = []
    for index in indices:
        one = shared.copy()
        one.update(b"%d|%d" % (index, run_seed))
        found.append(f"r_{one.hexdigest()}")
    return found


def rollout_seed(rollout: str) -> int:
    """The seed of a rollout, in [0, 2**62): from its id, so that it is the same wherever it is sampled."""
    return int.from_bytes(_hash(b"seed:" + rollout.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 2


def score_id(policy: str, prompt: Sequence[int], tokens: Sequence[int], entropy_top: int = 0) -> str:
    """Id of reading `tokens` after `prompt` under a policy: the same reading is paid for once, whoever asks for it."""
    raw = "|".join((policy, str(entropy_top), ",".join(map(str, prompt)), ",".join(map(str, tokens))))
    return f"l_{digest(raw)}"


def step_id(rollout: str, segmenter: str, index: int) -> str:
    return f"s_{digest(f'{rollout}|{segmenter}|{index}')}"


def pair_id(level: str, prefix: str, chosen: str, rejected: str, rule: str) -> str:
    """H(level, prefix, chosen, rejected, rule); chosen and rejected are rollout or step ids."""
    # What `canonical` says of five strings, in half the time.
    parts = map(json.encoder.encode_basestring, (level, prefix, chosen, rejected, rule))
    return f"d_{digest('[' + ','.join(parts) + ']')}"


def artifact_id(kind: str, text: str, problem: str, source: str) -> str:
    """H(kind, text, problem, source); source is the id it was sampled under, or the rollout it was made from."""
    return content_id("a", kind, text, problem, source)


def text_hash(text: str) -> str:
    return f"t_{digest(text)}"


def finite(value: float) -> float | None:
    """A float that JSON and SQL can hold: NaN and infinities become None."""
    return value if math.isfinite(value) else None
