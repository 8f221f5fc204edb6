"""`mine.*`: chosen against rejected, and what a trainer weighs rollouts with. They write `pairs` or `scores`."""
