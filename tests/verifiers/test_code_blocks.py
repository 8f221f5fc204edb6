"""Which text of a completion is the program, in the ways that models write one."""

from __future__ import annotations

import time

import pytest

from synthflow.verifiers.code_blocks import find_program

F = "def f(x):\n    return x + 1\n"
METHOD = "class Solution:\n    def f(self): ...\n"
READS = "print(int(input()) * 2)\n"


def first(completion: str, names: tuple[str, ...] = (), before: str = "") -> str | None:
    """The first reading that compiles, as the sandbox takes it."""
    found = find_program(completion, names, before)
    for text in found.texts if found else ():
        try:
            compile(text, "program", "exec")
        except (SyntaxError, ValueError):
            continue
        return text
    return None


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        ("```python\na = 1\n```", "a = 1\n"),
        ("```python\na = 1\n```\n```py\nb = 2\n```", "b = 2\n"),
        ("```\nc = 3\n```\n```json\n{}\n```", "c = 3\n"),
        ("```python\na = 1", None),
        ("```cpp\nint a;\n```", None),
        ("```python\n\n```", None),
        ("a = 1", None),
        # what opens a block
        ("````python\na = 1\n````", "a = 1\n"),
        ("~~~python\na = 1\n~~~", "a = 1\n"),
        ("```{python}\na = 1\n```", "a = 1\n"),
        ("```{.python .numberLines}\na = 1\n```", "a = 1\n"),
        ("```Python3 title='a.py'\na = 1\n```", "a = 1\n"),
        ("``` python\na = 1\n```", "a = 1\n"),
        ("```python\r\na = 1\r\nb = 2\r\n```\r\nDone.", "a = 1\nb = 2\n"),
        ("```python\n\ufeffa = 1\n```", "a = 1\n"),
        ("Use `x` and ```y``` here:\n```python\na = 1\n```", "a = 1\n"),
        # what closes it
        ("```python\na = 1\n``` That is all there is to it.", "a = 1\n"),
        ("```python\na = 1```", "a = 1\n"),
        ("```python\na = 1```\nDone.", "a = 1\n"),
        ("```python\na = '```'\n```", "a = '```'\n"),
        ('```python\na = """\n```\nx\n```\n"""\n```\nDone.', 'a = """\n```\nx\n```\n"""\n'),
        ("```python\na = 1\n````", "a = 1\n"),
        ("````python\na = '''\n```\n'''\n````", "a = '''\n```\n'''\n"),
        ("Here it is: ```python\na = 1\n```", "a = 1\n"),
        ("1. Then ```py\n   a = 1\n   ```\n2. b", "a = 1\n"),
        ("See ```python``` and `a`:\n```\na = 1\n```", "a = 1\n"),
        # lists and quotes
        ("1. First\n   ```python\n   if 1:\n       a = 1\n   ```\n2. Second", "if 1:\n    a = 1\n"),
        ("- ```python\n  a = 1\n  ```", "a = 1\n"),
        ("* So:\n\n    ```python\n    a = 1\n    b = 2\n    ```", "a = 1\nb = 2\n"),
        ("> ```python\n> if 1:\n>     a = 1\n> ```", "if 1:\n    a = 1\n"),
        ("> > ```python\n> > a = 1\n> > ```", "a = 1\n"),
        ("```python\n    a = 1\n    b = 2\n```", "a = 1\nb = 2\n\n"),
        ("<answer>\n```python\na = 1\n```\n</answer>", "a = 1\n"),
    ],
)
def test_what_a_block_is(completion: str, code: str | None) -> None:
    found = first(completion)
    assert (found and found.rstrip("\n")) == (code and code.rstrip("\n"))


@pytest.mark.parametrize(
    "behind",
    [
        "Example usage:\n```python\nprint(f(1))\n```",
        "Usage:\n```python\nfor i in range(3):\n    print(f(i))\n```\nand\n```python\nf(2)\n```",
        "Output:\n```\n2\n```",
        "Output:\n```text\n2\n```\n```python\nassert f(1) == 2\n```",
        "Tests:\n```python\ndef test_f():\n    assert f(1) == 2\n```",
        "Complexity:\n```\nO(1)\n```",
        "Run it:\n```bash\npython a.py\n```",
        "Run it:\n```\n$ python a.py\n```",
        "In C++:\n```cpp\nint f(int x) { return x + 1; }\n```",
    ],
)
def test_the_block_that_defines_what_is_called(behind: str) -> None:
    assert first(f"```python\n{F}```\n\n{behind}", ("f",)) == F
    assert first(f"```\n{F}```\n\n{behind}", ("f",)) == F


