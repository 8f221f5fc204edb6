"""Asking a language model for a judgement and reading its answer strictly. The shipped prompts are `templates/`; stages
that ask are elsewhere.
"""
