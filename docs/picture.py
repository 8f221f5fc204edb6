"""A picture of one rollout whose steps have the colour of their worth: `python docs/picture.py RUN > docs/rollout.svg`.

It takes the wrong rollout with the step that costs most, a first error if one is known.
"""

from __future__ import annotations

import sys
import textwrap
from html import escape
from typing import Any

from synthflow.stores.catalog.build import open_catalog

WIDTH, LINE, LEFT, TEXT = 860, 22, 16, 250
CHOSEN = """
SELECT a.rollout_id, p.prompt[-1].content, p.answer, v.verdict
FROM step_advantages a JOIN problems p USING (problem_id) JOIN verdicts v USING (rollout_id)
WHERE v.verdict = 'wrong' AND a.advantage IS NOT NULL
ORDER BY a.is_first_error DESC NULLS LAST, a.advantage, a.rollout_id LIMIT 1
"""
STEPS = "SELECT step, value, advantage, is_first_error FROM step_advantages WHERE rollout_id = ? ORDER BY index"
STYLE = "font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 13px"


def colour(advantage: float) -> str:
    """From red, where a step costs all, over white to green."""
    share = min(abs(advantage), 1.0)
    faded, full = round(255 - 130 * share), round(255 - 10 * share)
    return f"rgb({faded},{full},{faded})" if advantage > 0 else f"rgb({full},{faded},{faded})"


def picture(question: str, answer: str, verdict: str, steps: list[tuple[Any, ...]]) -> str:
    """The picture as one SVG."""
    asked = textwrap.wrap(f"{question} (right answer: {answer})", 100)
    top = LINE * (len(asked) + 2)
    height = top + LINE * (len(steps) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" style="{STYLE}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *(_text(LEFT, LINE * (row + 1), line) for row, line in enumerate(asked)),
        _text(LEFT, top - LINE // 2, "value  advantage", "#666"),
        _text(TEXT, top - LINE // 2, f"what the policy wrote ({verdict})", "#666"),
    ]
    for row, (text, value, advantage, first_error) in enumerate(steps):
        y = top + LINE * row
        number = f"{value:5.2f}  {advantage:+9.2f}" if advantage is not None else "    ?          ?"
        parts.append(
            f'<rect x="{LEFT - 6}" y="{y}" width="{WIDTH - 20}" height="{LINE - 2}" fill="{colour(advantage or 0)}"/>'
        )
        parts.append(_text(LEFT, y + 15, number))
        parts.append(_text(TEXT, y + 15, text.strip() + ("   ← first error" if first_error else "")))
    return "\n".join([*parts, "</svg>\n"])


def _text(x: int, y: int, text: str, fill: str = "#111") -> str:
    return f'<text x="{x}" y="{y}" fill="{fill}" xml:space="preserve">{escape(text)}</text>'


def main(run: str) -> None:
    with open_catalog(run) as catalog:
        rollout, *shown = catalog.execute(CHOSEN).fetchall()[0]
        sys.stdout.write(picture(*shown, catalog.execute(STEPS, [rollout]).fetchall()))


if __name__ == "__main__":
    main(sys.argv[1])
