"""The views an analyst starts from: joins and merges of the declared tables, each with its comments.

Invariant: a view reads the declared tables and views before it in VIEWS, nothing else, so it stays right however
often the catalog is rebuilt. Views named like a table hold its rows as they are (see `catalog`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from synthflow.statistics.metrics import bins
from synthflow.stores.catalog import agreement_view, calibration_view, curriculum_views

HASH_SPACE = 2**62
"""As a sketch's bound: nothing was left out."""


@dataclass(frozen=True, slots=True)
class View:
    """`columns` comments those columns that no declared table has."""

    name: str
    comment: str
    sql: str
    columns: Mapping[str, str] = field(default_factory=dict)


MACROS: tuple[str, ...] = (
    # Wilson 1927, with z = 1.959964 for 95%.
    """CREATE MACRO wilson(c, n, side) AS CASE WHEN n > 0 THEN greatest(0.0, least(1.0,
        (c / n + 1.920729 / n + side * 1.959964 * sqrt(greatest(0.0, c / n * (1 - c / n)) / n + 0.960365 / (n * n)))
        / (1 + 3.841459 / n))) END""",
    # Fifths, for problems whose difficulty no stage has named.
    """CREATE MACRO pass_rate_bin(p) AS CASE WHEN p IS NULL THEN 'undecided'
        ELSE (least(floor(p * 5), 4) * 20)::INT || '-' || (least(floor(p * 5), 4) * 20 + 20)::INT || '%' END""",
    calibration_view.EFFECTIVE_N,
)

_GROUP = "problem_id, policy_id, round, sampling_id"
# Several stages may have counted a group, one wave after another: the largest count says how difficult it is.
_GROUP_STATS = f"(SELECT {_GROUP}, arg_max(difficulty_bin, n) AS difficulty_bin FROM problem_stats GROUP BY {_GROUP})"
_COUNTED = f"""(SELECT {_GROUP}, n_correct, n_wrong, any_value(group_state) AS group_state
    FROM problem_stats GROUP BY {_GROUP}, n_correct, n_wrong)"""
_COUNTS = {
    "stage": "the verify stage whose verdicts are counted",
    "n_judged": "n_correct + n_wrong",
}

_ROLLOUTS = """(SELECT r.* FROM rollouts r LEFT JOIN (
            SELECT rollout_id, min(stage_id) AS first_stage FROM rollouts GROUP BY rollout_id HAVING count(*) > 1
        ) t USING (rollout_id) WHERE coalesce(t.first_stage, r.stage_id) = r.stage_id)"""
"""Rollouts, each once: two stages that sample alike share samples, and both tell of them."""

VERDICTS = View(
    "verdicts",
    "rollouts with their verdicts: one row a rollout and verify stage; no verdict yet: nulls",
    f"""SELECT r.rollout_id, r.problem_id, r.policy_id, r.round, r.sampling_id, r."index", r.condition,
        coalesce(st.name, s.stage_id) AS stage, s.scorer, s.scorer_version, s.verdict, s.value,
        s.reason, CASE WHEN s.verdict <> 'unknown' THEN s.detail END AS extracted, s.detail, p.answer, p.domain,
        r.finish_reason, r.n_tokens, r.completion
    FROM {_ROLLOUTS} r
    LEFT JOIN (FROM scores WHERE kind = 'verdict' AND target_kind = 'rollout') s ON s.target_id = r.rollout_id
    LEFT JOIN stages st ON st.stage_id = s.stage_id
    LEFT JOIN problems p ON p.problem_id = r.problem_id""",
    {"stage": "the verify stage", "extracted": "the answer that was judged; null where the verdict is unknown"},
)

