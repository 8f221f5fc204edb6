"""The catalog and SQL on it: views of a made-up run, moved, empty, hostile."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support.made_up_run import made_up_world, problem, rollout, step
from support.written_run import written
from synthflow.errors import InvariantBroken, UserError
from synthflow.schema import TABLES
from synthflow.stores.catalog.build import CATALOG, READABLE_SINCE, build_catalog, open_catalog
from synthflow.stores.catalog.sql import describe, query
from synthflow.stores.catalog.sql_formats import FORMATS, cell, render
from synthflow.stores.catalog.views import VIEWS


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("catalog") / "run", made_up_world())


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "run"))


def rows(run: Path, sql: str) -> list[tuple[Any, ...]]:
    return list(query(run, sql)[1])


def test_the_tables_are_those_that_were_written(run: Path) -> None:
    assert rows(run, "SELECT count(*), count(DISTINCT rollout_id) FROM rollouts") == [(8, 8)]
    assert rows(run, "SELECT list_sort(list(domain)) FROM problems") == [(["algebra", "arithmetic"],)]


def test_every_view_and_column_has_a_comment_and_its_declared_type(run: Path) -> None:
    found = {view.name: view for view in describe(run)}
    assert set(found) == {*TABLES, *(v.name for v in VIEWS)}
    for name, view in found.items():
        assert view.comment, name
        assert all(comment for _, _, comment in view.columns), name
    assert [c for c, _, _ in found["pairs"].columns] == list(TABLES["pairs"].names)


def test_older_readers_can_open_the_file(run: Path) -> None:
    with open_catalog(run) as con:
        kept = con.execute("SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL").fetchall()
        texts = con.execute("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal").fetchall()
    assert kept == [({"storage_version": f"{READABLE_SINCE}+"},)]
    # DuckDB 1.5 and older know `if` as a word of their parser only, and find no such function in what 2.0 wrote down.
    assert [name for name, sql in texts if re.search(r"\bif\W*\(", sql, re.IGNORECASE)] == []


def test_an_empty_run_has_typed_empty_views(tmp_path: Path, run: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    build_catalog(empty, {})
    typed = {v.name: v.columns for v in describe(empty)}
    assert {v.name: v.columns for v in describe(run)} == typed, "types do not depend on whether there are rows"
    for name in typed:
        assert rows(empty, f"SELECT * FROM {name}") == []


@pytest.mark.parametrize("name", ["moved", 'a\'b "c"', "with, comma [1] *? {x}", "ünïcödé 😀"])
def test_a_run_can_be_moved(run: Path, tmp_path: Path, name: str) -> None:
    moved = tmp_path / name
    shutil.move(run, moved)
    assert rows(moved, "SELECT count(*) FROM verdicts WHERE condition = 'none'") == [(12,)]
    with open_catalog(moved) as con:
        assert con.execute("SELECT count(*) FROM steps").fetchall() == [(4,)]


def test_plain_duckdb_works_from_inside_of_the_run(run: Path) -> None:
    code = f"import duckdb; print(duckdb.connect({CATALOG!r}, read_only=True).sql('FROM qdc').fetchall()[0])"
    assert subprocess.run([sys.executable, "-c", code], cwd=run, capture_output=True, check=True).stdout


def test_nothing_in_the_catalog_is_an_absolute_path(run: Path) -> None:
    assert str(run).encode() not in (run / CATALOG).read_bytes()


def test_a_rebuilt_catalog_does_not_disturb_a_reader(run: Path) -> None:
    with open_catalog(run) as reader:
        build_catalog(run, {})
        assert reader.execute("SELECT count(*) FROM rollouts").fetchall() == [(8,)]
        assert rows(run, "SELECT count(*) FROM rollouts") == [(0,)]
    assert not list(run.glob(".*")), "nothing is left aside"


def test_a_missing_shard_is_said(run: Path) -> None:
    with pytest.raises(InvariantBroken, match="gone"):
        build_catalog(run, {"rollouts": ["tables/rollouts/gone.parquet"]})
    assert rows(run, "SELECT count(*) FROM rollouts") == [(8,)], "the catalog of before stays"


# --- the analyst's views -------------------------------------------------------------------------------------------


def test_groups_by_hand(run: Path) -> None:
    sql = """SELECT problem_id, n, n_correct, n_wrong, n_unknown, n_truncated, pass_rate, pass_low, pass_high,
        group_state FROM groups WHERE stage = 'verdicts' ORDER BY 1"""
    first, second = rows(run, sql)
    assert first[:6] == ("p_a", 4, 2, 1, 1, 1) and first[-1] == "mixed"
    # Wilson, 2 of 3: (2/3 + z²/6 ± z·sqrt(2/27 + z²/36)) / (1 + z²/3), z = 1.959964
    assert first[6:9] == pytest.approx((2 / 3, 0.207655, 0.938508), abs=1e-5)
    assert second[:5] == ("p_b", 2, 0, 2, 0) and second[-1] == "all_wrong"
    assert second[7] == 0.0


def test_pass_at_k_agrees_with_the_exact_formula(run: Path) -> None:
    for n, c, k, estimate in rows(run, "SELECT n_judged, n_correct, k, pass_at_k FROM pass_at_k"):
        assert estimate == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k))


def test_qdc_agrees_with_the_merged_accumulators(run: Path) -> None:
    from synthflow.statistics.accumulators import Accumulator, merge_all

    with open_catalog(run) as con:
        result = con.execute("SELECT * FROM stats")
        names = [c[0] for c in result.description]
        stats = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        found = con.execute("SELECT stage, metric, n, mean, std, distinct_elements FROM qdc").fetchall()
    assert {(r["stage"], r["metric"]) for r in stats} == {r[:2] for r in found}
    for stage, metric, n, mean, std, distinct in found:
        held = [r for r in stats if (r["stage"], r["metric"]) == (stage, metric)]
        merged = merge_all(map(Accumulator.from_row, held))
        assert (n, distinct) == (merged.count, merged.distinct)
        if merged.sketch is None:
            assert (mean, std) == (pytest.approx(merged.mean), pytest.approx(merged.std))
        else:
            assert mean == distinct / n


def test_what_each_stage_did_is_a_query(run: Path) -> None:
    sql = """SELECT stage, previous, before, after, n_before, n_after FROM qdc_delta WHERE metric = 'pass_rate'
        ORDER BY position"""
    assert rows(run, sql) == [
        ("verdicts", "rollouts", 0.4, 0.4, 5.0, 5.0),
        ("second", "verdicts", 0.4, 0.4, 5.0, 5.0),
        ("short", "second", 0.4, 0.4, 5.0, 5.0),
        ("steps", "short", 0.4, 0.5, 5.0, 2.0),
        ("pairs", "steps", 0.5, 0.5, 2.0, 2.0),
    ]


def test_slices_add_up(run: Path) -> None:
    sql = """SELECT slice_key, sum(n) FROM qdc_slices WHERE stage = 'verdicts' AND metric = 'n_tokens' GROUP BY 1"""
    assert dict(rows(run, sql)) == dict.fromkeys(("all", "domain", "difficulty_bin", "policy", "round"), 6.0)
    sql = """SELECT slice_value, mean FROM qdc_slices WHERE slice_key = 'domain' AND metric = 'pass_rate'
        AND stage = 'verdicts' ORDER BY 1"""
    assert rows(run, sql) == [("algebra", 0.0), ("arithmetic", pytest.approx(2 / 3))]


def test_histograms_hold_every_observation(run: Path) -> None:
    sql = """SELECT sum(n), bool_and(low < high) FROM qdc_histograms WHERE stage = 'verdicts' AND metric = 'n_tokens'"""
    assert rows(run, sql) == [(6, True)]


def test_pass_rate_by_difficulty(run: Path) -> None:
    sql = "SELECT domain, n_ops, n_judged FROM pass_rate_by_difficulty WHERE stage = 'verdicts' ORDER BY 1"
    assert rows(run, sql) == [("algebra", 2, 2), ("arithmetic", 2, 3)]


TEXT = "👨‍👩‍👧 = e\u0301\x00\u202e' | \"; DROP TABLE\r\n2 + 2 🧮"


def test_steps_are_cut_in_code_points_and_join_again(tmp_path: Path) -> None:
    world = made_up_world()
    world.rows["problems"]["problems"].append(problem("c", metadata="{not json"))
    world.rows["rollouts"]["rollouts"].append(rollout("c1", "c", TEXT))
    cuts = [0, 3, 9, 10, len(TEXT)]
    world.rows["steps"]["steps"] += [step("c1", "c", i, *span) for i, span in enumerate(pairwise(cuts))]
    run = written(tmp_path / "run", world)
    sql = "SELECT step FROM step_advantages WHERE rollout_id = 'r_c1' ORDER BY \"index\""
    found = [text for (text,) in rows(run, sql)]
    assert found == [TEXT[a:b] for a, b in pairwise(cuts)]
    assert "".join(found) == TEXT


def test_a_sample_that_two_stages_tell_of_counts_once(tmp_path: Path) -> None:
    """Stages that sample alike share samples, as a search and its control do."""
    world = made_up_world()
    twice = written(tmp_path / "first", world)
    before = {
        name: rows(twice, f"SELECT * FROM {name} ORDER BY ALL") for name in ("verdicts", "groups", "step_advantages")
    }
    world.rows["steps"]["rollouts"] += [r | {"stage_id": "e_other"} for r in world.rows["rollouts"]["rollouts"]]
    twice = written(tmp_path / "second", world)
    assert rows(twice, "SELECT count(*) > count(DISTINCT rollout_id) FROM rollouts") == [(True,)]
    for name, found in before.items():
        assert rows(twice, f"SELECT * FROM {name} ORDER BY ALL") == found, name


def test_lineage_leads_from_pairs_to_problems(run: Path) -> None:
    sql = """WITH RECURSIVE up(kind, id) AS (
            SELECT 'pair', 'd_a1c0a2' UNION
            SELECT parent_kind, parent_id FROM up JOIN lineage ON child_kind = kind AND child_id = id)
        SELECT kind, id FROM up ORDER BY ALL"""
    assert rows(run, sql) == [
        ("pair", "d_a1c0a2"), ("problem", "p_a"), ("rollout", "r_a1"), ("rollout", "r_a1c0"), ("rollout", "r_a2"),
    ]  # fmt: skip


def test_pair_texts_show_the_question(run: Path) -> None:
    assert rows(run, "SELECT question, chosen, rejected, answer FROM pair_texts") == [("?", "good", "bad", "4")]


# --- SQL -----------------------------------------------------------------------------------------------------------

WRITES = [
    "CREATE TABLE t(a INT)", "CREATE TEMP TABLE t AS SELECT 1", "CREATE TABLE memory.main.t(a INT)",
    "DROP VIEW rollouts",
    "DELETE FROM rollouts", "UPDATE rollouts SET turn = 1", "INSERT INTO rollouts SELECT * FROM rollouts",
    "COPY (SELECT 1) TO 'x.csv'", "COPY (PIVOT stages ON name) TO 'x.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'",
    "WITH x AS (COPY stages TO 'x.csv') FROM x", "EXPLAIN ANALYZE WITH x AS (COPY stages TO 'x.csv') FROM x",
    "FROM query('WITH x AS (COPY stages TO ''x.csv'') FROM x')", "/* SELECT */ CO/**/PY stages TO 'x.csv'",
    "WITH x AS (/* c */ cOpY/**/stages TO 'x.csv') FROM x", "WITH x AS (DELETE FROM rollouts RETURNING *) FROM x",
    "ATTACH 'x.db'", "DETACH run", "INSTALL httpfs", "LOAD httpfs", "SET threads = 1", "SET VARIABLE run = '/'",
    "SELECT 1; DROP VIEW rollouts", "EXPORT DATABASE 'x'", "CALL force_checkpoint()", "PRAGMA enable_profiling",
    "USE memory", "BEGIN", "VACUUM", "CHECKPOINT", "CREATE TEMP TABLE t AS PIVOT stages ON name",
]  # fmt: skip


@pytest.mark.parametrize("sql", WRITES)
def test_what_writes_is_refused(run: Path, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(UserError) as error:
        rows(run, sql)
    assert "\n" not in str(error.value)
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    "sql", ["FROM read_text('/etc/hostname')", "FROM 'https://example.org/x.parquet'", "FROM glob('/*')"]
)
def test_what_is_outside_of_the_run_is_not_read(run: Path, sql: str) -> None:
    with pytest.raises(UserError):
        rows(run, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'copy' AS word", "FROM problems", "DESCRIBE rollouts", "SHOW TABLES", "SUMMARIZE qdc",
        "-- copy\nSELECT 1",
        "PIVOT qdc ON stage USING first(mean) GROUP BY metric", "EXPLAIN SELECT 1", "(SELECT 1)", "VALUES (1)",
        "SELECT \"index\", round FROM rollouts WHERE completion LIKE '%COPY (%'", "WITH a AS (SELECT 1) FROM a",
        "SELECT 1;",
    ],
)  # fmt: skip
def test_what_reads_is_run(run: Path, sql: str) -> None:
    assert rows(run, sql) or "LIKE" in sql


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT * FROM rolouts", "rollouts"),
        ("SELECT verdct FROM verdicts", "verdict"),
        ("SELECT advantage FROM rollouts", "is a column of"),
        ("SELEC 1", "SELEC"),
        ("", "one SQL statement"),
        ("SELECT 1; SELECT 2", "holds 2"),
        ("SELECT error('b' || chr(10) || 'c')", "b c"),
        ("SELECT 1/'x'", "x"),
    ],
)
def test_bad_sql_is_one_clear_line(run: Path, sql: str, hint: str) -> None:
    with pytest.raises(UserError) as error:
        rows(run, sql)
    assert hint in str(error.value) and "\n" not in str(error.value)


def test_no_catalog_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no stats\.duckdb"):
        query(tmp_path, "SELECT 1")
    (tmp_path / CATALOG).write_bytes(b"not a database" * 1000)
    with pytest.raises(UserError, match="cannot be opened"):
        query(tmp_path, "SELECT 1")


def test_many_rows_come_batch_by_batch(run: Path) -> None:
    columns, found = query(run, "SELECT i FROM range(2500) t(i)")
    assert columns == ["i"] and [i for (i,) in found] == list(range(2500))


def hostile() -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    return ["a", "b", "c"], iter([(TEXT, 1.5, None), ("=1+1", float("nan"), [{"k": TEXT}]), ("\x1b[2J", 10**12, True)])


@pytest.mark.parametrize("name", FORMATS)
def test_no_text_breaks_its_row(name: str) -> None:
    lines = list(render(*hostile(), name))
    if name in ("table", "markdown"):
        assert len(lines) == 5 and all(line.isprintable() for line in lines)
    if name == "csv":
        parsed = list(csv.reader(["\n".join(lines)][0].splitlines(keepends=True)))
        assert parsed[1][0].replace("\r\n", "\n") == TEXT.replace("\r\n", "\n") and parsed[1][2] == ""
    if name == "json":
        assert json.loads(lines[0]) == {"a": TEXT, "b": 1.5, "c": None}


def test_markdown_keeps_its_columns() -> None:
    lines = list(render(*hostile(), "markdown"))
    assert all(line.replace("\\|", "").count("|") == 4 for line in lines)


def test_a_table_says_when_it_stops() -> None:
    from synthflow.stores.catalog.sql_formats import as_table

    assert "first 3 rows" in list(as_table(["i"], iter([(i,) for i in range(9)]), limit=3))[-1]
    assert len(list(as_table(["i"], iter([(i,) for i in range(3)]), limit=3))) == 5
    assert cell("a\nb\tc") == "a\\nb\\tc"
    with pytest.raises(UserError, match="xml"):
        render([], iter([]), "xml")


def test_the_read_only_attachment_holds_for_notebooks_too(run: Path) -> None:
    with open_catalog(run) as con, pytest.raises(duckdb.Error, match="read-only"):
        con.execute("CREATE TABLE t(a INT)")


def test_opening_a_catalog_does_not_load_what_measures(run: Path) -> None:
    code = (
        "import sys; from synthflow.stores.catalog.build import open_catalog; "
        f"open_catalog({str(run)!r}).execute('SELECT * FROM qdc').fetchall(); sys.exit('polars' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
