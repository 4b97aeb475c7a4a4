"""Benchmarks as values, and the runner: every side of every run in a fresh process and a fresh folder.

The sides of one benchmark take turns (ours, limit, peer, ours, limit, peer …), so that a slow minute of the machine
falls on all of them; a figure is the median of its runs.
"""

import multiprocessing
import shutil
import statistics
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.machine import Disturbance

__all__ = ["Benchmark", "Job", "Outcome", "Target", "Verdict", "measure"]

SIDE_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one side of one run gets: an empty folder on a real disk, and how much work to do."""

    folder: Path
    quick: bool = False
    retail: Path | None = None

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


def measure(
    benchmark: Benchmark, *, runs: int, data_folder: Path, quick: bool, retail: Path | None, note: Callable[[str], None]
) -> Outcome:
    """All sides, `runs` times. `note` hears what runs now. A side that fails once is not run again."""
    outcome = Outcome(benchmark)
    for run in range(1, runs + 1):
        for side, work in benchmark.sides.items():
            if side in outcome.failures:
                continue
            note(f"{benchmark.name}: {side}, run {run} of {runs}")
            folder = Path(tempfile.mkdtemp(prefix=f"{benchmark.name}-{side}-", dir=data_folder))
            disturbance = Disturbance()
            try:
                _add(outcome, side, _in_child(work, Job(folder=folder, quick=quick, retail=retail)))
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


def _in_child(work: Side, job: Job) -> Mapping[str, float] | str:
    """The side's figures, or the text of what went wrong."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(work, job, sender))
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


def _child(work: Side, job: Job, sender: Connection) -> None:
    try:
        result: Mapping[str, float] | str = dict(work(job))
    except Exception:  # whatever a side raises is its result, shown in the table
        result = traceback.format_exc()
    sender.send(result)
    sender.close()
