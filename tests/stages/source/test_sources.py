"""A row of a file becomes one problem, one rejects row, or one mistake with its line."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from synthflow import ids
from synthflow.contracts import Estimate
from synthflow.errors import Mistakes, UserError
from synthflow.io import files as source_files
from synthflow.io.json_lines import parse_json
from synthflow.io.rows import ExactFloat, RowError
from synthflow.plan.records import identity_config
from synthflow.schema import PROBLEMS
from synthflow.spec import Pipeline
from synthflow.stages.source.base import Source
from synthflow.stages.source.datasets import DatasetsSource
from synthflow.stages.source.demo import DemoSource
from synthflow.stages.source.files import JsonlSource, ParquetSource

FUNCTION_FIXTURES = [HealthCheck.function_scoped_fixture]


def jsonl(path: Path, **fields: Any) -> JsonlSource:
    return JsonlSource("p", JsonlSource.Config(use="source.jsonl", path=str(path), **fields))


def lines(folder: Path, rows: Sequence[Any], name: str = "problems.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return path


def read(source: Source) -> list[dict[str, Any]]:
    tables = list(source.batches())
    assert all(t.schema.equals(PROBLEMS.schema) for t in tables)
    return [row for t in tables for row in t.to_pylist()]


def failure(source: Source) -> str:
    with pytest.raises(UserError) as caught:
        list(source.batches())
    return str(caught.value)


def test_a_row_becomes_a_problem(tmp_path: Path) -> None:
    row = {"prompt": "1+1?", "answer": 2, "domain": "sums", "level": 3, "tags": ["a"], "metadata": {"by": "me"}}
    [problem] = read(jsonl(lines(tmp_path, [row])))
    messages = [{"role": "user", "content": "1+1?"}]
    assert problem["prompt"] == messages
    assert problem["problem_id"] == ids.problem_id(messages)
    assert (problem["answer"], problem["domain"], problem["source"], problem["split"]) == ("2", "sums", "p", None)
    assert json.loads(problem["metadata"]) == {"by": "me", "level": 3, "tags": ["a"]}


def test_content_hash_follows_every_column_and_problem_id_the_messages_only(tmp_path: Path) -> None:
    base = {"prompt": "q", "answer": "1", "domain": "d", "split": "train", "x": 1}
    first = read(jsonl(lines(tmp_path, [base])))[0]
    for change in ({"answer": "2"}, {"domain": "e"}, {"split": "test"}, {"x": 2}, {"source": "s"}):
        other = read(jsonl(lines(tmp_path, [base | change])))[0]
        assert other["problem_id"] == first["problem_id"]
        assert other["content_hash"] != first["content_hash"]
    moved = read(jsonl(lines(tmp_path, [dict(reversed(base.items()))], "other.jsonl")))[0]
    assert moved == first


def test_system_and_template_wrap_a_text_prompt(tmp_path: Path) -> None:
    path = lines(tmp_path, [{"question": "what is {x}?", "answer": "1"}])
    [problem] = read(jsonl(path, system="be brief", template="Q: {prompt}\n{\\boxed{}}"))
    assert problem["prompt"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "Q: what is {x}?\n{\\boxed{}}"},
    ]
    with pytest.raises(ValueError, match=r"holds \{prompt\}"):
        jsonl(path, template="no place")


def test_chats_are_taken_as_they_are(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    path = lines(tmp_path, [{"messages": chat, "answer": "1"}])
    assert read(jsonl(path))[0]["prompt"] == chat
    assert "has a system message already" in failure(jsonl(path, system="t"))
    assert "a template needs text" in failure(jsonl(path, template="{prompt}"))


@pytest.mark.parametrize("text", ["1.50", "0.1", "1e5", "12345678901234567890123", "-3", "0.30000000000000000001"])
def test_a_number_keeps_the_text_it_was_written_with(tmp_path: Path, text: str) -> None:
    path = lines(tmp_path, [f'{{"prompt": "q", "answer": {text}}}'])
    assert read(jsonl(path))[0]["answer"] == text


BAD_ROWS = [
    ('{"prompt": "q" "answer": 1}', "not JSON"),
    ("[1]", "not a JSON object"),
    ('{"prompt": "", "answer": "1"}', "is empty"),
    ('{"prompt": null, "answer": "1"}', "is missing"),
    ('{"prompt": 3, "answer": "1"}', "neither text nor a list of messages"),
    ('{"answer": "1"}', "no column"),
    ('{"prompt": "q"}', "the answer ('answer') is missing"),
    ('{"prompt": "q", "answer": "  "}', "is empty"),
    ('{"prompt": "q", "answer": true}', "is True"),
    ('{"prompt": "q", "answer": [1]}', "is a list"),
    ('{"prompt": "q", "answer": NaN}', "the answer ('answer') is missing"),
    ('{"prompt": "q", "answer": -Infinity}', "the answer ('answer') is -inf"),
    ('{"prompt": "q", "answer": "1", "answer": "2"}', "the key 'answer' stands twice"),
    ('{"prompt": "\\ud800", "answer": "1"}', "half a surrogate pair"),
    ('{"prompt": "q", "answer": "\\udfff"}', "half a surrogate pair"),
    ('{"prompt": "q", "answer": "1", "x": "\\ud800"}', "half a surrogate pair"),
    ('{"prompt": "q", "answer": "1", "x": 1, "metadata": {"x": 2}}', "stands in the metadata and beside it"),
    ('{"prompt": [{"role": "bot", "content": "x"}], "answer": "1"}', "a message has the role 'bot'"),
    ('{"prompt": [{"role": "user", "content": 1}], "answer": "1"}', "has no text"),
    ('{"prompt": [{"role": "assistant", "content": "x"}], "answer": "1"}', "ends with the assistant"),
    ('{"prompt": [{"role": "user", "content": "x", "name": "y"}], "answer": "1"}', "the field 'name'"),
    ('{"prompt": "' + "x" * 100_001 + '", "answer": "1"}', "100001 characters"),
    ('{"prompt": "q", "answer": ' + "9" * 5000 + "}", "too many digits"),
    ('{"prompt": "q", "answer": ' + "[" * 100_000 + "}", "nested too deeply"),
]


@pytest.mark.parametrize(("bad", "words"), BAD_ROWS)
def test_a_malformed_row_is_named_by_its_line(tmp_path: Path, bad: str, words: str) -> None:
    good = [{"prompt": f"q{i}", "answer": "1"} for i in range(6)]
    path = lines(tmp_path, [*good, bad])
    said = failure(jsonl(path))
    assert "problems.jsonl:7" in said
    assert words in said
    source = jsonl(path, on_bad_row="reject")
    assert len(read(source)) == 6
    [reject] = source.rejects("stage").to_pylist()
    assert reject["target_id"] == "problems.jsonl:7"
    assert words in reject["reason"]


def test_numbers_that_are_none_are_null_in_the_metadata_and_told(tmp_path: Path) -> None:
    row = '{"prompt": "%s", "answer": "1", "x": %s, "y": {"z": [1, %s]}}'
    source = jsonl(lines(tmp_path, [row % ("a", "1e999", "NaN"), row % ("b", "-Infinity", 2), row % ("c", 3, 4)]))
    held = [json.loads(p["metadata"]) for p in read(source)]
    assert held == [{"x": None, "y": {"z": [1, None]}}, {"x": None, "y": {"z": [1, 2]}}, {"x": 3, "y": {"z": [1, 4]}}]
    told = {(r["target_kind"], r["target_id"], r["reason"]): r["score"] for r in source.rejects("stage").to_pylist()}
    assert told == {
        ("column", "x", "null_instead: 'x' holds NaN or infinity"): 2.0,
        ("column", "y", "null_instead: 'y' holds NaN or infinity"): 1.0,
    }


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("3", "3.0", True), (3, 3.0, True), ("1e3", " 1000 ", True), ("-0", "0.00", True), ("0.10", 0.1, True),
        ("3", "3.01", False), ("3", "-3", False), ("03", 3, True), ("3 m", "3.0 m", False), ("nan", "NaN", False),
        ("1e1000000000", "2e1000000000", False), ("1", None, False),
    ],
)  # fmt: skip
def test_answers_of_one_prompt_are_compared_as_numbers(tmp_path: Path, first: Any, second: Any, is_one: bool) -> None:
    rows = [{"prompt": "q", "answer": first}, {"prompt": "q", "answer": second}]
    source = jsonl(lines(tmp_path, rows), require_answer=False)
    if is_one:
        [problem] = read(source)
        assert problem["answer"] == (first if isinstance(first, str) else str(first))
        assert len(source.duplicates) == 1
    else:
        assert "with a different answer" in failure(source)


def test_chats_as_openai_writes_them_are_read_on_request(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "1+"}, {"type": "input_text", "text": "1?"}]
    chat = [
        {"role": "developer", "content": "s", "name": None},
        {"role": "user", "content": parts, "tool_calls": [], "function_call": {}, "refusal": ""},
    ]
    path = lines(tmp_path, [{"messages": chat, "answer": "2"}])
    assert "a message has the role 'developer'" in failure(jsonl(path))
    plain = [{"role": "system", "content": "s"}, {"role": "user", "content": "1+1?"}]
    assert read(jsonl(path, chat="openai"))[0]["prompt"] == plain
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    call = [{"role": "user", "content": "u", "tool_calls": [{"id": "1"}]}]
    for bad, words in ((image, "parts that are no text (image_url)"), (call, "the field 'tool_calls'")):
        assert words in failure(jsonl(lines(tmp_path, [{"messages": bad, "answer": "2"}]), chat="openai"))


def test_how_chats_are_written_is_no_part_of_what_older_runs_were(tmp_path: Path) -> None:
    path = lines(tmp_path, [{"prompt": "q", "answer": "1"}])
    assert "chat" not in identity_config(jsonl(path)) and "chat" not in identity_config(jsonl(path, chat="plain"))
    assert identity_config(jsonl(path, chat="openai"))["chat"] == "openai"


def test_bytes_that_are_no_utf8_and_endless_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.jsonl"
    good = b'{"prompt": "q", "answer": "1"}\n'
    path.write_bytes(b"\xef\xbb\xbf" + good + b"\xff\xfe\n\n" + good.replace(b"q", b"r"))
    assert "x.jsonl:2: not UTF-8 (byte 0)" in failure(jsonl(path))
    assert len(read(jsonl(path, on_bad_row="reject"))) == 2
    monkeypatch.setattr(source_files, "MAX_LINE_BYTES", 64)
    path.write_bytes(good + b"x" * 1000 + b"\n" + good.replace(b"q", b"r") + b"y" * 1000)
    source = jsonl(path, on_bad_row="reject")
    assert [p["prompt"][0]["content"] for p in read(source)] == ["q", "r"]
    assert [m.where.rpartition(":")[2] for m in source.bad_rows] == ["2", "4"]


def test_at_most_twenty_mistakes_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(Mistakes) as caught:
        list(jsonl(lines(tmp_path, ["bad"] * 50)).batches())
    assert len(caught.value.found) == 20
    assert "perhaps more" in str(caught.value)


def test_copies_are_rejected_and_contradictions_are_mistakes(tmp_path: Path) -> None:
    a, b = {"prompt": "a", "answer": "1"}, {"prompt": "b", "answer": "1"}
    path = lines(tmp_path, [a, b, a, a])
    source = jsonl(path)
    assert len(read(source)) == 2
    assert [where.rpartition(":")[2] for _, where in source.duplicates] == ["3", "4"]
    [reject] = source.rejects("stage").to_pylist()
    assert (reject["reason"], reject["score"]) == ("duplicate_problem", 2.0)
    assert reject["target_id"] == source.duplicates[0][0]
    other = lines(tmp_path, [b, a | {"answer": "2"}], "more.jsonl")
    both = JsonlSource("p", JsonlSource.Config(use="source.jsonl", path=[str(path), str(other)], on_bad_row="reject"))
    said = failure(both)
    assert "more.jsonl:2" in said
    assert "the same prompt as" in said and "problems.jsonl:1" in said


def test_several_prompt_columns_must_be_chosen_from(tmp_path: Path) -> None:
    path = lines(tmp_path, [{"problem": "a", "question": "b", "answer": "1"}])
    [(field, what, fix)] = jsonl(path).check(())
    assert field == "prompt_column" and "problem, question" in what and "prompt_column: NAME" in fix
    assert read(jsonl(path, prompt_column="question"))[0]["prompt"][0]["content"] == "b"


def test_check_names_the_nearest_column_and_file(tmp_path: Path) -> None:
    path = lines(tmp_path, [{"prompt": "a", "solution": "1", "empty": ""}])
    assert not list(jsonl(path, answer_column="solution").check(()))
    [(field, _, fix)] = jsonl(path, answer_column="solutions").check(())
    assert field == "answer_column" and "did you mean 'solution'?" in fix
    [(_, what, _)] = jsonl(path, answer_column="empty").check(())
    assert "is empty in the first rows" in what
    [(_, what, fix)] = jsonl(path, answer_column="solution", prompt_column="promt").check(())
    assert "no column 'promt'" in what and "'prompt'" in fix
    [(field, what, _)] = jsonl(tmp_path / "problem.jsonl").check(())
    assert field == "path" and "did you mean 'problems.jsonl'?" in what
    for wrong in (tmp_path, tmp_path / "no" / "x.jsonl", tmp_path / "*.csv"):
        assert next(iter(jsonl(wrong).check(())))[0] == "path"
    [(field, what, _)] = jsonl(lines(tmp_path, ["{"], "broken.jsonl")).check(())
    assert field == "path" and "broken.jsonl:1: not JSON" in what
    [(field, what, _)] = jsonl(lines(tmp_path, [], "empty.jsonl")).check(())
    assert field == "path" and "is empty" in what
    bad = lines(tmp_path, [{"prompt": "a", "answer": "1"}])
    [(field, _, _)] = jsonl(bad, metadata_columns=("x",)).check(())
    assert field == "metadata_columns"


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.jsonl.bz2", "x.jsonl.zst", "x.jsonl.lz4"])
def test_compressed_files_read_the_same(tmp_path: Path, name: str) -> None:
    text = b"".join(b'{"prompt": "q%d", "answer": "1"}\n' % i for i in range(700))
    path = tmp_path / name
    if name.endswith((".zst", ".lz4")):
        with pa.CompressedOutputStream(str(path), {"zst": "zstd", "lz4": "lz4"}[name[-3:]]) as out:
            out.write(text)
    else:
        path.write_bytes({"gz": gzip.compress, "bz2": bz2.compress}.get(path.suffix[1:], bytes)(text))
    source = jsonl(path)
    assert [t.num_rows for t in source.batches()] == [512, 188]
    assert source.estimate(Estimate()).problems == 700
    assert jsonl(path, limit=5).estimate(Estimate()).problems == 5
    assert len(read(jsonl(path, limit=5))) == 5
    if path.suffix != ".jsonl":
        path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
        assert "cannot be read" in failure(source)


def test_patterns_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        lines(tmp_path, [{"prompt": name, "answer": "1"}], f"{name}.jsonl")
    assert [p["prompt"][0]["content"] for p in read(jsonl(tmp_path / "*.jsonl"))] == ["a", "b", "c"]


def test_urls_are_opened_with_fsspec(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://folder/x.jsonl", "wb") as out:
        out.write(b'{"prompt": "q", "answer": "1"}\n')
    for path in ("memory://folder/x.jsonl", "memory://folder/*.jsonl"):
        source = JsonlSource("p", JsonlSource.Config(use="source.jsonl", path=path))
        assert not list(source.check(()))
        assert len(read(source)) == 1
    gone = JsonlSource("p", JsonlSource.Config(use="source.jsonl", path="memory://folder/gone.jsonl"))
    assert next(iter(gone.check(())))[0] == "path"


def test_an_empty_source_says_so(tmp_path: Path) -> None:
    assert "it is empty" in failure(jsonl(lines(tmp_path, [])))
    assert "none of its 1 rows is a problem" in failure(jsonl(lines(tmp_path, ["bad"]), on_bad_row="reject"))


def test_parquet_rows_become_problems(tmp_path: Path) -> None:
    table = pa.table(
        {
            "problem": ["a", "b", "c"],
            "answer": pa.array([Decimal("1.50"), Decimal("2.00"), None], pa.decimal128(5, 2)),
            "level": [1, 2, None],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")

    def make(**fields: Any) -> ParquetSource:
        return ParquetSource(
            "p", ParquetSource.Config(use="source.parquet", path=str(tmp_path / "x.parquet"), **fields)
        )

    assert not list(make().check(()))
    assert "x.parquet row 3: the answer ('answer') is missing" in failure(make())
    problems = read(make(require_answer=False))
    assert [p["answer"] for p in problems] == ["1.50", "2.00", None]
    assert json.loads(problems[2]["metadata"]) == {"level": None}
    assert make().estimate(Estimate()).problems == 3
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing")
    assert next(iter(make().check(())))[0] == "path"
    assert "cannot be read as Parquet" in failure(make())


def test_the_demo_source_needs_no_file() -> None:
    source = DemoSource("d", DemoSource.Config(use="source.demo", limit=5, ops=(1, 2)))
    problems = read(source)
    assert len(problems) == 5
    assert {json.loads(p["metadata"])["n_ops"] for p in problems} <= {1, 2}
    assert {(p["split"], p["source"]) for p in problems} == {("test", "synthflow-demo")}
    made = DemoSource("d", DemoSource.Config(use="source.demo", split="train", limit=4, seed=3))
    assert read(made) == read(made)
    assert len({p["problem_id"] for p in read(made)}) == 4
    for wrong in ({"split": "train"}, {"seed": 2}):
        with pytest.raises(ValueError):
            DemoSource.Config(use="source.demo", **wrong)
    impossible = DemoSource("d", DemoSource.Config(use="source.demo", split="train", limit=4, ops=(99,)))
    assert next(iter(impossible.check(())))[0] == "ops"


def test_the_demo_source_has_two_worlds_and_the_first_keeps_its_identity() -> None:
    def make(**fields: Any) -> DemoSource:
        return DemoSource("d", DemoSource.Config(use="source.demo", limit=20, **fields))

    problems = read(make(world="long"))
    assert {json.loads(p["metadata"])["n_ops"] for p in problems} == set(range(8, 17))
    assert {p["source"] for p in problems} == {"synthflow-demo-long"}
    made = read(make(world="long", split="train", ops=(16,)))
    assert {json.loads(p["metadata"])["n_ops"] for p in made} == {16} and {p["split"] for p in made} == {"train"}
    assert next(iter(make(world="long", split="train", ops=(3,)).check(())))[0] == "ops"
    # Run directories of before there was a choice are still found.
    assert "world" not in identity_config(make()) and identity_config(make()) == identity_config(make(world="short"))
    assert identity_config(make(world="long"))["world"] == "long"


def test_where_a_source_lies_is_no_part_of_its_identity(tmp_path: Path) -> None:
    assert JsonlSource.identity_excludes == ParquetSource.identity_excludes == ("path",)
    assert JsonlSource.resolve_paths({"path": ["a.jsonl", "s3://b/c"]}, tmp_path)["path"] == [
        f"{tmp_path}/a.jsonl",
        "s3://b/c",
    ]
    assert DatasetsSource.resolve_paths({"path": "org/name"}, tmp_path)["path"] == "org/name"
    assert DatasetsSource.resolve_paths({"path": "./name"}, tmp_path)["path"] == str(tmp_path / "name")
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert DatasetsSource.resolve_paths({"path": "org/name"}, tmp_path)["path"] == str(tmp_path / "org" / "name")


@pytest.mark.slow
def test_data_sets_of_a_folder_a_saved_one_and_one_that_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    def make(path: Path | str, **fields: Any) -> DatasetsSource:
        return DatasetsSource("d", DatasetsSource.Config(use="source.datasets", path=str(path), **fields))

    folder = tmp_path / "folder"
    folder.mkdir()
    lines(folder, [{"question": "a", "answer": "1"}, {"question": "b", "answer": "2"}], "train.jsonl")
    assert [p["answer"] for p in read(make(folder))] == ["1", "2"]
    assert read(make(folder))[0]["split"] == "train"
    assert "has no split 'nope'; it has train" in failure(make(folder, split="nope"))
    one = datasets.Dataset.from_dict({"question": ["a"], "answer": ["1"]})
    one.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": one}).save_to_disk(str(tmp_path / "many"))
    assert read(make(tmp_path / "one")) == read(make(tmp_path / "many"))
    assert "has no split 'x'; it has train" in failure(make(tmp_path / "many", split="x"))
    assert next(iter(make(tmp_path / "gone").check(())))[0] == "path"
    monkeypatch.setattr(datasets, "load_dataset_builder", _unreachable)
    monkeypatch.setattr(datasets, "load_dataset", _unreachable)
    assert "is not in the cache" in failure(make("some-org/some-name"))


def _unreachable(*args: Any, **kwargs: Any) -> Any:
    raise ConnectionError("offline")


@settings(max_examples=60, deadline=None, suppress_health_check=FUNCTION_FIXTURES)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"prompt": st.text(min_size=1, max_size=3), "answer": st.sampled_from(["1", 1, 2.5, None, "", "2"])},
            optional={"x": st.text(max_size=3) | st.none() | st.booleans() | st.integers() | st.floats()},
        ),
        max_size=12,
    )
)
def test_every_row_is_a_problem_a_copy_or_a_bad_row(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    source = jsonl(lines(tmp_path, rows), on_bad_row="reject")
    failed = None
    try:
        problems = read(source)
    except UserError as error:
        failed = error
    if isinstance(failed, Mistakes):
        assert all("with a different answer" in m.what for m in failed.found)
        return
    if failed is not None:
        assert "brings no problem" in str(failed)
        assert len(source.bad_rows) == len(rows)
        return
    assert len(problems) + len(source.duplicates) + len(source.bad_rows) == len(rows)
    assert len({p["problem_id"] for p in problems}) == len(problems)


@given(st.binary(max_size=80) | st.text(max_size=40).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_line_is_an_object_or_a_row_error(line: bytes) -> None:
    with contextlib.suppress(RowError):
        assert isinstance(parse_json(line), dict)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_exact_floats_are_floats_with_their_text(number: float) -> None:
    exact = ExactFloat.parse(repr(number))
    assert exact == number
    assert exact.text == repr(number)
    assert json.dumps(exact) == json.dumps(number)


@settings(max_examples=120, deadline=None)
@given(
    use=st.sampled_from(["source.jsonl", "source.parquet", "source.datasets", "source.demo"]),
    path=st.text(max_size=12)
    | st.sampled_from(["~nobody-here/x", "x" * 5000, "foo://x", "memory://x*", "*", "[", "/", ".", "a\0b", "**/*.toml"])
    | st.lists(st.text(max_size=5), max_size=2)
    | st.none()
    | st.integers(),
    more=st.dictionaries(
        st.sampled_from(["limit", "template", "split", "ops", "seed"]), st.text(max_size=3) | st.integers()
    ),
)
@example(use="source.jsonl", path="x" * 5000, more={})
@example(use="source.jsonl", path="foo://x", more={})
@example(use="source.datasets", path="x" * 5000, more={})
@example(use="source.jsonl", path="~nobody-here/x", more={})
def test_any_source_is_planned_or_a_users_mistake(use: str, path: Any, more: dict[str, Any]) -> None:
    with contextlib.suppress(UserError):
        Pipeline.build("x", {"p": {"use": use, "path": path, **more}}, base_dir="/tmp")


SHAREGPT = [
    {"from": "system", "value": "Be brief."},
    {"from": "human", "value": "2 + 3?"},
    {"from": "gpt", "value": "5"},
]


def _one_problem(path: Path, row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    path.write_text(json.dumps(row))
    [problem] = next(jsonl(path, **fields).batches()).to_pylist()
    return problem


def test_conversations_of_sharegpt_are_chats(tmp_path: Path) -> None:
    row = {"id": "a1", "conversations": SHAREGPT, "level": 2}
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 3?"}]
    fields = {"chat": "sharegpt", "final_turn": "answer"}
    problem = _one_problem(tmp_path / "p.jsonl", row, **fields)
    assert (problem["prompt"], problem["answer"], problem["metadata"]) == (asked, "5", '{"id":"a1","level":2}')
    fields = {"chat": "sharegpt", "final_turn": "metadata", "require_answer": False, "metadata_columns": ["level"]}
    problem = _one_problem(tmp_path / "p.jsonl", row, **fields)
    assert (problem["prompt"], problem["answer"]) == (asked, None)
    assert json.loads(problem["metadata"]) == {"level": 2, "final_turn": "5"}


def test_a_final_turn_of_the_assistant_is_refused_unless_it_is_said_what_it_is(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "5"}], "answer": "five"}
    with pytest.raises(Mistakes, match=r"ends with the assistant.*final_turn: metadata"):
        _one_problem(tmp_path / "p.jsonl", row)
    with pytest.raises(Mistakes, match="final turn and the column 'answer' are both there"):
        _one_problem(tmp_path / "p.jsonl", row, final_turn="answer")
    kept = _one_problem(tmp_path / "p.jsonl", row, final_turn="metadata")
    assert (kept["answer"], kept["metadata"]) == ("five", '{"final_turn":"5"}')
    twice = {"messages": [*row["messages"], {"role": "assistant", "content": "5!"}], "answer": "5"}
    with pytest.raises(Mistakes, match="ends with the assistant"):
        _one_problem(tmp_path / "p.jsonl", twice, final_turn="metadata")
    alone = {"messages": [{"role": "assistant", "content": "5"}], "answer": "5"}
    with pytest.raises(Mistakes, match="ends with the assistant"):
        _one_problem(tmp_path / "p.jsonl", alone, final_turn="metadata")


@pytest.mark.parametrize(
    ("row", "fields", "words"),
    [
        ({"conversations": SHAREGPT, "answer": "5"}, {}, "set chat: sharegpt"),
        ({"messages": SHAREGPT, "answer": "5"}, {}, "set chat: sharegpt"),
        ({"conversations": [{"from": "bing", "value": "x"}], "answer": "5"}, {"chat": "sharegpt"}, "is from 'bing'"),
        ({"conversations": [{"from": "human"}], "answer": "5"}, {"chat": "sharegpt"}, "a user message has no text"),
        ({"conversations": [{"from": "human", "value": "x", "weight": 1}], "answer": "5"}, {"chat": "sharegpt"},
         "has the field 'weight'"),
    ],
)  # fmt: skip
def test_what_is_no_chat_of_the_style_says_so(
    row: dict[str, Any], fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Mistakes, match=words):
        _one_problem(tmp_path / "p.jsonl", row, **fields)
