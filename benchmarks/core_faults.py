"""Faults of the core that tests have to notice: what `planted_faults.py` plants, one at a time.

Invariants: a fault's text stands exactly once in its file, and its code still imports with the fault in it; its tests
are part of `make test`. `tests/benchmarks/test_planted_faults.py` holds the list to this. A fault is a slip that
somebody might make, not a line that no longer runs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`text` of `file` becomes `planted`; `tests` are those that should notice, as pytest takes them."""

    of: str
    name: str
    file: str
    text: str
    planted: str
    tests: tuple[str, ...]


IDS = "tests/test_ids.py"
JOURNAL = "tests/stores/test_journal.py"
MANIFEST = "tests/stores/test_manifest.py"
FINGERPRINTS = "tests/plan/test_records.py"
CUT_OFF = "tests/e2e/test_kill.py::test_a_run_cut_off_between_commits_makes_what_is_not_committed"
PASS_RATE = "tests/stages/curriculum/test_curriculum.py"
VALUES = "tests/stages/label/test_values.py"
MONTE_CARLO = "tests/stages/label/test_monte_carlo.py"
ESTIMATORS = "tests/stages/mine/test_estimators.py"
PAIRS = "tests/stages/mine/test_pairs.py"
SPLICES = "tests/stages/mine/test_splices.py"
SEGMENTS = "tests/segment/test_segment.py"
PROJECTIONS = "tests/stages/export/test_projections.py"
CHECKED = "tests/check/test_files.py"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "ids", "rollout_id_without_run_seed", "synthflow/ids.py",
        'one.update(b"%d|%d" % (index, run_seed))', 'one.update(b"%d|" % index)',
        (IDS,),
    ),
    Fault(
        "ids", "rollout_id_without_round", "synthflow/ids.py",
        "|{policy}|{round_}|{sampling}", "|{policy}|{sampling}",
        (IDS,),
    ),
    Fault(
        "ids", "rollout_id_without_index", "synthflow/ids.py",
        'one.update(b"%d|%d" % (index, run_seed))', 'one.update(b"%d" % run_seed)',
        (IDS,),
    ),
    Fault(
        "ids", "seed_of_the_problem", "synthflow/rollouts/requests.py",
        "ids.rollout_seed(one)", "ids.rollout_seed(problem)",
        (MONTE_CARLO,),
    ),
    Fault(
        "ids", "sampling_id_without_template", "synthflow/ids.py",
        "dict(params), template, condition)", "dict(params), condition)",
        (IDS,),
    ),
    Fault(
        "ids", "prefix_id_without_problem", "synthflow/ids.py",
        'problem + ":" + ",".join(map(str, prefix_token_ids))', '",".join(map(str, prefix_token_ids))',
        (IDS,),
    ),
    Fault(
        "ids", "problem_id_without_roles", "synthflow/ids.py",
        '[[m["role"], m["content"]] for m in messages]', '[m["content"] for m in messages]',
        (IDS,),
    ),
    Fault(
        "ids", "step_id_without_segmenter", "synthflow/ids.py",
        "{rollout}|{segmenter}|{index}", "{rollout}|{index}",
        (IDS,),
    ),
    Fault(
        "journal", "crc_ignored", "stores/journal.py",
        "int(line[:8], 16) == zlib.crc32(line[9:])", "int(line[:8], 16) >= 0",
        (JOURNAL,),
    ),
    Fault(
        "journal", "newest_record_counts", "stores/journal.py",
        "known is None or order < known[0]", "known is None or order > known[0]",
        (JOURNAL,),
    ),
    Fault(
        "journal", "a_refusal_counts_before_a_later_answer", "stores/journal.py",
        "(head.finish_reason in UNANSWERED, head.at_ns)", "(False, head.at_ns)",
        (JOURNAL,),
    ),
    Fault(
        "journal", "segments_inside_a_range_only", "stores/segments.py",
        "(self._low[:n] <= high) & (self._high[:n] >= low)", "(self._low[:n] >= low) & (self._high[:n] <= high)",
        (JOURNAL,),
    ),
    Fault(
        "journal", "half_a_line_stays_on_a_full_disk", "stores/journal.py",
        "os.ftruncate(self._fd, size)", "os.fsync(self._fd)",
        (JOURNAL,),
    ),
    Fault(
        "journal", "truncated_results_are_not_journaled", "synthflow/execute/one_pass.py",
        "for request, result in results])",
        'for request, result in results if result.finish_reason != "length"])',
        ("tests/execute/test_sampling.py",),
    ),
    Fault(
        "resume", "what_is_journaled_is_asked_again", "synthflow/execute/services.py",
        "[r for r in requests if r.rollout_id not in known]", "list(requests)",
        ("tests/execute/test_services.py",),
    ),
    Fault(
        "resume", "torn_last_line_of_the_manifest_counts", "stores/manifest.py",
        'if not line.endswith(b"\\n"):', 'if not line.endswith((b"\\n", b"}")):',
        (MANIFEST,),
    ),
    Fault(
        "resume", "next_line_is_glued_to_a_torn_one", "stores/manifest.py",
        "handle.truncate(self._last_newline())\n                ", "",
        (MANIFEST,),
    ),
    Fault(
        "resume", "a_file_counts_without_its_commit", "synthflow/execute/driver.py",
        "if self.manifest.find(stage, unit) is None:",
        'files = f"tables/*/{self.graph.stages[stage].folder}/*.parquet"\n'
        "                if self.manifest.find(stage, unit) is None and not any(self.context.root.glob(files)):",
        (CUT_OFF,),
    ),
    Fault(
        "resume", "a_plan_counts_files", "synthflow/plan/planned.py",
        "return sum(self.manifest.find(stage, unit, self.graph) is not None for unit in self.graph.units(stage))",
        'files = f"tables/*/{self.graph.stages[stage].folder}/*.parquet"\n'
        "        return len(self.graph.units(stage)) if any(self.manifest.path.parent.glob(files)) else 0",
        ("tests/plan/test_planned.py",),
    ),
    Fault(
        "resume", "a_release_of_another_spec_counts", "stores/manifest.py",
        "commit.files and not self._is_published(commit)",
        "commit.files and not self._published",
        (MANIFEST,),
    ),
    Fault(
        "resume", "key_ignores_stages_of_whole_scope_above", "stores/graph.py",
        'for a in self.ancestors_of(stage) if self.stages[a].scope == "whole"]',
        'for a in self.ancestors_of(stage) if a == ALL]',
        (MANIFEST,),
    ),
    Fault(
        "resume", "whole_key_counts_partitions", "stores/graph.py",
        'content_id("k", record.fingerprint, pids)', 'content_id("k", record.fingerprint, len(pids))',
        (MANIFEST,),
    ),
    Fault(
        "resume", "fingerprint_without_parents", "synthflow/plan/records.py",
        "[records[parent].fingerprint for parent in node.parents]", "len(node.parents)",
        (FINGERPRINTS,),
    ),
    Fault(
        "resume", "fingerprint_without_run_seed", "synthflow/plan/records.py",
        "seed if policies else None", "None",
        (FINGERPRINTS,),
    ),
    Fault(
        "resume", "old_manifests_lose_capabilities", "stores/old_records.py",
        '"capabilities": capabilities_of(use)', '"capabilities": ()',
        ("tests/e2e/test_old_run.py::test_it_owes_what_raised_versions_make_again",),
    ),
    Fault(
        "verdicts", "truncated_is_wrong", "synthflow/rollouts/eligibility.py",
        'if truncated == "wrong" else', 'if truncated != "judge" else',
        ("tests/rollouts/test_eligibility.py",),
    ),
    Fault(
        "verdicts", "rules_for_truncated_share_a_hash", "synthflow/rollouts/verdicts.py",
        'ids.content_id("c", config_hash, self.truncated)', 'ids.content_id("c", config_hash)',
        ("tests/stages/test_adapters.py",),
    ),
    Fault(
        "verdicts", "continuations_lose_their_prefix", "synthflow/rollouts/continuations.py",
        "c.prefix.text + c.result.text", "c.result.text",
        (MONTE_CARLO,),
    ),
    Fault(
        "pass rate", "unknown_is_in_the_denominator", "synthflow/stages/curriculum/pass_rate.py",
        'correct + stats["n_wrong"].to_numpy()', 'stats["n"].to_numpy().astype(np.float64)',
        (PASS_RATE,),
    ),
    Fault(
        "pass rate", "unknown_decides_a_group", "synthflow/rollouts/groups.py",
        "pl.when(correct + wrong < min_judged)", 'pl.when(pl.col("n") < min_judged)',
        (PASS_RATE,),
    ),
    Fault(
        "pass rate", "continuations_are_first_rollouts", "synthflow/rollouts/views.py",
        'filter(pl.col("condition") == "none")', 'filter(pl.col("condition") != "tree")',
        (PASS_RATE,),
    ),
    Fault(
        "pass rate", "wilson_at_90_percent", "synthflow/statistics/intervals.py",
        "inv_cdf(0.975)", "inv_cdf(0.95)",
        ("tests/statistics/test_intervals.py",),
    ),
    Fault(
        "pass rate", "wilson_with_the_wrong_n", "synthflow/statistics/intervals.py",
        "np.sqrt(k * (count - k) / count + z * z / 4)", "np.sqrt(k * (count - k) / total + z * z / 4)",
        ("tests/statistics/test_intervals.py",),
    ),
    Fault(
        "pass rate", "the_smaller_wave_counts", "synthflow/stages/curriculum/rates.py",
        "(False for _ in GROUP), True]", "(False for _ in GROUP), False]",
        ("tests/stages/curriculum/test_waves.py",),
    ),
    Fault(
        "masks", "mask_one_token_late", "synthflow/stages/mine/splice.py",
        "(train_prefix,) * start + (False,) * len(step)", "(train_prefix,) * (start + 1) + (False,) * (len(step) - 1)",
        (SPLICES,),
    ),
    Fault(
        "masks", "masked_tokens_have_labels", "synthflow/stages/export/sft_tokens.py",
        'pl.when("loss_mask").then("token_ids")', 'pl.when(pl.col("loss_mask").is_not_null()).then("token_ids")',
        (PROJECTIONS,),
    ),
    Fault(
        "masks", "the_prompt_has_labels", "synthflow/stages/export/sft_tokens.py",
        'pl.concat_list(hidden, "_labels")', 'pl.concat_list(prompt, "_labels")',
        (PROJECTIONS,),
    ),
    Fault(
        "masks", "texts_show_what_a_mask_hides", "synthflow/stages/export/sft.py",
        'take(chosen, "rollout_id", [MASKED, *(', 'take(chosen, "rollout_id", [*(',
        (PROJECTIONS,),
    ),
    Fault(
        "masks", "forced_prefix_is_on_policy", "synthflow/rollouts/continuations.py",
        "on_policy=not prefix.forced", "on_policy=True",
        ("tests/stages/label/test_methods.py",),
    ),
    Fault(
        "spans", "straddling_token_goes_to_the_later_step", "synthflow/segment/tokens.py",
        "first[token] + int(np.argmax(shared))", "final[token]",
        (SEGMENTS,),
    ),
    Fault(
        "spans", "line_feed_begins_the_next_step", "synthflow/segment/pieces.py",
        "ends.append(at + 1)", "ends.append(at)",
        (SEGMENTS,),
    ),
    Fault(
        "spans", "steps_end_one_token_early", "synthflow/rollouts/step_rows.py",
        "else owned.end,", "else owned.end - 1,",
        (MONTE_CARLO,),
    ),
    Fault(
        "spans", "prefix_is_one_token_short", "synthflow/rollouts/prefixes.py",
        "if is_last else owned.end", "if is_last else owned.end - 1",
        (MONTE_CARLO,),
    ),
    Fault(
        "advantages", "advantage_against_the_prompt", "synthflow/stages/label/values.py",
        "advantage=np.diff(value),\n        advantage_se=difference_error",
        "advantage=value[1:] - value[0],\n        advantage_se=difference_error",
        (VALUES,),
    ),
    Fault(
        "advantages", "nothing_judged_is_a_zero", "synthflow/stages/label/values.py",
        "out=np.full(len(k), np.nan), where=n > 0)", "out=np.zeros(len(k)), where=n > 0)",
        (VALUES,),
    ),
    Fault(
        "advantages", "last_step_is_estimated_like_others", "synthflow/stages/label/monte_carlo.py",
        'int(cut.row["verdict"] == "correct"), 1, "verdict")', "tally.successes, tally.judged)",
        (MONTE_CARLO,),
    ),
    Fault(
        "advantages", "leave_one_out_divides_by_n", "synthflow/stages/mine/estimators.py",
        "(reward.sum().over(GROUP) - reward) / (N - 1)", "(reward.sum().over(GROUP) - reward) / N",
        (ESTIMATORS,),
    ),
    Fault(
        "advantages", "baseline_of_the_problem", "synthflow/stages/mine/estimators.py",
        "REWARD.mean().over(GROUP)", 'REWARD.mean().over("problem_id")',
        ("tests/stages/mine/test_advantages.py",),
    ),
    Fault(
        "advantages", "unknown_has_reward_0", "synthflow/stages/mine/advantages.py",
        'pl.col("right").cast(pl.Float64)', 'pl.col("right").fill_null(False).cast(pl.Float64)',
        ("tests/stages/mine/test_advantages.py",),
    ),
    Fault(
        "pairs", "sides_swapped_at_the_gap", "synthflow/stages/mine/steps.py",
        "if one[0].value > other[0].value else (other, one)\n        if better[0].value - worse[0].value >=",
        "if one[0].value > other[0].value + gap else (other, one)\n        if abs(better[0].value - worse[0].value) >=",
        (PAIRS,),
    ),
    Fault(
        "pairs", "a_step_that_gains_is_rejected", "synthflow/stages/mine/steps.py",
        'is None or -row["advantage"] < gap', 'is None or abs(row["advantage"]) < gap',
        (PAIRS,),
    ),
    Fault(
        "pairs", "pairs_across_groups", "synthflow/stages/mine/response.py",
        "pl.struct(GROUP).rle_id()", "pl.struct(GROUP[:1]).rle_id()",
        (PAIRS,),
    ),
    Fault(
        "pairs", "filtered_rollouts_are_paired", "synthflow/stages/mine/response.py",
        ', pl.col("dropped").is_null(), ', ", ",
        (PAIRS,),
    ),
    Fault(
        "pairs", "unknown_is_rejected", "synthflow/stages/mine/pairs.py",
        '({"unknown": False} if config.unknown == "wrong" else {})', '{"unknown": False}',
        ("tests/stages/mine/test_negatives.py",),
    ),
    Fault(
        "pairs", "pairs_lose_their_prefix", "synthflow/stages/export/preference.py",
        '(pl.col("prefix") + pl.col("chosen"), thinking)', '(pl.col("chosen"), thinking)',
        (PROJECTIONS,),
    ),
    Fault(
        "exports", "unjudged_rollouts_vanish", "synthflow/stages/export/views.py",
        '.join(judged, on="rollout_id", how="left")', '.join(judged, on="rollout_id", how="inner")',
        (PROJECTIONS, "tests/stages/export/test_nothing_lost.py"),
    ),
    Fault(
        "exports", "a_row_told_twice_passes", "synthflow/stages/export/base.py",
        "if len(told) == len(asked) and told.n_unique() == len(told) and told.sort().equals(asked.sort()):",
        "if told.unique().sort().equals(asked.unique().sort()):",
        (PROJECTIONS,),
    ),
    Fault(
        "exports", "validation_is_split_by_row", "synthflow/stages/export/base.py",
        'held_out(rows.get_column("_problem"), share)', 'held_out(rows.get_column("_id"), share)',
        ("tests/stages/export/test_release.py",),
    ),
    Fault(
        "exports", "filters_are_ignored", "synthflow/stages/export/base.py",
        'if kind != "problem":', 'if kind == "pair":',
        (PROJECTIONS,),
    ),
    Fault(
        "exports", "negatives_have_negative_weights", "synthflow/stages/export/preference.py",
        'pl.col("_weight").abs()', 'pl.col("_weight")',
        ("tests/stages/export/test_mined.py",),
    ),
    Fault(
        "exports", "answers_repeat_across_problems", "synthflow/stages/export/sft.py",
        'same = ["problem_id", "_prompt", "completion_hash"]', 'same = ["completion_hash"]',
        (PROJECTIONS,),
    ),
    Fault(
        "exports", "rl_takes_the_first_round", "synthflow/stages/export/views.py",
        "descending=[True, True, False, False]", "descending=[False, True, False, False]",
        (PROJECTIONS,),
    ),
    Fault(
        "exports", "a_changed_partition_is_taken_over", "synthflow/stages/export/growth.py",
        "parts.get(part) == made_of", "part in parts",
        ("tests/stages/export/test_growth.py",),
    ),
    Fault(
        "exports", "rows_go_out_too_soon", "synthflow/stages/export/ordering.py",
        'pc.less(ready.column("_problem")', 'pc.less_equal(ready.column("_problem")',
        ("tests/stages/export/test_shards.py",),
    ),
    Fault(
        "check", "hashes_are_not_compared", "synthflow/check/shards.py",
        "if sha256 is not None and (now := sha256_of(path)) != sha256:",
        "if sha256 is not None and size is None and (now := sha256_of(path)) != sha256:",
        (CHECKED,),
    ),
    Fault(
        "check", "journaled_texts_are_not_compared", "synthflow/check/journal.py",
        "CASE WHEN s.text NOT IN (j.text, j.other_text) THEN 'text' END,", "",
        (CHECKED,),
    ),
)  # fmt: skip
