"""The words of the demo world: names, objects, and pools of sentences, divided into train and held out.

Invariant: a sentence pattern is in the train pool or in the held-out pool of its slot, never in both, and a
(name, object) pair is on exactly one side too. Held-out patterns recombine words that the train patterns
use, so that they test the reading of new wording and not of new vocabulary.
"""

from __future__ import annotations

from typing import Literal

from synthflow.demo.world_long_words import LONG_PROMPT_LINES, LONG_STEP_LINES

Split = Literal["train", "heldout"]

NAMES = (
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Felix",
    "Grace",
    "Hugo",
    "Ida",
    "Jack",
    "Karim",
    "Lena",
    "Mia",
    "Noah",
    "Olga",
    "Paul",
    "Rosa",
    "Sam",
    "Tara",
    "Uma",
    "Victor",
    "Wendy",
    "Xavier",
    "Yusuf",
    "Zoe",
    "Amir",
    "Bella",
    "Chen",
    "Dora",
    "Eric",
)

OBJECTS = (
    "apples",
    "pens",
    "shells",
    "marbles",
    "stickers",
    "books",
    "coins",
    "cards",
    "stamps",
    "beads",
    "cookies",
    "muffins",
    "lemons",
    "pears",
    "plums",
    "eggs",
    "roses",
    "tulips",
    "candles",
    "ribbons",
    "buttons",
    "badges",
    "kites",
    "toys",
    "balls",
    "cups",
    "plates",
    "mugs",
    "hats",
    "scarves",
)

CONTAINERS = ("boxes", "bags", "baskets", "crates")

