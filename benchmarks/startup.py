"""What a command line costs before it does anything: `twofold --help`, `import twofold`."""

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness import Benchmark, Job, Target

__all__ = ["BENCHMARK"]

TIMES = 15
IMPORT = "import time; started = time.perf_counter(); import {module}; print((time.perf_counter() - started) * 1000)"


def ours(job: Job) -> Mapping[str, float]:
    return {
        "help_ms": _process_ms([str(Path(sys.executable).with_name("twofold")), "--help"]),
        "import_ms": _import_ms("twofold"),
    }


def limit(job: Job) -> Mapping[str, float]:
    return {"nothing_ms": _process_ms([sys.executable, "-c", "pass"]), "import_msgspec_ms": _import_ms("msgspec")}


def peer(job: Job) -> Mapping[str, float]:
    return {"import_ms": _import_ms("eventsourcing.application")}


def _process_ms(command: Sequence[str]) -> float:
    taken: list[float] = []
    for _ in range(TIMES):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def _import_ms(module: str) -> float:
    command = [sys.executable, "-c", IMPORT.format(module=module)]
    return statistics.median(float(subprocess.check_output(command)) for _ in range(TIMES))


BENCHMARK = Benchmark(
    name="startup",
    about="milliseconds before the first line of work, files in the page cache",
    sides={"twofold": ours, "python": limit, "eventsourcing": peer},
    targets=(Target(figure="twofold.help_ms", at_most=150), Target(figure="twofold.import_ms", at_most=80)),
)
