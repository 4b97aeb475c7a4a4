"""Every read model, folded once more from the event log by plain loops.

Written apart from the read models on purpose: what both agree on, neither the projector nor the domain got wrong.
"""

from decimal import Decimal

import msgspec

from examples.shop.orders import CreditNoteIssued, OrderPlaced
from examples.shop.products import ProductAdded, Restocked, Sold
from examples.shop.read_models import CustomerHistory, OrderDetails, ProductSearch, RevenueByCountry, SalesPerProduct
from twofold import Event

EVENT_TYPES: tuple[type[Event], ...] = (ProductAdded, Restocked, Sold, OrderPlaced, CreditNoteIssued)


class LoggedEvent(msgspec.Struct, frozen=True):
    """One line of `twofold events tail --json`, as far as the audit needs it."""

    position: int
    stream: str
    version: int
    type: str
    data: msgspec.Raw


class Refold:
    """The rows of all read models by key, as they must be once every event of the log is folded."""

    def __init__(self) -> None:
        self.orders: dict[str, OrderDetails] = {}
        self.sales: dict[str, SalesPerProduct] = {}
        self.countries: dict[str, RevenueByCountry] = {}
        self.customers: dict[str, CustomerHistory] = {}
        self.products: dict[str, ProductSearch] = {}
        self.decoders = {kind.__name__: msgspec.json.Decoder(kind) for kind in EVENT_TYPES}

    def add(self, logged: LoggedEvent) -> Event:
        event = self.decoders[logged.type].decode(logged.data)
        match event:
            case ProductAdded():
                self.product(event.sku).name = event.name
            case Sold():
                self.sell(event)
            case OrderPlaced():
                self.order(event)
            case CreditNoteIssued():
                self.credit(event)
            case _:
                pass
        return event

    def sell(self, event: Sold) -> None:
        sales, customer = self.sales_of(event.sku), self.customer(event.customer_id)
        sales.units += 1
        sales.revenue += event.price
        customer.flash_buys += 1
        customer.spent += event.price

    def order(self, event: OrderPlaced) -> None:
        amount = self.count_lines(event)
        self.orders[event.order_id] = OrderDetails(
            order_id=event.order_id,
            customer_id=event.customer_id,
            placed_at=event.placed_at,
            country=event.country,
            lines=event.lines,
            total=amount,
        )
        for line in event.lines:
            product = self.product(line.sku)
            if line.quantity > 0 and line.unit_price > 0 and line.description:
                product.name = line.description
        country = self.country(event.country)
        country.orders += 1
        country.revenue += amount
        if event.customer_id is not None:
            customer = self.customer(event.customer_id)
            customer.orders += 1
            customer.spent += amount
            customer.last_order_at = max(customer.last_order_at or event.placed_at, event.placed_at)

    def credit(self, event: CreditNoteIssued) -> None:
        amount = self.count_lines(event)
        country = self.country(event.country)
        country.credit_notes += 1
        country.revenue += amount
        if event.customer_id is not None:
            customer = self.customer(event.customer_id)
            customer.credit_notes += 1
            customer.spent += amount

    def count_lines(self, event: OrderPlaced | CreditNoteIssued) -> Decimal:
        amount = Decimal(0)
        for line in event.lines:
            sales = self.sales_of(line.sku)
            sales.units += line.quantity
            sales.revenue += line.quantity * line.unit_price
            amount += line.quantity * line.unit_price
        return amount

    def sales_of(self, sku: str) -> SalesPerProduct:
        return self.sales.setdefault(sku, SalesPerProduct(sku=sku))

    def country(self, country: str) -> RevenueByCountry:
        return self.countries.setdefault(country, RevenueByCountry(country=country))

    def customer(self, customer_id: str) -> CustomerHistory:
        return self.customers.setdefault(customer_id, CustomerHistory(customer_id=customer_id))

    def product(self, sku: str) -> ProductSearch:
        return self.products.setdefault(sku, ProductSearch(sku=sku))
