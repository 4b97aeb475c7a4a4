"""Resident memory of a projector's process that folds two million events on PostgreSQL, and how fast it does."""

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

import uvloop

from benchmarks.harness import Benchmark, Job, Target
from benchmarks.logs import fill_apart
from benchmarks.machine import peak_mb, resident_mb
from benchmarks.memory import EVENTS, growth
from benchmarks.postgres.database import migrated, services, url_of
from twofold import Settings
from twofold.settings import Role
from twofold.wiring import open_stores

__all__ = ["BENCHMARK"]

SAMPLE_S = 0.05
FOLD_TIMEOUT_S = 600.0


class Sample(NamedTuple):
    at: float
    position: int
    resident_mb: float


def ours(job: Job) -> Mapping[str, float]:
    events = job.scaled(EVENTS)
    with migrated(job) as server:
        fill_apart(url_of(server), events)
        with services(server, "projector") as (projector,):
            samples = uvloop.run(_watched(url_of(server), projector.pid, events))
            figures = {"peak_mb": peak_mb(projector.pid), **growth([sample.resident_mb for sample in samples])}
    first, last = samples[0], samples[-1]
    return figures | {"events_per_s": (last.position - first.position) / (last.at - first.at)}


async def _watched(url: str, pid: int, head: int) -> list[Sample]:
    """From the first look until everything is folded."""
    samples: list[Sample] = []
    async with asyncio.timeout(FOLD_TIMEOUT_S), open_stores(Settings(event_log=url), Role.QUERY) as stores:
        assert stores.reader is not None
        while not samples or samples[-1].position < head:
            checkpoints = await stores.reader.checkpoints()
            position = min((each.position for each in checkpoints.values()), default=0)
            samples.append(Sample(time.perf_counter(), position, resident_mb(pid)))
            await asyncio.sleep(SAMPLE_S)
    return samples


BENCHMARK = Benchmark(
    name="memory",
    about="MB resident of a projector that folds 2 million events on PostgreSQL",
    sides={"projector": ours},
    targets=(
        Target(figure="projector.peak_mb", at_most=150),
        Target(figure="projector.growth_in_second_half_mb", at_most=10),
    ),
)
