"""A small, complete and valid run directory, made with the real writers, in which faults can be planted.

Two partitions of two problems go through source, sample, verify, pass rates, step labels, pairs and an export. A test
changes `rows` or `journal` before `write()` to plant a fault that has the right hashes, or changes files afterwards.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthflow import ids
from synthflow.contracts import ExportStage, SampleResult
from synthflow.schema import TABLES
from synthflow.stages.adapters import stage_class
from synthflow.statistics.intervals import wilson
from synthflow.stores.files import sha256_of, write_text
from synthflow.stores.graph import ALL, Graph, StageRecord
from synthflow.stores.journal import JournalWriter
from synthflow.stores.manifest import Commit, Manifest
from synthflow.stores.shards import write_shard

SEED, POLICY = 7, ids.policy_id("weights", "tokenizer", "template")
PARAMS = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_tokens": 64, "stop": []}
SAMPLING = ids.sampling_id(PARAMS, "{prompt}", "none")
CONTINUED = ids.sampling_id(PARAMS, "continue", "prefix")
JUDGED = ids.sampling_id(PARAMS, "{answer}", "judge")
Row = dict[str, Any]

VERDICTS = {
    0: ("correct", "wrong", "unknown"),
    1: ("correct",) * 3,
    2: ("wrong", "correct", "wrong"),
    3: ("wrong",) * 3,
}
"""Verdict of every first rollout, by problem; the unknown one is truncated."""


def record(
    name: str, use: str, parents: tuple[str, ...], writes: tuple[str, ...], covers: Row | None, **config: Any
) -> StageRecord:
    scope = "source" if not parents else "whole" if use.startswith(("export.", "curriculum.budget")) else "partition"
    cls = stage_class(use)
    account = cls.account if issubclass(cls, ExportStage) else None
    return StageRecord(
        name, use, "1", ids.content_id("f", name), scope, parents, writes, {"use": use, **config}, covers,
        tuple(sorted(cls.capabilities())), None if account is None else asdict(account),
    )  # fmt: skip


def covers(table: str, key: str, **outputs: str) -> Row:
    return {"input_table": table, "input_key": key, "outputs": outputs}


PLAN = [
    record("problems", "source.jsonl", (), ("problems", "rejects"), None),
    record("sampled", "sample", ("problems",), ("rollouts",),
           covers("problems", "problem_id", rollouts="problem_id"), n=3),
    record("verdicts", "verify.math", ("sampled",), ("scores",), covers("rollouts", "rollout_id", scores="target_id")),
    record("difficulty", "curriculum.pass_rate", ("verdicts",), ("problem_stats",),
           covers("problems", "problem_id", problem_stats="problem_id")),
    record("labels", "label.monte_carlo", ("verdicts",), ("steps", "rollouts", "scores", "step_values"),
           covers("rollouts", "rollout_id", step_values="rollout_id")),
    record("pairs", "mine.pairs", ("labels",), ("pairs",), covers("problems", "problem_id", pairs="problem_id")),
    record("dpo", "export.preference", ("pairs", "difficulty"), ("rejects",), None),
]  # fmt: skip
JUDGE = record("judged", "verify.judge", ("sampled",), ("artifacts",), None)
BUDGET = record("budget", "curriculum.budget", ("difficulty",), ("scores",),
                covers("problem_stats", "problem_id", scores="target_id"))  # fmt: skip
MORE = record(
    "more", "sample.more", ("budget",), ("rollouts",), covers("problems", "problem_id", rollouts="problem_id")
)
STAGES = {stage.name: stage for stage in [*PLAN, JUDGE, BUDGET, MORE]}


def tokens_of(text: str) -> list[int]:
    return [ord(c) for c in text]


class World:
    """The run: `rows` by (stage, table), `journal` by rollout; `write` makes the directory and returns it."""

    def __init__(self, root: Path) -> None:
        self.root, self.plan = root, list(PLAN)
        self.rows: dict[tuple[str, str], list[Row]] = {}
        self.journal: list[tuple[SampleResult, str]] = []
        self.seed = SEED
        self.summary = True
        self.left_out: str | None = None
        self.problems: list[str] = []
        for number in range(4):
            self._problem(number)
        self.units = {f"q_{unit}": self.problems[2 * unit : 2 * unit + 2] for unit in range(2)}
        self.exported = [row["pair_id"] for row in self.rows["pairs", "pairs"]]

    def add(self, stage: str, table: str, row: Row) -> Row:
        named = {**row, "stage_id": STAGES[stage].stage_id} if "stage_id" in TABLES[table].names else row
        self.rows.setdefault((stage, table), []).append(named)
        return named

    def _problem(self, number: int) -> None:
        prompt = [{"role": "user", "content": f"What is {number} + 1?"}]
        problem = ids.problem_id(prompt)
        self.problems.append(problem)
        row = {"problem_id": problem, "prompt": prompt, "answer": str(number + 1), "source": "test", "metadata": "{}"}
        self.add("problems", "problems", {**row, "content_hash": ids.content_id("h", problem)})
        rollouts = [self._rollout(problem, prompt, number, i, v) for i, v in enumerate(VERDICTS[number])]
        rate = self._stats(problem, VERDICTS[number])
        mixed = {"correct", "wrong"} <= set(VERDICTS[number])
        for row, verdict in zip(rollouts, VERDICTS[number], strict=True):
            if mixed and verdict != "unknown":
                self._label(row, verdict, rate)
            else:
                self._reject("labels", problem, "rollout", row["rollout_id"], "not_mixed")
        self._pair(problem, rollouts, VERDICTS[number]) if mixed else self._reject(
            "pairs", problem, "problem", problem, "no_mixed_group"
        )

    def _reject(self, stage: str, problem: str, kind: str, target: str, reason: str) -> None:
        row = {"problem_id": problem, "target_kind": kind, "target_id": target, "reason": reason}
        self.add(stage, "rejects", row)

    def _sampled(self, stage: str, row: Row, text: str, verdict: str, reason: str | None) -> Row:
        """A rollout with its tokens, journal record and verdict."""
        rollout = ids.rollout_id(
            row["problem_id"], POLICY, 0, row["sampling_id"], row["prefix_id"], row["index"], self.seed
        )
        truncated = reason == "truncated"
        tokens = tokens_of(text) + ([] if truncated else [0])
        logprobs = [-0.1 * (i % 7) for i in range(len(tokens))]
        finish = "length" if truncated else "stop"
        self.journal.append(
            (
                SampleResult(rollout, text, finish, tuple(tokens), tuple(logprobs), n_tokens=len(tokens)),
                row["problem_id"],
            )
        )
        values = {"correct": 1.0, "wrong": 0.0, "unknown": None}
        judged = "verdicts" if stage == "sampled" else stage
        self.add(judged, "scores", {
            "problem_id": row["problem_id"], "target_kind": "rollout", "target_id": rollout, "kind": "verdict",
            "scorer": "math", "scorer_version": "1", "config_hash": "c_0", "verdict": verdict,
            "value": values[verdict], "reason": reason,
        })  # fmt: skip
        return self.add(stage, "rollouts", {
            **row, "rollout_id": rollout, "policy_id": POLICY, "round": 0, "seed": ids.rollout_seed(rollout), "turn": 0,
            "completion": text, "completion_hash": ids.text_hash(text), "token_ids": tokens, "logprobs": logprobs,
            "finish_reason": finish, "n_tokens": len(tokens), "on_policy": True,
        })  # fmt: skip

    def _rollout(self, problem: str, prompt: list[Row], number: int, index: int, verdict: str) -> Row:
        text = f"first 🙂 {index}\n\nthen {number} + 1\nso {number + (verdict == 'correct')}"
        row = {
            "problem_id": problem, "sampling_id": SAMPLING, "prefix_id": ids.NO_PREFIX, "index": index,
            "condition": "none", "prompt": prompt, "prompt_token_ids": tokens_of(prompt[0]["content"]),
        }  # fmt: skip
        return self._sampled("sampled", row, text, verdict, "truncated" if verdict == "unknown" else None)

    def _stats(self, problem: str, verdicts: tuple[str, ...]) -> float:
        right, wrong = verdicts.count("correct"), verdicts.count("wrong")
        low, high = wilson(right, right + wrong)
        rate = right / (right + wrong)
        state = "mixed" if right and wrong else "all_correct" if right else "all_wrong"
        self.add("difficulty", "problem_stats", {
            "problem_id": problem, "policy_id": POLICY, "round": 0, "sampling_id": SAMPLING, "n": 3, "n_correct": right,
            "n_wrong": wrong, "n_unknown": 3 - right - wrong, "n_truncated": 3 - right - wrong, "pass_rate": rate,
            "pass_low": float(low), "pass_high": float(high), "group_state": state, "difficulty": 1 - rate,
            "difficulty_bin": "any",
        })  # fmt: skip
        return rate

    def _label(self, row: Row, verdict: str, rate: float) -> None:
        """Three steps, one a line; two continuations after the first and the second, one of them right."""
        lines = row["completion"].splitlines(keepends=True)
        lines = [lines[0] + lines[1], *lines[2:]]
        start, before, parent = 0, rate, None
        for index, line in enumerate(lines):
            step, end, is_last = ids.step_id(row["rollout_id"], "lines", index), start + len(line), index == 2
            common = {"step_id": step, "problem_id": row["problem_id"], "rollout_id": row["rollout_id"], "index": index}
            token_end = len(row["token_ids"]) if is_last else end
            self.add("labels", "steps", {
                **common, "parent_step_id": parent, "segmenter": "lines", "char_start": start, "char_end": end,
                "token_start": start, "token_end": token_end,
            })  # fmt: skip
            value = float(verdict == "correct") if is_last else 0.5
            self.add("labels", "step_values", {
                **common, "labeler": "monte_carlo", "labeler_version": "1", "config_hash": "c_1", "policy_id": POLICY,
                "scale": "chance",
                "value_before": before, "value": value, "n": 0 if is_last else 2, "successes": 0 if is_last else 1,
                "n_unknown": 0, "advantage": value - before, "tokens_spent": 0,
            })  # fmt: skip
            if not is_last:
                self._continue(row, index + 1, end)
            start, before, parent = end, value, step

    def _continue(self, parent: Row, steps: int, length: int) -> None:
        prefix = parent["token_ids"][:length]
        for index, verdict in enumerate(("correct", "wrong")):
            row = {
                "problem_id": parent["problem_id"], "sampling_id": CONTINUED, "index": index, "condition": "prefix",
                "prefix_id": ids.prefix_id(parent["problem_id"], prefix), "prompt": parent["prompt"],
                "prompt_token_ids": parent["prompt_token_ids"] + prefix, "parent_rollout_id": parent["rollout_id"],
                "branch_step": steps, "branch_token": length,
            }  # fmt: skip
            self._sampled("labels", row, f"on {index}\nso {verdict}", verdict, None)

    def judge(self) -> None:
        """Add a stage in which a judge writes about some rollouts."""
        self.plan.append(JUDGE)
        for row in self.rows["sampled", "rollouts"][::3]:
            self._critique(row)

    def second_wave(self, given: tuple[int, ...]) -> None:
        """Add a budget and the further rollouts it gives each problem."""
        self.plan += [BUDGET, MORE]
        for problem, extra in zip(self.problems, given, strict=True):
            self.add("budget", "scores", {
                "problem_id": problem, "target_kind": "problem", "target_id": problem, "kind": "measure",
                "scorer": "curriculum.budget", "scorer_version": "1", "config_hash": "c_0", "value": float(extra),
                "detail": str(extra),
            })  # fmt: skip
            if not extra:
                self._reject("more", problem, "problem", problem, "no_budget")
            for index in range(3, 3 + extra):
                prompt = next(r["prompt"] for r in self.rows["problems", "problems"] if r["problem_id"] == problem)
                row = {
                    "problem_id": problem, "sampling_id": SAMPLING, "prefix_id": ids.NO_PREFIX, "index": index,
                    "condition": "none", "prompt": prompt, "prompt_token_ids": tokens_of(prompt[0]["content"]),
                }  # fmt: skip
                self._sampled("more", row, f"more {index}", "correct", None)
        del self.rows["more", "scores"]  # nobody judges them here

    def _critique(self, row: Row) -> None:
        """What a judge wrote about a rollout, with its journal record."""
        prompt = [{"role": "user", "content": f"Judge: {row['completion']}"}]
        asked = ids.content_id("x", row["problem_id"], prompt)
        sample = ids.rollout_id(row["problem_id"], POLICY, 0, JUDGED, asked, 0, self.seed)
        self.journal.append((SampleResult(sample, "Verdict: wrong", "stop", n_tokens=3), row["problem_id"]))
        self.add("judged", "artifacts", {
            "artifact_id": ids.artifact_id("critique", "Verdict: wrong", row["problem_id"], sample),
            "problem_id": row["problem_id"], "kind": "critique", "text": "Verdict: wrong",
            "source_rollout_id": row["rollout_id"], "policy_id": POLICY, "sample_id": sample, "sampling_id": JUDGED,
            "prompt": prompt, "finish_reason": "stop", "n_tokens": 3, "details": "{}",
        })  # fmt: skip

    def _pair(self, problem: str, rollouts: list[Row], verdicts: tuple[str, ...]) -> None:
        chosen, rejected = (rollouts[verdicts.index(v)] for v in ("correct", "wrong"))
        sides = {"chosen": chosen, "rejected": rejected}
        self.add("pairs", "pairs", {
            "pair_id": ids.pair_id("response", "", chosen["rollout_id"], rejected["rollout_id"], "verdict"),
            "problem_id": problem, "level": "response", "prompt": chosen["prompt"], "prefix": "",
            **{side: row["completion"] for side, row in sides.items()},
            **{f"{side}_rollout_id": row["rollout_id"] for side, row in sides.items()},
            "chosen_value": 1.0, "rejected_value": 0.0, "margin": 1.0, "margin_se": 0.0, "length_ratio": 1.0,
            "rule": "verdict",
        })  # fmt: skip

    def unit_of(self, row: Row) -> str:
        """The unit a row says, or the partition of its problem."""
        named = row.get("unit")
        return named or next(unit for unit, problems in self.units.items() if row["problem_id"] in problems)

    def write(self) -> Path:
        """The run directory, complete."""
        self.root.mkdir(parents=True)
        manifest = Manifest(self.root)
        manifest.open_attempt(self.plan, {"spec": {"seed": SEED}, "run_id": "n_1", "at": "2026-01-01T00:00:00+00:00"})
        manifest.set_partitions("problems", list(self.units), self.left_out)
        self._write_journal()
        for stage in self.plan:
            for unit in manifest.graph.units(stage.name):
                manifest.commit(self._commit(manifest.graph, stage, unit))
        if self.summary:
            self.summarise(manifest)
        return self.root

    def _write_journal(self) -> None:
        writer = JournalWriter(self.root / "journal", self.problems, 1)
        for result, problem in self.journal:
            writer.append(result, problem)
        writer.close()

    def _commit(self, graph: Graph, stage: StageRecord, unit: str) -> Commit:
        key, shards = graph.key(stage.name, unit), []
        files = self._export(stage.name) if stage.use.startswith("export.") else {}
        for (name, table), rows in self.rows.items():
            mine = [r for r in rows if unit == ALL or self.unit_of(r) == unit]
            if name == stage.name and mine:
                made = TABLES[table].from_rows([{k: v for k, v in r.items() if k != "unit"} for r in mine])
                shards.append(write_shard(self.root, table, made, stage.folder, f"part-{ids.digest(key)[:10]}-0000"))
        return Commit(stage.name, stage.fingerprint, stage.stage_id, unit, key, 1, tuple(shards), files)

    def _export(self, stage: str) -> dict[str, str]:
        folder = self.root / "exports" / stage
        (folder / "preference").mkdir(parents=True)
        (folder / "README.md").write_text("# A release\n")
        rows = pa.table({"chosen": ["text"] * len(self.exported), "sf_pair_id": pa.array(self.exported, pa.string())})
        pq.write_table(rows, folder / "preference" / "train-00000-of-00001.parquet")
        files = (p for p in sorted(folder.rglob("*")) if p.is_file())
        return {p.relative_to(self.root).as_posix(): sha256_of(p) for p in files}

    def reference(self) -> dict[str, list[Row]]:
        samplings = [
            {"sampling_id": i, "condition": c, "template": "", "params": json.dumps(PARAMS), **PARAMS}
            for i, c in ((SAMPLING, "none"), (CONTINUED, "prefix"), (JUDGED, "judge"))
        ]
        stages = [
            {"stage_id": s.stage_id, "name": s.name, "use": s.use, "version": "1", "fingerprint": s.fingerprint,
             "parents": list(s.parents), "config": "{}"}
            for s in self.plan
        ]  # fmt: skip
        policy = dict.fromkeys(("name", "model", "backend", "weights_hash", "tokenizer_hash", "template_hash"), "x")
        run = {"run_id": "n_1", "attempt": 1, "name": "x", "started_at": "", "synthflow_version": "", "versions": "{}"}
        return {
            "policies": [{**policy, "policy_id": POLICY, "details": "{}"}],
            "samplings": [{k: v for k, v in row.items() if k != "stop"} for row in samplings],
            "stages": stages,
            "runs": [{**run, "spec": "{}"}],
        }

    def summarise(self, manifest: Manifest) -> None:
        shards = [
            write_shard(self.root, name, TABLES[name].from_rows(rows), "run", "part-0001")
            for name, rows in self.reference().items()
        ]
        write_text(self.root / "manifest.json", manifest.compact({"reference": [s.to_json() for s in shards]}))
