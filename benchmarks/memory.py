"""Resident memory of a process that folds two million events; flat: the second half needs no more than the first."""

import asyncio
import os
import resource
from collections.abc import Mapping
from pathlib import Path

import uvloop

from benchmarks.bank import app
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.logs import fill_apart
from benchmarks.system import connected

__all__ = ["BENCHMARK"]

EVENTS = 2_000_000
SAMPLE_S = 0.05
FOLD_TIMEOUT_S = 600.0


def ours(job: Job) -> Mapping[str, float]:
    events = job.scaled(EVENTS)
    fill_apart(job.folder, events)
    samples = uvloop.run(_folded(job.folder))
    half = len(samples) // 2
    return {
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "growth_in_second_half_mb": max(samples[half:]) - max(samples[:half]),
    }


async def _folded(folder: Path) -> list[float]:
    samples = [_resident_mb()]
    async with connected(app, folder) as system:
        folding = asyncio.create_task(system.settle(timeout_s=FOLD_TIMEOUT_S))
        while not folding.done():
            await asyncio.wait([folding], timeout=SAMPLE_S)
            samples.append(_resident_mb())
        await folding
    return samples


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


BENCHMARK = Benchmark(
    name="memory",
    about="MB resident while folding 2 million events",
    sides={"twofold": ours},
    targets=(
        Target(figure="twofold.peak_mb", at_most=150),
        Target(figure="twofold.growth_in_second_half_mb", at_most=10),
    ),
)
