"""The tests of a programming problem, read from the shapes that data sets have.

Invariant: a test that we cannot ask without showing the program what is expected is refused here, by name, never run in
another way. Shapes: docs/verify-code.md.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synthflow.verifiers.code_assertions import from_source
from synthflow.verifiers.code_cases import BadTests, CallTest, Problem, StdinTest, Test

_MAX_TESTS = 10_000
_MAX_LITERAL = 100_000
_SHAPES = "inputs and outputs, input_output, tests, test_list, or test and entry_point"
_WHOLE = re.compile(r"-?\d{1,18}")
_Variants = tuple[Test, ...]
"""One test in each of the ways that its shape can be read, the likeliest first."""


def read_problem(metadata: str, answer: str | None, before: str = "") -> Problem:
    """Tests from a problem's metadata or, if there are none, from its gold answer; both JSON objects.

    Args:
        before: the key whose text is code that stands before the program; none if empty.

    Raises:
        BadTests: if there are none, or any of them cannot be used; the message says which.
    """
    loaded = [_loaded(text) for text in (metadata, answer or "")]
    for found in loaded:
        if isinstance(found, list):
            found = {"tests": found}
        if isinstance(found, dict) and (tests := _from(found)) is not None:
            if not tests:
                raise BadTests("the list of tests is empty")
            if len(tests) > _MAX_TESTS:
                raise BadTests(f"{len(tests)} tests, more than {_MAX_TESTS}")
            most = max(len(variants) for variants in tests)
            readings = (tuple(variants[min(at, len(variants) - 1)] for variants in tests) for at in range(most))
            return Problem(tuple(readings), next(filter(None, (_before(data, before) for data in loaded)), ""))
    raise BadTests(f"neither the metadata nor the answer holds tests; expected {_SHAPES}")


def _before(data: Any, key: str) -> str:
    keys = (key, "starter_code") if key == "prompt" else (key,)
    return (_text(data, *keys) or "") if isinstance(data, dict) else ""


def code_before(text: str) -> str:
    """The code of a prompt: its last block, or all of it, if it has an import, a function or a class."""
    blocks = re.findall(r"^```(?:python|py|python3)?[ \t]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    code: str = blocks[-1] if blocks else text
    return code if re.search(r"^(?:from|import|def|async def|class|@\w+)\b", code, re.MULTILINE) else ""


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        return None


def _whole(digits: str) -> int:
    """A whole number of any length: the interpreter refuses more than 4,300 digits at once."""
    if len(digits) <= 4000:
        return int(digits)
    half = len(digits) // 2
    left = _whole(digits[:half])
    right = _whole(digits[half:])
    shifted: int = left * 10 ** (len(digits) - half)
    return shifted - right if digits.startswith("-") else shifted + right


def _from(found: Mapping[str, Any]) -> list[_Variants] | None:
    name = _name(found)
    if "input_output" in found:
        inner = found["input_output"]
        inner = _loaded(inner) if isinstance(inner, str) else inner
        if isinstance(inner, dict):
            return _from({"fn_name": name, **inner})
    if "inputs" in found and "outputs" in found:
        return list(_pairs(found["inputs"], found["outputs"], name))
    tests = found.get("tests", _public(found))
    if isinstance(tests, str) and tests.lstrip()[:1] in ("[", "{") and (inner := _loaded(tests)) is not None:
        tests = inner
    if isinstance(tests, dict):
        return _from({"fn_name": name, **tests})
    if isinstance(tests, list):
        return [test for at, item in enumerate(tests) for test in _item(item, name, at, found)]
    if isinstance(tests, str):
        return _source([tests], name, found)
    if isinstance(found.get("test_list"), list):
        return _source([str(text) for text in found["test_list"]], name, found)
    if isinstance(found.get("test"), str):
        return _source([found["test"]], name, found)
    return None


def _public(found: Mapping[str, Any]) -> Any:
    """LiveCodeBench's tests, the hidden ones too; they are usually packed in a way that would have to be run."""
    public, private = (
        _loaded(tests) if isinstance(tests := found.get(f"{kind}_test_cases"), str) else tests
        for kind in ("public", "private")
    )
    if found.get("private_test_cases") and not isinstance(private, list):
        raise BadTests("private_test_cases are not JSON: unpack them, or leave them out")
    return [*public, *(private or [])] if isinstance(public, list) else None


def _name(found: Mapping[str, Any]) -> str | None:
    """The function under test; `Solution().f` is the method f of Solution."""
    inner = found.get("metadata")
    inner = _loaded(inner) if isinstance(inner, str) else inner
    for place in (found, inner if isinstance(inner, dict) else {}):
        if name := _text(place, "fn_name", "func_name", "entry_point"):
            return name.replace("()", "")
    return None


