"""Reads the final answer in a completion, and decides whether two answers are equal; verdicts are given elsewhere."""
