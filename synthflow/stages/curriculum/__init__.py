"""`curriculum.*`: pass rates, difficulty, order, repeats and budgets. They write about problems.

Copy `order`. Beside a stage stands its arithmetic, as pure functions: `orders`, `arms` of the bandit, `knapsack`.
"""