def _text(found: Mapping[str, Any], *keys: str) -> str | None:
    return next((found[key] for key in keys if isinstance(found.get(key), str) and found[key]), None)


def _source(texts: Sequence[str], name: str | None, found: Mapping[str, Any]) -> list[_Variants]:
    setup = [found.get("test_setup_code"), *_listed(found.get("test_imports")), *_listed(found.get("prompt"))]
    lines = "\n".join(text for text in setup if isinstance(text, str) and _is_code(text))
    return [(test,) for text in texts for test in from_source(text, name, lines)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_code(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# --- inputs and outputs as JSON ------------------------------------------------------------------------------------


def _pairs(inputs: Any, outputs: Any, name: str | None) -> Iterator[_Variants]:
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise BadTests("inputs and outputs must be lists of one length")
    # TACO and APPS wrap each result in a list of its own: it may be one if all are.
    wrapped = all(isinstance(expected, list) and len(expected) == 1 for expected in outputs)
    texts = all(isinstance(given, str) for given in inputs)
    for given, expected in zip(inputs, outputs, strict=True):
        if name is None:
            yield (StdinTest(_lines(given), _lines(expected)),)
        elif texts:
            yield _one_a_line(given, expected, name)
        else:
            args = given if isinstance(given, list) else [given]
            yield _call(name, args, expected, also=(expected[0],) if wrapped else ())


def _call(name: str, args: list[Any], expected: Any, kwargs: Any = None, also: tuple[Any, ...] = ()) -> _Variants:
    """A call with JSON's values; keys of dictionaries that are all whole numbers are meant as numbers or as text."""
    kwargs = kwargs or {}
    plain = CallTest(name, args, expected, kwargs, also=also)
    numbered = [_numbered(arg) for arg in args], {key: _numbered(value) for key, value in kwargs.items()}
    if numbered == (args, kwargs):
        return (plain,)
    return CallTest(name, numbered[0], expected, numbered[1], also=also), plain


def _numbered(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbered(item) for item in value]
    if isinstance(value, dict):
        whole = bool(value) and all(_WHOLE.fullmatch(key) for key in value)
        return {int(key) if whole else key: _numbered(item) for key, item in value.items()}
    return value


def _one_a_line(given: str, expected: Any, name: str) -> _Variants:
    """LiveCodeBench's functional tests: an argument a line, each JSON; or one argument that is the text itself."""
    lines = [line for line in given.split("\n") if line.strip()]
    result = _value(expected) if isinstance(expected, str) else expected
    try:
        args = [_value(line, strict=True) for line in lines]
    except ValueError:
        return (CallTest(name, [given], expected, also=() if result == expected else (result,)),)
    calls = _call(name, args, result)
    if any(isinstance(arg, list | dict | str) for arg in args) or len(args) != 1:
        return calls
    return (*calls, CallTest(name, [given], expected))


def _value(text: str, strict: bool = False) -> Any:
    """A value written as JSON or as Python writes it; the text itself where it is neither.

    Raises:
        ValueError: instead, if `strict`.
    """
    try:
        return json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        pass
    try:
        if len(text) > _MAX_LITERAL:
            raise ValueError("a literal that is too long")
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        if strict:
            raise ValueError("not a value") from None
        return text


def _lines(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _item(item: Any, name: str | None, at: int, found: Mapping[str, Any]) -> Iterator[_Variants]:
    if isinstance(item, str):
        yield from _source([item], name, found)
        return
    if not isinstance(item, dict):
        raise BadTests(f"test {at}: expected an object or a line of Python, found {type(item).__name__}")
    called = _text(item, "fn_name", "function", "fn") or _name(item) or name
    expected = next((item[k] for k in ("expected", "output", "stdout", "expected_output") if k in item), BadTests)
    if expected is BadTests:
        raise BadTests(f"test {at}: nothing is expected; give `expected` or `output`")
    if "args" in item or "kwargs" in item:
        called = called or _text(item, "name")
    if called is not None and ("args" in item or "kwargs" in item):
        kwargs = {str(key): value for key, value in dict(item.get("kwargs", {})).items()}
        yield _call(called, list(item.get("args", [])), expected, kwargs)
    elif item.get("testtype", "functional" if called and isinstance(item.get("input"), str) else "") == "functional":
        if called is None:
            raise BadTests(f"test {at}: a functional test needs `fn_name`")
        yield _one_a_line(str(item.get("input", "")), expected, called)
    elif called is not None and isinstance(item.get("input"), list):
        yield _call(called, item["input"], expected)
    else:
        given = next((item[k] for k in ("input", "stdin") if k in item), "")
        yield (StdinTest(_lines(given), _lines(expected)),)
