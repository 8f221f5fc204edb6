"""A pipeline in Python: the fields of a pipeline file as arguments, and `run`.

Invariant: it is the pipeline that the same fields in a file give, checked when it is made; a run of it is resumed,
topped up and looked at by the command line as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from synthflow.api.finished import Run
from synthflow.api.rows import has_rows, written_out
from synthflow.api.script import workers_without_script
from synthflow.errors import UserError

if TYPE_CHECKING:
    from synthflow.contracts import PolicyConfig
    from synthflow.spec.models import ExecutionSpec
    from synthflow.spec.pipeline import Pipeline as Checked


class Pipeline:
    """A checked pipeline that can be planned and run."""

    def __init__(
        self,
        name: str,
        stages: Mapping[str, Any],
        policy: Mapping[str, Any] | PolicyConfig | None = None,
        policies: Mapping[str, Mapping[str, Any] | PolicyConfig] | None = None,
        *,
        seed: int = 0,
        round: int = 0,
        execution: Mapping[str, Any] | ExecutionSpec | None = None,
        base_dir: str | Path = ".",
    ) -> None:
        """
        Args:
            stages: fields of each stage by name, as in a pipeline file; `{"use": "source.rows", "rows": ROWS}` takes
                problems from a list of dicts, or from a pandas, polars or Arrow table.
            base_dir: what relative paths are relative to.

        Raises:
            Mistakes: everything that is wrong with it, found together.
        """
        self._stages = dict(stages)
        self._fields: dict[str, Any] = {
            "policy": policy,
            "policies": policies,
            "seed": seed,
            "round": round,
            "execution": execution,
            "base_dir": base_dir,
        }
        self._loaded: Checked | None = None
        self.name = name
        with TemporaryDirectory(prefix="synthflow-rows-") as scratch:
            self._checked(Path(scratch))

    @classmethod
    def load(cls, spec: str | Path, *overrides: str) -> Pipeline:
        """A pipeline file or a recipe, with overrides such as `"stages.rollouts.n=8"`."""
        from synthflow.spec import load_pipeline

        made = cls.__new__(cls)
        made._loaded = load_pipeline(spec, overrides)
        made.name = made._loaded.name
        return made

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r})"

    def plan(self, out: str | Path | None = None) -> dict[str, Any]:
        """What a run would do: the content of `synthflow plan --json`."""
        from synthflow.plan.plan import make_plan

        with TemporaryDirectory(prefix="synthflow-rows-") as scratch:
            return make_plan(self._checked(Path(scratch)), self._root(out)).to_json()

    def run(
        self,
        out: str | Path | None = None,
        *,
        progress: bool = True,
        replace: bool = False,
        retry: Collection[str] = (),
        scheduler: str | None = None,
    ) -> Run:
        """Run it, or what is still owed of it.

        Works in a script without an `if __name__ == "__main__":` guard, and in a notebook.

        Args:
            out: the run directory; None: `runs/NAME`.
            progress: show it, redrawn in a terminal, as lines elsewhere.
            replace: go on in a directory that holds the run of another pipeline.
            retry: finish_reasons (`refused`, `failed`, `poison`) whose rollouts are asked for again.
            scheduler: address of a Dask scheduler, or its file, instead of a local cluster.

        Raises:
            SynthflowError: as `synthflow run` says it; what was finished is kept, and another call resumes.
        """
        from synthflow.cli.display import display_for
        from synthflow.cli.text import console
        from synthflow.execute.run import run_pipeline
        from synthflow.stores.rundir import RunDirectory

        root = RunDirectory.create(self._root(out)).root
        with workers_without_script():
            done = run_pipeline(
                self._checked(root / "inputs"),
                root,
                scheduler=scheduler,
                retry=retry,
                replace=replace,
                display=lambda tracker: display_for(tracker, console()) if progress else nullcontext(),
            )
        return Run(done.root, done.attempt, done.elapsed_s)

    def to_yaml(self) -> str:
        """The pipeline file that says the same.

        Raises:
            UserError: if it has rows in memory, for which a file has no word; a run writes one, `resolved.yaml`.
        """
        if self._loaded is None and has_rows(self._stages):
            raise UserError(f"{self.name}: rows in memory have no place in a file; `run` writes them and resolved.yaml")
        return self._checked(Path()).to_yaml()

    def _root(self, out: str | Path | None) -> Path:
        return Path("runs") / self.name if out is None else Path(out)

    def _checked(self, inputs: Path) -> Checked:
        """The pipeline, with rows in memory as files under `inputs`."""
        from synthflow.spec.pipeline import Pipeline as Checked

        if self._loaded is not None:
            return self._loaded
        stages = written_out(self._stages, inputs.resolve(), Path(self._fields["base_dir"]))
        return Checked.build(self.name, stages, **self._fields)
