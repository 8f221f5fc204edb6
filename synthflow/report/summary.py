"""What a person wants to know of a run in one screen: `synthflow stats RUN`, and the end of `synthflow run`.

Invariants: every number comes from the catalog's views by a query that is written here, so an analyst can start from
it; what several queries read is made once; `run_summary` returns plain data (JSON holds it as it is), `render` only
draws it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import duckdb
    from rich.console import Console, RenderableType

Summary: TypeAlias = dict[str, Any]

_QUERIES: dict[str, str] = {
    "rollouts": """SELECT coalesce(st.name, r.stage_id) AS stage, condition, count(*) AS rollouts,
            count(DISTINCT problem_id) AS problems, sum(n_tokens)::BIGINT AS tokens,
            avg((finish_reason = 'length')::INT) AS truncated_share
        FROM rollouts r LEFT JOIN stages st USING (stage_id) GROUP BY 1, 2 ORDER BY 1, 2""",
    "verdicts": """SELECT stage, sum(n)::BIGINT AS judged_or_not, sum(n_correct)::BIGINT AS correct,
            sum(n_wrong)::BIGINT AS wrong, sum(n_unknown)::BIGINT AS "unknown"
        FROM groups GROUP BY stage ORDER BY stage""",
    "unknown_reasons": """SELECT stage, reason, count(*) AS rollouts FROM verdicts
        WHERE verdict = 'unknown' AND condition = 'none' GROUP BY stage, reason ORDER BY rollouts DESC, stage, reason
        LIMIT 10""",
    "unanswered": """SELECT coalesce(st.name, r.stage_id) AS stage, count(*) AS rollouts,
            count(*) FILTER (WHERE finish_reason = 'refused') AS refused,
            count(*) FILTER (WHERE finish_reason = 'failed') AS failed,
            count(*) FILTER (WHERE finish_reason = 'poison') AS poison, any_value(x.reason) AS words
        FROM rollouts r LEFT JOIN stages st USING (stage_id)
        LEFT JOIN (SELECT stage_id, target_id, min(reason) AS reason FROM rejects WHERE target_kind = 'rollout'
            GROUP BY ALL) x ON x.stage_id = r.stage_id AND x.target_id = r.rollout_id
            AND r.finish_reason IN ('refused', 'failed', 'poison')
        GROUP BY 1 HAVING refused + failed + poison > 0 ORDER BY 1""",
    "notes": """SELECT coalesce(st.name, t.stage_id) AS stage, substr(metric, 7) AS note, sum(value)::BIGINT AS rollouts
        FROM telemetry t LEFT JOIN stages st USING (stage_id) WHERE metric LIKE 'note: %'
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2""",
    "without_labels": """SELECT coalesce(st.name, r.stage_id) AS stage, count(*) AS rollouts
        FROM rejects r LEFT JOIN stages st USING (stage_id) WHERE reason = 'no_token_ids' GROUP BY 1 ORDER BY 1""",
    "groups": """SELECT stage, group_state, count(*) AS groups FROM groups GROUP BY stage, group_state ORDER BY ALL""",
    "steps": """SELECT labeler, count(DISTINCT rollout_id) AS rollouts, count(*) AS steps,
            avg(advantage) AS mean_advantage, avg(abs(advantage)) AS mean_size, avg(advantage_se) AS mean_se,
            count(*) FILTER (WHERE is_first_error) AS first_errors, sum(tokens_spent)::BIGINT AS tokens_spent
        FROM step_values GROUP BY labeler ORDER BY labeler""",
    "pairs": """SELECT level, rule, count(*) AS pairs, count(DISTINCT problem_id) AS problems,
            avg(margin) AS mean_margin, avg(length_ratio) AS mean_length_ratio
        FROM pairs GROUP BY level, rule ORDER BY level, rule""",
    # Reasons that differ only in another row's id or in a measured number are one reason.
    "rejects": """SELECT coalesce(st.name, r.stage_id) AS stage,
            regexp_replace(reason, '\\b[a-z]_[0-9a-f]{24}\\b|\\d+\\.\\d{2,}', '…', 'g') AS reason, count(*) AS "rows"
        FROM rejects r LEFT JOIN stages st USING (stage_id) GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 20""",
    "qdc": """SELECT position, stage, axis, metric, groups, n, mean, std, minimum, maximum, distinct_elements
        FROM qdc ORDER BY position, stage, axis, metric""",
    "qdc_delta": """SELECT stage, previous, axis, metric, before, after, delta FROM qdc_delta
        ORDER BY position, stage, previous, axis, metric""",
    # All columns: a catalog that an earlier version built lacks some.
    "calibration": "SELECT * FROM calibration WHERE slice_key = 'all' ORDER BY calibration, scorer, reference",
}

_CALIBRATION = ("scorer", "reference", "n", "n_problems", "coverage", "precision", "recall", "false_accept",
                "false_accept_high", "kappa", "auroc")  # fmt: skip


_MADE_ONCE = ("groups", "pass_rate_by_difficulty", "qdc", "qdc_delta")
"""Views that several queries read, or that are made of each other: each becomes a table that hides the view."""
_BINNED = {"pass_rate_by_n_ops": "n_ops", "pass_rate_by_domain": "domain", "pass_rate_by_difficulty": "difficulty_bin"}
_ONLY_IF: dict[str, str] = {
    "unknown_reasons": "SELECT 1 FROM groups WHERE n_unknown > 0 LIMIT 1",
    "calibration": "SELECT 1 FROM stats WHERE slice_key >= 'against ' AND slice_key < 'against!' LIMIT 1",
}
"""What says at little cost that a section has rows."""


def run_summary(con: duckdb.DuckDBPyConnection, run: str | Path | None = None) -> Summary:
    """What a run holds, as lists of rows by section; a section without rows is an empty list.

    Args:
        con: from `stores.catalog.open_catalog`.
        run: the run directory, to list its exports; None leaves them out.
    """
    for name, sql in _definitions().items():
        con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")
    summary: Summary = {name: _rows(con, sql) if _has(con, name) else [] for name, sql in _QUERIES.items()}
    summary |= {section: _rows(con, _pass_rate_by(column)) for section, column in _BINNED.items()}
    return summary | (releases(Path(run)) if run is not None else {"exports": [], "set_aside": []})


def queries() -> list[str]:
    """All that decides what a summary says of the same rows."""
    return [*_definitions().values(), *_QUERIES.values(), *map(_pass_rate_by, _BINNED.values())]


def releases(run: Path) -> Summary:
    """The sections of a run that are read from its folders."""
    return {"exports": _releases(run / "exports"), "set_aside": _releases(run / "set-aside")}


def _definitions() -> dict[str, str]:
    from synthflow.stores.catalog.views import VIEWS

    by_name = {view.name: view.sql for view in VIEWS}
    return {name: by_name[name] for name in _MADE_ONCE}


def _pass_rate_by(column: str) -> str:
    """Problems of which the column says nothing are a row of their own, last; none if it says nothing of any."""
    return f"""SELECT stage, {column}, sum(n_groups)::BIGINT AS n_groups, sum(n_judged)::BIGINT AS n_judged,
            sum(pass_rate * n_judged) / nullif(sum(n_judged), 0) AS pass_rate
        FROM pass_rate_by_difficulty
        WHERE EXISTS (SELECT 1 FROM pass_rate_by_difficulty WHERE {column} IS NOT NULL)
        GROUP BY stage, {column} ORDER BY stage, {column} NULLS LAST"""


def _has(con: duckdb.DuckDBPyConnection, section: str) -> bool:
    return section not in _ONLY_IF or con.execute(_ONLY_IF[section]).fetchone() is not None


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    from synthflow.stores.catalog.sql_formats import plain

    result = con.execute(sql)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, map(plain, row), strict=True)) for row in result.fetchall()]


def _releases(folder: Path) -> list[dict[str, Any]]:
    """Releases in a folder: files, bytes, and rows of the Parquet ones, in all and by config."""
    found = []
    for release in sorted(p for p in folder.glob("*") if p.is_dir() and not p.name.startswith(".")):
        files = [p for p in sorted(release.rglob("*")) if p.is_file()]
        configs = _configs(files, release)
        found.append(
            {
                "export": release.name,
                "rows": sum(configs.values()),
                "configs": configs,
                "files": len(files),
                "bytes": sum(p.stat().st_size for p in files),
            }
        )
    return found


def _configs(files: Sequence[Path], release: Path) -> dict[str, int]:
    """Rows of each config: the first folder that a Parquet file stands in."""
    import pyarrow.parquet as pq

    rows: Counter[str] = Counter()
    for path in files:
        if path.suffix == ".parquet":
            rows[path.relative_to(release).parts[0]] += pq.read_metadata(path).num_rows
    return dict(rows)


def summary_lines(summary: Summary) -> list[str]:
    """The summary in a few plain sentences, for a log or the end of a run."""
    lines = []
    first = [row for row in summary["rollouts"] if row["condition"] == "none"]
    if first:
        total, more = sum(r["rollouts"] for r in first), sum(r["rollouts"] for r in summary["rollouts"])
        counted = [r["tokens"] for r in summary["rollouts"] if r["tokens"] is not None]
        tokens = f"{sum(counted):,} tokens" if counted else "tokens that nobody counted"
        rest = f", {more - total:,} continuations" if more > total else ""
        lines.append(f"{total:,} rollouts of {max(r['problems'] for r in first):,} problems{rest}, {tokens}")
    continued = any(row["condition"] != "none" for row in summary["rollouts"])
    for row in summary["verdicts"]:
        judged = row["correct"] + row["wrong"]
        rate = f", pass rate {row['correct'] / judged:.3f}" if judged else ""
        counts = f"{row['correct']:,} correct, {row['wrong']:,} wrong, {row['unknown']:,} unknown"
        lines.append(f"{row['stage']}: {counts}{rate}{' (first rollouts)' if continued else ''}")
    for stage in dict.fromkeys(row["stage"] for row in summary["groups"]):
        states = (f"{r['groups']:,} {r['group_state']}" for r in summary["groups"] if r["stage"] == stage)
        lines.append(f"{stage}: groups {', '.join(states)}")
    for row in summary["steps"]:
        mean = f", mean advantage {row['mean_advantage']:+.3f}" if row["mean_advantage"] is not None else ""
        lines.append(f"{row['labeler']}: {row['steps']:,} steps of {row['rollouts']:,} rollouts{mean}")
    lines.extend(f"{r['pairs']:,} {r['level']} pairs ({r['rule']})" for r in summary["pairs"])
    lines.extend(f"export {r['export']}: {r['rows']:,} rows{_by_config(r)}" for r in summary["exports"] if r["rows"])
    gone = "the spec has this export no more"
    lines.extend(f"set-aside/{r['export']}: {r['rows']:,} rows, {gone}" for r in summary.get("set_aside", ()))
    return [*lines, *_warnings(summary), *_left_out(summary)] or ["nothing was sampled yet"]


def _by_config(release: Mapping[str, Any]) -> str:
    configs = release.get("configs") or {}
    return f" ({', '.join(f'{name} {n:,}' for name, n in configs.items())})" if len(configs) > 1 else ""


def _left_out(summary: Summary) -> list[str]:
    """One line on the releases that left out more than they hold, each with its two commonest reasons."""
    from synthflow.stores.catalog.sql_formats import cell

    told = []
    for row in summary["exports"]:
        left = [r for r in summary["rejects"] if r["stage"] == row["export"]]
        if 0 < row["rows"] < (total := sum(r["rows"] for r in left)):
            why = ", ".join(f"{r['rows']:,} {cell(r['reason'])}" for r in left[:2])
            told.append(f"{row['export']} {total:,} ({why})")
    return [f"left out of releases: {'; '.join(told)}"] if told else []


def _warnings(summary: Summary) -> list[str]:
    """What a person should not overlook: empty releases, requests without an answer, what was not as asked."""
    from synthflow.stores.catalog.sql_formats import cell

    lines = []
    for row in summary["exports"]:
        if not row["rows"]:
            left_out = [r for r in summary["rejects"] if r["stage"] == row["export"]]
            why = (
                "; left out: " + ", ".join(f"{r['rows']:,} {cell(r['reason'])}" for r in left_out[:3])
                if left_out
                else ""
            )
            lines.append(f"export {row['export']} is EMPTY{why}")
    for row in summary["unanswered"]:
        ended = ", ".join(f"{row[name]:,} {name}" for name in ("refused", "failed", "poison") if row[name])
        lines.append(f"{row['stage']}: {ended} of {row['rollouts']:,} requests, such as {cell(row['words'])}")
    lines.extend(f"{row['stage']}: {row['note']} ({row['rollouts']:,} rollouts)" for row in summary["notes"])
    lines.extend(
        f"{row['stage']}: {row['rollouts']:,} rollouts have no token ids, so that no step of theirs is labelled; name "
        "the model's tokenizer with weights: PATH, and a server that tells token ids (docs/servers.md)"
        for row in summary["without_labels"]
    )
    return lines


def qdc_table(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Header and rows of stage against headline metrics: means, to three digits; no measurement: a dash."""
    from synthflow.statistics.metrics import headings

    means = {(r["stage"], r["metric"]): r["mean"] for r in summary["qdc"]}
    stages = list(dict.fromkeys(r["stage"] for r in summary["qdc"]))
    metrics = [m for m in headings() if any((stage, m) in means for stage in stages)]
    rows = [[stage, *(_short(means.get((stage, metric))) for metric in metrics)] for stage in stages]
    return ["stage", *metrics], rows


