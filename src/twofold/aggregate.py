"""Aggregates: decide commands, evolve by events.

A handler decides and changes nothing; an applier changes `self` and never refuses. So the same events always make the
same state, live and after a restart.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

import msgspec

from twofold.declarations import (
    Marked,
    State,
    StateMeta,
    admits_none,
    check_fields,
    check_plain_method,
    classes_in,
    code_fingerprint,
    fields_of,
    hints_of,
    mark,
    marked,
    parameters_of,
)
from twofold.errors import AlreadyExistsError, DeclarationError, NotFoundError
from twofold.messages import Command, Event, Metadata
from twofold.streams import StreamId

__all__ = ["Aggregate", "AggregateType", "Context", "Handler", "apply", "handle"]

Decision = Event | Iterable[Event] | None
HandlerFunction = TypeVar("HandlerFunction", bound=Callable[..., Decision])
ApplierFunction = TypeVar("ApplierFunction", bound=Callable[..., None])


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision may know beside its command and its state: given from outside, so that it can be repeated.

    `now` is UTC. `new_id()` gives a new id, other in every call, 32 characters of hexadecimal.
    """

    now: datetime
    metadata: Metadata
    new_id: Callable[[], str]

    @property
    def actor(self) -> str:
        """Who sent the command, as the caller said; "" when unknown."""
        return self.metadata.actor


@dataclass(frozen=True, slots=True)
class _Handle:
    creates: bool


@dataclass(frozen=True, slots=True)
class _Apply:
    pass


@overload
def handle(function: HandlerFunction, /) -> HandlerFunction: ...
@overload
def handle(*, creates: bool = False) -> Callable[[HandlerFunction], HandlerFunction]: ...
def handle(function: Any = None, /, *, creates: bool = False) -> Any:
    """Mark a method that decides a command: `def place(self, command: PlaceOrder) -> OrderPlaced`.

    It returns one event, an iterable of events or None; it changes nothing and does no I/O. `creates=True` opens the
    stream. A second parameter `context: Context` brings time, actor and new ids. `raise Rejected(...)` refuses.
    """

    def declare(method: Callable[..., Any]) -> Callable[..., Any]:
        return mark(method, _Handle(creates=creates))

    return declare if function is None else declare(function)


def apply(function: ApplierFunction, /) -> ApplierFunction:
    """Mark a method that evolves the state: `def placed(self, event: OrderPlaced) -> None`. It never refuses."""
    return mark(function, _Apply())


class Aggregate(State, metaclass=StateMeta):
    """A consistency boundary: `class Account(Aggregate, key="account_id")`, with typed fields that have defaults.

    `key` names the command field that holds the aggregate's key; a field of that name, if declared, is filled with it.
    `name` overrides the stream's category (default: the class's name in lower case). `snapshot_every` stores the state
    after so many events, so that a cold aggregate loads quickly.
    """

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, key: str, name: str | None = None, snapshot_every: int | None = None) -> None: ...

    _allowed: ClassVar[tuple[str, ...]] = ("key", "name", "snapshot_every")

    @classmethod
    def check_keywords(cls, keywords: Mapping[str, Any]) -> None:
        name = cls.__name__
        if "Aggregate" not in globals():  # the base class itself
            return
        if unknown := [each for each in keywords if each not in cls._allowed]:
            raise DeclarationError(f"{name}: {unknown[0]!r} is no keyword of an aggregate; there are {cls._allowed}")
        if not isinstance(keywords.get("key"), str):
            raise DeclarationError(f'{name}: an aggregate needs a key; write class {name}(Aggregate, key="..._id")')
        every = keywords.get("snapshot_every")
        if every is not None and (not isinstance(every, int) or every < 1):
            raise DeclarationError(f"{name}: snapshot_every={every!r} counts events; use a number from 1, or None")
        category = keywords.get("name")
        if category is not None and (not isinstance(category, str) or not category.isidentifier()):
            raise DeclarationError(f"{name}: name={category!r} can't name streams; use letters, digits and underscores")


@dataclass(frozen=True, slots=True)
class Handler:
    """How one command is decided: by which aggregate's method, and whether it opens the stream."""

    command: type[Command]
    aggregate: AggregateType
    name: str
    function: Callable[..., Decision]
    creates: bool
    wants_context: bool
    events: tuple[type[Event], ...]

    def decide(self, state: Aggregate, command: Command, context: Callable[[], Context]) -> tuple[Event, ...]:
        """The events that the command makes on this state; whatever the method raises."""
        decision = self.function(state, command, context()) if self.wants_context else self.function(state, command)
        if decision is None:
            return ()
        if isinstance(decision, Event):
            return (decision,)
        events = tuple(decision)
        for event in events:
            if not isinstance(event, Event):  # pyright: ignore[reportUnnecessaryIsInstance] - users may be untyped
                raise TypeError(f"{self.name} returned {type(event).__name__} among its events")
        return events

    def stream(self, command: Command) -> StreamId:
        return StreamId.of(self.aggregate.name, getattr(command, self.aggregate.key))

    def check_start(self, stream: StreamId, version: int) -> None:
        """Refuse to open a stream that has events, and anything else on one that has none."""
        if self.creates and version:
            raise AlreadyExistsError(str(stream), self.command.stored_name, version)
        if not self.creates and not version:
            raise NotFoundError(str(stream), self.command.stored_name)


