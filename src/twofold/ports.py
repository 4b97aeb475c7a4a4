"""Every need of the outside world, as small protocols. Adapters implement them; the runtime knows nothing else.

The event log owns order: positions are dense (1, 2, 3 … with no gap) in commit order, and nothing ever becomes visible
behind an event that was already read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from twofold.messages import NewEvent, RawEvent
from twofold.streams import ExpectedVersion, Position, StreamId
from twofold.tables import Key, Row, Table

__all__ = [
    "Appended",
    "Checkpoint",
    "Clock",
    "CommandRecord",
    "Commit",
    "Conflict",
    "Duplicate",
    "EventLog",
    "Find",
    "Fold",
    "NewRecord",
    "Outcome",
    "Probe",
    "ReadStore",
    "RowReader",
    "Snapshot",
    "Snapshots",
]

# --- the event log ---------------------------------------------------------------------------------------------------


class NewRecord(NamedTuple):
    """A command id to be recorded with its append. The fingerprint is a digest of the command's name and fields."""

    command_id: str
    fingerprint: bytes


class CommandRecord(NamedTuple):
    """What the log knows of a command id: the first answer. The command's events are the stream's last
    `event_count` up to `version`."""

    command_id: str
    fingerprint: bytes
    stream: StreamId
    version: int
    position: Position
    event_count: int


class Commit(NamedTuple):
    """One decision: events for one stream, all or none. No events is legal, and is recorded under its command id.

    `metadata` is JSON in UTF-8, shared by the events; `recorded_at_us` counts microseconds since 1970-01-01 UTC.
    `check_only` is for a refusal: the command id is looked up and the version compared, and nothing is written, so that
    a refusal too is made on the newest state, and a repeated command gets its first answer and not a refusal.
    """

    stream: StreamId
    expected_version: ExpectedVersion
    events: tuple[NewEvent, ...]
    metadata: bytes
    recorded_at_us: int
    record: NewRecord | None = None
    check_only: bool = False


class Appended(msgspec.Struct, frozen=True, gc=False):
    """The commit is durable. `position` is its last event's; without events it is the head's."""

    version: int
    position: Position


class Conflict(NamedTuple):
    """The stream is not where the writer saw it, or an earlier commit of the same batch on this stream was refused
    (so that this one was decided on a state that never was). Nothing of the commit was written."""

    actual_version: int


class Duplicate(NamedTuple):
    """The command id is recorded already (whatever the expected version). Nothing of the commit was written."""

    record: CommandRecord


Outcome = Appended | Conflict | Duplicate


class EventLog(Protocol):
    """All events in their one order, and the command ids that made them."""

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Write a batch in one durable transaction; one outcome per commit, in order.

        Each commit is checked against the stream as the commits before it in the batch have left it. A command id
        is looked up (among the recorded ones and those of earlier commits of the batch) before the version is compared.
        Once a commit that has events is refused (Conflict or Duplicate),
        all later commits of the batch on the same stream are conflicts. When this raises StoreUnavailableError,
        nothing of the batch was written; UnknownOutcomeError says that all or nothing was. Cancelling the caller
        does not interrupt a write under way.
        """
        ...

    async def read_streams(self, wanted: Sequence[tuple[StreamId, int]], limit: int) -> Sequence[Sequence[RawEvent]]:
        """For each wanted (stream, after_version), its next events in order of version, at most `limit` of each."""
        ...

    async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
        """The next events of the whole log in order of position, at most `limit`.

        Empty at the head, and only there: large events come in shorter pages.
        """
        ...

    async def head(self) -> Position:
        """The last position; 0 when the log is empty."""
        ...

    async def wait(self, after: Position, timeout_s: float) -> bool:
        """Sleep until something newer than `after` is visible, at most `timeout_s` seconds.

        True when there is something to read. A wake-up is a hint and never the delivery: read after every return.
        """
        ...


class Snapshot(NamedTuple):
    """Stored state of an aggregate: JSON in UTF-8, valid only for code of the same fingerprint."""

    version: int
    fingerprint: str
    state: bytes


class Snapshots(Protocol):
    """Stored states of aggregates. Losing any of them costs time and nothing else."""

    async def load_snapshots(self, streams: Sequence[StreamId]) -> Mapping[StreamId, Snapshot]: ...

    async def save_snapshots(self, snapshots: Mapping[StreamId, Snapshot]) -> None:
        """Keep these, each in place of the stream's former one."""
        ...