def _short(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def render(console: Console, summary: Summary, *, brief: bool = False) -> None:
    """Draw the summary; `brief` leaves out what `synthflow stats` shows at leisure."""
    from rich.text import Text

    from synthflow.statistics.metrics import headings

    for line in summary_lines(summary):
        console.print(Text(line))
    by_operations = ("stage", "n_ops", "n_groups", "n_judged", "pass_rate")
    sections: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("pass rate by operations", "pass_rate_by_n_ops", by_operations),
        ("pass rate by domain", "pass_rate_by_domain", ("stage", "domain", "n_groups", "n_judged", "pass_rate")),
        ("why unknown", "unknown_reasons", ("stage", "reason", "rollouts")),
        ("left out", "rejects", ("stage", "reason", "rows")),
        ("calibration", "calibration", _CALIBRATION),
    )
    if brief:
        for line in _by_operations(summary):
            console.print(Text(line))
        return
    for title, section, columns in sections:
        if summary.get(section):
            rows = [[_short(row.get(column)) for column in columns] for row in summary[section]]
            console.print(_drawn(title, list(columns), rows))
    header, rows = qdc_table(summary)
    if rows:
        console.print(_drawn("what each stage retains (means)", ["stage", *(headings()[m] for m in header[1:])], rows))


def _by_operations(summary: Summary) -> list[str]:
    """Pass rates by the number of operations, a line a verify stage."""
    rates: dict[str, list[str]] = {}
    for row in summary["pass_rate_by_n_ops"]:
        if row["n_ops"] is not None:
            rates.setdefault(row["stage"], []).append(f"{row['n_ops']:.0f}: {_short(row['pass_rate'])}")
    return [f"{stage}: pass rate by operations {', '.join(said)}" for stage, said in rates.items()]


def _drawn(title: str, header: list[str], rows: list[list[str]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    from synthflow.stores.catalog.sql_formats import cell

    table = Table(title=title, title_justify="left", header_style="bold")
    for i, name in enumerate(header):
        is_text = name in {"stage", "reason", "domain", "scorer", "reference"}
        table.add_column(Text(name), justify="left" if is_text else "right", no_wrap=i == 0)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    return table
