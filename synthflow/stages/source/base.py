"""What every source is: rows in, problems out, and a word on each that is left out.

Invariants: every row of a source becomes one problem, or a row in `rejects` (an exact copy; a malformed row where
`on_bad_row: reject`), or a mistake with its file and line; two rows with one prompt and different answers are always
a mistake, since one of them would train a model on a falsehood. Memory holds a batch and about 200 bytes a problem.
The path of a source is no part of what its problems are, so a moved file is the same source. What had to be mended in a
column that nobody asked for is a row in `rejects` as well.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from synthflow.contracts import Estimate, Inputs, Services, Stage, StageConfig
from synthflow.contracts.foreign import told_in_one_line
from synthflow.errors import MOST_MISTAKES, Mistake, Mistakes, UserError, suggest
from synthflow.io.chats import ChatStyle
from synthflow.io.json_values import Mended
from synthflow.io.rows import FinalTurn, Mapped, Row, RowError, prompt_column, to_problem
from synthflow.io.seen import Seen
from synthflow.schema import PROBLEMS, REJECTS

BATCH_ROWS = 512


class SourceConfig(StageConfig):
    """What every source has."""

    limit: int | None = Field(None, ge=1, description="take the first so many problems; null: all")
    system: str | None = Field(None, description="system message put before every prompt")
    template: str | None = Field(None, description="text around a prompt that is text; must hold {prompt}")
    domain: str | None = Field(None, description="domain of every problem; null: the row's own `domain`")
    source: str | None = Field(None, description="where it came from; null: the row's own, or the stage's name")
    max_prompt_chars: int = Field(100_000, ge=1, description="a longer prompt is a malformed row")

    @field_validator("template")
    @classmethod
    def _holds_the_prompt(cls, value: str | None) -> str | None:
        if value is not None and "{prompt}" not in value:
            raise ValueError("a text that holds {prompt}")
        return value


class TableSourceConfig(SourceConfig):
    """What sources that read somebody's columns have besides."""

    prompt_column: str | None = Field(
        None,
        description="text or chat messages; null: prompt, messages, problem or question, whichever is there, and of "
        "ShareGPT conversations",
    )
    answer_column: str = Field("answer", description="gold answer, text or a number")
    metadata_columns: tuple[str, ...] | None = Field(None, description="columns to keep as metadata; null: the others")
    split: str | None = Field(None, description="split of every problem; null: the row's own `split`")
    require_answer: bool = Field(True, description="whether a row without an answer is malformed")
    on_bad_row: Literal["fail", "reject"] = Field("fail", description="what a malformed row does")
    chat: ChatStyle = Field(
        "plain",
        description="how chat messages are written. plain: a role and a text; openai: `developer` is `system`, parts "
        "of text are joined, and fields that are empty (`tool_calls: []`) are left out; sharegpt: `conversations` of "
        "`from` (human, gpt) and `value`",
    )
    final_turn: FinalTurn = Field(
        "refuse",
        description="a chat that ends with the assistant. refuse: it is a malformed row; metadata: that turn is no "
        "part of the prompt, and kept as final_turn in the metadata; answer: it is the gold answer",
    )