GROUPS = View(
    "groups",
    "first rollouts of one problem by one policy, round and sampling, counted by verdict; one row a verify stage",
    f"""SELECT v.*, ps.difficulty_bin, coalesce(pc.group_state, CASE WHEN n_judged < 2 THEN 'undecided'
            WHEN n_wrong = 0 THEN 'all_correct' WHEN n_correct = 0 THEN 'all_wrong' ELSE 'mixed' END) AS group_state
    FROM (
        SELECT *, n_correct + n_wrong AS n_judged, n_correct / nullif(n_correct + n_wrong, 0) AS pass_rate,
            wilson(n_correct, n_correct + n_wrong, -1) AS pass_low,
            wilson(n_correct, n_correct + n_wrong, 1) AS pass_high
        FROM (
            SELECT {_GROUP}, stage, any_value(domain) AS domain, count(*) AS n,
                count(*) FILTER (WHERE verdict = 'correct') AS n_correct,
                count(*) FILTER (WHERE verdict = 'wrong') AS n_wrong,
                count(*) FILTER (WHERE verdict = 'unknown') AS n_unknown,
                count(*) FILTER (WHERE finish_reason = 'length') AS n_truncated
            FROM verdicts WHERE condition = 'none' AND verdict IS NOT NULL GROUP BY {_GROUP}, stage
        )
    ) v LEFT JOIN {_GROUP_STATS} ps USING ({_GROUP})
    LEFT JOIN {_COUNTED} pc USING ({_GROUP}, n_correct, n_wrong)""",
    _COUNTS,
)

PASS_AT_K = View(
    "pass_at_k",
    "chance that one of k samples is right, by group: 1 - C(n-c, k) / C(n, k) (Chen et al. 2021), k up to n_judged",
    f"""SELECT {_GROUP}, stage, domain, difficulty_bin, k, n_judged, n_correct,
        CASE WHEN n_wrong < k THEN 1.0 ELSE 1.0 - coalesce(list_aggregate(
            list_transform(range(n_wrong + 1, n_judged + 1), lambda i: 1.0::DOUBLE - k / i), 'product'), 1.0)
        END AS pass_at_k
    FROM (SELECT *, unnest(list_transform(range(0, 21), lambda i: (2 ** i)::BIGINT)) AS k FROM groups)
    WHERE k <= n_judged""",
    {**_COUNTS, "k": "samples drawn", "pass_at_k": "unbiased estimate; average it over groups"},
)

PASS_RATE_BY_DIFFICULTY = View(
    "pass_rate_by_difficulty",
    "pass rate by domain, number of operations and named difficulty; rollouts pooled",
    """SELECT stage, domain, n_ops, difficulty_bin, count(*) AS n_groups, sum(n_judged)::BIGINT AS n_judged,
        sum(n_correct) / nullif(sum(n_judged), 0) AS pass_rate,
        wilson(sum(n_correct), sum(n_judged), -1) AS pass_low, wilson(sum(n_correct), sum(n_judged), 1) AS pass_high
    FROM (
        SELECT g.* REPLACE (coalesce(g.difficulty_bin, pass_rate_bin(g.pass_rate)) AS difficulty_bin),
            CASE WHEN json_valid(p.metadata) THEN try_cast(p.metadata ->> '$.n_ops' AS INTEGER) END AS n_ops
        FROM groups g LEFT JOIN problems p USING (problem_id)
    ) GROUP BY stage, domain, n_ops, difficulty_bin""",
    {**_COUNTS, "n_ops": "operations the problem takes, where its metadata says n_ops", "n_groups": "groups pooled"},
)

STEP_ADVANTAGES = View(
    "step_advantages",
    "steps with their text and what each labeler says they are worth",
    f"""SELECT s.step_id, s.problem_id, s.rollout_id, s."index", v.labeler, v.scale, v.value_before, v.value,
        v.advantage, v.advantage_se, v.n, v.successes, v.n_unknown, v.value_low, v.value_high, v.is_first_error,
        v.p_first_error, v.tokens_spent,
        substr(r.completion, s.char_start + 1, s.char_end - s.char_start) AS step, s.segmenter, s.char_start,
        s.char_end, s.token_start, s.token_end, v.policy_id, coalesce(st.name, v.stage_id) AS stage
    FROM (SELECT DISTINCT ON (step_id) * FROM steps) s LEFT JOIN step_values v USING (step_id)
    LEFT JOIN {_ROLLOUTS} r ON r.rollout_id = s.rollout_id
    LEFT JOIN stages st ON st.stage_id = v.stage_id""",
    {"step": "text of the step: completion[char_start:char_end] in code points", "stage": "the label stage"},
)

