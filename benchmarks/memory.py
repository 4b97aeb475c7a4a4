"""Resident memory of a process that folds two million events; flat: the second half needs no more than the first."""

import asyncio
import os
from collections.abc import Mapping, Sequence

import uvloop

from benchmarks.bank import app
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.logs import fill_apart
from benchmarks.machine import peak_mb, resident_mb
from benchmarks.system import connected, sqlite_url

__all__ = ["BENCHMARK", "EVENTS", "growth"]

EVENTS = 2_000_000
SAMPLE_S = 0.05
FOLD_TIMEOUT_S = 600.0


def ours(job: Job) -> Mapping[str, float]:
    url = sqlite_url(job.folder)
    fill_apart(url, job.scaled(EVENTS))
    return growth(uvloop.run(_folded(url))) | {"peak_mb": peak_mb(os.getpid())}


async def _folded(url: str) -> list[float]:
    samples = [resident_mb(os.getpid())]
    async with connected(app, url) as system:
        folding = asyncio.create_task(system.settle(timeout_s=FOLD_TIMEOUT_S))
        while not folding.done():
            await asyncio.wait([folding], timeout=SAMPLE_S)
            samples.append(resident_mb(os.getpid()))
        await folding
    return samples


def growth(samples_mb: Sequence[float]) -> dict[str, float]:
    half = len(samples_mb) // 2
    return {"growth_in_second_half_mb": max(samples_mb[half:]) - max(samples_mb[:half])}


BENCHMARK = Benchmark(
    name="memory",
    about="MB resident while folding 2 million events",
    sides={"twofold": ours},
    targets=(
        Target(figure="twofold.peak_mb", at_most=150),
        Target(figure="twofold.growth_in_second_half_mb", at_most=10),
    ),
)
