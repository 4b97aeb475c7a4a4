"""Event logs of ours, on whichever store the URL names: opened, and filled with many events at once."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import islice

import msgspec
import uvloop

from benchmarks.bank import AGGREGATES, Deposited
from benchmarks.harness import in_child
from twofold import Event, Settings
from twofold.messages import NewEvent
from twofold.ports import Appended, Commit, EventLog, NewRecord
from twofold.streams import StreamId
from twofold.wiring import open_stores

__all__ = ["commits_of", "deposit_commits", "event_log", "fill", "fill_apart"]

RECORDED_AT_US = 1_700_000_000_000_000
COMMITS_AT_ONCE = 256


@asynccontextmanager
async def event_log(url: str) -> AsyncIterator[EventLog]:
    async with open_stores(Settings(event_log=url)) as stores:
        assert stores.log is not None
        yield stores.log


def deposit_commits(
    count: int, *, events: int = 1, aggregates: int = AGGREGATES, ids: bool = False
) -> Iterator[Commit]:
    """`count` deposits to accounts in turn, so many in each commit, with command ids or without."""
    for number in range(count // events):
        account, turn = number % aggregates, number // aggregates
        deposited = _encoded(Deposited(account_id=f"a{account}", amount=Decimal("10.25")))
        yield Commit(
            stream=StreamId("account", f"a{account}"),
            expected_version=turn * events,
            events=(deposited,) * events,
            metadata=b'{"correlation_id":"%032x"}' % number,
            recorded_at_us=RECORDED_AT_US + number,
            record=NewRecord(f"id-{number * 7919 % 1_000_003}-{number}", b"f" * 16) if ids else None,
        )


def commits_of(events: Iterable[Event]) -> Iterator[Commit]:
    """Each on a stream of its own."""
    for number, event in enumerate(events):
        stream = StreamId("imported", str(number))
        yield Commit(stream, 0, (_encoded(event),), b"{}", RECORDED_AT_US + number)


def _encoded(event: Event) -> NewEvent:
    return NewEvent(type(event).stored_name, type(event).schema_version, msgspec.json.encode(event))


async def fill(log: EventLog, commits: Iterator[Commit]) -> int:
    """Append all, in large batches; the last position."""
    while batch := list(islice(commits, COMMITS_AT_ONCE)):
        outcomes = await log.append(batch)
        if not all(isinstance(outcome, Appended) for outcome in outcomes):
            raise RuntimeError(f"not everything was appended: {outcomes[-1]}")
    return await log.head()


def fill_apart(url: str, count: int) -> None:
    """Fill a log with deposits in another process, so that this one's memory stays what it was."""
    if failure := in_child(_fill_here, url, count):
        raise RuntimeError(f"filling the log failed: {failure}")


def _fill_here(url: str, count: int) -> None:
    uvloop.run(_filled(url, count))


async def _filled(url: str, count: int) -> None:
    async with event_log(url) as log:
        await fill(log, deposit_commits(count, events=20))
