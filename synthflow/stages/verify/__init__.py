"""`verify.*` that ask a model, the group itself or other stages.

A registered verifier `x` is `verify.x` by itself: those stand in `verifiers/`.
"""
