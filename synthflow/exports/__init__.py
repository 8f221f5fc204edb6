"""Releases for trainers: one config a shape, and every row that is left out says why."""