PAIR_TEXTS = View(
    "pair_texts",
    "pairs as a person reads them: question, shared prefix, chosen against rejected",
    """SELECT pair_id, d.problem_id, level, d.prompt[-1].content AS question, prefix, chosen, rejected, p.answer,
        margin, margin_se, chosen_value, rejected_value, length_ratio, rule, chosen_rollout_id, rejected_rollout_id
    FROM pairs d LEFT JOIN problems p ON p.problem_id = d.problem_id""",
    {"question": "last message of the prompt"},
)


def _edge(child: str, parent: str, relation: str, table: str, where: str = "TRUE") -> str:
    child_kind, child_id = child.split(":")
    parent_kind, parent_id = parent.split(":")
    return (
        f"SELECT '{child_kind}' AS child_kind, {child_id} AS child_id, '{parent_kind}' AS parent_kind, "
        f"{parent_id} AS parent_id, '{relation}' AS relation, {_stage_of(table)} AS stage_id FROM {table} WHERE {where}"
    )


def _stage_of(table: str) -> str:
    return "NULL" if table == "problems" else "stage_id"


LINEAGE = View(
    "lineage",
    "what was made from what: one row an edge from a child to what it comes from",
    "\n    UNION ALL ".join(
        (
            _edge("rollout:rollout_id", "problem:problem_id", "samples", "rollouts", "parent_rollout_id IS NULL"),
            _edge("rollout:rollout_id", "rollout:parent_rollout_id", "continues", "rollouts",
                  "parent_rollout_id IS NOT NULL"),
            _edge("rollout:rollout_id", "artifact:artifact_id", "is conditioned on", "rollouts",
                  "artifact_id IS NOT NULL"),
            _edge("step:step_id", "rollout:rollout_id", "is cut from", "steps"),
            _edge("pair:pair_id", "rollout:chosen_rollout_id", "chooses", "pairs"),
            _edge("pair:pair_id", "rollout:rejected_rollout_id", "rejects", "pairs"),
            _edge("artifact:artifact_id", "rollout:source_rollout_id", "is made from", "artifacts",
                  "source_rollout_id IS NOT NULL"),
            _edge("problem:problem_id", "problem:seed_problem_id", "is made from", "problems",
                  "seed_problem_id IS NOT NULL"),
        )
    ),
    {
        "child_kind": "problem, rollout, step, pair or artifact", "child_id": "id of what was made",
        "parent_kind": "problem, rollout or artifact", "parent_id": "id of what it was made from",
        "relation": "what the child does with its parent",
    },
)  # fmt: skip

STAGE_ORDER = View(
    "stage_order",
    "stages by their place in the graph",
    """WITH RECURSIVE placed(name, position) AS (
        SELECT name, 0 FROM stages WHERE len(parents) = 0
        UNION
        SELECT s.name, position + 1 FROM placed JOIN stages s ON list_contains(s.parents, placed.name)
    )
    SELECT name AS stage, max(position) AS position FROM placed GROUP BY name""",
    {"stage": "name of the stage", "position": "longest way from a source, in stages"},
)

_MEASURED = """(SELECT stage, axis, metric, problem_id, split_part(slice_value, '/', 1) AS policy_id,
        try_cast(split_part(slice_value, '/', 2) AS INTEGER) AS round, split_part(slice_value, '/', 3) AS sampling_id,
        count, total, total_sq, minimum, maximum, histogram, sketch, stage_id, slice_value
    FROM stats SEMI JOIN (SELECT stage, min(stage_id) AS stage_id FROM stats WHERE slice_key = 'group' GROUP BY stage)
        USING (stage, stage_id)
    WHERE slice_key = 'group')"""

