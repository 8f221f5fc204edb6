r"""What the last sentence of a text concludes, where nothing announces the answer.

Invariants: it is what follows the verb of the main clause or the last equal sign, never what follows "when", "for" or
"of"; a sentence that hedges concludes nothing; notes and closing phrases behind the conclusion are passed over, and a
sentence far above is never reached. Work is bounded: the last 2,000 characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from synthflow.verifiers.answers.finding.segments import Run, runs, sentences
from synthflow.verifiers.answers.finding.values import is_relation, measured_on, result_of, value_at
from synthflow.verifiers.answers.reading.numerals import spelled

TAIL = 2000
_ENOUGH = 500  # characters of last paragraphs that are looked at, where a paragraph begins before them
_MOST_PASSED = 3  # sentences without mathematics that are passed over

_ITEM = re.compile(r"^\s*(?:\(?\d{1,3}[.)]|[-*•])\s+(?=\S)")
_NOTE = re.compile(
    r"""[\W_]*(?:notes?\b|remark|check\b|checking|verif|explanation|hint|p\.?s\.|i\s+hope|hope\b|let\s+me\s+know|feel\s+free|please|thank
    |remember|if\s+you\s+(?:have|need|want|would)|(?:this|that|which)\s+is\s+(?:the|our|my)\s+(?:final\s+|required\s+)?answer|q\.?e\.?d|these\s+are
    |this\s+(?:value|minimum|maximum|completes|assumes|occurs|happens|bound)\b
    |this\s+is\s+(?:the|an?|because|true|what|attained|achieved|also|known)\b
    |(?:we|i)\s+(?:have\s+|had\s+|also\s+)*(?:checked|tried|tested|verified|looked|went|compared|examined|considered|listed|applied)\b
    |this\s+took\b|there\s+(?:are|were)\s+[\w\s]{1,30}\s+to\s+(?:check|try|consider|test)\b
    |(?:the\s+)?equality\b|where\b|as\s+(?:required|desired)|hence\s+proved)""",
    re.IGNORECASE | re.VERBOSE,
)
_HEDGED = re.compile(
    r"\b(?:could|might|may|would)(?:\s+\w+)?\s+be\b|\b(?:maybe|perhaps|possibly|probably|presumably|guess\w*|unsure|not\s+sure|unclear|give\s+up|gave\s+up"
    r"|stuck|thought|wrong|incorrect|mistake|unable|contradiction)\b|\bdo(?:es)?\s*(?:n['’]t|\s+not)\s+know\b|\bI\s+(?:cannot|can't)\b"
    r"|n['’]t\s+think\b|\bnot\s+think\b|\b(?:if|whether)\s+the\s+(?:\w+\s+)?answer\b"
    r"|\?\W*$|^\W*(?:suppose|assum|let\b|consider|wait|hmm)",
    re.IGNORECASE,
)
_OPENER = re.compile(
    r"[\W_]*(?:and\s+)?(?:so|thus|therefore|hence|consequently|finally|overall|altogether|accordingly|then|in\s+(?:total|all|conclusion|summary|short)"
    r"|to\s+conclude|as\s+a\s+result|it\s+follows|we\s+conclude|that\s+means|this\s+means|conclusion)\b"
    r"|.*?[,;]\s+(?:and\s+)?(?:so|thus|therefore|hence)\b|[\W_]*∴",
    re.IGNORECASE,
)
_FILLERS = r"""(?:\s+(?:given\s+by|the\s+(?:expression|formula|value|number|fraction|point|set|interval|function)s?
    |the\s+(?:polynomial|ratio|pair|case)s?|equal\s+to|equals|congruent\s+to|exactly|only|always|still|therefore|thus|then
    |indeed|simply|just|also|at|about|approximately|roughly|around|now|a\s+total\s+of|in\s+total|of|by|that
    |going\s+to\s+be|equivalent\s+to|as\s+follows|found\s+to\s+be|value|precisely|either|both|currently|all|a|an
    |the))*"""
_STRONG = re.compile(
    rf"""(?:(?<![\w'’])(?:is|are|was|were|be|being|equals?|becomes?|became|gives?|gave|yields?|gets?|got|obtain(?:s|ed)?|total(?:s|ing|led|ed)?|has|have|had
    |contains?|costs?|needs?|makes?|earns?|spends?|pays?|takes?|saves?|sells?|buys?|receives?|weighs?|requires?|owes?|comes?\s+to|amounts?\s+to|leaves|leaving|equal\s+to|(?:factor(?:s|ed)?|written|rewritten|expressed)\s+(?:as|into)|(?:simplif(?:y|ies|ied)|reduc(?:es?|ed))\s+to|there['’]s|it['’]s|that['’]s){_FILLERS}|[:→⇒]|->|=>)[\s*_"'(]*$""",
    re.IGNORECASE | re.VERBOSE,
)
_PREPOSITION = re.compile(
    r"(?<![\w'’])(?:of|in|for|on|with|when|where|if|from|than|(?:such|so|given|assuming|suppose|provided|property|fact|note|recall|condition|check|verify|show|means)\s+that|as|at|since|because|with|given|assuming|let|setting|all|every|each|any|some|length|size"
    r"|until|per|first|last|next|within|among|between|over|under|about|into|during|after|before|while|whenever|step|case|day|week|month|year|page|chapter|number"
    r"|problem|part|question|equation|modulo|mod|to|the|this|these|those|his|her|their|its|my|our|your|[^\W\d_]{2,}(?<!\bhe)(?<!\bit)(?<!\bshe)(?<!that)(?<!there)(?<!what)['’]s|substituting|plugging|values?|(?:divided|multiplied|divisible|followed|replaced|increased\s+each\s+\w+)\s+by|x|no|integers?|only|numbers?)[\s*_\"'(#]*$",
    re.IGNORECASE,
)
_SUBORDINATE = re.compile(
    r"(?:^|[,;])\s*(?:and\s+)?(?:if|when|where|whenever|since|because|as|while|although|though|given|suppose|assuming|for|after|before|once|let)\b[^,;]*$",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"""^[\w\s'’*_$)"-]{0,40}?(?:[,;]\s*(?:and\s+)?(?:it|this|which|that|equality|occur|happen|attain|achiev|reach|when|where|since|because|as|if|for|with|having
    |of\s+which|given|after|assum|round|or\b|i\.e|e\.g|compar|instead|not\b|while|who|by|see|meaning|represent|accord|consider|in\s+addition)
    |(?<![\w])(?:when|where|because|since|which|whose|who|if|such\s+that|for\s+(?:all|any|every|some|each)|occurring|attained|achieved)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_JOINED = re.compile(r"[\s*_$]*,?\s*(?:and|or)?[\s*_$]*", re.IGNORECASE)
_NONE = re.compile(
    r"\b(?:(?:is|are|was)\s+(?:not\s+possible|impossible)|there\s+(?:is|are|exists?|can\s+be)\s+no\b|(?:has|have)\s+no\b|cannot\s+(?:be|exist|have)\b"
    r"|(?:does|do)(?:n['’]t|\s+not)\s+(?:exist|have)|no\s+(?:such|solutions?|integers?|values?)\b)",
    re.IGNORECASE,
)
_OTHER_VALUE = re.compile(
    r".*[,;]\s*(?:which|that|this|it)\s+(?:is|was|equals|makes|means|gives|leaves)\s*[*_]*", re.IGNORECASE
)
_ASSIGNED = re.compile(r"[^\W\d_](?:_\w+)?'*\s*=|\([^()=]*\)\s*=|[^\W\d_]\([^()]*\)\s*=")
_TWO_THINGS = re.compile(r"\s*(?:[^\W\d_]{3,}\s+){1,2}(?:and|or|,)\s*$|\s*[^\W\d_]{3,},\s*(?:and\s*)?$")
_GAPPED = re.compile(  # a second clause whose verb is left out
    r"\s*(?:[,;]|and|but|while)\s*(?:(?:and|but|while)\s+)?(?!the\s+(?:total|sum|answer|result))"
    r"(?:(?:the|his|her|my|its|their|an?)\s+(?:[^\W\d_]+\s+){1,2}|(?:in\s+|on\s+)?[A-Z][a-z]+\s+|(?:an)?other\s+|half\s+)\$?$"
)
_POINTS = re.compile(r"\)\s?,\s?\(")  # several solutions, where their number may be asked for
_PLAIN = re.compile(
    r"[-+−]?\s?(?:US)?\\?[$€£¥₹]?\s?[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:/\d+)?\s?(?:\\?%|°|[¢€])?|\d{1,2}:\d\d(?:\s?[ap]\.?m\.?)?",
    re.IGNORECASE,
)
_RELATION = re.compile(r"[=<>≤≥≡]|\\(?:equiv|leq?|geq?|lt|gt)(?![a-zA-Z])")
_COMPUTED = re.compile(r"[\d)%][^<>≤≥=]*=\s*\\?[$€£]?[-−]?[\d.,]*\d(?:/\d+)?\s*(?:\\?%|[a-z]+)?$")
_ASIDE = re.compile(
    r"\b(?:when|where|whenever|if|since|because|after|before|in|within|during|at|as|given|(?:such|assuming|suppose|provided|check|verify)\s+that)\s*$",
    re.IGNORECASE,
)
_REASON = re.compile(r"[^,;]*[,;]?\s*(?:since|because|as|when|where|if|for)\b", re.IGNORECASE)
_SO = re.compile(r"\b(?:so|thus|therefore|hence|then|giving|meaning)\b", re.IGNORECASE)
_SUBJECT = re.compile(r"[\s*_]*(?:is|are|was|were|has|have|can|cannot|could|must|will|does|do|divides?|of)\b")
_CLAUSE = re.compile(
    r"(?:^|[,;:]|\b(?:so|thus|therefore|hence|then|that|finally|and|or|us|finds?|found|means|implies|implying|conclude|only\s+if|now|consequently"
    r"|overall|altogether|together|needs?|makes?|spends?|takes?|pays?|earns?|costs?|total))[\s*_]*$",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\d{1,2}:\d\d(?:\s?[ap]\.?m\.?)?", re.IGNORECASE)
_THEN = re.compile(
    r"[^,;]*[,;]\s*(?:and\s+)?(?:so|thus|therefore|hence)\b(?:\s+(?:together|altogether|in\s+total|in\s+all|just|only))*\s*$",
    re.IGNORECASE,
)
_OPENS = re.compile(
    r"[\W_]*(?:(?:and|so|thus|therefore|hence|consequently|finally|overall|altogether|together|in\s+(?:total|all))[\W_]+)+(?:we\s+(?:get|have)[\W_]+)?",
    re.IGNORECASE,
)
_AT = re.compile(r"\b(?:at|until|by)\s*$")
_ORDINAL = re.compile(r"(?:first|second|third|th)\W*$", re.IGNORECASE)
_RESPECTIVE = re.compile(r"\b(\w)\s+and\s+(\w)\s+are\s+(\S+)\s+and\s+(\S+?),?\s+respectively")


class Conclusion(NamedTuple):
    """What a sentence concludes; `firm` where it says "so" or "therefore" and ends with it."""

    text: str
    firm: bool


def concluded(text: str, gold: str | None = None) -> Conclusion | None:
    """What the last sentence that says something concludes, or None."""
    start = _start(text)
    found_sentences = sentences(text[start:])
    passed = 0
    for at, sentence in reversed(list(enumerate(found_sentences))):
        if not any(sign.isalnum() for sign in sentence):
            continue
        if at == 0 and start and text[start - 1] != "\n":
            return None  # its beginning was cut off
        if _HEDGED.search(sentence):
            return None
        if _NOTE.match(sentence):
            continue
        sentence = _ITEM.sub("", sentence)
        found = runs(sentence)
        if found:
            return conclusion(sentence, found, gold)
        if spelled(sentence.strip(' *_`"')) is not None and not _ORDINAL.search(sentence):
            return Conclusion(sentence.strip(' *_`".'), firm=False)
        if _NONE.search(sentence):
            return None
        passed += 1
        if passed > _MOST_PASSED:
            return None
    return None


def _start(text: str) -> int:
    """Where the last paragraphs begin that are long enough to hold a conclusion."""
    break_at = text.rfind("\n\n", max(0, len(text) - TAIL), max(0, len(text) - _ENOUGH))
    return break_at + 2 if break_at >= 0 else max(0, len(text) - TAIL)


def conclusion(sentence: str, found: Sequence[Run], gold: str | None = None) -> Conclusion | None:
    """What one sentence concludes."""
    if named := _RESPECTIVE.search(sentence):
        first, second, one, other = named.groups()
        return Conclusion(f"{first}={one}, {second}={other}", firm=False)
    chosen, strong = _choose(sentence, found)
    if chosen is None or _NONE.search(sentence, 0, found[chosen].start):
        return None
    value = value_at(sentence, found, chosen, gold)
    if value is None:
        return None
    text, end = value
    before = sentence[: found[chosen].start]
    result = result_of(text, gold, asserted=_STRONG.search(before) is None)
    if result.startswith("=") or not result.strip("-+*/=^_ "):
        return None
    other_kind = (
        gold is not None and not is_relation(gold) and (is_relation(result) or _POINTS.search(result) is not None)
    )
    firm = strong and not other_kind and _OPENER.match(sentence) is not None and not sentence[end:].strip(' .*_`)!"”')
    return Conclusion(result, firm)


def _choose(sentence: str, found: Sequence[Run]) -> tuple[int | None, bool]:
    """The number of the run that is concluded, and whether it is the only one that a verb or an equal sign leads to."""
    strong: int | None = None
    gapped = strict = several = False
    weak: list[int] = []
    for at, run in enumerate(found):
        before = _between(sentence, found, at)
        computed = _COMPUTED.search(run.text) is not None
        behind = (strong is not None or at - 1 in weak) and _TAIL.match(before) is not None
        if behind and (not computed or _REASON.match(before)):
            if _OTHER_VALUE.fullmatch(before) and _PLAIN.fullmatch(run.text):
                return None, False  # two values, and no telling which of them is asked for
            break
        if strong == at - 1 and _TWO_THINGS.fullmatch(before) and _PLAIN.fullmatch(run.text):
            return None, False
        if at and _JOINED.fullmatch(before):
            if _ASSIGNED.match(run.text) and "=" in found[at - 1].text and not _ASSIGNED.match(found[at - 1].text):
                strong, strict = at, False  # "x + 3 = 10 and x = 7"
            continue  # it is a candidate, or none, together with the run before it
        leads = _leads(sentence, before, run, at)
        if _RELATION.search(run.text) and is_relation(run.text):
            if not (_ASIDE if computed else _PREPOSITION).search(before) or run.text.startswith("="):
                several = several or (strong is not None and not _SO.search(before))
                gapped, strong, strict = False, at, leads or at == 0 or _CLAUSE.search(before) is not None
        elif leads and not _SUBORDINATE.search(sentence[max(0, run.start - 400) : run.start]):
            several = several or (strong is not None and not _SO.search(before))
            gapped, strong, strict = False, at, True
        elif _PLAIN.fullmatch(run.text) and not _PREPOSITION.search(before):
            if weak and _TWO_THINGS.fullmatch(before):
                return (strong, False) if strong is not None and strong < weak[0] else (None, False)
            gapped = gapped or (at > 0 and _GAPPED.fullmatch(before) is not None)
            weak.append(at)
    if gapped:
        return None, False  # two values, told with one verb
    if strong is not None:
        return strong, strict and not several
    return (weak[-1] if weak else _last_resort(sentence, found)), False


def _between(sentence: str, found: Sequence[Run], at: int) -> str:
    """The words before a run; none within one measurement ("1 hour and 30 minutes")."""
    if not at:
        return sentence[: found[0].start]
    before, run = found[at - 1], found[at]
    return "" if measured_on(sentence, before, run) else sentence[before.end : run.start]


def _leads(sentence: str, before: str, run: Run, at: int) -> bool:
    """Whether the words before a run conclude it: a verb, "at" before a time, "so" alone."""
    if _STRONG.search(before) is not None:
        return True
    if _CLOCK.fullmatch(run.text) is not None and _AT.search(before) is not None:
        return True
    if at == 0:
        return _OPENS.fullmatch(before) is not None and not _SUBJECT.match(sentence, run.end)
    return _THEN.match(before) is not None and _PLAIN.fullmatch(run.text) is not None


def _last_resort(sentence: str, found: Sequence[Run]) -> int | None:
    """The last computation, or a number that is the only mathematics of its sentence and ends it."""
    computed = [at for at, run in enumerate(found) if _COMPUTED.search(run.text)]
    if computed:
        return computed[-1]
    if len(found) != 1:
        return None
    value = value_at(sentence, found, 0)
    ends = value is not None and not sentence[value[1] :].strip(" .*_$)")
    bare = not sentence[: found[0].start].strip(" *_$")
    return 0 if ends and (bare or _PLAIN.fullmatch(found[0].text)) else None
