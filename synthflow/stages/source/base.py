"""Sources: where problems come from.

Invariants: every row of a source becomes one problem, or a row in `rejects` (an exact copy; a malformed row where
`on_bad_row: reject`), or a mistake with its file and line; two rows with one prompt and different answers are always
a mistake, since one of them would train a model on a falsehood. Memory holds a batch and about 200 bytes a problem.
The path of a source is no part of what its problems are, so a moved file is the same source.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from synthflow.contracts import Inputs, Services, Stage, StageConfig, StageInfo, Volume
from synthflow.errors import Mistake, Mistakes, UserError
from synthflow.io import files
from synthflow.io.rows import Mapped, Row, RowError, Seen, prompt_column, to_problem
from synthflow.registry import suggest
from synthflow.schema import PROBLEMS, REJECTS

BATCH_ROWS = 512
MOST_MISTAKES = 20
_PEEKED_ROWS = 50
_COUNTED_BYTES = 64 * 1024 * 1024


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
        None, description="text or chat messages; null: prompt, messages, problem or question, whichever is there"
    )
    answer_column: str = Field("answer", description="gold answer, text or a number")
    metadata_columns: tuple[str, ...] | None = Field(None, description="columns to keep as metadata; null: the others")
    split: str | None = Field(None, description="split of every problem; null: the row's own `split`")
    require_answer: bool = Field(True, description="whether a row without an answer is malformed")
    on_bad_row: Literal["fail", "reject"] = Field("fail", description="what a malformed row does")


class FileSourceConfig(TableSourceConfig):
    path: tuple[str, ...] = Field(
        description="a file, a pattern or a list; relative to the pipeline file", min_length=1
    )

    @field_validator("path", mode="before")
    @classmethod
    def _one_or_many_paths(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class DatasetsConfig(TableSourceConfig):
    path: str = Field(description="name on the hub, or a local folder", min_length=1)
    config: str | None = Field(None, description="configuration (subset) of the data set")
    split: str = Field("train", description="split to read")


class DemoConfig(SourceConfig):
    world: Literal["short", "long"] = Field(
        "short", description="short: 1 to 8 operations, for the model demo; long: 8 to 16, for demo-long"
    )
    split: Literal["heldout", "train"] = Field("heldout", description="the shipped problems, or newly generated ones")
    seed: int = Field(0, ge=0, description="of generated problems")
    ops: tuple[int, ...] | None = Field(None, description="numbers of operations; null: all", min_length=1)

    @model_validator(mode="after")
    def _fits_the_split(self) -> DemoConfig:
        if self.split == "train" and self.limit is None:
            raise ValueError("split: train is generated without end; say how many problems with limit: N")
        if self.split == "heldout" and self.seed:
            raise ValueError("split: heldout is a fixed file; seed belongs to split: train")
        return self


class Source(Stage):
    """Base of the sources. A subclass yields rows; this class makes problems of them.

    `duplicates` (problem id and place of each left-out copy) and `bad_rows` are filled by `batches`.
    """

    version = "1"
    scope = "whole"
    writes = ("problems", "rejects")
    Config: ClassVar[type[SourceConfig]] = SourceConfig

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        self.duplicates: list[tuple[str, str]] = []
        self.bad_rows: list[Mistake] = []

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Rows in the order of the source.

        Raises:
            UserError: if the source itself cannot be read.
        """

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
        )

    def batches(self) -> Iterator[pa.Table]:
        """Problems, in tables of at most 512 rows that conform to `PROBLEMS`.

        Raises:
            Mistakes: up to 20 malformed or contradicting rows, with their places; nothing read is valid then, though
                earlier batches have been handed out.
            UserError: if the source cannot be read, or holds no problem.
        """
        self.duplicates, self.bad_rows = [], []
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
        for row in self.rows():
            try:
                if isinstance(row.values, RowError):
                    raise row.values
                problem = to_problem(row.values, how)
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

    def rejects(self, stage_id: str) -> pa.Table:
        """What `batches` left out: copies (score: how many of that problem) and malformed rows, by file and line."""
        copies = Counter(problem for problem, _ in self.duplicates)
        rows: list[dict[str, Any]] = [
            {"problem_id": problem, "target_id": problem, "reason": "duplicate_problem", "score": float(count)}
            for problem, count in sorted(copies.items())
        ]
        for bad in self.bad_rows:
            # No folder in a table: a run can be moved, and its rows do not depend on where its inputs lay.
            place = bad.where.rpartition("/")[2]
            rows.append({"problem_id": place, "target_id": place, "reason": f"bad_row: {bad.what}", "score": None})
        return REJECTS.from_rows([row | {"target_kind": "problem", "stage_id": stage_id} for row in rows])

    def run(self, inputs: Inputs, services: Services) -> Mapping[str, pa.Table]:
        """All problems at once: for tests and notebooks. The engine streams `batches`."""
        problems = pa.concat_tables(list(self.batches()))
        services.count(rows=problems.num_rows, rejected=len(self.duplicates) + len(self.bad_rows))
        return {"problems": problems, "rejects": self.rejects(services.stage_id)}

    def count_rows(self) -> tuple[float, str]:
        """How many rows there are, as far as that is cheap to say, with a note where it is an estimate."""
        return 0.0, "unknown"

    def estimate(self, upstream: Volume) -> Volume:
        """Problems this source brings, before copies and malformed rows are left out."""
        rows, note = self.count_rows()
        kept = min(rows, self.config.limit) if self.config.limit is not None else rows
        return Volume(problems=kept, rows={"problems": kept}, note=note)

    def _first_bad(self) -> str:
        return f"; the first: {self.bad_rows[0]}" if self.bad_rows else ""

    def _check_columns(self, columns: Sequence[str], answered: bool) -> Iterable[tuple[str, str, str]]:
        """Mistakes in the column fields, given the columns seen and whether any answer was."""
        how = self.mapped()
        try:
            prompt_column(how.prompt_column, columns)
        except RowError as error:
            yield "prompt_column", error.what, error.fix
        if how.require_answer and how.answer_column not in columns:
            hint = suggest(how.answer_column, columns) or f"columns: {', '.join(columns[:12])}"
            yield "answer_column", f"no column {how.answer_column!r}", f"{hint}; or set require_answer: false"
        elif how.require_answer and not answered:
            yield "answer_column", f"{how.answer_column!r} is empty in the first rows", "set require_answer: false"
        for name in how.metadata_columns or ():
            if name not in columns:
                yield "metadata_columns", f"no column {name!r}", suggest(name, columns)


