"""Class ⇄ stored name ⇄ JSON, with upcasters from old event data to new.

What can't be read back is never written: an encoded event is decoded once before it goes into the log.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast

import msgspec

from twofold.errors import (
    DeclarationError,
    InvalidMessageError,
    MalformedJsonError,
    UndecodableEventError,
    shortened,
)
from twofold.messages import Event, Metadata, NewEvent, RawEvent, Recorded, utc
from twofold.streams import StreamId

__all__ = ["MAX_DEPTH", "EventCodec", "MessageCodec", "Upcaster", "encode_json", "upcast"]

E = TypeVar("E", bound=Event)
M = TypeVar("M")
OldData = dict[str, Any]

MAX_DEPTH = 64
"""How deep JSON may be nested: deeper text is refused before it is parsed."""

encode_json = msgspec.json.Encoder().encode
decode_metadata = msgspec.json.Decoder(Metadata).decode

# --- upcasters -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Upcaster:
    """A function from an event's data at one schema version to its data at the next."""

    event: type[Event]
    from_version: int
    function: Callable[[OldData], OldData]

    def __call__(self, data: OldData) -> OldData:
        return self.function(data)


def upcast(event: type[Event], *, from_version: int) -> Callable[[Callable[[OldData], OldData]], Upcaster]:
    """Declare how old data of an event becomes data of the next schema version; list it in the application.

    The function takes and returns the JSON object as a dict (decimals and times are strings in it).
    """
    if from_version < 1 or from_version >= event.schema_version:
        raise DeclarationError(
            f"@upcast({event.__name__}, from_version={from_version}): {event.__name__} is at version "
            f"{event.schema_version}; from_version must be 1 to {event.schema_version - 1}"
        )

    def declare(function: Callable[[OldData], OldData]) -> Upcaster:
        return Upcaster(event, from_version, function)

    return declare


# --- values that JSON Schema lets through and stores do not ----------------------------------------------------------

_SUSPECT = re.compile(
    rb"\d{19}|\\u0000|[\d.][eE][+-]?\d{3,}(?![0-9a-fA-F-])"
    rb'|"\s*[+-]?(?:[sS]?[nN][aA][nN]\d*|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)\s*"'
)
_FOLDED = bytes.maketrans(b"123456789+EINFA", b"000000000-einfa")
_LONG_NUMBER = "0" * 19
_INT64 = range(-(2**63), 2**63)
_MAX_EXPONENT = 100


def _is_suspect(encoded: bytes) -> bool:
    """Whether the JSON text may hold a value that can't be stored.

    The regular expression costs 20 times as much as looking for what every such value has in it, so it comes second.
    (Looked for in a str: `in` of bytes takes five times as long, since it first takes what it looks for for a number.)
    """
    folded = encoded.translate(_FOLDED).decode("latin-1")
    hinted = (
        "nan" in folded
        or "inf" in folded
        or "e000" in folded
        or "e-000" in folded
        or _LONG_NUMBER in folded
        or "\\u0000" in folded
    )
    return hinted and _SUSPECT.search(encoded) is not None


def _complaint(value: Any) -> str | None:
    """Why a plain value can't be stored, or None."""
    if isinstance(value, int) and value not in _INT64:
        return f"the integer {shortened(str(value), 24)} is out of range (64 bits, signed)"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a number that can be stored"
    if isinstance(value, Decimal) and not value.is_finite():
        return f"{value} is not a number that can be stored"
    if isinstance(value, Decimal) and abs(value.adjusted()) > _MAX_EXPONENT:
        return f"the decimal {shortened(str(value), 24)} is out of range (exponent up to {_MAX_EXPONENT})"
    if isinstance(value, str) and "\x00" in value:
        return "the text holds the character U+0000"
    return None


def _first_complaint(value: Any, pointer: str = "") -> tuple[str, str] | None:
    """The first value inside, depth first, that can't be stored: its JSON pointer and why."""
    inside: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        inside = cast("Mapping[Any, Any]", value).items()
    elif isinstance(value, list | tuple):
        inside = enumerate(cast("Iterable[Any]", value))
    else:
        why = _complaint(value)
        return (pointer, why) if why else None
    for step, inner in inside:
        here = f"{pointer}/{escaped(str(step))}"
        found = _first_complaint(step, here) or _first_complaint(inner, here)
        if found:
            return found
    return None


