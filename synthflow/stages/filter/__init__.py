"""`filter.*`: keep or drop, with a reason; no row is removed.

A registered filter `x` is `filter.x` by itself: those stand in `filters/`. What reads the whole run stands here.
"""