@dataclass(frozen=True, slots=True, eq=False)
class AggregateType:
    """An aggregate's class as it was read: category, key, handlers, appliers and the fingerprint of its state."""

    cls: type[Aggregate]
    name: str
    key: str
    snapshot_every: int | None
    fingerprint: str
    handlers: dict[type[Command], Handler] = field(default_factory=dict[type[Command], Handler])
    appliers: dict[type[Event], Callable[[Any, Any], None]] = field(
        default_factory=dict[type[Event], Callable[[Any, Any], None]]
    )
    key_type: Any = None
    """Of the field that holds the key, where the aggregate declares one."""

    @classmethod
    def of(cls, aggregate: type[Aggregate]) -> AggregateType:
        """Read the class; DeclarationError names class, method and cure."""
        keywords = aggregate.declared_keywords
        fields = {each.name: each for each in fields_of(aggregate, aggregate.__name__)}
        _check_fields(aggregate, keywords, fields)
        appliers = [(each, _applied(aggregate, each)) for each in marked(aggregate, _Apply)]
        made = cls(
            cls=aggregate,
            name=keywords.get("name") or aggregate.__name__.lower(),
            key=keywords["key"],
            snapshot_every=keywords.get("snapshot_every"),
            fingerprint=_fingerprint(aggregate, fields.values(), appliers),
            key_type=fields[keywords["key"]].type if keywords["key"] in fields else None,
        )
        for each, events in appliers:
            for event in events:
                _add(made.appliers, event, each.function, f"{aggregate.__name__}.{each.name}")
        for each in marked(aggregate, _Handle):
            for handler in _handlers(made, each):
                _add(made.handlers, handler.command, handler, handler.name)
        return made

    def initial(self, key: str) -> Aggregate:
        """The state of a stream without events."""
        if self.key_type is None:
            return self.cls()
        value = key if self.key_type is str else msgspec.convert(key, self.key_type, strict=False)
        return self.cls(**{self.key: value})

    def apply(self, state: Aggregate, event: Event) -> None:
        applier = self.appliers.get(type(event))
        if applier is not None:
            applier(state, event)

    @property
    def events(self) -> set[type[Event]]:
        return {event for handler in self.handlers.values() for event in handler.events} | set(self.appliers)


def _check_fields(
    aggregate: type[Aggregate], keywords: Mapping[str, Any], fields: Mapping[str, msgspec.structs.FieldInfo]
) -> None:
    where = aggregate.__name__
    for name, each in fields.items():
        if each.required and name != keywords["key"]:
            raise DeclarationError(f"{where}.{name} has no default; every field of an aggregate but its key needs one")
    if keywords.get("snapshot_every") is not None:
        check_fields(aggregate)  # a snapshot is JSON


def _add(into: dict[Any, Any], key: type, value: Any, where: str) -> None:
    if key in into:
        raise DeclarationError(f"{where}: {key.__name__} has a method already; one method for each")
    into[key] = value


def _only_parameters(where: str, function: Callable[..., Any], *known: str) -> list[tuple[str, Any]]:
    parameters = parameters_of(function, where)
    if not 1 <= len(parameters) <= len(known):
        raise DeclarationError(f"{where}: takes {len(parameters)} parameters beside self; take {', '.join(known)}")
    return parameters


def _check_key(where: str, aggregate: AggregateType, command: type[Command]) -> None:
    if aggregate.key not in command.__struct_fields__:
        raise DeclarationError(
            f"{where}: {command.__name__} has no field {aggregate.key!r}, the key of {aggregate.cls.__name__}; "
            "add it to the command"
        )
    if admits_none(hints_of(command, command.__name__)[aggregate.key]):
        raise DeclarationError(
            f"{where}: {command.__name__}.{aggregate.key} is the key of {aggregate.cls.__name__} and may be None; "
            "annotate it without None"
        )


def _handlers(aggregate: AggregateType, method: Marked) -> list[Handler]:
    where = f"{aggregate.cls.__name__}.{method.name}"
    if inspect.iscoroutinefunction(method.function) or inspect.isasyncgenfunction(method.function):
        raise DeclarationError(f"{where}: is asynchronous, but may do no I/O; write def instead of async def")
    parameters = _only_parameters(where, method.function, "a command", "perhaps a Context")
    commands = classes_in(parameters[0][1], Command)
    if not commands:
        raise DeclarationError(f"{where}: the first parameter must be annotated with a command (or a union of them)")
    if len(parameters) == 2 and parameters[1][1] is not Context:
        raise DeclarationError(f"{where}: the second parameter can only be a Context; annotate it so, or drop it")
    for command in commands:
        _check_key(where, aggregate, command)
    returned = hints_of(method.function, where).get("return")
    events = tuple(classes_in(returned, Event))
    if Event in events or (not events and returned is not types.NoneType):
        raise DeclarationError(f"{where}: annotate what it returns with its events, for example -> OrderPlaced | None")
    wants_context = len(parameters) == 2
    return [
        Handler(command, aggregate, where, method.function, method.mark.creates, wants_context, events)
        for command in commands
    ]


def _applied(aggregate: type[Aggregate], method: Marked) -> list[type[Event]]:
    where = f"{aggregate.__name__}.{method.name}"
    check_plain_method(method.function, where)
    events = classes_in(_only_parameters(where, method.function, "an event")[0][1], Event)
    if not events or Event in events:
        raise DeclarationError(f"{where}: the parameter must be annotated with an event (or a union of them)")
    return events


def _fingerprint(
    aggregate: type[Aggregate],
    fields: Iterable[msgspec.structs.FieldInfo],
    appliers: list[tuple[Marked, list[type[Event]]]],
) -> str:
    state = [part for each in fields for part in (each.name, each.type, each.default, each.default_factory)]
    names = [(each.name, [(event.stored_name, event.schema_version) for event in events]) for each, events in appliers]
    return code_fingerprint(*state, *names, *(each.function for each, _ in appliers), owner=aggregate)
