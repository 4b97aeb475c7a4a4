"""The composition root: the only module that names adapters.

`connect` opens the stores that the settings name, and runs a system on them. Adapters that need a driver of their own
are imported when a setting names them, so that nobody needs what they don't use.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from twofold.application import Application
from twofold.errors import SettingsError, StoreNotWritableError, TwofoldError
from twofold.messages import RawEvent
from twofold.observability.probes import Probes
from twofold.ports import (
    Checkpoint,
    Clock,
    Commit,
    EventLog,
    Leases,
    Outcome,
    Probe,
    ReadStore,
    RowReader,
    Share,
    Snapshots,
    Tracer,
)
from twofold.runtime.lifecycle import Stores, System
from twofold.settings import DEFAULT_EVENT_LOG, Place, Role, Settings, StoreKind
from twofold.stores.memory.event_log import MemoryEventLog
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.stores.reports import ServerReport, StoreReport
from twofold.stores.sqlite.event_log import SCHEMA as SQLITE_EVENT_LOG
from twofold.stores.sqlite.event_log import SqliteEventLog
from twofold.stores.sqlite.inspection import SQLITE_VERSION, inspect
from twofold.stores.sqlite.read_store import SCHEMA as SQLITE_READ_STORE
from twofold.stores.sqlite.read_store import SqliteReadStore
from twofold.stores.sqlite.row_reader import SqliteRowReader

if TYPE_CHECKING:
    from twofold.stores.postgres.schema import Schema

__all__ = [
    "SQLITE_VERSION",
    "SystemClock",
    "at_rest",
    "check_places",
    "connect",
    "holder_of",
    "included_part",
    "make_roles",
    "migrate",
    "open_event_log",
    "open_read_store",
    "open_stores",
    "reports_on",
    "roles_script",
    "servers_of",
    "stored_checkpoints",
]

OPERATOR = "operator"
"""Who opens stores for a command of `twofold` and not for a service: PostgreSQL shows it as `twofold operator …`."""


_STANDARD_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

logger = structlog.get_logger("twofold.system")


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Unobserved:
    """A probe that nobody reads."""

    def command_done(self, command: str, code: str, seconds: float) -> None: ...
    def append_done(
        self, commits: Sequence[Commit], outcomes: Sequence[Outcome] | TwofoldError, seconds: float
    ) -> None: ...
    def query_done(self, query: str, code: str, seconds: float) -> None: ...
    def fold_done(self, read_model: str, page: Sequence[RawEvent], shares: Sequence[Share], seconds: float) -> None: ...


class _Log(EventLog, Snapshots, Protocol):
    """What keeps events keeps snapshots of aggregates too."""


class _Store(ReadStore, Leases, Protocol):
    """What keeps read models shares them out too."""


# --- a system on its stores ------------------------------------------------------------------------------------------


@asynccontextmanager
async def connect(
    app: Application,
    settings: Settings | None = None,
    *,
    role: Role = Role.ALL,
    strict: bool = False,
    clock: Clock | None = None,
    probe: Probe | None = None,
    tracer: Tracer | None = None,
) -> AsyncGenerator[System]:
    """Run the application in this process: `async with connect(app) as system: await system.send(...)`.

    Without settings they come from the environment (`TWOFOLD_EVENT_LOG` …), by default SQLite in `.twofold/`. A role
    other than ALL needs PostgreSQL; with `strict`, as `twofold serve` has it, also a user there that can't change
    events. With `TWOFOLD_INCLUDE` only the components that it names run. Leaving the block finishes what was accepted.

    Without a `tracer`, traces are sent where the setting or the standard OTEL_* variables say, if they do.
    """
    settings = settings.checked() if settings else Settings.from_environment(os.environ)
    app = included_part(app, settings, role)
    caller = role if strict or role is Role.ALL else f"embedded-{role}"
    async with _tracing(app, settings, role, tracer) as tracer, open_stores(settings, role, caller=caller) as stores:
        system = _system(app, settings, stores, role, clock=clock, probe=probe, tracer=tracer)
        try:
            await system.start()
            yield system
        finally:
            await system.stop()


@asynccontextmanager
async def at_rest(app: Application, settings: Settings) -> AsyncGenerator[System]:
    """A system in an operator's hand, not started: nothing folds by itself, and nothing is taken.

    It has what it needs to fold and to compare. On PostgreSQL it appends nothing, and needs no rights to do so.
    """
    kinds = {settings.event_log_at.kind, settings.read_store_at.kind}
    role = Role.PROJECTOR if kinds == {StoreKind.POSTGRES} else Role.ALL
    async with open_stores(settings, role, caller=OPERATOR) as stores:
        yield _system(app, settings, stores, role)


def included_part(app: Application, settings: Settings, role: Role) -> Application:
    """The part of the application that the settings include: all of it unless they name something.

    SettingsError for a name that is nothing that this role does.
    """
    names, nameable = settings.included, _nameable(app, role)
    for name in names:
        if name not in nameable:
            known = ", ".join(dict.fromkeys(nameable)) or "nothing"
            raise SettingsError(
                f"TWOFOLD_INCLUDE={settings.include!r}: the role {role} of {app.name} has nothing named {name!r}; "
                f"nothing was started (there is {known})"
            )
    return app.only(names) if names else app


def _nameable(app: Application, role: Role) -> list[str]:
    """What a service of the role may be told to include, by class names and stored names."""
    names = [each.cls.__name__ for each in app.aggregates.values()] + [*app.aggregates] if role.decides else []
    names += [*app.queries] if role.answers else []
    return [*names, *app.read_models] if role.folds or role.answers else names


def _system(
    app: Application,
    settings: Settings,
    stores: Stores,
    role: Role,
    *,
    clock: Clock | None = None,
    probe: Probe | None = None,
    tracer: Tracer | None = None,
) -> System:
    log, probe = stores.log, probe or Unobserved()
    return System(
        app,
        settings,
        stores,
        role=role,
        clock=clock or SystemClock(),
        probe=Probes(probe, tracer) if tracer is not None else probe,
        holder=_holder(),
        publish=log.publish if isinstance(log, SqliteEventLog) else lambda facts: None,
        tracer=tracer,
    )


@asynccontextmanager
async def _tracing(
    app: Application, settings: Settings, role: Role, given: Tracer | None
) -> AsyncGenerator[Tracer | None]:
    """The tracer that is given, or one that sends spans where the setting or the standard variables say, or none.

    A variable that is there for every program on a machine must not keep a service from starting; a setting must.
    """
    wanted_by = _wanted_by(settings, os.environ) if given is None else ""
    exported = _exporter(wanted_by, settings) if wanted_by else None
    if exported is None:
        yield given
        return
    service = app.name if role is Role.ALL else f"{app.name}-{role}"
    async with exported(settings.otlp_endpoint, service) as tracer:
        yield tracer


def _exporter(wanted_by: str, settings: Settings) -> Callable[[str, str], AbstractAsyncContextManager[Tracer]] | None:
    """What makes a tracer, if OpenTelemetry is installed."""
    try:
        from twofold.observability.traces import exported
    except ImportError as error:
        reason = f"{wanted_by} asks for traces, and OpenTelemetry can't be loaded ({error})"
        remedy = "pip install 'twofold[otel]'"
        if settings.otlp_endpoint:
            raise SettingsError(f"{reason}; nothing was started (run: {remedy})") from None
        logger.warning("no-traces", reason=reason, remedy=remedy)
        return None
    return exported


def _wanted_by(settings: Settings, environ: Mapping[str, str]) -> str:
    """The variable that asks for traces; "" when none does, or when the standard ones turn them off."""
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    if off:
        return ""
    if settings.otlp_endpoint:
        return "TWOFOLD_OTLP_ENDPOINT"
    return next((name for name in _STANDARD_ENDPOINTS if environ.get(name)), "")


def _holder() -> str:
    """A name for this process among those that share work: where it is, and no other's, also not a former one's."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@asynccontextmanager
