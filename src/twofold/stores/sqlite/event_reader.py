"""What the event log reads: one statement each, many rows as one (threads.py), made into values here.

Rows that do not follow on each other without a gap are damage, and raise CorruptStoreError.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import msgspec

from twofold.errors import CorruptStoreError
from twofold.messages import RawEvent
from twofold.ports import CommandRecord, Snapshot
from twofold.stores.statements import load_statements
from twofold.streams import Position, StreamId

__all__ = [
    "SQL",
    "find_commands",
    "load_snapshots",
    "prepare_reader",
    "read_after",
    "read_head",
    "read_streams",
    "read_versions",
]

SQL = load_statements(Path(__file__).with_name("event_log.sql"))

MAX_VALUE_BYTES = 64_000_000
"""What a statement may gather into one value: what one page can take of memory. Beyond it, rows are read singly."""

LARGE_EVENTS_PER_PAGE = 16
_NO_LIMIT = 2**31 - 1
_SEPARATOR = b"\x1e"

_ints = msgspec.json.Decoder(list[int]).decode
_texts = msgspec.json.Decoder(list[str]).decode
_records = msgspec.json.Decoder(list[tuple[str, str, str, int, int, int]]).decode
_snapshots = msgspec.json.Decoder(list[tuple[str, int, str]]).decode


def prepare_reader(connection: sqlite3.Connection) -> None:
    """Bound the memory that one value may take."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)


def read_head(connection: sqlite3.Connection) -> Position:
    return connection.execute(SQL["head"]).fetchone()[0]


def read_versions(connection: sqlite3.Connection, streams: Sequence[str]) -> dict[str, int]:
    """The version of each stream, 0 for one without events."""
    (versions,) = connection.execute(SQL["versions"], {"streams": _json(streams)}).fetchone()
    return dict(zip(streams, _ints(versions), strict=True))


def find_commands(connection: sqlite3.Connection, command_ids: Sequence[str]) -> Mapping[str, CommandRecord]:
    """The records of those that are known."""
    (found,) = connection.execute(SQL["commands"], {"command_ids": _json(command_ids)}).fetchone()
    return {
        command_id: CommandRecord(
            command_id, bytes.fromhex(digest), StreamId.parse(stream), version, Position(position), event_count
        )
        for command_id, digest, stream, version, position, event_count in _records(found)
    }


def read_after(connection: sqlite3.Connection, after: int, limit: int) -> Sequence[RawEvent]:
    """The next events of the whole log; when they are too large for one page, at most 16 of them."""
    try:
        columns = connection.execute(SQL["read"], {"after": after, "limit": limit}).fetchone()
        events = _events(columns)
    except sqlite3.DataError:
        events = _rows(connection, "read_rows", after=after, limit=min(limit, LARGE_EVENTS_PER_PAGE))
    _check(after, [event.position for event in events], "positions")
    return events


def read_streams(
    connection: sqlite3.Connection, wanted: Sequence[tuple[str, int]], limit: int
) -> Sequence[Sequence[RawEvent]]:
    """For each (stream, after version) its next events, all of them up to the limit."""
    try:
        index, *columns = connection.execute(SQL["read_streams"], {"wanted": _json(wanted), "limit": limit}).fetchone()
        streams = _divided(_events(columns), Counter(_ints(index)), len(wanted))
    except sqlite3.DataError:
        streams = [
            _rows(connection, "read_stream_rows", stream=stream, after=after, limit=limit) for stream, after in wanted
        ]
    for (stream, after), events in zip(wanted, streams, strict=True):
        _check(after, [event.version for event in events], f"versions of {stream}")
    return streams


def load_snapshots(connection: sqlite3.Connection, streams: Sequence[str]) -> Mapping[StreamId, Snapshot]:
    """Those that are there."""
    found, states = connection.execute(SQL["load_snapshots"], {"streams": _json(streams)}).fetchone()
    return {
        StreamId.parse(stream): Snapshot(version, fingerprint, state)
        for (stream, version, fingerprint), state in zip(_snapshots(found), _split(states), strict=True)
    }


def _rows(connection: sqlite3.Connection, statement: str, **parameters: Any) -> Sequence[RawEvent]:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _NO_LIMIT)
    try:
        return [RawEvent(*row) for row in connection.execute(SQL[statement], parameters).fetchall()]
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)


def _events(columns: Sequence[Any]) -> list[RawEvent]:
    positions, streams, versions, types, schema_versions, data, metadata, times = columns
    return list(
        map(
            RawEvent,
            _ints(positions),
            _texts(streams),
            _ints(versions),
            _texts(types),
            _ints(schema_versions),
            _split(data),
            _split(metadata),
            _ints(times),
        )
    )


def _divided(events: list[RawEvent], counts: Mapping[int, int], streams: int) -> Sequence[Sequence[RawEvent]]:
    ends = list(accumulate(counts.get(each, 0) for each in range(streams)))
    return [events[start:end] for start, end in pairwise([0, *ends])]


def _check(after: int, numbers: list[int], what: str) -> None:
    if numbers != list(range(after + 1, after + 1 + len(numbers))):
        found = next(number for expected, number in enumerate(numbers, start=after + 1) if number != expected)
        raise CorruptStoreError(
            "event log", f"{what} are not dense after {after}: found {found}", "restore it from a backup"
        )


def _json(values: Sequence[Any]) -> str:
    return msgspec.json.encode(values).decode()


def _split(texts: bytes | None) -> Sequence[bytes]:
    return texts.split(_SEPARATOR) if texts is not None else ()
