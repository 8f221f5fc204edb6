"""A run directory in Python: its tables as frames, its releases as folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synthflow.errors import UserError, suggest

if TYPE_CHECKING:
    import polars as pl


class Run:
    """What `Pipeline.run` gives, and what `Run(path)` opens of an earlier one.

    Attributes:
        root: the run directory.
        attempt: the attempt that `Pipeline.run` made; None if there was nothing to do.
        elapsed_s: seconds that it took.
    """

    def __init__(self, root: str | Path, attempt: int | None = None, elapsed_s: float = 0.0) -> None:
        """
        Raises:
            UserError: if there is no run here.
        """
        from synthflow.stores.rundir import RunDirectory

        self.root = RunDirectory.existing(Path(root)).root
        self.attempt, self.elapsed_s = attempt, elapsed_s

    def __repr__(self) -> str:
        return f"Run({str(self.root)!r})"

    def __fspath__(self) -> str:
        return str(self.root)

    def sql(self, query: str) -> pl.DataFrame:
        """Rows of a query in DuckDB SQL, over the same tables and views as `synthflow sql`.

        Raises:
            UserError: if the query is wrong, or would write.
        """
        import polars as pl

        from synthflow.stores.catalog.sql import query as asked

        names, rows = asked(self.root, query)
        return pl.DataFrame(list(rows), schema=names, orient="row", infer_schema_length=None)

    def table(self, name: str) -> pl.DataFrame:
        """A whole table or view, such as `rollouts`, `verdicts` or `pairs`.

        Raises:
            UserError: if there is none of that name.
        """
        from synthflow.stores.catalog.sql import describe

        known = [view.name for view in describe(self.root)]
        if name not in known:
            raise UserError(f"no table or view is called {name!r}; {suggest(name, known) or ', '.join(known)}")
        return self.sql(f'SELECT * FROM "{name}"')

    @property
    def releases(self) -> dict[str, Path]:
        """Folders of the releases, by the names of the stages that wrote them."""
        return {path.name: path for path in sorted((self.root / "exports").glob("[!.]*"))}

    def release(self, stage: str) -> Path:
        """The folder of one release: what `datasets.load_dataset` and trainers take.

        Raises:
            UserError: if no stage of that name wrote one.
        """
        found = self.releases
        if stage not in found:
            raise UserError(
                f"no release of a stage {stage!r} here; {suggest(stage, found) or ', '.join(found) or 'none'}"
            )
        return found[stage]