async def open_stores(settings: Settings, role: Role = Role.ALL, *, caller: str = "") -> AsyncGenerator[Stores]:
    """Those of the stores that the settings name which the role needs; a SQLite file only for one process at a time.

    `caller` is who opens them, by default a service of the role. An OPERATOR may have more rights than a service may,
    and can always read rows.

    SettingsError when a role of its own is to work on stores that live in one process.
    """
    check_places(settings, role)
    caller = caller or role
    async with AsyncExitStack() as stack:
        log: _Log | None = None
        store: _Store | None = None
        reader: RowReader | None = None
        if role.sees_log:
            log = await stack.enter_async_context(_event_log(settings, caller, writable=role.decides))
        if role.folds:
            store = await stack.enter_async_context(_read_store(settings, caller))
        if role.answers or caller == OPERATOR:
            reader = await stack.enter_async_context(_row_reader(settings, caller, store))
        shared = (role.folds or role.answers) and settings.read_store_at.kind is StoreKind.POSTGRES
        yield Stores(log, log if role.decides else None, store, store, reader, shared)


def check_places(settings: Settings, role: Role) -> None:
    """SettingsError when a role of its own is to work on stores that live in one process."""
    if role is Role.ALL:
        return
    needed = [("TWOFOLD_EVENT_LOG", settings.event_log_at)] if role.sees_log else []
    if role.sees_rows:
        needed.append(("TWOFOLD_READ_STORE", settings.read_store_at))
    for variable, place in needed:
        if place.kind is not StoreKind.POSTGRES:
            raise SettingsError(
                f"{variable} is {place}, which serves one process; nothing was started (the role {role} needs "
                f"PostgreSQL: set {variable}=postgresql://user@host/database, or run the role {Role.ALL})"
            )


