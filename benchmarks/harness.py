"""Benchmarks as values, and the runner: every side of every run in a fresh process and a fresh folder.

The sides of one benchmark take turns (ours, limit, peer, ours, limit, peer …), so that a slow minute of the machine
falls on all of them; a figure is the median of its runs.
"""

import logging
import multiprocessing
import shutil
import statistics
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import structlog

from benchmarks.machine import Disturbance

__all__ = ["Benchmark", "Job", "Outcome", "Target", "Verdict", "in_child", "measure"]

SIDE_TIMEOUT_S = 900.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one side of one run gets: an empty folder on a real disk, and how much work to do.

    `retail` is the UCI Online Retail file if there is one, `postgres` the major version of PostgreSQL.
    """

    folder: Path
    quick: bool = False
    retail: Path | None = None
    postgres: str = "18"

    def scaled(self, count: int) -> int:
        """The full count, or a tenth of it for a quick look."""
        return max(count // 10, 1) if self.quick else count


Side = Callable[[Job], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound on a figure ("twofold.commands_per_s"), or on its ratio to another figure (`of`)."""

    figure: str
    of: str | None = None
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One piece of work and everybody who does it. A side's figures carry their unit in the name."""

    name: str
    about: str
    sides: Mapping[str, Side]
    targets: Sequence[Target] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    target: Target
    value: float | None

    @property
    def ok(self) -> bool:
        if self.value is None:
            return False
        low, high = self.target.at_least, self.target.at_most
        return (low is None or self.value >= low) and (high is None or self.value <= high)


@dataclass(slots=True)
class Outcome:
    """Figures by "side.figure", one value per run; the sides that failed, with their traceback; and by side, the
    largest share of the machine that other processes took while it ran."""

    benchmark: Benchmark
    runs: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    disturbed: dict[str, float] = field(default_factory=dict)

    def median(self, figure: str) -> float | None:
        values = self.runs.get(figure)
        return statistics.median(values) if values else None

    def verdicts(self) -> Iterator[Verdict]:
        for target in self.benchmark.targets:
            value = self.median(target.figure)
            if target.of is not None:
                divisor = self.median(target.of)
                value = value / divisor if value is not None and divisor else None
            yield Verdict(target=target, value=value)


def measure(benchmark: Benchmark, job: Job, *, runs: int, note: Callable[[str], None]) -> Outcome:
    """All sides, `runs` times, each in a folder of its own below the job's. `note` hears what runs now.

    A side that fails once is not run again.
    """
    outcome = Outcome(benchmark)
    for run in range(1, runs + 1):
        for side, work in benchmark.sides.items():
            if side in outcome.failures:
                continue
            note(f"{benchmark.name}: {side}, run {run} of {runs}")
            folder = Path(tempfile.mkdtemp(prefix=f"{benchmark.name}-{side}-", dir=job.folder))
            disturbance = Disturbance()
            try:
                _add(outcome, side, in_child(work, replace(job, folder=folder)))
                outcome.disturbed[side] = max(outcome.disturbed.get(side, 0.0), disturbance.share())
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _add(outcome: Outcome, side: str, result: Mapping[str, float] | str) -> None:
    if isinstance(result, str):
        outcome.failures[side] = result
        return
    for figure, value in result.items():
        outcome.runs.setdefault(f"{side}.{figure}", []).append(value)


def in_child(work: Callable[..., T], *arguments: object) -> T | str:
    """What the work returns in a fresh process of its own, or the text of what went wrong."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(work, arguments, sender))
    child.start()
    sender.close()
    try:
        if not receiver.poll(SIDE_TIMEOUT_S):
            return f"no result within {SIDE_TIMEOUT_S} s"
        return receiver.recv()
    except EOFError:
        child.join()
        return f"the process ended with exit code {child.exitcode}"
    finally:
        child.terminate()
        child.join()


def _child(work: Callable[..., object], arguments: tuple[object, ...], sender: Connection) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        result = work(*arguments)
    except Exception:  # whatever a side raises is its result, shown in the table
        result = traceback.format_exc()
    sender.send(result)
    sender.close()
