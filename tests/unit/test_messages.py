import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.declared import module_of
from twofold import Command, DeclarationError, Event, Metadata, Query
from twofold.messages import is_message, utc


class PlaceOrder(Command):
    order_id: str
    lines: list[str] = []


class OrderPlaced(Event, name="order-placed", version=3):
    order_id: str
    total: Decimal = Decimal(0)


class OrderCount(Query[int]):
    country: str


def test_the_stored_name_comes_from_the_class_or_its_keyword() -> None:
    assert (PlaceOrder.stored_name, OrderPlaced.stored_name, OrderCount.stored_name) == (
        "PlaceOrder",
        "order-placed",
        "OrderCount",
    )
    assert (PlaceOrder.schema_version, OrderPlaced.schema_version) == (1, 3)


def test_a_subclass_has_its_own_stored_name_and_version() -> None:
    class OrderPlacedAbroad(OrderPlaced):
        country: str

    assert (OrderPlacedAbroad.stored_name, OrderPlacedAbroad.schema_version) == ("OrderPlacedAbroad", 1)


@pytest.mark.parametrize(
    "message", [PlaceOrder(order_id="1"), OrderPlaced(order_id="1"), OrderCount(country="EIRE")], ids=repr
)
def test_a_message_is_never_changed(message: Any) -> None:
    field = message.__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(message, field, "2")


def test_fields_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        PlaceOrder("1")  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="order_id"):
        PlaceOrder()  # pyright: ignore[reportCallIssue]


def test_a_mutable_default_is_not_shared() -> None:
    assert PlaceOrder(order_id="1").lines is not PlaceOrder(order_id="2").lines


def test_messages_are_values() -> None:
    assert OrderPlaced(order_id="1") == OrderPlaced(order_id="1", total=Decimal("0.00"))
    assert len({OrderPlaced(order_id="1"), OrderPlaced(order_id="1")}) == 1
    assert pickle.loads(pickle.dumps(OrderPlaced(order_id="1"))) == OrderPlaced(order_id="1")


@pytest.mark.parametrize("kind", [PlaceOrder, OrderCount])
def test_commands_and_queries_refuse_unknown_fields(kind: type[Any]) -> None:
    field = kind.__struct_fields__[0]
    with pytest.raises(msgspec.ValidationError, match="unknown field `x`"):
        msgspec.json.decode(f'{{"{field}": "1", "x": 2}}', type=kind)


def test_events_ignore_what_a_newer_writer_added() -> None:
    assert msgspec.json.decode(b'{"order_id": "1", "x": 2}', type=OrderPlaced) == OrderPlaced(order_id="1")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "class Wrong(Command, name=''): order_id: str",
            "Wrong: name='' can't be stored; use printable characters without /",
        ),
        (
            "class Wrong(Event, name=5): order_id: str",
            "Wrong: name=5 can't be stored; use printable characters without /",
        ),
        (
            "class Wrong(Command, name='orders/place'): order_id: str",
            "Wrong: name='orders/place' can't be stored; use printable characters without /",
        ),
        (
            "class Wrong(Event, version=0): order_id: str",
            "Wrong: version=0 is no schema version; use 1, 2, 3 …",
        ),
        (
            "class Wrong(Event, version='2'): order_id: str",
            "Wrong: version='2' is no schema version; use 1, 2, 3 …",
        ),
        (
            "class Wrong(Command, key='order_id'): order_id: str",
            "Wrong: 'key' is no keyword of a message; there are name, for events version, and for queries stale_ok_s",
        ),
        (
            "class Wrong(Event, frozen=False): order_id: str",
            (
                "Wrong: 'frozen' is no keyword of a message; there are name, for events version, and for "
                "queries stale_ok_s"
            ),
        ),
        (
            "class Wrong(Event, stale_ok_s=30): order_id: str",
            "Wrong: stale_ok_s is for queries; answers can be stale, and nothing else",
        ),
        (
            "class Wrong(Query[int], stale_ok_s=0): order_id: str",
            "Wrong: stale_ok_s=0 is no age of an answer; use seconds, as in 30",
        ),
        (
            "class Wrong(Query[int]): stale_ok_s: int",
            "Wrong: 'stale_ok_s' is not free for a field; give it another name",
        ),
        (
            "class Wrong(Event): stored_name: str",
            "Wrong: 'stored_name' is not free for a field; give it another name",
        ),
    ],
)
def test_a_message_declared_wrongly_fails_when_its_class_is_made(code: str, sentence: str) -> None:
    with pytest.raises(DeclarationError) as mistake:
        module_of(code)
    assert str(mistake.value) == sentence


def test_a_default_that_all_messages_would_share_is_refused_with_the_cure() -> None:
    with pytest.raises(DeclarationError, match=r"^Wrong: .*\['a'\].*configure a `default_factory`"):
        module_of("class Wrong(Command): lines: list[str] = ['a']")


def test_metadata_is_written_without_what_is_not_known() -> None:
    assert msgspec.json.encode(Metadata(actor="ann")) == b'{"actor":"ann"}'


def test_what_a_user_declared_is_told_from_the_base() -> None:
    assert is_message(PlaceOrder, Command)
    assert not is_message(Command, Command)
    assert not is_message(OrderPlaced, Command)
    assert not is_message(PlaceOrder(order_id="1"), Command)


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_become_the_exact_time(time: datetime) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    delta = time - epoch
    assert utc((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) == time


def test_a_query_says_how_old_its_answer_may_be_and_those_made_from_it_say_the_same() -> None:
    class Patient(Query[int], stale_ok_s=30): ...

    class Same(Patient): ...

    class Other(Patient, stale_ok_s=0.5): ...

    class Fresh(Query[int]): ...

    assert [each.stale_ok_s for each in (Patient, Same, Other, Fresh)] == [30, 30, 0.5, None]
    assert Patient().__struct_fields__ == ()
