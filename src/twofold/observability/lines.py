"""Log lines that come by the thousand, one per request and one per batch: cheap values of a fixed form.

They are kept for the rest of the event loop's turn, then encoded and written together. structlog's way of a line,
through processors, formatter and handler, costs ten times as much: right for what is rare, and for a terminal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from twofold.errors import TwofoldError
from twofold.messages import RawEvent
from twofold.ports import Appended, Commit, Outcome, Share

__all__ = ["LINES", "SLOW_S", "AppendLine", "BatchLines", "FoldLine", "Line", "Lines", "RequestLine"]

SLOW_S = 1.0
"""A batch that takes longer is a warning; others are for debugging, since metrics tell how they are as a whole."""

_LEVELS: Mapping[str, int] = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class Line(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What every line has; `event` says which kind it is. Fields at their defaults are left out."""

    level: str
    logger: str
    timestamp: datetime


class RequestLine(Line, tag_field="event", tag="request", kw_only=True):
    """A request over HTTP that was answered. `code` is "ok" or the problem's, `duration_ms` until the answer was made.

    `causation_id` and `trace_id` are there when the request brought them (the latter also when traces are on),
    `position` when the answer names one.
    """

    method: str
    path: str
    status: int
    code: str
    duration_ms: float
    correlation_id: str
    causation_id: str = ""
    trace_id: str = ""
    position: int = 0


class AppendLine(Line, tag_field="event", tag="append", kw_only=True):
    """Commands that were appended together. `code` is "ok", or the error's by which none was."""

    commands: int
    events: int
    first_position: int = 0
    last_position: int = 0
    code: str
    duration_ms: float


class FoldLine(Line, tag_field="event", tag="fold", kw_only=True):
    """A page of events that was folded into partitions of a read model."""

    read_model: str
    partitions: list[int]
    events: int
    first_position: int
    last_position: int
    duration_ms: float


LINES: Sequence[type[Line]] = (RequestLine, AppendLine, FoldLine)
"""Every kind of line."""


class Lines:
    """Where lines go: `write` gets those of one turn of the event loop together.

    `least` is the level below which nothing is written, as `logging` counts. `requests` says whether requests are
    written at all.
    """

    def __init__(self, write: Callable[[Sequence[Line]], None], *, least: int, requests: bool) -> None:
        self._write, self.requests = write, requests
        self._wanted = {level for level, number in _LEVELS.items() if number >= least}
        self._waiting: list[Line] = []

    def wants(self, level: str) -> bool:
        return level in self._wanted

    def add(self, line: Line) -> None:
        """Write it in this turn of the running event loop."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(line)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._write(waiting)


class BatchLines:
    """A probe that writes a line for every batch."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def append_done(
        self, commits: Sequence[Commit], outcomes: Sequence[Outcome] | TwofoldError, seconds: float
    ) -> None:
        level = _level(seconds)
        if not self._lines.wants(level):
            return
        failed = isinstance(outcomes, TwofoldError)
        done = () if failed else zip(commits, outcomes, strict=True)
        spans = [(each.position, len(commit.events)) for commit, each in done if isinstance(each, Appended)]
        written = [(position, count) for position, count in spans if count]
        self._lines.add(
            AppendLine(
                level=level,
                logger="twofold.commands",
                timestamp=datetime.now(UTC),
                commands=len(commits),
                events=sum(count for _, count in written),
                first_position=min((position - count + 1 for position, count in written), default=0),
                last_position=max((position for position, _ in written), default=0),
                code=outcomes.code if isinstance(outcomes, TwofoldError) else "ok",
                duration_ms=milliseconds(seconds),
            )
        )

    def fold_done(self, read_model: str, page: Sequence[RawEvent], shares: Sequence[Share], seconds: float) -> None:
        level = _level(seconds)
        if not self._lines.wants(level):
            return
        self._lines.add(
            FoldLine(
                level=level,
                logger="twofold.projector",
                timestamp=datetime.now(UTC),
                read_model=read_model,
                partitions=[share.partition for share in shares],
                events=len(page),
                first_position=page[0].position,
                last_position=page[-1].position,
                duration_ms=milliseconds(seconds),
            )
        )


def milliseconds(seconds: float) -> float:
    """To the microsecond, which is what a reader can use."""
    return round(seconds * 1e3, 3)


def _level(seconds: float) -> str:
    return "warning" if seconds > SLOW_S else "debug"
