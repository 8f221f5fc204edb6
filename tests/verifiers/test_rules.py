"""The truth tables of composition, each written out by hand: c correct, w wrong, u unknown."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthflow.contracts import Judgement
from synthflow.verifiers import rules

C = Judgement("correct", 1.0, None, "4", 0.25)
W = Judgement("wrong", 0.0, None, "5", 0.5)
U = Judgement.unknown("parse_failure", "?", 1.0)
SAID = {"c": C, "w": W, "u": U}
LETTER = {"correct": "c", "wrong": "w", "unknown": "u"}


def named(letters: str) -> list[rules.Named]:
    return [(name, SAID[letter]) for name, letter in zip("abcd", letters, strict=False)]


def short(judgement: Judgement) -> tuple[str, str | None]:
    return LETTER[judgement.verdict], judgement.reason


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("cc", ("c", None)), ("cw", ("c", None)), ("cu", ("c", None)),
        ("wc", ("w", None)), ("ww", ("w", None)), ("wu", ("w", None)),
        ("uc", ("c", None)), ("uw", ("w", None)), ("uu", ("u", "parse_failure")),
    ],
)  # fmt: skip
def test_cascade(said: str, expected: tuple[str, str | None]) -> None:
    assert short(rules.cascade(named(said))) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("cc", ("c", None)), ("cw", ("u", "disagree")), ("cu", ("u", "component_unknown")),
        ("wc", ("u", "disagree")), ("ww", ("w", None)), ("wu", ("u", "component_unknown")),
        ("uc", ("u", "component_unknown")), ("uw", ("u", "component_unknown")), ("uu", ("u", "parse_failure")),
        ("ccc", ("c", None)), ("ccu", ("u", "component_unknown")), ("cwu", ("u", "disagree")),
    ],
)  # fmt: skip
def test_consensus(said: str, expected: tuple[str, str | None]) -> None:
    assert short(rules.consensus(named(said))) == expected


@pytest.mark.parametrize(
    ("main", "spoken", "expected"),
    [
        ("c", "c", ("c", None)), ("c", "w", ("w", "vetoed: b")), ("c", "u", ("u", "veto_unknown")),
        ("w", "c", ("w", None)), ("w", "w", ("w", "vetoed: b")), ("w", "u", ("w", None)),
        ("u", "c", ("u", "parse_failure")), ("u", "w", ("w", "vetoed: b")), ("u", "u", ("u", "parse_failure")),
    ],
)  # fmt: skip
def test_veto(main: str, spoken: str, expected: tuple[str, str | None]) -> None:
    assert short(rules.veto(("a", SAID[main]), [("b", SAID[spoken])])) == expected
    ignored = ("c", None) if (main, spoken) == ("c", "u") else expected
    assert short(rules.veto(("a", SAID[main]), [("b", SAID[spoken])], "ignore")) == ignored


def test_one_veto_of_several_is_enough_and_says_why() -> None:
    why = Judgement("wrong", 0.0, "2 boxes, not 1")
    said = rules.veto(("a", C), [("b", C), ("format", why)])
    assert short(said) == ("w", "vetoed: format: 2 boxes, not 1") and said.detail == "4"
    assert short(rules.veto(None, [("b", U), ("format", why)]))[0] == "w"
    with pytest.raises(ValueError, match="missing"):
        rules.veto(None, [("b", C)])


@pytest.mark.parametrize(
    ("said", "expected"),
    # Weights 3 and 1: c is 1, w is 0; correct from 0.7, wrong below 0.3.
    [
        ("cc", ("c", 1.0, None)), ("cw", ("c", 0.75, None)), ("cu", ("u", None, "component_unknown")),
        ("wc", ("w", 0.25, None)), ("ww", ("w", 0.0, None)), ("wu", ("u", None, "component_unknown")),
        ("uc", ("u", None, "component_unknown")), ("uw", ("u", None, "component_unknown")),
        ("uu", ("u", None, "parse_failure")),
    ],
)  # fmt: skip
def test_blend(said: str, expected: tuple[str, float | None, str | None]) -> None:
    found = rules.blend(named(said), (3, 1), 0.7, 0.3)
    assert (LETTER[found.verdict], found.value, found.reason) == expected


def test_blend_of_partial_values_by_hand() -> None:
    half = Judgement("wrong", 0.5)
    # (2 * 0.5 + 1 * 1) / 3 = 2/3: between the thresholds.
    undecided = rules.blend([("a", half), ("b", C)], (2, 1), 0.7, 0.3)
    assert (undecided.verdict, undecided.reason) == ("unknown", "undecided") and "0.666667" in (undecided.detail or "")
    # Left out: only (2 * 0.5) / 2 = 0.5 counts.
    assert rules.blend([("a", half), ("b", U)], (2, 1), 0.5, 0.5, "skip").value == 0.5
    assert rules.blend([("a", U), ("b", U)], (2, 1), 0.5, 0.5, "skip").reason == "parse_failure"


def test_times_add_up_and_a_shared_reason_stays() -> None:
    assert rules.cascade(named("uc")).elapsed_s == 1.25
    other = Judgement.unknown("timeout")
    told = rules.cascade([("a", U), ("b", other)])
    assert told.reason == "all_unknown" and told.detail == "a: unknown (parse_failure); b: unknown (timeout)"


@settings(deadline=None)
@given(st.lists(st.sampled_from("cwu"), min_size=2, max_size=4), st.data())
def test_no_rule_makes_a_verdict_out_of_unknowns(letters: list[str], data: st.DataObject) -> None:
    said = named("".join(letters))
    weights = data.draw(st.lists(st.floats(0.1, 10), min_size=len(said), max_size=len(said)))
    found = [rules.cascade(said), rules.consensus(said), rules.veto(said[0], said[1:])]
    found += [rules.blend(said, weights, 0.5, 0.5, how) for how in ("unknown", "skip")]  # type: ignore[arg-type]
    for judgement in found:
        assert (judgement.reason is not None) or judgement.verdict != "unknown"
        assert (judgement.value is None) == (judgement.verdict == "unknown")
        if judgement.verdict == "correct":
            assert "c" in letters and judgement.value and judgement.value > 0
        if judgement.verdict == "wrong":
            assert "w" in letters and judgement.value is not None and judgement.value < 1


def test_the_tables_are_whole() -> None:
    for rule in ("cascade", "consensus", "blend"):
        marks = globals()[f"test_{rule}"].pytestmark[0].args[1]
        assert {case[0] for case in marks} >= {"".join(pair) for pair in product("cwu", repeat=2)}
    assert len(test_veto.pytestmark[0].args[1]) == 9  # type: ignore[attr-defined]
