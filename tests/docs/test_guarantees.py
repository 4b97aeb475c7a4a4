"""Every guarantee names the tests that prove it, and so does every fault that is explained; and they exist."""

import re
import subprocess
import sys
from functools import cache

import pytest

from tests.docs.pages import DOCS, ROOT, page, rows, section

TEXT = page("explanation/guarantees.md")
FAULTS = section(page("explanation/services.md"), "When something breaks")
LINKED = TEXT + FAULTS
LINK = re.compile(r"\[([^]]+)\]\(((?:\.\./)+[^) ]+\.py) \"([^\"]+)\"\)")


def node_ids() -> list[str]:
    """Of every test that the page links to: the file is the link's target, class and name its title."""
    places = [
        ((DOCS / "explanation" / target).resolve().relative_to(ROOT), name) for _, target, name in LINK.findall(LINKED)
    ]
    return [f"{path}::{name}" for path, name in places]


@cache
def collected() -> frozenset[str]:
    """What pytest finds in those files, without parameters."""
    files = sorted({node.partition("::")[0] for node in node_ids()})
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider", *files]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert found.returncode == 0, found.stdout[-2_000:] + found.stderr
    return frozenset(re.sub(r"\[.*", "", line) for line in found.stdout.splitlines() if "::" in line)


def guarantees() -> dict[str, str]:
    """What stands under each heading but the last, which is about limits."""
    parts = re.split(r"^## (.+)\n", TEXT, flags=re.MULTILINE)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(found)[-1] == "Limits"
    return {heading: text for heading, text in found.items() if heading != "Limits"}


@pytest.mark.parametrize("heading", guarantees())
def test_a_guarantee_is_proved_by_tests(heading: str) -> None:
    assert "*Proved by*" in guarantees()[heading]
    assert len(LINK.findall(guarantees()[heading])) >= 2


def test_every_linked_test_exists() -> None:
    assert len(node_ids()) > 40
    assert not [node for node in node_ids() if node not in collected()]


def test_every_link_to_a_test_says_which() -> None:
    assert len(re.findall(r"\(\.\./\.\./tests/", LINKED)) == len(LINK.findall(LINKED))


def test_every_fault_is_shown_by_a_test() -> None:
    faults = rows(FAULTS)
    assert len(faults) > 10
    assert not [fault for fault, *_, shown_by in faults if not LINK.search(shown_by)]


def test_a_link_says_what_its_test_is_called() -> None:
    """So that a reader sees in the text what is proved."""

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    named = [(text, name.rpartition("::test_")[2].removeprefix("test_")) for text, _, name in LINK.findall(LINKED)]
    assert not [text for text, name in named if text != "test" and plain(text) != plain(name)]
