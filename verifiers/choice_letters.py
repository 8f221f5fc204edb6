r"""Which letters a short text gives as its choice: the gold answer, the content of a box, what follows "the answer is".

Invariants: a text is read as a whole or not at all (no letters): what stands behind a letter must be nothing, the
option's text, a reason, or another letter; a letter that an ordinary word follows ("A cat") is none. Letters that "or"
joins are told as such. Work is linear in the length of the text, which the caller bounds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from synthflow.verifiers.answers.comparing.rationals import decide
from synthflow.verifiers.answers.reading.text import canonical
from synthflow.verifiers.choice_words import (
    DENIED,
    LATIN,
    LETTERS,
    REASONS,
    SPACED,
    UNCLEAR,
    UNSPACED,
    USUAL,
    any_of,
)
from synthflow.verifiers.exact import normalise

Options = Mapping[str, str]
"""The options' texts by letter, as `plain` has them; empty where the question gives none."""

_UPRIGHT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|textsf|texttt|mathrm|mathbf|mathsf|mbox|operatorname|rm|bf|bm|emph|"
    r"underline|Large|large)\s{0,3}\{([^{}]*)\}"
)
_MARKUP = re.compile(r"\\[()\[\]]|\\[,;:! ]|\\q?quad|\\left|\\right|\\displaystyle|[$*_`]|~")
_HTML = re.compile(r"</?(?:b|strong|i|em|u|p|span)>", re.IGNORECASE)
_UNSEEN = re.compile("[\u200b-\u200f\u061c\u202a-\u202e\u2060-\u2069\ufeff\u0640\ufe0f]")

