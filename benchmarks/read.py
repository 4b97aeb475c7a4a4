"""The whole log in global order, in pages, each event decoded."""

import time
from collections.abc import Callable, Mapping

import uvloop

from benchmarks.bank import Deposited
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.limits import sqlite_fold
from benchmarks.logs import deposit_commits, event_log, fill
from benchmarks.peers import eventsourcing_log
from benchmarks.system import sqlite_url
from twofold.codec import EventCodec
from twofold.messages import RawEvent
from twofold.ports import EventLog
from twofold.streams import START

__all__ = ["BENCHMARK"]

EVENTS = 300_000
PEER_EVENTS = 30_000
PAGE = 2_000


def ours(job: Job) -> Mapping[str, float]:
    return uvloop.run(_read(job))


async def _read(job: Job) -> Mapping[str, float]:
    """Decoded as a projector needs them, and with stream, time and metadata as a handler may ask for them."""
    codec = EventCodec([Deposited])
    async with event_log(sqlite_url(job.folder)) as log:
        await fill(log, deposit_commits(job.scaled(EVENTS), events=10))
        return {
            "events_per_s": await _rate(log, codec.decode),
            "recorded_per_s": await _rate(log, codec.recorded),
        }


async def _rate(log: EventLog, decode: Callable[[RawEvent], object]) -> float:
    started = time.perf_counter()
    position = START
    while page := await log.read(position, PAGE):
        _ = [decode(stored) for stored in page]
        position = page[-1].position
    return position / (time.perf_counter() - started)


def limit(job: Job) -> Mapping[str, float]:
    return {"events_per_s": sqlite_fold.read(job.folder, job.scaled(EVENTS))}


def peer(job: Job) -> Mapping[str, float]:
    return {"events_per_s": eventsourcing_log.read_per_s(job.folder, count=job.scaled(PEER_EVENTS))}


BENCHMARK = Benchmark(
    name="read",
    about="events/s read and decoded in global order",
    sides={"twofold": ours, "sqlite3": limit, "eventsourcing": peer},
    targets=(
        Target(figure="twofold.events_per_s", at_least=250_000),
        Target(figure="twofold.events_per_s", of="sqlite3.events_per_s"),
        Target(figure="twofold.events_per_s", of="eventsourcing.events_per_s"),
    ),
)
