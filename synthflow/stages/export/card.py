"""The card of a release: a YAML head that `datasets` loads by, and a text that a person starts from.

The head never holds `dataset_info.features`: a feature name that the reader's version of `datasets` does not know
is fatal there. The text is a function of the release, without times or paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from synthflow.stages.export.about import About
from synthflow.stages.export.columns import ConfigSpec, is_reserved
from synthflow.stages.export.shards import SPLITS, Written


def render_card(
    specs: Sequence[ConfigSpec],
    written: Mapping[str, Written],
    about: About,
    llama_factory: Sequence[str],
    contents: Mapping[str, str],
) -> str:
    """README.md of a release. `contents` has a hash of each config's files."""
    present = [spec for spec in specs if written[spec.name].rows]
    lines = [*_head(present, written, about, contents), *_intro(specs, written, about)]
    for spec in present:
        lines += _config(spec, written[spec.name], about)
    lines += _left_out(about)
    if llama_factory:
        lines += [
            "## LLaMA-Factory",
            "",
            f"`dataset_info.json` describes {', '.join(f'`{name}`' for name in llama_factory)}: "
            "pass `--dataset_dir DIR --dataset NAME`.",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _head(
    present: Sequence[ConfigSpec], written: Mapping[str, Written], about: About, contents: Mapping[str, str]
) -> Iterator[str]:
    yield "---"
    if about.license:
        yield f"license: {about.license}"
    yield "tags: [synthflow, synthetic]"
    if present:
        yield "configs:"
    for position, spec in enumerate(present):
        yield f"- config_name: {spec.name}"
        if position == 0:
            yield "  default: true"
        yield f"  description: contents {contents[spec.name]}"
        yield "  data_files:"
        for split in SPLITS:
            if split in written[spec.name].files:
                yield f"  - {{split: {split}, path: {spec.name}/{split}-*.parquet}}"
    yield from ("---", "")


def _intro(specs: Sequence[ConfigSpec], written: Mapping[str, Written], about: About) -> Iterator[str]:
    yield from (f"# {about.stage}", "", f"{about.summary} Written by Synthflow, stage `{about.stage}` (`{about.use}`,")
    yield from (f"version {about.version}).", "")
    yield "| config | train rows | validation rows | what it is |"
    yield "|---|---:|---:|---|"
    for spec in specs:
        rows = written[spec.name].rows
        if rows:
            yield f"| `{spec.name}` | {rows.get('train', 0):,} | {rows.get('validation', 0):,} | {spec.comment} |"
    empty = [spec.name for spec in specs if not written[spec.name].rows]
    if empty:
        names = ", ".join(f"`{name}`" for name in empty)
        yield from ("", f"No row came for {names}: {'it is' if len(empty) == 1 else 'they are'} not in this release.")
    for note in about.notes:
        yield from ("", note)
    chain = [f"`{a.name}` ({a.use})" for a in about.ancestors]
    yield from ("", "Made by the stages " + " → ".join(chain) + ".", "")


def _config(spec: ConfigSpec, written: Written, about: About) -> Iterator[str]:
    yield from (f"## {spec.name}", "", "```python", "from datasets import load_dataset", "")
    split = next(iter(written.rows))
    yield from (f'rows = load_dataset(DIR, "{spec.name}", split="{split}")', "```", "")
    if spec.usage:
        yield from ("| trainer | how it reads this config |", "|---|---|")
        for trainer, flags in spec.usage:
            yield f"| {trainer} | {flags} |"
        yield ""
    yield from ("| column | type | what it holds |", "|---|---|---|")
    for column in written.columns:
        yield f"| `{column.name}` | `{_plain_type(str(column.type))}` | {column.comment.replace('|', '/')} |"
    yield ""
    if about.for_analysis and any(is_reserved(c.name) for c in written.columns):
        yield from ("Some of these names mean something to trainers: this config is for analysis.", "")


def _plain_type(text: str) -> str:
    return text.replace("element: ", "").replace("item: ", "").replace("|", "/")


def _left_out(about: About) -> Iterator[str]:
    if not about.rejected:
        return
    yield from ("## What was left out", "", "| rows | why |", "|---:|---|")
    for reason, count in sorted(about.rejected.items(), key=lambda item: (-item[1], item[0])):
        yield f"| {count:,} | {reason.replace('|', '/')} |"
    yield from ("", "Every one of them stands with its id in the run's `rejects` table.", "")
