"""The declared system as one value. What is listed exists; nothing registers itself at import."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar, cast

from twofold.aggregate import Aggregate, AggregateType, Handler
from twofold.codec import EventCodec, MessageCodec, Upcaster
from twofold.declarations import check_fields
from twofold.errors import DeclarationError, UnknownMessageError, WrongServiceError
from twofold.messages import Command, Event, Query, is_message
from twofold.query import AnswerType, answer_of, is_answer
from twofold.read_model import ReadModel, ReadModelType

__all__ = ["Application", "CommandType", "Gap", "QueryType"]

T = TypeVar("T")
Component = type[Aggregate] | type[ReadModel] | type[Event] | Upcaster | Callable[..., Any] | ModuleType


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that the declarations leave open. An error can't run as meant; a note may be meant so."""

    severity: str
    component: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class CommandType:
    name: str
    handler: Handler
    codec: MessageCodec[Command]


@dataclass(frozen=True, slots=True, eq=False)
class QueryType:
    name: str
    answer: AnswerType
    codec: MessageCodec[Query[Any]]


class Application:
    """Aggregates, read models, answers and upcasters under one name: `Application("shop", [Order, Balance, orders])`.

    Modules may be listed too: the public components that they define are taken. DeclarationError says what is declared
    wrongly; `check()` lists what is left open.
    """

    def __init__(self, name: str, components: Sequence[Component]) -> None:
        self.name = name
        self._components = tuple(dict.fromkeys(_flattened(components)))
        self.aggregates = _by_name("aggregates", map(AggregateType.of, self._of(Aggregate)), lambda each: each.name)
        self.read_models = _by_name("read models", map(ReadModelType.of, self._of(ReadModel)), lambda each: each.name)
        _by_name("read models' tables", self.read_models.values(), lambda each: each.table.name)
        self.upcasters = tuple(each for each in self._components if isinstance(each, Upcaster))
        self.commands = _by_name("commands", self._command_types(), lambda each: each.name)
        self.queries = _by_name("queries", self._query_types(), lambda each: each.name)
        self.events = _by_name("events", self._event_types(), lambda each: each.stored_name)
        self.codec = EventCodec(self.events.values(), self.upcasters)
        self._whole = self
        self._included = ""
        self._handlers = {each.handler.command: each for each in self.commands.values()}
        self._answers = {each.answer.query: each for each in self.queries.values()}

    def __repr__(self) -> str:
        return f"<Application {self.name}>"

    def command_type(self, command: type[Command]) -> CommandType:
        """How this class of command is handled; UnknownMessageError when no listed aggregate does, WrongServiceError
        when one does that is left out here."""
        found = self._handlers.get(command)
        return found or self.command_named(command.stored_name)

    def command_named(self, name: str) -> CommandType:
        return self._named("command", self.commands, self._whole.commands, name)

    def query_type(self, query: type[Query[Any]]) -> QueryType:
        found = self._answers.get(query)
        return found or self.query_named(query.stored_name)

    def query_named(self, name: str) -> QueryType:
        return self._named("query", self.queries, self._whole.queries, name)

    def check(self) -> tuple[Gap, ...]:
        """Every gap between the declarations, errors first."""
        gaps = [*self._unhandled(), *self._unanswered(), *self._broken_upcasters(), *self._unheard(), *self._unread()]
        return tuple(sorted(gaps, key=lambda gap: gap.severity))

    def only(self, names: Iterable[str]) -> Application:
        """The part of the application that is named: what a service with `include` runs.

        An aggregate (by class or stored name) brings its commands, a read model the queries that view no other, a query
        the read models that it views. All events and upcasters stay: the log is one. DeclarationError for a name that
        is none of these.
        """
        names = tuple(names)
        wanted = [self._component_named(name) for name in names]
        rows = {each.cls for each in wanted if isinstance(each, ReadModelType)}
        answers = [
            each
            for each in self.queries.values()
            if each in wanted or (each.answer.views and {view for _, view in each.answer.views} <= rows)
        ]
        viewed = [view for each in answers for _, view in each.answer.views]
        kept: list[Component] = [each.cls for each in wanted if not isinstance(each, QueryType)]
        part = Application(
            self.name,
            [*kept, *viewed, *(each.answer.function for each in answers), *self.events.values(), *self.upcasters],
        )
        part._whole, part._included = self._whole, ", ".join(names)
        return part

    # --- reading the list ---

    def _named(self, kind: str, known: dict[str, T], whole: dict[str, T], name: str) -> T:
        found = known.get(name)
        if found is not None:
            return found
        if name in whole:
            raise WrongServiceError(kind, name, self._included)
        nearest = difflib.get_close_matches(name[:100], whole, n=1)
        raise UnknownMessageError(kind, name, nearest[0] if nearest else None)

    def _component_named(self, name: str) -> AggregateType | ReadModelType | QueryType:
        known = {each.cls.__name__: each for each in self.aggregates.values()} | self.aggregates
        found = known.get(name) or self.read_models.get(name) or self.queries.get(name)
        if found is None:
            there = [each.cls.__name__ for each in self.aggregates.values()] + [*self.read_models, *self.queries]
            nearest = difflib.get_close_matches(name, there, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(there)}"
            raise DeclarationError(f"{self.name} has no aggregate, read model or query {name!r}; {hint}")
        return found

    def _of(self, kind: type[T]) -> Iterator[type[T]]:
        for each in self._components:
            if isinstance(each, type) and issubclass(each, kind):
                yield each

    def _command_types(self) -> Iterator[CommandType]:
        for aggregate in self.aggregates.values():
            for handler in aggregate.handlers.values():
                name = handler.command.stored_name
                check_fields(handler.command)
                yield CommandType(name, handler, MessageCodec(handler.command, name))

    def _query_types(self) -> Iterator[QueryType]:
        for each in self._components:
            if is_answer(each):
                found = answer_of(cast("Callable[..., Any]", each))
                self._check_views(found)
                check_fields(found.query)
                yield QueryType(found.query.stored_name, found, MessageCodec(found.query, found.query.stored_name))

    def _check_views(self, found: AnswerType) -> None:
        listed = {each.cls for each in self.read_models.values()}
        for parameter, viewed in found.views:
            if viewed not in listed:
                raise DeclarationError(
                    f"{found.name}: {parameter!r} views {viewed.__name__}, which the application does not list; add it"
                )

    def _event_types(self) -> Iterable[type[Event]]:
        found: dict[type[Event], None] = dict.fromkeys(self._of(Event))
        for aggregate in self.aggregates.values():
            found.update(dict.fromkeys(sorted(aggregate.events, key=lambda event: event.stored_name)))
        for read_model in self.read_models.values():
            found.update(dict.fromkeys(read_model.handlers))
        found.update(dict.fromkeys(each.event for each in self.upcasters))
        for event in found:
            check_fields(event)
        return found

    # --- gaps ---

    def _declared_beside(self, kind: Any) -> Iterator[Any]:
        """Messages of a kind in the modules that the components come from."""
        modules = {getattr(each, "__module__", "") for each in self._components}
        for module in sorted(modules):
            for value in vars(sys.modules.get(module, ModuleType(module))).values():
                if is_message(value, kind) and value.__module__ == module:
                    yield value

    def _unhandled(self) -> Iterator[Gap]:
        for command in self._declared_beside(Command):
            if command not in self._handlers:
                yield Gap("error", command.__name__, "no listed aggregate handles this command; add a @handle method")

    def _unanswered(self) -> Iterator[Gap]:
        for query in self._declared_beside(Query):
            if query not in self._answers:
                yield Gap("error", query.__name__, "no listed function answers this query; add an @answer")

    def _broken_upcasters(self) -> Iterator[Gap]:
        known = {(each.event, each.from_version) for each in self.upcasters}
        for event in self.events.values():
            for version in range(1, event.schema_version):
                if (event, version) not in known:
                    text = f"is at version {event.schema_version} and has no upcaster from version {version}"
                    yield Gap("error", event.__name__, text)

    def _unheard(self) -> Iterator[Gap]:
        applied = {event for each in self.aggregates.values() for event in each.appliers}
        folded = {event for each in self.read_models.values() for event in each.handlers}
        for event in self.events.values():
            if event not in applied | folded:
                yield Gap("note", event.__name__, "nothing applies or folds this event")

    def _unread(self) -> Iterator[Gap]:
        viewed = {view for each in self.queries.values() for _, view in each.answer.views}
        for read_model in self.read_models.values():
            if read_model.cls not in viewed:
                yield Gap("note", read_model.name, "no answer views this read model")


def _flattened(components: Iterable[Component]) -> Iterator[Component]:
    for each in components:
        if isinstance(each, ModuleType):
            yield from _public_components(each)
        elif _is_component(each):
            yield each
        else:
            raise DeclarationError(
                f"{each!r} is no component; list aggregates, read models, @answer functions, upcasters, events, modules"
            )


def _public_components(module: ModuleType) -> Iterator[Component]:
    exported = getattr(module, "__all__", ())
    for name, value in vars(module).items():
        own = inspect.getmodule(value) is module if not isinstance(value, Upcaster) else True
        if not name.startswith("_") and (own or name in exported) and _is_component(value):
            yield value


def _is_component(value: object) -> bool:
    bases = (Aggregate, ReadModel, Event)
    if isinstance(value, type):
        return issubclass(value, bases) and value not in bases
    return isinstance(value, Upcaster) or is_answer(value)


def _by_name(what: str, found: Iterable[T], name_of: Callable[[T], str]) -> dict[str, T]:
    named: dict[str, T] = {}
    for each in found:
        name = name_of(each)
        if name in named:
            raise DeclarationError(f"two {what} are named {name!r}: {named[name]} and {each}; give one name=...")
        named[name] = each
    return named
