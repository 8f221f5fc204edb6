"""Answers from recorded rollouts."""
