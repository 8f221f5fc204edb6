"""What `measure.step_agreement` found, as a page for a browser: one file, no script, nothing from elsewhere.

Invariant: every number on it stands in the views `step_agreement` and `step_reliability`; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

from synthflow.report.svg import Axis, Point, Series, chart, colour_of, token_axis, unit_axis

if TYPE_CHECKING:
    import duckdb

Row: TypeAlias = Mapping[str, Any]
Found: TypeAlias = dict[str, list[dict[str, Any]]]

_QUERIES = {
    "agreement": """SELECT * FROM step_agreement
        ORDER BY agreement, labeler, is_truth DESC, reference, slice_key, slice_value""",
    "reliability": "SELECT * FROM step_reliability WHERE slice_key = 'all' ORDER BY agreement, labeler, reference, bin",
}
HEADLINE = {
    "auroc_first_wrong": "AUROC, first wrong",
    "auroc_within_rollout": "AUROC within rollouts",
    "auroc_newly_wrong": "AUROC, newly wrong",
    "auroc_p_first_error": "AUROC of p",
    "first_accuracy": "first error right",
    "first_exact": "right if named",
    "first_within_one": "within one",
    "first_named": "named",
    "first_lowest": "lowest step",
    "first_likeliest": "likeliest step",
    "first_false": "false alarm",
    "kappa": "kappa",
    "spearman": "Spearman",
    "ece": "ECE",
}
"""Statistics against the truth that are shown, and their headers."""

PLOTTED = {"auroc_first_wrong": "all rollouts", "auroc_within_rollout": "within a rollout"}
BY = "auroc_within_rollout"
"""What is plotted against tokens, and of that what is plotted by difficulty."""

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1100px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.2rem}p.said{color:#555;max-width:70ch}
table{border-collapse:collapse;font-size:12px;margin:.6rem 0}
th,td{padding:.25rem .34rem;text-align:right;white-space:nowrap}
th{border-bottom:1px solid #333;vertical-align:bottom;white-space:normal;font-weight:600;max-width:4.6rem}
td:first-child,th:first-child{text-align:left}tr+tr td{border-top:1px solid #eee}
td small{color:#777;display:block;font-size:10px}
.row{display:flex;flex-wrap:wrap;gap:1.2rem}figure{margin:0}figcaption{font-size:13px;color:#444;font-weight:600}
svg .tick{font:11px system-ui,sans-serif;fill:#555}svg .axis{font:600 12px system-ui,sans-serif}
.key span{display:inline-block;margin-right:1.1rem;font-size:13px}.key i{display:inline-block;width:.7rem;height:.7rem;
border-radius:50%;margin-right:.35rem}.wide{overflow-x:auto}"""


def agreement_of(con: duckdb.DuckDBPyConnection) -> Found:
    """Rows of the views, as plain data; empty lists where a catalog has none.

    Args:
        con: from `stores.catalog.open_catalog`.
    """
    from synthflow.stores.catalog.sql_formats import plain

    views = {row[0] for row in con.execute("SELECT view_name FROM duckdb_views()").fetchall()}
    if "step_agreement" not in views:  # built by an earlier version
        return {name: [] for name in _QUERIES}
    found: Found = {}
    for name, sql in _QUERIES.items():
        result = con.execute(sql)
        names = [column[0] for column in result.description or ()]
        found[name] = [dict(zip(names, map(plain, row), strict=True)) for row in result.fetchall()]
    return found


def truth_rows(found: Found) -> list[dict[str, Any]]:
    """One row a labeler over the whole: against the truth, or, where there is none, against the outcome."""
    whole = [row for row in found["agreement"] if row["slice_key"] == "all"]
    truths = [row for row in whole if row["is_truth"]]
    return truths or [row for row in whole if row["reference"] == "outcome"]


