"""Commands in, durable events out: find the handler, decide in memory, append in groups, answer.

A refusal is checked like a decision: the append compares the version it was made on, and looks its command id up. So a
refusal is never made on a stale state, and a repeated command gets its first answer whatever has happened since.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, assert_never

import structlog

from twofold.application import Application, CommandType
from twofold.codec import EventCodec, check_storable, encode_json
from twofold.errors import (
    CommandIdReusedError,
    CommandTimeoutError,
    ContentionError,
    HandlerFailedError,
    InvalidCommandIdError,
    InvalidMessageError,
    StoreUnavailableError,
    TwofoldError,
)
from twofold.messages import Command, Metadata
from twofold.ports import (
    Appended,
    Clock,
    CommandRecord,
    Conflict,
    Duplicate,
    EventLog,
    NewRecord,
    Outcome,
    Probe,
    Tracer,
)
from twofold.runtime.aggregates import Aggregates
from twofold.runtime.appender import Appender
from twofold.runtime.concurrency import ConcurrencyLimit, Load
from twofold.runtime.first_answers import FirstAnswers
from twofold.runtime.gate import Gate
from twofold.runtime.lanes import Accepted, Decided, Lane, Wish
from twofold.settings import Settings

__all__ = ["Accepted", "CommandBus"]

logger = structlog.get_logger("twofold.commands")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_COMMAND_ID = 200
CONCURRENT_LOADS = 4
_WORTH_HALVING = 16
_LEAST_AT_WORK = 64
"""Fewer commands make smaller appends, and no quicker ones."""
_AT_WORK_AT_FIRST = 1_000
_FEW_LOSSES = 3
"""Races lost in a row before a lane steps aside for a random moment: writers in step would disturb each other again."""
_JITTER_S = 0.001
_LONGEST_JITTER_S = 0.02


def new_id() -> str:
    """128 random bits in hexadecimal."""
    return os.urandom(16).hex()


class CommandBus:
    """Takes commands, and answers each when it is durable."""

    def __init__(
        self,
        app: Application,
        log: EventLog,
        aggregates: Aggregates,
        clock: Clock,
        probe: Probe,
        settings: Settings,
        tracer: Tracer | None = None,
    ) -> None:
        self._app, self._log, self._aggregates = app, log, aggregates
        self._clock, self._probe, self._settings, self._tracer = clock, probe, settings, tracer
        self._codec: EventCodec = app.codec
        self._appender = Appender(log, probe)
        self._answers = FirstAnswers(settings.aggregate_cache_size)
        self._ready: dict[int, Lane] = {}
        self._unloaded: list[Lane] = []
        self._loads: set[asyncio.Task[None]] = set()
        self._others: set[asyncio.Task[None]] = set()
        self.gate = Gate("commands", settings.max_waiting_commands)
        self.limit = ConcurrencyLimit(
            "commands",
            least=_LEAST_AT_WORK,
            start=_AT_WORK_AT_FIRST,
            most=settings.max_waiting_commands,
            delay_s=settings.overload_delay_s,
            wait_s=settings.command_wait_s,
            adaptive=settings.adaptive_limits,
        )

    async def send(
        self,
        command: Command,
        *,
        command_id: str | None = None,
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        timeout_s: float | None = None,
    ) -> Accepted:
        """Do the command once and answer when it is durable; a TwofoldError says why not.

        What is not decided within `timeout_s` (by default, and at most, the setting) is not begun. The same
        `command_id` with the same command gets the first answer again, marked `replayed`.
        """
        kind = self._app.command_type(type(command))
        started, code = perf_counter(), "cancelled"
        try:
            with self.gate:
                began = started if self.limit.take() else await self._let_in(kind, timeout_s)
                try:
                    accepted = await self._enqueued(
                        kind, command, command_id, expected_version, metadata, started, timeout_s
                    )
                finally:
                    self.limit.leave(kind.name, began, perf_counter())
        except TwofoldError as error:
            code = error.code
            raise
        else:
            code = "replayed" if accepted.replayed else "ok"
            return accepted
        finally:
            self._probe.command_done(kind.name, code, perf_counter() - started)

    @property
    def load(self) -> Load:
        """How much is at work, and what was not let in."""
        return Load.of(self.gate, self.limit)

    async def drain(self) -> None:
        """Take nothing new, and finish what was accepted, also for senders that have left."""
        await self.gate.drain()
        await self._appender.drain()
        while self._others:
            await asyncio.wait(self._others)

    async def _let_in(self, kind: CommandType, timeout_s: float | None) -> float:
        """Wait for a place; returns when it was there."""
        try:
            await self.limit.turn(timeout_s)
        except TimeoutError:
            raise CommandTimeoutError(kind.name, timeout_s or 0.0) from None
        return perf_counter()

    def _enqueued(
        self,
        kind: CommandType,
        command: Command,
        command_id: str | None,
        expected_version: int | None,
        metadata: Metadata | None,
        started: float,
        timeout_s: float | None,
    ) -> asyncio.Future[Accepted]:
        stream = kind.handler.stream(command)
        text = _encoded(kind.name, command)
        check_storable(kind.name, command, text)
        record = None if command_id is None else _record(kind.name, command_id, text)
        future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        if record is not None and (answer := self._answers.first(record)) is not None:
            future.set_result(answer)
            return future
        completed = _completed(metadata, kind.name, command_id)
        metadata_text = _encoded("Metadata", completed)
        lane = self._aggregates.lane(kind.handler.aggregate, stream)
        within_s = self._settings.command_timeout_s
        if timeout_s is not None and timeout_s < within_s:
            within_s = timeout_s
        until = started + within_s
        lane.waiting.append(
            Wish(command, kind.handler, completed, metadata_text, record, expected_version, future, until, within_s)
        )
        self._make_ready(lane)
        return future

    # --- deciding ---

    def _make_ready(self, lane: Lane) -> None:
        """Have the lane's waiting commands decided, after its state is loaded if it is not in memory."""
        if lane.busy or not lane.waiting:
            return
        if lane.state is not None:
            self._ready[id(lane)] = lane
            self._appender.schedule(self._start_append)
            return
        lane.busy = True
        self._unloaded.append(lane)
        if len(self._loads) < CONCURRENT_LOADS:
            _keep(self._loads, self._load())

    def _start_append(self) -> None:
        now = self._clock.now()
        now_us = (now - _EPOCH) // _MICROSECOND
        batch: list[Decided] = []
        for lane in list(self._ready.values())[: self._lanes_to_take()]:
            room = self._settings.append_batch_size - len(batch)
            if room <= 0:
                break
            del self._ready[id(lane)]
            batch += lane.decide(self._codec, now, now_us, new_id, room, self._tracer)
        if batch:
            self._appender.append([each.commit for each in batch], lambda outcomes: self._settle(batch, outcomes))
        if self._ready:
            self._appender.schedule(self._start_append)

    def _lanes_to_take(self) -> int:
        """All that are ready; half of many while no append is under way, so that the store writes the one half while
        the other is decided. Taken all at once, deciding and writing would take turns for ever."""
        ready = len(self._ready)
        return ready if ready < _WORTH_HALVING or self._appender.under_way else (ready + 1) // 2

    # --- loading ---

    async def _load(self) -> None:
        """Load the lanes that wait for it in groups; the next group gathers meanwhile."""
        while self._unloaded:
            lanes, self._unloaded = self._unloaded[:256], self._unloaded[256:]
            try:
                await self._aggregates.load(lanes)
            except StoreUnavailableError as error:
                for lane in lanes:
                    lane.fail(error)
            except Exception as error:
                await self._load_one_by_one(lanes, error)
            for lane in lanes:
                self._let_go(lane)

    async def _load_one_by_one(self, lanes: Sequence[Lane], error: Exception) -> None:
        """One stream that can't be read must not fail its neighbours."""
        for lane in lanes:
            try:
                if len(lanes) == 1:
                    raise error
                await self._aggregates.load([lane])
            except TwofoldError as reason:
                lane.fail(reason)
            except Exception as reason:
                correlation_id, stream = new_id(), str(lane.stream)
                logger.error("load-failed", stream=stream, correlation_id=correlation_id, exc_info=reason)
                lane.fail(HandlerFailedError(f"an applier of {lane.aggregate.cls.__name__}", correlation_id))

    # --- outcomes ---

    def _settle(self, batch: Sequence[Decided], outcomes: Sequence[Outcome] | TwofoldError) -> None:
        lanes = {id(each.lane): each.lane for each in batch}
        if isinstance(outcomes, TwofoldError):
            for each in batch:
                each.lane.forget()
                _fail(each.wish, outcomes)
        else:
            self._settle_each(batch, outcomes)
        due = [lane for lane in lanes.values() if lane.snapshot_due() and not lane.broken]
        if due:
            _keep(self._others, self._aggregates.save_snapshots(self._aggregates.snapshots_of(due)))
        for lane in lanes.values():
            if lane.broken:
                lane.forget()
            if lane.losses > _FEW_LOSSES:
                pause_s = random.random() * min(lane.losses * _JITTER_S, _LONGEST_JITTER_S)
                asyncio.get_running_loop().call_later(pause_s, self._let_go, lane)
            else:
                self._let_go(lane)
        if self._ready:
            self._appender.schedule(self._start_append)

    def _let_go(self, lane: Lane) -> None:
        lane.busy = False
        self._make_ready(lane)

    def _settle_each(self, batch: Sequence[Decided], outcomes: Sequence[Outcome]) -> None:
        again: dict[int, list[Decided]] = {}
        lost: set[int] = set()
        for decided, outcome in zip(batch, outcomes, strict=True):
            wish, lane = decided.wish, id(decided.lane)
            match outcome:
                case Appended(version, position) if decided.refusal is None:
                    self._accept(wish, Accepted(decided.lane.stream, version, position, decided.events))
                case Appended() if lane not in again and decided.refusal is not None:
                    _fail(wish, decided.refusal)
                case Appended() | Conflict():
                    again.setdefault(lane, []).append(decided)
                    if isinstance(outcome, Conflict) and outcome.actual_version > decided.commit.expected_version:
                        lost.add(lane)
                case Duplicate(record):
                    if decided.events:
                        again.setdefault(lane, [])
                    self._replay_later(wish, record)
                case _:
                    assert_never(outcome)
        for lane in {id(each.lane): each.lane for each in batch}.values():
            if id(lane) in lost:
                lane.lost()
            elif id(lane) in again:
                lane.forget()
            else:
                lane.won()
            self._decide_again(lane, [each.wish for each in again.get(id(lane), ())])

    def _decide_again(self, lane: Lane, wishes: Sequence[Wish]) -> None:
        """Put the wishes back in front, in their order, unless they have lost too often."""
        for wish in reversed(wishes):
            wish.attempts += 1
            if wish.attempts >= self._settings.command_attempts:
                _fail(wish, ContentionError(str(lane.stream), wish.attempts))
            else:
                lane.waiting.appendleft(wish)

    # --- replays ---

    def _replay_later(self, wish: Wish, record: CommandRecord) -> None:
        assert wish.record is not None
        if record.fingerprint != wish.record.fingerprint:
            _fail(wish, CommandIdReusedError(record.command_id, str(record.stream)))
            return
        _keep(self._others, self._replay(wish, record))

    async def _replay(self, wish: Wish, record: CommandRecord) -> None:
        """Answer as at first: the events are read from the stream, where the record says that they are."""
        try:
            wanted = [(record.stream, record.version - record.event_count)]
            pages = await self._log.read_streams(wanted, max(1, record.event_count))
            events = tuple([self._codec.decode(stored) for stored in pages[0]][: record.event_count])
        except Exception as error:
            _fail(wish, error)
            return
        self._accept(wish, Accepted(record.stream, record.version, record.position, events, replayed=True))

    def _accept(self, wish: Wish, accepted: Accepted) -> None:
        if wish.record is not None:
            self._answers.remember(wish.record, accepted)
        if not wish.future.done():
            wish.future.set_result(accepted)


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[None, None, None]) -> None:
    """Run the work in a task that is referenced until it is done, as asyncio asks for."""
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _fail(wish: Wish, error: Exception) -> None:
    if not wish.future.done():
        wish.future.set_exception(error)


def _encoded(name: str, value: Any) -> bytes:
    try:
        return encode_json(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidMessageError(name, f"it can't be written as JSON: {error}") from None


def _record(name: str, command_id: str, text: bytes) -> NewRecord:
    if not command_id or len(command_id) > _MAX_COMMAND_ID or not command_id.isprintable():
        raise InvalidCommandIdError(command_id)
    return NewRecord(command_id, hashlib.blake2b(b"%s %s" % (name.encode(), text), digest_size=16).digest())


def _completed(given: Metadata | None, name: str, command_id: str | None) -> Metadata:
    """The caller's metadata with what Twofold adds: a command without a correlation id starts a conversation, and one
    without a cause is what its events were caused by."""
    this = command_id or (given.command_id if given else "") or new_id()
    correlation = given.correlation_id if given and given.correlation_id else this
    if given is None:
        return Metadata(command=name, command_id=this, correlation_id=correlation, causation_id=this)
    return Metadata(
        command=name,
        command_id=this,
        correlation_id=correlation,
        causation_id=given.causation_id or this,
        actor=given.actor,
        extra=given.extra,
        traceparent=given.traceparent,
        tracestate=given.tracestate,
    )
