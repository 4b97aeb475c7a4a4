"""given/when/then for aggregates: what one decides, without a system around it.

The decision goes through the code that the runtime uses. Beyond what the test says it is checked that the handler
changed nothing, and that its events are read back as they were made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any

import msgspec

from twofold.aggregate import Aggregate, AggregateType, Context, Handler
from twofold.codec import EventCodec
from twofold.errors import InvalidInputError, RefusedError, TwofoldError, UndecodableEventError
from twofold.messages import Command, Event, Metadata
from twofold.testing.clocks import FIRST_NOON

__all__ = ["GivenStream", "Outcome", "given"]

aggregate_type = cache(AggregateType.of)


@cache
def codec_of(events: frozenset[type[Event]]) -> EventCodec:
    return EventCodec(events)


def given(aggregate: type[Aggregate], /, *history: Event) -> GivenStream:
    """A stream with this history: `given(Account, AccountOpened(...)).when(Deposit(...)).then(Deposited(...))`.

    Without events the stream is not there yet. The same story may be continued with `when` several times; each starts
    from the history.
    """
    return GivenStream(aggregate_type(aggregate), history)


class GivenStream:
    """A stream of one aggregate, before the command."""

    def __init__(self, aggregate: AggregateType, history: Sequence[Event]) -> None:
        self._aggregate = aggregate
        self._codec = codec_of(frozenset(aggregate.events | {type(event) for event in history}))
        self._history = [_stored(self._codec, event, "the test gave") for event in history]

    def when(
        self,
        command: Command,
        *,
        now: datetime = FIRST_NOON,
        actor: str = "",
        ids: Iterable[str] | None = None,
        metadata: Metadata | None = None,
    ) -> Outcome:
        """Decide the command. What a handler raises beside refusals is a bug, and is raised.

        `now` (with its zone), `actor`, `metadata` and `ids` (those that `new_id()` gives, one after another) make the
        handler's context. Unless the test says otherwise it is noon on 2030-01-01 and the ids are id-1, id-2 and so on.
        """
        handler = self._handler_of(command)
        known = metadata or Metadata(command=command.stored_name, command_id="test", correlation_id="test", actor=actor)
        context = Context(now=_with_zone(now), metadata=known, new_id=_ids(ids))
        try:
            return Outcome(handler, command, self._decided(handler, command, context), None)
        except (RefusedError, InvalidInputError) as refusal:
            return Outcome(handler, command, (), refusal)

    def _handler_of(self, command: Command) -> Handler:
        handler = self._aggregate.handlers.get(type(command))
        if handler is None:
            known = ", ".join(each.__name__ for each in self._aggregate.handlers) or "no command"
            raise AssertionError(f"{self._aggregate.cls.__name__} handles {known}; not {type(command).__name__}")
        return handler

    def _decided(self, handler: Handler, command: Command, context: Context) -> tuple[Event, ...]:
        stream = handler.stream(command)
        state = self._state(stream.key)
        before = _plain(state)
        handler.check_start(stream, len(self._history))
        try:
            events = handler.decide(state, command, lambda: context)
        finally:
            _check_unchanged(handler.name, before, _plain(state))
        stored = tuple(_stored(self._codec, event, f"{handler.name} made") for event in events)
        self._evolve(state, stored, f"{handler.name} made")
        return stored

    def _state(self, key: str) -> Aggregate:
        state = self._aggregate.initial(key)
        self._evolve(state, self._history, "the test gave")
        return state

    def _evolve(self, state: Aggregate, events: Iterable[Event], origin: str) -> None:
        for event in events:
            try:
                self._aggregate.apply(state, event)
            except Exception as error:
                error.add_note(f"while {self._aggregate.cls.__name__} applied what {origin}: {event}")
                raise


class Outcome:
    """What became of a command: events, or a refusal."""

    def __init__(
        self, handler: Handler, command: Command, events: tuple[Event, ...], refusal: TwofoldError | None
    ) -> None:
        self._title = f"{handler.name} decided {command}"
        self._events, self._refusal = events, refusal

    def then(self, first: Event, /, *others: Event) -> None:
        """It made exactly these events, in this order."""
        __tracebackhide__ = True
        expected = (first, *others)
        if self._refusal is not None or self._events != expected:
            self._fail(f"expected {_listed(expected)}", *_differences(expected, self._events))

    def then_nothing(self) -> None:
        """It was accepted and made no event."""
        __tracebackhide__ = True
        if self._refusal is not None or self._events:
            self._fail("expected no event")

    def then_rejected(self, code: str) -> None:
        """It was refused with this code: the domain's own, or "not-found", "already-exists"."""
        __tracebackhide__ = True
        if self._refusal is None or self._refusal.code != code:
            self._fail(f"expected the refusal {code!r}")

    def then_error(self, kind: type[TwofoldError]) -> None:
        """It was refused with an error of this class."""
        __tracebackhide__ = True
        if not isinstance(self._refusal, kind):
            self._fail(f"expected the refusal {kind.__name__}")

    def _fail(self, expected: str, *more: str) -> None:
        __tracebackhide__ = True
        if self._refusal is None:
            actual = f"it made  {_listed(self._events)}"
        else:
            actual = f"it was refused with {type(self._refusal).__name__} {self._refusal.code!r}: {self._refusal}"
        raise AssertionError("\n  ".join([self._title, expected, actual, *more]))


def _with_zone(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise ValueError(f"now={now!r} has no zone; a handler is given UTC: now=datetime(..., tzinfo=UTC)")
    return now.astimezone(UTC)


def _ids(wanted: Iterable[str] | None) -> Callable[[], str]:
    if wanted is None:
        numbers = count(1)
        return lambda: f"id-{next(numbers)}"
    given_ids = tuple(wanted)
    left = iter(given_ids)

    def new_id() -> str:
        for each in left:
            return each
        raise AssertionError(f"the handler asked for one id more than the test gave: ids={list(given_ids)}")

    return new_id


def _stored(codec: EventCodec, event: Event, origin: str) -> Event:
    """The event as it is read back; AssertionError when that is not the event that was made."""
    try:
        _, readable = codec.encode(event)
    except UndecodableEventError as error:
        raise AssertionError(f"{origin} {event}, which can't be recorded: {error}") from error
    if readable != event:
        raise AssertionError(f"{origin} {event}, which is read back as another: {readable}")
    return readable


def _plain(state: Aggregate) -> dict[str, Any]:
    """The state as plain values, apart from the state: later changes of it don't show."""
    return msgspec.to_builtins(state, enc_hook=repr, order="deterministic")


def _check_unchanged(handler: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    changed = [f"{name} from {before[name]!r} to {after[name]!r}" for name in before if before[name] != after[name]]
    if changed:
        raise AssertionError(
            f"{handler} changed {', '.join(changed)}; a handler decides and changes nothing: "
            "return an event, and change the state in a method marked @apply"
        )


def _listed(events: Sequence[Event]) -> str:
    if len(events) == 1:
        return str(events[0])
    return f"{len(events)} events" + "".join(f"\n    {number} {event}" for number, event in enumerate(events, start=1))


def _differences(expected: Sequence[Event], actual: Sequence[Event]) -> Iterator[str]:
    """Field by field, for pairs of events of one class."""
    for number, (wanted, made) in enumerate(zip(expected, actual, strict=False), start=1):
        if type(wanted) is type(made):
            for name in wanted.__struct_fields__:
                if getattr(wanted, name) != getattr(made, name):
                    yield (
                        f"event {number}, {type(made).__name__}.{name}: "
                        f"expected {getattr(wanted, name)!r}, made {getattr(made, name)!r}"
                    )
