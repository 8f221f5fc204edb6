"""`synthflow init`."""

from __future__ import annotations

from pathlib import Path

import click

from synthflow.cli.scaffold import PLUGINS, SCHEMA, SCHEMA_LINE, plugin_files, recipe_files, schema_text, write_files

EPILOG = """\b
Examples:
  synthflow init my-data                        pipeline.yaml and problems.jsonl
  cd my-data && synthflow run pipeline.yaml
  synthflow init --recipe mcts-preference       the recipe as mcts-preference.yaml, to change
  synthflow init --plugin verifier my-verifier  a package with a verifier, and its test
"""

_PROBLEMS = """\
{"prompt": "Ana has 12 apples. She buys 5 more. How many apples does Ana have now?", "answer": "17"}
{"prompt": "A box holds 6 pens. How many pens are in 4 boxes?", "answer": "24"}
{"prompt": "Tom has 30 coins and gives 8 to Mia. How many coins does Tom have left?", "answer": "22"}
"""

_PIPELINE = """\
# Your first pipeline. `synthflow plan pipeline.yaml` says what it will do; `synthflow run pipeline.yaml` does it.
name: first
seed: 0

# The demo policy is small and runs on any CPU. For your own model:
#   policy: {backend: vllm, model: PATH-OR-NAME}                             on this machine's GPUs
#   policy: {backend: openai, base_url: http://HOST:8000/v1, model: NAME}    on a server
policy: {backend: transformers, model: demo}

stages:
  problems:   {use: source.jsonl, path: problems.jsonl}
  rollouts:   {use: sample, of: problems, n: 16, temperature: 1.0, max_tokens: 256}
  verdicts:   {use: verify.math, of: rollouts}
  difficulty: {use: curriculum.pass_rate, of: verdicts}
  steps:      {use: label.monte_carlo, of: verdicts, n: 8, rollouts_per_problem: 2, max_tokens: 256}
  pairs:      {use: mine.pairs, of: [steps, difficulty], level: response}
  sft:        {use: export.sft, of: [verdicts, difficulty]}
  dpo:        {use: export.preference, of: pairs}
  report:     {use: measure.qdc, of: [verdicts, pairs]}
"""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--recipe", metavar="NAME", help="Copy a recipe instead (`synthflow list recipes`).")
@click.option("--plugin", type=click.Choice(list(PLUGINS)), help="Write a package for something of your own instead.")
def init(folder: Path | None, recipe: str | None, plugin: str | None) -> None:
    """Write a first pipeline and some problems into FOLDER, to start from. No file of yours is replaced."""
    if recipe is not None and plugin is not None:
        raise click.UsageError("--recipe and --plugin are two things; give one of them")
    if plugin is not None:
        folder = folder or Path(f"my-{plugin}")
        files = plugin_files(plugin, folder)
        following = f"pip install --editable {folder} && pytest {folder}"
    else:
        folder = folder or Path()
        files = _first_files() if recipe is None else recipe_files(recipe)
        following = f"synthflow run {folder / next(iter(files))}"
    for path in write_files(folder, files):
        click.echo(f"wrote {path}")
    click.echo(f"next: {following}")


def _first_files() -> dict[str, str]:
    return {"pipeline.yaml": SCHEMA_LINE + _PIPELINE, "problems.jsonl": _PROBLEMS, SCHEMA: schema_text()}
