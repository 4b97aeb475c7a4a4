"""The composition root: the only module that names adapters.

`connect` opens the stores that the settings name, and runs a system on them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from twofold.application import Application
from twofold.errors import SettingsError, StoreNotWritableError
from twofold.operations import masked
from twofold.ports import Clock, EventLog, Probe, ReadStore, RowReader, Snapshots
from twofold.runtime.lifecycle import System
from twofold.settings import DEFAULT_EVENT_LOG, Settings
from twofold.stores.memory.event_log import MemoryEventLog
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.stores.reports import StoreReport
from twofold.stores.sqlite.event_log import SCHEMA as SQLITE_EVENT_LOG
from twofold.stores.sqlite.event_log import SqliteEventLog
from twofold.stores.sqlite.inspection import SQLITE_VERSION, inspect
from twofold.stores.sqlite.read_store import SCHEMA as SQLITE_READ_STORE
from twofold.stores.sqlite.read_store import SqliteReadStore
from twofold.stores.sqlite.row_reader import SqliteRowReader

__all__ = [
    "SQLITE_VERSION",
    "Stores",
    "SystemClock",
    "at_rest",
    "connect",
    "event_log_path",
    "open_event_log",
    "open_stores",
    "read_store_path",
    "reports_on",
]

MEMORY = "memory:"
_SQLITE = "sqlite:///"


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Unobserved:
    """A probe that nobody reads."""

    def command_done(self, command: str, code: str, seconds: float) -> None: ...
    def append_done(self, commands: int, events: int, seconds: float) -> None: ...
    def query_done(self, query: str, code: str, seconds: float) -> None: ...
    def fold_done(self, read_model: str, events: int, seconds: float) -> None: ...


class Stores(NamedTuple):
    """What a system stands on. `publish` tells other processes of this user about the one that writes."""

    log: EventLog
    snapshots: Snapshots
    store: ReadStore
    reader: RowReader

    def publish(self, facts: Mapping[str, Any]) -> None:
        if isinstance(self.log, SqliteEventLog):
            self.log.publish(facts)


@asynccontextmanager
async def connect(
    app: Application,
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    probe: Probe | None = None,
) -> AsyncGenerator[System]:
    """Run the application in this process: `async with connect(app) as system: await system.send(...)`.

    Without settings they come from the environment (`TWOFOLD_EVENT_LOG` …), by default SQLite in `.twofold/`. Leaving
    the block finishes what was accepted.
    """
    async with at_rest(app, settings, clock=clock, probe=probe) as system:
        try:
            await system.start()
            yield system
        finally:
            await system.stop()


@asynccontextmanager
async def at_rest(
    app: Application, settings: Settings | None = None, *, clock: Clock | None = None, probe: Probe | None = None
) -> AsyncGenerator[System]:
    """The same system on its open stores, not started: nothing folds, and nothing is taken."""
    settings = settings.checked() if settings else Settings.from_environment(os.environ)
    async with open_stores(settings) as stores:
        yield System(
            app,
            settings,
            log=stores.log,
            snapshots=stores.snapshots,
            store=stores.store,
            reader=stores.reader,
            clock=clock or SystemClock(),
            probe=probe or Unobserved(),
            publish=stores.publish,
        )


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncGenerator[Stores]:
    """The stores that the settings name, for the one process that writes."""
    async with AsyncExitStack() as stack:
        log_path, read_path = event_log_path(settings), read_store_path(settings)
        log: MemoryEventLog | SqliteEventLog
        if log_path is None:
            log = MemoryEventLog()
        else:
            if settings.event_log == DEFAULT_EVENT_LOG:
                _make_default_folder(log_path.parent)
            log = await stack.enter_async_context(SqliteEventLog.open(log_path))
        if read_path is None:
            memory = MemoryReadStore()
            yield Stores(log, log, memory, memory)
            return
        store = await stack.enter_async_context(SqliteReadStore.at(read_path))
        reader = await stack.enter_async_context(SqliteRowReader.open(read_path))
        yield Stores(log, log, store, reader)


def _make_default_folder(folder: Path) -> None:
    """Make `.twofold`, out of version control's sight. Other folders are the user's to make."""
    try:
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        reason = f"the folder {folder.absolute()} can't be made ({error.strerror})"
        raise StoreNotWritableError("event log", reason, "make it writable, or set TWOFOLD_EVENT_LOG") from error


@asynccontextmanager
async def open_event_log(settings: Settings) -> AsyncGenerator[EventLog]:
    """The event log for reading, beside a process that may be writing it."""
    async with SqliteEventLog.open(_shared_path(settings), writable=False) as log:
        yield log


def reports_on(settings: Settings, *, deep: bool = False) -> list[StoreReport]:
    """What there is to say about event log and read store, seen from outside the process that writes them."""
    found = [inspect(_shared_path(settings), SQLITE_EVENT_LOG, deep=deep)]
    read_path = read_store_path(settings)
    return found if read_path is None else [*found, inspect(read_path, SQLITE_READ_STORE, deep=deep)]


def _shared_path(settings: Settings) -> Path:
    """The event log's file, for a process beside the one that writes it."""
    path = event_log_path(settings)
    if path is None:
        raise SettingsError("TWOFOLD_EVENT_LOG=memory: lives in one process; nothing can be read from another")
    return path


def event_log_path(settings: Settings) -> Path | None:
    """The event log's file; None for one in memory."""
    return _path("TWOFOLD_EVENT_LOG", settings.event_log)


def read_store_path(settings: Settings) -> Path | None:
    """The read store's file, by default beside the event log's; None for one in memory."""
    if settings.read_store:
        return _path("TWOFOLD_READ_STORE", settings.read_store)
    log = event_log_path(settings)
    return None if log is None else log.with_suffix(".read.db")


def _path(variable: str, url: str) -> Path | None:
    if url == MEMORY:
        return None
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return Path(url.removeprefix(_SQLITE))
    raise SettingsError(
        f"{variable}={masked(url)!r}: no store; give sqlite:///file.db (sqlite:////folder/file.db) or memory:"
    )