class _FileSource(Source):
    """A source of files; `path` is resolved against the folder of the spec and is no part of the identity."""

    Config = FileSourceConfig
    identity_excludes: ClassVar[tuple[str, ...]] = ("path",)

    @classmethod
    def anchor(cls, given: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
        return {key: files.anchored(value, base_dir) if key == "path" else value for key, value in given.items()}

    @abstractmethod
    def read(self, path: str) -> Iterator[Row]:
        """Rows of one file."""

    @abstractmethod
    def peek(self, path: str) -> tuple[list[str], bool]:
        """Columns of one file, and whether any of the first rows has an answer."""

    def rows(self) -> Iterator[Row]:
        for path in files.expand(self.config.path):
            yield from self.read(path)

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        try:
            found = files.expand(self.config.path)
            columns, answered = self.peek(found[0])
        except UserError as error:
            return [("path", str(error), "")]
        if columns:
            return list(self._check_columns(columns, answered))
        first = next(self.read(found[0]), None)
        if first is not None and isinstance(first.values, RowError):
            return [("path", f"{first.where}: {first.values.what}", first.values.fix)]
        return [("path", f"{files.label(found[0])} is empty", "")] if len(found) == 1 else []


class JsonlSource(_FileSource):
    """Problems from JSON Lines: one object a line, plain or compressed (.gz, .bz2, .zst, .lz4)."""

    use = "source.jsonl"
    summary = "problems from JSON Lines, one object a line, also compressed"

    def read(self, path: str) -> Iterator[Row]:
        return files.json_rows(path)

    def peek(self, path: str) -> tuple[list[str], bool]:
        rows = [row.values for row in islice(files.json_rows(path), _PEEKED_ROWS) if isinstance(row.values, Mapping)]
        # One good row is enough to see columns; a malformed first line is reported with its number by `batches`.
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return columns, any(row.get(self.config.answer_column) not in (None, "") for row in rows)

    def count_rows(self) -> tuple[float, str]:
        """Lines; estimated from the first ones for large or compressed files."""
        total, note = 0.0, ""
        for path in files.expand(self.config.path):
            local = "://" not in path
            plain = Path(path).suffix in (".jsonl", ".json", ".ndjson", ".txt", "")
            if local and plain and Path(path).stat().st_size > _COUNTED_BYTES:
                with files.open_bytes(path) as stream:
                    head = [stream.readline(files.MAX_LINE_BYTES) for _ in range(1000)]
                total += Path(path).stat().st_size / (sum(map(len, head)) / len(head))
                note = "problems estimated from the size of the file"
            else:
                total += sum(1 for _ in islice(files.json_rows(path), self.config.limit))
        return total, note


class ParquetSource(_FileSource):
    """Problems from Parquet files."""

    use = "source.parquet"
    summary = "problems from Parquet files"

    def read(self, path: str) -> Iterator[Row]:
        return files.parquet_rows(path)

    def peek(self, path: str) -> tuple[list[str], bool]:
        columns, rows = files.parquet_columns(path)
        if not rows:
            return [], False
        head = islice(files.parquet_rows(path), _PEEKED_ROWS)
        values = [row.values for row in head if isinstance(row.values, Mapping)]
        return columns, any(row.get(self.config.answer_column) not in (None, "") for row in values)

    def count_rows(self) -> tuple[float, str]:
        """Rows, from the footers."""
        return float(sum(files.parquet_columns(path)[1] for path in files.expand(self.config.path))), ""


class DemoSource(Source):
    """Word problems of a demo world: the shipped held-out ones, or newly generated training ones."""

    use = "source.demo"
    summary = "word problems that a demo policy was trained for; needs no download"
    Config = DemoConfig

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        # The short world was there first: naming it changes no rows, so it changes no fingerprint either.
        self.identity_excludes = ("world",) if config.world == "short" else ()  # type: ignore[misc]

    def mapped(self) -> Mapped:
        from synthflow import demo

        split = "test" if self.config.split == "heldout" else "train"
        fixed = {"domain": self.config.domain, "source": self.config.source, "split": split}
        return Mapped(
            source=demo.WORLDS[self.config.world].source,
            system=self.config.system,
            template=self.config.template,
            fixed=fixed,
            max_prompt_chars=self.config.max_prompt_chars,
        )

    def rows(self) -> Iterator[Row]:
        from synthflow import demo

        ops = self.config.ops
        if self.config.split == "heldout":
            for row in files.json_rows(str(demo.heldout_path(self.config.world))):
                if ops is None or (isinstance(row.values, Mapping) and row.values["metadata"]["n_ops"] in ops):
                    yield row
            return
        wanted = {"seed": self.config.seed, "ops": ops, "world": self.config.world}
        try:
            made = demo.generate_problems(self.config.limit, split="train", **wanted)
            for i, problem in enumerate(made, start=1):
                yield Row("demo", i, problem.to_row(), "problem")
        except ValueError as error:
            raise UserError(f"{self.name} (source.demo): {error}") from error

    def check(self, ancestors: Sequence[StageInfo]) -> Iterable[tuple[str, str, str]]:
        try:
            next(self.rows(), None)
        except UserError as error:
            return [("ops", str(error), "")]
        return []

    def count_rows(self) -> tuple[float, str]:
        """Problems, counted or as generated."""
        if self.config.split == "train":
            return float(self.config.limit), ""
        return float(sum(1 for _ in self.rows())), ""


def __getattr__(name: str) -> Any:
    """`DatasetsSource` lives in a module of its own that builds on this one; here is where it is registered."""
    if name == "DatasetsSource":
        from synthflow.stages.source.datasets import DatasetsSource

        return DatasetsSource
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
