"""`synthflow list` lists what cannot be imported here too, and says what it needs."""

from __future__ import annotations

import sys

import pytest

from synthflow.cli.listing import entries


@pytest.mark.parametrize(
    ("kind", "names", "module"),
    [
        ("verifiers", ["regex"], "synthflow.verifiers.regex"),
        ("stages", ["verify.regex", "tag.regex"], "synthflow.verifiers.regex"),
    ],
)
def test_a_missing_package_hides_nothing(
    kind: str, names: list[str], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {row["name"]: row["summary"] for row in entries(kind)}
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "re2", None)
    rest = {row["name"]: row["summary"] for row in entries(kind)}
    for name in names:
        assert rest.pop(name).startswith("not usable: verifier 'regex' needs the package 're2'")
        whole.pop(name)
    assert rest == whole
