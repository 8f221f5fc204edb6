"""SQL of the views on difficulty and budgets: policies against each other, and budgets against what came of them.

Invariant: where several waves of a group were counted, one above the other, the largest count stands for all.
"""

from __future__ import annotations

_RATES = """rates AS (
        SELECT problem_id, policy_id, round, sum(counts.c) AS n_correct, sum(counts.c) + sum(counts.w) AS n_judged,
            sum(counts.c) / nullif(sum(counts.c) + sum(counts.w), 0) AS pass_rate
        FROM (
            SELECT problem_id, policy_id, round, sampling_id,
                arg_max({'c': n_correct, 'w': n_wrong}, printf('%010d/%s', n, stage_id)) AS counts
            FROM problem_stats GROUP BY problem_id, policy_id, round, sampling_id
        ) GROUP BY problem_id, policy_id, round
    ),
    pairs_of_policies AS (
        SELECT a.problem_id, a.policy_id AS one_policy, a.round AS one_round, b.policy_id AS other_policy,
            b.round AS other_round, a.pass_rate AS one_rate, b.pass_rate AS other_rate,
            a.n_correct AS one_correct, a.n_judged AS one_judged, b.n_correct AS other_correct,
            b.n_judged AS other_judged
        FROM rates a JOIN rates b ON a.problem_id = b.problem_id
            AND (a.round < b.round OR (a.round = b.round AND a.policy_id < b.policy_id))
        WHERE a.n_judged > 0 AND b.n_judged > 0
    )"""

_PAIR = "one_policy, one_round, other_policy, other_round"


def _side(which: str, column: str) -> str:
    """`column` of the weaker or the stronger policy of a pair."""
    first, second = ("other", "one") if which == "weak" else ("one", "other")
    return f"CASE WHEN one_is_strong THEN {first}_{column} ELSE {second}_{column} END AS {which}_{column}"


_SIDES = ", ".join(_side(w, c) for w in ("weak", "strong") for c in ("policy", "round", "rate", "correct", "judged"))

DIFFICULTY_BY_POLICY = f"""WITH {_RATES}, compared AS (
        SELECT *, avg(one_rate) OVER (PARTITION BY {_PAIR}) > avg(other_rate) OVER (PARTITION BY {_PAIR})
            AS one_is_strong FROM pairs_of_policies
    ), named AS (
        SELECT problem_id, {_SIDES} FROM compared
    )
    SELECT problem_id, weak_policy, weak_round, weak_rate AS weak_pass_rate,
        wilson(weak_correct, weak_judged, -1) AS weak_low, wilson(weak_correct, weak_judged, 1) AS weak_high,
        strong_policy, strong_round, strong_rate AS strong_pass_rate,
        wilson(strong_correct, strong_judged, -1) AS strong_low,
        wilson(strong_correct, strong_judged, 1) AS strong_high, strong_rate - weak_rate AS gap
    FROM named"""

BY_POLICY_COLUMNS = {
    "weak_policy": "policy_id of the one whose mean pass rate over the problems both tried is lower",
    "weak_round": "its round",
    "weak_pass_rate": "its pass rate, samplings pooled",
    "weak_low": "lower end of the Wilson 95% interval",
    "weak_high": "upper end",
    "strong_policy": "policy_id of the other one",
    "strong_round": "its round",
    "strong_pass_rate": "its pass rate, samplings pooled",
    "strong_low": "lower end of the Wilson 95% interval",
    "strong_high": "upper end",
    "gap": "strong_pass_rate - weak_pass_rate",
}

DIFFICULTY_SHIFT = f"""WITH {_RATES}, ranked AS (
        SELECT *,
            rank() OVER (PARTITION BY {_PAIR} ORDER BY one_rate)
                + (count(*) OVER (PARTITION BY {_PAIR}, one_rate) - 1) / 2 AS one_rank,
            rank() OVER (PARTITION BY {_PAIR} ORDER BY other_rate)
                + (count(*) OVER (PARTITION BY {_PAIR}, other_rate) - 1) / 2 AS other_rank
        FROM pairs_of_policies
    )
    SELECT {_PAIR}, count(*) AS problems,
        CASE WHEN count(DISTINCT one_rank) > 1 AND count(DISTINCT other_rank) > 1
            THEN corr(one_rank, other_rank) END AS rank_correlation,
        avg(one_rate) AS one_pass_rate, avg(other_rate) AS other_pass_rate
    FROM ranked GROUP BY {_PAIR}"""

