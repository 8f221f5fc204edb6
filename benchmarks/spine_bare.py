"""What bare libraries need for parts of the path that `spine.py` measures: CPU seconds of this process, by part.

    python benchmarks/spine_bare.py FOLDER/recording [--judged 3000]

- `writer`: the recorded rows, which are dicts already, to checked journal lines and to Parquet, 512 at a time;
- `arrow_writer`: the same rows as record batches to Parquet;
- `math_verify`: Math-Verify with its defaults on `--judged` of the completions, counted for all;
- `duckdb`: seven measures of every rollout added up a problem, with distinct texts and last lines, to Parquet.

Reading the recording is not counted, but for DuckDB, which reads what it needs. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from synthflow.schema import ROLLOUTS

_STATISTICS = """
copy (
    with measured as (
        select problem_id, completion, n_tokens, length(completion) as chars,
            length(completion) - length(replace(completion, chr(10), '')) + 1 as lines,
            length(completion) - length(replace(completion, ' ', '')) + 1 as words,
            len(regexp_extract_all(completion, '[-+*/]')) as operations,
            len(regexp_extract_all(completion, '[0-9]+')) as numbers,
            list_sum(logprobs) as logprob, string_split(completion, chr(10))[-1] as last_line
        from read_parquet('{files}')
    ), long as (
        unpivot (select problem_id, n_tokens::double as n_tokens, chars::double as chars, lines::double as lines,
            words::double as words, operations::double as operations, numbers::double as numbers,
            logprob::double as logprob from measured)
        on n_tokens, chars, lines, words, operations, numbers, logprob into name metric value value
    )
    select problem_id, metric, count(*) as count, sum(value) as total, sum(value * value) as total_sq,
        min(value) as minimum, max(value) as maximum, histogram(floor(value / 8)) as histogram
    from long group by all
    union all by name
    select problem_id, unnest(['texts', 'last_lines']) as metric,
        unnest([count(distinct completion), count(distinct last_line)]) as count
    from measured group by problem_id
) to '{out}' (format parquet, compression zstd)
"""


def files_of(recording: Path) -> Iterator[pa.Table]:
    for path in sorted(recording.glob("*.parquet")):
        yield pq.read_table(path, schema=ROLLOUTS.schema)


def writer(recording: Path, out: Path) -> float:
    """As lean as dicts allow: a journal line with its checksum, a column a list, one file a 512 rows."""
    spent = 0.0
    with (out / "journal").open("wb") as journal:
        for number, table in enumerate(files_of(recording)):
            rows = table.to_pylist()
            began = time.process_time()
            for row in rows:
                line = orjson.dumps({**row, "logprobs": None, "p": np.asarray(row["logprobs"], "<f4").tobytes().hex()})
                journal.write(b"%08x %s\n" % (zlib.crc32(line), line))
            columns = [pa.array([row[c.name] for row in rows], c.type) for c in ROLLOUTS.columns]
            written = pa.table(columns, schema=ROLLOUTS.schema)
            pq.write_table(written, out / f"{number}.parquet", compression="zstd", compression_level=3)
            spent += time.process_time() - began
    return spent


def arrow_writer(recording: Path, out: Path) -> float:
    spent = 0.0
    for number, table in enumerate(files_of(recording)):
        began = time.process_time()
        pq.write_table(table, out / f"{number}.parquet", compression="zstd", compression_level=3)
        spent += time.process_time() - began
    return spent


def math_verify(recording: Path, answers: Mapping[str, str], judged: int) -> tuple[float, int]:
    """CPU seconds and rollouts that were judged, spread over the recording."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    paths = sorted(recording.glob("*.parquet"))
    chosen = paths[:: max(1, len(paths) * 512 // judged)]
    tables = [pq.read_table(path, columns=["prompt", "completion"]) for path in chosen]
    rows = pa.concat_tables(tables).slice(0, judged).to_pylist()
    verify(parse("\\boxed{1}"), parse("\\boxed{2}"))
    began = time.process_time()
    for row in rows:
        verify(parse(f"\\boxed{{{answers[row['prompt'][0]['content']]}}}"), parse(row["completion"]))
    return time.process_time() - began, len(rows)


def duckdb_statistics(recording: Path, out: Path) -> float:
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads = 1")
    began = time.process_time()
    connection.execute(_STATISTICS.format(files=recording / "*.parquet", out=out / "statistics.parquet"))
    return time.process_time() - began


def figures(recording: Path, judged: int) -> dict[str, Any]:
    pa.set_cpu_count(1)
    rollouts = sum(pq.ParquetFile(path).metadata.num_rows for path in recording.glob("*.parquet"))
    problems = map(json.loads, (recording.parent / "problems.jsonl").read_text().splitlines())
    answers = {problem["prompt"]: problem["answer"] for problem in problems}
    found: dict[str, Any] = {"rollouts": rollouts}
    for name, part in (("writer", writer), ("arrow_writer", arrow_writer), ("duckdb", duckdb_statistics)):
        with tempfile.TemporaryDirectory(prefix="synthflow-spine-") as out:
            found[name] = part(recording, Path(out))
    spent, of = math_verify(recording, answers, min(judged, rollouts))
    return found | {"math_verify": spent * rollouts / of, "math_verify_judged": of}


def main() -> None:
    parser = argparse.ArgumentParser(description="Parts of the path by bare libraries.")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--judged", type=int, default=3000, help="rollouts that Math-Verify judges")
    given = parser.parse_args()
    print(json.dumps(figures(given.recording, given.judged)))


if __name__ == "__main__":
    main()
