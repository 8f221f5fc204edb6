"""What steps are worth. `monte_carlo` is a stage, `searchers` its rules, `signals` what trainers read."""
