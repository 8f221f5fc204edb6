"""Runs the tests of a problem, written as Python, without the program: what they call is asked for and answered later.

Invariants: this process never holds a line of the program, and the program's never one of the tests: tests run here
until they call something whose result is not known; from there on they go on with a placeholder, which agrees to
everything, so that all further calls are learnt in one pass. What they say counts only if every result was known.
Results are plain values, so that equality is Python's own.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from synthflow.verifiers.sandbox import _values

_MAX_CALLS = 2_000
_ROOM = 600_000  # characters of calls that are told at once, but for the last
_ARITHMETIC = (
    "add",
    "radd",
    "sub",
    "rsub",
    "mul",
    "rmul",
    "truediv",
    "rtruediv",
    "floordiv",
    "mod",
    "pow",
    "neg",
    "abs",
)
_OF_PROGRAM = ("solution", "main", "program", "submission", "answer", "candidate", "code", "your_module")


class Reached(BaseException):
    """Nothing more can be learnt before the results so far are known."""


class Unasked(BaseException):
    """The tests do what cannot be asked of a program in another process."""


class Placeholder:
    """A result that is not known yet: equal to everything, larger and smaller than it, empty."""

    __hash__ = None  # type: ignore[assignment]

    @property
    def tolist(self) -> NoReturn:
        """What the encoder asks every value for: a placeholder cannot be handed on."""
        raise Reached

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __bool__(self) -> bool:
        return True

    def __float__(self) -> float:
        return 0.0

    def __len__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 0

    def __getitem__(self, _: object) -> Placeholder:
        return self


for _name in ("eq", "ne", "lt", "le", "gt", "ge", "contains"):
    setattr(Placeholder, f"__{_name}__", lambda *_: True)
for _name in _ARITHMETIC:
    setattr(Placeholder, f"__{_name}__", lambda self, *_: self)


class Asker:
    """The calls that tests made, in order, and the results of the first of them."""

    def __init__(self, known: list[Any]) -> None:
        self._known = known
        self.calls: list[Any] = []
        self.agreed = 0
        self.open = False
        self._room = _ROOM
        self.raised: BaseException | None = None

    def ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(self.calls) - self.agreed >= _MAX_CALLS or self._room < 0:
            raise Reached
        try:
            call = [name, [_values.encode(a) for a in args], {k: _values.encode(v) for k, v in kwargs.items()}]
        except TypeError as error:
            raise (Reached if self.open else Unasked)(
                f"{name} is called with what cannot be handed over: {error}"
            ) from None
        at = len(self.calls)
        self.calls.append(call)
        if self.open or at >= len(self._known) or self._known[at][0] != call:
            self.open = True
            self._room -= len(json.dumps(call))
            return Placeholder()
        self.agreed = at + 1
        return self._result(self._known[at][1], args)

    def _result(self, answer: dict[str, Any], args: tuple[Any, ...]) -> Any:
        for mine, changed in zip(args, answer.get("args", ()), strict=False):
            _change(mine, _values.decode(changed))
        if "value" in answer:
            return _values.decode(answer["value"])
        kind = getattr(builtins, str(answer.get("kind")), None)
        known = isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, UnicodeError)
        self.raised = (kind if known and kind is not None else Exception)(answer.get("error", "no value"))
        raise self.raised


def _change(mine: Any, now: Any) -> None:
    """What the program did to an argument."""
    if isinstance(mine, list) and isinstance(now, list):
        mine[:] = now
    elif isinstance(mine, dict | set) and isinstance(now, dict | set):
        mine.clear()
        mine.update(now)


class _Nowhere(io.TextIOBase):
    """Where tests print to."""

    def write(self, text: str) -> int:
        return len(text)


class Function:
    """A function of the program, as tests see it."""

    def __init__(self, asker: Asker, name: str) -> None:
        self._asker, self.__name__ = asker, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.__name__ == "Solution" and not args and not kwargs:
            return Names(lambda name: Function(self._asker, f"Solution.{name}"))
        if self.__name__[:1].isupper() and "." not in self.__name__:
            raise Unasked(f"an object of {self.__name__} cannot be kept between calls")
        return self._asker.ask(self.__name__, args, kwargs)

    def __getattr__(self, name: str) -> NoReturn:
        raise Unasked(f"{self.__name__}.{name} cannot be asked for")


class Names:
    """Something whose attributes are functions of the program."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return self._make(name)


class _Fallback(dict[str, Any]):
    """The builtins, and behind them what judges' sites provide, and behind that the program's functions."""

    def __init__(self, asker: Asker, site: dict[str, Any]) -> None:
        super().__init__(vars(builtins))
        self._asker, self._site = asker, site

    def __missing__(self, name: str) -> Any:
        if name.startswith("__"):
            raise KeyError(name)
        return self._site[name] if name in self._site else Function(self._asker, name)