# slot -> (train patterns, held-out patterns)
PROMPT_LINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "start": (
        (
            "{who} has {x} {what}.",
            "At first {who} has {x} {what}.",
            "{who} starts with {x} {what}.",
            "In the morning {who} has {x} {what}.",
            "{who} owns {x} {what}.",
        ),
        ("At first {who} owns {x} {what}.", "In the morning {who} starts with {x} {what}."),
    ),
    "gain": (
        (
            "{who} buys {x} more {what}.",
            "Then {who} finds {x} {what}.",
            "{who} gets {x} more {what}.",
            "A friend gives {who} {x} {what}.",
            "Later {who} wins {x} {what}.",
            "{who} finds {x} more {what}.",
            "After that {who} buys {x} {what}.",
        ),
        (
            "Then {who} buys {x} more {what}.",
            "Later {who} finds {x} more {what}.",
            "After that a friend gives {who} {x} more {what}.",
        ),
    ),
    "loss": (
        (
            "{who} loses {x} {what}.",
            "Then {who} gives away {x} {what}.",
            "{who} sells {x} of the {what}.",
            "Later {who} loses {x} of the {what}.",
            "{who} gives {x} {what} to a friend.",
            "After that {who} sells {x} {what}.",
        ),
        (
            "Later {who} gives away {x} of the {what}.",
            "Then {who} sells {x} {what}.",
            "After that {who} loses {x} {what}.",
        ),
    ),
    "ask_has": (
        (
            "How many {what} does {who} have now?",
            "How many {what} does {who} have in the end?",
            "Find how many {what} {who} has.",
            "How many {what} are left for {who}?",
        ),
        ("Find how many {what} {who} has in the end.", "In the end, how many {what} does {who} have?"),
    ),
    "budget": (
        (
            "{who} has {x} dollars.",
            "{who} goes to the shop with {x} dollars.",
            "{who} takes {x} dollars to the shop.",
            "At first {who} has {x} dollars.",
        ),
        ("At first {who} takes {x} dollars to the shop.", "In the morning {who} has {x} dollars."),
    ),
    "item_mul": (
        (
            "{who} buys {x} {what} for {y} dollars each.",
            "{who} buys {x} {what} at {y} dollars each.",
            "Then {who} takes {x} {what} that cost {y} dollars each.",
            "{who} pays {y} dollars each for {x} {what}.",
        ),
        ("Then {who} buys {x} {what} that cost {y} dollars each.", "{who} takes {x} {what} for {y} dollars each."),
    ),
    "item_one": (
        (
            "{who} buys a bag of {what} for {x} dollars.",
            "{who} pays {x} dollars for a box of {what}.",
            "Then {who} takes some {what} that cost {x} dollars in all.",
        ),
        ("Then {who} buys a box of {what} for {x} dollars.", "{who} pays {x} dollars for some {what}."),
    ),
    "ask_cost": (
        ("How many dollars does {who} pay?", "How much does {who} pay in all?", "Find how many dollars {who} pays."),
        ("How many dollars does {who} pay in all?", "Find how much {who} pays."),
    ),
    "ask_change": (
        (
            "How many dollars does {who} have left?",
            "How much money is left for {who}?",
            "Find how many dollars {who} has left.",
        ),
        ("Find how much money {who} has left.", "How many dollars are left for {who}?"),
    ),
    "worker_rate": (
        (
            "{who} makes {x} {what} every hour and works {y} hours.",
            "{who} works {y} hours and makes {x} {what} every hour.",
            "{who} makes {x} {what} an hour for {y} hours.",
            "For {y} hours {who} makes {x} {what} an hour.",
        ),
        ("{who} works {y} hours and makes {x} {what} an hour.", "For {y} hours {who} makes {x} {what} every hour."),
    ),
    "worker_one": (
        ("{who} makes {x} {what}.", "Then {who} makes {x} {what} more.", "{who} makes {x} {what} in all."),
        ("In all {who} makes {x} {what}.", "Then {who} makes {x} more {what}."),
    ),
    "broken": (
        ("{x} of the {what} break.", "Then {x} {what} break.", "Later {x} of the {what} are lost."),
        ("Then {x} of the {what} are lost.", "Later {x} {what} break."),
    ),
    "pack": (
        (
            "All the {what} go into boxes of {x}.",
            "The {what} are packed in boxes of {x}.",
            "Then they pack the {what} in boxes of {x}.",
        ),
        ("Then the {what} go into boxes of {x}.", "All the {what} are packed in boxes of {x}."),
    ),
    "sell": (
        (
            "All the {what} are sold for {x} dollars each.",
            "They sell the {what} for {x} dollars each.",
            "The {what} are sold at {x} dollars each.",
        ),
        ("They sell all the {what} at {x} dollars each.", "Then the {what} are sold for {x} dollars each."),
    ),
    "ask_total": (
        ("How many {what} are there?", "How many {what} are there in all?", "Find how many {what} there are now."),
        ("Find how many {what} there are in all.", "How many {what} are there now?"),
    ),
    "ask_boxes": (
        ("How many boxes are there?", "How many boxes do they fill?", "Find how many boxes there are."),
        ("Find how many boxes they fill.", "How many boxes are there in all?"),
    ),
    "ask_income": (
        ("How many dollars do they get?", "How much money do they get in all?", "Find how many dollars they get."),
        ("Find how much money they get.", "How many dollars do they get in all?"),
    ),
    "more": (
        (
            "{who} has {x} more {what} than {other}.",
            "{who} has {x} {what} more than {other}.",
            "{who} owns {x} more than {other}.",
        ),
        ("{who} owns {x} more {what} than {other}.", "{who} has {x} more than {other}."),
    ),
    "fewer": (
        (
            "{who} has {x} fewer {what} than {other}.",
            "{who} has {x} {what} fewer than {other}.",
            "{who} owns {x} fewer than {other}.",
        ),
        ("{who} owns {x} fewer {what} than {other}.", "{who} has {x} fewer than {other}."),
    ),
    "times": (
        (
            "{who} has {x} times as many {what} as {other}.",
            "{who} has {x} times as many as {other}.",
            "{who} owns {x} times as many {what} as {other}.",
        ),
        ("{who} owns {x} times as many as {other}.", "In all {who} has {x} times as many {what} as {other}."),
    ),
    "ask_one": (
        ("How many {what} does {who} have?", "Find how many {what} {who} owns.", "How many {what} does {who} own?"),
        ("Find how many {what} {who} has in all.", "How many {what} does {who} own in all?"),
    ),
    "ask_group": (
        (
            "How many {what} do {group} have together?",
            "Find how many {what} {group} have in all.",
            "How many {what} do {group} own in all?",
        ),
        ("Find how many {what} {group} have together.", "How many {what} do {group} have in all?"),
    ),
    "bring": (
        (
            "{who} brings {x} {what}.",
            "Then {who} brings {x} {what}.",
            "{who} brings {x} more {what}.",
            "{who} puts {x} {what} on the table.",
        ),
        ("Then {who} puts {x} {what} on the table.", "Later {who} brings {x} {what}."),
    ),
    "share": (
        (
            "All the {what} are shared equally by {x} friends.",
            "{x} friends share the {what} equally.",
            "They share the {what} equally, so {x} friends get the same.",
        ),
        ("Then {x} friends share all the {what} equally.", "The {what} are shared equally by {x} friends."),
    ),
    "one_of": (
        ("{who} is one of the friends.", "One of the friends is {who}."),
        ("One friend is {who}.", "{who} is one friend."),
    ),
    "ask_share": (
        ("How many {what} does each friend get?", "Find how many {what} each friend gets."),
        ("Find how many {what} one friend gets.", "How many {what} does one friend get?"),
    ),
    "give": (
        (
            "{who} gives {x} {what} to {other}.",
            "Then {who} gives {other} {x} {what}.",
            "{other} gets {x} {what} from {who}.",
            "Later {who} gives {x} of the {what} to {other}.",
        ),
        ("Then {who} gives {x} of the {what} to {other}.", "Later {other} gets {x} {what} from {who}."),
    ),
    "ask_more": (
        (
            "How many more {what} does {who} have than {other}?",
            "Find how many more {what} {who} has than {other}.",
            "In the end, how many more {what} does {who} have than {other}?",
        ),
        ("Find how many more {what} than {other} {who} has.", "How many more {what} than {other} does {who} have?"),
    ),
    "packs": (
        (
            "{who} has {x} {box} with {y} {what} in each.",
            "There are {x} {box} with {y} {what} each.",
            "{who} fills {x} {box} with {y} {what} each.",
            "Then {who} gets {x} {box} of {y} {what} each.",
        ),
        ("Then {who} fills {x} {box} with {y} {what} in each.", "{who} has {x} {box} of {y} {what} each."),
    ),
    "loose": (
        ("{who} has {x} {what} more.", "There are {x} more {what} on the table.", "{who} also has {x} loose {what}."),
        ("{who} also has {x} {what} on the table.", "There are {x} loose {what} more."),
    ),
    **LONG_PROMPT_LINES,
}

