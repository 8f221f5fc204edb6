"""`measure.*`: quality, diversity, complexity, calibration and agreement, as accumulators that add up."""
