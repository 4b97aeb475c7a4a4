"""Full-text search by PostgreSQL over Twofold's own words: PostgreSQL neither splits nor changes them."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.stores.rows import Unstorable
from twofold.stores.words import words

__all__ = ["as_query", "as_vector", "holds", "is_exact"]

_MOST_BYTES = 1_000_000
_LONGEST_WORD = 500
_MOST_WORDS_ASKED = 1_000
"""PostgreSQL takes words of 2 kB (500 characters of up to 4 bytes), and 1 MB of them for a row."""


def as_vector(texts: Sequence[str | None]) -> str:
    """The words of a row's texts as a literal of `tsvector`; Unstorable when they are too many."""
    found = [word[:_LONGEST_WORD] for text in texts if text for word in words(text)]
    vector = " ".join([f"'{word}':{at}" for at, word in enumerate(found, start=1)])
    if len(vector) * 4 > _MOST_BYTES and len(vector.encode()) > _MOST_BYTES:
        # Without their places: what is found stays the same, only its rank does not
        vector = " ".join([f"'{word}'" for word in dict.fromkeys(found)])
        if len(vector.encode()) > _MOST_BYTES:
            raise Unstorable("its texts under search hold more than 1 MB of different words")
    return vector


def as_query(wanted: Sequence[str]) -> str:
    """A literal of `tsquery` for rows that have words which start with each of the wanted ones."""
    return " & ".join([f"'{word[:_LONGEST_WORD]}':*" for word in wanted[:_MOST_WORDS_ASKED]])


def is_exact(wanted: Sequence[str]) -> bool:
    """Whether the query finds no row too many."""
    return len(wanted) <= _MOST_WORDS_ASKED and all(len(word) <= _LONGEST_WORD for word in wanted)


def holds(texts: Sequence[str | None], wanted: Sequence[str]) -> bool:
    """Whether each wanted word begins a word of the texts."""
    found = [word for text in texts if text for word in words(text)]
    return all(any(word.startswith(start) for word in found) for start in wanted)
