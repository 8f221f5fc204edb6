"""`json`: does a completion hold the JSON that was asked for: by a schema, by the gold value, or both?

Invariants: the JSON is the last fenced block, or else all that follows the last `</think>`; size and depth are limited
before it is parsed; parsing and validation run in a killable worker, because a schema may hold a pattern that a hostile
text makes slow. Strict JSON only: NaN, infinities, numbers out of range and keys that stand twice are no JSON. Whether
text that is no JSON counts as wrong or as unknown is for the recipe to say (`malformed`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from synthflow.contracts import Judgement, Question, VerifierConfig
from synthflow.verifiers.answers.finding.extract import after_thinking
from synthflow.verifiers.answers.reading.text import clean
from synthflow.verifiers.json_child import check_schema, fault
from synthflow.verifiers.metadata import fields
from synthflow.verifiers.workers.pool import Outcome
from synthflow.verifiers.workers.pooled import ItemVerifier

_FENCE = re.compile(r"^[ \t]{0,3}```[ \t]*(\w*)[ \t]*\n(.*?)^[ \t]{0,3}```[ \t]*$", re.MULTILINE | re.DOTALL)


class JsonConfig(VerifierConfig):
    """Configuration of `verify.json`."""

    json_schema: dict[str, Any] | None = Field(None, description="JSON Schema (draft 2020-12, or what $schema says)")
    schema_key: str | None = Field(None, description="field of the problem's metadata that holds the schema")
    equal_to_gold: bool = Field(False, description="it must also be the gold answer's JSON value")
    malformed: Literal["unknown", "wrong"] = Field("unknown", description="what text that is no JSON counts as")
    max_chars: int = Field(100_000, ge=1, le=10_000_000, description="longest JSON text")
    max_depth: int = Field(64, ge=1, le=500, description="deepest nesting of objects and lists")
    timeout_s: float = Field(
        3.0, gt=0, le=600, description="CPU seconds one completion may take; ten times as much on the wall"
    )
    memory_mb: int = Field(512, ge=256, le=65536, description="address space of a worker process, in MiB")
    workers: int = Field(1, ge=1, le=256, description="worker processes")

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        wrong = None if value is None else check_schema(value)
        if wrong:
            raise ValueError(f"a JSON Schema: {wrong}")
        return value

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.json_schema is not None and self.schema_key is not None:
            raise ValueError("json_schema and schema_key both give a schema; keep one")
        if self.json_schema is None and self.schema_key is None and not self.equal_to_gold:
            raise ValueError("nothing is asked for: set json_schema, schema_key or equal_to_gold")
        return self


class JsonVerifier(ItemVerifier):
    """JSON against a schema and, if asked, the gold value.

    Unknown reasons: empty, parse_failure, too_large, no_gold, gold_unparsable, timeout, memory, verifier_error.
    """

    name = "json"
    version = "1"
    Config = JsonConfig
    needs_answer = False
    task = "synthflow.verifiers.json_child:judge"

    def __init__(self, config: Any = None) -> None:
        super().__init__(config if config is not None else JsonConfig(equal_to_gold=True))

    def full_version(self) -> str:
        return f"{self.version}+jsonschema {version('jsonschema')}"

    def item(self, question: Question) -> dict[str, Any] | Judgement:
        config = self.config
        item: dict[str, Any] = {"max_depth": config.max_depth}
        if config.equal_to_gold:
            if question.answer is None:
                return Judgement.unknown("no_gold")
            item["gold"] = question.answer
        schema = self._schema(question)
        if isinstance(schema, Judgement):
            return schema
        if not question.completion.strip():
            return Judgement.unknown("empty")
        text, rule = json_text(question.completion)
        if len(text) > config.max_chars:
            return Judgement.unknown("too_large", f"more than {config.max_chars} characters")
        return item | {"schema": schema, "text": text, "rule": rule}

    def gold_faults(self, questions: Sequence[Question]) -> list[str | None]:
        if not self.config.equal_to_gold:
            return [None] * len(questions)
        return [None if question.answer is None else fault(question.answer) for question in questions]

    def _schema(self, question: Question) -> dict[str, Any] | Judgement | None:
        if self.config.schema_key is None:
            schema: dict[str, Any] | None = self.config.json_schema
            return schema
        held = fields(question.metadata).get(self.config.schema_key)
        try:
            held = json.loads(held) if isinstance(held, str) else held
        except (ValueError, RecursionError):
            held = None
        wrong = check_schema(held) if isinstance(held, dict) else "it is missing or no object"
        return Judgement.unknown("gold_unparsable", f"schema: {wrong}"[:200]) if wrong else held

    def said(self, outcome: Outcome, item: dict[str, Any]) -> Judgement:
        took = outcome.elapsed_s
        shown = clean(item["text"][:400])[:200]
        if outcome.reason is not None:
            return Judgement.unknown(outcome.reason, clean(outcome.detail or "")[:200] or None, took)
        kind, why = outcome.value["kind"], outcome.value.get("why")
        if kind == "valid":
            return Judgement("correct", 1.0, None, shown, took).found(shown, item["rule"])
        if kind == "invalid" or (kind == "parse_failure" and self.config.malformed == "wrong"):
            return Judgement("wrong", 0.0, why, shown, took).found(shown, item["rule"])
        return Judgement.unknown(kind, why, took)


def json_text(completion: str) -> tuple[str, str]:
    """The last fenced block that is not of another language, or else all of the text, after the thought; and which."""
    text = after_thinking(completion).replace("\r\n", "\n")
    blocks = [body for language, body in _FENCE.findall(text) if language.lower() in ("", "json")]
    return (blocks[-1].strip(), "fence") if blocks else (text.strip(), "all")
