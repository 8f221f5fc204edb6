r"""`math`: what is accepted, what is refused, and that nothing a policy writes can stop or fool it."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from support.audit import CASES as AUDIT
from synthflow.contracts import Judgement, Question
from synthflow.verifiers.answers.comparing.compare import compare
from synthflow.verifiers.answers.reading.text import canonical, to_latex
from synthflow.verifiers.math import MathConfig, MathVerifier, decide_cheaply
from synthflow.verifiers.workers.pool import WorkerPool

TESTS = str(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    made = MathVerifier(MathConfig(timeout_s=10))
    yield made
    made.close()


def ask(verifier: MathVerifier, *pairs: tuple[str | None, str]) -> list[Judgement]:
    """Judgements of (gold, completion) pairs."""
    return verifier.judge([Question(f"r{i}", "p", text, gold) for i, (gold, text) in enumerate(pairs)])


@pytest.mark.slow
def test_the_audit_has_no_false_accept(verifier: MathVerifier) -> None:
    found = ask(
        verifier,
        *((row["gold"], row.get("completion") or f"So it is \\boxed{{{row['answer']}}}.") for row in AUDIT),
    )
    judged = list(zip(AUDIT, found, strict=True))
    assert [row for row, j in judged if j.verdict == "correct" and not row["equal"]] == []
    assert [(row, j.reason) for row, j in judged if j.verdict == "wrong" and row["equal"]] == []
    missed = [(row, j.reason) for row, j in judged if j.verdict == "unknown" and row["equal"]]
    assert len(missed) <= 3, missed
    assert all(j.reason for _, j in judged if j.verdict == "unknown")
    assert len(AUDIT) > 900


REASONS = [
    ("5", "", "empty"),
    ("5", " \n\t", "empty"),
    ("5", "I give up", "parse_failure"),
    ("5", "\\boxed{x^2+}", "parse_failure"),
    ("5", "<think> \\boxed{5}", "parse_failure"),
    (None, "\\boxed{5}", "gold_unparsable"),
    ("", "\\boxed{5}", "gold_unparsable"),
    ("x^2+", "\\boxed{5}", "gold_unparsable"),
    ("\\frac{1}{0}", "\\boxed{5}", "gold_unparsable"),
    ("5", "\\boxed{9^{9^{9^9}}}", "too_large"),
    ("9^{9^{9^9}}", "\\boxed{5}", "too_large"),
    ("5", "\\boxed{" + "9" * 5000 + "}", "too_large"),
    ("5", "the answer is " + "1+" * 9000, "too_large"),
    ("5 cm", "\\boxed{5 kg}", "text_differs"),
    ("5", "\\boxed{\\text{at least } 5}", "text_differs"),
]


@pytest.mark.parametrize(("gold", "completion", "reason"), REASONS)
def test_unknown_says_why(verifier: MathVerifier, gold: str | None, completion: str, reason: str) -> None:
    (judgement,) = ask(verifier, (gold, completion))
    assert (judgement.verdict, judgement.value, judgement.reason) == ("unknown", None, reason)
    assert len(judgement.detail or "") < 600


def test_the_last_box_counts_and_detail_shows_it(verifier: MathVerifier) -> None:
    right, wrong = ask(verifier, ("6", r"\boxed{5}. No: \boxed{6}"), ("5", r"\boxed{5}. No: \boxed{6}"))
    assert (right.verdict, right.value, right.detail) == ("correct", 1.0, "6")
    assert (wrong.verdict, wrong.value, wrong.detail, wrong.reason) == ("wrong", 0.0, "6", None)


def test_gold_comes_first(verifier: MathVerifier) -> None:
    """Equality is not symmetric: `5` asked for may be answered `x = 5`; asked for `x > 3`, `3` is no answer."""
    found = ask(verifier, ("5", r"\boxed{x=5}"), ("x>3", r"\boxed{3}"), ("12", r"\boxed{1}"), ("1", r"\boxed{12}"))
    assert [j.verdict for j in found] == ["correct", "wrong", "wrong", "wrong"]


def test_identical_long_answers_need_no_algebra(verifier: MathVerifier) -> None:
    digits = "7" * 5000
    assert ask(verifier, (digits, f"\\boxed{{{digits}}}"))[0].verdict == "correct"


def test_version_names_the_libraries(verifier: MathVerifier) -> None:
    assert verifier.full_version().startswith("3+math-verify 0.") and "+sympy 1." in verifier.full_version()


# ---------------------------------------------------------------- nothing a policy writes is executed

INJECTIONS = [
    "open('{path}','w').close() or '\\pi'",
    "__import__('os').system('touch {path}')",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "exec(\"open('{path}','w')\")",
    "eval(compile('1','','eval'))",
    "\\begin{pmatrix}__import__('os').system('touch {path}')\\end{pmatrix}",
    "\\input{/etc/passwd}",
    "lambda: open('{path}','w')",
    "sympy.preview('x', filename='{path}')",
    "5; import os; os.system('touch {path}')",
    "\\text{__import__('os').system('touch {path}')}",
    'S(\'open("{path}","w")\')',
]


@pytest.mark.parametrize("attack", INJECTIONS)
def test_no_model_text_is_evaluated(attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reaches an evaluator is recorded; the slow path runs in this process so that it can be watched."""
    path = tmp_path / "pwned"
    text = attack.replace("{path}", str(path))
    evaluated: list[str] = []

    def watch(name: str, real: Any = None) -> Any:
        def stop(source: Any, *args: Any, **kwargs: Any) -> Any:
            if real is not None and not isinstance(source, str):
                return real(source, *args, **kwargs)  # an import executes its module's code
            evaluated.append(f"{name}: {source!r}")
            raise AssertionError(f"{name} was called")

        return stop

    for module, name in (
        ("sympy.parsing.sympy_parser", "parse_expr"),
        ("math_verify.parser", "parse_expr"),
        ("latex2sympy2_extended.latex2sympy2", "parse_expr"),
        ("sympy.parsing.sympy_parser", "eval_expr"),
    ):
        monkeypatch.setattr(sys.modules.get(module) or importlib.import_module(module), name, watch(name))
    monkeypatch.setattr(builtins, "eval", watch("eval", builtins.eval))
    monkeypatch.setattr(builtins, "exec", watch("exec", builtins.exec))
    with pytest.raises(AssertionError):
        sympy.sympify("1+1")  # the watch sees what sympify is given
    assert len(evaluated) == 1
    evaluated.clear()
    for gold, answer in ((text, "5"), ("5", text), ("\\begin{pmatrix}1\\end{pmatrix}", text), (text, text + "+1")):
        compare([to_latex(canonical(gold)), to_latex(canonical(answer))])
        decide_cheaply(canonical(gold), canonical(answer), 0.0)
    monkeypatch.undo()
    assert evaluated == []
    assert not path.exists()


