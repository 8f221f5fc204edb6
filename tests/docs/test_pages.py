"""The pages hang together: links lead somewhere, nothing is far from the index, and no page is long."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.pages import DOCS, PAGES, REFERENCE, anchors, links, name

LONGEST = 250
INDEX = DOCS / "index.md"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        f"{file.name}#{anchor}" if anchor else str(file)
        for file, anchor in links(page)
        if not file.exists() or (anchor and anchor not in anchors(file))
    ]
    assert broken == []


def test_every_page_is_two_steps_from_the_index() -> None:
    reached = {INDEX}
    for _ in range(2):
        reached |= {file for page in reached for file, _ in links(page) if file in PAGES}
    assert [name(page) for page in PAGES if page.parent in (DOCS, REFERENCE) and page not in reached] == []


def test_the_readme_leads_to_the_index() -> None:
    assert INDEX in [file for file, _ in links(DOCS.parent / "README.md")]


@pytest.mark.parametrize("page", [page for page in PAGES if REFERENCE not in page.parents], ids=name)
def test_no_page_is_long(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").splitlines()) <= LONGEST
