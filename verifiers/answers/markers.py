"""Where a completion announces its answer in words, in several languages, and how numbers are written there.

Invariant: the last announcement comes first, and an announcement is a noun for "answer" with a verb or a colon. Work is
linear in the length of the text. A decimal comma is read only where the language of the announcement writes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NOUNS = {
    "en": ("answer", "Answer", "ANSWER"),
    "es": ("respuesta", "Respuesta"),
    "fr": ("réponse", "Réponse"),
    "de": ("Antwort", "antwort", "Lösung ist", "Lösung lautet", "Ergebnis ist"),
    "it": ("risposta", "Risposta"),
    "pt": ("resposta", "Resposta"),
    "ru": ("ответ", "Ответ"),
    "pl": ("odpowiedź", "Odpowiedź"),
    "tr": ("cevap", "Cevap"),
    "vi": ("đáp án", "Đáp án", "đáp số", "Đáp số"),
    "zh": ("答案",),
    "ja": ("答え", "解答", "正解"),
    "ko": ("정답", "답은", "답:"),
    "ar": ("الجواب", "الإجابة"),
    "hi": ("उत्तर",),
}
_ALL = [(noun, language) for language, nouns in _NOUNS.items() for noun in nouns]
_ASCII = [(noun, language) for noun, language in _ALL if noun.isascii()]
_DECIMAL_COMMA = frozenset({"es", "fr", "de", "it", "pt", "ru", "pl", "tr", "vi"})
_VERBS = r"is|are|es|est|ist|lautet|è|é|son|sont|sind|sono|são|равен|to|jest|là|هو|هي|है"
_ENDINGS = re.compile(
    rf"""(?:s|es|en|ы|ен)?(?:\*\*|\s(?:final|correcta?|finale|corretta|finaal|final\sanswer|number))?
    (?:\s(?:to|for|of)\s[^.:\n$]{{1,60}}?)?
    (?:\s{{0,3}}(?:{_VERBS})(?!\w)\s{{0,3}}:?|(?:\s|\*){{0,3}}[:：=]|\s?[是为為はは은는](?:\s?[:：])?|\s{{1,2}}(?=[०-९٠-٩]))""",
    re.VERBOSE,
)
_DENIED_AFTER = re.compile(r"\s{0,3}(?:(?:is|was|ca|could|would)n['’]t|(?:is|was|can|could)\s?not)\b", re.IGNORECASE)
_HASHES = re.compile(r"(?:^|\n)\s{0,3}####")
_MAX_MARKERS = 20

DENIED = re.compile(
    r"(?:\b(?:not|never|doubt|if|whether|unless|suppose|assum\w+|wrong|incorrect|guess\w*|maybe|perhaps|might|could)\b"
    r"|n['’]t\b|(?:^|\n)\s*is\s)[^.!?\n]*$",
    re.IGNORECASE,
)
"""A word before a marker, in its sentence, that takes the announcement back."""

_CHOICE = re.compile(
    r"\b(?:[Cc]orrect|[Rr]ight|[Bb]est)\s+(?:option|choice)\s*(?:is|:)\s*\**\(?([A-J])(?![\w'])"
    r"|\bI\s+(?:choose|select|pick)\s+(?:option\s+|choice\s+)?\**\(?([A-J])(?![\w'])"
)
_COMMENT = re.compile(
    r"(?:,\s*|\s+)(?:because|since|as\s+(?:we|it|the)|not\s+\S|which|where|porque|parce\sque|weil)\b.*"
    r"|(?<=\w)\s*\([a-z -]{3,}\)$",
    re.DOTALL,
)
_PARTICLES = re.compile(r"(?<=[\d\w)$}])\s*(?:です|である|だ|입니다|이다|है|个|個|つ|개|元|円|원)$")
_LOCAL = re.compile(r"[-+\u2212]?(?:\d{1,3}(?:[ .\u00a0\u202f\u2009]\d{3})+|\d+),\d+")


@dataclass(frozen=True, slots=True)
class Marker:
    """An announcement: from the noun's start to where the answer begins; `denied` if it says what is not the answer."""

    start: int
    end: int
    language: str
    denied: bool = False


def markers(text: str) -> Iterator[Marker]:
    """Announcements, the last first; at most 20 nouns are looked at."""
    found = []
    for noun, language in _ASCII if text.isascii() else _ALL:
        at = text.rfind(noun)
        for _ in range(_MAX_MARKERS):
            if at < 0:
                break
            found.append((at, at + len(noun), language))
            at = text.rfind(noun, 0, at)
    if "####" in text:
        found += [(m.start(), m.end(), "#") for m in list(_HASHES.finditer(text))[-_MAX_MARKERS:]]
    for start, end, language in sorted(found, reverse=True)[:_MAX_MARKERS]:
        if language == "#":
            yield Marker(start, end, "en")
        elif text[end - 1] in "은:" or text[start:end].endswith(("ist", "lautet")):
            yield Marker(start, end, language)
        elif _DENIED_AFTER.match(text, end):
            yield Marker(start, end, language, denied=True)
        elif match := _ENDINGS.match(text, end):
            yield Marker(start, match.end(), language)


def said_choice(text: str) -> str | None:
    """The letter of the last "the correct option is (B)"; None without one."""
    last = None
    for last in _CHOICE.finditer(text):  # noqa: B007
        pass
    return None if last is None else last.group(1) or last.group(2)


def without_comment(answer: str) -> str:
    """An announced answer without reasons and asides behind it: `B because …`, `7, not 8`, `7 (seven)`, `15です`."""
    return _PARTICLES.sub("", _COMMENT.sub("", answer[:2000]).strip()) if len(answer) <= 2000 else answer


def decimal_point(answer: str, language: str) -> str:
    """A lone number of a language with a decimal comma, with a point: `1.234,56` and `1 234,56` are 1234.56."""
    if language not in _DECIMAL_COMMA or not _LOCAL.fullmatch(answer):
        return answer
    whole, _, decimals = answer.partition(",")
    return re.sub(r"[ .\u00a0\u202f\u2009]", "", whole) + "." + decimals
