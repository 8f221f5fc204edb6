"""The view `calibration`: scorers against references, from the accumulators that `measure.calibration` wrote.

Invariant: what was not counted is null, never NaN; the numbers are those of `synthflow.statistics.scorer_agreement`,
which says where the formulas come from (a test compares them).
"""

from __future__ import annotations

_Z = 1.959963984540054
_KEY = "calibration, scorer, reference, slice_key, slice_value"

_TOLD = """SELECT coalesce(st.name, s.stage_id) AS calibration, s.stage AS scorer, substr(s.slice_key, 9) AS reference,
            split_part(s.slice_value, '/', 1) AS policy_id, split_part(s.slice_value, '/', 2) AS round,
            regexp_extract(s.slice_value, '^[^/]*/[^/]*/[^/]*/(.*)$', 1) AS difficulty_bin, s.metric, s.histogram
        FROM stats s LEFT JOIN stages st USING (stage_id) WHERE s.slice_key LIKE 'against %'"""

_SLICES = {"all": "'all'", "difficulty_bin": "difficulty_bin", "policy": "policy_id", "round": "round"}

_SLICED = "\n        UNION ALL ".join(
    f"SELECT *, '{key}' AS slice_key, {value} AS slice_value FROM told" for key, value in _SLICES.items()
)


def _n(*cells: int) -> str:
    wanted = ", ".join(map(str, cells))
    return f"coalesce(sum(held) FILTER (metric = 'confusion' AND cell IN ({wanted})), 0)::BIGINT"


def _rate(name: str, k: str, n: str) -> str:
    ends = (f"wilson(({k})::DOUBLE, ({n})::DOUBLE, {side}) AS {name}_{end}" for end, side in (("low", -1), ("high", 1)))
    return f"({k}) / nullif(({n}), 0) AS {name}, {', '.join(ends)}"


_AGREE, _BOTH = "n_true_accept + n_true_reject", "n_true_accept + n_false_accept + n_true_reject + n_false_reject"
_RATES = ",\n        ".join(
    (
        _rate("precision", "n_true_accept", "n_true_accept + n_false_accept"),
        _rate("recall", "n_true_accept", "n_true_accept + n_false_reject"),
        _rate("false_accept", "n_false_accept", "n_false_accept + n_true_reject"),
        _rate("false_reject", "n_false_reject", "n_false_reject + n_true_accept"),
        _rate("agreement", _AGREE, _BOTH),
        _rate("coverage", _BOTH, f"{_BOTH} + n_unknown"),
    )
)

# n² times what both would agree on by chance.
_CHANCE = """((n_true_accept + n_false_reject)::DOUBLE * (n_true_accept + n_false_accept)
            + (n_true_reject + n_false_accept)::DOUBLE * (n_true_reject + n_false_reject))"""

SQL = f"""WITH told AS ({_TOLD}),
    sliced AS ({_SLICED}),
    bins AS (SELECT {_KEY}, metric, cell, sum(held) AS held FROM (
            SELECT {_KEY}, metric, unnest(histogram) AS held, generate_subscripts(histogram, 1) - 1 AS cell FROM sliced)
        GROUP BY {_KEY}, metric, cell),
    counts AS (SELECT {_KEY}, {_n(0)} AS n_true_accept, {_n(3)} AS n_false_accept, {_n(1)} AS n_false_reject,
            {_n(4)} AS n_true_reject, {_n(2, 5)} AS n_unknown, {_n(6, 7, 8)} AS n_reference_unknown
        FROM bins GROUP BY {_KEY}),
    valued AS (SELECT {_KEY}, cell, coalesce(sum(held) FILTER (metric = 'value_if_correct'), 0)::DOUBLE AS good,
            coalesce(sum(held) FILTER (metric = 'value_if_wrong'), 0)::DOUBLE AS bad
        FROM bins WHERE metric <> 'confusion' GROUP BY {_KEY}, cell),
    ranked AS (SELECT *, sum(bad) OVER (PARTITION BY {_KEY} ORDER BY cell) - bad AS below FROM valued),
    areas AS (SELECT {_KEY}, sum(good) AS good, sum(bad) AS bad,
            sum(good * (below + bad / 2)) / nullif(sum(good) * sum(bad), 0) AS auroc
        FROM ranked GROUP BY {_KEY}),
    errors AS (SELECT {_KEY}, auroc, CASE WHEN auroc > 0 AND auroc < 1 THEN sqrt(greatest(0.0, auroc * (1 - auroc)
            + (good - 1) * (auroc / (2 - auroc) - auroc * auroc)
            + (bad - 1) * (2 * auroc * auroc / (1 + auroc) - auroc * auroc)) / (good * bad)) END AS error
        FROM areas)
    SELECT {_KEY}, {_BOTH} AS n,
        n_true_accept, n_false_accept, n_false_reject, n_true_reject, n_unknown, n_reference_unknown,
        {_RATES},
        (({_AGREE})::DOUBLE * ({_BOTH}) - {_CHANCE})
            / nullif(({_BOTH})::DOUBLE * ({_BOTH}) - {_CHANCE}, 0) AS kappa,
        auroc, CASE WHEN error IS NOT NULL THEN greatest(0.0, auroc - {_Z} * error) END AS auroc_low,
        CASE WHEN error IS NOT NULL THEN least(1.0, auroc + {_Z} * error) END AS auroc_high
    FROM counts LEFT JOIN errors USING ({_KEY})"""

_ENDS = {"low": "lower end of its 95% interval", "high": "upper end"}
_MEANT = {
    "precision": "of what the scorer accepts, the share that the reference calls correct",
    "recall": "of what is correct and judged, the share that the scorer accepts",
    "false_accept": "of what is wrong and judged, the share that the scorer accepts",
    "false_reject": "of what is correct and judged, the share that the scorer calls wrong",
    "agreement": "of what both are sure of, the share on which they say the same",
    "coverage": "of what the reference is sure of, the share that the scorer is sure of too",
    "auroc": "chance that a correct rollout has a higher value than a wrong one, ties one half",
}

COLUMNS = {
    "calibration": "the stage that measured this",
    "scorer": "the verify stage that is judged; STAGE/PART for a part whose scores a stage keeps",
    "reference": "what it is compared with: a verify stage, or labels",
    "slice_key": "all, difficulty_bin, policy or round",
    "slice_value": "value of the slice key; all for the whole",
    "n": "rollouts of which both are sure",
    "n_true_accept": "both say correct",
    "n_false_accept": "the scorer says correct, the reference wrong",
    "n_false_reject": "the scorer says wrong, the reference correct",
    "n_true_reject": "both say wrong",
    "n_unknown": "the scorer is not sure, the reference is",
    "n_reference_unknown": "the reference is not sure: counted in nothing else",
    **_MEANT,
    **{f"{name}_{end}": text for name in _MEANT for end, text in _ENDS.items()},
    "kappa": "Cohen's kappa: agreement beyond chance, 1 at best, 0 by chance",
}
