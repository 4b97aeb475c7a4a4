import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold import Command, DeclarationError, Event, Metadata, upcast
from twofold.codec import MAX_DEPTH, EventCodec, MessageCodec, check_storable, depth, encode_json, escaped
from twofold.errors import InvalidMessageError, MalformedJsonError, UndecodableEventError
from twofold.messages import RawEvent
from twofold.streams import Position, StreamId


class Status(Enum):
    OPEN = "open"
    SHUT = "shut"


class Level(Enum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Line:
    sku: str
    price: Decimal
    note: str | None = None


class Everything(Event):
    text: str
    number: int
    share: float
    done: bool
    amount: Decimal
    at: datetime
    local: datetime
    day: date
    token: UUID
    digest: bytes
    status: Status
    level: Level
    line: Line
    lines: list[Line]
    by_name: dict[str, Line]
    by_day: dict[date, Decimal]
    either: int | str | None = None
    nested: list[dict[str, list[Decimal | None]]] = []


def stored(event: type[Event] | str, data: bytes, *, version: int = 1) -> RawEvent:
    name = event if isinstance(event, str) else event.stored_name
    return RawEvent(Position(7), "order-1", 3, name, version, data, b'{"actor":"ann"}', 1_000_001)


# --- values survive exactly ------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
INT64 = st.integers(-(2**63), 2**63 - 1)
MONEY = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)
ZONES = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)
LINE = st.builds(Line, sku=TEXT, price=MONEY, note=st.none() | TEXT)


@given(
    st.builds(
        Everything,
        text=TEXT,
        number=INT64,
        share=st.floats(allow_nan=False, allow_infinity=False),
        done=st.booleans(),
        amount=MONEY,
        at=st.datetimes(timezones=ZONES),
        local=st.datetimes(),
        day=st.dates(),
        token=st.uuids(),
        digest=st.binary(),
        status=st.sampled_from(Status),
        level=st.sampled_from(Level),
        line=LINE,
        lines=st.lists(LINE),
        by_name=st.dictionaries(TEXT, LINE),
        by_day=st.dictionaries(st.dates(), MONEY),
        either=INT64 | TEXT | st.none(),
        nested=st.lists(st.dictionaries(TEXT, st.lists(MONEY | st.none()))),
    )
)
def test_every_value_of_an_event_survives_exactly(event: Everything) -> None:
    codec = EventCodec([Everything])
    new, readable = codec.encode(event)
    again = codec.decode(stored(Everything, new.data))
    assert again == readable == event
    assert isinstance(again, Everything)
    assert str(again.amount) == str(event.amount), "the scale of a decimal is part of it"
    assert again.at.utcoffset() == event.at.utcoffset()
    assert again.local.tzinfo is None


@given(st.decimals(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number.adjusted()) <= 99))
def test_a_decimal_keeps_sign_digits_and_exponent(amount: Decimal) -> None:
    class Paid(Event):
        amount: Decimal

    codec = EventCodec([Paid])
    new, _ = codec.encode(Paid(amount=amount))
    again = codec.decode(stored(Paid, new.data))
    assert isinstance(again, Paid)
    assert again.amount.as_tuple() == amount.as_tuple()


def test_a_recorded_event_has_its_place_its_time_and_its_metadata() -> None:
    class Opened(Event):
        owner: str

    recorded = EventCodec([Opened]).recorded(stored(Opened, b'{"owner":"ann"}'))
    assert recorded.event == Opened(owner="ann")
    assert (recorded.stream, recorded.version, recorded.position) == (StreamId("order", "1"), 3, 7)
    assert recorded.recorded_at == datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)
    assert recorded.metadata == Metadata(actor="ann")


# --- events that can't be written or read ----------------------------------------------------------------------------


class Priced(Event):
    sku: str
    price: Any = None


class Sold(Event):
    price: Decimal = Decimal(0)
    share: float = 0.0
    units: int = 0
    note: str = ""


@pytest.mark.parametrize(
    "sold",
    [
        *(Sold(price=Decimal(price)) for price in ("NaN", "-Infinity", "sNaN", "1E+1000", "1E-1000")),
        *(Sold(share=float(share)) for share in ("nan", "inf", "-inf")),
        *(Sold(units=units) for units in (2**63, -(2**63) - 1, 10**5_000)),
        Sold(note="a\x00b"),
    ],
    ids=lambda sold: "",
)
def test_an_event_that_could_not_be_read_back_is_not_written(sold: Sold) -> None:
    with pytest.raises(UndecodableEventError, match="it can't be stored"):
        EventCodec([Sold]).encode(sold)


