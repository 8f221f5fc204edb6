"""Verify stages that ask a model, or the group itself: `verify.judge`, `verify.rubric`, `verify.vote`."""
