"""Pass rates, difficulty and order. `groups` counts, `pass_rate` and `order` are the stages."""
