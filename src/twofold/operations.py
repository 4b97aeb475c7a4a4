"""What an operator may ask of a system and do to it. The command line, HTTP and the console call these.

Some work on a running System, others on what it stands on, since an operator asks most when nothing runs. All of them
return plain values.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from twofold.errors import TwofoldError, UnknownStreamError
from twofold.messages import RawEvent, utc
from twofold.ports import Checkpoint, EventLog
from twofold.runtime.lifecycle import System
from twofold.settings import Settings, variable_of
from twofold.stores.reports import StoreReport
from twofold.streams import START, Position, StreamId

__all__ = [
    "EventLine",
    "Finding",
    "Operations",
    "ReadModelStatus",
    "Rebuild",
    "count_by_type",
    "event_line",
    "events_after",
    "events_of",
    "findings_about_checkpoints",
    "findings_about_clock",
    "findings_about_settings",
    "findings_about_store",
    "findings_about_versions",
    "masked",
    "rebuild_at_rest",
    "stored_read_models",
]

_PAGE_SIZE = 2_000
_LOOK_AGAIN_S = 1.0

logger = structlog.get_logger("twofold.operations")

# --- events ----------------------------------------------------------------------------------------------------------


class EventLine(msgspec.Struct, frozen=True, gc=False):
    """An event as operators see it: data and metadata are the stored JSON, untouched; the time is UTC."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: str
    data: msgspec.Raw
    metadata: msgspec.Raw


def event_line(stored: RawEvent) -> EventLine:
    return EventLine(
        stored.position,
        stored.stream,
        stored.version,
        stored.type,
        utc(stored.recorded_at_us).isoformat(timespec="microseconds"),
        msgspec.Raw(stored.data),
        msgspec.Raw(stored.metadata),
    )


async def events_after(
    log: EventLog, after: int = START, *, limit: int | None = None, follow: bool = False
) -> AsyncIterator[Sequence[RawEvent]]:
    """The log's events behind a position, in pages: at most `limit` in all, to the head or, following, for ever."""
    position = Position(after)
    left = limit
    while left is None or left > 0:
        page = await log.read(position, _PAGE_SIZE if left is None else min(left, _PAGE_SIZE))
        if page:
            yield page
            position = page[-1].position
            left = None if left is None else left - len(page)
        elif follow:
            await log.wait(position, _LOOK_AGAIN_S)
        else:
            return


async def events_of(log: EventLog, stream: StreamId) -> AsyncIterator[Sequence[RawEvent]]:
    """A stream's events in pages; UnknownStreamError when it has none."""
    version = 0
    while page := (await log.read_streams([(stream, version)], _PAGE_SIZE))[0]:
        yield page
        version = page[-1].version
    if not version:
        raise UnknownStreamError(str(stream), "the stream has no events", "check the category and the key")


async def count_by_type(log: EventLog, on_progress: Callable[[int], None] = lambda position: None) -> dict[str, int]:
    """How many events of each type the log holds, most first. `on_progress(position)` is called after every page."""
    counted: Counter[str] = Counter()
    async for page in events_after(log):
        counted.update([stored.type for stored in page])
        on_progress(page[-1].position)
    return dict(counted.most_common())


# --- read models -----------------------------------------------------------------------------------------------------


