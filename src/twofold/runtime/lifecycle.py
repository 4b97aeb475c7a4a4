"""The running system: starts its parts in order, stops them in the opposite one, and loses nothing between.

Stopping takes nothing new, finishes what was accepted, then saves how far the projectors have come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec
import structlog

from twofold.application import Application
from twofold.errors import RebuildUnderWayError, UnknownReadModelError, WrongRoleError
from twofold.messages import Command, Metadata, Query
from twofold.ports import Checkpoint, Clock, EventLog, Leases, Probe, ReadStore, RowReader, Snapshots, Tracer
from twofold.runtime.aggregates import Aggregates
from twofold.runtime.command_bus import Accepted, CommandBus
from twofold.runtime.concurrency import Load
from twofold.runtime.partitions import Partitions
from twofold.runtime.progress import Progress
from twofold.runtime.projector import Projector
from twofold.runtime.query_bus import Answered, QueryBus
from twofold.runtime.rebuild import Difference, Rebuilder
from twofold.runtime.upkeep import Upkeep
from twofold.runtime.watch import Watch
from twofold.settings import Role, Settings
from twofold.streams import Position
from twofold.trace_context import TraceContext

__all__ = ["Stores", "System"]

A = TypeVar("A")
S = TypeVar("S")

_LAST_PAGE_S = 1.0
_LETTING_GO_S = 2.0

logger = structlog.get_logger("twofold.system")


class Stores(NamedTuple):
    """What a system stands on. A role has what it needs: a command service log and snapshots, a query service the
    reader, a projector log, store and leases. `shared` says that other processes may work on the same read store."""

    log: EventLog | None = None
    snapshots: Snapshots | None = None
    store: ReadStore | None = None
    leases: Leases | None = None
    reader: RowReader | None = None
    shared: bool = False


class System:
    """One application at work in this process: takes commands, folds, answers queries, as its role says.

    `holder` names this process among all that work on the same stores.
    """

    def __init__(
        self,
        app: Application,
        settings: Settings,
        stores: Stores,
        *,
        role: Role = Role.ALL,
        clock: Clock,
        probe: Probe,
        holder: str = "this process",
        publish: Callable[[Mapping[str, Any]], None] = lambda facts: None,
        tracer: Tracer | None = None,
    ) -> None:
        self.app, self.settings, self.stores, self.role = app, settings, stores, role
        self.clock, self.probe, self.holder, self.publish, self.tracer = clock, probe, holder, publish, tracer
        self.progress = {name: Progress(model.table) for name, model in app.read_models.items()}
        self._tasks: list[asyncio.Task[None]] = []
        self._folding: list[asyncio.Task[None]] = []
        self._commands = self._make_commands() if role.decides else None
        self._queries = self._make_queries() if role.answers else None
        self.projectors = self._make_projectors() if role.folds else {}
        self._partitions = self._make_partitions() if role.folds else None
        if self._commands is not None and self._queries is not None:
            self._commands.limit.gives_way = self._queries.limit
        self._watch: Watch | None = None
        self.state = "starting"

    # --- the parts of a role ---

    def _make_commands(self) -> CommandBus:
        log, snapshots = self.log, _needed(self.stores.snapshots, "snapshots")
        aggregates = Aggregates(log, snapshots, self.app.codec, cache_size=self.settings.aggregate_cache_size)
        return CommandBus(self.app, log, aggregates, self.clock, self.probe, self.settings, self.tracer)

    def _make_queries(self) -> QueryBus:
        return QueryBus(self.app, _needed(self.stores.reader, "reader"), self.progress, self.probe, self.settings)

    def _make_projectors(self) -> dict[str, Projector]:
        store = _needed(self.stores.store, "store")
        return {
            name: Projector(
                self.app,
                model,
                self.log,
                store,
                self.clock,
                self.probe,
                self.settings,
                progress=self.progress[name],
                eager=self.stores.shared,
                on_news=self._renew_soon,
            )
            for name, model in self.app.read_models.items()
        }

    def _make_partitions(self) -> Partitions:
        store, leases = _needed(self.stores.store, "store"), _needed(self.stores.leases, "leases")
        follows = self.stores.shared and not self.role.answers  # else its own projectors or the watch are quicker
        return Partitions(self.projectors, store, leases, self.settings, holder=self.holder, follows=follows)

    @property
    def loads(self) -> Mapping[str, Load]:
        """How much is at work just now of what the role takes: "command", "query"."""
        buses = {"command": self._commands, "query": self._queries}
        return {kind: bus.load for kind, bus in buses.items() if bus is not None}

    @property
    def log(self) -> EventLog:
        """The event log; WrongRoleError in a query service, which has none."""
        if self.stores.log is None:
            raise WrongRoleError(self.role, "command or projector")
        return self.stores.log

    # --- what users call ---

    async def send(
        self,
        command: Command,
        *,
        command_id: str | None = None,
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        timeout_s: float | None = None,
    ) -> Accepted:
        """Do the command once; the answer comes when its events are durable.

        `command_id` (1 to 200 characters) makes a repeat harmless: it gets the first answer. `expected_version` is the
        version that the sender saw. What is not decided within `timeout_s` seconds is not done. Errors: Rejected and
        the other RefusedErrors (nothing was appended), InvalidInput, UnavailableErrors (try again), HandlerFailedError
        (a bug).
        """
        if self._commands is None:
            raise WrongRoleError(self.role, Role.COMMAND)
        if self.tracer is None:
            return await self._commands.send(
                command,
                command_id=command_id,
                expected_version=expected_version,
                metadata=metadata,
                timeout_s=timeout_s,
            )
        parent = _place(metadata)
        with self.tracer.begin(f"command {type(command).stored_name}", parent=parent) as span:
            accepted = await self._commands.send(
                command,
                command_id=command_id,
                expected_version=expected_version,
                metadata=_placed(metadata, span.trace),
                timeout_s=timeout_s,
            )
            span.note({"twofold.stream": str(accepted.stream), "twofold.position": accepted.position})
            return accepted

    async def ask(
        self, query: Query[A], *, after: int | None = None, wait_s: float | None = None, timeout_s: float | None = None
    ) -> A:
        """The query's answer; with `after` it reflects that position or a later one, waited for `wait_s` seconds.

        What can't be begun within `timeout_s` seconds is not begun.
        """
        return (await self.answer(query, after=after, wait_s=wait_s, timeout_s=timeout_s)).value

    async def answer(
        self,
        query: Query[A],
        *,
        after: int | None = None,
        wait_s: float | None = None,
        timeout_s: float | None = None,
        correlation_id: str = "",
    ) -> Answered[A]:
        """The query's answer with the position that it reflects. A bug in its function is logged under the id."""
        if self._queries is None:
            raise WrongRoleError(self.role, Role.QUERY)
        asking = self._queries.ask(
            query, after=after, wait_s=wait_s, timeout_s=timeout_s, correlation_id=correlation_id
        )
        if self.tracer is None:
            return await asking
        with self.tracer.begin(f"query {type(query).stored_name}") as span:
            answered = await asking
            span.note({"twofold.position": answered.position})
            return answered

    async def settle(self, timeout_s: float = 10.0) -> None:
        """Wait until every read model has folded all that is in the log now. TimeoutError names those that have not.

        WrongRoleError in a service that has nothing to do with read models, or that does not see the log.
        """
        if self.role is Role.COMMAND:
            raise WrongRoleError(self.role, Role.PROJECTOR)
        head = await self.log.head()
        going = list(self.progress.values())
        done = await asyncio.gather(*(each.reached(head, timeout_s) for each in going))
        behind = [each for each, reached in zip(going, done, strict=True) if not reached]
        if behind:
            states = "; ".join(f"{each.read_model} at {each.position}, {each.state} {each.error}" for each in behind)
            raise TimeoutError(f"not at position {head} within {timeout_s} seconds: {states}")

    # --- what operators call ---

    async def rebuild(self, name: str, on_progress: Callable[[int, int], None] = lambda position, head: None) -> int:
        """Fold the read model anew beside the live one and switch; returns the position reached.

        RebuildUnderWayError when it is being rebuilt already. A rebuild that was killed goes on where it was.
        """
        async with self._making_anew(name):
            return await self._rebuilder(name, on_progress).rebuild()

    async def roll_back(self, name: str) -> int:
        """Put the rows back that the last rebuild has replaced; returns the position where they stand.

        Rows of other code stay where they stand, and running code whose rows they replace rebuilds them after a few
        leases unless a release that folds them is started (or the setting, or a pause, keeps it from that).
        """
        async with self._making_anew(name):
            position = await self._rebuilder(name).roll_back()
            self.progress[name].moved_to(Position(position))  # back: nobody may take them for newer than they are
            return position

    async def compare(
        self, name: str, on_progress: Callable[[int, int], None] = lambda position, head: None
    ) -> AsyncGenerator[Difference]:
        """The rows of the read model that are not what a fold of the log makes. They stand still meanwhile.

        Close it (`contextlib.aclosing`) when leaving it before its end.
        """
        rebuilder, reader = self._rebuilder(name, on_progress), _needed(self.stores.reader, "reader")
        async with self._making_anew(name), aclosing(rebuilder.compare(reader)) as differences:
            async for difference in differences:
                yield difference

    @asynccontextmanager
    async def _making_anew(self, name: str) -> AsyncGenerator[None]:
        progress = self.projector(name).progress
        if progress.rebuilding:
            raise RebuildUnderWayError(name, "it is being rebuilt or compared already", "wait until that is done")
        progress.rebuilding = True
        try:
            yield
        finally:
            progress.rebuilding = False
            if self._partitions is not None and self.state == "running":
                await self._partitions.try_to_renew()

    def _rebuilder(self, name: str, on_progress: Callable[[int, int], None] = lambda position, head: None) -> Rebuilder:
        model = self.projector(name).model
        store, leases = _needed(self.stores.store, "store"), _needed(self.stores.leases, "leases")
        return Rebuilder(
            model,
            self.app.codec,
            self.log,
            store,
            leases,
            self.settings,
            holder=self.holder,
            on_progress=on_progress,
        )

    def _renew_soon(self) -> None:
        if self._partitions is not None:
            self._partitions.renew_soon()

    async def pause(self, name: str) -> None:
        """Let the read model stand still until `resume`, in every process, also over a restart."""
        await self._set_paused(name, True)

    async def resume(self, name: str) -> None:
        await self._set_paused(name, False)

    async def _set_paused(self, name: str, paused: bool) -> None:
        self.projector(name)
        assert self._partitions is not None, "a role that has projectors has their partitions"
        await self._partitions.set_paused(name, paused)

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        """How all stored read models stand, in whatever process they are folded; none in a command service."""
        source = self.stores.store or self.stores.reader
        return await source.checkpoints() if source is not None else {}

    def projector(self, name: str) -> Projector:
        """The projector of a read model. WrongRoleError in a service that folds none."""
        if not self.role.folds:
            raise WrongRoleError(self.role, Role.PROJECTOR)
        if name not in self.projectors:
            known = ", ".join(self.projectors) or "none"
            raise UnknownReadModelError(name, "no read model of this name is declared", f"declared are: {known}")
        return self.projectors[name]

    # --- starting and stopping ---

    async def start(self) -> None:
        """Take up what the role does: shares of the read models, the watch over those that others fold.

        StoreUnavailableError when a store can't be reached just now; `stop` then ends what was begun. Once started, a
        store that goes away and comes back is waited for.
        """
        if self._partitions is not None:
            await self._start_folding(self._partitions)
        if self.stores.shared and self.role.answers:
            self._watch = Watch(self.progress, _needed(self.stores.reader, "reader"), self.settings)
            await self._watch.look()
            self._run(self._watch.run(), "watch")
        self.state = "running"

    async def _start_folding(self, partitions: Partitions) -> None:
        await partitions.open(self.log)
        self._run(partitions.run(), "partitions")
        for name, projector in self.projectors.items():
            self._folding.append(self._run(projector.run(), f"projector {name}"))
            if self.settings.rebuild_changed:
                store, lease_s = _needed(self.stores.store, "store"), self.settings.lease_s
                self._run(Upkeep(projector, store, self.rebuild, lease_s=lease_s).run(), f"upkeep {name}")

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        self._tasks.append(task := asyncio.create_task(work, name=name))
        return task

    async def stop(self) -> None:
        """Finish what was accepted, within the setting's time, and let go of everything."""
        self.state = "stopping"
        try:
            async with asyncio.timeout(self.settings.drain_timeout_s):
                await asyncio.gather(*(bus.drain() for bus in (self._commands, self._queries) if bus is not None))
        except TimeoutError:
            logger.warning("not-drained", drain_timeout_s=self.settings.drain_timeout_s)
        for projector in self.projectors.values():
            projector.finish()
        if self._folding:  # a page that is in work gets the time to be saved
            await asyncio.wait(self._folding, timeout=_LAST_PAGE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(_LETTING_GO_S):
                await self._let_go()
        except TimeoutError:
            logger.warning("not-let-go", holder=self.holder, timeout_s=_LETTING_GO_S)
        self.state = "stopped"

    async def _let_go(self) -> None:
        """Save how far the projectors are, and let others go on from there. What fails here costs time only."""
        await asyncio.gather(*(projector.stop() for projector in self.projectors.values()))
        if self._partitions is not None:
            await self._partitions.release()


def _place(metadata: Metadata | None) -> TraceContext | None:
    """Where in a trace the sender says that the command belongs."""
    return None if metadata is None else TraceContext.parse(metadata.traceparent, metadata.tracestate)


def _placed(metadata: Metadata | None, trace: TraceContext) -> Metadata:
    given = metadata or Metadata()
    return msgspec.structs.replace(given, traceparent=trace.traceparent, tracestate=trace.tracestate)


def _needed(part: S | None, what: str) -> S:
    """A part that the role has by its nature: without it the system was assembled wrongly."""
    if part is None:
        raise TypeError(f"this role needs a {what}")
    return part
