"""Commands on one stream, decided one after another on its newest state.

A run is what a lane decides in one go. Each decision in it stands on the ones before it, so the whole run goes into one
append, and when one of them is not appended all that follow are decided again.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable
from datetime import datetime
from time import perf_counter

import msgspec
import structlog

from twofold.aggregate import Aggregate, AggregateType, Context, Handler
from twofold.codec import EventCodec
from twofold.errors import (
    CommandTimeoutError,
    HandlerFailedError,
    RefusedError,
    WrongExpectedVersionError,
)
from twofold.messages import Command, Event, Metadata
from twofold.ports import Commit, NewRecord, Tracer
from twofold.streams import StreamId

__all__ = ["Decided", "Lane", "Refusal", "Wish"]

logger = structlog.get_logger("twofold.commands")

Refusal = RefusedError | HandlerFailedError

_LONG_CALM = 100
"""Runs without a lost race after which nobody else seems to write to the stream."""


class Wish:
    """One command on its way, the future that its sender waits for, and until when it may be decided.

    `until` is as `time.perf_counter`; `timeout_s` is how long that is from the start.
    """

    __slots__ = (
        "attempts",
        "command",
        "expected_version",
        "future",
        "handler",
        "metadata",
        "metadata_text",
        "record",
        "timeout_s",
        "until",
    )

    def __init__(
        self,
        command: Command,
        handler: Handler,
        metadata: Metadata,
        metadata_text: bytes,
        record: NewRecord | None,
        expected_version: int | None,
        future: asyncio.Future[Accepted],
        until: float,
        timeout_s: float,
    ) -> None:
        self.command, self.handler = command, handler
        self.metadata, self.metadata_text = metadata, metadata_text
        self.record, self.expected_version, self.future = record, expected_version, future
        self.until, self.timeout_s, self.attempts = until, timeout_s, 0


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A command that is done and durable. `events` are what it made; `position` is where the last of them stands.

    `replayed` says that the command id was known and this is its first answer again.
    """

    stream: StreamId
    version: int
    position: int
    events: tuple[Event, ...]
    replayed: bool = False

    def as_replayed(self) -> Accepted:
        return msgspec.structs.replace(self, replayed=True)


class Decided(msgspec.Struct, frozen=True, gc=False):
    """A wish with its decision: events, or the refusal that it gets if the state that it was decided on holds."""

    wish: Wish
    lane: Lane
    commit: Commit
    events: tuple[Event, ...]
    refusal: Refusal | None


