"""Products: what can be bought at once, while stock lasts."""

from decimal import Decimal
from typing import Annotated

from examples.shop.money import is_price
from twofold import Aggregate, Command, Event, Meta, Rejected, apply, handle

Sku = Annotated[str, Meta(min_length=1, max_length=50, description="stock-keeping unit: the product's own code")]
CustomerId = Annotated[str, Meta(min_length=1, max_length=50)]


class AddProduct(Command):
    sku: Sku
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    price: Decimal
    stock: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class Restock(Command):
    sku: Sku
    units: Annotated[int, Meta(ge=1, le=1_000_000)]


class BuyNow(Command):
    """One unit, at once, at today's price."""

    sku: Sku
    customer_id: CustomerId


class ProductAdded(Event):
    sku: str
    name: str
    price: Decimal
    stock: int


class Restocked(Event):
    sku: str
    units: int


class Sold(Event):
    sku: str
    customer_id: str
    price: Decimal


class Product(Aggregate, key="sku"):
    price: Decimal = Decimal(0)
    stock: int = 0

    @handle(creates=True)
    def add(self, command: AddProduct) -> ProductAdded:
        if not is_price(command.price) or command.price < 0:
            raise Rejected(f"{command.price} is not a price", code="not-a-price")
        return ProductAdded(sku=command.sku, name=command.name, price=command.price, stock=command.stock)

    @handle
    def restock(self, command: Restock) -> Restocked:
        return Restocked(sku=command.sku, units=command.units)

    @handle
    def buy_now(self, command: BuyNow) -> Sold:
        if self.stock == 0:
            raise Rejected(f"product {command.sku} is sold out", code="sold-out")
        return Sold(sku=command.sku, customer_id=command.customer_id, price=self.price)

    @apply
    def added(self, event: ProductAdded) -> None:
        self.price = event.price
        self.stock = event.stock

    @apply
    def restocked(self, event: Restocked) -> None:
        self.stock += event.units

    @apply
    def sold(self, event: Sold) -> None:
        self.stock -= 1
