r"""The ends that are found in a few steps are those that the rules find, and long responses end in them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synthflow.verifiers.answers.finding.endings import quick_ending
from synthflow.verifiers.answers.finding.extract import find

PIECES = [
    "Adding gives $3 + 4 = 7$, so a < b and b > c. ",
    "\\[ 3 \\times 4 = 12. \\] ",
    "\n\n",
    "It lies in $[1, 2)$. ",
    "Problem 3 was harder.\n",
    "The question: how many? ",
    "\n> Problem 1: this.\n",
    "\nQ: and 2+3?\n",
    "\n## Problem 2\n",
    "\nNew question: 2+3?\n",
    "\n\n\n# Exercise #3\n",
    "\nStudent: why?\n",
    "\n问题：2+3？\n",
    "Let me think. ",
    "Here is my thinking: ",
    "<think>hm",
    "</think>",
    "[think]hm[/think]",
    "\\boxed{7} ",
    "The answer is 5.\n",
    "\n#### 6\n",
    "Each box holds 3. ",
    "<<3*4=12>>",
    "<answer>8</answer>",
    "[INST] more [/INST]",
    "<|im_end|>",
    "Wait, that is wrong. ",
    " **x** # ",
]
ENDS = [
    "Thus it is $\\boxed{12}$.",
    "\\[\n\\boxed{\\frac{1}{2}}\n\\]",
    "\\boxed{\\{3,5\\}}",
    "\\boxed{5\\%}",
    "\\boxed{|x\\}}",
    "\\boxed{ }",
    "\\boxed{4",
    "The answer is $12$.",
    "**Final Answer:** $x+1$",
    "\n\\[ 6 = 6 \\] **Final Answer:** 12",
    "Answer: $3 wait, 4$.",
    "The answer is $5$ or $6$.",
]
WORKING = (
    "Therefore $x$ is\n\\[ 3 \\times 4 = 12. \\]\n\nThis uses Problem 2: a User asks; see Example 3 or the [Question]. "
)


@example(["Here is my thinking: ", "\n> Problem 1: this.\n"], ENDS[0])
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from(ENDS))
def test_the_rules_find_the_same(pieces: list[str], end: str) -> None:
    """Behind a token that begins a sequence, which is cut off, nothing is found in a few steps."""
    text = "".join(pieces) + end
    assert quick_ending("<s>" + text, "any", None) is None
    assert find("<s>" + text) == find(text)


@pytest.mark.parametrize(
    "end", ["So $\\boxed{12}$.", "**Final Answer:** $12$", "\\[ 3 + 9 = 12. \\] The answer is $12$."]
)
def test_long_responses_end_so(end: str) -> None:
    for repeats in (1, 30, 300):
        assert quick_ending(WORKING * repeats + end, "any", "12") is not None
