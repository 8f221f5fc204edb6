r"""Answers that blow verifiers up: what hung, filled memory or crashed one, in this one's readings and in others'.

Each is a name, a gold answer and a completion. None of the answers is the gold one. Kinds: numbers that cannot be
written out, towers and factorials, loops of a computer algebra system, algebra whose intermediate forms explode,
structures that are deep or wide, texts that regular expressions stumble over, and texts that are no text.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

Poison = tuple[str, str, str]


def _in_a_box(kind: str, answers: list[str], gold: str = "5") -> Iterator[Poison]:
    for at, answer in enumerate(answers):
        yield f"{kind} {at}: {answer[:40]}", gold, f"So \\boxed{{{answer}}}."


def _numbers() -> Iterator[Poison]:
    yield from _in_a_box(
        "number",
        [
            *("7" * 45_000, "0." + "3" * 30_000, "1e999999999", "1e-999999999", "9.9E+99999999", "0x" + "f" * 20_000),
            *(
                "1,234" + ",567" * 5_000,
                "1{,}234" + "{,}567" * 3_000,
                "1 " * 20_000,
                "-" * 20_001 + "5",
                "+" * 9_000 + "6",
            ),
            *("1/" * 9_000 + "2", "1." * 9_000, "6" + "%" * 9_000, "1e5e5e5e5e5e5e5", "0.(" + "3" * 9_000 + ")"),
            *(
                "\\overline{" * 900 + "3" + "}" * 900,
                "1" * 5_000 + "_2",
                "(" + "1" * 299 + ")_{36}",
                "5_{" * 500 + "2" + "}" * 500,
            ),
            *(
                "3\\times 10^{999999999}",
                "10^{10^{10}} + 5",
                "5.0e+0000000000000000001e",
                "six " * 5_000,
                "5" + "!" * 9_000,
            ),
            *("٣" * 20_000, "５" * 20_000, "½" * 9_000, "2⁹⁹⁹⁹⁹⁹⁹⁹", "\\frac{1}{3}" * 2_000, "1 1/2 " * 3_000),
            "million " * 5_000,
        ],
    )


def _powers() -> Iterator[Poison]:
    yield from _in_a_box(
        "power",
        [
            *(
                "9^{9^{9^9}}",
                "9**9**9**9",
                "((9^9)^9)^{9^9}",
                "2^{10^9}",
                "3^{10^8}",
                "2^{-10^9}",
                "(-2)^{10^9+1}",
                "0^{0^{0^0}}",
            ),
            *(
                "2^{2^{2^{2^{2^{2}}}}}",
                "10^{100!}",
                "\\sqrt[10^9]{2}",
                "\\sqrt[3]{10^{10^{8}}}",
                "2^{0.1^{-9}}",
                "e^{e^{e^{e^{e}}}}",
            ),
            *(
                "\\left(\\left(2^{9999}\\right)^{9999}\\right)^{999}",
                "2^{3^{4^{5^{6^{7^8}}}}}",
                "i^{10^{12}+1}",
                "\\pi^{\\pi^{\\pi^{\\pi^\\pi}}}",
            ),
            *(
                "(1+10^{-9})^{10^9}",
                "9^" * 4_000 + "9",
                "2**" * 3_000 + "2",
                "(" * 19 + "2" + ")^{19999}" * 19,
                "7^{7^{7}}\\bmod 10^9",
            ),
        ],
    )


def _loops() -> Iterator[Poison]:
    yield from _in_a_box(
        "loop",
        [
            *(
                "10^6!",
                "10^9!",
                "((10!)!)!",
                "3000!!",
                "2999!\\cdot 2998!",
                "\\frac{3000!}{2999!}\\cdot 2998!",
                "(10^5)!!",
                "factorial(10**8)",
            ),
            *(
                "\\binom{10^7}{5\\cdot 10^6}",
                "\\binom{1000}{500}^{1000}",
                "{10^6 \\choose 10^5}",
                "C(10**7, 10**6)",
                "binomial(9999999, 77777)",
            ),
            *(
                "\\sum_{k=1}^{10^6}\\frac{1}{k}",
                "\\sum_{k=1}^{1000} k^{1000}",
                "\\sum_{i=1}^{900}\\sum_{j=1}^{900} ij",
                "\\sum_{k=1}^{\\infty}\\frac{\\sin k}{k^{k}}",
            ),
            *(
                "\\prod_{k=1}^{10^6} k",
                "\\prod_{k=1}^{999} (x+k)",
                "\\prod_{p=1}^{1000}\\prod_{q=1}^{1000}(p+q)",
                "\\sum_{k=1}^{1000}\\binom{1000}{k}k!",
            ),
            *(
                "\\gcd(10^{10^9},3)",
                "\\gcd(10^{299},10^{298}+1)",
                "\\mathrm{lcm}(1,2,3,\\ldots,10^6)",
                "2^{10^6}\\bmod 7^{10^5}",
                "\\lfloor 10^{299}\\sqrt{2}\\rfloor",
            ),
            *(
                "\\int_0^1 x^{200}(1-x)^{200}\\sin^{9}(x)dx",
                "\\int_0^{\\pi}\\frac{\\sin^{20}x}{1+\\cos^{20}x}dx",
                "\\int\\int\\int e^{x^2y^2z^2}dxdydz",
            ),
            *(
                "\\lim_{x\\to 0}\\frac{\\sin^{30}(x)-x^{30}}{x^{32}}",
                "\\lim_{n\\to\\infty}\\left(1+\\frac{1}{n}\\right)^{n^{n}}",
                "\\frac{d^{99}}{dx^{99}}\\tan x",
            ),
            *(
                "\\phi(10^{200}+7)",
                "\\pi(10^{15})",
                "\\zeta(\\zeta(\\zeta(2)))",
                "\\Gamma(10^8)",
                "F_{10^9}",
                "10^{200}+7\\equiv x\\pmod{10^{100}}",
            ),
        ],
    )


def _algebra() -> Iterator[Poison]:
    roots = "\\sqrt{1+\\sqrt{2+\\sqrt{3+\\sqrt{5+\\sqrt{6+\\sqrt{7+\\sqrt{8+x}}}}}}}"
    letters = "abcdefghjk"
    cosines = "+".join(f"\\cos({i}x+{i + 1})^{{{i}}}" for i in range(1, 30))
    yield from _in_a_box(
        "algebra",
        [
            *("(x+1)^{10^5}", "(x+y+z+w)^{900}", "(a+b+c+d+e)^{300}-(a-b)^{299}", "((((x+1)^9+1)^9+1)^9+1)^9", cosines),
            *("(" + "+".join(letters) + ")^{12}", "\\prod".join(f"({x}+1)^{{30}}" for x in letters), "\\frac{(x+y)^{300}}{(x-y)^{300}}"),
            *("\\cos(99x+4)^{300}\\sin(x)^{299}+y", "\\sin(\\sin(\\sin(\\sin(\\sin(\\sin x)))))^{50}", "\\tan(x)^{40}+\\cot(y)^{40}"),
            *(roots + "-\\sqrt{y+\\sqrt{z+\\sqrt{x+\\sqrt{2}}}}", "\\sqrt{" * 12 + "x" + "+1}" * 12, "\\sqrt[7]{" * 9 + "x+1" + "}" * 9),
            *("+".join(f"\\sqrt{{{p}}}" for p in range(2, 60)), "\\prod".join(f"(x-\\sqrt{{{p}}})" for p in (2, 3, 5, 7, 11, 13))),
            *("\\log" * 300 + " x", "\\ln(\\ln(\\ln(\\ln(\\ln(x^{99})))))^{99}", "|" * 41 + "x" + "|" * 41, "\\frac{1}{x+" * 18 + "1" + "}" * 18),
            *("x^{x^{x^{x}}}", "(x^y)^{(z^w)^{(x^y)}}", "\\left(\\frac{x^{50}-1}{x-1}\\right)^{40}", "e^{(x+y+z)^{40}}", "(2+3i)^{9999}", "(x+i y)^{400}"),
        ],
    )  # fmt: skip
    yield from _in_a_box(
        "equation", ["x^5-x-1.0000001=0", "x^{500}+y^{500}=z^{500}+1", "\\sin x=\\cos(x^2)"], "x^5-x-1=0"
    )
    yield from _in_a_box("identity", ["\\sin^{38}x+\\cos^{38}x=1", "\\tan^{40}x=1"], "\\sin^{40}x+\\cos^{40}x=1")
    yield from _in_a_box("power of the gold", ["3^{10^8-1}\\cdot 9", "3^{99999999}+1"], "3^{10^8}")
    yield from _in_a_box("root of the gold", ["\\sqrt{" * 15 + "x" + "}" * 15, roots], roots + "+1")


def _structures() -> Iterator[Poison]:
    determinant = "\\\\".join("&".join(f"x_{{{r}{c}}}" for c in range(7)) for r in range(7))
    union = [f"({i},{i + 0.5})" for i in range(150)]
    points = [f"({i},{i * i})" for i in range(400)]
    yield from _in_a_box(
        "structure",
        [
            *(
                "\\frac{1}{" * 1000 + "2" + "}" * 1000,
                "(" * 300 + "1" + ")" * 300,
                "[" * 5_000 + "]" * 5_000,
                "|" * 40 + "x" + "|" * 40,
                "2|x|" * 40,
                "{" * 9_000 + "6" + "}" * 9_000,
            ),
            *(
                "\\left(" * 500 + "1" + "\\right)" * 500,
                "1+" * 30_000 + "1",
                "x" * 15_000,
                "xy" * 900,
                "-(" * 900 + "x" + ")" * 900,
            ),
            *(
                "\\begin{vmatrix}" + determinant + "\\end{vmatrix}",
                "\\det\\begin{pmatrix}" + determinant + "\\end{pmatrix}",
            ),
            *(
                "\\begin{pmatrix}" * 200 + "1" + "\\end{pmatrix}" * 200,
                "\\begin{pmatrix}" + "1&" * 5_000 + "1\\end{pmatrix}",
            ),
            *(
                "\\begin{pmatrix}2&1\\\\1&1\\end{pmatrix}^{10^6}",
                "\\begin{cases}" + "x & x>0 \\\\ " * 3_000 + "\\end{cases}",
            ),
            *(
                "\\{" + ",".join(map(str, range(3_000))) + "\\}",
                ",".join(points),
                "\\{" * 900 + "\\}" * 900,
                ",".join("1" * 9_000),
            ),
            *(
                "1:2" + ":3" * 5_000,
                "1<" * 4_000 + "x",
                "x=" * 4_000 + "6",
                "6=" * 4_000 + "6",
                "x \\text{ or } " * 2_000 + "x",
            ),
            *(
                "\\pm " * 3_000 + "6",
                "+".join(["\\pm 1"] * 40),
                "5 \\text{ cm}" * 2_000,
                "5\\,\\mathrm{m" + "^{9}" * 900 + "}",
                "m/s" * 3_000,
            ),
            *(
                "\\text{" * 900 + "6" + "}" * 900,
                "\\text{a}" * 3_000,
                "\\mathbf{" * 300 + "6" + "}" * 300,
                "5 \\text{ h }" * 2_000,
                "3:30" * 3_000,
            ),
            *(
                "\\in" * 2_000,
                "x\\in(" * 900 + "1" + ")" * 900,
                "\\le" * 3_000,
                "\\sqrt" * 3_000 + "2",
                "\\frac" * 3_000 + "12",
                "^" * 5_000,
                "_" * 5_000,
            ),
        ],
    )
    yield from _in_a_box("union", ["\\cup".join(reversed(union[1:]))], "\\cup".join(union))
    yield from _in_a_box(
        "points", ["\\{" + ",".join(points[:200]) + "\\}"], "\\{" + ",".join(reversed(points[:199])) + "\\}"
    )
    yield "gold of 30,000 terms", "1+" * 30_000 + "1", "\\boxed{5}"
    yield "gold tower", "9^{9^{9^9}}", "\\boxed{5}"
    yield "gold in boxes", "\\boxed{" * 3_000 + "5" + "}" * 3_000, "\\boxed{6}"
    yield "gold with hashes", "#### " * 9_000 + "5", "\\boxed{6}"
    yield "gold in prose", "5 is the only possible value " * 900, "\\boxed{6}"


def _texts() -> Iterator[Poison]:
    """Whole completions that a pattern or a loop could take quadratic time on."""
    pieces = {
        "open boxes": "\\boxed{", "closed boxes": "\\boxed{1}", "boxes of boxes": "\\boxed{\\boxed{1}", "braces": "{", "dollars": "$",
        "spaced dollars": "$ ", "prices": "$7 ", "brackets": "\\[", "parentheses": "\\(", "formulas": "$x$ and ", "answers": "The answer is ",
        "answer colons": "answer: ", "denials": "The answer is not ", "answers in Chinese": "答案是", "thoughts": "<think>",
        "closed thoughts": "<think>a</think>", "ends of thoughts": "</think>", "tags": "<answer>", "closed tags": "<answer>1</answer>",
        "channels": "<|channel|>analysis", "hashes": "#### ", "lines of hashes": "\n####", "stars": "**", "ticks": "`", "fences": "```\n",
        "questions": "\n\nQuestion: ", "turns": "\nUser: a\nAssistant: b", "ifs": "if the answer is 7 then ", "commas": "1, ", "ands": "1 and ",
        "ors": "\\text{ or }", "quads": "\\quad", "spaces": " ", "no-break spaces": "\u00a0", "lines": "\n", "carriage returns": "\r\n",
        "points": ". ", "ellipses": "...", "colons": ": ", "slashes": "/", "backslashes": "\\", "quotes": '"', "objects": '{"answer": ',
        "lists": "[", "minus": "-", "letters": "a", "words": "so ", "digits and spaces": "1 ", "percents": "1% ", "units": "7 cm ", "times": "3:30 ",
        "exponents": "1e5", "denied boxes": "\\boxed{1} is wrong. ", "final answers": "**Final Answer**\n", "options": "(A) ", "emoji": "✅ ",
        "combining marks": "e\u0301", "right to left": "\u202e7", "zero width": "\u200b", "surrogates": "\ud800", "nulls": "\x00", "entities": "&lt;",
    }  # fmt: skip
    for name, piece in pieces.items():
        count = 60_000 // len(piece)
        yield f"text of {name}", "5", piece * count
        yield f"{name} before an answer", "5", piece * (count // 4) + "The answer is 6."


def poisons() -> list[Poison]:
    """All of them, the same each time."""
    return list(chain(_numbers(), _powers(), _loops(), _algebra(), _structures(), _texts()))
