"""Read models: each is one question's answer, kept ready. All of them can be folded again from the event log.

A flash sale has no address, so it counts for its product and its customer, and not for a country.
"""

from datetime import datetime
from decimal import Decimal

from examples.shop.orders import CreditNoteIssued, Line, OrderPlaced, total
from examples.shop.products import ProductAdded, Sold
from twofold import ReadModel, on

Document = OrderPlaced | CreditNoteIssued


def skus(event: Document) -> list[str]:
    """A product may stand on several lines of a document: the handler is called once for it, and looks at them all."""
    return [line.sku for line in event.lines]


def known_customer(event: Document) -> list[str]:
    """Nobody's row is touched when the customer is not known."""
    return [] if event.customer_id is None else [event.customer_id]


class OrderDetails(ReadModel, key="order_id", index=["customer_id"]):
    order_id: str
    customer_id: str | None = None
    placed_at: datetime | None = None
    country: str = ""
    lines: list[Line] = []
    total: Decimal = Decimal(0)

    @on(OrderPlaced)
    def placed(self, event: OrderPlaced) -> None:
        self.customer_id = event.customer_id
        self.placed_at = event.placed_at
        self.country = event.country
        self.lines = event.lines
        self.total = total(event.lines)


class SalesPerProduct(ReadModel, key="sku", index=["revenue"]):
    sku: str
    units: int = 0
    revenue: Decimal = Decimal(0)

    @on(OrderPlaced, key=skus)
    def ordered(self, event: OrderPlaced, sku: str) -> None:
        self.count(event.lines, sku)

    @on(CreditNoteIssued, key=skus)
    def credited(self, event: CreditNoteIssued, sku: str) -> None:
        self.count(event.lines, sku)

    @on(Sold)
    def sold(self, event: Sold) -> None:
        self.units += 1
        self.revenue += event.price

    def count(self, lines: list[Line], sku: str) -> None:
        for line in lines:
            if line.sku == sku:
                self.units += line.quantity
                self.revenue += line.amount


class RevenueByCountry(ReadModel, key="country"):
    country: str
    orders: int = 0
    credit_notes: int = 0
    revenue: Decimal = Decimal(0)

    @on(OrderPlaced)
    def ordered(self, event: OrderPlaced) -> None:
        self.orders += 1
        self.revenue += total(event.lines)

    @on(CreditNoteIssued)
    def credited(self, event: CreditNoteIssued) -> None:
        self.credit_notes += 1
        self.revenue += total(event.lines)


class CustomerHistory(ReadModel, key="customer_id"):
    """What one customer did; the orders themselves are found by `OrdersOfCustomer`."""

    customer_id: str
    orders: int = 0
    credit_notes: int = 0
    flash_buys: int = 0
    spent: Decimal = Decimal(0)
    last_order_at: datetime | None = None

    @on(OrderPlaced, key=known_customer)
    def ordered(self, event: OrderPlaced) -> None:
        self.orders += 1
        self.spent += total(event.lines)
        if self.last_order_at is None or event.placed_at > self.last_order_at:
            self.last_order_at = event.placed_at

    @on(CreditNoteIssued, key=known_customer)
    def credited(self, event: CreditNoteIssued) -> None:
        self.credit_notes += 1
        self.spent += total(event.lines)

    @on(Sold)
    def bought(self, event: Sold) -> None:
        self.flash_buys += 1
        self.spent += event.price


class ProductSearch(ReadModel, key="sku", search=["sku", "name"]):
    """Products by code and name: the catalogue's, until an order sells the product under another description."""

    sku: str
    name: str = ""

    @on(ProductAdded)
    def added(self, event: ProductAdded) -> None:
        self.name = event.name

    @on(OrderPlaced, key=skus)
    def ordered(self, event: OrderPlaced, sku: str) -> None:
        for line in event.lines:
            if line.sku == sku and line.sells:
                self.name = line.description or self.name
