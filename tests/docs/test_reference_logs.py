"""docs/reference/logs.md lists every field of every line, and what is logged beside them."""

import re
from pathlib import Path

import msgspec
import pytest

import twofold
from tests.docs.pages import page, rows, section
from twofold.observability.lines import LINES, Line

TEXT = page("reference/logs.md")
COMMON = ("event", *(each.name for each in msgspec.structs.fields(Line)))


def names(cells: list[list[str]]) -> list[str]:
    return [name for each in cells for name in re.findall(r"`([\w-]+)`", each[0])]


def test_the_fields_of_all_lines_are_documented() -> None:
    intro = TEXT.partition("## `request`")[0]
    assert set(names(rows(intro))) == {*COMMON}


@pytest.mark.parametrize("kind", LINES, ids=lambda kind: kind.__name__)
def test_every_field_of_a_line_is_documented_in_order_and_nothing_else(kind: type[Line]) -> None:
    own = [each.name for each in msgspec.structs.fields(kind) if each.name not in COMMON]
    said = names(rows(section(TEXT, f"`{kind.__struct_config__.tag}`")))
    assert sorted(said) == sorted(own)


def test_every_event_that_is_logged_is_documented() -> None:
    source = "\n".join(path.read_text() for path in Path(twofold.__file__).parent.rglob("*.py"))
    logged = set(re.findall(r'logger\.(?:debug|info|warning|error|exception)\(\s*"([\w-]+)"', source))
    said = set(names(rows(section(TEXT, "Others that matter"))))
    assert logged <= said
    assert said <= logged | {"store-unavailable", "unknown-outcome"}
