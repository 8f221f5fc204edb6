"""One program on its way through the tests of its problem: what is asked next, and what the answers mean.

Invariants: expected values stay here; what a program answers is a claim, compared as a plain value. What a program does
(raise, end itself, run over its limits, print too much) fails a test. Unknown is only what it cannot bring about: the
machine's failures, a package that is not here, tests that cannot be asked.
"""

from __future__ import annotations

import json
import operator
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from synthflow.contracts import Judgement
from synthflow.verifiers.answers.reading.text import clean
from synthflow.verifiers.code_blocks import Found
from synthflow.verifiers.code_cases import HASHING, WRAPPERS, CallTest, SourceTest, StdinTest, Test
from synthflow.verifiers.code_compare import (
    Iterated,
    Unreadable,
    decode,
    identical,
    parse,
    same_output,
    same_value,
    spread,
)
from synthflow.verifiers.sandbox import Program, Ran
from synthflow.verifiers.sandbox._values import encode

DETAIL = 300
_ORDER = {"!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_MISSING = re.compile(r"ModuleNotFoundError: No module named '([A-Za-z_]\w{0,80})")


class RunConfig(Protocol):
    """What of the configuration a run needs."""

    credit: str
    program_s: float
    output_kb: int
    tolerance: float


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a test: passed, failed with a reason, or unknown, for one of a judgement's reasons."""

    passed: bool
    reason: str = ""
    unknown: str = ""


@dataclass(slots=True)
class _Asked:
    """How far a test that is Python source has come: the calls it made, and those answered.

    All calls are asked for anew in each round, since a program may keep something from one to the next; but for `kept`
    ones, where the answers to all would not fit.
    """

    known: list[Any] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    kept: int = 0
    died: tuple[Any, Result] | None = None


class Run:
    """Asks test by test; stops at the first failure unless shares are asked for."""

    def __init__(self, program: Found, tests: Sequence[Test], before: str, config: RunConfig) -> None:
        self._program, self._tests, self._before, self._config = program, tests, before, config
        self._results: dict[int, Result] = {}
        self._asked: dict[int, _Asked] = {}
        self._spent_s = self._elapsed_s = 0.0
        self._compiled = 0

    def owed(self) -> Iterator[tuple[Program, list[int]]]:
        """The next requests: all calls left in one, or the next script tests, or the next round of a source test."""
        if self._stopped():
            return
        for at in [at for at in self._left() if self._too_much(self._tests[at])]:
            self._results[at] = Result(False, "what is expected is longer than output_kb", "too_large")
        if self._stopped() or not (left := self._left()):
            return
        if self._spent_s > self._config.program_s:
            self._results |= {at: Result(False, "program_timeout") for at in left}
            return
        code = self._program.texts
        if calls := [at for at in left if isinstance(self._tests[at], CallTest)]:
            asked = [test for at in calls if isinstance(test := self._tests[at], CallTest)]
            yield Program(code, calls=[_asked(test) for test in asked]), calls
            return
        step = 16 if self._config.credit == "share" else 1 if not self._results else 4
        for at in left[:step]:
            test = self._tests[at]
            if isinstance(test, StdinTest):
                yield Program(code, stdin=test.stdin), [at]
            elif isinstance(test, SourceTest):
                yield self._next(test, self._asked.setdefault(at, _Asked())), [at]

    def _left(self) -> list[int]:
        return [at for at in range(len(self._tests)) if at not in self._results]

    def _stopped(self) -> bool:
        if any(result.unknown for result in self._results.values()):
            return True
        return self._config.credit == "all" and any(not result.passed for result in self._results.values())

    def _too_much(self, test: Test) -> bool:
        """Whether no program could give within its limits what is expected."""
        limit = self._config.output_kb * 1024
        if isinstance(test, StdinTest):
            return 4 * len(test.expected) > limit and len(test.expected.rstrip().encode("utf-8", "replace")) > limit
        if not isinstance(test, CallTest) or not isinstance(test.expected, str | list | tuple | dict | int):
            return False
        try:
            return len(json.dumps(encode(test.expected))) > limit
        except ValueError:
            return True  # it has more parts than a result may have

    def take(self, tests: Sequence[int], ran: Ran) -> None:
        self._spent_s += max(0.0, ran.wall_s - ran.waited_s)
        self._elapsed_s += ran.wall_s
        self._compiled = max(self._compiled, ran.compiled or 0)
        first = tests[0]
        if ran.failed:
            self._results[first] = Result(False, f"{ran.ended}: {_said(ran)}", "verifier_error")
            return
        test = self._tests[first]
        if isinstance(test, SourceTest):
            self._source(first, ran)
            return
        if ran.compiled == -1 and not self._program.fenced:
            self._results[first] = Result(False, "no fenced block, and the text is no Python", "parse_failure")
            return
        if isinstance(test, StdinTest):
            self._results[first] = self._script(test, ran)
            return
        answers = self._answers(ran)
        if not answers:  # it did not load: no later call will do better
            reason = self._ended(ran) or Result(False, "the program ended before it could be called")
            self._results |= dict.fromkeys(tests, reason)
            return
        for at, line in zip(tests, answers[1:], strict=False):
            self._results[at] = self._call(self._tests[at], line, ran)
        rest = list(tests[len(answers) - 1 :])
        if rest and len(answers) < len(ran.answers):
            self._results[rest[0]] = Result(False, "output")
        elif rest and ran.ended != "full":
            self._results[rest[0]] = self._ended(ran) or Result(False, "the program ended before it answered")

    # --- one kind of test each -------------------------------------------------------------------------------------

    def _script(self, test: StdinTest, ran: Ran) -> Result:
        if problem := self._ended(ran):
            return problem
        if same_output(ran.stdout, test.expected, self._config.tolerance):
            return Result(True)
        return Result(False, f"printed {ran.stdout[:60]!r}")

    def _call(self, test: Test, line: str, ran: Ran) -> Result:
        assert isinstance(test, CallTest)
        try:
            answer = parse(line)
            if "value" not in answer:
                return self._failed(str(answer.get("error", "no value"))[:100], ran)
            got = decode(answer["value"])
            if passes(test, got, self._config.tolerance):
                return Result(True)
            return Result(False, f"returned {_shown(got)}")
        except (Unreadable, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            return Result(False, f"its answer cannot be read: {str(error)[:60]}")

    def _next(self, test: SourceTest, state: _Asked) -> Program:
        """Tests and program in turn: what the tests call, then what the program returns."""
        if len(state.known) < len(state.calls):
            return Program(self._program.texts, calls=state.calls[state.kept :], keep=True)
        setup = [text for text in (self._before, test.setup) if text]
        return Program(test.source, asking={"known": state.known, "name": test.name, "setup": setup})

    def _source(self, at: int, ran: Ran) -> None:
        state = self._asked[at]
        if len(state.known) < len(state.calls):
            self._answered(at, state, ran)
            return
        told: dict[str, Any] = {}
        if ran.ended == "exited" and ran.answers:
            told = parse(ran.answers[0])
        end = told.get("end", "failed" if state.known else "unreadable")
        why = str(told.get("why", f"the tests themselves did not end: {_ending(ran)}"))
        agreed, calls = told.get("agreed", 0), told.get("calls", [])
        if end in ("passed", "failed"):
            self._results[at] = Result(end == "passed", why)
        elif end == "unreadable":
            self._results[at] = Result(False, why, "tests_unreadable")
        elif state.died is not None and agreed == len(state.known) and state.died[0] == calls[0]:
            self._results[at] = state.died[1]  # that call is really made, and it was its last
        else:
            state.known = state.known[:agreed]
            state.calls, state.kept = [*(call for call, _ in state.known), *calls], 0

    def _answered(self, at: int, state: _Asked, ran: Ran) -> None:
        if ran.compiled == -1 and not self._program.fenced:
            self._results[at] = Result(False, "no fenced block, and the text is no Python", "parse_failure")
            return
        answers = []
        lines = self._answers(ran)
        asked = state.calls[state.kept :]
        for line in lines[1 : len(asked) + 1]:
            try:
                answer = parse(line)
                for value in (answer.get("value"), *answer.get("args", ())):
                    decode(value)
            except (Unreadable, TypeError) as error:
                answer = {"error": f"its answer cannot be read: {str(error)[:60]}"}
            if missing := self._missing(str(answer.get("error", "")), ran):
                self._results[at] = missing
                return
            answers.append(answer)
        state.known = [*state.known[: state.kept], *([c, a] for c, a in zip(asked, answers, strict=False))]
        if len(answers) == len(asked):
            return
        problem = self._ended(ran) or Result(False, "the program ended before it answered")
        if problem.unknown or not ran.answers:
            self._results[at] = problem
        elif ran.ended == "full" and answers and len(lines) == len(ran.answers):
            state.kept = len(state.known)
        else:
            state.died = asked[len(answers)], problem
            state.calls = state.calls[: len(state.known)]

    def _answers(self, ran: Ran) -> list[str]:
        """The lines that it answered, up to one that is too long."""
        limit = self._config.output_kb * 1024
        longer = next((at for at, line in enumerate(ran.answers) if len(line) > limit), len(ran.answers))
        return list(ran.answers[:longer])

    # --- how it ended ----------------------------------------------------------------------------------------------

    def _ended(self, ran: Ran) -> Result | None:
        """What a program that did not end well failed by; None for one that did."""
        return self._failed(problem, ran) if (problem := _ending(ran)) else None

    def _failed(self, why: str, ran: Ran) -> Result:
        return self._missing(why, ran) or Result(False, why)

    def _missing(self, why: str, ran: Ran) -> Result | None:
        """Unknown, if a program that names a package in an import failed because it is not here."""
        found = _MISSING.search(why)
        text = self._program.texts[ran.compiled or 0]
        if found is None or found[1] in sys.stdlib_module_names:
            return None
        if not re.search(rf"^[ \t]*(?:import|from)[ \t][^\n]*\b{found[1]}\b", text, re.MULTILINE):
            return None
        return Result(False, f"the package {found[1]} is not installed for programs: `packages`", "missing_package")

    # --- the verdict -----------------------------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Whether anything was asked."""
        return bool(self._results)

    @property
    def wrong(self) -> bool:
        """Whether it is wrong, for sure."""
        results = self._results.values()
        return not any(r.unknown for r in results) and any(not r.passed for r in results)

    def judgement(self, isolation: str) -> Judgement:
        """The verdict, on the text that was run."""
        found = self._judgement(isolation)
        if found.reason == "parse_failure":
            return found
        return found.found(self._program.texts[self._compiled], "block" if self._program.fenced else "no block")

    def _judgement(self, isolation: str) -> Judgement:
        results = [self._results.get(at) for at in range(len(self._tests))]
        for result in results:
            if result is not None and result.unknown:
                return Judgement.unknown(result.unknown, clean(result.reason)[:DETAIL], self._elapsed_s)
        passed = sum(result is not None and result.passed for result in results)
        marks = "".join("?" if r is None else "." if r.passed else "F" for r in results[:100])
        first = next((f"; test {at}: {r.reason}" for at, r in enumerate(results) if r and not r.passed), "")
        detail = clean(f"{passed}/{len(results)} passed [{marks}] {isolation}{first}")[:DETAIL]
        if passed == len(results):
            return Judgement("correct", 1.0, None, detail, self._elapsed_s)
        value = passed / len(results) if self._config.credit == "share" else 0.0
        return Judgement("wrong", value, None, detail, self._elapsed_s)


def passes(test: CallTest, got: Any, tolerance: float) -> bool:
    """Whether a plain value is what a test expects."""
    try:
        for name in test.wrap:
            hashed = isinstance(got, list | tuple | Iterated) and name in HASHING
            got = WRAPPERS[name](spread(list(got)) if hashed else got)
        if test.how in _ORDER:
            return bool(_ORDER[test.how](got, test.expected))
    except (TypeError, ValueError, OverflowError):
        return False  # what the assertion would have raised
    if test.how in ("is", "is not"):
        return identical(got, test.expected) is (test.how == "is")
    if test.how in ("true", "false"):
        return bool(got) is (test.how == "true")
    if test.how in ("close", "close_abs"):
        if not isinstance(got, int | float) or not isinstance(test.expected, int | float):
            return same_value(got, test.expected, test.tolerance, True)
        allowed = test.tolerance * (abs(test.expected) if test.how == "close" else 1)
        return abs(got - test.expected) <= max(allowed, 1e-12)
    return any(same_value(got, expected, tolerance, test.lenient) for expected in (test.expected, *test.also))


def _shown(got: Any) -> str:
    try:
        return f"{got!r:.60}"
    except ValueError:
        return "a number of many digits"


def _asked(test: CallTest) -> tuple[str, list[Any], dict[str, Any]]:
    return test.name, [encode(a) for a in test.args], {key: encode(value) for key, value in test.kwargs.items()}


def _ending(ran: Ran) -> str:
    """How a program ended, if not well."""
    if ran.ended != "exited":
        return ran.ended
    if ran.exit < 0:
        return f"died of signal {-ran.exit}"
    return f"exit status {ran.exit}: {_said(ran)}" if ran.exit else ""


def _said(ran: Ran) -> str:
    lines = (ran.answers[0] if ran.ended == "setup" and ran.answers else ran.stderr).strip().splitlines()
    return lines[-1][:120] if lines else ""
