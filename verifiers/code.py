"""`code`: does the program of a completion pass the tests of its problem?

Invariants: the verdict is computed here, from plain values; expected results never enter the program's process, and
nothing that it prints, exits with or patches is more than a claim about values. What a program may do wrong (raise,
end itself, run over its limits, print too much) fails a test; what the machine does wrong (no sandbox, killed from
outside) is `unknown`. Which text is the program: `code_blocks`; what a test is: `code_tests`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from synthflow.contracts import Judgement, Question, Verifier, VerifierConfig
from synthflow.verifiers.answers.finding.extract import after_thinking
from synthflow.verifiers.answers.reading.text import clean
from synthflow.verifiers.code_blocks import find_program
from synthflow.verifiers.code_cases import BadTests, Problem
from synthflow.verifiers.code_run import DETAIL, Run
from synthflow.verifiers.code_tests import code_before, read_problem
from synthflow.verifiers.sandbox import Limits, Sandbox

_MAX_CODE = 200_000


class CodeConfig(VerifierConfig):
    """Configuration of `verify.code`."""

    credit: Literal["all", "share"] = Field(
        "all", description="value of a program: 1 if all pass; or the share that do"
    )
    before: str = Field("prompt", description="where the code stands that goes before a program that is called")
    timeout_s: float = Field(4.0, gt=0, le=600, description="CPU seconds a test may take")
    wall_s: float = Field(20.0, gt=0, le=3600, description="seconds a test may take, sleep included")
    program_s: float = Field(60.0, gt=0, le=7200, description="seconds all tests of a program may take")
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


class CodeVerifier(Verifier):
    """Runs the program of a completion against tests, isolated.

    Unknown reasons: empty, parse_failure, too_large, tests_unreadable, missing_package, verifier_error.
    """

    name = "code"
    version = "2"
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
        judged: dict[int, Judgement] = {}
        runs: dict[int, list[Run]] = {}
        for at, question in enumerate(questions):
            prepared = self._prepare(question)
            if isinstance(prepared, Judgement):
                judged[at] = prepared
            else:
                runs[at] = prepared
        self._finish([readings[0] for readings in runs.values()])
        for again in range(1, max(map(len, runs.values()), default=0)):
            open_ = [readings for readings in runs.values() if again < len(readings) and readings[again - 1].wrong]
            self._finish([readings[again] for readings in open_])
        for at, readings in runs.items():
            judged[at] = self._best(readings)
        return [judged[at] for at in range(len(questions))]

    def _best(self, readings: Sequence[Run]) -> Judgement:
        """By the reading of the tests under which it is right; else by the likeliest."""
        found = [run.judgement(self.sandbox.name) for run in readings if run is readings[0] or run.begun]
        return max(found, key=lambda judgement: judgement.value or 0.0) if found[0].verdict == "wrong" else found[0]

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

    def _prepare(self, question: Question) -> list[Run] | Judgement:
        """A run for every reading of the tests, or why there is none."""
        if not question.completion.strip():
            return Judgement.unknown("empty")
        try:
            problem = read_problem(question.metadata, question.answer, self.config.before)
        except BadTests as error:
            problem = None
            says = clean(str(error))[:DETAIL]
        names = problem.names if problem else ()
        before = self._before(problem, question) if problem else ""
        program = find_program(after_thinking(question.completion), names, before)
        if program is None:
            return Judgement.unknown("parse_failure", "no fenced block of Python found")
        if (longest := max(map(len, program.texts))) > _MAX_CODE:
            return Judgement.unknown("too_large", f"the program has {longest} characters")
        if problem is None:
            return Judgement.unknown("tests_unreadable", says)
        return [Run(program, tests, before, self.config) for tests in problem.readings]

    def gold_faults(self, questions: Sequence[Question]) -> list[str | None]:
        return [self._fault(question) for question in questions]

    def _fault(self, question: Question) -> str | None:
        try:
            read_problem(question.metadata, question.answer, self.config.before)
        except BadTests as error:
            return clean(str(error))[:DETAIL]
        return None

    def _before(self, problem: Problem, question: Question) -> str:
        """The code before a program whose functions are called; a script stands alone."""
        if not problem.names or not self.config.before:
            return ""
        asked = question.prompt[-1][1] if question.prompt and self.config.before == "prompt" else ""
        return code_before(problem.before) or code_before(asked)

    def _finish(self, runs: Sequence[Run]) -> None:
        """Rounds of requests, of all programs together, until every program has its results."""
        while owed := [(run, program, tests) for run in runs for program, tests in run.owed()]:
            for (run, _, tests), ran in zip(owed, self.sandbox.run([p for _, p, _ in owed]), strict=True):
                run.take(tests, ran)

    def close(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.close()
