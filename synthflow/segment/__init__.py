"""Cutting completions into steps, and tokens into the same steps. See `cut` and `tokens`."""

from synthflow.segment.cut import Overflow, Segmented, Span, parse_segmenter, segment, segment_like
from synthflow.segment.merge import Thoughts, merge_groups, merge_runs
from synthflow.segment.rules import SEGMENTERS, SegmenterName
from synthflow.segment.tokens import token_ranges

__all__ = [
    "SEGMENTERS",
    "Overflow",
    "Segmented",
    "SegmenterName",
    "Span",
    "Thoughts",
    "merge_groups",
    "merge_runs",
    "parse_segmenter",
    "segment",
    "segment_like",
    "token_ranges",
]
