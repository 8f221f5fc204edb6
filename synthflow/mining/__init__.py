"""Chosen against rejected. `pairs` is the stage; `response` and `steps` find candidates, `choose` picks."""