@pytest.mark.parametrize(
    "behind",
    [
        "Run:\n```\n$ python a.py < in.txt\n```",
        "Input:\n```\n4\n```\nOutput:\n```\n8\n```",
        "Run with\n```\npython3 a.py\n```",
        "Check:\n```python\nassert 4 * 2 == 8\n```",
        "Complexity:\n```\nO(1)\n```",
        "```text\n8\n```",
    ],
)
def test_the_block_that_reads_the_input(behind: str) -> None:
    assert first(f"```python\n{READS}```\n{behind}") == READS


@pytest.mark.parametrize(
    ("completion", "names", "code"),
    [
        ("```python\nf = lambda x: 1\n```\nBetter:\n```python\nf = lambda x: 2\n```", ("f",), "f = lambda x: 2\n"),
        (f"```python\n{METHOD}```\n```python\nSolution().f()\n```", ("f",), METHOD),
        ("```python\nasync def f(): ...\n```\n```python\nf2 = 1\n```", ("f",), "async def f(): ...\n"),
        ("```python\nf: int = 3\n```\n```python\nf == 3\n```", ("f",), "f: int = 3\n"),
        ("```python\ng = 1\n```", ("f",), "g = 1\n"),
    ],
)
def test_among_several(completion: str, names: tuple[str, ...], code: str) -> None:
    assert first(completion, names) == code


OPEN = 'def f(xs: List[int]) -> int:\n    """Sum.\n    >>> f([1])\n    1\n    """\n'
PROMPT = f"from typing import List\n\ndef helper(x):\n    return x\n\n{OPEN}"
BODY = "    total = 0\n    for x in xs:\n        total += helper(x)\n    return total\n"
ALONE = "def f(xs: List[int]) -> int:\n" + BODY


@pytest.mark.parametrize(
    "completion",
    [
        f"```python\n{PROMPT}{BODY}```",
        f"```python\n{ALONE}```",
        f"```python\n{BODY}```",
        "```python\n" + "\n".join(line[4:] for line in BODY.split("\n")) + "```",
        f"```python\n{BODY.lstrip()}```",
        BODY,
        BODY.lstrip(),
        ALONE,
        PROMPT + BODY,
        BODY + "\n\ndef g():\n    return 1\n\nprint(f([1, 2]))\n",
        BODY + "\nThis walks over the list once, and is therefore linear.",
        f"```python\nfrom __future__ import annotations\n{PROMPT}{BODY}```",
    ],
)
def test_a_program_behind_the_code_before_it(completion: str) -> None:
    code = first(completion, ("f",), PROMPT)
    assert code is not None
    names: dict[str, object] = {}
    exec(code, names)
    assert names["f"]([1, 2]) == 3  # type: ignore[operator]


@pytest.mark.parametrize(
    "before",
    [
        "class Solution:\n    def f(self, xs: list) -> int:\n        ",
        "import math\n\ndef f(xs):",
        "def f(xs):\n    # go on\n",
    ],
)
def test_code_that_breaks_off_before_its_body(before: str) -> None:
    for body in ("return math.pi", "        return 1\n", "if xs:\n    return 1\nreturn 2"):
        assert first(f"```python\n{body}\n```", ("f",), before) is not None


@pytest.mark.parametrize(
    "prose", ["I cannot do that.", "The answer is 5", "f returns x + 1", "# Heading\n\n- a list", ""]
)
def test_prose_is_no_program(prose: str) -> None:
    assert first(prose, ("f",), PROMPT) is None
    assert first(prose, ("f",)) is None and first(prose) is None


def test_hostile_texts_take_linear_time() -> None:
    started = time.process_time()
    for text in (
        "```python\n" * 50_000,
        "```\n" * 50_000,
        "> " * 100_000,
        "`" * 300_000,
        "- " * 100_000 + "```",
        "\n" * 300_000,
    ):
        find_program(text, ("f",), PROMPT)
    for text in ("a, " * 100_000, "1." * 100_000, "def " * 80_000, "    \n" * 80_000 + "x"):
        find_program(text, ("f",), PROMPT)
        find_program(f"```python\n{text}\n```", ("f",), PROMPT)
    assert time.process_time() - started < 5
