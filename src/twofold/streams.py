"""Names, versions and positions of streams: plain values, no I/O.

A version counts events: an empty stream has version 0, its first event makes version 1.
"""

from __future__ import annotations

from typing import NamedTuple, NewType

from twofold.errors import InvalidKeyError

__all__ = ["MAX_KEY_LENGTH", "NO_STREAM", "START", "ExpectedVersion", "Position", "StreamId"]

MAX_KEY_LENGTH = 200

Position = NewType("Position", int)
"""A place in the event log: dense, from 1. Compares, prints (`str`) and parses (`Position(int(text))`)."""

START = Position(0)
"""Before the first event."""

ExpectedVersion = int
"""The version that a writer saw; an append fails when the stream has moved since."""

NO_STREAM: ExpectedVersion = 0


class StreamId(NamedTuple):
    """One stream: a category ("account") and a key ("a1"), written `account-a1`.

    A category holds no hyphen, so that the first one divides the two.
    """

    category: str
    key: str

    def __str__(self) -> str:
        return f"{self[0]}-{self[1]}"

    @classmethod
    def of(cls, category: str, key: object) -> StreamId:
        """The stream of a key; InvalidKeyError for one that is empty, longer than 200 characters or not printable."""
        text = key if type(key) is str else str(key)
        if not text or len(text) > MAX_KEY_LENGTH or not text.isprintable():
            raise InvalidKeyError(category, text)
        return cls(category, text)

    @classmethod
    def parse(cls, text: str) -> StreamId:
        category, hyphen, key = text.partition("-")
        if not (category and hyphen and key):
            raise InvalidKeyError(category, key)
        return cls(category, key)
