from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, NewType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.declared import module_of
from twofold import DeclarationError, Event, Meta, ReadModel, Recorded, on
from twofold.read_model import ReadModelType
from twofold.tables import Column, ColumnKind


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


class Placed(Event):
    order_id: str
    country: str
    month: int
    lines: list[Line] = []
    customer_id: str | None = None


CustomerId = NewType("CustomerId", str)


class Everything(ReadModel, key="order_id"):
    order_id: Annotated[str, Meta(min_length=1)]
    number: int = 0
    share: float = 0.0
    done: bool = False
    digest: bytes = b""
    amount: Decimal = Decimal(0)
    placed_at: datetime | None = None
    day: date | None = None
    token: UUID | None = None
    customer: CustomerId | None = None
    status: Status = Status.OPEN
    level: Level | None = None
    lines: list[Line] = []
    by_day: dict[str, Decimal] = {}
    either: int | str = 0


def test_every_field_becomes_a_column_of_its_kind() -> None:
    kinds = {column.name: column.kind.value for column in ReadModelType.of(Everything).table.columns}
    assert kinds == {
        "order_id": "text",
        "number": "integer",
        "share": "real",
        "done": "boolean",
        "digest": "bytes",
        "amount": "decimal",
        "placed_at": "datetime",
        "day": "date",
        "token": "uuid",
        "customer": "text",
        "status": "text",
        "level": "integer",
        "lines": "json",
        "by_day": "json",
        "either": "json",
    }


MONEY = st.decimals(allow_nan=False, allow_infinity=False, places=4)


@given(
    st.builds(
        Everything,
        order_id=st.text(min_size=1),
        number=st.integers(-(2**63), 2**63 - 1),
        share=st.floats(allow_nan=False),
        done=st.booleans(),
        digest=st.binary(),
        amount=MONEY,
        placed_at=st.none() | st.datetimes(timezones=st.timezones()),
        day=st.none() | st.dates(),
        token=st.none() | st.uuids(),
        status=st.sampled_from(Status),
        level=st.none() | st.sampled_from(Level),
        lines=st.lists(st.builds(Line, sku=st.text(), price=MONEY)),
        by_day=st.dictionaries(st.text(), MONEY),
        either=st.integers(-(2**63), 2**63 - 1) | st.text(),
    )
)
def test_a_row_becomes_plain_values_and_the_same_row_again(row: Everything) -> None:
    kind = ReadModelType.of(Everything)
    plain = kind.to_row(row)
    assert len(plain) == len(kind.table.columns)
    assert kind.from_row(plain) == row
    assert kind.from_row(plain) is not row


def test_plain_values_are_of_the_types_that_stores_take() -> None:
    row = Everything(order_id="1", status=Status.SHUT, level=Level.HIGH, lines=[Line("mug", Decimal("2.50"))])
    plain = dict(zip(Everything.__struct_fields__[1:], ReadModelType.of(Everything).to_row(row), strict=True))
    assert (plain["status"], plain["level"], plain["token"]) == ("shut", 2, None)
    assert plain["lines"] == '[{"sku":"mug","price":"2.50"}]'


def test_the_table_is_named_after_the_class_in_snake_case() -> None:
    class OrderDetails(ReadModel, key=("country", "month"), index=["total", ("month", "total")], search=["country"]):
        country: str
        month: int
        total: Decimal = Decimal(0)

    table = ReadModelType.of(OrderDetails).table
    assert (table.read_model, table.name, table.key) == ("OrderDetails", "order_details", ("country", "month"))
    assert (table.indexes, table.search) == ((("total",), ("month", "total")), ("country",))
    assert table.columns[1] == Column("month", ColumnKind.INTEGER)


def test_a_name_of_its_own_overrides_the_class() -> None:
    class OrderDetails(ReadModel, key="order_id", name="Orders"):
        order_id: str

    table = ReadModelType.of(OrderDetails).table
    assert (table.read_model, table.name) == ("Orders", "orders")


# --- keys ------------------------------------------------------------------------------------------------------------

EVENT = Placed(
    order_id="1",
    country="EIRE",
    month=5,
    lines=[Line("mug", Decimal(1)), Line("bag", Decimal(2)), Line("mug", Decimal(3))],
)


def keys_of(read_model: type[ReadModel], event: Event = EVENT) -> list[Any]:
    return list(ReadModelType.of(read_model).handlers[type(event)].keys(event))


def test_the_key_is_the_events_field_of_the_same_name() -> None:
    class Order(ReadModel, key="order_id"):
        order_id: str

        @on(Placed)
        def placed(self, event: Placed) -> None: ...

    assert keys_of(Order) == [("1",)]


def test_the_key_may_be_another_field() -> None:
    class Place(ReadModel, key="name"):
        name: str

        @on(Placed, key="country")
        def placed(self, event: Placed) -> None: ...

    assert keys_of(Place) == [("EIRE",)]