def test_injections_get_a_judgement_and_leave_nothing(verifier: MathVerifier, tmp_path: Path) -> None:
    path = tmp_path / "pwned"
    texts = [attack.replace("{path}", str(path)) for attack in INJECTIONS]
    found = ask(verifier, *(("5", f"\\boxed{{{text}}}") for text in texts), *((text, "\\boxed{5}") for text in texts))
    assert all(j.verdict in ("wrong", "unknown") for j in found)
    assert not path.exists()


# ---------------------------------------------------------------- bombs

PAST_THE_LIMITS = [  # these look harmless to `limits`, and burn seconds or worse in algebra
    (r"\left(\left(2^{9999}\right)^{9999}\right)^{999}", "5"),
    (
        "x",
        r"\sqrt{1+\sqrt{2+\sqrt{3+\sqrt{5+\sqrt{6+\sqrt{7+\sqrt{8+\sqrt{10+x}}}}}}}}-\sqrt{y+\sqrt{z+\sqrt{x+\sqrt{2}}}}",
    ),
    ("5", "+".join(rf"\cos({i}x+{i + 1})^{{{i}}}" for i in range(1, 30))),
    ("5", r"(x+y+z+w)^{900}"),
    ("5", r"\int_0^1 (x+y+z+w)^{900} dx"),
    ("5", r"\Gamma(\Gamma(\Gamma(9)))"),
    ("x+7", r"\sum_{k=1}^{900}\sum_{j=1}^{900} k^j j^k"),
]


def test_gmpy2_is_installed_here_and_not_used_by_the_workers() -> None:
    """GMP computes for minutes without ever returning to the interpreter, and with other limits."""
    assert importlib.util.find_spec("gmpy2") is not None, "the development environment has it: see docs/dependencies.md"
    pool = WorkerPool("support.pool_tasks:ground_types", path=[TESTS], timeout_s=30)
    assert pool.map([None])[0].value == ["python", "python"]
    pool.close()