class Lane:
    """One stream in memory: its state with everything decided so far, and the commands that wait for it.

    While a run of decisions is being appended the lane is busy, and later commands wait: a decision never stands on
    another that may yet fail, except inside one run, which fails as a whole.

    Where other processes append to the stream too, a copy of the last durable state is kept beside the one that runs
    ahead, so that after a lost race only the new events are read. Each race lost in a row halves the next run: a short
    run is decided and appended sooner, and so is the likelier winner.
    """

    __slots__ = (
        "aggregate",
        "base",
        "broken",
        "busy",
        "calm_runs",
        "losses",
        "snapshot_version",
        "state",
        "stream",
        "version",
        "waiting",
    )

    def __init__(self, aggregate: AggregateType, stream: StreamId) -> None:
        self.aggregate, self.stream = aggregate, stream
        self.state: Aggregate | None = None
        self.version = 0
        self.snapshot_version = 0
        self.busy = False
        self.broken = False
        self.waiting: deque[Wish] = deque()
        self.base: tuple[Aggregate, int] | None = None
        self.losses = 0
        self.calm_runs = _LONG_CALM

    def lost(self) -> None:
        """A run was refused because of another writer's events."""
        self.forget()
        self.losses, self.calm_runs = self.losses + 1, 0

    def won(self) -> None:
        """A run was appended."""
        self.losses, self.calm_runs = 0, self.calm_runs + 1

    def forget(self) -> None:
        """Drop the state: it holds decisions that were not appended, or is known to be stale."""
        self.state, self.version, self.broken = None, 0, False

    def fail(self, error: Exception) -> None:
        """Answer every waiting command with the error."""
        while self.waiting:
            wish = self.waiting.popleft()
            if not wish.future.done():
                wish.future.set_exception(error)

    def snapshot_due(self) -> bool:
        every = self.aggregate.snapshot_every
        return every is not None and self.state is not None and self.version - self.snapshot_version >= every

    def decide(
        self,
        codec: EventCodec,
        now: datetime,
        now_us: int,
        new_id: Callable[[], str],
        limit: int,
        tracer: Tracer | None = None,
    ) -> list[Decided]:
        """Decide waiting commands, at most `limit`, each on the state that the one before it left; not those whose
        time is over or whose sender has left."""
        run: list[Decided] = []
        assert self.state is not None
        self.base = None if self.calm_runs >= _LONG_CALM else (copy.deepcopy(self.state), self.version)
        limit, at = max(1, limit >> self.losses), perf_counter()
        while self.waiting and len(run) < limit and not self.broken:
            wish = self.waiting.popleft()
            if wish.future.done():
                continue  # its sender is gone; nothing was decided, so nothing is lost
            if wish.until < at:
                wish.future.set_exception(CommandTimeoutError(wish.handler.command.stored_name, wish.timeout_s))
            elif tracer is None:
                run.append(self._decide(wish, codec, now, now_us, new_id))
            else:
                started = perf_counter()
                run.append(decided := self._decide(wish, codec, now, now_us, new_id))
                code = decided.refusal.code if decided.refusal else "ok"
                tracer.decided(wish.metadata, code, perf_counter() - started)
        self.busy = bool(run)
        return run

    def _decide(self, wish: Wish, codec: EventCodec, now: datetime, now_us: int, new_id: Callable[[], str]) -> Decided:
        state, version = self.state, self.version
        assert state is not None
        try:
            events = self._events(wish, state, lambda: Context(now=now, metadata=wish.metadata, new_id=new_id))
        except RefusedError as refusal:
            return self._refused(wish, now_us, refusal)
        except Exception as error:
            return self._refused(wish, now_us, self._failed(wish, error))
        try:
            encoded = [codec.encode(event) for event in events]
            for _, readable in encoded:
                self.aggregate.apply(state, readable)
        except Exception as error:
            return self._refused(wish, now_us, self._failed(wish, error))
        self.version = version + len(encoded)
        new = tuple([each for each, _ in encoded])
        commit = Commit(self.stream, version, new, wish.metadata_text, now_us, wish.record)
        return Decided(wish, self, commit, tuple([readable for _, readable in encoded]), None)

    def _refused(self, wish: Wish, now_us: int, refusal: Refusal) -> Decided:
        """Nothing is written, and yet it goes into the append: to be made on the newest state, and once."""
        commit = Commit(self.stream, self.version, (), wish.metadata_text, now_us, wish.record, True)
        return Decided(wish, self, commit, (), refusal)

    def _failed(self, wish: Wish, error: Exception) -> HandlerFailedError:
        """A bug in a handler or applier. Whatever it did to the state is forgotten when the run is settled."""
        logger.error("handler-failed", handler=wish.handler.name, exc_info=error, **_known(wish.metadata))
        self.broken = True
        return HandlerFailedError(wish.handler.name, wish.metadata.correlation_id)

    def _events(self, wish: Wish, state: Aggregate, context: Callable[[], Context]) -> tuple[Event, ...]:
        handler, version = wish.handler, self.version
        if wish.expected_version is not None and wish.expected_version != version:
            raise WrongExpectedVersionError(str(self.stream), wish.expected_version, version)
        handler.check_start(self.stream, version)
        return handler.decide(state, wish.command, context)


def _known(metadata: Metadata) -> dict[str, str]:
    return {"command": metadata.command, "correlation_id": metadata.correlation_id, "command_id": metadata.command_id}
