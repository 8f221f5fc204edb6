"""Verdicts outside of a running pipeline: on any file of answers, and once more on the rollouts of a finished run."""
