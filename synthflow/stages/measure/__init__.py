"""`measure.*`: quality, diversity, complexity, calibration and agreement, as accumulators that add up.

A stage here decides what is measured on which rollouts; where a metric stands says docs/add-a-metric.md.
"""