SHIFT_COLUMNS = {
    "one_policy": "policy_id of the earlier round",
    "one_round": "the earlier round",
    "other_policy": "policy_id of the later round (in the same round, the one with the larger id)",
    "other_round": "the later round",
    "problems": "problems that both tried",
    "rank_correlation": "Spearman's rho of their pass rates, ties at their mean rank; null where one side is all alike",
    "one_pass_rate": "mean pass rate of the one over these problems",
    "other_pass_rate": "mean pass rate of the other",
}

BUDGETS = """WITH RECURSIVE below(stage, name) AS (
        SELECT name, name FROM stages WHERE "use" = 'curriculum.budget'
        UNION SELECT b.stage, s.name FROM below b JOIN stages s ON list_contains(s.parents, b.name)
    ),
    counted AS (
        SELECT b.stage, arg_min(st.name, printf('%06d/%s', o.position, st.name)) AS counted_by
        FROM below b JOIN stages st ON st.name = b.name JOIN stage_order o ON o.stage = st.name
        SEMI JOIN problem_stats ps ON ps.stage_id = st.stage_id
        GROUP BY b.stage
    ),
    asked AS (
        SELECT st.name AS stage, s.problem_id, s.value AS planned_mixed, s.detail ->> '$.policy_id' AS policy_id,
            (s.detail ->> '$.round')::INTEGER AS round, s.detail ->> '$.sampling_id' AS sampling_id,
            (s.detail ->> '$.n')::INTEGER AS n_before, (s.detail ->> '$.n_correct')::INTEGER AS correct_before,
            (s.detail ->> '$.n_wrong')::INTEGER AS wrong_before, (s.detail ->> '$.extra')::INTEGER AS extra
        FROM (FROM scores WHERE scorer = 'curriculum.budget.p_mixed') s JOIN stages st USING (stage_id)
    )
    SELECT a.stage, a.problem_id, a.policy_id, a.round, a.sampling_id, a.n_before,
        a.correct_before / nullif(a.correct_before + a.wrong_before, 0) AS pass_rate_before,
        a.correct_before > 0 AND a.wrong_before > 0 AS mixed_before, a.extra, a.planned_mixed, c.counted_by,
        ps.n AS n_after, ps.pass_rate AS pass_rate_after, ps.n_correct > 0 AND ps.n_wrong > 0 AS mixed_after
    FROM asked a LEFT JOIN counted c USING (stage) LEFT JOIN stages st ON st.name = c.counted_by
    LEFT JOIN problem_stats ps ON ps.stage_id = st.stage_id AND ps.problem_id = a.problem_id
        AND ps.policy_id = a.policy_id AND ps.round = a.round AND ps.sampling_id = a.sampling_id"""

BUDGETS_COLUMNS = {
    "stage": "the budget's stage",
    "n_before": "rollouts of the group before",
    "pass_rate_before": "its pass rate before",
    "mixed_before": "whether it had a right and a wrong rollout",
    "extra": "further rollouts that the budget gives",
    "planned_mixed": "chance that the group has a right and a wrong rollout afterwards, as forecast",
    "counted_by": "the nearest stage below that counts pass rates; null: none does",
    "n_after": "rollouts of the group as counted there",
    "pass_rate_after": "its pass rate there",
    "mixed_after": "whether it has a right and a wrong rollout there",
}

BUDGET_WAVES = """SELECT stage, counted_by, count(*) AS problems, sum(n_before)::BIGINT AS rollouts_before,
        sum(extra)::BIGINT AS rollouts_added, avg(mixed_before::INTEGER) AS ratio_before,
        avg(planned_mixed) AS ratio_planned, avg(mixed_after::INTEGER) AS ratio_after
    FROM budgets GROUP BY stage, counted_by"""

BUDGET_WAVES_COLUMNS = {
    "stage": "the budget's stage",
    "counted_by": BUDGETS_COLUMNS["counted_by"],
    "problems": "problems that the budget was divided among",
    "rollouts_before": "their rollouts before",
    "rollouts_added": "further rollouts given",
    "ratio_before": "effective ratio, the share of mixed groups, before",
    "ratio_planned": "as forecast",
    "ratio_after": "as it came out",
}
