"""`synthflow init`."""

from __future__ import annotations

from pathlib import Path

import click

from synthflow.errors import UserError

EPILOG = """\b
Examples:
  synthflow init my-data
  cd my-data && synthflow run pipeline.yaml
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
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Write pipeline.yaml and problems.jsonl into FOLDER, to start from. Existing files are left alone."""
    files = {"pipeline.yaml": _PIPELINE, "problems.jsonl": _PROBLEMS}
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise UserError(f"{folder / there[0]} exists already; give another folder, or move it away")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        click.echo(f"wrote {folder / name}")
    click.echo(f"next: synthflow run {folder / 'pipeline.yaml'}")
