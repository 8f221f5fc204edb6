"""Asking a language model for a judgement and reading its answer strictly.

The shipped prompts are `templates/`. Stages that ask are elsewhere: `verify.judge`, `verify.rubric`, `label.judge`.
"""