def test_a_composite_key_takes_a_field_for_each_part() -> None:
    class Monthly(ReadModel, key=("country", "month")):
        country: str
        month: int

        @on(Placed)
        def placed(self, event: Placed) -> None: ...

    class Turned(ReadModel, key=("place", "number")):
        place: str
        number: int

        @on(Placed, key=("country", "month"))
        def placed(self, event: Placed) -> None: ...

    assert keys_of(Monthly) == keys_of(Turned) == [("EIRE", 5)]


@pytest.mark.parametrize(
    ("returned", "keys"),
    [
        ("mug", [("mug",)]),
        (7, [(7,)]),
        (b"\x01\x02", [(b"\x01\x02",)]),
        (None, []),
        ([], []),
        (["mug", "bag", "mug"], [("mug",), ("bag",)]),
        (("mug", "bag"), [("mug",), ("bag",)]),
        (frozenset({"mug"}), [("mug",)]),
        ((each for each in ["bag", "mug"]), [("bag",), ("mug",)]),
        (UUID(int=1), [(UUID(int=1),)]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_function_returns_one_key_many_or_none(returned: Any, keys: list[Any]) -> None:
    class Product(ReadModel, key="sku"):
        sku: str

        @on(Placed, key=lambda event: returned)
        def placed(self, event: Placed) -> None: ...

    assert keys_of(Product) == keys


@pytest.mark.parametrize(
    ("returned", "keys"),
    [
        (("EIRE", 5), [("EIRE", 5)]),
        ([("EIRE", 5), ("France", 5), ("EIRE", 5)], [("EIRE", 5), ("France", 5)]),
        (None, []),
    ],
)
def test_a_function_returns_tuples_for_a_composite_key(returned: Any, keys: list[Any]) -> None:
    class Monthly(ReadModel, key=("country", "month")):
        country: str
        month: int

        @on(Placed, key=lambda event: returned)
        def placed(self, event: Placed) -> None: ...

    assert keys_of(Monthly) == keys


def test_a_generator_may_give_the_keys() -> None:
    def skus(event: Placed) -> Iterator[str]:
        for line in event.lines:
            yield line.sku

    class Product(ReadModel, key="sku"):
        sku: str

        @on(Placed, key=skus)
        def placed(self, event: Placed, sku: str) -> None: ...

    assert keys_of(Product) == [("mug",), ("bag",)]


def test_a_handler_says_whether_it_wants_the_recorded_event_and_the_key() -> None:
    class Order(ReadModel, key="order_id"):
        order_id: str

        @on(Placed)
        def placed(self, recorded: Recorded[Placed], key: str) -> None: ...

    handler = ReadModelType.of(Order).handlers[Placed]
    assert (handler.wants_recorded, handler.wants_key, handler.name) == (True, True, "Order.placed")


def test_a_row_is_made_of_its_key_and_the_defaults() -> None:
    kind = ReadModelType.of(Everything)
    assert kind.initial(("7",)) == Everything(order_id="7")
    assert kind.initial(("7",)).lines is not kind.initial(("7",)).lines  # pyright: ignore[reportAttributeAccessIssue]


def test_a_row_is_deleted_by_its_handler() -> None:
    row = Everything(order_id="1")
    assert not row.is_deleted
    row.delete()
    assert row.is_deleted


def test_a_key_with_too_few_parts_is_refused() -> None:
    class Monthly(ReadModel, key=("country", "month")):
        country: str
        month: int

    kind = ReadModelType.of(Monthly)
    assert kind.as_key(("EIRE", 5)) == ("EIRE", 5)
    with pytest.raises(ValueError, match="Monthly: the key 'EIRE' has 1 parts; country, month are needed"):
        kind.as_key("EIRE")


@pytest.mark.parametrize("number", [1, 8, 256])
def test_a_read_model_says_among_how_many_projectors_its_keys_can_be_shared(number: int) -> None:
    class Shared(ReadModel, key="order_id", partitions=number):
        order_id: str

    assert ReadModelType.of(Shared).table.partitions == number


def test_a_read_model_has_one_partition_unless_it_says_otherwise() -> None:
    class Alone(ReadModel, key="order_id"):
        order_id: str

    assert ReadModelType.of(Alone).table.partitions == 1


# --- fingerprints ----------------------------------------------------------------------------------------------------

MODEL = """
class Balance(ReadModel, key="account_id", index=["owner"]):
    account_id: str
    owner: str = ""
    balance: Decimal = Decimal(0)

    @on(AccountOpened, key=lambda event: event.account_id)
    def opened(self, event: AccountOpened) -> None:
        self.owner = event.owner
"""


def prints(code: str) -> tuple[str, str]:
    table = ReadModelType.of(module_of(code).Balance).table
    return table.fingerprint, table.fold_fingerprint


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("self.owner = event.owner", "self.owner = event.owner.upper()", (False, True)),
        ("event.account_id)", "event.owner)", (False, True)),
        ("Decimal(0)", "Decimal(1)", (False, True)),
        ("def opened", "# why\n    def opened", (False, False)),
        ('index=["owner"]', 'index=["balance"]', (True, False)),
        ('index=["owner"]', 'search=["owner"]', (True, False)),
        ("owner: str", "owner: bytes", (True, True)),
        ('index=["owner"]', 'index=["owner"], partitions=1', (False, False)),
        ('index=["owner"]', 'index=["owner"], partitions=8', (False, True)),
    ],
)
def test_fingerprints_tell_another_table_and_other_folding(old: str, new: str, changes: tuple[bool, bool]) -> None:
    before, after = prints(MODEL), prints(MODEL.replace(old, new))
    assert (before[0] != after[0], before[1] != after[1]) == changes


# --- what is declared wrongly ----------------------------------------------------------------------------------------

WRONG_CLASSES = {
    "class Wrong(ReadModel): ...": 'Wrong: a read model needs a key; write class Wrong(ReadModel, key="..._id")',
    "class Wrong(ReadModel, key=''): a: str": (
        'Wrong: a read model needs a key; write class Wrong(ReadModel, key="..._id")'
    ),
    "class Wrong(ReadModel, key=5): account_id: str": "Wrong: key=5 must name fields, and 5 is no name",
    "class Wrong(ReadModel, key='account_id', snapshot_every=1): account_id: str": (
        "Wrong: 'snapshot_every' is no keyword of a read model; "
        "there are ('key', 'index', 'search', 'name', 'partitions')"
    ),
    "class Wrong(ReadModel, key='id'): account_id: str": "Wrong: key names 'id', which is no field of it",
    "class Wrong(ReadModel, key='account_id', index=['owner']): account_id: str": (
        "Wrong: index names 'owner', which is no field of it"
    ),
    "class Wrong(ReadModel, key='account_id', index=[('account_id', 'owner')]): account_id: str": (
        "Wrong: index names 'owner', which is no field of it"
    ),
    "class Wrong(ReadModel, key='account_id', search=['owner']): account_id: str": (
        "Wrong: search names 'owner', which is no field of it"
    ),
    "class Wrong(ReadModel, key='account_id', index='owner'): account_id: str": (
        "Wrong: index='owner' must be a list; write index=['owner']"
    ),
    "class Wrong(ReadModel, key='account_id', index=3): account_id: str": (
        "Wrong: index=3 must name fields, and 3 is no name"
    ),
    "class Wrong(ReadModel, key='account_id', name='my-table'): account_id: str": (
        "Wrong: name='my-table' can't name a table; use letters, digits and underscores"
    ),
    **{
        f"class Wrong(ReadModel, key='account_id', partitions={value}): account_id: str": (
            f"Wrong: partitions={value} must be a whole number, 1 to 256"
        )
        for value in ("0", "257", "-1", "True", "1.5", "'8'", "None")
    },
    "class Wrong(ReadModel, key='account_id'):\n    account_id: str\n    _hidden: int = 0": (
        "Wrong: '_hidden' can't name a field of a row; give it another name"
    ),
    "class Wrong(ReadModel, key='account_id'):\n    account_id: str\n    delete: bool = False": (
        "Wrong: 'delete' can't name a field of a row; give it another name"
    ),
    "@on(Deposit)\ndef wrong(self, event: Deposit) -> None: ...": (
        "@on(<class '{module}.Deposit'>): give the class of an event, for example @on(OrderPlaced)"
    ),
    "@on(Event)\ndef wrong(self, event: Event) -> None: ...": (
        "@on(<class 'twofold.messages.Event'>): give the class of an event, for example @on(OrderPlaced)"
    ),
}

MODEL_WITH = 'class Wrong(ReadModel, key="account_id"):\n    account_id: str\n    '

WRONG_APPLICATIONS = {
    MODEL_WITH + "balance: int": (
        "Wrong: Missing required argument 'balance'; every field of a read model but its key needs a default"
    ),
    "class Wrong(ReadModel, key='account_id'): account_id: float": (
        "Wrong: 'account_id' can't be a key; use text, whole numbers, ids"
    ),
    "class Wrong(ReadModel, key='account_id'): account_id: str | None": (
        "Wrong: 'account_id' can't be a key; use text, whole numbers, ids"
    ),
    "class Wrong(ReadModel, key='account_id'): account_id: list[str]": (
        "Wrong: 'account_id' can't be a key; use text, whole numbers, ids"
    ),
    "class Wrong(ReadModel, key='account_id'):\n    account_id: str\n    number: complex = 0j": (
        "Wrong.number: JSON can't hold <class 'complex'>; use plain values, enums of text or of whole numbers, "
        "dataclasses, and lists and dicts of them"
    ),
    "class Mixed(Enum): A = 1; B = 'b'\n" + MODEL_WITH + "mixed: Mixed = Mixed.A": (
        "Wrong.mixed: JSON can't hold <enum 'Mixed'>; use plain values, enums of text or of whole numbers, "
        "dataclasses, and lists and dicts of them"
    ),
    "class Status(Enum): OPEN = 'open'\nclass Wrong(ReadModel, key='account_id'): account_id: Status": (
        "Wrong: 'account_id' can't be a key; use text, whole numbers, ids"
    ),
    "class Wrong(ReadModel, key='account_id', search=['age']):\n    account_id: str\n    age: int = 0": (
        "Wrong: search='age' is no text field"
    ),
    MODEL_WITH + "@on(Deposited)\n    def deposited(self) -> None: ...": (
        "Wrong.deposited: takes 0 parameters beside self; the event, and perhaps a key"
    ),
    MODEL_WITH + "@on(Deposited)\n    def deposited(self, event: Deposited, key: str, more: int) -> None: ...": (
        "Wrong.deposited: takes 3 parameters beside self; the event, and perhaps a key"
    ),
    MODEL_WITH + "@on(Deposited)\n    def deposited(self, event) -> None: ...": (
        "Wrong.deposited: the parameter 'event' has no annotation; annotate it with its type"
    ),
    MODEL_WITH + "@on(Deposited)\n    def deposited(self, event: AccountOpened) -> None: ...": (
        "Wrong.deposited: @on(Deposited) but the parameter is annotated AccountOpened; "
        "annotate it with Deposited or Recorded[Deposited]"
    ),
    MODEL_WITH + "@on(Deposited)\n    def deposited(self, event: Recorded[AccountOpened]) -> None: ...": (
        "Wrong.deposited: @on(Deposited) but the parameter is annotated AccountOpened; "
        "annotate it with Deposited or Recorded[Deposited]"
    ),
    MODEL_WITH + "@on(Deposited, key='sku')\n    def deposited(self, event: Deposited) -> None: ...": (
        "Wrong.deposited: Deposited has no field 'sku' to find the row by; "
        "say which with @on(..., key=...): a field, a tuple of fields, or a function of the event"
    ),
    MODEL_WITH + "@on(Deposited, key=('account_id', 'amount'))\n    def put(self, event: Deposited) -> None: ...": (
        "Wrong.put: key=('account_id', 'amount') has 2 parts, the read model's key 1: ('account_id',)"
    ),
    (
        "class Moved(Event): account_id: str | None = None\n"
        + MODEL_WITH
        + "@on(Moved)\n    def moved(self, event: Moved) -> None: ..."
    ): (
        "Wrong.moved: Moved.account_id may be None, which finds no row; say what to do then with "
        "@on(..., key=...): a function of the event that returns the key, or None to touch no row"
    ),
    (
        MODEL_WITH
        + "@on(Deposited)\n    def deposited(self, event: Deposited) -> None: ...\n"
        + "    @on(Deposited)\n    def again(self, event: Deposited) -> None: ..."
    ): "Wrong.again: Deposited has a method already; one for each",
    MODEL_WITH + "@on(Deposited)\n    async def deposited(self, event: Deposited) -> None: ...": (
        "Wrong.deposited: is asynchronous, but may do no I/O; write def instead of async def"
    ),
    MODEL_WITH + "@on(Deposited)\n    def deposited(self, event: Deposited) -> None: yield": (
        "Wrong.deposited: yields, but nobody takes what it yields; change self and return nothing"
    ),
}


@pytest.mark.parametrize(("code", "sentence"), WRONG_CLASSES.items())
def test_a_read_model_declared_wrongly_fails_when_its_class_is_made(code: str, sentence: str) -> None:
    with pytest.raises(DeclarationError) as mistake:
        module_of(code)
    module = str(mistake.value).partition("'")[2].partition(".")[0]
    assert str(mistake.value) == sentence.format(module=module)


@pytest.mark.parametrize(("code", "sentence"), WRONG_APPLICATIONS.items())
def test_a_read_model_declared_wrongly_fails_when_its_application_is_made(code: str, sentence: str) -> None:
    module = module_of(code)
    with pytest.raises(DeclarationError) as mistake:
        module.Application("bank", [module.Wrong])
    assert str(mistake.value) == sentence


def test_times_in_keys_are_taken() -> None:
    class Daily(ReadModel, key=("day", "at")):
        day: date
        at: datetime

    assert ReadModelType.of(Daily).initial((date(2030, 1, 1), datetime(2030, 1, 1, tzinfo=UTC)))
