"""Where a completion announces its answer in words, in several languages, and how numbers are written there.

Invariant: the last announcement comes first, and an announcement is a noun for "answer" with a verb or a colon. Work is
linear in the length of the text. A decimal comma is read only where the language of the announcement writes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from synthflow.verifiers.answers.finding.denials import noun_denied

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
_ENGLISH = "is|are"


def _endings(verbs: str) -> re.Pattern[str]:
    return re.compile(
        rf"""(?:s|es|en|ы|ен)?["'”]?(?:\*\*|\s(?:final|correcta?|finale|corretta|finaal|final\sanswer|number))?
    (?:\s?\([^()\n]{{1,60}}\))?
    (?:\s(?:to|for)\s[^"“”.:\n]{{0,40}}["“][^"“”\n]{{1,300}}["”])?
    (?:\s(?:to|for|of|in|here|that)(?:\s[^.:\n$]{{1,60}}?)?)?
    (?:,?\s(?:then|therefore|thus|now|here|hence|indeed|we\sget|i\sget),?)?
    (?:\s{{0,3}}(?<!\w)(?:{verbs})(?!\w)\s{{0,3}}:?
      |\s(?:(?:would|should|must|will|has\sto|turns\sout\sto|comes\sout\sto|works\sout\sto|is\sgoing\sto)\sbe|was|were|becomes|equals|comes\sto|remains)\b
      |(?:\s|\*){{0,3}}(?:[:：=→]|->|=>|⇒)|\s?[是为為はは은는](?:\s?[:：])?|\s{{1,2}}(?=[०-९٠-٩]))""",
        re.VERBOSE,
    )


_ENDINGS = {"en": _endings(_ENGLISH)}
_OTHER_ENDINGS = _endings(_VERBS)
_NAKED = re.compile(r"(?:\*\*|__)?[ \t]*(?=\n|$)")
_APPOSED = re.compile(r",\s*(?=[$\\(]{0,2}[-+−]?[\d$€£\\][^\n]{0,60}?,\s)")
_DENIED_AFTER = re.compile(
    r"\s{0,3}(?:(?:is|was|ca|could|would)n['’]t|(?:is|was|can|could)\s?(?:not|never)|(?:is|was)\s(?:definitely|certainly|clearly)\snot)\b",
    re.IGNORECASE,
)
_SUPPOSED_AFTER = re.compile(
    r"\s{0,3}(?:could|might|may|can)\s(?:\w+\s)?be\b|\s(?:would|were)\b(?!\sbe\b)", re.IGNORECASE
)
_HASHES = re.compile(r"(?:^|\n)[ \t]{0,3}####(?!#)[ \t]*(?=\S)")
_LABELS = re.compile(r"(?:^|\n)[ \t>]{0,3}(?:\*\*|__)?A(?:ns)?(?:\*\*|__)?[.:：][ \t*_]*(?=\S)(?![^\n]*\n\s*\(?B[.:)])")
_MAX_MARKERS = 20

_ARTICLES = (
    r"(?:\s+that)?(?:\s+(?:the|my|our|this|your|an?|its))?"
    r"(?:\s+(?:\w+\s)?(?:final|correct|right|exact|true|real|only|wrong|possible))?\W*$"
)
_DENIED_BEFORE = re.compile(
    rf"(?:(?:\b(?:not|never|doubt)|n['’]t)\s+(?:\w+\s+){{0,2}}?(?:think|believe|know|sure|say|claim|see|expect|mean|agree)?(?:\s+(?:what|how))?{_ARTICLES}"
    r"|\b(?:not|never|wrong|incorrect|false)\s+(?:the\s+|an?\s+|our\s+)?(?:final\s+|correct\s+|right\s+)?\W*$)",
    re.IGNORECASE,
)
_SUPPOSED_BEFORE = re.compile(
    rf"(?:\b(?:if|whether|unless|suppos\w+|assum\w+|imagine|say|think|thought|guess\w*|maybe|perhaps|possibly|probably|hope|wonder\w*|hypothetically|until"
    rf"|once|before|when|verify|check|expect\w*|calculate|compute|find|determine|evaluate|simplify|get\s+to|arrive\s+at|check\s+that){_ARTICLES}|(?:^|[.!?]\s+|\n\s*)(?:is|was|could|can|should|would|what)(?:['’]s)?\s+(?:the|this|that|it)?\s*\W*"
    r"(?:final\s+|correct\s+)?$)",
    re.IGNORECASE,
)
_STATED_BEFORE = re.compile(r"\b(?:I|we)\s+(?:think|believe|expect|say|hope)" + _ARTICLES, re.IGNORECASE)

_CHOICE = re.compile(
    r"\b(?:[Cc]orrect|[Rr]ight|[Bb]est)\s+(?:option|choice)\s*(?:is|:)\s*\**\(?([A-J])(?![\w'])"
    r"|\bI\s+(?:choose|select|pick)\s+(?:option\s+|choice\s+)?\**\(?([A-J])(?![\w'])"
)
_COMMENT = re.compile(
    r"(?:,\s*|\s+)(?:because|since|as\s+(?:we|it|the)|not\s+\S|which|where|porque|parce\sque|weil)\b.*"
    r"|,\s*(?:(?:et|y|und|e|и|а|i|a)\s+)?(?:no|nicht|non|pas|não|не|nie|không\sphải)\s+(?=[-\d$\\]).*"
    r"|(?<=\w)\s*\([a-z -]{3,}\)$",
    re.DOTALL,
)
_PARTICLES = re.compile(r"(?<=[\d\w)$}])\s*(?:です|である|だ|입니다|이다|है|个|個|つ|개|元|円|원)$")
_LOCAL = re.compile(r"[-+\u2212]?(?:\d{1,3}(?:[ .\u00a0\u202f\u2009]\d{3})+|\d+),\d+")


class Marker(NamedTuple):
    """An announcement: where its noun begins and ends, and where the answer begins.

    `denied` if it says what is not the answer, `supposed` if it only asks, doubts or supposes what it is.
    """

    start: int
    noun_end: int
    end: int
    language: str
    denied: bool = False
    supposed: bool = False


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
        found += [
            (m.start(), m.end(), "#") for m in list(_HASHES.finditer(text))[-_MAX_MARKERS:] if _bare(text, m.end())
        ]
    if "A" in text:
        found += [(m.start(), m.end(), "#") for m in list(_LABELS.finditer(text))[-_MAX_MARKERS:]]
    for start, end, language in sorted(found, reverse=True)[:_MAX_MARKERS]:
        if language == "#":
            yield Marker(start, end, end, "en")
        elif language != "en" and noun_denied(text, end):
            yield Marker(start, end, end, language, denied=True)
        elif text[end - 1] in "은:" or text[start:end].endswith(("ist", "lautet")):
            yield Marker(start, end, end, language)
        elif _DENIED_AFTER.match(text, end):
            yield Marker(start, end, end, language, denied=True)
        elif language == "en" and _SUPPOSED_AFTER.match(text, end):
            yield Marker(start, end, end, language, supposed=True)
        elif match := _ENDINGS.get(language, _OTHER_ENDINGS).match(text, end) or (
            _APPOSED.match(text, end) if language == "en" else None
        ):
            yield _judged(text, start, end, match.end(), language)
        elif language == "en" and _heads(text, start) and (match := _NAKED.match(text, end)):
            yield Marker(start, end, match.end(), language)


def _judged(text: str, start: int, noun_end: int, end: int, language: str) -> Marker:
    """An announcement with what the words before its noun make of it."""
    before = text[max(0, start - 80) : start]
    if language == "en":
        if _DENIED_BEFORE.search(before):
            return Marker(start, noun_end, end, language, denied=True)
        if _SUPPOSED_BEFORE.search(before) and not _STATED_BEFORE.search(before):
            return Marker(start, noun_end, end, language, supposed=True)
    return Marker(start, noun_end, end, language)


def _heads(text: str, start: int) -> bool:
    """Whether nothing but markup, "the" and "final" stands before a noun on its line, so that it is a heading."""
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return len(line) < 40 and _HEADING.fullmatch(line) is not None


_HEADING = re.compile(r"[\W_]*(?:\d+[.)]\s*)?(?:the\s+)?(?:final|correct|my|our)?[\W_]*", re.IGNORECASE)
_BARE = re.compile(
    r"[\s*_\"'([{$€£+\-−.≈~]*(?:\d|[^\W\d_](?![^\W\d_])|\\|[√π∞½⅓¼¾∅]|(?:yes|no|true|false|none)\b)", re.IGNORECASE
)
_AT_LEAST = re.compile(r"(?:at\s+(?:least|most)|(?:more|less|fewer|greater)\s+than)\s+\$?\d", re.IGNORECASE)
_TITLE = re.compile(r"\d{1,3}[.):]\s+[^\W\d_]|\d+\s+[A-Z][a-z]+\s+\S")


def _bare(text: str, at: int) -> bool:
    """Whether a bare answer follows `####` on its line, and no title."""
    stop = text.find("\n", at)
    line = (text[at:] if stop < 0 else text[at:stop]).strip(" *_")
    if len(line) > 400 or _TITLE.match(line):
        return False
    if _BARE.match(line) or _AT_LEAST.match(line):
        return len(line.split()) <= 12
    return len(line.split()) <= 3 and stop < 0 and ":" not in line  # words, at the very end


def said_choice(text: str) -> str | None:
    """The letter of the last "the correct option is (B)"; None without one."""
    if "ption" not in text and "hoice" not in text and "I " not in text:
        return None
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
