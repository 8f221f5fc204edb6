"""Chat templates: from messages to the text the policy was trained on.

Invariant: the same messages give the same text today and in a year. So the environment is the one transformers
gives its templates, but for the clock: `strftime_now` tells the date that the policy names. Where it names none,
templates that can do without fall back on the date they hold, and the others are told one that never changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from synthflow.errors import TemplateRefusal, UserError

A_DATE = date(2024, 7, 26)
"""The date of a template that asks for today's and holds none: the one that Llama 3.1's falls back on."""
_TESTS_FOR_A_CLOCK = ("strftime_now is defined", "strftime_now is not defined")

Messages = Sequence[Mapping[str, str] | tuple[str, str]]


def as_dicts(messages: Messages) -> list[dict[str, str]]:
    """Messages as dicts of role and content, whichever form they come in."""
    return [{"role": m[0], "content": m[1]} if isinstance(m, tuple) else dict(m) for m in messages]


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    # Jinja's own filter escapes for HTML, which no chat template means.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


class ChatTemplate:
    """A compiled template. Rendering runs sandboxed: a model's template is somebody else's program.

    Args:
        switches: variables that the template is given besides the messages, such as enable_thinking.
        today: the date that it is told, if it asks.
    """

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str],
        switches: Mapping[str, Any] | None = None,
        today: date | None = None,
    ) -> None:
        import jinja2
        import jinja2.ext
        from jinja2 import nodes
        from jinja2.parser import Parser
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        class Generation(jinja2.ext.Extension):
            """`{% generation %}` marks what to train on; for rendering it is nothing but its body."""

            tags = {"generation"}  # noqa: RUF012 - the attribute's type is Jinja's

            def parse(self, parser: Parser) -> list[nodes.Node]:
                next(parser.stream)
                return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))

        def refuse(message: str) -> None:
            raise jinja2.TemplateError(message)

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = refuse
        if today is not None or not any(test in source for test in _TESTS_FOR_A_CLOCK):
            environment.globals["strftime_now"] = (today or A_DATE).strftime
        self._special_tokens = {**special_tokens, **(switches or {})}
        self._failure = jinja2.TemplateError
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise UserError(f"the model's chat template does not compile: {error}") from error

    def render(self, messages: Messages) -> str:
        """Text of `messages` with the generation prompt.

        Raises:
            TemplateRefusal: if the template refuses the messages (an unknown role, say).
        """
        try:
            return self._template.render(
                messages=as_dicts(messages),
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except (self._failure, TypeError, ValueError, KeyError) as error:
            raise TemplateRefusal(f"the model's chat template refuses the messages: {error}") from error