# --- the adapters ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _event_log(settings: Settings, caller: str, *, writable: bool = True) -> AsyncGenerator[_Log]:
    place = settings.event_log_at
    match place.kind:
        case StoreKind.MEMORY:
            yield MemoryEventLog()
        case StoreKind.SQLITE:
            if settings.event_log == DEFAULT_EVENT_LOG:
                _make_default_folder(place.path.parent)
            async with SqliteEventLog.open(place.path) as log:
                yield log
        case StoreKind.POSTGRES:
            with _driver("TWOFOLD_EVENT_LOG"):
                from twofold.stores.postgres.event_log import PostgresEventLog
            async with PostgresEventLog.open(place.url, settings=settings, role=caller, writable=writable) as log:
                yield log


@asynccontextmanager
async def _read_store(settings: Settings, caller: str) -> AsyncGenerator[_Store]:
    place = settings.read_store_at
    match place.kind:
        case StoreKind.MEMORY:
            yield MemoryReadStore()
        case StoreKind.SQLITE:
            async with SqliteReadStore.at(place.path) as store:
                yield store
        case StoreKind.POSTGRES:
            with _driver("TWOFOLD_READ_STORE"):
                from twofold.stores.postgres.read_store import PostgresReadStore
            async with PostgresReadStore.at(place.url, settings=settings, role=caller) as store:
                yield store


@asynccontextmanager
async def _row_reader(settings: Settings, caller: str, store: _Store | None) -> AsyncGenerator[RowReader]:
    place = settings.read_store_at
    match place.kind:
        case StoreKind.MEMORY:
            assert isinstance(store, MemoryReadStore)
            yield store
        case StoreKind.SQLITE:
            beside = store if isinstance(store, SqliteReadStore) else None
            async with SqliteRowReader.open(place.path, beside=beside) as reader:
                yield reader
        case StoreKind.POSTGRES:
            with _driver("TWOFOLD_READ_STORE"):
                from twofold.stores.postgres.row_reader import PostgresRowReader
            async with PostgresRowReader.open(place.url, settings=settings, role=caller) as reader:
                yield reader


