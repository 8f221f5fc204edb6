"""Cutting completions into steps, and tokens into the same steps. See `cut` and `tokens`."""

from synthflow.segment.cut import Overflow, Segmented, Span, segment, segment_like
from synthflow.segment.rules import SEGMENTERS, SegmenterName
from synthflow.segment.tokens import token_ranges

__all__ = [
    "SEGMENTERS",
    "Overflow",
    "Segmented",
    "SegmenterName",
    "Span",
    "segment",
    "segment_like",
    "token_ranges",
]