@pytest.mark.parametrize("price", [object(), {(1, 2): 3}, "\ud800", [{1, 2}, object()]], ids=repr)
def test_a_value_that_json_has_not_is_not_written(price: object) -> None:
    with pytest.raises(UndecodableEventError, match="it can't be stored"):
        EventCodec([Priced]).encode(Priced(sku="mug", price=price))


def test_a_field_of_a_wrong_type_is_not_written() -> None:
    with pytest.raises(UndecodableEventError, match=r"Expected `str`, got `int`"):
        EventCodec([Priced]).encode(Priced(sku=3))  # pyright: ignore[reportArgumentType]


def test_an_event_of_another_class_is_not_written_even_if_its_name_is_known() -> None:
    class Other(Event, name="Priced"):
        sku: str

    with pytest.raises(UndecodableEventError, match="the application does not know this event's class"):
        EventCodec([Priced]).encode(Other(sku="mug"))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (stored("Gone", b"{}"), "event Gone of schema version 1: no event of this name is declared"),
        (stored(Priced, b"{}"), "Object missing required field `sku`"),
        (stored(Priced, b'{"sku": 3}'), r"Expected `str`, got `int`"),
        (stored(Priced, b'{"sku"'), "truncated"),
        (stored(Priced, b"{}", version=2), r"it was written by newer code \(today's version is 1\)"),
        (stored(Priced, b'{"sku": "\xff"}'), "utf-8"),
    ],
)
def test_a_stored_event_that_is_not_of_this_application_says_why(event: RawEvent, reason: str) -> None:
    with pytest.raises(UndecodableEventError, match=reason):
        EventCodec([Priced]).decode(event)


# --- upcasters -------------------------------------------------------------------------------------------------------


class Moved(Event, version=3):
    street: str
    country: str
    paid: Decimal


@upcast(Moved, from_version=1)
def with_country(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "country": "GB"}


@upcast(Moved, from_version=2)
def with_decimal(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "paid": str(data["paid"])}


def test_old_data_is_read_through_every_upcaster_on_its_way() -> None:
    codec = EventCodec([Moved], [with_decimal, with_country])
    moved = Moved(street="Main", country="GB", paid=Decimal(3))
    assert codec.decode(stored(Moved, b'{"street": "Main", "paid": 3}', version=1)) == moved
    assert codec.decode(stored(Moved, b'{"street": "Main", "paid": 3, "country": "GB"}', version=2)) == moved
    assert codec.decode(stored(Moved, encode_json(moved), version=3)) == moved
    assert codec.encode(moved)[0].schema_version == 3


def test_an_upcaster_stays_a_function_that_can_be_tested() -> None:
    assert with_country({"street": "Main"}) == {"street": "Main", "country": "GB"}


def test_a_gap_in_the_chain_names_the_missing_upcaster() -> None:
    with pytest.raises(UndecodableEventError, match=r"there is no upcaster from version 2 \(today's is 3\)"):
        EventCodec([Moved], [with_country]).decode(stored(Moved, b'{"street": "Main", "paid": 3}', version=1))


@pytest.mark.parametrize("data", [b'{"street": "Main"}', b"[1]", b'{"street"', b"\xff"])
def test_an_upcaster_that_fails_makes_the_event_undecodable(data: bytes) -> None:
    """`with_decimal` raises KeyError: that too must say which event, and not look like a bug elsewhere."""
    with pytest.raises(UndecodableEventError, match="Moved of schema version 2"):
        EventCodec([Moved], [with_decimal]).decode(stored(Moved, data, version=2))


@pytest.mark.parametrize("from_version", [0, 3, 4])
def test_an_upcaster_from_a_version_that_is_not_older_is_refused(from_version: int) -> None:
    with pytest.raises(DeclarationError) as mistake:
        upcast(Moved, from_version=from_version)
    assert str(mistake.value) == (
        f"@upcast(Moved, from_version={from_version}): Moved is at version 3; from_version must be 1 to 2"
    )


# --- messages from outside -------------------------------------------------------------------------------------------


class Inner(Command):
    sku: str
    prices: dict[str, Decimal] = {}


class Send(Command):
    sku: str = ""
    number: int = 0
    amount: Decimal = Decimal(0)
    share: float = 0.0
    at: datetime | None = None
    lines: list[Inner] = []
    by_name: dict[str, int] = {}
    by_list: dict[str, list[dict[str, int]]] = {}
    anything: Any = None


