"""Every need of the outside world, as small protocols. Adapters implement them; the runtime knows nothing else.

The event log owns order: positions are dense (1, 2, 3 … with no gap) in commit order, and nothing ever becomes visible
behind an event that was already read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import msgspec

from twofold.errors import TwofoldError
from twofold.messages import Metadata, NewEvent, RawEvent
from twofold.streams import ExpectedVersion, Position, StreamId
from twofold.tables import Key, Row, Table
from twofold.trace_context import TraceContext

__all__ = [
    "NOTHING_HELD",
    "Appended",
    "BatchProbe",
    "Checkpoint",
    "Clock",
    "CommandRecord",
    "Commit",
    "Conflict",
    "Duplicate",
    "EventLog",
    "Fact",
    "Find",
    "Fold",
    "Held",
    "Leased",
    "Leases",
    "NewRecord",
    "Outcome",
    "Probe",
    "ReadStore",
    "RowReader",
    "Share",
    "Snapshot",
    "Snapshots",
    "Span",
    "Tracer",
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
    """How far a read model has come in each of its partitions, and which code made its table and folds it.

    `error` is what its workers last said about a page that they can't fold, "" when all is well. `holders` are those
    whose leases run, by partition; "" for a partition that nobody holds.
    """

    read_model: str
    positions: tuple[Position, ...]
    fingerprint: str
    fold_fingerprint: str
    paused: bool = False
    error: str = ""
    holders: tuple[str, ...] = ()

    @property
    def position(self) -> Position:
        """Everything up to here is folded, in every partition."""
        return min(self.positions)


class Share(NamedTuple):
    """The right to fold one partition of a read model: the epoch is its fencing number, the position its checkpoint."""

    partition: int
    epoch: int
    position: Position


Held: TypeAlias = Mapping[str, Sequence[Share]]
"""Every share of some read models, by their names."""

NOTHING_HELD: Held = MappingProxyType({})


class Leased(NamedTuple):
    """What a worker holds of one read model, and how the read model stands."""

    checkpoint: Checkpoint
    shares: tuple[Share, ...]


class Fold(NamedTuple):
    """The effect of one page of events on the rows of some partitions: from each share's position to `through`.

    Every row and deleted key belongs to one of the shares' partitions (`Table.partition_of`).
    """

    table: Table
    shares: Sequence[Share]
    through: Position
    rows: Sequence[Row]
    deleted: Sequence[Key]


class ReadStore(Protocol):
    """Where projectors write. Rows, checkpoints and fence of a fold commit in one transaction."""

    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        """Make the table, its indexes and its partitions' checkpoints (at position 0) if the read model has none.

        What is there already stays as it is, also when other code made it: the returned checkpoint tells. With
        `restart` it is made anew and empty, and every share of it is void.
        """
        ...

    async def load(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        """Those of the rows that exist."""
        ...

    async def save(self, fold: Fold) -> Sequence[Share]:
        """Write rows, deletions and checkpoints in one transaction; returns the shares, moved to `through`.

        FencedError when any share's epoch or position is not the stored one: then nothing is written. Running out of a
        lease does not fence by itself; another holder's taking over does.
        """
        ...

    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        """Put the rebuilt table in the place of the live one, with its checkpoints, in one transaction.

        FencedError when the stored shares of a read model in `held` are not these: then nothing is changed.

        The former live table is kept as `live.aside("former")`, in place of an earlier former one. All shares of both
        are void. A read model that was paused stays so. Without a live table it is just put there.
        """
        ...

    async def drop(self, read_model: str) -> None:
        """Remove the read model's table and checkpoints; nothing happens when there are none."""
        ...

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        """Of every read model that was ever opened and not dropped, by its name."""
        ...

    async def set_paused(self, read_model: str, paused: bool) -> None:
        """Note that the read model is to stand still (or go on) until told otherwise, also after a restart."""
        ...


class Leases(Protocol):
    """Shares out the partitions of read models among workers. Time is the store's own clock.

    A store for one process alone may let every lease run for ever.
    """

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        """Keep what the holder has, hand back what is more than its fair share, and take what is free up to it.

        `wanted` are the read models that the holder can fold, each with what hinders it just now (an error, "" for
        none). Workers that want a read model (and have said so within their last `lease_s` seconds) share its
        partitions evenly, counted over all that each wants. Shares kept have their epochs unchanged, and new ones
        newer epochs than any worker ever had. What the holder has of other read models is given back.
        A share whose lease has run out and that nobody took is kept. Read models that are not there are left out.
        """
        ...

    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        """Take every partition of the read model, under new epochs, or none when another's lease of any runs.

        With `force` they are taken whoever holds them. Seizing again what one holds extends the leases only.
        `lease` of others gives them nothing of it meanwhile.
        """
        ...

    async def release(self, holder: str) -> None:
        """Give everything back that the holder has, so that others can take it at once."""
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

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        """Of every read model, as `ReadStore.checkpoints` has them. Rows read afterwards are at least as new."""
        ...

    async def wait(self, timeout_s: float) -> None:
        """Sleep until a checkpoint may have moved since the last call, at most `timeout_s` seconds. A hint.

        StoreUnavailableError when the store may have lost what it had not made durable: what was read is not known to
        hold any more.
        """
        ...


# --- time, numbers ---------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class BatchProbe(Protocol):
    """Where the runtime says what it did in batches. Must be quick and must not raise."""

    def append_done(
        self, commits: Sequence[Commit], outcomes: Sequence[Outcome] | TwofoldError, seconds: float
    ) -> None:
        """An append ended so: each commit with its outcome, or all with the error."""
        ...

    def fold_done(self, read_model: str, page: Sequence[RawEvent], shares: Sequence[Share], seconds: float) -> None:
        """A page, which is not empty, is folded; the shares are those that it was folded for, as they stand now."""
        ...


class Probe(BatchProbe, Protocol):
    """Where the runtime says what it does. Called on hot paths: must be quick and must not raise."""

    def command_done(self, command: str, code: str, seconds: float) -> None:
        """A command was answered; the code is "ok", "replayed" or an error's."""
        ...

    def query_done(self, query: str, code: str, seconds: float) -> None: ...


# --- traces ----------------------------------------------------------------------------------------------------------

Fact = str | int | float


class Span(Protocol):
    """A piece of work as a trace shows it. It begins when it is made, and ends with its `with` block.

    Whatever is begun meanwhile in the same task belongs to it. An error that leaves the block is noted.
    """

    @property
    def trace(self) -> TraceContext:
        """Its place, for what follows from it in other tasks and processes."""
        ...

    def note(self, facts: Mapping[str, Fact]) -> None: ...

    def fail(self, code: str) -> None:
        """It ends, and not as it should."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: Any) -> None: ...


class Tracer(BatchProbe, Protocol):
    """Where the runtime shows its work to traces. There is none unless they are wanted: then nothing is paid for it.

    Batches join the trace of what is in them, or are linked to the traces when there are several.
    """

    def begin(
        self, name: str, *, parent: TraceContext | None = None, facts: Mapping[str, Fact] = {}, server: bool = False
    ) -> Span:
        """A span below the parent, else below what the caller's task is in, else of a new trace.

        `server`: it stands for a request that came from outside.
        """
        ...

    def decided(self, metadata: Metadata, code: str, seconds: float) -> None:
        """The command with this metadata was just decided; the code is "ok" or the refusal's."""
        ...
