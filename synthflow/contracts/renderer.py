"""A policy's tokenizer and chat template, as stages use them.

Invariants: every backend sees the tokens that `render` makes; text, tokens and token ends of a completion always agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Renderer(Protocol):
    """Messages to tokens, and tokens to text. `backends.renderer` has the one that reads a model directory."""

    stop_token_ids: frozenset[int]
    max_context: int

    def render(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """Tokens of the messages, (role, content) each, and of the generation prompt.

        Raises:
            UserError: if the model has no chat template, or the template refuses the messages.
        """
        ...

    @property
    def vocabulary(self) -> dict[str, int]:
        """Id of every token, by how the tokenizer spells it."""
        ...

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The texts that `render` reads as control tokens wherever they stand, longest first."""
        ...

    def encode(self, text: str) -> list[int]:
        """Tokens of plain text. A special token spelled out in it is text like any other."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of a completion: special and stop tokens skipped, bytes that are no UTF-8 as U+FFFD."""
        ...

    def token_ends(self, token_ids: Sequence[int]) -> list[int]:
        """For every token, where it ends in `decode(token_ids)`, in Python code points: non-decreasing."""
        ...
