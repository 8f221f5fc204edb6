"""`sample`, `sample.*`: what asks a policy for rollouts. Every one writes rows of `rollouts`.

Copy `first` for a stage that samples from problems, `branch` for one that continues prefixes.
"""
