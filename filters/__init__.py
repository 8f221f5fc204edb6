"""What annotates rollouts: keep or drop, with a reason. A registered filter `x` is the stage `filter.x`; copy `length`.

A filter never removes a row.
"""
