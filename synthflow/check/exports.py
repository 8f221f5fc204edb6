"""Every candidate of an export is in the release or in `rejects`, and every exported row cites what is there.

Invariants: a release's `sf_` ids name rows of the tables; of the candidates that an export accounts for (whole
rollouts for sft and stepwise, pairs for preference, problems for rl) each is a row of its main config or a reject. An
export that declares no account is checked for its ids only: what its candidates are, it alone knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthflow.check.database import Rows, quoted
from synthflow.contracts import Account

_AGAIN = "take the export's line out of manifest.jsonl and run again: nothing is sampled for it"
_CITED = {
    "sf_rollout_id": ("rollouts", "rollout_id"),
    "sf_chosen_rollout_id": ("rollouts", "rollout_id"),
    "sf_rejected_rollout_id": ("rollouts", "rollout_id"),
    "sf_pair_id": ("pairs", "pair_id"),
    "sf_problem_id": ("problems", "problem_id"),
}


def check_exports(rows: Rows) -> None:
    """Compare the releases with the tables."""
    configs: dict[tuple[str, str], list[str]] = {}
    for stage, relative in rows.released:
        parts = relative.split("/")
        if relative.endswith(".parquet") and len(parts) == 4:
            configs.setdefault((stage, parts[2]), []).append(relative)
    for files in configs.values():
        _check_cited(rows, files)
    for name, record in rows.graph.stages.items():
        if record.account is not None and name in {stage for stage, _ in rows.released}:
            account = Account(**record.account)
            _check_account(rows, name, account, configs.get((name, account.config), []))


def _read(rows: Rows, files: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(quoted(str(rows.link / f)) for f in files)}])"


def _columns(rows: Rows, files: Sequence[str]) -> dict[str, str]:
    described = rows.connection.execute(f"DESCRIBE SELECT * FROM {_read(rows, files)}").fetchall()
    return {str(row[0]): str(row[1]) for row in described}


def _check_cited(rows: Rows, files: Sequence[str]) -> None:
    columns = _columns(rows, files)
    folder = files[0].rpartition("/")[0]
    for column, (table, key) in _CITED.items():
        if columns.get(column) != "VARCHAR":
            continue
        counted = rows.connection.execute(f"SELECT count(*) FROM {_read(rows, files)}").fetchall()
        rows.found.checked["reference"] += counted[0][0]
        if rows.whole("c", (table, None)) == "true":  # a release has no units: it is checked when all is there
            rows.faults(
                "reference",
                column,
                f"""SELECT {quoted(folder)} AS sf_path, c.{column} AS id, 'it is not in {table}' AS what
                    FROM {_read(rows, files)} c ANTI JOIN {rows.view(table)} t ON c.{column} = t.{key}
                    WHERE c.{column} IS NOT NULL""",
                _AGAIN,
            )


def _check_account(rows: Rows, stage: str, account: Account, files: Sequence[str]) -> None:
    producers = rows.above(stage, account.table)
    if account.table == "problems":
        producers = rows.nearest(stage, "problems")
    if not producers or not rows.count("coverage", account.table, producers):
        return
    told = f"SELECT target_id AS told FROM {rows.view('rejects', [stage])}"
    if files and account.column in _columns(rows, files):
        told += f" UNION ALL SELECT {account.column} FROM {_read(rows, files)}"
    rows.faults(
        "coverage",
        account.key,
        f"""SELECT DISTINCT c.sf_path, c.{account.key} AS id,
                   {quoted(f"export {stage} neither wrote it nor says in rejects why not")} AS what
            FROM {rows.view(account.table, producers)} c ANTI JOIN ({told}) t ON c.{account.key} = t.told
            WHERE {account.when} AND {rows.whole("c", ("rejects", [stage]), (account.table, producers))}""",
        _AGAIN,
    )
