"""Views over `agreement`: which step labeler to believe, in one row a labeler and reference, and reliability curves.

Invariant: the numbers are those that `measure.step_agreement` wrote; the views only lay them side by side.
"""

from __future__ import annotations

_MEANT = {
    "auroc_first_wrong": "chance that the reference's first wrong step has a lower advantage than a right one",
    "auroc_first_wrong_inner": "the same without the last steps, where a labeler of chances has the verdict",
    "auroc_within_rollout": "the first one among the steps of one rollout, which share its outcome; .5: knows no more",
    "auroc_newly_wrong": "chance that a step with an error of its own has a lower advantage than a right one",
    "auroc_p_first_error": "chance that the first wrong step has a higher p_first_error than a right one",
    "first_accuracy": "of rollouts with an error, the share whose first one the labeler names; unnamed is a miss",
    "first_named": "of rollouts with an error, the share in which the labeler names a first one",
    "first_exact": "where both name one, the share that is the same step",
    "first_within_one": "where both name one, the share that is at most one step off",
    "first_lowest": "of rollouts with an error, the share whose first one is the step of lowest advantage",
    "first_likeliest": "of rollouts with an error, the share whose first one is the step of highest p_first_error",
    "first_false": "of rollouts without an error, the share in which the labeler names one",
    "kappa": "Cohen's kappa of the named first error, none included; 0 by chance",
    "spearman": "rank correlation of advantages",
    "ece": "expected calibration error of values, ten bins; of outcome: values before the verdict",
    "bias": "mean of value - what came",
    "tokens_per_rollout": "tokens sampled for the labels of one rollout",
    "undecided": "share of steps without an advantage",
}
_PLAIN = ("rollouts", "steps", "tokens")
_KEY = "agreement, labeler, reference, is_truth, slice_key, slice_value"


def _picked(metric: str, column: str = "value") -> str:
    return f"any_value({column}) FILTER (metric = '{metric}')"


_COLUMNS = ",\n        ".join(
    f"{_picked(m)} AS {m}, {_picked(m, 'low')} AS {m}_low, {_picked(m, 'high')} AS {m}_high" for m in _MEANT
)
_LOCATED, _CLEARED = _picked("first_accuracy"), f"(1 - {_picked('first_false')})"
_F1 = f"""CASE WHEN {_LOCATED} + {_CLEARED} > 0 THEN 2 * {_LOCATED} * {_CLEARED} / ({_LOCATED} + {_CLEARED})
            WHEN {_LOCATED} + {_CLEARED} = 0 THEN 0 END"""
_COUNTS = ", ".join(f"{_picked(m)}::BIGINT AS {m}" for m in _PLAIN)

AGREEMENT_SQL = f"""WITH told AS (SELECT coalesce(st.name, a.stage_id) AS agreement, a.* FROM agreement a
        LEFT JOIN stages st USING (stage_id)),
    alone AS (SELECT agreement, labeler, slice_key, slice_value, {_COUNTS} FROM told WHERE reference = 'none'
        GROUP BY ALL)
    SELECT t.*, rollouts, steps, tokens FROM (
        SELECT {_KEY}, max(n) AS n, max(n_problems) AS n_problems,
        {_COLUMNS},
        {_F1} AS process_bench_f1
        FROM told WHERE metric <> 'reliability' GROUP BY {_KEY}) t
    LEFT JOIN alone USING (agreement, labeler, slice_key, slice_value)"""

RELIABILITY_SQL = """SELECT coalesce(st.name, a.stage_id) AS agreement, labeler, reference, is_truth, slice_key,
        slice_value, bin, predicted, value AS observed, low AS observed_low, high AS observed_high, n, n_problems
    FROM agreement a LEFT JOIN stages st USING (stage_id) WHERE metric = 'reliability'"""

LABELERS_SQL = """WITH spent AS (
        SELECT coalesce(st.name, v.stage_id) AS stage, v.labeler, any_value(v.scale) AS scale,
            count(DISTINCT rollout_id) AS rollouts, count(*) AS steps,
            avg((advantage IS NULL)::INT) AS undecided, avg(abs(advantage)) AS mean_size,
            avg(advantage_se) AS mean_se, avg(value_high - value_low) AS mean_width,
            count(*) FILTER (WHERE is_first_error) AS first_errors, count(p_first_error) > 0 AS has_p_first_error,
            sum(tokens_spent)::BIGINT AS tokens
        FROM step_values v LEFT JOIN stages st USING (stage_id) GROUP BY ALL),
    believed AS (SELECT labeler AS name, agreement, reference AS truth, auroc_first_wrong, auroc_first_wrong_low,
            auroc_first_wrong_high, first_accuracy, first_lowest
        FROM step_agreement WHERE is_truth AND slice_key = 'all')
    SELECT s.*, tokens / nullif(rollouts, 0) AS tokens_per_rollout, b.* EXCLUDE (name)
    FROM spent s LEFT JOIN believed b ON b.name = s.stage OR b.name = s.stage || '/' || s.labeler"""

_ENDS = {"low": "lower end of its 95% interval, from a bootstrap of problems", "high": "upper end"}
_OF = {
    "agreement": "the stage that measured this",
    "labeler": "the label stage that is judged",
    "reference": "what it is compared with: a label stage, outcome (the verdict), or none (the labeler by itself)",
    "slice_value": "value of the slice key; all for the whole",
}

AGREEMENT_COLUMNS = {
    **_OF,
    **_MEANT,
    **{f"{name}_{end}": text for name in _MEANT for end, text in _ENDS.items()},
    "process_bench_f1": "ProcessBench's: harmonic mean of first_accuracy and 1 - first_false; null without either kind",
    "n": "steps of the largest statistic",
    "n_problems": "problems of it",
    "rollouts": "rollouts that the labeler labelled in this slice",
    "steps": "their steps",
    "tokens": "tokens sampled for their labels",
}

RELIABILITY_COLUMNS = {
    **_OF,
    "bin": "bin of predicted values, from 0: [0, .1), [.1, .2), ...",
    "predicted": "mean value that the labeler gave",
    "observed": "mean of what came: the truth's value, or the outcome",
    "observed_low": "lower end of its 95% interval",
    "observed_high": "upper end",
    "n": "steps in the bin",
    "n_problems": "their problems",
}

LABELERS_COLUMNS = {
    "stage": "the label stage",
    "rollouts": "rollouts labelled",
    "steps": "steps labelled",
    "undecided": "share of steps without an advantage",
    "mean_size": "mean of |advantage|",
    "mean_se": "mean standard error of an advantage: an advantage smaller than this is noise",
    "mean_width": "mean width of the 95% interval of a value",
    "first_errors": "rollouts in which it names a first error",
    "has_p_first_error": "whether it gives probabilities of the first error",
    "tokens": "tokens sampled for its labels",
    "tokens_per_rollout": "the same for one rollout",
    "agreement": "the stage that measured it against a truth; null: none did",
    "truth": "that truth",
    **{name: _MEANT[name] for name in ("auroc_first_wrong", "first_accuracy", "first_lowest")},
    **{f"auroc_first_wrong_{end}": text for end, text in _ENDS.items()},
}
