"""Run a command that listens on a socket, and start it anew when a Python file changes.

The socket belongs to this process and stays open meanwhile: a request that comes during a reload waits, and is answered
by the new code.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import click

__all__ = ["Lifeline", "Supervisor", "python_files"]

_LOOK_EVERY_S = 0.3
_STOP_WITHIN_S = 6.0
_MOST_SHARE = 20
"""Looking at the files takes at most one part in so many of the time, however many there are."""


def python_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Path and modification time (ns) of each *.py below the folder; hidden folders and environments are left out."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _is_watched(root, name)]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(root, name)
                try:
                    yield path, os.stat(path).st_mtime_ns
                except OSError:  # gone between being listed and being looked at
                    continue


def _is_watched(root: str, name: str) -> bool:
    if name.startswith(".") or name in ("__pycache__", "node_modules"):
        return False
    return not os.path.exists(os.path.join(root, name, "pyvenv.cfg"))


class Supervisor:
    """Keeps one child process running on the newest code, until SIGINT or SIGTERM."""

    def __init__(self, command: Sequence[str], *, inherited: Sequence[int], folder: Path) -> None:
        self._command, self._inherited, self._folder = command, inherited, folder
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        seen = self._start()
        while not self._stopping.wait(self._pause_s):
            changed = self._changed(seen)
            if changed:
                click.echo(f"{', '.join(changed)} changed: reloading", err=True)
                self._end_child()
                seen = self._start()
            elif self._child is not None and self._child.poll() is not None:
                click.echo("waiting for a change to start it again", err=True)
                self._child = None
        self._end_child()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()

    def _start(self) -> Mapping[str, int]:
        """Start the child; returns the files as they were just before."""
        seen = self._look()
        self._child = subprocess.Popen(self._command, pass_fds=self._inherited)
        return seen

    def _look(self) -> Mapping[str, int]:
        started = time.perf_counter()
        found = dict(python_files(self._folder))
        self._pause_s = max(_LOOK_EVERY_S, (time.perf_counter() - started) * _MOST_SHARE)
        return found

    def _changed(self, seen: Mapping[str, int]) -> list[str]:
        """Names of files that are new, gone or written since; at most three."""
        now = self._look()
        paths = [path for path in {**seen, **now} if seen.get(path) != now.get(path)]
        return [os.path.relpath(path, self._folder) for path in sorted(paths)[:3]]

    def _end_child(self) -> None:
        """Let the child finish what it has accepted; kill it when it takes too long."""
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            click.echo(f"the application did not stop within {_STOP_WITHIN_S:.0f} seconds and is killed", err=True)
            child.kill()
            child.wait()


class Lifeline:
    """A pipe that tells the child when its parent is gone, however it went: the child reads its end until it closes."""

    def __init__(self) -> None:
        self.child_end, self._parent_end = os.pipe()

    @staticmethod
    def hold(child_end: int) -> None:
        """In the child: stop as by SIGTERM when the parent's end closes."""

        def wait() -> None:
            os.read(child_end, 1)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="lifeline", daemon=True).start()
