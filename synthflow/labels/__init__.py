"""What steps are worth. `monte_carlo` is the stage; `intervals` says how sure a proportion is."""
