"""Verify a file of answers: the same rows with the verdict of a verifier beside each.

Invariants: nothing is judged before everything that can be checked is checked, and all mistakes are told together;
every row of the input is a row of the output, in order; an answer that is missing or a row that cannot be read is
`unknown` with its reason, or stops the work, never `wrong`; the output appears when it is complete.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

from synthflow.contracts import Judgement, Question, Verifier
from synthflow.errors import MOST_MISTAKES, InvariantBroken, Mistake, Mistakes, UserError
from synthflow.ids import content_id
from synthflow.io import readers
from synthflow.io.columns import ASKED, Chosen, choose_columns, clash
from synthflow.io.files import COMPRESSIONS
from synthflow.io.paths import expand, label
from synthflow.io.rows import Row, RowError, answer_text
from synthflow.io.writers import Added, is_there, plain, writing
from synthflow.rollouts.eligibility import verdict_from_finish_reason
from synthflow.rollouts.questions import note
from synthflow.verifiers.opening import open_verifier
from synthflow.verifiers.workers.unique import judge_unique

FINISH = "finish_reason"
"""The column that says how a completion ended, where a file has one."""

_VERDICTS = ("correct", "wrong", "unknown")
_MOST_REASONS = 1000
_OTHER = "(others)"


@dataclass(frozen=True)
class VerifyFile:
    """What to do. `out` None means beside the input, with `.verified` before the suffix.

    Attributes:
        overwrite: replace columns of the added names, and an output that is there already (the input itself too).
        bad_rows_unknown: record a row that cannot be read as unknown, instead of stopping.
        truncated: what an answer is whose column `finish_reason` says length, as in a verify stage.
    """

    path: str
    verifier: str
    config: Mapping[str, Any] = field(default_factory=dict)
    answer_column: str | None = None
    gold_column: str | None = None
    out: str | None = None
    overwrite: bool = False
    bad_rows_unknown: bool = False
    truncated: Literal["unknown", "wrong", "judge"] = "unknown"


@dataclass
class FileVerdicts:
    """What was done: counts of verdicts, of (verdict, reason), and of (rule, verdict) where a rule found an answer."""

    file: str
    out: str
    scorer: str
    scorer_version: str
    config_hash: str
    columns: Chosen
    rows: int = 0
    bad_rows: int = 0
    elapsed_s: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, judgement: Judgement) -> None:
        self.rows += 1
        self.verdicts[judgement.verdict] += 1
        if judgement.rule is not None:
            self.rules[judgement.rule, judgement.verdict] += 1
        if judgement.reason is not None:
            key = (judgement.verdict, judgement.reason.partition(":")[0][:100])
            self.reasons[key if key in self.reasons or len(self.reasons) < _MOST_REASONS else (key[0], _OTHER)] += 1

    def by_rule(self) -> list[tuple[str, Mapping[str, int]]]:
        """Each rule that found an answer, the busiest first, with how many of each verdict."""
        rows = Counter[str]()
        for (rule, _), n in self.rules.items():
            rows[rule] += n
        return [(rule, {v: self.rules[rule, v] for v in _VERDICTS}) for rule, _ in rows.most_common()]

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "out": self.out,
            "rows": self.rows,
            "verdicts": {name: self.verdicts[name] for name in _VERDICTS},
            "reasons": [
                {"verdict": verdict, "reason": reason, "rows": n} for (verdict, reason), n in self.reasons.most_common()
            ],
            "rules": [{"rule": rule, **verdicts} for rule, verdicts in self.by_rule()],
            "bad_rows": self.bad_rows,
            "scorer": self.scorer,
            "scorer_version": self.scorer_version,
            "config_hash": self.config_hash,
            "answer_column": self.columns.answer,
            "gold_column": self.columns.gold,
            "elapsed_s": round(self.elapsed_s, 3),
        }


Progress = Callable[[FileVerdicts, int | None], None]


def default_out(path: str) -> str:
    """`a/b.jsonl.gz` -> `a/b.verified.jsonl.gz`."""
    folder, slash, name = path.rpartition("/")
    suffixes = PurePath(name).suffixes
    kept = "".join(suffixes[-2:] if suffixes[-1:] and suffixes[-1].lower() in COMPRESSIONS else suffixes[-1:])
    return f"{folder}{slash}{name.removesuffix(kept)}.verified{kept}"


def verify_file(asked: VerifyFile, progress: Progress | None = None) -> FileVerdicts:
    """Judge every row of a file and write it with its verdicts.

    Args:
        progress: is told after every chunk what was done, and how many rows there are, where that is known.

    Raises:
        Mistakes: everything that is wrong with the call; or up to 20 rows that cannot be read, with their lines.
        UserError: if a file cannot be read or written.
        InfrastructureError: if the verifier cannot work; nothing is written then.
    """
    started = time.monotonic()
    answers, verifier, chosen, out = checked(asked)
    try:
        done = FileVerdicts(
            asked.path,
            out,
            asked.verifier,
            verifier.full_version(),
            content_id("c", asked.verifier, verifier.config),
            chosen,
        )
        total = answers.count()
        judge = FileJudge(asked, verifier, chosen, done)
        # A column of another Parquet file is copied as it is; all else is needed as rows.
        copied = "parquet" == readers.format_of(asked.path) == readers.format_of(out)
        wanted = list(_judged(chosen)) if copied and chosen.metadata is not None else None
        with writing(out, answers) as writer:
            for chunk in answers.chunks(chosen.problem, wanted):
                added = judge.added(chunk.rows)
                if not judge.mistakes:
                    writer.write(chunk, added)
                    if progress is not None:
                        done.elapsed_s = time.monotonic() - started
                        progress(done, total)
            if judge.mistakes:
                more = ", and perhaps more" * (len(judge.mistakes) >= MOST_MISTAKES)
                raise Mistakes(judge.mistakes[:MOST_MISTAKES], f"{label(asked.path)}{more}")
            if not done.rows:
                raise UserError(f"{label(asked.path)}: it holds no row")
        done.elapsed_s = time.monotonic() - started
        return done
    finally:
        verifier.close()


def checked(asked: VerifyFile) -> tuple[readers.AnswerFile, Verifier, Chosen, str]:
    """Everything that can be known before the first row is judged."""
    found: list[Mistake] = []
    verifier: Verifier | None = None
    try:
        verifier = open_verifier(asked.verifier, asked.config)
    except Mistakes as error:
        found.extend(error.found)
    except UserError as error:
        found.append(Mistake("--verifier", str(error)))
    try:
        out, answers, chosen = _checked_file(asked, verifier is None or verifier.needs_answer, found)
        if found or chosen is None or answers is None or verifier is None:
            raise Mistakes(found, f"synthflow verify {label(asked.path)}")
    except BaseException:
        if verifier is not None:
            verifier.close()
        raise
    return answers, verifier, chosen, out


def _checked_file(
    asked: VerifyFile, needs_gold: bool, found: list[Mistake]
) -> tuple[str, readers.AnswerFile | None, Chosen | None]:
    out = asked.out or default_out(asked.path)
    try:
        readers.format_of(out)
        same = "://" not in out and "://" not in asked.path and Path(out).resolve() == Path(asked.path).resolve()
        if not asked.overwrite and is_there(out):
            what = "it is the input itself" if same or out == asked.path else "it is there already"
            found.append(Mistake(f"--out {label(out)}", what, "give another --out, or --overwrite"))
    except UserError as error:
        found.append(Mistake("--out", str(error)))
    except Exception as error:  # every file system has errors of its own
        found.append(Mistake(f"--out {out}", f"cannot be looked at: {str(error)[:200]}"))
    try:
        several = expand([asked.path])
        if several != [asked.path]:
            raise UserError(f"{asked.path} is a pattern ({len(several)} files); name one file at a time")
        answers = readers.open_answers(asked.path)
        columns = answers.columns()
        chosen = None
        if columns:
            chosen, wrong = choose_columns(columns, asked.answer_column, asked.gold_column, needs_gold, asked.overwrite)
            found.extend(wrong)
        else:
            found.append(_no_columns(answers))
        return out, answers, chosen
    except Mistakes:
        raise
    except UserError as error:
        found.append(Mistake("FILE", str(error)))
        return out, None, None


def _no_columns(answers: readers.AnswerFile) -> Mistake:
    """Why none of the first rows shows a column."""
    for chunk in answers.chunks(None, None):
        for row in chunk.rows:
            if isinstance(row.values, RowError):
                return Mistake(row.where, row.values.what, row.values.fix)
    return Mistake("FILE", f"{label(answers.path)} is empty")


class FileJudge:
    """Turns rows into questions, asks the verifier, and counts."""

    def __init__(self, asked: VerifyFile, verifier: Verifier, chosen: Chosen, done: FileVerdicts) -> None:
        self.asked, self.verifier, self.chosen, self.done = asked, verifier, chosen, done
        self.mistakes: list[Mistake] = []

    def added(self, rows: Sequence[Row]) -> list[Added]:
        """The added columns of some rows; after a mistake, none: the rest is only looked at for more mistakes."""
        early: list[Judgement | None] = []
        questions: list[Question] = []
        for row in rows:
            said = self.before_asking(row)
            early.append(said if isinstance(said, Judgement) else None)
            if isinstance(said, Question):
                questions.append(said)
            if len(self.mistakes) >= MOST_MISTAKES:
                break
        if self.mistakes:
            if len(self.mistakes) >= MOST_MISTAKES:
                what = f"{label(self.asked.path)}, and perhaps more"
                raise Mistakes(self.mistakes[:MOST_MISTAKES], what)
            return []
        answers = judge_unique(self.verifier, questions) if questions else []
        if len(answers) != len(questions):
            what = f"{len(questions)} questions, {len(answers)} judgements"
            raise InvariantBroken(f"verifier {self.asked.verifier!r}: {what}")
        given = iter(answers)
        return [self._row(judgement if judgement is not None else next(given)) for judgement in early]

    def _row(self, judgement: Judgement) -> Added:
        self.done.add(judgement)
        return {
            "verdict": judgement.verdict,
            "reason": note(judgement.reason),
            "value": judgement.value,
            "detail": note(judgement.detail),
            "extracted": note(judgement.extracted),
            "rule": judgement.rule,
            "scorer": self.done.scorer,
            "scorer_version": self.done.scorer_version,
        }

    def before_asking(self, row: Row) -> Question | Judgement:
        """What the verifier is to be asked about a row, or what is known without asking."""
        try:
            if isinstance(row.values, RowError):
                raise row.values
            return self._question(row, row.values)
        except RowError as error:
            if not self.asked.bad_rows_unknown:
                fix = error.fix or "mend it"
                self.mistakes.append(Mistake(row.where, error.what, f"{fix}; or give --on-bad-row unknown"))
            self.done.bad_rows += 1
            return Judgement.unknown(f"bad_row: {error.what}")

    def _question(self, row: Row, values: Mapping[str, Any]) -> Question | Judgement:
        if not self.asked.overwrite and clash(list(values)):
            raise RowError(f"it has a field {clash(list(values))!r} already", "give --overwrite to replace it")
        completion = _completion(values.get(self.chosen.answer), self.chosen.answer)
        cut = verdict_from_finish_reason(_word(values.get(FINISH)), self.asked.truncated)
        gold = answer_text(values.get(self.chosen.gold), self.chosen.gold) if self.chosen.gold else None
        if cut is not None:
            return cut
        if completion is None:
            return Judgement.unknown("no_completion")
        if self.verifier.needs_answer and (gold is None or not gold.strip()):
            return Judgement.unknown("no_gold")
        target = content_id("r", row.where)
        problem = values.get(self.chosen.problem) if self.chosen.problem else None
        return Question(
            target,
            target if problem is None else problem if isinstance(problem, str) else content_id("p", _text(problem)),
            _clean(completion),
            None if gold is None else _clean(gold),
            self._metadata(values),
            _prompt(values, self.chosen),
            _word(values.get("domain")),
            _word(values.get("source")),
        )

    def _metadata(self, values: Mapping[str, Any]) -> str:
        """The `metadata` column, or else all columns that are not judged, as a source keeps them: one JSON object."""
        inner = values.get(self.chosen.metadata) if self.chosen.metadata else None
        if isinstance(inner, str):
            return inner or "{}"
        if isinstance(inner, Mapping):
            return _text(inner)
        used = {self.chosen.answer, self.chosen.gold}
        return _text({name: value for name, value in values.items() if name not in used})


def _prompt(values: Mapping[str, Any], chosen: Chosen) -> tuple[tuple[str, str], ...]:
    """What was asked, as chat messages; empty where no column says."""
    names = (name for name in ASKED if name not in (chosen.answer, chosen.gold))
    given = next((values[name] for name in names if values.get(name)), None)
    if isinstance(given, str):
        return (("user", _clean(given)),)
    if not isinstance(given, Sequence):
        return ()
    said = [m for m in given if isinstance(m, Mapping) and isinstance(m.get("content"), str)]
    return tuple((str(m.get("role", "user")), _clean(m["content"])) for m in said)


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _judged(chosen: Chosen) -> set[str]:
    needed = (chosen.answer, chosen.gold, chosen.problem, chosen.metadata, FINISH, *ASKED, "domain", "source")
    return {name for name in needed if name is not None}


def _completion(value: Any, column: str) -> str | None:
    """Text or a number; of a chat, what the assistant said last."""
    if isinstance(value, list) and value and all(isinstance(m, Mapping) and "content" in m for m in value):
        said = [m["content"] for m in value if m.get("role") == "assistant" and isinstance(m["content"], str)]
        return said[-1] if said else None
    return answer_text(value, column)


def _text(value: Any) -> str:
    def as_text(inner: Any) -> str:
        try:
            return str(plain(inner))
        except TypeError:
            return f"({type(inner).__name__})"

    return _clean(json.dumps(value, ensure_ascii=False, default=as_text))


def _clean(text: str) -> str:
    """Without the lone surrogates that JSON escapes may bring, which no other process can be sent."""
    return text.encode("utf-8", "replace").decode()
