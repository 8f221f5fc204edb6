"""The sentences of the long world: a till that many people pay into and take from.

Invariant: as in `world_words.py`, which joins these pools with its own, a pattern is on one side of the split only,
also across slots, and held-out patterns recombine words of the train patterns. They are written with words that the
demo tokenizer has whole, so that long problems stay short in tokens.
"""

from __future__ import annotations

# slot -> (train patterns, held-out patterns)
LONG_PROMPT_LINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "till": (
        (
            "The shop has {x} dollars.",
            "At first the shop has {x} dollars.",
            "The shop starts with {x} dollars.",
            "In the morning the shop starts with {x} dollars.",
        ),
        ("At first the shop starts with {x} dollars.", "In the morning the shop has {x} dollars."),
    ),
    "till_in": (
        (
            "{who} buys {what} for {x} dollars.",
            "Then {who} pays {x} dollars for {what}.",
            "Later {who} buys some {what} for {x} dollars.",
            "For some {what} {who} pays {x} dollars.",
        ),
        (
            "Then {who} buys some {what} for {x} dollars.",
            "Later {who} pays {x} dollars for {what}.",
            "For {what} {who} pays {x} dollars.",
        ),
    ),
    "till_out": (
        (
            "{who} sells {what} for {x} dollars.",
            "Then {who} gets {x} dollars for {what}.",
            "Later {who} sells some {what} for {x} dollars.",
            "For some {what} {who} gets {x} dollars.",
        ),
        (
            "Then {who} sells some {what} for {x} dollars.",
            "Later {who} gets {x} dollars for {what}.",
            "For {what} {who} gets {x} dollars.",
        ),
    ),
    "ask_till": (
        (
            "How many dollars does the shop have now?",
            "How many dollars does the shop have in the end?",
            "Find how many dollars the shop has.",
        ),
        ("Find how many dollars the shop has in the end.", "In the end, how many dollars does the shop have?"),
    ),
    "purse": (
        (
            "They have {x} dollars.",
            "At first they have {x} dollars.",
            "They start with {x} dollars.",
            "In the morning they start with {x} dollars.",
        ),
        ("At first they start with {x} dollars.", "In the morning they have {x} dollars."),
    ),
    "purse_in": (
        (
            "They sell {what} to {who} for {x} dollars.",
            "Then they sell {what} for {x} dollars to {who}.",
            "Later they sell some {what} to {who} for {x} dollars.",
            "For {x} dollars they sell {what} to {who}.",
        ),
        (
            "Then they sell {what} to {who} for {x} dollars.",
            "Later they sell {what} for {x} dollars to {who}.",
            "For {x} dollars they sell some {what} to {who}.",
        ),
    ),
    "purse_out": (
        (
            "They buy {what} from {who} for {x} dollars.",
            "Then they buy {what} for {x} dollars from {who}.",
            "Later they buy some {what} from {who} for {x} dollars.",
            "For {x} dollars they buy {what} from {who}.",
        ),
        (
            "Then they buy {what} from {who} for {x} dollars.",
            "Later they buy {what} for {x} dollars from {who}.",
            "For {x} dollars they buy some {what} from {who}.",
        ),
    ),
    "ask_purse": (
        (
            "How many dollars do they have now?",
            "How many dollars do they have in the end?",
            "Find how many dollars they have left.",
        ),
        ("Find how many dollars they have in the end.", "In the end, how many dollars do they have?"),
    ),
}

LONG_STEP_LINES: dict[str, tuple[str, ...]] = {
    "till": ("{who}: {eq} dollars.", "Then {who}: {eq}."),
    "purse": ("The {what}: {eq} dollars.", "Then the {what}: {eq}."),
}
