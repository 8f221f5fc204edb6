"""The view `calibration`: scorers against references, from the accumulators that `measure.calibration` wrote.

Invariant: what was not counted is null, never NaN; the numbers are those of `synthflow.statistics.scorer_agreement`,
which says where the formulas come from (a test compares them). Accumulators of version 1 do not say of which problems
they are: their intervals are over rollouts, and `n_problems` is null.
"""

from __future__ import annotations

from synthflow.statistics.scorer_agreement import BELIEF, COUNTED

_Z = 1.959963984540054
_KEY = "calibration, scorer, reference, slice_key, slice_value"

_TOLD = """SELECT coalesce(st.name, s.stage_id) AS calibration, s.stage AS scorer, substr(s.slice_key, 9) AS reference,
            split_part(s.slice_value, '/', 1) AS policy_id, split_part(s.slice_value, '/', 2) AS round, s.problem_id,
            regexp_extract(s.slice_value, '^[^/]*/[^/]*/[^/]*/(.*)$', 1) AS difficulty_bin, s.metric, s.histogram
        FROM stats s LEFT JOIN stages st USING (stage_id) WHERE s.slice_key LIKE 'against %'"""

_SLICES = {"all": "'all'", "difficulty_bin": "difficulty_bin", "policy": "policy_id", "round": "round"}

_SLICED = "\n        UNION ALL ".join(
    f"SELECT *, '{key}' AS slice_key, {value} AS slice_value FROM told" for key, value in _SLICES.items()
)


_CELLS = ", ".join(f"sum(histogram[{cell + 1}])::DOUBLE AS c{cell}" for cell in range(9))


def _sum(cells: tuple[int, ...]) -> str:
    return "(" + " + ".join(f"c{cell}" for cell in cells) + ")"


def _moments(name: str) -> str:
    """What the interval of a rate over problems takes."""
    counted, among = COUNTED[name]
    k, n = _sum(counted), _sum(among)
    told = {"k": f"sum({k})", "n": f"sum({n})", "p": f"count(*) FILTER ({n} > 0)", "kk": f"sum({k} * {k})",
            "kn": f"sum({k} * {n})", "nn": f"sum({n} * {n})",
            "m": f"least(count(*) FILTER ({k} > 0), count(*) FILTER ({k} < {n}))"}  # fmt: skip
    return ", ".join(f"{value} AS {name}_{part}" for part, value in told.items())


def _rate(name: str) -> str:
    k, n, p, kk, kn, nn, m = (f"{name}_{part}" for part in ("k", "n", "p", "kk", "kn", "nn", "m"))
    effective = f"effective_n({k}, {n}, CASE WHEN n_problems IS NOT NULL THEN {p} END, {kk}, {kn}, {nn}, {m})"
    ends = (
        f"wilson({k} * {effective} / nullif({n}, 0), {effective}, {side}) AS {name}_{end}"
        for end, side in (("low", -1), ("high", 1))
    )
    return f"{k} / nullif({n}, 0) AS {name}, {', '.join(ends)}"


_SPREAD = "(kk - 2 * k / n * kn + k / n * k / n * nn)"
_SEEN = f"""CASE WHEN {_SPREAD} <= 1e-9 THEN n
            ELSE greatest(1.0, least(n, k / n * (1 - k / n) * n * n * (p - 1) / p / {_SPREAD})) END"""
EFFECTIVE_N = f"""CREATE MACRO effective_n(k, n, p, kk, kn, nn, m) AS CASE WHEN p IS NULL OR n = 0 THEN n
        WHEN p < 2 OR k = 0 OR k = n THEN least(n, p)
        ELSE (m + {BELIEF}) / (m / ({_SEEN}) + {BELIEF} / least(n, p)) END"""
"""The macro that says how many independent rollouts those of p problems are worth."""

_NAMED = """sum(c0)::BIGINT AS n_true_accept, sum(c3)::BIGINT AS n_false_accept, sum(c1)::BIGINT AS n_false_reject,
            sum(c4)::BIGINT AS n_true_reject, sum(c2 + c5)::BIGINT AS n_unknown,
            sum(c6 + c7 + c8)::BIGINT AS n_reference_unknown"""
_AGREE, _BOTH = "n_true_accept + n_true_reject", "n_true_accept + n_false_accept + n_true_reject + n_false_reject"
_RATES = ",\n        ".join(_rate(name) for name in COUNTED)

# n² times what both would agree on by chance.
_CHANCE = """((n_true_accept + n_false_reject)::DOUBLE * (n_true_accept + n_false_accept)
            + (n_true_reject + n_false_accept)::DOUBLE * (n_true_reject + n_false_reject))"""

SQL = f"""WITH told AS ({_TOLD}),
    sliced AS ({_SLICED}),
    by_problem AS (SELECT {_KEY}, problem_id, {_CELLS} FROM sliced WHERE metric = 'confusion'
        GROUP BY {_KEY}, problem_id),
    counts AS (SELECT {_KEY}, {_NAMED},
            CASE WHEN max(problem_id) <> '' THEN count(*) FILTER (c0 + c1 + c3 + c4 > 0) END AS n_problems,
            count(*) FILTER (c0 + c1 + c2 > 0) AS p_correct, count(*) FILTER (c3 + c4 + c5 > 0) AS p_wrong,
            {", ".join(_moments(name) for name in COUNTED)}
        FROM by_problem GROUP BY {_KEY}),
    bins AS (SELECT {_KEY}, metric, cell, sum(held) AS held FROM (
            SELECT {_KEY}, metric, unnest(histogram) AS held, generate_subscripts(histogram, 1) - 1 AS cell
            FROM sliced WHERE metric <> 'confusion')
        GROUP BY {_KEY}, metric, cell),
    valued AS (SELECT {_KEY}, cell, coalesce(sum(held) FILTER (metric = 'value_if_correct'), 0)::DOUBLE AS good,
            coalesce(sum(held) FILTER (metric = 'value_if_wrong'), 0)::DOUBLE AS bad
        FROM bins GROUP BY {_KEY}, cell),
    ranked AS (SELECT *, sum(bad) OVER (PARTITION BY {_KEY} ORDER BY cell) - bad AS below FROM valued),
    areas AS (SELECT {_KEY}, sum(good) AS good, sum(bad) AS bad,
            sum(good * (below + bad / 2)) / nullif(sum(good) * sum(bad), 0) AS auroc
        FROM ranked GROUP BY {_KEY}),
    independent AS (SELECT {_KEY}, auroc,
            CASE WHEN n_problems IS NULL THEN good ELSE least(good, p_correct) END AS good,
            CASE WHEN n_problems IS NULL THEN bad ELSE least(bad, p_wrong) END AS bad
        FROM areas JOIN counts USING ({_KEY})),
    errors AS (SELECT {_KEY}, auroc, CASE WHEN auroc > 0 AND auroc < 1 THEN sqrt(greatest(0.0, auroc * (1 - auroc)
            + (good - 1) * (auroc / (2 - auroc) - auroc * auroc)
            + (bad - 1) * (2 * auroc * auroc / (1 + auroc) - auroc * auroc)) / (good * bad)) END AS error
        FROM independent)
    SELECT {_KEY}, {_BOTH} AS n, n_problems,
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
    "n_problems": "problems with such a rollout; intervals are over problems, or, where this is null, over rollouts",
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