# --- the read store --------------------------------------------------------------------------------------------------


class Checkpoint(NamedTuple):
    """How far a read model has come, and the fencing number of the worker that holds it."""

    read_model: str
    position: Position
    epoch: int
    fingerprint: str
    fold_fingerprint: str
    paused: bool = False


class Fold(NamedTuple):
    """The effect of one page of events on one read model: from `after` to `through`, by the worker of `epoch`."""

    table: Table
    epoch: int
    after: Position
    through: Position
    rows: Sequence[Row]
    deleted: Sequence[Key]


class ReadStore(Protocol):
    """Where projectors write. Rows, checkpoint and fence of a fold commit in one transaction."""

    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        """Make the table and its indexes if they are missing and take it over: the returned epoch fences off
        every earlier worker. A table of another `fingerprint` is emptied and made anew, its checkpoint set to 0, and
        with `restart` any table is. The stored fold fingerprint is returned as it was found; it becomes the table's own
        when the table is new, made anew, or promoted."""
        ...

    async def load(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        """Those of the rows that exist."""
        ...

    async def save(self, fold: Fold) -> None:
        """Write rows, deletions and checkpoint in one transaction. FencedError when epoch or `after` are not the
        stored ones: then nothing is written."""
        ...

    async def promote(self, rebuilt: Table, live: Table) -> Checkpoint:
        """Put the rebuilt table in the place of the live one, with its checkpoint, in one transaction, under a new
        epoch. The rebuilt table's own name and checkpoint are gone afterwards."""
        ...

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        """Of every read model that was ever opened, by its name."""
        ...

    async def set_paused(self, read_model: str, paused: bool) -> None:
        """Note that the read model is to stand still (or go on) until told otherwise, also after a restart."""
        ...


@dataclass(frozen=True, slots=True)
class Find:
    """Rows whose columns equal the values, in the order of `order_by` ("-name" descends) and then of the key.

    `start_after` is the key of the last row of the page before: the page starts behind that row's place in the order.
    """

    equals: Mapping[str, Any]
    order_by: tuple[str, ...] = ()
    limit: int | None = None
    start_after: Key | None = None


class RowReader(Protocol):
    """What queries may read. Never writes."""

    async def get(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]: ...

    async def find(self, table: Table, find: Find) -> Sequence[Row]:
        """Numbers and decimals order by value, times by instant, text by code point, None first."""
        ...

    async def count(self, table: Table, equals: Mapping[str, Any]) -> int: ...

    async def search(self, table: Table, text: str, limit: int) -> Sequence[Row]:
        """Rows whose `search` columns hold words that start with every word of the text, best first. Any text is
        legal: it is words, not a query language."""
        ...

    async def sql(self, text: str, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Rows of one reading statement with bound `:name` parameters; values as the database has them."""
        ...


# --- time, numbers ---------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Probe(Protocol):
    """Where the runtime says what it does. Called on hot paths: must be quick and must not raise."""

    def command_done(self, command: str, code: str, seconds: float) -> None:
        """A command was answered; the code is "ok", "replayed" or an error's."""
        ...

    def append_done(self, commands: int, events: int, seconds: float) -> None: ...

    def query_done(self, query: str, code: str, seconds: float) -> None: ...

    def fold_done(self, read_model: str, events: int, seconds: float) -> None: ...
