"""What a check found.

Invariant: every fault is counted, and of each kind the first ones are named, so that a run with a million faults of
one kind still gives a report that a person reads and a machine holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]

MOST_NAMED = 50
"""Findings of one kind and severity that are named one by one (our default); the rest are one line with their count."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `where` is a path in the run directory, followed by the row's key where a row is meant."""

    severity: Severity
    kind: str
    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.severity} [{self.kind}] {self.where}: {self.what} ({self.fix})"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The findings of one check, errors first, and how much was looked at.

    `counts` holds shards, bytes, rows, files and journal records; `checked` the rows (or commits, or files) that each
    kind of check looked at, so that a check that had nothing to look at is not mistaken for one that passed.
    """

    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    checked: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """No error. Warnings do not count: they are work still owed, or files nobody needs."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "warning")

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "findings": [asdict(f) for f in self.findings],
            "counts": dict(self.counts),
            "checked": dict(self.checked),
        }


@dataclass(slots=True)
class Findings:
    """Collects findings and counts while a check goes on."""

    counts: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    _named: list[Finding] = field(default_factory=list)
    _seen: set[Finding] = field(default_factory=set)
    _found: Counter[tuple[Severity, str]] = field(default_factory=Counter)

    def error(self, kind: str, where: str, what: str, fix: str) -> None:
        self.add(Finding("error", kind, where, what, fix))

    def warning(self, kind: str, where: str, what: str, fix: str) -> None:
        self.add(Finding("warning", kind, where, what, fix))

    def add(self, finding: Finding, more: int = 0) -> None:
        """Take a finding; `more` is how many others of its kind are counted without being named."""
        found = (finding.severity, finding.kind)
        if finding in self._seen:
            return  # a check that was begun again says the same again
        if self._found[found] < MOST_NAMED:
            self._named.append(finding)
            self._seen.add(finding)
        self._found[found] += 1 + more

    def extend(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.add(finding)

    def report(self) -> CheckReport:
        """The report: errors before warnings, else in the order of the checks."""
        named = Counter((f.severity, f.kind) for f in self._named)
        rest = [
            Finding(severity, kind, "and more", f"{total - named[severity, kind]} more of this kind", "see the others")
            for (severity, kind), total in self._found.items()
            if total > named[severity, kind]
        ]
        findings = sorted([*self._named, *rest], key=lambda f: f.severity != "error")
        return CheckReport(tuple(findings), dict(self.counts), dict(self.checked))
