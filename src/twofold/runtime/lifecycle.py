"""The running system: starts its parts in order, stops them in the opposite one, and loses nothing between.

Stopping takes nothing new, finishes what was accepted, then saves how far the projectors have come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import structlog

from twofold.application import Application
from twofold.errors import CheckpointAheadError, RebuildUnderWayError, TwofoldError, UnknownReadModelError
from twofold.messages import Command, Metadata, Query
from twofold.ports import Clock, EventLog, Probe, ReadStore, RowReader, Snapshots
from twofold.runtime.aggregates import Aggregates
from twofold.runtime.command_bus import Accepted, CommandBus
from twofold.runtime.progress import Progress
from twofold.runtime.projector import Projector
from twofold.runtime.query_bus import Answered, QueryBus
from twofold.runtime.rebuild import rebuild
from twofold.settings import Settings

__all__ = ["System"]

A = TypeVar("A")

logger = structlog.get_logger("twofold.system")


class System:
    """One application at work in this process: takes commands, folds, answers queries."""

    def __init__(
        self,
        app: Application,
        settings: Settings,
        *,
        log: EventLog,
        snapshots: Snapshots,
        store: ReadStore,
        reader: RowReader,
        clock: Clock,
        probe: Probe,
        publish: Callable[[Mapping[str, Any]], None] = lambda facts: None,
    ) -> None:
        self.app, self.settings, self.clock = app, settings, clock
        self.log, self.store, self.probe, self.publish = log, store, probe, publish
        aggregates = Aggregates(log, snapshots, app.codec, cache_size=settings.aggregate_cache_size)
        self._commands = CommandBus(app, log, aggregates, clock, probe, settings)
        self.projectors = {
            name: Projector(app, model, log, store, clock, probe, settings) for name, model in app.read_models.items()
        }
        progress: dict[str, Progress] = {name: each.progress for name, each in self.projectors.items()}
        self._queries = QueryBus(app, reader, progress, probe, settings)
        self._tasks: list[asyncio.Task[Any]] = []
        self.state = "starting"

    # --- what users call ---

    async def send(
        self,
        command: Command,
        *,
        command_id: str | None = None,
        expected_version: int | None = None,
        metadata: Metadata | None = None,
    ) -> Accepted:
        """Do the command once; the answer comes when its events are durable.

        `command_id` (1 to 200 characters) makes a repeat harmless: it gets the first answer. `expected_version` is the
        version that the sender saw. Errors: Rejected and the other RefusedErrors (nothing was appended), InvalidInput,
        UnavailableErrors (try again), HandlerFailedError (a bug).
        """
        return await self._commands.send(
            command, command_id=command_id, expected_version=expected_version, metadata=metadata
        )

    async def ask(self, query: Query[A], *, after: int | None = None, wait_s: float | None = None) -> A:
        """The query's answer; with `after` it reflects that position or a later one, waited for `wait_s` seconds."""
        return (await self._queries.ask(query, after=after, wait_s=wait_s)).value

    async def answer(self, query: Query[A], *, after: int | None = None, wait_s: float | None = None) -> Answered[A]:
        """The query's answer with the position that it reflects."""
        return await self._queries.ask(query, after=after, wait_s=wait_s)

    async def settle(self, timeout_s: float = 10.0) -> None:
        """Wait until every read model has folded all that is in the log now. TimeoutError names those that have not."""
        head = await self.log.head()
        going = [each.progress for each in self.projectors.values()]
        done = await asyncio.gather(*(each.reached(head, timeout_s) for each in going))
        behind = [each for each, reached in zip(going, done, strict=True) if not reached]
        if behind:
            states = "; ".join(f"{each.read_model} at {each.position}, {each.state} {each.error}" for each in behind)
            raise TimeoutError(f"not at position {head} within {timeout_s} seconds: {states}")

    # --- what operators call ---

    async def rebuild(self, name: str, on_progress: Callable[[int, int], None] = lambda position, head: None) -> int:
        """Fold the read model anew beside the live one and switch; returns the position reached.

        RebuildUnderWayError when it is being rebuilt already.
        """
        projector = self.projector(name)
        if projector.progress.rebuilding:
            raise RebuildUnderWayError(name, "it is being rebuilt already", "wait until that is done")
        projector.progress.rebuilding = True
        try:
            return await rebuild(self.app, projector, self.log, self.store, self.settings, on_progress)
        finally:
            projector.progress.rebuilding = False

    async def pause(self, name: str) -> None:
        """Let the read model stand still until `resume`, also over a restart."""
        progress = self.projector(name).progress
        await self.store.set_paused(name, True)
        progress.pause()

    async def resume(self, name: str) -> None:
        progress = self.projector(name).progress
        await self.store.set_paused(name, False)
        progress.resume()

    def projector(self, name: str) -> Projector:
        if name not in self.projectors:
            known = ", ".join(self.projectors) or "none"
            raise UnknownReadModelError(name, "no read model of this name is declared", f"declared are: {known}")
        return self.projectors[name]

    # --- starting and stopping ---

    async def start(self) -> None:
        """Take the read models over and begin to fold."""
        head = await self.log.head()
        for name, projector in self.projectors.items():
            changed = await projector.open()
            if projector.folder.position > head:
                raise CheckpointAheadError(
                    "read store",
                    f"{name} has folded up to position {projector.folder.position}, the event log ends at {head}",
                    "they belong to different histories: restore the log, or delete the read store to fold it anew",
                )
            self._tasks.append(asyncio.create_task(projector.run(), name=f"projector {name}"))
            if changed and self.settings.rebuild_changed:
                self._tasks.append(asyncio.create_task(self._rebuild_changed(name), name=f"rebuild {name}"))
        self.state = "running"

    async def stop(self) -> None:
        """Finish what was accepted, within the setting's time, and let go of everything."""
        self.state = "stopping"
        try:
            async with asyncio.timeout(self.settings.drain_timeout_s):
                await asyncio.gather(self._commands.drain(), self._queries.drain())
        except TimeoutError:
            logger.warning("not-drained", drain_timeout_s=self.settings.drain_timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for projector in self.projectors.values():
            await projector.stop()
        self.state = "stopped"

    async def _rebuild_changed(self, name: str) -> None:
        logger.info("rebuilding", read_model=name, reason="the code that folds it has changed")
        try:
            position = await self.rebuild(name)
        except TwofoldError as error:
            logger.error("rebuild-failed", read_model=name, error=str(error))
        else:
            logger.info("rebuilt", read_model=name, position=position)
