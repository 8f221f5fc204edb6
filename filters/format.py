r"""`format`: does a completion look the way a trainer wants it?

Everything is counted column-wise on the text as it stands: boxes are openings of `\boxed{`, tags are literal
`<think>` and `</think>`. Whether the answer is right is no question here.
"""

from __future__ import annotations

from typing import Literal

import polars as pl
from pydantic import Field

from synthflow.contracts import Filter, FilterConfig
from synthflow.filters.annotate import annotate, when

_BOX = r"\\f?boxed\s{0,3}\{"
_ANSWER_LINE = r"(?s).*(?:\\f?boxed\s{0,3}\{|(?i:\banswer(?:\*\*)?\s{0,3}(?:is\b|:))|####)[^\n]*(?:\n(.*))?$"
# Control, private-use and unassigned characters; joiners of emoji are "format" characters, and fine.
_UNPRINTABLE = r"[\p{Cc}\p{Co}\p{Cn}&&[^\n\r\t]]"
_TAGS = {
    "optional": r"^(?:<think></think>)?$",
    "required": r"^<think></think>$",
    "balanced": r"^(?:<think></think>)*$",
}
_ASKED = {
    "optional": "at most one closed think block",
    "required": "exactly one closed think block",
    "balanced": "think tags in pairs",
}
# Scripts of a language; letters of formulas and names of LaTeX commands are no language.
_SCRIPTS = {
    "latin": r"\p{Latin}", "cyrillic": r"\p{Cyrillic}", "greek": r"\p{Greek}", "arabic": r"\p{Arabic}",
    "hebrew": r"\p{Hebrew}", "devanagari": r"\p{Devanagari}", "thai": r"\p{Thai}", "korean": r"\p{Hangul}\p{Han}",
    "chinese": r"\p{Han}", "japanese": r"\p{Han}\p{Hiragana}\p{Katakana}",
}  # fmt: skip
# No part can run over another opening, so the work is linear whatever stays open.
_FORMULA = r"\$\$[^$]*\$\$|\$[^$\n]*\$|\\\((?:[^\\]|\\[^()])*\\\)|\\\[(?:[^\\]|\\[^\[\]])*\\\]|\\[a-zA-Z]+|</?think>"


class FormatConfig(FilterConfig):
    """Configuration of `filter.format`. What is false or null is not checked."""

    exactly_one_box: bool = Field(False, description=r"one \boxed{ in the completion, outside the think block")
    think: Literal["optional", "required", "balanced"] | None = Field(
        None, description="optional: at most one closed block; required: exactly one; balanced: any number of pairs"
    )
    think_opened_by_prompt: bool = Field(False, description="the chat template ends with <think>: count that one too")
    answer_line_last: bool = Field(False, description="nothing but white space after the line of the final answer")
    max_line_chars: int | None = Field(None, ge=1, description="longest line, in characters")
    min_printable_share: float | None = Field(0.95, ge=0, le=1, description="share of printable characters")
    script: (
        Literal["latin", "cyrillic", "greek", "arabic", "hebrew", "devanagari", "thai", "korean", "chinese", "japanese"]
        | None
    ) = Field(None, description="script that the letters outside of formulas must be in")
    min_script_share: float = Field(0.9, ge=0, le=1, description="share of them that must be; texts without any pass")
    max_replacement_chars: int | None = Field(0, ge=0, description="how many U+FFFD (bytes that were no text) at most")


class FormatFilter(Filter):
    """Drops what is malformed. Reads: completion."""

    name = "format"
    version = "1"
    Config = FormatConfig

    def judge(self, rollouts: pl.DataFrame) -> pl.DataFrame:
        return annotate(rollouts, [*self._markup(), *self._characters()])

    def _markup(self) -> list[pl.Expr]:
        config, text = self.config, pl.col("completion")
        rules = []
        if config.exactly_one_box:
            final = text.str.replace(r"(?s)^.*</think>", "")
            boxes = final.str.count_matches(_BOX)
            rules.append(when(boxes != 1, pl.format("{} boxes, not 1", boxes)))
        if config.think is not None:
            tags = text.str.extract_all(r"</?think>").list.join("")
            if config.think_opened_by_prompt:
                tags = pl.lit("<think>") + tags
            rules.append(when(~tags.str.contains(_TAGS[config.think]), f"not {_ASKED[config.think]}"))
        if config.answer_line_last:
            trailing = text.str.extract(_ANSWER_LINE, 1).str.strip_chars()
            found = text.str.contains(_BOX + r"|(?i:\banswer(?:\*\*)?\s{0,3}(?:is\b|:))|####")
            rules.append(when(~found, "no answer line"))
            rules.append(
                when(
                    found & (trailing.fill_null("") != ""),
                    pl.format("{} characters after the answer line", trailing.str.len_chars()),
                )
            )
        return rules

    def _characters(self) -> list[pl.Expr]:
        config, text = self.config, pl.col("completion")
        rules = []
        if config.max_line_chars is not None:
            longest = text.str.split("\n").list.eval(pl.element().str.len_chars()).list.max()
            rules.append(
                when(
                    longest > config.max_line_chars,
                    pl.format(f"a line of {{}} characters, more than {config.max_line_chars}", longest),
                )
            )
        if config.min_printable_share is not None:
            length = text.str.len_chars()
            share = 1 - text.str.count_matches(_UNPRINTABLE) / pl.max_horizontal(length, pl.lit(1))
            low = f"printable share {{}}, below {config.min_printable_share:g}"
            rules.append(when(share < config.min_printable_share, pl.format(low, share.round(3))))
        if config.script is not None:
            prose = text.str.replace_all(_FORMULA, " ")
            letters = prose.str.count_matches(r"\p{L}")
            of_script = prose.str.count_matches(rf"[\p{{L}}&&[{_SCRIPTS[config.script]}]]") / letters
            low = f"{{}} of the letters are {config.script}, below {config.min_script_share:g}"
            strange = (letters > 0) & (of_script < config.min_script_share)
            rules.append(when(strange, pl.format(low, of_script.round(3))))
        if config.max_replacement_chars is not None:
            broken = text.str.count_matches("\ufffd", literal=True)
            limit = config.max_replacement_chars
            rules.append(when(broken > limit, pl.format(f"{{}} replacement characters, more than {limit}", broken)))
        return rules