CODEC = MessageCodec(Send, "Send")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{'sku': 1}", b'{"sku": "\xff"}', b'{"sku": "\\ud800"}', b"\xef\xbb\xbf{}"]
)
def test_what_is_no_json_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(MalformedJsonError, match=r"^Send: the text is not valid JSON: .*; nothing was done$"):
        CODEC.decode(text)


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (b"[]", ""),
        (b'{"sku": 3}', "/sku"),
        (b'{"unknown": 3}', "/unknown"),
        (b'{"a/b~c": 3}', "/a~1b~0c"),
        (b'{"lines": [{"sku": "a"}, {"sku": 3}]}', "/lines/1/sku"),
        (b'{"lines": [{"sku": "a"}, {}]}', "/lines/1/sku"),
        (b'{"lines": [{"sku": "a", "more": 1}]}', "/lines/0/more"),
        (b'{"at": "yesterday"}', "/at"),
        (b'{"by_name": {"ok": 1, "bad": "x"}}', "/by_name/bad"),
        (b'{"by_name": {"a/b": "x"}}', "/by_name/a~1b"),
        (b'{"by_list": {"ok": [], "k": [{}, {"fine": 1, "worse": null}]}}', "/by_list/k/1/worse"),
        (b'{"lines": [{"sku": "a", "prices": {"x": 1, "y": "?"}}]}', "/lines/0/prices/y"),
        (b'{"by_name": {"bad": "x"}, no JSON from here on', "/by_name"),
        (b'{"by_name": {"bad": "x", "bad": 1}}', "/by_name/bad"),
    ],
)
def test_a_wrong_value_is_pointed_at(text: bytes, pointer: str) -> None:
    """Every pointer is one that finds its value in the text, by RFC 6901 (or the object that lacks the field)."""
    with pytest.raises(InvalidMessageError) as refusal:
        CODEC.decode(text)
    assert refusal.value.pointer == pointer
    assert refusal.value.name == "Send"


@pytest.mark.parametrize(("step", "written"), [("a/b", "a~1b"), ("a~b", "a~0b"), ("~1", "~01"), ("", "")])
def test_a_step_of_a_pointer_is_escaped(step: str, written: str) -> None:
    assert escaped(step) == written


def storable(message: Send) -> Send:
    """The message, checked as the buses check it."""
    check_storable("Send", message, encode_json(message))
    return message


@pytest.mark.parametrize(
    ("text", "pointer", "reason"),
    [
        ('{"amount": "NaN"}', "/amount", "NaN is not a number that can be stored"),
        ('{"amount": "-Infinity"}', "/amount", "-Infinity is not a number that can be stored"),
        ('{"amount": "snan12"}', "/amount", "sNaN12 is not a number that can be stored"),
        ('{"amount": " inf "}', "/amount", "Infinity is not a number that can be stored"),
        ('{"amount": "1E+1000"}', "/amount", "the decimal '1E+1000' is out of range (exponent up to 100)"),
        ('{"amount": 1e-999}', "/amount", "the decimal '1E-999' is out of range (exponent up to 100)"),
        ('{"lines": [{"sku": "a", "prices": {"a/b": "NaN"}}]}', "/lines/0/prices/a~1b", "NaN is not a number"),
        ('{"sku": "a\\u0000b"}', "/sku", "the text holds the character U+0000"),
        ('{"anything": {"a\\u0000": 1}}', "/anything/a\x00", "the text holds the character U+0000"),
        ('{"number": 9223372036854775808}', "/number", "the integer '9223372036854775808' is out of range"),
        ('{"number": -9223372036854775809}', "/number", "the integer '-9223372036854775809' is out of range"),
        ('{"anything": [1, 100000000000000000000]}', "/anything/1", "is out of range (64 bits, signed)"),
        ('{"by_name": {"x": 100000000000000000000}}', "/by_name/x", "is out of range (64 bits, signed)"),
    ],
)
def test_a_value_that_no_store_can_keep_is_pointed_at(text: str, pointer: str, reason: str) -> None:
    with pytest.raises(InvalidMessageError) as refusal:
        storable(CODEC.decode(text.encode()))
    assert refusal.value.pointer == pointer
    assert reason in refusal.value.reason


@pytest.mark.parametrize(
    "amount", ['"\\u004eaN"', '"N_aN"', '"1e9_99"', '"1\\u0045999"', '"1e\u0661\u0662\u0663"', '"\\u0049nfinity"']
)
def test_a_disguise_gets_no_value_past_the_check(amount: str) -> None:
    """`Decimal` reads underscores and every script's digits, JSON reads escapes."""
    with pytest.raises(InvalidMessageError) as refusal:
        storable(CODEC.decode(f'{{"amount": {amount}}}'.encode()))
    assert refusal.value.pointer == "/amount"


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000, "1e400", "-1e400"])
@pytest.mark.parametrize("field", ["number", "share", "amount"])
def test_a_number_without_end_is_refused_and_not_computed(field: str, number: str) -> None:
    with pytest.raises(InvalidMessageError):
        storable(CODEC.decode(f'{{"{field}": {number}}}'.encode()))


