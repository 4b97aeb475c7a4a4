"""Pages of docs/ as tests look at them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    """The text of a page, by its path below docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """The cells of every line of every table, without heads and rules. `\\|` is a bar inside a cell."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    tables = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rules = {index for index, cells in enumerate(tables) if all(re.fullmatch(r":?-+:?", cell) for cell in cells)}
    return [cells for index, cells in enumerate(tables) if index not in rules and index + 1 not in rules]


def codes(text: str) -> list[str]:
    """What stands in `code type`, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def words(text: str) -> set[str]:
    """The names inside what stands in `code type`: `done.position` holds done and position."""
    return {word for code in codes(text) for word in re.findall(r"[A-Za-z_]\w*", code)}


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its depth or less."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"there is no heading {heading!r}"
    deeper = re.search(
        rf"^{found[1]} {re.escape(heading)}\n(.*?)(?=^#{{1,{len(found[1])}}} |\Z)", text, re.DOTALL | re.MULTILINE
    )
    assert deeper
    return deeper[1]