class Rebuild(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A rebuild that was asked for in this process, under way or over. `state` is "running", "done" or "failed"."""

    state: str
    position: int = 0
    head: int = 0
    error: str = ""

    def moved_to(self, position: int, head: int) -> None:
        self.position, self.head = position, head


class ReadModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a read model stands. `lag_s` is the age of its oldest event that is not folded, 0 when there is none.

    `state` is "running", "rebuilding", "paused" or "failed" (then `error` says why), or "stopped" when nothing runs.
    """

    name: str
    checkpoint: int
    head: int
    lag_events: int
    lag_s: float
    state: str
    partitions: int = 1
    error: str | msgspec.UnsetType = msgspec.UNSET
    rebuild: Rebuild | msgspec.UnsetType = msgspec.UNSET


class Operations:
    """What may be asked of a running system and done to it."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._rebuilds: dict[str, Rebuild] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def read_models(self) -> list[ReadModelStatus]:
        """Every read model of the application, in the order of its declaration."""
        log, now = self._system.log, self._system.clock.now()
        head = await log.head()
        return [await self._status(name, head, now) for name in self._system.projectors]

    async def _status(self, name: str, head: int, now: datetime) -> ReadModelStatus:
        progress, asked = self._system.projector(name).progress, self._rebuilds.get(name)
        rebuilding = asked is not None and asked.state == "running"
        return ReadModelStatus(
            name=name,
            checkpoint=progress.position,
            head=max(head, progress.position),
            lag_events=max(0, head - progress.position),
            lag_s=await _lag_s(self._system.log, progress.position, head, now),
            state="rebuilding" if rebuilding else progress.state,
            error=progress.error or msgspec.UNSET,
            rebuild=asked or msgspec.UNSET,
        )

    def start_rebuild(self, name: str) -> Rebuild:
        """Begin to fold the read model anew beside the live one, or return the rebuild that is under way.

        UnknownReadModelError when the application has no such read model. `read_models` shows the progress.
        """
        projector = self._system.projector(name)
        asked = self._rebuilds.get(name)
        if asked is not None and asked.state == "running":
            return asked
        if projector.progress.state == "rebuilding":  # begun by the system itself: the code had changed
            return Rebuild(state="running", position=projector.progress.position)
        rebuild = self._rebuilds[name] = Rebuild(state="running")
        task = asyncio.create_task(self._rebuild(name, rebuild), name=f"rebuild {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return rebuild

    async def _rebuild(self, name: str, rebuild: Rebuild) -> None:
        try:
            rebuild.position = await self._system.rebuild(name, rebuild.moved_to)
            rebuild.head = max(rebuild.head, rebuild.position)
        except TwofoldError as error:
            rebuild.state, rebuild.error = "failed", str(error)
        except Exception as error:
            rebuild.state, rebuild.error = "failed", f"{type(error).__name__}: {error}"
            logger.exception("rebuild-failed", read_model=name)
        else:
            rebuild.state = "done"

    async def close(self) -> None:
        """Give up the rebuilds that are under way: the rows stay as they are. Call it before the system stops."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for rebuild in self._rebuilds.values():
            if rebuild.state == "running":
                rebuild.state, rebuild.error = "failed", "the process is stopping"

    async def pause(self, name: str) -> None:
        """Let the read model stand still, also over a restart. UnknownReadModelError when there is none such."""
        self._system.projector(name)
        await self._system.pause(name)

    async def resume(self, name: str) -> None:
        """Let the read model go on. UnknownReadModelError when there is none such."""
        self._system.projector(name)
        await self._system.resume(name)


async def rebuild_at_rest(system: System, name: str, on_progress: Callable[[int, int], None]) -> int:
    """Rebuild a read model of a system that is not started; returns the position reached."""
    await system.projector(name).open()
    return await system.rebuild(name, on_progress)


async def stored_read_models(
    names: Sequence[str], checkpoints: Mapping[str, Checkpoint], log: EventLog, now: datetime, *, state: str
) -> list[ReadModelStatus]:
    """How the read models stand in the stores, for when no running process can be asked; `state` unless paused."""
    head = await log.head()
    found: list[ReadModelStatus] = []
    for name in names:
        checkpoint = checkpoints.get(name)
        position = checkpoint.position if checkpoint else START
        found.append(
            ReadModelStatus(
                name=name,
                checkpoint=position,
                head=head,
                lag_events=max(0, head - position),
                lag_s=await _lag_s(log, position, head, now),
                state="paused" if checkpoint and checkpoint.paused else state,
            )
        )
    return found


async def _lag_s(log: EventLog, position: Position, head: int, now: datetime) -> float:
    if position >= head:
        return 0.0
    page = await log.read(position, 1)
    return max(0.0, round((now - utc(page[0].recorded_at_us)).total_seconds(), 3)) if page else 0.0


# --- what is wrong, and how to mend it -------------------------------------------------------------------------------


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `status` is "ok", "warn" or "fail"; `mend` says what to do, "" when ok."""

    status: str
    subject: str
    text: str
    mend: str = ""


_LOW_DISK_BYTES = 1_000_000_000
_FULL_DISK_BYTES = 50_000_000
_SAFE_SQLITE = (3, 51, 3)
_CLOCK_MAY_DIFFER_S = 5.0
_PASSWORD = re.compile(r"(?<=://)(?P<user>[^/@:]*):[^/@]*(?=@)")


def masked(text: str) -> str:
    """The text as it may be shown: the password of a URL in it becomes stars."""
    return _PASSWORD.sub(r"\g<user>:***", text)


def findings_about_settings(settings: Settings) -> list[Finding]:
    """The settings that are not at their defaults, without secrets."""
    defaults = Settings()
    texts = [
        f"{variable_of(each.name)}={masked(str(getattr(settings, each.name)))}"
        for each in dataclasses.fields(Settings)
        if getattr(settings, each.name) != getattr(defaults, each.name)
    ]
    return [_ok("settings", text) for text in texts or ["all at their defaults"]]


def findings_about_versions(twofold: str, python: str, sqlite: str) -> list[Finding]:
    found = [_ok("versions", f"Twofold {twofold}, Python {python}, SQLite {sqlite}")]
    if tuple(int(part) for part in re.findall(r"\d+", sqlite)) < _SAFE_SQLITE:
        text = "before 3.51.3 SQLite may lose pages under two writers (the WAL-reset bug): covered by the single writer"
        found.append(_ok("versions", text))
    return found


def findings_about_store(report: StoreReport) -> list[Finding]:
    """What is well and what is not with a store, each with its cure."""
    found = [_file(report), _disk(report)]
    if report.schema is not None:
        found += [_schema(report), _whole(report)]
    if report.gap:
        found.append(_fail(report.label, report.gap, "restore the event log from a backup"))
    if report.holder is not None:
        where = f" at {report.holder['url']}" if "url" in report.holder else ""
        found.append(_ok(report.label, f"process {report.holder.get('pid', 'unknown')} writes it{where}"))
    return found


def findings_about_checkpoints(names: Sequence[str], checkpoints: Mapping[str, Checkpoint], head: int) -> list[Finding]:
    """Whether the read models belong to this event log: none may know more than it."""
    found: list[Finding] = []
    for name in names:
        checkpoint = checkpoints.get(name)
        if checkpoint is None:
            found.append(_ok(name, "not folded yet; a service will"))
        elif checkpoint.position > head:
            text = f"stands at position {checkpoint.position}, the event log ends at {head}"
            cure = "they belong to different histories: restore the log, or delete the read store to fold it anew"
            found.append(_fail(name, text, cure))
        elif checkpoint.paused:
            text = f"paused at position {checkpoint.position} of {head}"
            found.append(_warn(name, text, f'run "twofold read-models resume {name}"'))
        else:
            found.append(_ok(name, f"at position {checkpoint.position} of {head}"))
    return found


async def findings_about_clock(log: EventLog, now: datetime) -> list[Finding]:
    """Whether this machine's clock stands behind what the log has recorded."""
    head = await log.head()
    page = await log.read(Position(head - 1), 1) if head else ()
    ahead_s = (utc(page[0].recorded_at_us) - now).total_seconds() if page else 0.0
    if ahead_s > _CLOCK_MAY_DIFFER_S:
        text = f"the last event was recorded {ahead_s:.0f} seconds after now ({now.isoformat()})"
        return [_warn("clock", text, "set the machine's clock by NTP; order does not depend on it, recorded times do")]
    return [_ok("clock", now.isoformat(timespec="seconds"))]


def _ok(subject: str, text: str) -> Finding:
    return Finding(status="ok", subject=subject, text=text)


def _warn(subject: str, text: str, mend: str) -> Finding:
    return Finding(status="warn", subject=subject, text=text, mend=mend)


def _fail(subject: str, text: str, mend: str) -> Finding:
    return Finding(status="fail", subject=subject, text=text, mend=mend)


def _file(report: StoreReport) -> Finding:
    if report.error:
        return _fail(report.label, report.error, "restore it from a backup, or name another file")
    if not report.writable:
        text = f"{report.place} can't be written"
        return _fail(report.label, text, "make the file and its folder writable for this user")
    if not report.exists:
        return _ok(report.label, f"{report.place} is not there yet; a service makes it")
    return _ok(report.label, f"{report.place}, {report.size_bytes:,} bytes")


def _disk(report: StoreReport) -> Finding:
    text, mend = f"{report.free_bytes:,} bytes free on its disk", "make room on the disk, or move the store"
    if report.free_bytes < _FULL_DISK_BYTES:
        return _fail(report.label, text, mend)
    if report.free_bytes < _LOW_DISK_BYTES:
        return _warn(report.label, text, mend)
    return _ok(report.label, text)


def _schema(report: StoreReport) -> Finding:
    text, found = f"schema {report.schema}: {report.state}", report.schema or 0
    if found == report.known_schema:
        return _ok(report.label, text)
    if found < report.known_schema:
        return _warn(report.label, text, 'run "twofold schema migrate"')
    return _fail(report.label, text, "run the release that wrote it, or a newer one")


def _whole(report: StoreReport) -> Finding:
    if not report.damage:
        return _ok(report.label, "its check finds no damage")
    text = f"damaged: {'; '.join(report.damage)}"
    return _fail(report.label, text, "stop the service and restore the file from a backup")
