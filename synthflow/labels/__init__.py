"""What steps are worth. `monte_carlo` is a stage, `searchers` and `posterior` its rules, `signals` what trainers read."""