class Source(Stage):
    """Base of the sources. A subclass yields rows; this class makes problems of them.

    `duplicates` (problem id and place of each left-out copy), `bad_rows` and `mended` are filled by `batches`.
    """

    version = "1"
    added = ("chat", "final_turn")
    scope = "whole"
    writes = ("problems", "rejects")
    Config: ClassVar[type[SourceConfig]] = SourceConfig

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        self.duplicates: list[tuple[str, str]] = []
        self.bad_rows: list[Mistake] = []
        self.mended = Mended()

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Rows in the order of the source.

        Raises:
            UserError: if the source itself cannot be read.
        """

    def content(self) -> str | None:
        """H(all that `rows` reads from outside), where that is cheaper to tell than to read it; None: read it.

        Two sources of one fingerprint and one content have the same problems. What is generated reads nothing: "".

        Raises:
            UserError: if a file cannot be read.
        """
        return None

    def mapped(self) -> Mapped:
        """How this source's columns become problems."""
        c = self.config
        return Mapped(
            source=self.name,
            prompt_column=getattr(c, "prompt_column", None),
            answer_column=getattr(c, "answer_column", "answer"),
            metadata_columns=getattr(c, "metadata_columns", None),
            system=c.system,
            template=c.template,
            fixed={"domain": c.domain, "source": c.source, "split": getattr(c, "split", None)},
            require_answer=getattr(c, "require_answer", True),
            max_prompt_chars=c.max_prompt_chars,
            chat=getattr(c, "chat", "plain"),
            final_turn=getattr(c, "final_turn", "refuse"),
        )

    def batches(self) -> Iterator[pa.Table]:
        """Problems, in tables of at most 512 rows that conform to `PROBLEMS`.

        Raises:
            Mistakes: up to 20 malformed or contradicting rows, with their places; nothing read is valid then, though
                earlier batches have been handed out.
            UserError: if the source cannot be read, or holds no problem.
        """
        self.duplicates, self.bad_rows, self.mended = [], [], Mended()
        batch: list[dict[str, Any]] = []
        count = 0
        for problem in islice(self._problems(), self.config.limit):
            count += 1
            batch.append(problem)
            if len(batch) == BATCH_ROWS:
                yield PROBLEMS.from_rows(batch)
                batch = []
        if batch:
            yield PROBLEMS.from_rows(batch)
        if not count:
            left = f"none of its {len(self.bad_rows)} rows is a problem" if self.bad_rows else "it is empty"
            raise UserError(f"{self.name} ({self.use}) brings no problem: {left}{self._first_bad()}")

    def _problems(self) -> Iterator[dict[str, Any]]:
        how, seen, wrong = self.mapped(), Seen(), list[Mistake]()
        keeps_going = getattr(self.config, "on_bad_row", "fail") == "reject"
        for row in self._read():
            try:
                if isinstance(row.values, RowError):
                    raise row.values
                problem = to_problem(row.values, how, self.mended)
            except RowError as error:
                mistake = Mistake(row.where, error.what, error.fix)
                (self.bad_rows if keeps_going else wrong).append(mistake)
            else:
                before = seen.add(problem["problem_id"], problem["answer"], row)
                if before is None:
                    if not wrong:
                        yield problem
                elif before[0]:
                    self.duplicates.append((problem["problem_id"], row.where))
                else:
                    what = f"the same prompt as {before[1]}, with a different answer"
                    wrong.append(Mistake(row.where, what, "keep the right one"))
            if len(wrong) == MOST_MISTAKES:
                break
        if wrong:
            raise Mistakes(wrong, f"{self.name} ({self.use})" + (", and perhaps more" * (len(wrong) == MOST_MISTAKES)))

    def _read(self) -> Iterator[Row]:
        """The rows. What a plug-in raises is told with the last row that it gave."""
        last: Row | None = None
        try:
            for row in self.rows():
                last = row
                yield row
        except Exception as error:
            place = "before its first row" if last is None else f"after {last.where}"
            with told_in_one_line(f"{self.name} ({self.use}), {place},", self):
                raise error

    def rejects(self, stage_id: str) -> pa.Table:
        """What `batches` left out: copies (score: how many of that problem), malformed rows by file and line, and
        columns of which something was mended (score: in how many rows)."""
        copies = Counter(problem for problem, _ in self.duplicates)
        rows: list[dict[str, Any]] = [
            {"problem_id": problem, "target_id": problem, "reason": "duplicate_problem", "score": float(count)}
            for problem, count in sorted(copies.items())
        ]
        for bad in self.bad_rows:
            # No folder in a table: a run can be moved, and its rows do not depend on where its inputs lay.
            place = bad.where.rpartition("/")[2]
            rows.append({"problem_id": place, "target_id": place, "reason": f"bad_row: {bad.what}", "score": None})
        made = [row | {"target_kind": "problem", "stage_id": stage_id} for row in rows]
        for (column, what), count in sorted(self.mended.items()):
            about = {"problem_id": "", "target_kind": "column", "target_id": column, "stage_id": stage_id}
            made.append(about | {"reason": what, "score": float(count)})
        return REJECTS.from_rows(made)

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """All problems at once: for tests and notebooks. The engine streams `batches`."""
        problems = pa.concat_tables(list(self.batches()))
        services.count(rows=problems.num_rows, rejected=len(self.duplicates) + len(self.bad_rows))
        return {"problems": problems, "rejects": self.rejects(services.stage_id)}

    def count_rows(self) -> tuple[float, str]:
        """How many rows there are, as far as that is cheap to say, with a note where it is an estimate."""
        return 0.0, "unknown"

    def estimate(self, upstream: Estimate) -> Estimate:
        """Problems this source brings, before copies and malformed rows are left out."""
        rows, note = self.count_rows()
        kept = min(rows, self.config.limit) if self.config.limit is not None else rows
        return Estimate(problems=kept, rows={"problems": kept}, note=note)

    def _first_bad(self) -> str:
        return f"; the first: {self.bad_rows[0]}" if self.bad_rows else ""

    def check_columns(self, columns: Sequence[str], answered: bool) -> Iterable[tuple[str, str, str]]:
        """Mistakes in the column fields, given the columns seen and whether any answer was."""
        how = self.mapped()
        try:
            prompt_column(how.prompt_column, columns, how.chat)
        except RowError as error:
            yield "prompt_column", error.what, error.fix
        if how.require_answer and how.final_turn != "answer" and how.answer_column not in columns:
            hint = suggest(how.answer_column, columns) or f"columns: {', '.join(columns[:12])}"
            yield "answer_column", f"no column {how.answer_column!r}", f"{hint}; or set require_answer: false"
        elif how.require_answer and how.final_turn != "answer" and not answered:
            yield "answer_column", f"{how.answer_column!r} is empty in the first rows", "set require_answer: false"
        for name in how.metadata_columns or ():
            if name not in columns:
                yield "metadata_columns", f"no column {name!r}", suggest(name, columns)
