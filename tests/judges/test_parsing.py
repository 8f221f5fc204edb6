"""A judge's completion is read strictly or not at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow.judges.parsing import Answer

VERDICT = Answer("Verdict", ("correct", "wrong"))
SCORE = Answer("Score", scale=(0.0, 10.0))
AS_JSON = Answer("Verdict", ("correct", "wrong"), layout="json")
SCORE_JSON = Answer("Score", scale=(0.0, 10.0), layout="json")


@pytest.mark.parametrize(
    ("answer", "text", "value"),
    [
        (VERDICT, "Step 2 is right.\nVerdict: correct", "correct"),
        (VERDICT, "**Verdict:** Wrong.\n\n", "wrong"),
        (VERDICT, "VERDICT：correct", "correct"),
        (VERDICT, "<think>Verdict: correct, or not?\nVerdict: correct</think>\nVerdict: wrong", "wrong"),
        (VERDICT, "Verdict: wrong\nLet me say it again.\nVerdict: wrong", "wrong"),
        (VERDICT, "They wrote: Verdict: correct\nVerdict: wrong", "wrong"),
        (SCORE, "Good.\nScore: 7", 7.0),
        (SCORE, "Score: 7.5/10", 7.5),
        (SCORE, "# Score: `10`", 10.0),
        (SCORE, "Score: -0", 0.0),
        (AS_JSON, '{"reason": "2 + 2 = 4", "verdict": "correct"}', "correct"),
        (AS_JSON, '```json\n{"verdict": "wrong"}\n```', "wrong"),
        (SCORE_JSON, '{"score": 3}', 3.0),
        (VERDICT, "Step 2 is right.\r\n\r\nVerdict: correct\r\n", "correct"),
        (VERDICT, "It holds.\n**Final Verdict:** correct", "correct"),
        (VERDICT, "FINAL VERDICT: wrong", "wrong"),
        (VERDICT, "Verdict: wrong\n\n### Final verdict: **wrong**", "wrong"),
        (SCORE, "Score: **7**/10", 7.0),
        (SCORE, "**Score: 7**/10", 7.0),
        (SCORE, "Score: `7` / **10**.", 7.0),
        (SCORE, "Final score: __7__ / 10", 7.0),
        (SCORE, "Score: *7.5*/10\r\n", 7.5),
        (AS_JSON, '```JSON\n{"verdict": "wrong"}\n```', "wrong"),
        (AS_JSON, '```json\r\n{"verdict": "wrong"}\r\n```\r\n', "wrong"),
        (AS_JSON, 'Both steps hold.\n\n```json\n{"verdict": "correct"}\n```', "correct"),
        (AS_JSON, 'Here it is:\n```\n{"reason": "a\\nb",\n "verdict": "correct"}\n```\n', "correct"),
        (AS_JSON, 'They wrote\n```python\nprint(1)\n```\nand so\n```json\n{"verdict": "wrong"}\n```', "wrong"),
        (AS_JSON, '```json\n{"verdict": "wrong"}\n```\nagain\n```json\n{"verdict": "wrong"}\n```', "wrong"),
        (AS_JSON, '{"Verdict": "correct"}', "correct"),
        (AS_JSON, '{"REASON": "", "VERDICT": "wrong"}', "wrong"),
        (SCORE_JSON, 'I think so.\r\n```Json\r\n{"Score": 7.0}\r\n```', 7.0),
    ],
)  # fmt: skip
def test_what_was_asked_for_is_read(answer: Answer, text: str, value: object) -> None:
    reading = answer.read(text)
    assert reading.value == value and reading.problem is None


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (VERDICT, ""),
        (VERDICT, "   \n\t"),
        (VERDICT, "correct"),
        (VERDICT, "Verdict: correct\nI hope this helps!"),
        (VERDICT, "Verdict: correct or wrong"),
        (VERDICT, "Verdict: incorrect"),
        (VERDICT, "Verdict: not correct"),
        (VERDICT, "Verdict:"),
        (VERDICT, "My Verdict: correct"),
        (VERDICT, "Verdict: correct\nVerdict: wrong"),
        (VERDICT, "Verdict: [correct/wrong]\nVerdict: wrong"),
        (VERDICT, "<think>Verdict: correct"),
        (VERDICT, "Verdict: correct</think>"),
        (VERDICT, '{"verdict": "correct"}'),
        (SCORE, "Score: 11"),
        (SCORE, "Score: -1"),
        (SCORE, "Score: 7 out of 10"),
        (SCORE, "Score: 7/5"),
        (SCORE, "Score: 7-8"),
        (SCORE, "Score: seven"),
        (SCORE, "Score: \u0667"),
        (SCORE, "Score: nan"),
        (SCORE, "Score: inf"),
        (SCORE, "Score: 1e1"),
        (SCORE, "Score: 7 Score: 9"),
        (SCORE, "Score: 7\nScore: 8"),
        (SCORE, "Score: " + "9" * 100_000),
        (AS_JSON, "Verdict: correct"),
        (AS_JSON, 'Here it is: {"verdict": "correct"}'),
        (AS_JSON, '{"verdict": "correct", "verdict": "wrong"}'),
        (AS_JSON, '{"verdict": ["correct"]}'),
        (AS_JSON, '[{"verdict": "correct"}]'),
        (AS_JSON, '{"Verdict": "correct", "verdict": "correct"}'),
        (AS_JSON, '```json\n{"verdict": "correct"}\n```\nI hope this helps!'),
        (AS_JSON, '```json\n{"verdict": "correct"}\n```\nno:\n```json\n{"verdict": "wrong"}\n```'),
        (AS_JSON, '```python\n{"verdict": "correct"}\n```'),
        (AS_JSON, '```json\n{"verdict": "correct"}'),
        (AS_JSON, 'So\n```json\n{"verdict": "correct"\n```'),
        (VERDICT, "Verdict: correct\nFinal Verdict: wrong"),
        (VERDICT, "Nearly final Verdict: correct"),
        (SCORE, "Score: 7**8/10"),
        (SCORE, "Score: 7*8"),
        (SCORE, "Score: **7**/**5**"),
        (SCORE, "Score: **7** or **8**/10"),
        (AS_JSON, '{"verdict": "Correct"}'),
        (AS_JSON, '{"verdict": "correct"} {"verdict": "correct"}'),
        (AS_JSON, "[" * 100_000),
        (SCORE_JSON, '{"score": "7"}'),
        (SCORE_JSON, '{"score": true}'),
        (SCORE_JSON, '{"score": NaN}'),
        (SCORE_JSON, '{"score": 1e999}'),
        (SCORE_JSON, '{"score": ' + "9" * 10_000 + "}"),
        (SCORE_JSON, '{"score": 10.5}'),
    ],
)  # fmt: skip
def test_rubbish_is_no_verdict(answer: Answer, text: str) -> None:
    reading = answer.read(text)
    assert reading.value is None and reading.problem


@pytest.mark.parametrize("answer", [VERDICT, SCORE, AS_JSON, SCORE_JSON, Answer("Better", ("A", "B", "tie"))])
@given(
    text=st.one_of(
        st.text(max_size=80),
        st.lists(
            st.sampled_from(
                ["Verdict:", "Score:", "Better:", " correct", " wrong", " 7", "\n", "{", "}", '"', "A", "*"]
            ),
            max_size=12,
        ).map("".join),
    )
)
def test_any_text_gives_a_declared_value_or_a_problem(answer: Answer, text: str) -> None:
    reading = answer.read(text)
    if reading.value is None:
        assert reading.problem
    elif answer.scale is None:
        assert reading.value in answer.choices and str(reading.value).casefold() in text.casefold()
    else:
        assert isinstance(reading.value, float) and 0 <= reading.value <= 10


@given(st.text(max_size=60), st.sampled_from(["correct", "wrong"]), st.floats(0, 10).map(lambda x: round(x, 3)))
def test_what_is_written_as_asked_is_read_back(reasons: str, verdict: str, score: float) -> None:
    kept = "".join(line for line in reasons.splitlines(keepends=True) if "erdict" not in line.casefold())
    if "<think>" not in kept and "</think>" not in kept:
        assert VERDICT.read(f"{kept}\nVerdict: {verdict}").value == verdict
    assert SCORE.read(f"Score: {score}").value == score
    assert SCORE_JSON.read(json.dumps({"reason": reasons.replace("think", ""), "score": score})).value == score


def test_the_instruction_says_the_form_that_is_read() -> None:
    assert "The last line must be Verdict: followed by correct or wrong" in VERDICT.instruction()
    assert "a number from 0 to 10" in SCORE.instruction()
    assert '"verdict" holds correct or wrong' in AS_JSON.instruction()
    assert "followed by A, B or tie" in Answer("Better", ("A", "B", "tie")).instruction()