def check_storable(name: str, message: Any, encoded: bytes) -> None:
    """Raise InvalidMessageError for NaN, infinities, integers beyond 64 bits, U+0000 and decimals beyond 10^±100.

    Only text that looks suspect is looked at value by value, so ordinary messages pay for one scan.
    """
    if _is_suspect(encoded):
        _check_values(name, message)


def _check_values(name: str, message: Any) -> None:
    complaint = _first_complaint(msgspec.to_builtins(message, builtin_types=(Decimal,), str_keys=True))
    if complaint:
        raise InvalidMessageError(name, complaint[1], complaint[0])


def check_row(name: str, row: Iterable[Any]) -> None:
    """The same for the values of a read model's row, one by one."""
    for value in row:
        complaint = _complaint(value)
        if complaint:
            raise InvalidMessageError(name, complaint)


# --- messages from outside -------------------------------------------------------------------------------------------

_AT_PATH = re.compile(r"^(?P<reason>.*?)(?: - at `(?:key in )?\$?(?P<path>.*)`)?$", re.DOTALL)
_SOME_KEY = "..."
_LONGEST_COMPLAINT = 300
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def escaped(step: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return step.replace("~", "~0").replace("/", "~1")


def invalid(name: str, error: msgspec.ValidationError, kind: type[Any], given: Any) -> InvalidMessageError:
    """Msgspec's error with its path as a JSON pointer: "Expected `str`, got `int` - at `$.lines[2].sku`".

    `given` is what should have become a message of the kind, as plain values; it is used up.
    """
    found = _AT_PATH.match(str(error))
    assert found
    reason = found["reason"]
    steps = [field or index for field, index in _STEP.findall(found["path"] or "")]
    steps = _with_keys(steps, kind, given, str(error))
    if field := re.search(r"(?:missing required|contains unknown) field `([^`]+)`", reason):
        steps.append(field[1])
    pointer = "".join(f"/{escaped(step)}" for step in steps)
    if len(reason) + len(pointer) > _LONGEST_COMPLAINT:  # it quotes a name that the sender made up
        return InvalidMessageError(name, f"{reason[:_LONGEST_COMPLAINT]}…")
    return InvalidMessageError(name, reason, pointer)


def _with_keys(steps: list[str], kind: type[Any], given: Any, text: str) -> list[str]:
    """The steps with the keys of dicts, where msgspec writes `[...]`: the first key without which nothing is wrong."""
    inside, named = given, list[str]()
    for step in steps:
        if step != _SOME_KEY:
            named.append(step)
        elif isinstance(inside, dict):
            named.append(_first_wrong_key(cast("dict[str, Any]", inside), kind, given, text))
        else:  # the text could not be read again as plain values: point to the dict
            break
        inside = _value_at(inside, named[-1])
    return named


def _value_at(inside: Any, step: str) -> Any:
    match inside:
        case dict():
            return cast("dict[str, Any]", inside).get(step)
        case list():
            return cast("list[Any]", inside)[int(step)]
        case _:
            return None


def _first_wrong_key(inside: dict[str, Any], kind: type[Any], given: Any, text: str) -> str:
    """Found by halves, since a hostile dict is large. `inside`, a dict in `given`, keeps that key alone."""
    items = list(inside.items())
    while len(items) > 1:
        half = len(items) // 2
        inside.clear()
        inside.update(items[:half])
        items = items[:half] if _complaint_about(kind, given) == text else items[half:]
    inside.clear()
    inside.update(items)
    return items[0][0]


def _complaint_about(kind: type[Any], given: Any) -> str:
    try:
        msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


_NO_BRACKET = bytes(each for each in range(256) if each not in b"[]{}")


def is_too_deep(text: bytes) -> bool:
    """Whether the brackets of a JSON text are nested deeper than MAX_DEPTH, those inside strings left out."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    brackets = text.translate(None, _NO_BRACKET)
    for _ in range(4):  # ordinary text is flat: taking pairs away soon leaves nothing
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return bool(brackets) and depth(text) > MAX_DEPTH


def depth(text: bytes) -> int:
    level = deepest = 0
    for bracket in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text, re.DOTALL):
        first = bracket[0]
        if first in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif first in b"]}":
            level -= 1
    return deepest


def _plain(text: bytes) -> Any:
    """The JSON as plain values, or None: what is wrong may be followed by what is no JSON."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None


class MessageCodec(Generic[M]):
    """JSON to one kind of command or query, with errors that name the field."""

    def __init__(self, message: type[M], name: str) -> None:
        self.message, self.name = message, name
        self._decode = msgspec.json.Decoder(message).decode

    def decode(self, text: bytes) -> M:
        """The message; MalformedJsonError or InvalidMessageError when the text is none."""
        if is_too_deep(text):
            raise InvalidMessageError(self.name, f"the JSON is nested deeper than {MAX_DEPTH} levels")
        try:
            return self._decode(text)
        except msgspec.ValidationError as error:
            raise invalid(self.name, error, self.message, _plain(text)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedJsonError(self.name, str(error)) from None

    def from_texts(self, fields: Mapping[str, Any]) -> M:
        """The message from texts, as a URL's query string has them: "3" becomes 3 where the field is an integer."""
        try:
            message = msgspec.convert(fields, self.message, strict=False)
        except msgspec.ValidationError as error:
            raise invalid(self.name, error, self.message, None) from None
        _check_values(self.name, message)  # "nan" is a float as a text, and null as JSON
        return message


# --- events ----------------------------------------------------------------------------------------------------------


class EventCodec:
    """The events of one application, to and from what the log stores."""

    def __init__(self, events: Iterable[type[Event]], upcasters: Iterable[Upcaster] = ()) -> None:
        self.events: dict[str, type[Event]] = {event.stored_name: event for event in events}
        self._decoders = {name: msgspec.json.Decoder(event).decode for name, event in self.events.items()}
        self._upcasters = {(each.event.stored_name, each.from_version): each.function for each in upcasters}

    def encode(self, event: Event) -> tuple[NewEvent, Event]:
        """The event for the log, and the event as it will be read: what can't be read back raises."""
        kind = type(event)
        name = kind.stored_name
        if self.events.get(name) is not kind:
            raise UndecodableEventError(name, kind.schema_version, "the application does not know this event's class")
        try:
            data = encode_json(event)
            readable = self._decoders[name](data)
            check_storable(name, readable, data)
        except (TypeError, ValueError, OverflowError, RecursionError, InvalidMessageError) as error:
            raise UndecodableEventError(name, kind.schema_version, f"it can't be stored: {error}") from error
        return NewEvent(name, kind.schema_version, data), readable

    def decode(self, stored: RawEvent) -> Event:
        """The event of today's class, through the upcasters when it was stored at an older schema version."""
        kind = self.events.get(stored.type)
        if kind is None:
            raise UndecodableEventError(stored.type, stored.schema_version, "no event of this name is declared")
        data = stored.data
        if stored.schema_version != kind.schema_version:
            data = self._upcast(kind, stored)
        try:
            return self._decoders[stored.type](data)
        except (ValueError, RecursionError) as error:  # of msgspec, or text that is no UTF-8
            raise UndecodableEventError(stored.type, stored.schema_version, str(error)) from error

    def recorded(self, stored: RawEvent) -> Recorded[Event]:
        return Recorded(
            event=self.decode(stored),
            stream=StreamId.parse(stored.stream),
            version=stored.version,
            position=stored.position,
            recorded_at=utc(stored.recorded_at_us),
            metadata=decode_metadata(stored.metadata),
        )

    def _upcast(self, kind: type[Event], stored: RawEvent) -> bytes:
        if stored.schema_version > kind.schema_version:
            reason = f"it was written by newer code (today's version is {kind.schema_version})"
            raise UndecodableEventError(stored.type, stored.schema_version, reason)
        functions = [self._upcasters.get((stored.type, v)) for v in range(stored.schema_version, kind.schema_version)]
        if None in functions:
            missing = stored.schema_version + functions.index(None)
            reason = f"there is no upcaster from version {missing} (today's is {kind.schema_version})"
            raise UndecodableEventError(stored.type, stored.schema_version, reason)
        try:
            data = msgspec.json.decode(stored.data)
            for function in functions:
                assert function is not None
                data = function(data)
            return encode_json(data)
        except Exception as error:  # whatever a user's function raises: it is this event that can't be read
            reason = f"{type(error).__name__} while it was upcast: {error}"
            raise UndecodableEventError(stored.type, stored.schema_version, reason) from error
