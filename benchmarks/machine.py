"""Facts without which a figure means nothing."""

import os
import platform
import resource
import sqlite3
import statistics
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["Disturbance", "facts", "file_system", "peak_mb", "resident_mb"]

PACKAGES = ("twofold", "msgspec", "starlette", "uvicorn", "uvloop", "httptools", "eventsourcing", "psycopg")
FSYNCS = 200


def facts(data_folder: Path) -> Mapping[str, object]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "file_system": file_system(data_folder),
        "fdatasync_4kib_us": round(_sync_latency_us(data_folder), 1),
        "load_average": os.getloadavg(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def file_system(folder: Path) -> str:
    """The type of the file system that holds the folder, such as "ext4"."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        mount, kind = line.split()[1:3]
        if folder.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mb(pid: int) -> float:
    """The most that was ever resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/status has no VmHWM")


class Disturbance:
    """How much of the machine other processes than ours took since this was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._busy_s = _busy_s()
        self._ours_s = _ours_s()

    def share(self) -> float:
        """From 0 (we were alone) to 1 (all cores busy with others). Our children count once they have ended."""
        others_s = _busy_s() - self._busy_s - (_ours_s() - self._ours_s)
        return max(others_s, 0.0) / ((time.perf_counter() - self._started) * (os.cpu_count() or 1))


def _busy_s() -> float:
    user, nice, system, _, _, irq, soft_irq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")


def _ours_s() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sync_latency_us(folder: Path) -> float:
    """Median time of making 4 KiB durable: what one unshared commit has to wait."""
    path = folder / "fsync"
    taken: list[float] = []
    with path.open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            file.write(b"x" * 4096)
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(taken) * 1_000_000
