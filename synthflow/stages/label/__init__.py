"""`label.*`: what steps are worth. They write `steps` and `step_values`.

Copy `reference` for a labeler that samples nothing, `monte_carlo` for one that continues prefixes.
"""