@contextmanager
def _driver(variable: str) -> Generator[None]:
    """SettingsError when what an import needs is not installed."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "twofold":
            raise
        raise SettingsError(
            f"{variable} names PostgreSQL, whose driver can't be loaded ({error}); nothing was started "
            "(run: pip install 'twofold[postgres]')"
        ) from None


def _make_default_folder(folder: Path) -> None:
    """Make `.twofold`, out of version control's sight. Other folders are the user's to make."""
    try:
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        reason = f"the folder {folder.absolute()} can't be made ({error.strerror})"
        raise StoreNotWritableError("event log", reason, "make it writable, or set TWOFOLD_EVENT_LOG") from error


# --- beside the processes that work ----------------------------------------------------------------------------------


@asynccontextmanager
async def open_event_log(settings: Settings) -> AsyncGenerator[EventLog]:
    """The event log for reading, beside processes that may be writing it."""
    place = _seen_from_outside(settings)
    if place.kind is StoreKind.POSTGRES:
        with _driver("TWOFOLD_EVENT_LOG"):
            from twofold.stores.postgres.event_log import PostgresEventLog
        async with PostgresEventLog.open(place.url, settings=settings, role=OPERATOR, writable=False) as log:
            yield log
        return
    async with SqliteEventLog.open(place.path, writable=False) as log:
        yield log


@asynccontextmanager
async def open_read_store(settings: Settings) -> AsyncGenerator[ReadStore]:
    """The read store for an operator's hand; a SQLite file only when no process works on it."""
    async with _read_store(settings, OPERATOR) as store:
        yield store


def holder_of(settings: Settings) -> Mapping[str, Any] | None:
    """What the one process says of itself that has the event log for itself; None when there is none such."""
    place = _seen_from_outside(settings)
    return inspect(place.path, SQLITE_EVENT_LOG).holder if place.kind is StoreKind.SQLITE else None


async def stored_checkpoints(settings: Settings) -> Mapping[str, Checkpoint]:
    """Of all read models, beside the processes that fold them."""
    place = settings.read_store_at
    if place.kind is StoreKind.POSTGRES:
        async with _row_reader(settings, OPERATOR, None) as reader:
            return await reader.checkpoints()
    return {} if place.kind is StoreKind.MEMORY else inspect(place.path, SQLITE_READ_STORE).checkpoints


async def reports_on(settings: Settings, role: Role = Role.ALL, *, deep: bool = False) -> list[StoreReport]:
    """What there is to say about the role's stores, seen from outside the processes that work on them."""
    found: list[StoreReport] = []
    if role.sees_log:
        found.append(await _report_on_log(settings, deep=deep))
    read_store = settings.read_store_at
    if role.sees_rows and read_store.kind is StoreKind.POSTGRES:
        found.append(await _postgres_read_store().inspect(read_store.url, settings))
    elif role.sees_rows and read_store.kind is StoreKind.SQLITE:
        found.append(inspect(read_store.path, SQLITE_READ_STORE, deep=deep))
    return found


async def _report_on_log(settings: Settings, *, deep: bool) -> StoreReport:
    log = _seen_from_outside(settings)
    if log.kind is not StoreKind.POSTGRES:
        return inspect(log.path, SQLITE_EVENT_LOG, deep=deep)
    report = await _postgres_event_log().inspect(log.url, settings)
    gap = await _gap_in(log.url, settings) if deep and report.state == "up to date" else ""
    return dataclasses.replace(report, gap=gap)


async def _gap_in(url: str, settings: Settings) -> str:
    from twofold.stores.postgres.server import gap_in

    try:
        return await gap_in(url, settings)
    except TwofoldError as error:
        return f"its positions could not be counted ({error})"


