# pyright: strict
"""Every other shape of a declaration."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, assert_type
from uuid import UUID

from twofold import (
    Aggregate,
    Application,
    Command,
    Context,
    Event,
    Meta,
    Metadata,
    Position,
    Query,
    ReadModel,
    Recorded,
    Rejected,
    StreamId,
    View,
    answer,
    apply,
    handle,
    on,
    upcast,
)

Quantity = Annotated[int, Meta(ge=1, le=1_000)]


class Status(Enum):
    OPEN = "open"
    PAID = "paid"


@dataclass(frozen=True)
class Line:
    sku: str
    quantity: Quantity
    price: Decimal


class PlaceOrder(Command, name="place-order"):
    order_id: UUID
    lines: Annotated[list[Line], Meta(min_length=1)]
    note: str | None = None
    tags: dict[str, str] = {}


class PayOrder(Command):
    order_id: UUID


class CancelOrder(Command):
    order_id: UUID


class OrderPlaced(Event, name="order-placed", version=2):
    order_id: UUID
    country: str
    month: int
    lines: list[Line] = []


class OrderPaid(Event):
    order_id: UUID
    at: datetime
    by: str


class OrderCancelled(Event):
    order_id: UUID


class Order(Aggregate, key="order_id", name="order", snapshot_every=100):
    order_id: UUID
    status: Status = Status.OPEN
    lines: list[Line] = []

    @handle(creates=True)
    def place(self, command: PlaceOrder) -> OrderPlaced:
        return OrderPlaced(order_id=command.order_id, country="EIRE", month=1, lines=command.lines)

    @handle
    def pay(self, command: PayOrder, context: Context) -> OrderPaid | None:
        if self.status is Status.PAID:
            return None
        assert_type(context.now, datetime)
        assert_type(context.metadata, Metadata)
        assert_type(context.new_id(), str)
        return OrderPaid(order_id=command.order_id, at=context.now, by=context.actor)

    @handle
    def cancel(self, command: CancelOrder) -> Iterator[OrderCancelled | OrderPaid]:
        if not self.lines:
            raise Rejected("nothing to cancel")
        yield OrderCancelled(order_id=command.order_id)

    @apply
    def placed(self, event: OrderPlaced) -> None:
        self.lines = event.lines

    @apply
    def ended(self, event: OrderPaid | OrderCancelled) -> None:
        self.status = Status.PAID


class Stock(Aggregate, key="sku"):
    units: int = 0

    @handle(creates=True)
    def many(self, command: "Restock") -> "list[Restocked]":
        return [Restocked(sku=command.sku) for _ in range(command.times)]

    @handle
    def any_of(self, command: "Count | Recount") -> "Iterable[Restocked] | None":
        return ()


class Restock(Command):
    sku: str
    times: int = 1


class Count(Command):
    sku: str


class Recount(Command):
    sku: str


class Restocked(Event):
    sku: str


@upcast(OrderPlaced, from_version=1)
def with_country(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "country": "GB", "month": 1}


def skus(event: OrderPlaced) -> list[str]:
    return [line.sku for line in event.lines]


class Sales(ReadModel, key="sku", index=["units", ("units", "revenue")], search=["sku"], name="Sales"):
    sku: str
    units: int = 0
    revenue: Decimal = Decimal(0)
    seen: list[str] = []

    @on(OrderPlaced, key=skus)
    def with_key(self, event: OrderPlaced, sku: str) -> None:
        self.units += sum(line.quantity for line in event.lines if line.sku == sku)

    @on(Restocked)
    def default_key(self, event: Restocked) -> None:
        self.delete()
        assert_type(self.is_deleted, bool)


class Monthly(ReadModel, key=("country", "month"), partitions=8):
    country: str
    month: int
    last: datetime | None = None

    @on(OrderPlaced)
    def recorded(self, recorded: Recorded[OrderPlaced]) -> None:
        assert_type(recorded.event, OrderPlaced)
        assert_type(recorded.stream, StreamId)
        assert_type(recorded.position, Position)
        self.last = recorded.recorded_at


class ByOrder(ReadModel, key="id"):
    id: UUID
    months: list[int] = []

    @on(OrderPlaced, key="order_id")
    def recorded_with_key(self, recorded: Recorded[OrderPlaced], key: UUID) -> None:
        self.months.append(recorded.event.month)

    @on(OrderPaid, key=lambda event: event.order_id)
    def by_function(self, event: OrderPaid) -> None: ...

    @on(OrderCancelled, key=lambda event: {event.order_id, event.order_id})
    def by_set(self, event: OrderCancelled) -> None: ...


class Turned(ReadModel, key=("month", "country")):
    month: int
    country: str

    @on(OrderPlaced, key=("month", "country"))
    def by_fields(self, event: OrderPlaced) -> None: ...


class SalesOf(Query[Sales | None]):
    sku: str


class Best(Query[list[Sales]], name="best", stale_ok_s=30):
    limit: Quantity = 10
    start_after: str | None = None


class Total(Query[Decimal], stale_ok_s=0.5): ...


class Report(Query[dict[str, int]]):
    text: str


@answer
async def sales_of(query: SalesOf, sales: View[Sales]) -> Sales | None:
    return await sales.get(query.sku)


@answer
async def best(query: Best, sales: View[Sales]) -> list[Sales]:
    return await sales.find(order_by=["-revenue", "sku"], limit=query.limit, start_after=query.start_after)


@answer
async def total(query: Total, sales: View[Sales], monthly: View[Monthly]) -> Decimal:
    rows = await sales.sql("SELECT sum(revenue) AS total FROM sales WHERE units > :units", {"units": 1})
    return Decimal(str(rows[0]["total"])) * await monthly.count(country="EIRE")


@answer
async def report(query: Report, sales: View[Sales]) -> dict[str, int]:
    found: Sequence[Sales] = await sales.search(query.text, limit=3)
    return {row.sku: row.units for row in found}


app = Application(
    "orders", [Order, Stock, Sales, Monthly, ByOrder, Turned, sales_of, best, total, report, with_country, OrderPlaced]
)
assert not [gap for gap in app.check() if gap.severity == "error"]
