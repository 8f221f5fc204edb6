"""Trees of rollouts that share prefixes: `tree` and `values` are pure, `sample` grows trees, `label` values them."""