async def servers_of(settings: Settings, role: Role = Role.ALL) -> list[ServerReport]:
    """What there is to say about the database servers that the role's stores are on; those that don't answer are left
    out."""
    stores = [("TWOFOLD_EVENT_LOG", "event log", settings.event_log_at)] if role.sees_log else []
    if role.sees_rows and not (role.sees_log and settings.read_store_at == settings.event_log_at):
        stores.append(("TWOFOLD_READ_STORE", "read store", settings.read_store_at))
    found: list[ServerReport] = []
    for variable, label, place in stores:
        if place.kind is StoreKind.POSTGRES:
            with _driver(variable):
                from twofold.stores.postgres.server import look_at_server
            with suppress(TwofoldError):  # the report on the store says why it does not answer
                found.append(await look_at_server(place.url, settings, label=label))
    return found


async def migrate(settings: Settings) -> None:
    """Make the stores, or bring them to this release's schema. UnknownSchemaError when one is of a newer release."""
    if all(report.schema == report.known_schema for report in await reports_on(settings)):
        return
    log, read_store = settings.event_log_at, settings.read_store_at
    async with AsyncExitStack() as stack:  # a file is migrated by whoever opens it
        if log.kind is StoreKind.POSTGRES:
            await _postgres_event_log().migrate(log.url, settings)
        else:
            await stack.enter_async_context(_event_log(settings, OPERATOR))
        if read_store.kind is StoreKind.POSTGRES:
            await _postgres_read_store().migrate(read_store.url, settings)
        else:
            await stack.enter_async_context(_read_store(settings, OPERATOR))


async def make_roles(settings: Settings) -> Mapping[str, Sequence[str]]:
    """Make PostgreSQL's roles for services, with their rights; returns on which schemas, by the database's place."""
    with _driver("TWOFOLD_EVENT_LOG"):
        from twofold.stores.postgres.grants import make_roles as make_roles_in
    return {str(place): await make_roles_in(place.url, settings) for place in _databases(settings)}


def roles_script(settings: Settings) -> str:
    """The statements by which a database's administrator may do so, for psql."""
    with _driver("TWOFOLD_EVENT_LOG"):
        from twofold.stores.postgres.grants import roles_script as script_for
    log, read_store = settings.event_log_at, settings.read_store_at
    if log == read_store:
        return script_for()
    parts = ((log, "twofold_log"), (read_store, "twofold_read"))
    return "\n".join(
        f"-- In {place}:\n\n{script_for((schema,))}" for place, schema in parts if place in _databases(settings)
    )


def _databases(settings: Settings) -> list[Place]:
    """The databases on PostgreSQL servers that stores are in; SettingsError when there are none."""
    places = dict.fromkeys([settings.event_log_at, settings.read_store_at])
    found = [place for place in places if place.kind is StoreKind.POSTGRES]
    if not found:
        raise SettingsError(
            f"TWOFOLD_EVENT_LOG is {settings.event_log_at}, which has no roles; nothing was done (they are for "
            "PostgreSQL: set TWOFOLD_EVENT_LOG=postgresql://user@host/database)"
        )
    return found


def _postgres_event_log() -> Schema:
    with _driver("TWOFOLD_EVENT_LOG"):
        from twofold.stores.postgres.event_log import SCHEMA
    return SCHEMA


def _postgres_read_store() -> Schema:
    with _driver("TWOFOLD_READ_STORE"):
        from twofold.stores.postgres.read_store import SCHEMA
    return SCHEMA


def _seen_from_outside(settings: Settings) -> Place:
    """Where the event log is, for a process beside the one that writes it."""
    place = settings.event_log_at
    if place.kind is StoreKind.MEMORY:
        raise SettingsError("TWOFOLD_EVENT_LOG=memory: lives in one process; nothing can be read from another")
    return place
