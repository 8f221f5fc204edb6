"""Token ids spell the text beside them, wherever the tokenizer that they are of is on this machine.

Invariants: decoded without stop and special tokens, a rollout's token_ids are its completion, white space and what is
no UTF-8 apart; after a stop text the last token may hold some characters more. A tokenizer counts as the policy's only
if its files hash to what the run recorded, so a model that has changed since says nothing of old rollouts. The decoding
is the tokenizer's own, not that of the engine which wrote the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthflow.check.database import Rows
from synthflow.check.recompute import batches
from synthflow.check.report import Finding
from synthflow.errors import UserError
from synthflow.models import directories

_IGNORED = re.compile(r"[\s\ufffd]+")
_SHOWN = 60
_FIX = (
    "its server told tokens of another text than it sent; name the model's tokenizer with weights: PATH, so that the "
    "text is read from the tokens, and sample again"
)


class _Tokenizer:
    """The tokenizer of a model directory, as its own library reads it."""

    def __init__(self, directory: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        eos = directories.read_json(directory / "tokenizer_config.json").get("eos_token")
        name = eos.get("content") if isinstance(eos, dict) else eos
        end = self._tokenizer.token_to_id(name) if isinstance(name, str) else None
        self._stops = directories.stop_token_ids(directory) | ({end} if end is not None else set())

    def texts(self, rollouts: Sequence[Sequence[int]]) -> list[str]:
        return [_squeezed(text) for text in self._tokenizer.decode_batch(list(rollouts), skip_special_tokens=True)]

    def without_stops(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token not in self._stops]


def check_tokens(rows: Rows) -> None:
    """Compare tokens with texts, of every policy whose tokenizer is here."""
    if not rows.placed("rollouts") or not rows.placed("policies"):
        return
    tokenizers = _tokenizers(rows)
    if not tokenizers:
        return
    for path, batch in batches(rows, "rollouts", ("rollout_id", "policy_id", "completion", "token_ids")):
        known = [r for r in batch.to_pylist() if r["token_ids"] is not None and r["policy_id"] in tokenizers]
        rows.found.checked["tokens_text"] += len(known)
        for policy in sorted({row["policy_id"] for row in known}):
            for row, decoded in _wrong([row for row in known if row["policy_id"] == policy], tokenizers[policy]):
                what = f"its token_ids spell {decoded[:_SHOWN]!r}, its completion {row['completion'][:_SHOWN]!r}"
                where = f"{path} rollout_id={row['rollout_id']}"
                rows.found.add(Finding("error", "tokens_text", where, what, _FIX))


def _wrong(found: Sequence[Mapping[str, Any]], tokenizer: _Tokenizer) -> list[tuple[Mapping[str, Any], str]]:
    own = [tokenizer.without_stops(row["token_ids"]) for row in found]
    whole, before_last = tokenizer.texts(own), tokenizer.texts([tokens[:-1] for tokens in own])
    said = [_squeezed(row["completion"]) for row in found]
    return [
        (row, decoded)
        for row, text, decoded, least in zip(found, said, whole, before_last, strict=True)
        if not (decoded.startswith(text) and text.startswith(least))
    ]


def _squeezed(text: str) -> str:
    return _IGNORED.sub("", text)


def _tokenizers(rows: Rows) -> dict[str, _Tokenizer]:
    """By policy_id; those that are not on this machine, or not as they were, are left out."""
    found = {}
    sql = f"SELECT policy_id, model, tokenizer_hash, details FROM {rows.view('policies')}"
    for policy, model, tokenizer_hash, details in rows.connection.execute(sql).fetchall():
        options = json.loads(details).get("options", {})
        named = options.get("weights") or options.get("tokenizer") or model
        try:
            directory = directories.resolve_model(str(named))
            if directories.tokenizer_hash(directory) == tokenizer_hash:
                found[policy] = _Tokenizer(directory)
        except (UserError, ImportError, OSError):
            continue
    return found
