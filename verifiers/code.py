"""`code`: does the program of a completion pass the tests of its problem?

Invariants: the verdict is computed here, from plain values; expected results never enter the program's process, and
nothing that it prints, exits with or patches is more than a claim about values. What a program may do wrong (raise,
run over its limits, print too much) fails a test; what the machine does wrong (no sandbox, killed from outside) is
`unknown`.
The program is the last fenced block of Python after the last `</think>`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.verifiers.answers.extract import after_thinking
from synthflow.verifiers.answers.text import clean
from synthflow.verifiers.code_compare import Unreadable, decode, parse, same_output, same_value, spread
from synthflow.verifiers.code_tests import HASHING, WRAPPERS, BadTests, CallTest, StdinTest, Test, read_tests
from synthflow.verifiers.sandbox import Limits, Program, Ran, Sandbox
from synthflow.verifiers.sandbox._values import encode

_MAX_CODE = 200_000
_DETAIL = 300
_FENCE = re.compile(r"^[ \t]{0,3}```[ \t]*(\w*)[^\n`]*\n(.*?)^[ \t]{0,3}```[ \t]*$", re.MULTILINE | re.DOTALL)
_ORDER = {"!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_PYTHON = ("python", "py", "python3", "")


class CodeConfig(VerifierConfig):
    """Configuration of `verify.code`."""

    credit: Literal["all", "share"] = Field(
        "all", description="value of a program: 1 if all pass; or the share that do"
    )
    timeout_s: float = Field(4.0, gt=0, le=600, description="CPU seconds a test may take")
    wall_s: float = Field(20.0, gt=0, le=3600, description="wall-clock seconds a test may take, waiting included")
    program_s: float = Field(60.0, gt=0, le=7200, description="wall-clock seconds all tests of a program may take")
    memory_mb: int = Field(1024, ge=64, le=65536, description="memory of a program, in MiB, stacks of threads included")
    output_kb: int = Field(512, ge=1, le=1024, description="what a test may print, in KiB")
    processes: int = Field(1, ge=1, le=64, description="processes a program may be, itself included")
    tolerance: float = Field(1e-6, ge=0, lt=0.1, description="relative difference allowed where a decimal is expected")
    packages: tuple[str, ...] = Field((), description="packages that programs may import besides the standard library")
    isolation: Literal["strict", "weak", "none"] = Field(
        "strict",
        description="strict: refuse to run unless layers cover every threat; weak: the layers there are; none",
    )
    stack: Literal["auto", "bubblewrap", "unshare", "landlock"] = Field("auto", description="how to isolate")
    workers: int = Field(1, ge=1, le=256, description="programs that run at once")


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of a test: passed, failed with a reason, or unknown because of the sandbox."""

    passed: bool
    reason: str = ""
    unknown: bool = False


