"""Commands on one stream, decided one after another on its newest state.

A run is what a lane decides in one go. Each decision in it stands on the ones before it, so the whole run goes into one
append, and when one of them is not appended all that follow are decided again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import structlog

from twofold.aggregate import Aggregate, AggregateType, Context, Handler
from twofold.codec import EventCodec, encode_json
from twofold.errors import (
    AlreadyExistsError,
    HandlerFailedError,
    NotFoundError,
    RefusedError,
    WrongExpectedVersionError,
)
from twofold.messages import Command, Event, Metadata
from twofold.ports import Commit, NewRecord
from twofold.streams import StreamId

__all__ = ["Decided", "Lane", "Refusal", "Wish"]

logger = structlog.get_logger("twofold.commands")

Refusal = RefusedError | HandlerFailedError


class Wish:
    """One command on its way, and the future that its sender waits for."""

    __slots__ = ("attempts", "command", "expected_version", "future", "handler", "metadata", "record")

    def __init__(
        self,
        command: Command,
        handler: Handler,
        metadata: Metadata,
        record: NewRecord | None,
        expected_version: int | None,
        future: asyncio.Future[Accepted],
    ) -> None:
        self.command, self.handler, self.metadata = command, handler, metadata
        self.record, self.expected_version, self.future = record, expected_version, future
        self.attempts = 0


class Accepted(NamedTuple):
    """A command that is done and durable. `events` are what it made; `position` is where the last of them stands.

    `replayed` says that the command id was known and this is its first answer again.
    """

    stream: StreamId
    version: int
    position: int
    events: tuple[Event, ...]
    replayed: bool = False


class Decided(NamedTuple):
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
    """

    __slots__ = ("aggregate", "busy", "snapshot_version", "state", "stream", "version", "waiting")

    def __init__(self, aggregate: AggregateType, stream: StreamId) -> None:
        self.aggregate, self.stream = aggregate, stream
        self.state: Aggregate | None = None
        self.version = 0
        self.snapshot_version = 0
        self.busy = False
        self.waiting: deque[Wish] = deque()

    def forget(self) -> None:
        """Drop the state: it holds decisions that were not appended, or is known to be stale."""
        self.state, self.version = None, 0

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
        self, codec: EventCodec, now: datetime, now_us: int, new_id: Callable[[], str], limit: int
    ) -> list[Decided]:
        """Decide waiting commands, at most `limit`, each on the state that the one before it left."""
        run: list[Decided] = []
        while self.waiting and len(run) < limit and self.state is not None:
            wish = self.waiting.popleft()
            if not wish.future.done():  # its sender may be gone; nothing was decided, so nothing is lost
                run.append(self._decide(wish, codec, now, now_us, new_id))
        self.busy = bool(run)
        return run

    def _decide(self, wish: Wish, codec: EventCodec, now: datetime, now_us: int, new_id: Callable[[], str]) -> Decided:
        state, version = self.state, self.version
        assert state is not None
        metadata = encode_json(wish.metadata)
        try:
            events = self._events(wish, state, lambda: Context(now=now, metadata=wish.metadata, new_id=new_id))
            encoded = [codec.encode(event) for event in events]
            for _, readable in encoded:
                self.aggregate.apply(state, readable)
        except RefusedError as refusal:
            commit = Commit(self.stream, version, (), metadata, now_us, wish.record, True)
            return Decided(wish, self, commit, (), refusal)
        except Exception:
            logger.exception("handler-failed", handler=wish.handler.name, **_known(wish.metadata))
            failure = HandlerFailedError(wish.handler.name, wish.metadata.correlation_id)
            self.forget()  # whatever the method did to it
            commit = Commit(self.stream, version, (), metadata, now_us, wish.record, True)
            return Decided(wish, self, commit, (), failure)
        self.version = version + len(encoded)
        new = tuple([each for each, _ in encoded])
        commit = Commit(self.stream, version, new, metadata, now_us, wish.record)
        return Decided(wish, self, commit, tuple([readable for _, readable in encoded]), None)

    def _events(self, wish: Wish, state: Aggregate, context: Callable[[], Context]) -> tuple[Event, ...]:
        handler, version = wish.handler, self.version
        if wish.expected_version is not None and wish.expected_version != version:
            raise WrongExpectedVersionError(str(self.stream), wish.expected_version, version)
        if handler.creates and version:
            raise AlreadyExistsError(str(self.stream), wish.metadata.command, version)
        if not handler.creates and not version:
            raise NotFoundError(str(self.stream), wish.metadata.command)
        return handler.decide(state, wish.command, context)


def _known(metadata: Metadata) -> dict[str, str]:
    return {"command": metadata.command, "correlation_id": metadata.correlation_id, "command_id": metadata.command_id}
