"""`label.*`: what steps are worth. They write `steps` and `step_values`."""
