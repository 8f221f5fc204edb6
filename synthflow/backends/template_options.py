"""Options of every policy that has a chat template: its switches, and the date that it prints.

Invariant: what changes the prompt that a policy is given is part of the policy's identity; nothing else here is.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class TemplateOptions(BaseModel):
    """Fields about the chat template; a base of the options of backends."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="switches of the model's chat template, by name"
    )
    enable_thinking: bool | None = Field(
        None, description="the switch enable_thinking, which Qwen3's and other templates have"
    )
    template_date: date | None = Field(
        None, description="the date that a template prints which asks for today's; default: a fixed one, see the docs"
    )

    def switches(self) -> dict[str, Any]:
        """What the template is given besides the messages."""
        thinking = {} if self.enable_thinking is None else {"enable_thinking": self.enable_thinking}
        return {**self.chat_template_kwargs, **thinking}

    def identity(self) -> dict[str, Any]:
        """What makes another policy of the same model; empty for the template as it is."""
        day = {} if self.template_date is None else {"template_date": self.template_date.isoformat()}
        return {**self.switches(), **day}
