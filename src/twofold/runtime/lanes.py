"""Commands on one stream, decided one after another on its newest state.

A run is what a lane decides in one go. Each decision in it stands on the ones before it, so the whole run goes into one
append, and when one of them is not appended all that follow are decided again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime

import msgspec
import structlog

from twofold.aggregate import Aggregate, AggregateType, Context, Handler
from twofold.codec import EventCodec
from twofold.errors import (
    HandlerFailedError,
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

    __slots__ = (
        "attempts",
        "command",
        "expected_version",
        "future",
        "handler",
        "metadata",
        "metadata_text",
        "record",
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
    ) -> None:
        self.command, self.handler = command, handler
        self.metadata, self.metadata_text = metadata, metadata_text
        self.record, self.expected_version, self.future = record, expected_version, future
        self.attempts = 0


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
    """

    __slots__ = ("aggregate", "broken", "busy", "snapshot_version", "state", "stream", "version", "waiting")

    def __init__(self, aggregate: AggregateType, stream: StreamId) -> None:
        self.aggregate, self.stream = aggregate, stream
        self.state: Aggregate | None = None
        self.version = 0
        self.snapshot_version = 0
        self.busy = False
        self.broken = False
        self.waiting: deque[Wish] = deque()

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
        self, codec: EventCodec, now: datetime, now_us: int, new_id: Callable[[], str], limit: int
    ) -> list[Decided]:
        """Decide waiting commands, at most `limit`, each on the state that the one before it left."""
        run: list[Decided] = []
        while self.waiting and len(run) < limit and not self.broken:
            wish = self.waiting.popleft()
            if not wish.future.done():  # its sender may be gone; nothing was decided, so nothing is lost
                run.append(self._decide(wish, codec, now, now_us, new_id))
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