MEASUREMENTS = View(
    "measurements",
    "rows of stats with their group spelled out; a stage that was measured twice counts once",
    f"""SELECT m.*, p.domain, coalesce(ps.difficulty_bin, pass_rate_bin(1 - d.difficulty)) AS difficulty_bin
    FROM {_MEASURED} m
    LEFT JOIN (SELECT problem_id, slice_value, any_value(total) AS difficulty FROM stats WHERE metric = 'difficulty'
        GROUP BY problem_id, slice_value) d USING (problem_id, slice_value)
    LEFT JOIN problems p USING (problem_id)
    LEFT JOIN {_GROUP_STATS} ps USING ({_GROUP})""",
)


def _merged(key: str, value: str) -> str:
    """All accumulators of a (stage, metric, slice) as one; sketches by the smallest bound and the union below it."""
    # The joins behind domain and difficulty are left out where they are not asked for.
    rows = "measurements" if key in {"domain", "difficulty_bin"} else _MEASURED
    source = f"(SELECT *, {value} AS slice FROM {rows})"
    return f"""WITH merged AS (
        SELECT stage, any_value(axis) AS axis, metric, slice, count(*) AS groups, sum(count) AS n, sum(total) AS total,
            sum(total_sq) AS total_sq, min(minimum) AS minimum, max(maximum) AS maximum, count(sketch) AS sketches,
            min(sketch[-1]) AS bound
        FROM {source} GROUP BY stage, metric, slice
    )
    SELECT stage, axis, metric, '{key}' AS slice_key, slice AS slice_value, groups, n,
        CASE WHEN sketches = 0 THEN total / n ELSE distinct_elements / n END AS mean,
        CASE WHEN sketches = 0 AND n > 1 THEN sqrt(greatest(0.0, (total_sq - total * total / n) / (n - 1))) END AS std,
        CASE WHEN sketches = 0 THEN minimum END AS minimum, CASE WHEN sketches = 0 THEN maximum END AS maximum,
        distinct_elements
    FROM merged LEFT JOIN (
        SELECT stage, metric, slice, count(DISTINCT h) * ({HASH_SPACE}::DOUBLE / any_value(bound)) AS distinct_elements
        FROM (SELECT stage, metric, slice, bound, unnest(sketch) AS h
            FROM {source} JOIN merged USING (stage, metric, slice) WHERE sketch IS NOT NULL)
        WHERE h < bound GROUP BY stage, metric, slice
    ) USING (stage, metric, slice)"""


_QDC = {
    "slice_key": "all, domain, difficulty_bin, policy or round",
    "slice_value": "value of the slice key; all for the whole",
    "groups": "groups (problem, policy, round, sampling) measured",
    "n": "observations",
    "mean": "mean observation; for a corpus metric, distinct elements over all elements",
    "std": "standard deviation of the observations (n - 1)",
    "distinct_elements": "estimated distinct elements of a corpus metric; null for the others",
}
_SLICES = {
    "all": "'all'",
    "domain": "domain",
    "difficulty_bin": "difficulty_bin",
    "policy": "policy_id",
    "round": "round::VARCHAR",
}

QDC_SLICES = View(
    "qdc_slices",
    "quality, diversity, complexity and exploration by stage, metric and slice: accumulators merged",
    "\n    UNION ALL\n    ".join(f"({_merged(key, value)})" for key, value in _SLICES.items()),
    _QDC,
)

QDC = View(
    "qdc",
    "quality, diversity, complexity and exploration of what each stage retains; one row a stage and metric",
    """SELECT position, q.* EXCLUDE (slice_key, slice_value)
    FROM (FROM qdc_slices WHERE slice_key = 'all') q LEFT JOIN stage_order USING (stage)""",
    {**_QDC, "position": "place of the stage in the graph"},
)

QDC_DELTA = View(
    "qdc_delta",
    "what each stage did to each axis: its mean less that of the stage before it; one row a parent",
    """SELECT b.position, b.stage, e.previous, b.axis, b.metric, a.mean AS before, b.mean AS after,
        b.mean - a.mean AS delta, a.n AS n_before, b.n AS n_after, a.groups AS groups_before, b.groups AS groups_after
    FROM qdc b
    JOIN (SELECT name AS stage, unnest(parents) AS previous FROM stages) e ON e.stage = b.stage
    JOIN qdc a ON a.stage = e.previous AND a.metric = b.metric""",
    {
        "position": "place of the stage in the graph",
        "previous": "the stage it reads",
        "before": "mean at the stage it reads",
        "after": "mean at this stage",
        "delta": "after - before",
        "n_before": "observations at the stage it reads",
        "n_after": "observations at this stage",
        "groups_before": "groups at the stage it reads",
        "groups_after": "groups at this stage",
    },
)

