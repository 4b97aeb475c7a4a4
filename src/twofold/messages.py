"""Commands, events and queries: frozen, keyword-only, typed values; and events as the log has them.

Commands and queries refuse unknown fields, events ignore them: a reader is tolerant of what a newer writer added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar, dataclass_transform

import msgspec

from twofold.errors import DeclarationError
from twofold.streams import Position, StreamId

__all__ = [
    "Command",
    "Event",
    "MessageMeta",
    "Metadata",
    "NewEvent",
    "Query",
    "RawEvent",
    "Recorded",
    "is_message",
    "utc",
]

A = TypeVar("A")
E = TypeVar("E", bound="Event", covariant=True)


if TYPE_CHECKING:
    # Type checkers are told of a plain base class: mypy does not look at class keywords under a metaclass.
    MessageMeta = type

    @dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
    class _Message:
        __struct_fields__: ClassVar[tuple[str, ...]]

else:

    class MessageMeta(msgspec.StructMeta):
        """Makes every message a frozen, keyword-only struct with a stored name.

        The garbage collector leaves messages alone (`gc=False`): frozen values form no cycles, a fold makes millions.
        """

        def __new__(mcls, class_name, bases, namespace, /, *, name=None, version=1, stale_ok_s=None, **options):
            is_base = msgspec.Struct in bases  # Command, Event and Query themselves, which may set options
            if not is_base:
                _check_keywords(class_name, name, version, options)
                _check_staleness(class_name, bases, stale_ok_s)
            if stale_ok_s is not None:  # else it is inherited
                namespace["stale_ok_s"] = stale_ok_s
            namespace["stored_name"] = class_name if name is None else name
            namespace["schema_version"] = version
            try:
                made = super().__new__(
                    mcls, class_name, bases, namespace, frozen=True, kw_only=True, gc=False, **options
                )
            except TypeError as error:
                raise DeclarationError(f"{class_name}: {error}") from None
            if taken := {"stored_name", "schema_version", "stale_ok_s"}.intersection(made.__struct_fields__):
                raise DeclarationError(f"{class_name}: {min(taken)!r} is not free for a field; give it another name")
            return made

    _Message = msgspec.Struct


def _check_keywords(class_name: str, name: Any, version: Any, options: Mapping[str, Any]) -> None:
    if options:
        raise DeclarationError(
            f"{class_name}: {min(options)!r} is no keyword of a message; there are name, for events version, and for "
            "queries stale_ok_s"
        )
    if name is not None and (not isinstance(name, str) or not name or not name.isprintable() or "/" in name):
        raise DeclarationError(f"{class_name}: name={name!r} can't be stored; use printable characters without /")
    if not isinstance(version, int) or version < 1:
        raise DeclarationError(f"{class_name}: version={version!r} is no schema version; use 1, 2, 3 …")


def _check_staleness(class_name: str, bases: tuple[type[Any], ...], stale_ok_s: Any) -> None:
    if stale_ok_s is None:
        return
    if not any(issubclass(base, Query) for base in bases):
        raise DeclarationError(f"{class_name}: stale_ok_s is for queries; answers can be stale, and nothing else")
    if not isinstance(stale_ok_s, int | float) or not 0 < stale_ok_s < math.inf:
        raise DeclarationError(f"{class_name}: stale_ok_s={stale_ok_s!r} is no age of an answer; use seconds, as in 30")


class Command(_Message, metaclass=MessageMeta, **({} if TYPE_CHECKING else {"forbid_unknown_fields": True})):
    """A wish to change the system, in the imperative: `class PlaceOrder(Command): order_id: str`."""

    stored_name: ClassVar[str]
    schema_version: ClassVar[int]

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, name: str | None = None) -> None: ...


class Event(_Message, metaclass=MessageMeta):
    """A fact that happened, in the past tense: `class OrderPlaced(Event, version=2): order_id: str`."""

    stored_name: ClassVar[str]
    schema_version: ClassVar[int]

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, name: str | None = None, version: int = 1) -> None: ...


class Query(_Message, Generic[A], metaclass=MessageMeta, **({} if TYPE_CHECKING else {"forbid_unknown_fields": True})):
    """A question with a typed answer: `class OrdersOf(Query[list[Order]]): customer: str`.

    `class OrdersOf(Query[list[Order]], stale_ok_s=30)` allows that over HTTP an answer of the last 30 seconds is given
    again when there can be no new one.
    """

    stored_name: ClassVar[str]
    schema_version: ClassVar[int]
    stale_ok_s: ClassVar[float | None] = None

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, name: str | None = None, stale_ok_s: float | None = None) -> None: ...


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is known of an event beside its facts. All events of one command share it.

    correlation_id names the whole conversation, causation_id the direct cause (a command id, or the position of an
    event as text), actor who asked, extra whatever the caller adds. traceparent and tracestate are the command's place
    in a trace, as the W3C writes it: what folds the event joins the trace there.
    """

    command: str = ""
    command_id: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    actor: str = ""
    extra: Mapping[str, str] = {}
    traceparent: str = ""
    tracestate: str = ""


class NewEvent(NamedTuple):
    """An event on its way into the log: stored name, schema version and JSON in UTF-8."""

    type: str
    schema_version: int
    data: bytes


class RawEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as a store returns it, not yet decoded. Times are microseconds since 1970-01-01 UTC."""

    position: Position
    stream: str
    version: int
    type: str
    schema_version: int
    data: bytes
    metadata: bytes
    recorded_at_us: int


class Recorded(msgspec.Struct, Generic[E], frozen=True, kw_only=True, gc=False):
    """An event with its place in the log."""

    event: E
    stream: StreamId
    version: int
    position: Position
    recorded_at: datetime
    metadata: Metadata


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc(microseconds: int) -> datetime:
    """The time so many microseconds after 1970-01-01 UTC, exactly (`fromtimestamp` rounds through a float)."""
    return _EPOCH + timedelta(microseconds=microseconds)


def is_message(value: Any, kind: type[Command] | type[Event] | type[Query[Any]]) -> bool:
    """True when the value is a class that a user declared as this kind of message."""
    return isinstance(value, type) and issubclass(value, kind) and value is not kind
