"""Every link between pages leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^) ]+)(?: \"[^\"]*\")?\)")


def prose(path: Path) -> str:
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(path: Path) -> Iterator[str]:
    for link in LINK.findall(prose(path)):
        if re.match(r"https?://", link):
            continue
        target, _, anchor = link.partition("#")
        there = (path.parent / target).resolve() if target else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            yield link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    assert not list(broken(path))


def test_every_page_is_linked_from_another() -> None:
    linked = {(path.parent / link.partition("#")[0]).resolve() for path in PAGES for link in LINK.findall(prose(path))}
    assert not [str(path.relative_to(ROOT)) for path in PAGES[1:] if path not in linked]


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading: it's here\n[a](#a-heading-its-here) [b](#nowhere) [c](gone.md)\n```\n[d](gone.md)\n```\n"
    )
    assert list(broken(page)) == ["#nowhere", "gone.md"]


def test_every_file_that_the_architecture_names_exists() -> None:
    text = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:runtime|stores)/[\w/…]+\.py)`", text)
    assert len(named) > 8
    assert not [name for name in named if not list((ROOT / "src" / "twofold").glob(name.replace("…", "*")))]
