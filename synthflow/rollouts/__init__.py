"""The rollout graph as frames: what stages read, ask, judge, cut and write.

What two stage folders share stands here; it knows no stage.
"""
