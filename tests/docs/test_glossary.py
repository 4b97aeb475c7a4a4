"""The public API speaks the words of docs/glossary.md, one word per idea."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import twofold

GLOSSARY = Path(__file__).parents[2] / "docs" / "glossary.md"
UNITLESS = {"timeout", "delay", "interval", "duration", "age", "ttl"}

Names = dict[str, str]  # a name → where it stands


def table_rows() -> list[list[str]]:
    lines = GLOSSARY.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in rows if row[0] != "we say"]


def wrong_words() -> set[str]:
    return {word for row in table_rows() for word in re.findall(r"`([^`]+)`", row[2])}


def words_of(name: str) -> str:
    """`expectedVersion`, `ExpectedVersion` and `expected_version` are all `expected version`."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)).lower()


def says(name: str, word: str) -> bool:
    return f" {word} " in f" {words_of(name)} "


def parameters_of(value: object) -> list[str]:
    try:
        return list(inspect.signature(value).parameters) if callable(value) else []
    except (TypeError, ValueError):
        return []


def members_of(value: object) -> Iterator[tuple[str, object]]:
    if inspect.isclass(value) and value.__module__.startswith("twofold"):
        yield from ((name, member) for name, member in vars(value).items() if not name.startswith("_"))


def public_identifiers() -> Names:
    names: Names = {}
    for public in twofold.__all__:
        value = getattr(twofold, public)
        names[public] = "twofold"
        for name, member in [(public, value), *members_of(value)]:
            names[name] = public
            names |= dict.fromkeys(parameters_of(member), f"{public}.{name}")
    return names


def test_no_public_name_uses_a_wrong_word() -> None:
    found = [
        f"{word!r} in {name} (of {place})"
        for name, place in public_identifiers().items()
        for word in wrong_words()
        if says(name, word)
    ]
    assert not found, f"docs/glossary.md has another word: {found}"


def test_every_public_quantity_carries_its_unit() -> None:
    found = [f"{name} (in {place})" for name, place in public_identifiers().items() if name in UNITLESS]
    assert not found, f"name the unit, such as timeout_s: {found}"


def test_the_glossary_says_each_word_once() -> None:
    terms = [term for row in table_rows() for term in re.findall(r"\*\*([^*]+)\*\*", row[0])]
    assert len(terms) > 20
    assert len(terms) == len(set(terms))
    assert not {term.lower() for term in terms} & wrong_words()


@pytest.mark.parametrize("name", ["topic", "Topic", "topic_name", "read_topic", "ReadTopic"])
def test_a_wrong_word_is_seen(name: str) -> None:
    assert says(name, "topic")
    assert not says("isotopic", "topic")
