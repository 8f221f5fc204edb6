"""Pass rates, difficulty, order and budgets.

Arithmetic is in `groups`, `bins`, `rates`, `orders`, `bandit`, `budget` and `allocation`; the stages are `pass_rate`,
`order`, `bandit_stage`, `reestimate`, `repeats`, `budget_stage` and `sample_more`.
"""
