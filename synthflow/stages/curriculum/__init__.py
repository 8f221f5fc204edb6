"""`curriculum.*`: pass rates, difficulty, order, repeats and budgets. They write about problems."""