class CodeVerifier(Verifier):
    """Runs the program of a completion against tests, isolated.

    Unknown reasons: empty, parse_failure, too_large, tests_unreadable, verifier_error.
    """

    name = "code"
    version = "1"
    Config = CodeConfig
    needs_answer = False

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._sandbox: Sandbox | None = None

    def full_version(self) -> str:
        import platform

        return f"{self.version}+python {platform.python_version()}"

    def judge(self, questions: Sequence[Question]) -> list[Judgement]:
        """One judgement a question.

        Raises:
            UserError: if there are too few layers of isolation here.
            InfrastructureError: if no sandbox can start.
        """
        judged: list[Judgement | None] = [None] * len(questions)
        runs: dict[int, _Run] = {}
        for at, question in enumerate(questions):
            prepared = self._prepare(question)
            if isinstance(prepared, Judgement):
                judged[at] = prepared
            else:
                runs[at] = prepared
        self._finish(list(runs.values()))
        for at, run in runs.items():
            judged[at] = run.judgement(self.config.credit, self.sandbox.name)
        return [judgement for judgement in judged if judgement is not None]

    @property
    def sandbox(self) -> Sandbox:
        if self._sandbox is None:
            config = self.config
            limits = Limits(
                cpu_s=config.timeout_s,
                wall_s=config.wall_s,
                program_s=config.program_s,
                memory_mb=config.memory_mb,
                output_kb=config.output_kb,
                processes=config.processes,
            )
            self._sandbox = Sandbox(
                workers=config.workers,
                limits=limits,
                stack=config.stack,
                isolation=config.isolation,
                packages=config.packages,
            )
        return self._sandbox

    def _prepare(self, question: Question) -> _Run | Judgement:
        if not question.completion.strip():
            return Judgement.unknown("empty")
        code = extract_program(question.completion)
        if code is None:
            return Judgement.unknown("parse_failure", "no fenced block of Python found")
        if len(code) > _MAX_CODE:
            return Judgement.unknown("too_large", f"the program has {len(code)} characters")
        try:
            return _Run(code, read_tests(question.metadata, question.answer), self.config)
        except BadTests as error:
            return Judgement.unknown("tests_unreadable", clean(str(error))[:_DETAIL])

    def _finish(self, runs: Sequence[_Run]) -> None:
        """Rounds of requests, of all programs together, until every program has its results."""
        while owed := [(run, program, tests) for run in runs for program, tests in run.owed()]:
            for (run, _, tests), ran in zip(owed, self.sandbox.run([p for _, p, _ in owed]), strict=True):
                run.take(tests, ran)

    def close(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.close()


def extract_program(completion: str) -> str | None:
    """The last fenced block of Python, or without a language, after the last `</think>`; None where there is none."""
    blocks = [text for kind, text in _FENCE.findall(after_thinking(completion)) if kind.lower() in _PYTHON]
    return blocks[-1] if blocks and blocks[-1].strip() else None


class _Run:
    """One program on its way through its tests; stops at the first failure unless shares are asked for."""

    def __init__(self, code: str, tests: Sequence[Test], config: CodeConfig) -> None:
        self._code, self._tests, self._config = code, tests, config
        self._results: dict[int, _Result] = {}
        self._spent_s = 0.0

    def owed(self) -> Iterator[tuple[Program, list[int]]]:
        """The next requests: all calls left in one, or the next script tests."""
        open_tests = [at for at in range(len(self._tests)) if at not in self._results]
        if not open_tests or self._stopped():
            return
        if self._spent_s > self._config.program_s:
            self._results |= {at: _Result(False, "program_timeout") for at in open_tests}
            return
        calls = [at for at in open_tests if isinstance(self._tests[at], CallTest)]
        if calls:
            asked = [self._tests[at] for at in calls]
            yield Program(self._code, calls=[_asked(test) for test in asked if isinstance(test, CallTest)]), calls
            return
        step = 16 if self._config.credit == "share" else 1 if not self._results else 4
        for at in open_tests[:step]:
            test = self._tests[at]
            assert isinstance(test, StdinTest)
            yield Program(self._code, stdin=test.stdin), [at]

    def _stopped(self) -> bool:
        if any(result.unknown for result in self._results.values()):
            return True
        return self._config.credit == "all" and any(not result.passed for result in self._results.values())

    def take(self, tests: Sequence[int], ran: Ran) -> None:
        self._spent_s += ran.wall_s
        if ran.failed:
            self._results[tests[0]] = _Result(False, f"{ran.ended}: {_said(ran)}", unknown=True)
            return
        if isinstance(self._tests[tests[0]], StdinTest):
            self._results[tests[0]] = self._script(self._tests[tests[0]], ran)
            return
        answers = list(ran.answers)
        if not answers:  # it did not load: no later call will do better
            reason = _ending(ran) or "the program ended before it could be called"
            self._results |= {at: _Result(False, reason) for at in tests}
            return
        for at, line in zip(tests, answers[1:], strict=False):
            self._results[at] = self._call(self._tests[at], line)
        rest = list(tests[len(answers) - 1 :])
        if rest:
            self._results[rest[0]] = _Result(False, _ending(ran) or "the program ended before it answered")

    def _script(self, test: Test, ran: Ran) -> _Result:
        assert isinstance(test, StdinTest)
        if problem := _ending(ran):
            return _Result(False, problem)
        if same_output(ran.stdout, test.expected, self._config.tolerance):
            return _Result(True)
        return _Result(False, f"printed {ran.stdout[:60]!r}")

    def _call(self, test: Test, line: str) -> _Result:
        assert isinstance(test, CallTest)
        try:
            answer = parse(line)
            if "value" not in answer:
                return _Result(False, str(answer.get("error", "no value"))[:100])
            got = decode(answer["value"])
            return (
                _Result(True) if passes(test, got, self._config.tolerance) else _Result(False, f"returned {got!r:.60}")
            )
        except (Unreadable, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            return _Result(False, f"its answer cannot be read: {str(error)[:60]}")

    def judgement(self, credit: str, isolation: str) -> Judgement:
        results = [self._results.get(at) for at in range(len(self._tests))]
        for result in results:
            if result is not None and result.unknown:
                return Judgement.unknown("verifier_error", clean(result.reason)[:_DETAIL], self._spent_s)
        passed = sum(result is not None and result.passed for result in results)
        marks = "".join("?" if r is None else "." if r.passed else "F" for r in results[:100])
        first = next((f"; test {at}: {r.reason}" for at, r in enumerate(results) if r and not r.passed), "")
        detail = clean(f"{passed}/{len(results)} passed [{marks}] {isolation}{first}")[:_DETAIL]
        if passed == len(results):
            return Judgement("correct", 1.0, None, detail, self._spent_s)
        value = passed / len(results) if credit == "share" else 0.0
        return Judgement("wrong", value, None, detail, self._spent_s)


def passes(test: CallTest, got: Any, tolerance: float) -> bool:
    """Whether a plain value is what a test expects."""
    try:
        for name in test.wrap:
            got = WRAPPERS[name](spread(got) if isinstance(got, list | tuple) and name in HASHING else got)
        if test.how in _ORDER:
            return bool(_ORDER[test.how](got, test.expected))
    except (TypeError, ValueError, OverflowError):
        return False  # what the assertion would have raised
    if test.how in ("true", "false"):
        return bool(got) is (test.how == "true")
    if test.how in ("close", "close_abs"):
        if not isinstance(got, int | float) or not isinstance(test.expected, int | float):
            return same_value(got, test.expected, test.tolerance, True)
        allowed = test.tolerance * (abs(test.expected) if test.how == "close" else 1)
        return abs(got - test.expected) <= max(allowed, 1e-12)
    return same_value(got, test.expected, tolerance, test.lenient)


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