_EDGES = ", ".join(
    f"('{metric}', {i}, {low!r}::DOUBLE, {high!r}::DOUBLE)"
    for metric, edges in bins().items()
    for i, (low, high) in enumerate(pairwise(edges))
)

QDC_HISTOGRAMS = View(
    "qdc_histograms",
    "how the observations of a metric are spread: one row a stage, metric and bin that is not empty",
    f"""SELECT stage, axis, metric, low, high, sum(held)::BIGINT AS n
    FROM (SELECT stage, axis, metric, unnest(histogram) AS held, generate_subscripts(histogram, 1) - 1 AS bin
        FROM {_MEASURED} WHERE histogram IS NOT NULL)
    JOIN (VALUES {_EDGES}) b(metric, bin, low, high) USING (metric, bin)
    GROUP BY stage, axis, metric, low, high HAVING sum(held) > 0""",
    {"low": "least value of the bin", "high": "where the next bin begins", "n": "observations in the bin"},
)

CALIBRATION = View(
    "calibration",
    "scorers against each other and the truth: precision, recall, false accepts, with 95% intervals; one row a slice",
    calibration_view.SQL,
    calibration_view.COLUMNS,
)

STEP_AGREEMENT = View(
    "step_agreement",
    "step labelers against the truth, each other and the outcome, with 95% intervals: which one to believe",
    agreement_view.AGREEMENT_SQL,
    agreement_view.AGREEMENT_COLUMNS,
)

STEP_RELIABILITY = View(
    "step_reliability",
    "what came where a labeler gave such values: one row a labeler, reference, slice and bin that is not empty",
    agreement_view.RELIABILITY_SQL,
    agreement_view.RELIABILITY_COLUMNS,
)

STEP_LABELERS = View(
    "step_labelers",
    "what each step labeler gave and cost, how sure it is and, where that was measured, how right",
    agreement_view.LABELERS_SQL,
    agreement_view.LABELERS_COLUMNS,
)

DIFFICULTY_BY_POLICY = View(
    "difficulty_by_policy",
    "pass rates of two policies or rounds on each problem that both tried, the weaker beside the stronger",
    curriculum_views.DIFFICULTY_BY_POLICY,
    curriculum_views.BY_POLICY_COLUMNS,
)

DIFFICULTY_SHIFT = View(
    "difficulty_shift",
    "how alike two policies or rounds rank the problems that both tried",
    curriculum_views.DIFFICULTY_SHIFT,
    curriculum_views.SHIFT_COLUMNS,
)

BUDGETS = View(
    "budgets",
    "what each budget gave a problem, the group before, as forecast and after; one row a budget and problem",
    curriculum_views.BUDGETS,
    curriculum_views.BUDGETS_COLUMNS,
)

BUDGET_WAVES = View(
    "budget_waves",
    "share of mixed groups before a budget, as planned and as it came out; one row a budget",
    curriculum_views.BUDGET_WAVES,
    curriculum_views.BUDGET_WAVES_COLUMNS,
)

VIEWS: tuple[View, ...] = (
    VERDICTS, GROUPS, PASS_AT_K, PASS_RATE_BY_DIFFICULTY, STEP_ADVANTAGES, PAIR_TEXTS, LINEAGE, STAGE_ORDER,
    MEASUREMENTS, QDC_SLICES, QDC, QDC_DELTA, QDC_HISTOGRAMS, CALIBRATION, STEP_AGREEMENT, STEP_RELIABILITY,
    STEP_LABELERS, DIFFICULTY_BY_POLICY, DIFFICULTY_SHIFT, BUDGETS, BUDGET_WAVES,
)  # fmt: skip