class _Rewriting(ast.NodeTransformer):
    """An assertion that fails says so only where every result was known; imports of the program become its names."""

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        says = node.msg or ast.Constant("assert " + ast.unparse(node.test)[:120])
        failed = ast.Expr(ast.Call(ast.Name("__failed__", ast.Load()), [says], []))
        return ast.If(ast.UnaryOp(ast.Not(), node.test), [failed], [])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.level or node.module in _OF_PROGRAM else node

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        node.names = [alias for alias in node.names if alias.name not in (*_OF_PROGRAM, "pytest")]
        return node if node.names else None


def run(asking: dict[str, Any], source: str, site: dict[str, Any]) -> dict[str, Any]:
    """What became of the tests: `end` is asked, passed, failed or unreadable.

    `agreed` is how many of the known calls were made again; `calls` are those that were made after them.
    """
    asker = Asker(asking["known"])
    with contextlib.redirect_stdout(_Nowhere()), contextlib.redirect_stderr(_Nowhere()):
        end, why = _end(asker, asking, source, site)
    return {"end": end, "why": why[:200], "agreed": asker.agreed, "calls": asker.calls[asker.agreed :]}


def _end(asker: Asker, asking: dict[str, Any], source: str, site: dict[str, Any]) -> tuple[str, str]:
    try:
        _run(asker, asking, source, site)
    except Unasked as error:
        return "unreadable", str(error)
    except BaseException as error:
        if asker.open:
            return "asked", ""
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, NameError | ImportError | SyntaxError) and error is not asker.raised:
            return "unreadable", said
        return ("failed", said) if asker.calls else ("unreadable", said)
    if not asker.calls:
        return "unreadable", "the tests call nothing"
    return ("asked", "") if asker.open else ("passed", "")


def _run(asker: Asker, asking: dict[str, Any], source: str, site: dict[str, Any]) -> None:
    def failed(says: object) -> None:
        if not asker.open:
            raise AssertionError(says)

    names: dict[str, Any] = {"__name__": "tests", "__failed__": failed, "pytest": Names(_Pytest(asker).get)}
    names["__builtins__"] = _Fallback(asker, site)
    for module in _OF_PROGRAM:
        if module not in ("candidate", "answer", "code"):
            names[module] = Names(lambda name: Function(asker, name))
    for text in asking["setup"]:
        with contextlib.suppress(SyntaxError):
            exec(compile(text, "setup", "exec", dont_inherit=True), names)
    name = asking["name"]
    if name:
        names["candidate"] = Function(asker, name)
    names.pop(name, None)  # the prompt leaves it open: it is the program's
    tree = ast.fix_missing_locations(_Rewriting().visit(ast.parse(source)))
    exec(compile(tree, "tests", "exec", dont_inherit=True), names)
    checked = any(isinstance(n, ast.Call) and ast.unparse(n.func) == "check" for n in ast.walk(tree))
    if callable(names.get("check")) and not checked:
        if not name:
            raise Unasked("tests that call a candidate need `entry_point`")
        owner, _, method = name.rpartition(".")
        names["check"](Function(asker, f"{owner}.{method}" if owner else name))
    for title, test in list(names.items()):
        if title.startswith("test") and callable(test) and not isinstance(test, Function):
            test()
        elif isinstance(test, type) and title.startswith("Test"):
            _run_class(test)


def _run_class(tests: type) -> None:
    for title in [t for t in dir(tests) if t.startswith("test")]:
        case = tests(title) if hasattr(tests, "assertEqual") else tests()
        for step in ("setUp", title, "tearDown"):
            getattr(case, step, lambda: None)()


class _Pytest:
    """As much of pytest as tests of single functions use."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def get(self, name: str) -> Any:
        if name not in ("raises", "approx"):
            raise Unasked(f"pytest.{name} is not known here")
        return getattr(self, name)

    @contextlib.contextmanager
    def raises(self, expected: Any, **_: Any) -> Iterator[None]:
        try:
            yield
        except expected:
            return
        if not self._asker.open:
            raise AssertionError(f"did not raise {expected}")

    @staticmethod
    def approx(expected: Any, rel: float = 1e-6, abs: float = 1e-12) -> Any:
        class Approx:
            def __eq__(self, other: Any) -> bool:
                return _near(other, expected, rel, abs)

        return Approx()


def _near(got: Any, expected: Any, rel: float, tolerance: float) -> bool:
    if isinstance(got, Placeholder):
        return True
    if isinstance(expected, list | tuple):
        same = type(got) is type(expected) and len(got) == len(expected)
        return same and all(_near(a, b, rel, tolerance) for a, b in zip(got, expected, strict=True))
    if not isinstance(got, int | float) or not isinstance(expected, int | float):
        return bool(got == expected)
    return got == expected or abs(got - expected) <= max(rel * abs(expected), tolerance)
