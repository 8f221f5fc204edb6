"""Replay of recordings written here, whole and in awkward shapes."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthflow import ids
from synthflow.backends import load_renderer, open_backend
from synthflow.backends.renderer import PolicyRenderer
from synthflow.contracts import Backend, PolicyConfig, SampleRequest, SampleResult, SamplingParams
from synthflow.errors import InfrastructureError, UserError
from synthflow.schema import POLICIES, ROLLOUTS
from synthflow.stores.journal import JournalWriter

PROMPT = [1, 3, 9]


def rollout(problem: str, index: int, tokens: Sequence[int], text: str, **values: Any) -> dict[str, Any]:
    return {
        "rollout_id": f"r_{problem}_{index}", "problem_id": problem, "policy_id": "m_1", "round": 0,
        "sampling_id": "g_1", "prefix_id": ids.NO_PREFIX, "index": index, "seed": index, "stage_id": "t_1",
        "condition": "none", "turn": 0, "prompt": [{"role": "user", "content": problem}], "completion": text,
        "completion_hash": ids.text_hash(text), "prompt_token_ids": PROMPT, "token_ids": list(tokens),
        "logprobs": [-0.5] * len(tokens), "finish_reason": "stop", "n_tokens": len(tokens), "on_policy": True, **values,
    }  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]], row_group_size: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(ROLLOUTS.from_rows(rows), path, row_group_size=row_group_size)
    return path


def start(model: Path, **options: Any) -> Backend:
    backend = open_backend(PolicyConfig(backend="replay", model=str(model), options=options))
    backend.start()
    return backend


def ask(
    problem: str, index: int, prompt: Sequence[int] | None = PROMPT, rollout_id: str = "", **params: Any
) -> SampleRequest:
    sent = None if prompt is None else tuple(prompt)
    name = rollout_id or f"r_{problem}_{index}"
    return SampleRequest(name, problem, (("user", problem),), sent, SamplingParams(**params), index)


def answer(backend: Backend, request: SampleRequest) -> SampleResult:
    return backend.submit(request).result(30)


@pytest.fixture
def tokens_of(byte_dir: Path) -> Any:
    return PolicyRenderer.load(byte_dir)


@pytest.fixture
def recorded(tokens_of: PolicyRenderer) -> list[dict[str, Any]]:
    rows = []
    for p in range(20):
        for i in range(5):
            text = f"{p} + {i} = {p + i}\nAnswer: {p + i}"
            rows.append(rollout(f"p_{p}", i, [*tokens_of.encode(text), 2], text))
    return rows


def test_what_was_recorded_comes_back_in_any_order(tmp_path: Path, recorded: list[dict[str, Any]]) -> None:
    shuffled = random.Random(1).sample(recorded, len(recorded))
    write(tmp_path / "run/tables/rollouts/a-1/part-0.parquet", shuffled[:33], row_group_size=7)
    write(tmp_path / "run/tables/rollouts/b-2/part-0.parquet", shuffled[33:])
    backend = start(tmp_path / "run", cache_mb=1)
    futures = backend.submit_many([ask(r["problem_id"], r["index"]) for r in recorded])
    for row, future in zip(recorded, futures, strict=True):
        result = future.result(30)
        assert result.rollout_id == row["rollout_id"] and result.text == row["completion"]
        assert list(result.token_ids or ()) == row["token_ids"] and result.finish_reason == "stop"
        assert result.n_tokens == row["n_tokens"] and result.prompt_tokens == 3
        assert result.logprobs == tuple(row["logprobs"]) and result.sampling_logprobs is None
    backend.close()
    with pytest.raises(InfrastructureError):
        backend.submit(ask("p_0", 0))


def test_a_missing_rollout_is_refused_by_name(tmp_path: Path, recorded: list[dict[str, Any]]) -> None:
    backend = start(write(tmp_path / "a.parquet", recorded))
    result = answer(backend, ask("p_3", 77))
    assert result.finish_reason == "refused" and result.reason is not None
    assert "r_p_3_77" in result.reason and "missing: resample" in result.reason
    assert answer(backend, ask("p_999", 0)).finish_reason == "refused"
    backend.close()


def test_a_stand_in_is_deterministic_and_of_the_problem(
    tmp_path: Path, recorded: list[dict[str, Any]], byte_dir: Path
) -> None:
    first = start(write(tmp_path / "a.parquet", recorded), missing="resample", tokenizer=str(byte_dir))
    second = start(write(tmp_path / "b.parquet", recorded[::-1], row_group_size=9), missing="resample")
    texts = set()
    for i in range(100, 140):
        a, b = answer(first, ask("p_4", i)), answer(second, ask("p_4", i))
        assert a == b and a.rollout_id == f"r_p_4_{i}" and a.text.startswith("4 + ")
        texts.add(a.text)
    assert len(texts) == 5
    cut = answer(first, ask("p_4", 100, max_tokens=4))
    assert cut.n_tokens == 4 and cut.finish_reason == "length" and "4 + ".startswith(cut.text[:4])
    assert "needs the tokenizer" in (answer(second, ask("p_4", 100, max_tokens=4)).reason or "")
    assert "no rollout" in (answer(first, ask("p_none", 1)).reason or "")
    first.close()
    second.close()


def test_a_continuation_goes_on_where_its_prefix_ends(
    tmp_path: Path, recorded: list[dict[str, Any]], byte_dir: Path, tokens_of: PolicyRenderer
) -> None:
    backend = start(write(tmp_path / "a.parquet", recorded), missing="resample", tokenizer=str(byte_dir))
    for row in recorded[::7]:
        for cut in range(1, row["n_tokens"]):
            prompt = PROMPT + row["token_ids"][:cut]
            result = answer(backend, ask(row["problem_id"], 1000 + cut, prompt))
            begins = [
                r for r in recorded
                if r["problem_id"] == row["problem_id"] and r["token_ids"][:cut] == row["token_ids"][:cut]
            ]  # fmt: skip
            assert list(result.token_ids or ()) in [r["token_ids"][cut:] for r in begins]
            assert result.text == tokens_of.decode(result.token_ids or ())
            assert len(result.logprobs or ()) == result.n_tokens
    strange = answer(backend, ask("p_2", 7, [*PROMPT, 200, 201, 202]))
    tails = [r["token_ids"][3:] for r in recorded if r["problem_id"] == "p_2"]
    assert list(strange.token_ids or ()) in tails
    beyond = answer(backend, ask("p_2", 7, [*PROMPT, *([200] * 500)]))
    assert beyond.token_ids == (2,) and beyond.text == "" and beyond.finish_reason == "stop"
    backend.close()


def test_a_refusal_and_a_rollout_without_tokens_come_back(tmp_path: Path) -> None:
    rows = [
        rollout("p_1", 0, [], "", finish_reason="refused", token_ids=None, logprobs=None, prompt_token_ids=None),
        rollout("p_1", 1, [], "only text", token_ids=None, logprobs=None, prompt_token_ids=None, n_tokens=4),
    ]
    backend = start(write(tmp_path / "a.parquet", rows), missing="resample")
    assert answer(backend, ask("p_1", 0)).finish_reason == "refused"
    result = answer(backend, ask("p_1", 1))
    assert (result.text, result.token_ids, result.n_tokens) == ("only text", None, 4)
    assert answer(backend, ask("p_1", 50, None)).text == "only text"
    assert answer(backend, ask("p_1", 50, [*PROMPT, 7])).finish_reason == "refused"
    backend.close()


def test_identity_is_the_recorded_policy_s(tmp_path: Path, recorded: list[dict[str, Any]], byte_dir: Path) -> None:
    write(tmp_path / "run/tables/rollouts/a-1/part-0.parquet", recorded)
    policy = PolicyConfig(backend="replay", model=str(tmp_path / "run"), options={})
    assert open_backend(policy).identity().policy_id == "m_1"
    assert load_renderer(policy) is None
    row = {"policy_id": "m_1", "name": "policy", "model": "demo", "backend": "vllm", "details": "{}"}
    row |= {"weights_hash": "w", "tokenizer_hash": "k", "template_hash": "c"}
    (tmp_path / "run/tables/policies").mkdir()
    pq.write_table(POLICIES.from_rows([row]), tmp_path / "run/tables/policies/part-0.parquet")
    with_tokenizer = PolicyConfig(backend="replay", model=str(tmp_path / "run"), options={"tokenizer": str(byte_dir)})
    found = open_backend(with_tokenizer).identity()
    assert (found.weights_hash, found.tokenizer_hash, found.template_hash) == ("w", "k", "c")
    assert load_renderer(with_tokenizer) is not None
    write(tmp_path / "run/tables/rollouts/a-1/part-1.parquet", [rollout("p_9", 0, [5], "x", policy_id="m_2")])
    with pytest.raises(UserError, match="2 policies"):
        open_backend(policy).identity()


def test_what_is_no_recording_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no recorded rollouts"):
        start(tmp_path / "none")
    with pytest.raises(UserError, match="no recorded rollouts"):
        start(tmp_path)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1torn")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        start(tmp_path)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "torn.parquet")
    with pytest.raises(UserError, match="no column"):
        start(tmp_path)


def test_many_threads_and_a_delay(tmp_path: Path, recorded: list[dict[str, Any]]) -> None:
    backend = start(write(tmp_path / "a.parquet", recorded, row_group_size=3), delay_s=0.01, concurrency=32)
    wrong: list[str] = []

    def work(k: int) -> None:
        mine = [(row, answer(backend, ask(row["problem_id"], row["index"]))) for row in recorded[k::8]]
        wrong.extend(row["rollout_id"] for row, result in mine if result.text != row["completion"])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    backend.close()


MEMORY = """
import sys
from synthflow.backends import open_backend
from synthflow.contracts import PolicyConfig, SampleRequest, SamplingParams
backend = open_backend(PolicyConfig(backend="replay", model=sys.argv[1], options={"cache_mb": 4}))
backend.start()
for p in range(int(sys.argv[2])):
    request = SampleRequest(f"r_p_{p}_0", f"p_{p}", (), None, SamplingParams(), p)
    assert backend.submit(request).result().finish_reason == "stop"
