"""The policy's tokenizer and chat template, without the policy.

Invariant: every backend sees the same prompt tokens, because they are rendered here, by the policy's own
template; and every backend's text is what `decode` makes of its tokens, so that text, tokens and token ends
always agree. Loads in milliseconds: it needs `tokenizers` and Jinja, never torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthflow.backends.chat import ChatTemplate, Messages
from synthflow.backends.detokenize import ByteDetokenizer, Detokenizer, Stream, WindowDetokenizer
from synthflow.backends.template_options import TemplateOptions
from synthflow.errors import UserError
from synthflow.models import directories

UNKNOWN_CONTEXT = 1 << 30
"""`max_context` of a directory that tells none (a tokenizer alone): the server that runs the model knows."""

TOKENIZING = {"tokenizers": "synthflow[transformers]", "jinja2": "synthflow[transformers]"}
"""Packages that a policy's tokenizer takes, each with what to install for it."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx", "seq_length")


def encodable(text: str) -> str:
    """The text with lone surrogates, which have no UTF-8, as U+FFFD."""
    return _SURROGATE.sub("�", text)


class PolicyRenderer:
    """Messages to tokens, and tokens to text.

    Attributes:
        stop_token_ids: tokens that end a completion: those of generation_config.json and config.json, and the
            tokenizer's end of sequence.
        max_context: most tokens of prompt and completion together.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: ChatTemplate | None,
        stop_token_ids: frozenset[int],
        max_context: int,
        source: str,
    ) -> None:
        self.stop_token_ids = stop_token_ids
        self.max_context = max_context
        self._tokenizer, self._template, self._source = tokenizer, template, source
        self._plain: Any = None
        self._detokenizer = _detokenizer(tokenizer, stop_token_ids)

    @classmethod
    def load(cls, directory: Path | str, options: TemplateOptions | None = None) -> PolicyRenderer:
        """Read tokenizer, template, stop tokens and context length of a model directory.

        Args:
            options: how the policy wants the template to be rendered; None as it is.

        Raises:
            UserError: if tokenizer.json is missing or damaged, or `tokenizers` is not installed.
        """
        directory = Path(directory)
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise UserError(
                "a policy's tokenizer needs the package 'tokenizers'; install synthflow[transformers]"
            ) from error
        file = directory / "tokenizer.json"
        if not file.is_file():
            raise UserError(
                f"{directory}: no tokenizer.json; load the model's tokenizer with transformers and save it there"
            )
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise UserError(f"{file}: damaged ({error}); bring the model again") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        config = directories.read_json(directory / "tokenizer_config.json")
        special = _special_tokens(config, directories.read_json(directory / "special_tokens_map.json"))
        source = directories.chat_template(directory)
        eos = tokenizer.token_to_id(special["eos_token"]) if "eos_token" in special else None
        stop = directories.stop_token_ids(directory) | (frozenset() if eos is None else {eos})
        options = options or TemplateOptions.model_validate({})
        return cls(
            tokenizer,
            ChatTemplate(source, special, options.switches(), options.template_date) if source else None,
            stop,
            _max_context(directories.read_json(directory / "config.json"), config),
            str(directory),
        )

    def render(self, messages: Messages) -> list[int]:
        """Tokens of the messages and the generation prompt, by the policy's own chat template.

        A lone surrogate in a message, which no tokenizer takes, becomes U+FFFD.

        Raises:
            UserError: if the model has no chat template; TemplateRefusal if it refuses the messages.
        """
        if self._template is None:
            raise UserError(f"{self._source}: the model has no chat template; add chat_template.jinja beside it")
        text = encodable(self._template.render(messages))
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    @property
    def vocabulary(self) -> dict[str, int]:
        """Id of every token, by how the tokenizer spells it."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The texts that `render` reads as control tokens wherever they stand, longest first."""
        found = {token.content for token in self._tokenizer.get_added_tokens_decoder().values() if token.special}
        return tuple(sorted(found, key=lambda text: (-len(text), text)))

    def encode(self, text: str) -> list[int]:
        """Tokens of plain text. A special token spelled out in it is text like any other."""
        if self._plain is None:
            plain = type(self._tokenizer).from_str(self._tokenizer.to_str())
            plain.encode_special_tokens = True
            self._plain = plain
        return list(self._plain.encode(encodable(text), add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of a completion: special and stop tokens skipped, bytes that are no UTF-8 as U+FFFD."""
        return self._detokenizer.decode(token_ids)

    def token_ends(self, token_ids: Sequence[int]) -> list[int]:
        """For every token, where it ends in `decode(token_ids)`, in Python code points.

        Non-decreasing; the last is the text's length. A character belongs to the token that completes it.
        """
        return self._detokenizer.ends(token_ids)

    def stream(self) -> Stream:
        """Detokenizes a completion as it grows."""
        return self._detokenizer.stream()


def _special_tokens(config: dict[str, Any], special_map: dict[str, Any]) -> dict[str, str]:
    found = {}
    for name in _SPECIAL:
        value = config.get(name, special_map.get(name))
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            found[name] = value
    return found


def _max_context(config: dict[str, Any], tokenizer_config: dict[str, Any]) -> int:
    for source in (config, config.get("text_config") or {}):
        for name in _CONTEXT:
            if isinstance(source.get(name), int):
                return int(source[name])
    length = tokenizer_config.get("model_max_length")
    # Transformers writes 1e30 where a tokenizer knows no limit.
    return int(length) if isinstance(length, int | float) and length < UNKNOWN_CONTEXT else UNKNOWN_CONTEXT


def _is_byte_level(tokenizer: Any) -> bool:
    decoder = tokenizer.decoder
    return decoder is not None and type(decoder).__name__ == "ByteLevel"


def _detokenizer(tokenizer: Any, stop_token_ids: frozenset[int]) -> Detokenizer:
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    skipped = special | stop_token_ids
    if _is_byte_level(tokenizer):
        return ByteDetokenizer(tokenizer.get_vocab(with_added_tokens=True), skipped)
    return WindowDetokenizer(tokenizer, skipped)