INNOCENT = [
    "Nancy",
    "info",
    "nan bread",
    "infinity pool",
    "1234567890123456789",
    "order 12345678901234567890123",
    "9e123456",
    "3.5E400",
    "\\u0000",
    "NaN",
    "Infinity",
    "1E+1000",
    "7e1234e5-6789-4abc-9def-0123456e7890",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_passes(text: str) -> None:
    message = Send(sku=text, lines=[Inner(sku=text)], by_name={text: 1}, anything={text: [text]})
    assert CODEC.decode(encode_json(message)) == message
    check_storable("Send", message, encode_json(message))


@given(st.uuids())
def test_any_id_passes_as_text(token: UUID) -> None:
    assert CODEC.decode(encode_json(Send(sku=str(token)))) == Send(sku=str(token))
    assert CODEC.decode(encode_json(Send(sku=token.hex))) == Send(sku=token.hex)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 10**18])
def test_every_integer_of_64_bits_passes(number: int) -> None:
    assert CODEC.decode(encode_json(Send(number=number))).number == number


@pytest.mark.parametrize("amount", ["1E+100", "1E-100", "0." + "0" * 98 + "1", "-" + "9" * 100, "0E+99"])
def test_every_decimal_within_the_limit_passes(amount: str) -> None:
    assert str(CODEC.decode(encode_json(Send(amount=Decimal(amount)))).amount) == str(Decimal(amount))


# --- depth -----------------------------------------------------------------------------------------------------------


def test_json_deeper_than_the_limit_is_refused_before_it_is_parsed() -> None:
    def nested(levels: int) -> bytes:
        return b'{"anything": ' + b"[" * levels + b"]" * levels + b"}"

    assert CODEC.decode(nested(MAX_DEPTH - 1)).anything is not None
    with pytest.raises(InvalidMessageError, match=f"nested deeper than {MAX_DEPTH} levels"):
        CODEC.decode(nested(MAX_DEPTH))
    with pytest.raises(InvalidMessageError, match="nested deeper"):
        CODEC.decode(b'{"anything": ' + b"[" * 500_000)


@pytest.mark.parametrize(
    ("text", "deep"),
    [
        ("1", 0),
        ("{}", 1),
        ('[{"a": [1]}, []]', 3),
        ('["[[[["]', 1),
        ('["\\"[[[["]', 1),
        ('{"a\\\\": "[", "b": [1]}', 2),
        ("[" * 100 + "]" * 100, 100),
    ],
)
def test_depth_counts_brackets_and_not_those_in_strings(text: str, deep: int) -> None:
    assert depth(text.encode()) == deep


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON)
def test_depth_is_that_of_the_parsed_value(value: Any) -> None:
    def of(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(of, inner), default=0)

    assert depth(json.dumps(value).encode()) == of(value)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert CODEC.decode(b'{"anything": [' + b"[]," * 1_000 + b"[]]}").anything is not None


# --- texts, as a URL has them ----------------------------------------------------------------------------------------


def test_texts_become_values_of_the_fields_types() -> None:
    message = CODEC.from_texts({"number": "3", "amount": "2.50", "sku": "7", "at": "2030-01-01T12:00:00Z"})
    assert message == Send(number=3, amount=Decimal("2.50"), sku="7", at=datetime(2030, 1, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"number": "x"}, "/number"),
        ({"nobody": "x"}, "/nobody"),
        ({"amount": "NaN"}, "/amount"),
        ({"share": "nan"}, "/share"),
        ({"share": "-inf"}, "/share"),
        ({"sku": "\x00"}, "/sku"),
    ],
)
def test_texts_that_are_no_values_are_pointed_at(fields: dict[str, str], pointer: str) -> None:
    with pytest.raises(InvalidMessageError) as refusal:
        storable(CODEC.from_texts(fields))
    assert refusal.value.pointer == pointer


# --- whatever comes, only the two errors of input --------------------------------------------------------------------


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_make_a_message_or_an_error_of_input(text: bytes) -> None:
    with suppress(InvalidMessageError, MalformedJsonError):
        assert isinstance(CODEC.decode(text), Send)


MUTATIONS: list[Callable[[dict[str, Any]], object]] = [
    lambda fields: fields.update(number=str(uuid4())),
    lambda fields: fields.update(lines=[{"sku": 1}]),
    lambda fields: fields.update(lines={"0": {}}),
    lambda fields: fields.update(by_name=[1]),
    lambda fields: fields.update({"x" * 100_000: 1}),
    lambda fields: fields.update(sku=["x" * 100_000]),
]


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_hostile_fields_make_short_errors(mutate: Callable[[dict[str, Any]], object]) -> None:
    fields: dict[str, Any] = {"sku": "mug", "number": 1}
    mutate(fields)
    with pytest.raises(InvalidMessageError) as refusal:
        CODEC.decode(json.dumps(fields).encode())
    assert len(str(refusal.value)) < 1_000