_BARE = f"A-Z{''.join(LETTERS)}{''.join(UNCLEAR)}"
_MARKED = re.compile(
    rf"[(\[{{【「『<]\s?([a-z{_BARE}])\s?[.:]?\s?[)\]}}】」』>]|([a-z{_BARE}])\s?[)\]】](?!\()|([a-z])(?=[.:]\s)",
    re.ASCII,
)
_CAPITAL = re.compile(
    rf"([{_BARE}])(?![A-Za-z0-9\u00c0-\u024f_+#^=\\]|/[^\W\d_]{{2}}|['’](?!(?i:[dt][iıuü]r)\b)[^\W\d_])|([b-df-hj])(?=\s?[.:]?$)"
)
_RUN = re.compile(r"[A-J](?:\s?[A-J]){1,5}")
_AND = "and|y|et|und|e|и|i|dan|ve|và|en|och|og"
_OR = "or|o|u|ou|oder|или|atau|veya|hoặc|lub|of|eller"
_JOINT = re.compile(
    rf"\s?(?:[,;、&/+]\s?(?:(?:{_AND}|{_OR})\s)?|(?<=\s)(?:{_AND}|{_OR}|و|أو|या|और)\s|(?:和|与|與|及|或|と|または|와|과|또는)\s?)"
    r"(?:(?:maybe|perhaps|possibly|even|also|option|choice)\s)?",
    re.IGNORECASE,
)
_EITHER = re.compile(rf"/|\b(?:{_OR}|maybe|perhaps|possibly)\b|或|または|또는|أو|या", re.IGNORECASE)
_OPTION_WORD = re.compile(
    rf"(?:(?:the|la|el|die|der|a|o|il)\s|l['’])?(?:(?:correct|right|best)\s)?"
    rf"(?:{any_of('option', SPACED | UNSPACED)}|answer)"
    rf"\s{{0,3}}[:：]?\s{{0,3}}(?=[(\[【「]?[{_BARE}])",
    re.IGNORECASE,
)
_END = re.compile(
    r"\s{0,3}(?:$|[.!。！;；…।]+(?:\s|$)|[.:、](?=\s)|[:、，。]|\.(?=[^\x00-\x7f])|,\s|[-–—]+\s|[(\[](?!\s?\?)|[→⇒]|->|=>|[✓✔✅]"
    r"|[\"'”’»}\]]+\s?(?:$|[.,;!)}])|,(?=[\"'])|[\"'”’»]\s?})"
)
_PARTICLE = re.compile(
    r"\s?(?:['’]?(?:d[iıuü]r|t[iıuü]r)\b|şık[^\W\d_]{0,8}|です|である|だ|でした|となり|にな|を選|が(?=正|答|適)|입니다|이다|이에요|예요|임|번|"
    r"[이가](?=\s?(?:정답|맞|옳|적))|ครับ|ค่ะ|(?:选项|選項|项|項)(?!\s?(?:错|錯|不|误|誤|有))|"
    r"(?:है|होगा|हैं|হয়|হবে|است|ہے|هو|هي)(?![^\W\d_]))"
)
_RIGHT = re.compile(
    rf"\s{{1,3}}(?:{any_of('link', SPACED)})(?:\s[^\W\d_]{{1,15}}){{0,2}}?"
    rf"\s(?:{any_of('right', SPACED)})(?![^\W\d_])|\s?(?:{any_of('right', UNSPACED)})",
    re.IGNORECASE,
)
_DENIED = re.compile(rf"(?<![^\W_])(?:{DENIED})(?![^\W\d_])", re.IGNORECASE)
_REASON = re.compile(rf"\s{{1,3}}(?:{REASONS})(?![^\W\d_])", re.IGNORECASE)
_CAUSE = re.compile(r"\s{1,3}(?:because|since|which is)\b", re.IGNORECASE)
_ASIDE = re.compile(rf",\s(?!(?:{REASONS}|and|or|but)(?![^\W\d_]))[^\W\d_]{{2}}", re.IGNORECASE)
_ASKED = re.compile(r"\s{0,2}[)\]]?\s{0,2}[?？]")
_NOT_THIS = re.compile(
    r"\b(?:not|rather than|instead of|nicht|no|pas|non|não|не)\s(?:option\s|choice\s)?[(\[]?[A-J]\b[)\]]?",
    re.IGNORECASE,
)
_WORDY = re.compile(
    r"\b(?:because|since|as|so|where|while|which|if|when)\b|[。！]|(?<!\b[A-J])[.!?](?:\s|$)", re.IGNORECASE
)
_LABELS = re.compile(r"[(\[]\s?([A-J])\s?[)\]]|(?<![\w'’])([A-J])\s?\)|(?<=\s)([A-J])[.:](?=\s+\S)")
_MOST_LETTERS = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """Letters in the order in which they are given, none where the text gives none; `either` if they are alternatives.

    `length` is how much of the text they take, up to where an option's text or a reason begins.
    """

    letters: tuple[str, ...] = ()
    either: bool = False
    length: int = 0


NOTHING = Choice()


def plain(text: str) -> str:
    r"""Without what only sets text: `\text{…}`, dollar signs, asterisks, marks of direction; in Unicode NFKC."""
    for _ in range(3):
        text, changed = _UPRIGHT.subn(r"\1", text)
        if not changed:
            break
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", _HTML.sub("", _MARKUP.sub("", text))))


def choice_in(text: str, options: Options, furthest: int = USUAL) -> Choice:
    """What one place gives as its choice.

    Args:
        text: as `plain` makes it, from where the answer begins.
        furthest: how many letters of the alphabet may be options.
    """
    start = len(text) - len(text.lstrip(" \t\n\"'“”‘’>→-"))
    named = _OPTION_WORD.match(text, start)
    start = start if named is None else named.end()
    body = text[start:].rstrip(" \"'“”‘’")
    said = _option_of(body, options)
    found = _letters(body, furthest)
    if not found.letters:
        return Choice((said,), False, len(text)) if said else NOTHING
    others = _others(found, body[found.length :], options)
    if said is not None and said not in found.letters:
        others = (*others, said)
    length = start + found.length
    return Choice((*found.letters, *others), True, len(text)) if others else Choice(found.letters, found.either, length)


