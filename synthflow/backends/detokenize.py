"""From token ids to text, a token at a time.

Invariant: a completion's text is the concatenation of what its tokens add, so that every token owns a range of
code points and the ranges tile the text, whatever the tokens are. A token whose bytes end inside a character
adds nothing; the token that completes the character adds it. What is still pending at the end is added by the
last token. Bytes that are no UTF-8 become U+FFFD. Both detokenizers are linear in the number of tokens.

The windowed one follows the incremental detokenization of vLLM and of text-generation-inference: decode a short
window with and without the new token, and take the difference. Its window starts with an anchor, so that the
space before a first word is kept: a continuation then joins its prefix without losing one.
"""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any

MAX_PENDING = 16
"""Tokens a character may take before it is given up as U+FFFD: UTF-8 needs four, byte fallback no more."""


class Stream(ABC):
    """Detokenizes one completion as it is sampled."""

    @abstractmethod
    def push(self, token: int) -> str:
        """What `token` adds to the text; empty while a character is incomplete."""

    @abstractmethod
    def finish(self) -> str:
        """What was pending when the completion ended."""


class Detokenizer(ABC):
    """Opens a stream per completion."""

    @abstractmethod
    def stream(self) -> Stream: ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of a whole completion."""
        stream = self.stream()
        return "".join([*map(stream.push, token_ids), stream.finish()])

    def ends(self, token_ids: Sequence[int]) -> list[int]:
        """For every token, where its text ends in `decode(token_ids)`, in code points."""
        stream, at, found = self.stream(), 0, []
        for token in token_ids:
            at += len(stream.push(token))
            found.append(at)
        if found:
            found[-1] += len(stream.finish())
        return found


def _byte_alphabet() -> dict[str, int]:
    """The characters GPT-2's byte-level BPE writes bytes with (Radford et al. 2019, `bytes_to_unicode`)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


class ByteDetokenizer(Detokenizer):
    """For byte-level BPE: every token is a fixed string of bytes.

    Args:
        vocabulary: token string -> id, added tokens included.
        skipped: ids that add no text (special and stop tokens).
    """

    def __init__(self, vocabulary: dict[str, int], skipped: Collection[int]) -> None:
        alphabet, skip = _byte_alphabet(), frozenset(skipped)
        self._bytes: dict[int, bytes] = {}
        for text, token in vocabulary.items():
            if token not in skip:
                try:
                    self._bytes[token] = bytes([alphabet[c] for c in text])
                except KeyError:  # an added token, which is written as it is
                    self._bytes[token] = text.encode("utf-8", "replace")

    def decode(self, token_ids: Sequence[int]) -> str:
        find = self._bytes.get
        return b"".join([find(t, b"") for t in token_ids]).decode("utf-8", "replace")

    def stream(self) -> Stream:
        return _ByteStream(self._bytes)


class _ByteStream(Stream):
    def __init__(self, token_bytes: dict[int, bytes]) -> None:
        self._bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        return self._decoder.decode(self._bytes.get(token, b""))

    def finish(self) -> str:
        return self._decoder.decode(b"", True)


class WindowDetokenizer(Detokenizer):
    """For every other tokenizer (SentencePiece and its byte fallback, WordPiece, word level).

    Args:
        tokenizer: a `tokenizers.Tokenizer`.
        skipped: ids that add no text (special and stop tokens).
    """

    def __init__(self, tokenizer: Any, skipped: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._skipped = frozenset(skipped)
        self._anchor = list(tokenizer.encode("a", add_special_tokens=False).ids)[-1:]

    def stream(self) -> Stream:
        return _WindowStream(self._tokenizer, self._skipped, self._anchor)


class _WindowStream(Stream):
    def __init__(self, tokenizer: Any, skipped: frozenset[int], anchor: list[int]) -> None:
        self._tokenizer, self._skipped = tokenizer, skipped
        self._read = anchor  # tokens whose text is out: the left context of the window
        self._pending: list[int] = []

    def _text(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def push(self, token: int) -> str:
        if token in self._skipped or self._tokenizer.id_to_token(token) is None:
            return ""
        self._pending.append(token)
        return self._release(forced=len(self._pending) >= MAX_PENDING)

    def finish(self) -> str:
        return self._release(forced=True) if self._pending else ""

    def _release(self, forced: bool) -> str:
        before = self._text(self._read)
        after = self._text(self._read + self._pending)
        if not forced and (after.endswith("�") or len(after) < len(before)):
            return ""
        self._read, self._pending = self._pending, []
        return after[len(before) :]
