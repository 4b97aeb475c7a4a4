"""A shop's history as events, one per order line, and its order details: the UCI Online Retail file or a made-up one.

What a fold finds hard is in it: rows that grow, with their lines as nested values and money as Decimal.
"""

import csv
import gzip
import random
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path

import msgspec

from twofold import Application, Event, Query, ReadModel, View, answer, on

__all__ = ["OrderDetails", "OrderLineAdded", "app", "lines"]


class Line(msgspec.Struct, frozen=True):
    sku: str
    quantity: int
    unit_price: Decimal


class OrderLineAdded(Event):
    order_id: str
    country: str
    line: Line


class OrderDetails(ReadModel, key="order_id", index=["country"]):
    order_id: str
    country: str = ""
    lines: list[Line] = []
    total: Decimal = Decimal(0)

    @on(OrderLineAdded)
    def line_added(self, event: OrderLineAdded) -> None:
        self.country = event.country
        self.lines.append(event.line)
        self.total += event.line.quantity * event.line.unit_price


class OrderTotal(Query[Decimal | None]):
    order_id: str


@answer
async def order_total(query: OrderTotal, orders: View[OrderDetails]) -> Decimal | None:
    order = await orders.get(query.order_id)
    return order.total if order else None


app = Application("retail", [OrderDetails, order_total])


def lines(path: Path | None, count: int) -> Iterator[OrderLineAdded]:
    """At most `count` lines in the order of time, of the file or, without one, made up."""
    source = _synthetic() if path is None else _from_file(path)
    return islice(source, count)


def _from_file(path: Path) -> Iterator[OrderLineAdded]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            line = Line(sku=row["StockCode"], quantity=int(row["Quantity"]), unit_price=Decimal(row["UnitPrice"]))
            yield OrderLineAdded(order_id=row["InvoiceNo"], country=row["Country"], line=line)


def _synthetic() -> Iterator[OrderLineAdded]:
    """Without end: orders of 1 to 39 lines, as many on average as in the file."""
    chance = random.Random(1)
    number = 500_000
    while True:
        number += 1
        country = chance.choice(("United Kingdom", "France", "Germany", "EIRE"))
        for _ in range(chance.randrange(1, 40)):
            price = Decimal(chance.randrange(10, 2000)) / 100
            line = Line(sku=f"s{chance.randrange(4000)}", quantity=chance.randrange(1, 50), unit_price=price)
            yield OrderLineAdded(order_id=str(number), country=country, line=line)