def known(letter: str, furthest: int) -> str | None:
    """The Latin letter that a letter of any alphabet stands for, or None where it is no option's."""
    letter = letter.upper()
    if letter in UNCLEAR:
        return letter
    letter = LETTERS.get(letter, letter)
    return letter if letter in LATIN[: max(furthest, USUAL)] else None


def _letters(text: str, furthest: int) -> Choice:
    run = _RUN.fullmatch(text.rstrip(" .。!"))
    letters = run.group().replace(" ", "") if run is not None else ""
    if letters and list(letters) == sorted(set(letters)):
        return Choice(tuple(letters), False, len(text))
    first = _token(text, 0, furthest)
    if first is None:
        return NOTHING
    found, last, either = [first.letter], first, False
    while len(found) < _MOST_LETTERS and (joint := _JOINT.match(text, last.end)):
        further = _token(text, joint.end(), furthest)
        if further is None or not (_ends(text, further, True) or _JOINT.match(text, further.end)):
            break
        either = either or bool(_EITHER.search(joint.group()))
        found.append(further.letter)
        last = further
    if not _ends(text, last, len(found) > 1):
        return NOTHING
    return Choice(tuple(dict.fromkeys(found)), either, last.end)


@dataclass(frozen=True, slots=True)
class _Token:
    letter: str
    end: int
    marked: bool  # by a bracket or a colon, which no article or pronoun has


def _token(text: str, at: int, furthest: int) -> _Token | None:
    match = _MARKED.match(text, at) or _CAPITAL.match(text, at)
    if match is None or (match.re is _CAPITAL and _goes_on(text, match.end())):
        return None
    given = next(group for group in match.groups() if group)
    letter = known(given, furthest)
    return None if letter is None else _Token(letter, match.end(), match.re is _MARKED or given not in "AI")


def _ends(text: str, token: _Token, is_joined: bool) -> bool:
    """Whether nothing behind a letter says that it is none: a question mark, or a word that goes on with it."""
    at, is_letter = token.end, token.marked or is_joined
    if _ASKED.match(text, at) or (not is_letter and _ASIDE.match(text, at)):
        return False
    if text[at - 1] in ")]}】」』>" or _END.match(text, at) or _PARTICLE.match(text, at):
        return True
    right = _RIGHT.match(text, at) if is_joined else None  # of one letter, others may be said to be right too
    if right is not None:
        return not _DENIED.search(right.group())
    return bool((_REASON if is_letter else _CAUSE).match(text, at))


def _goes_on(text: str, at: int) -> bool:
    """Whether the letter before `at` is the first of a word: of a script without capitals, or with a sign on it."""
    if at >= len(text):
        return False
    after, letter = text[at], text[at - 1]
    is_word = letter in LETTERS and after.isalpha() and not _PARTICLE.match(text, at)
    return is_word or unicodedata.category(after).startswith("M")


def _others(found: Choice, rest: str, options: Options) -> tuple[str, ...]:
    """Letters that the text behind a label gives besides: of another option's text, or of labels in it."""
    (first, *more) = found.letters
    named = () if more else tuple(o for o in (_option_of(_label_text(rest), options),) if o and o != first)
    behind = _WORDY.split(_NOT_THIS.sub("", rest.lstrip(" .:)、")), maxsplit=1)[0]
    told = _LABELS.findall(f" {behind}")
    labelled = (letter for groups in told for letter in groups if letter and letter not in found.letters)
    return (*named, *labelled)


def _label_text(rest: str) -> str:
    return rest.strip(" \t.:-–—()，、：")


def _option_of(text: str, options: Options) -> str | None:
    """The one option whose text this is, or whose value: `0.5` for `1/2`."""
    said = normalise(text)
    if not options or not said:
        return None
    same = [letter for letter, option in options.items() if normalise(option) == said]
    if not same and len(said) <= 40:
        value = canonical(text)
        same = [letter for letter, option in options.items() if decide(canonical(option), value)]
    return same[0] if len(same) == 1 else None