# key -> patterns of a solution line; "+" and "-" mark the partial sums of what is gained and lost
STEP_LINES: dict[str, tuple[str, ...]] = {
    "has": ("{who} then has {eq} {what}.", "So {who} has {eq} {what}.", "Now there are {eq} {what}."),
    "has+": ("{who} gets {eq} {what}.", "The gains are {eq} {what}."),
    "has-": ("{who} loses {eq} {what}.", "The losses are {eq} {what}."),
    "cost": ("The {what} cost {eq} dollars.", "For the {what} that is {eq} dollars."),
    "bill": ("So far {who} pays {eq} dollars.", "The cost is {eq} dollars."),
    "bill+": ("Other items cost {eq} dollars.", "The rest is {eq} dollars."),
    "change": ("{who} keeps {eq} dollars.", "That leaves {eq} dollars."),
    "change-": ("{who} pays {eq} dollars.", "Together they cost {eq} dollars."),
    "made": ("{who} makes {eq} {what}.", "From {who} come {eq} {what}."),
    "sum": ("Together there are {eq} {what}.", "That makes {eq} {what}.", "In all that is {eq} {what}."),
    "sum+": ("The others are {eq} {what}.", "The rest is {eq} {what}."),
    "sum-": ("Gone are {eq} {what}.", "The losses are {eq} {what}."),
    "boxes": ("They fill {eq} boxes.", "That is {eq} boxes."),
    "income": ("They get {eq} dollars.", "That brings {eq} dollars."),
    "own": ("{who} has {eq} {what}.", "That gives {who} {eq} {what}."),
    "share": ("Each friend gets {eq} {what}.", "One share is {eq} {what}."),
    "diff": ("The difference is {eq} {what}.", "So {who} has {eq} more."),
    "packed": ("The {who} hold {eq} {what}.", "In the {who} are {eq} {what}."),
    **LONG_STEP_LINES,
}

FINAL_LINES = ("The answer is \\boxed{{{gold}}}.",)


def pair_is_heldout(name: str, obj: str) -> bool:
    """Whether a (name, object) pair is reserved for the held-out split; 9 objects for every name are."""
    return (NAMES.index(name) + 7 * OBJECTS.index(obj)) % 10 < 3


def patterns(slot: str, split: Split) -> tuple[str, ...]:
    train, heldout = PROMPT_LINES[slot]
    return heldout if split == "heldout" else train