status = open("/proc/self/status").read()  # ru_maxrss would hold the peak of whoever started this process
print(status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    peaks = []
    for problems in (1000, 4000):
        folder = tmp_path / str(problems)
        for part in range(0, problems, 500):
            rows = [rollout(f"p_{p}", 0, range(1000), "x" * 8000) for p in range(part, part + 500)]
            write(folder / f"part-{part}.parquet", rows, row_group_size=250)
        out = subprocess.run(
            [sys.executable, "-P", "-c", MEMORY, str(folder), str(problems)], check=True, capture_output=True, text=True
        )
        peaks.append(int(out.stdout) / 1024)
    assert peaks[1] < peaks[0] + 40, f"peak RSS in MiB for 1000 and 4000 problems: {peaks}"


def test_scores_come_from_the_journal_or_from_the_rollout_itself(
    tmp_path: Path, recorded: list[dict[str, Any]]
) -> None:
    write(tmp_path / "tables" / "rollouts" / "part.parquet", recorded)
    row = next(r for r in recorded if r["logprobs"] is not None and r["prompt_token_ids"] and r["token_ids"])
    prompt, tokens = tuple(row["prompt_token_ids"]), tuple(row["token_ids"])

    def scoring(name: str, of: tuple[int, ...]) -> SampleRequest:
        params = SamplingParams(max_tokens=1)
        return SampleRequest(name, row["problem_id"], (), prompt, params, 0, score=of)

    told = SampleResult("l_1", "", "stop", logprobs=(-0.5,), prompt_tokens=4, entropies=(1.25,), entropies_exact=True)
    writer = JournalWriter(tmp_path / "journal", [row["problem_id"]], 1)
    writer.append(told, row["problem_id"])
    writer.close()
    backend = start(tmp_path, missing="resample")
    assert answer(backend, scoring("l_1", (7,))) == told
    own = answer(backend, scoring("l_2", tokens))
    assert own.logprobs == tuple(row["logprobs"]) and own.entropies is None and own.n_tokens == 0
    missing = answer(backend, scoring("l_3", (*tokens, 7)))
    assert missing.finish_reason == "refused" and "a scoring of" in str(missing.reason)
    backend.close()
