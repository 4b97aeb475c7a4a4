"""How read models stand, and what may be done to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import structlog

from twofold.errors import TwofoldError, UnknownReadModelError
from twofold.messages import utc
from twofold.ports import Checkpoint, EventLog, ReadStore
from twofold.runtime.lifecycle import System
from twofold.runtime.rebuild import Difference
from twofold.streams import START, Position
from twofold.tables import Row, Table

__all__ = [
    "Comparison",
    "Operations",
    "ReadModelStatus",
    "Rebuild",
    "RowDifference",
    "Seen",
    "compared",
    "drop_former",
    "stored_read_models",
]

_MOST_ROWS = 1_000

logger = structlog.get_logger("twofold.operations")

# --- values ----------------------------------------------------------------------------------------------------------


class RowDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is not what a fold of the log makes, by the names of its columns; None where there is no row."""

    key: dict[str, Any]
    live: dict[str, Any] | None
    rebuilt: dict[str, Any] | None


class Comparison(msgspec.Struct, kw_only=True):
    """How the live rows differ from rebuilt ones: how many do, and the first 1,000 of them."""

    read_model: str
    differing: int = 0
    rows: list[RowDifference] = []


class Rebuild(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A rebuild that was asked for in this process, under way or over. `state` is "running", "done" or "failed".

    One that only compares has the comparison in the end.
    """

    state: str
    position: int = 0
    head: int = 0
    error: str = ""
    comparison: Comparison | None = None

    def moved_to(self, position: int, head: int) -> None:
        self.position, self.head = position, head


class ReadModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a read model stands. `lag_s` is the age of its oldest event that is not folded, 0 when there is none.

    `state` is "running", "rebuilding", "paused", "failed" (then `error` says why), "waiting" (for rows that this code
    can use), or "stopped" when nobody folds it. Head and lag are unset where the event log can't be seen. `holders` are
    those who fold its partitions, "" for one that nobody folds; unset where one process does everything. `former` says
    whether the rows from before the last rebuild are kept.
    """

    name: str
    checkpoint: int
    head: int | msgspec.UnsetType = msgspec.UNSET
    lag_events: int | msgspec.UnsetType = msgspec.UNSET
    lag_s: float | msgspec.UnsetType = msgspec.UNSET
    state: str
    partitions: int = 1
    holders: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    former: bool | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET
    rebuild: Rebuild | msgspec.UnsetType = msgspec.UNSET


class Seen(NamedTuple):
    """What a look at a running system's stores finds. The head of the log is None where the role does not see it."""

    head: int | None
    read_models: list[ReadModelStatus]


# --- a running system ------------------------------------------------------------------------------------------------


class Operations:
    """What may be asked of a running system and done to it."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._rebuilds: dict[str, Rebuild] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def look(self) -> Seen:
        """Ask every store that the role works on. The read models come in the order of their declaration."""
        system = self._system
        log, now = system.stores.log, system.clock.now()
        head = None if log is None else await log.head()
        if not (system.role.folds or system.role.answers):
            return Seen(head, [])
        if not system.stores.shared:
            return Seen(head, [await self._own(name, head or START, now) for name in system.progress])
        tables = {name: model.table for name, model in system.app.read_models.items()}
        found = await _statuses(tables, await system.checkpoints(), log, head, now, state="stopped")
        return Seen(head, [self._with_own_troubles(each) for each in found])

    async def read_models(self) -> list[ReadModelStatus]:
        """Every read model that the role folds or reads."""
        return (await self.look()).read_models

    async def _own(self, name: str, head: int, now: datetime) -> ReadModelStatus:
        """Of a read model that only this process folds, which knows better than the store, and without asking it."""
        progress, asked = self._system.progress[name], self._rebuilds.get(name)
        rebuilding = asked is not None and asked.state == "running"
        return ReadModelStatus(
            name=name,
            checkpoint=progress.position,
            head=max(head, progress.position),
            lag_events=max(0, head - progress.position),
            lag_s=await _lag_s(self._system.stores.log, progress.position, head, now),
            state="rebuilding" if rebuilding else progress.state,
            partitions=self._system.app.read_models[name].table.partitions,
            error=progress.error or msgspec.UNSET,
            rebuild=asked or msgspec.UNSET,
        )

    def _with_own_troubles(self, stored: ReadModelStatus) -> ReadModelStatus:
        """What the store says of a read model, and what hinders this very process."""
        progress, asked = self._system.progress[stored.name], self._rebuilds.get(stored.name)
        troubled = stored.state in ("running", "stopped") and progress.state in ("failed", "waiting")
        return msgspec.structs.replace(
            stored,
            state=progress.state if troubled else stored.state,
            error=progress.error or stored.error,
            rebuild=asked or msgspec.UNSET,
        )

    def start_rebuild(self, name: str, *, compare: bool = False) -> Rebuild:
        """Begin to fold the read model anew beside the live one, or return the rebuild that is under way.

        UnknownReadModelError when the application has no such read model. `read_models` shows the progress.
        """
        table = _declared(self._system, name)
        asked = self._rebuilds.get(name)
        if asked is not None and asked.state == "running":
            return asked
        if self._system.progress[name].rebuilding:  # begun by the system itself: the code had changed
            return Rebuild(state="running", position=self._system.progress[name].position)
        rebuild = self._rebuilds[name] = Rebuild(state="running")
        task = asyncio.create_task(self._rebuild(table, rebuild, compare), name=f"rebuild {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return rebuild

    async def _rebuild(self, table: Table, rebuild: Rebuild, compare: bool) -> None:
        name = table.read_model
        try:
            if compare:
                rebuild.comparison = await compared(table, self._system.compare(name, rebuild.moved_to))
            else:
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

    async def roll_back(self, name: str) -> None:
        """Put the rows from before the last rebuild back. UnknownReadModelError when none are kept."""
        _declared(self._system, name)
        await self._system.roll_back(name)

    async def drop(self, name: str) -> None:
        """Forget the rows from before the last rebuild. UnknownReadModelError when none are kept."""
        table, store = _declared(self._system, name), self._system.stores.store
        assert store is not None, "only a process that folds has an operator's door"
        await drop_former(store, table)

    async def pause(self, name: str) -> None:
        """Let the read model stand still, also over a restart. UnknownReadModelError when there is none such."""
        _declared(self._system, name)
        await self._system.pause(name)

    async def resume(self, name: str) -> None:
        """Let the read model go on. UnknownReadModelError when there is none such."""
        _declared(self._system, name)
        await self._system.resume(name)


def _declared(system: System, name: str) -> Table:
    if name not in system.app.read_models:
        known = ", ".join(system.app.read_models) or "none"
        raise UnknownReadModelError(name, "no read model of this name is declared", f"declared are: {known}")
    return system.app.read_models[name].table


# --- the stores, whoever works on them -------------------------------------------------------------------------------


async def stored_read_models(
    tables: Mapping[str, Table], checkpoints: Mapping[str, Checkpoint], log: EventLog, now: datetime, *, state: str
) -> list[ReadModelStatus]:
    """How the read models stand in the stores; `state` is that of one of which nothing worse or better is stored."""
    return await _statuses(tables, checkpoints, log, await log.head(), now, state=state)


async def _statuses(
    tables: Mapping[str, Table],
    checkpoints: Mapping[str, Checkpoint],
    log: EventLog | None,
    head: int | None,
    now: datetime,
    *,
    state: str,
) -> list[ReadModelStatus]:
    found: list[ReadModelStatus] = []
    for name, table in tables.items():
        checkpoint = checkpoints.get(name)
        position = checkpoint.position if checkpoint else START
        lag_events = msgspec.UNSET if head is None else max(0, head - position)
        found.append(
            ReadModelStatus(
                name=name,
                checkpoint=position,
                head=msgspec.UNSET if head is None else max(head, position),
                lag_events=lag_events,
                lag_s=msgspec.UNSET if head is None else await _lag_s(log, position, head, now),
                state=_state(checkpoint, checkpoints.get(table.aside("rebuild").read_model)) or state,
                partitions=table.partitions if checkpoint is None else len(checkpoint.positions),
                holders=checkpoint.holders if checkpoint and checkpoint.holders else msgspec.UNSET,
                former=table.aside("former").read_model in checkpoints or msgspec.UNSET,
                error=checkpoint.error if checkpoint and checkpoint.error else msgspec.UNSET,
            )
        )
    return found


def _state(checkpoint: Checkpoint | None, rebuilt: Checkpoint | None) -> str:
    """What the store knows of the state; "" when it knows nothing."""
    if checkpoint is not None and checkpoint.paused:
        return "paused"
    if rebuilt is not None and any(rebuilt.holders):
        return "rebuilding"
    if checkpoint is None or not any(checkpoint.holders):
        return ""
    return "failed" if checkpoint.error else "running"


async def _lag_s(log: EventLog | None, position: Position, head: int, now: datetime) -> float:
    if position >= head or log is None:
        return 0.0
    page = await log.read(position, 1)
    return max(0.0, round((now - utc(page[0].recorded_at_us)).total_seconds(), 3)) if page else 0.0


async def drop_former(store: ReadStore, table: Table) -> None:
    """Forget the rows from before the last rebuild. UnknownReadModelError when none are kept."""
    former = table.aside("former").read_model
    if former not in await store.checkpoints():
        reason = "no rows from before a rebuild are kept of it"
        raise UnknownReadModelError(table.read_model, reason, "a rebuild leaves them until they are dropped")
    await store.drop(former)


async def compared(table: Table, differences: AsyncIterator[Difference]) -> Comparison:
    """The differences, counted, and the first of them by the names of their columns."""
    found = Comparison(read_model=table.read_model)
    async for each in differences:
        found.differing += 1
        if found.differing <= _MOST_ROWS:
            key = dict(zip(table.key, each.key, strict=True))
            live, rebuilt = _named(table, each.live), _named(table, each.rebuilt)
            found.rows.append(RowDifference(key=key, live=live, rebuilt=rebuilt))
    return found


def _named(table: Table, row: Row | None) -> dict[str, Any] | None:
    return None if row is None else {column.name: value for column, value in zip(table.columns, row, strict=True)}