def test_a_factorial_that_gmp_would_not_return_from_costs_its_time_limit() -> None:
    """Given to the slow path directly, past the size limits: with GMP it hangs for a minute and hears no alarm."""
    pool = WorkerPool("synthflow.verifiers.answers.comparing.compare:compare", timeout_s=2)
    pool.map([["1", "2"]])
    found = pool.map([["5", "1000000000!"], ["x+1", "1+x"]])
    assert [(o.reason, (o.value or {}).get("equal")) for o in found] == [("timeout", None), (None, True)]
    pool.close()


@pytest.mark.slow
def test_hidden_bombs_cost_at_most_the_limit_each() -> None:
    made = MathVerifier(MathConfig(timeout_s=1.0))
    ask(made, ("x+1", r"\boxed{1+x}"))
    found = ask(made, *((gold, f"\\boxed{{{answer}}}") for gold, answer in PAST_THE_LIMITS), ("x+2", r"\boxed{2+x}"))
    assert found[-1].verdict == "correct"
    assert all(j.elapsed_s < 11 for j in found), "the ceiling on the wall; idle, each ends after a second of CPU"
    assert "timeout" in {j.reason for j in found[:-1]}
    assert all(j.verdict != "correct" for j in found[:-1])
    made.close()


@pytest.mark.extended
@pytest.mark.slow
def test_a_thousand_answers_with_bombs_all_get_a_judgement() -> None:
    made = MathVerifier(MathConfig(timeout_s=1.5, workers=2))
    rng = random.Random(7)
    bombs = [rf"\int_0^1 ({a}x+y+z+w)^{{9{a:02d}}} dx" for a in range(10)]
    good = [(f"{a}x+{b}", f"{b}+{a}x") for a in range(1, 40) for b in range(1, 26)]
    pairs = [(g, f"Thus \\boxed{{{a}}}") for g, a in good[:970]] + [("5", f"\\boxed{{{b}}}") for b in bombs]
    pairs += [("5", ""), ("5", "no"), ("5", "\\boxed{9^{9^{9^9}}}"), ("5", "\ud800\\boxed{\ud800}")] * 5
    rng.shuffle(pairs)
    found = ask(made, *pairs)
    assert len(found) == 1000
    assert sum(j.verdict == "correct" for j in found) == 970
    assert sum(j.reason == "timeout" for j in found) >= 8
    assert {j.verdict for j, (g, _) in zip(found, pairs, strict=True) if g == "5"} == {"unknown"}
    again = ask(made, ("x+77", r"\boxed{77+x}"))
    assert again[0].verdict == "correct", "the pool is alive"
    made.close()
    made.close()
    assert not [c for c in psutil.Process().children() if c.status() == psutil.STATUS_ZOMBIE]


def test_off_the_main_thread_it_says_the_same(verifier: MathVerifier) -> None:
    rows = [(str(row["gold"]), f"\\boxed{{{row['answer']}}}") for row in AUDIT[::15] if "answer" in row]
    here = [(j.verdict, j.reason, j.detail) for j in ask(verifier, *rows)]
    there: list[Any] = []

    def elsewhere() -> None:
        made = MathVerifier(MathConfig(timeout_s=10))  # without what the other one remembers
        there.extend((j.verdict, j.reason, j.detail) for j in ask(made, *rows))
        made.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert there == here and len(here) > 50


HOSTILE = r"0123456789.,/+-*^!(){}[]\ $%xyboxedfracsqrt<>=" + "\x00\ud800"


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=80),
    st.text(alphabet=r"0123456789.,/+-*^!(){}[]\ $%xyboxedfracsqrt<>=" + "\x00\ud800", max_size=80),
)
def test_any_text_gets_a_storable_judgement(verifier: MathVerifier, noise: str, answer: str) -> None:
    for judgement in ask(
        verifier, ("5", noise), ("5", f"{noise}\\boxed{{{answer}}}"), (answer, "\\boxed{1}"), ("5", answer)
    ):
        assert judgement.verdict in ("correct", "wrong", "unknown")
        assert (judgement.value is None) == (judgement.verdict == "unknown") == (judgement.reason is not None)
        (judgement.detail or "").encode("utf-8")
