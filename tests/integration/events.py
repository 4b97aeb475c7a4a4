"""Commits to append, as the tests of the event log on SQLite use them."""

from collections.abc import Sequence
from pathlib import Path

from twofold.messages import NewEvent, RawEvent
from twofold.ports import Commit, EventLog, NewRecord
from twofold.stores.sqlite.event_log import SqliteEventLog
from twofold.streams import Position, StreamId

A = StreamId("account", "a")


def deposit(
    stream: StreamId, expected_version: int, *, events: int = 1, command_id: str | None = None, data: bytes = b"{}"
) -> Commit:
    made = (NewEvent("Deposited", 1, data),) * events
    return Commit(stream, expected_version, made, b"{}", 0, NewRecord(command_id, b"f") if command_id else None)


async def everything(log: EventLog) -> Sequence[RawEvent]:
    events: list[RawEvent] = []
    while page := await log.read(Position(len(events)), 5_000):
        events += page
    return events


async def make_log(path: Path, events: int = 3) -> None:
    """A log with a few events of one stream, closed again."""
    async with SqliteEventLog.open(path) as log:
        await log.append([deposit(A, 0, events=events, command_id="first")])