def page(found: Found, name: str) -> str:
    """The page as HTML. `name` is the run's."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>Step labelers of {escape(name)}</title><style>{_STYLE}</style>",
        f"<h1>Which step labeler to believe</h1><p class='said'>Run <b>{escape(name)}</b>.",
    ]
    stages = list(dict.fromkeys(row["agreement"] for row in found["agreement"]))
    for stage in stages:
        own = {key: [row for row in rows if row["agreement"] == stage] for key, rows in found.items()}
        parts += _section(stage, own)
    return "\n".join([*parts, "</html>"])


def _section(stage: str, found: Found) -> Iterator[str]:
    rows = truth_rows(found)
    names = list(dict.fromkeys(row["labeler"] for row in found["agreement"]))
    has_truth = any(row["is_truth"] for row in rows)
    truth = f"the truth is <b>{escape(rows[0]['reference'])}</b>" if has_truth else "no truth was named"
    problems = max((row["n_problems"] for row in found["agreement"]), default=0)
    yield f" Stage <b>{escape(stage)}</b>: {truth}; up to {problems:,} problems a number. Whiskers and brackets are 95%"
    yield " intervals over problems: two labelers whose intervals overlap much were not told apart here.</p>"
    yield _key(names)
    if has_truth:
        yield "<h2>What a label costs, and what it knows</h2><p class='said'>Up is better, left is cheaper. First wrong"
        yield " steps against right ones: over all rollouts, where spreading the outcome over the steps tells much"
        yield " already; and among the steps of one rollout, where it tells nothing. The dashed line is a coin.</p>"
        plots = [_tokens_chart(rows, names, metric, title) for metric, title in PLOTTED.items()]
        yield f"<div class='row'>{''.join(plots)}</div>"
        yield "<h2>Against the truth</h2>"
        yield _table(rows, [m for m in HEADLINE if any(row.get(m) is not None for row in rows)])
        yield from _by_difficulty(found, names)
    if found["reliability"]:
        yield "<h2>Does a value mean what it says?</h2><p class='said'>On the line, steps that were given a value came"
        yield " out as often as it says. Above it, the labeler is too pessimistic.</p>"
        yield _curves(found["reliability"], names)
    yield from _among(found, names)


def _key(names: Sequence[str]) -> str:
    items = (f"<span><i style='background:{colour_of(names, n)}'></i>{escape(n)}</span>" for n in names)
    return f"<p class='key'>{''.join(items)}</p>"


def _tokens_chart(rows: Sequence[Row], names: Sequence[str], metric: str, title: str) -> str:
    told = [row for row in rows if row[metric] is not None]
    if not told:
        return ""
    x, place = token_axis(_tokens(row) for row in told)
    lowest = min(row[f"{metric}_low"] if row[f"{metric}_low"] is not None else row[metric] for row in told)
    y = unit_axis(f"AUROC: {title}", 0.4 if lowest >= 0.4 else 0.0)
    series = []
    for row in told:
        point = _point(place(_tokens(row)), row, metric, f"{_tokens(row):,.0f} tokens a rollout")
        series.append(Series(row["labeler"], colour_of(names, row["labeler"]), [point], labelled=True))
    return f"<figure>{chart(series, x, y, width=510, height=350, dashed=[((x.low, 0.5), (x.high, 0.5))])}</figure>"


def _tokens(row: Row) -> float:
    """Tokens sampled for the labels of one rollout."""
    return float((row["tokens"] or 0) / max(row["rollouts"] or 1, 1))


def _point(x: float, row: Row, metric: str, said: str) -> Point:
    tip = f"{row['labeler']}: {_with_interval(row, metric)}; {said}"
    return Point(x, row[metric], row[f"{metric}_low"], row[f"{metric}_high"], tip=tip)


def _by_difficulty(found: Found, names: Sequence[str]) -> Iterator[str]:
    titles = {"steps": "steps of the rollout", "n_ops": "operations of the problem", "difficulty_bin": "difficulty"}
    figures = []
    for key, title in titles.items():
        rows = [r for r in found["agreement"] if r["is_truth"] and r["slice_key"] == key and r[BY] is not None]
        values = sorted({row["slice_value"] for row in rows}, key=_slice_order)
        if len(values) < 2:
            continue
        x = Axis(title, -0.5, len(values) - 0.5, list(enumerate(values)))
        series = []
        for k, name in enumerate(names):
            own = sorted((r for r in rows if r["labeler"] == name), key=lambda r: values.index(r["slice_value"]))
            aside = (k - (len(names) - 1) / 2) * 0.06
            points = [_point(values.index(r["slice_value"]) + aside, r, BY, f"{title} {r['slice_value']}") for r in own]
            series.append(Series(name, colour_of(names, name), points, joined=True))
        y, dashed = unit_axis(f"AUROC: {PLOTTED[BY]}"), [((x.low, 0.5), (x.high, 0.5))]
        figures.append(f"<figure>{chart(series, x, y, width=510, height=300, dashed=dashed)}</figure>")
    if figures:
        yield f"<h2>By difficulty</h2><div class='row'>{''.join(figures)}</div>"


_BINS = ("perfect", "very_easy", "easy", "medium", "hard", "very_hard", "impossible", "undecided")


def _slice_order(value: str) -> tuple[float, str]:
    if value in _BINS:
        return float(_BINS.index(value)), value
    digits = value.split("-")[0].rstrip("+")
    return (float(digits) if digits.isdigit() else 0.0), value


def _curves(rows: Sequence[Row], names: Sequence[str]) -> str:
    figures = []
    largest = max(row["n"] for row in rows)
    for name in names:
        for reference in dict.fromkeys(row["reference"] for row in rows if row["labeler"] == name):
            own = [row for row in rows if (row["labeler"], row["reference"]) == (name, reference)]
            points = [_bin_point(row, largest) for row in own]
            series = [Series(name, colour_of(names, name), points, joined=True)]
            came = "outcome" if reference == "outcome" else f"{reference}: no error yet"
            plot = chart(
                series,
                unit_axis("value given"),
                unit_axis("what came"),
                width=310,
                height=270,
                dashed=[((0, 0), (1, 1))],
            )
            figures.append(f"<figure><figcaption>{escape(name)} against {escape(came)}</figcaption>{plot}</figure>")
    return f"<div class='row'>{''.join(figures)}</div>"


def _bin_point(row: Row, largest: int) -> Point:
    """One bin of a reliability curve; its area grows with its steps."""
    tip = f"{row['n']:,} steps: value {row['predicted']:.2f}, came {row['observed']:.2f}"
    size = 2 + 5 * (row["n"] / largest) ** 0.5
    return Point(row["predicted"], row["observed"], row["observed_low"], row["observed_high"], size, tip)


def _among(found: Found, names: Sequence[str]) -> Iterator[str]:
    pairs = {
        (r["labeler"], r["reference"]): r
        for r in found["agreement"]
        if r["slice_key"] == "all" and not r["is_truth"] and r["reference"] in names
    }
    if not pairs:
        return
    names = [name for name in names if any(name in pair for pair in pairs)]
    yield "<h2>Against each other</h2><p class='said'>Spearman's correlation of advantages, and kappa of the"
    yield " named first error. Two labelers that agree may be wrong together.</p><table><tr><th></th>"
    yield "".join(f"<th>{escape(name)}</th>" for name in names) + "</tr>"
    for a in names:
        cells = []
        for b in names:
            row = pairs.get((a, b))
            cells.append(
                "<td>–</td>"
                if row is None
                else f"<td>{_cell(row, 'spearman')}<small>kappa {_number(row['kappa'])}</small></td>"
            )
        yield f"<tr><td>{escape(a)}</td>{''.join(cells)}</tr>"
    yield "</table>"


def _table(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    header = "".join(f"<th>{escape(HEADLINE[m])}</th>" for m in metrics)
    lines = [f"<div class='wide'><table><tr><th>labeler</th><th>tokens a rollout</th>{header}</tr>"]
    for row in rows:
        tokens = f"{_tokens(row):,.0f}"
        cells = "".join(f"<td>{_cell(row, m)}</td>" for m in metrics)
        lines.append(f"<tr><td>{escape(row['labeler'])}</td><td>{tokens}</td>{cells}</tr>")
    return "\n".join([*lines, "</table></div>"])


def _cell(row: Row, metric: str) -> str:
    low, high = row.get(f"{metric}_low"), row.get(f"{metric}_high")
    small = "" if low is None else f"<small>{_number(low)} – {_number(high)}</small>"
    return _number(row.get(metric)) + small


def _with_interval(row: Row, metric: str) -> str:
    low = row[f"{metric}_low"]
    return _number(row[metric]) + ("" if low is None else f" [{_number(low)}, {_number(row[f'{metric}_high'])}]")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
