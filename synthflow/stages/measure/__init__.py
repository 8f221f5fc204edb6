"""`measure.*`: quality, diversity, complexity, calibration and agreement, as accumulators that add up.

A stage here decides what is measured on which rollouts; what a metric is stands in `statistics.metrics`.
"""
