r"""Forty ways in which models end a response with their answer.

Invariant: whoever reads one of them knows which text is the answer, whatever the answer is. A phrasing is a template:
`{plain}` is the answer as text, `{math}` as what stands in a formula (`\text{No}` for the word No), and `{json}` as a
JSON string. What stands around it holds other numbers, formulas and boxes.
"""

from __future__ import annotations

import json

_WORK = "We try 7 first: $3 \\cdot 7 = 21$ is too much, so 4 of the 40 are left over.\n\n"

PHRASINGS: dict[str, str] = {
    "bare": "{plain}",
    "bold": "**{plain}**",
    "code span": "`{plain}`",
    "formula": "${math}$",
    "boxed": "\\boxed{{{math}}}",
    "boxed in a sentence": _WORK + "So the final result is $\\boxed{{{math}}}$.",
    "boxed display": _WORK + "Therefore\n\n\\[\n\\boxed{{{math}}}\n\\]",
    "boxed after a heading": _WORK + "**Final Answer**\n\n$$\\boxed{{{math}}}$$",
    "boxed after thinking": "<think>\nPerhaps \\boxed{{7}}? No.\n</think>\n\nWe get $\\boxed{{{math}}}$.",
    "boxed, then a remark": _WORK + "$\\boxed{{{math}}}$\n\nNote: this uses 2 of the 3 facts that were given.",
    "boxed, then a run-on": "\\boxed{{{math}}}\n\nQuestion: Bob has 2 pens and buys 3. How many?\nAnswer: \\boxed{{5}}",
    "the answer is": _WORK + "The answer is {plain}.",
    "the answer is, formula": _WORK + "The answer is ${math}$.",
    "the answer is, parentheses": _WORK + "The answer is \\({math}\\).",
    "the answer is, display": _WORK + "Thus the final answer is:\n\n$$\n{math}\n$$",
    "the answer is, bold": _WORK + "Therefore, the answer is **{plain}**.",
    "the answer is, colon": _WORK + "The answer is: {plain}",
    "the answer is, adverb": _WORK + "The answer is therefore {plain}.",
    "the final answer is": _WORK + "Hence the final answer is indeed {plain}.",
    "the correct answer is": _WORK + "So the correct answer is ${math}$, as required.",
    "the answer to the question": _WORK + "The answer to the question is {plain}.",
    "the answer in a line of ifs": "If 6 of the 40 fail, then 34 are left, since $40-6=34$. The answer is {plain}",
    "I am sure": _WORK + "I am confident that the answer is {plain}.",
    "whole sentence bold": _WORK + "To sum up, **the answer is {plain}**.",
    "I hope": _WORK + "Final Answer: The final answer is ${math}$. I hope it is correct.",
    "answer, colon": _WORK + "Answer: {plain}",
    "capitals": _WORK + "ANSWER: {plain}",
    "bold answer, colon": _WORK + "**Answer: {plain}**",
    "bold word, colon": _WORK + "**Answer:** {plain}",
    "final answer, colon": _WORK + "Final answer: {plain}",
    "final answer, formula": _WORK + "**Final Answer:** ${math}$",
    "heading": _WORK + "### Final Answer\n\n{plain}",
    "bullet": _WORK + "Final Answer:\n- {plain}",
    "hashes": _WORK + "#### {plain}",
    "tag": _WORK + "<answer>{plain}</answer>",
    "tag over lines": _WORK + "<answer>\n{plain}\n</answer>",
    "after thinking": "<think>Is the answer 7? It is not.</think>\n\nThe answer is {plain}.",
    "after another thought": "[THINK]Is the answer 7? It is not.[/THINK]\nThe answer is {plain}.",
    "object": _WORK + '```json\n{{"answer": {json}}}\n```',
    "courtesy": _WORK + "The answer is {plain}.\n\nLet me know if you want to see the 2 other ways to do it!",
}

CONCLUSIONS: dict[str, str] = {
    "so the value": _WORK + "So the value we want is {plain}.",
    "hence x": _WORK + "Hence we get {plain}.",
    "therefore it equals": _WORK + "Therefore the quantity in question equals {plain}, which is what we wanted.",
    "thus in bold": _WORK + "Thus the result is **{plain}**.",
    "result colon": _WORK + "Result: {plain}",
    "in total": _WORK + "In total, that makes {plain}.",
    "last line": _WORK + "{plain}",
    "last formula": _WORK + "$${math}$$",
    "we conclude": _WORK + "In conclusion, what is asked for is ${math}$.",
    "as desired": _WORK + "This shows that it is {plain}, as desired.",
    "the value asked for": "Since $7 > 4$, the value asked for is ${math}$. We checked 3 cases.",
    "found": _WORK + "We have found {plain}.",
    "the answer must be": _WORK + "So the answer must be {plain}.",
    "would be": _WORK + "The answer would be {plain}.",
    "gives us": _WORK + "Dividing by 4 gives us {plain} as the answer.",
    "a box on its own line": _WORK + "So:\n\n$\\boxed{{{math}}}$\n\nwhich is larger than 4.",
    "a box with its name": _WORK + "$$\\boxed{{\\text{{Answer: }}{math}}}$$",
    "two boxes alike": _WORK + "$\\boxed{{{math}}}$\n\n**Final Answer:** $\\boxed{{{math}}}$",
    "answer in the middle": "The answer is ${math}$ because $3 \\cdot 7 = 21$ and $40 - 6 = 34$.",
    "answer before its check": "Answer: {plain}\n\nCheck: 3 times 7 is 21, as it should be.",
}
"""Ways that leave more to the reader: a verdict may be unknown, but what is called wrong or correct must be so."""


def phrase(name: str, plain: str, math: str | None = None) -> str:
    """A response that ends with an answer; `math` is how it stands in a formula, where that is not the text."""
    template = PHRASINGS.get(name) or CONCLUSIONS[name]
    return template.format(plain=plain, math=plain if math is None else math, json=json.dumps(plain))
