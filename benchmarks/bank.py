"""The bank that is measured: the slice of the README, a query by key, and a product for the flash sale.

`app` is the whole; `write_side` has no read model, so that what is measured is deciding and appending.
"""

import random
from collections.abc import Iterator
from decimal import Decimal

from twofold import Aggregate, Application, Command, Event, Query, ReadModel, Rejected, View, answer, apply, handle, on

__all__ = [
    "AGGREGATES",
    "Account",
    "AccountOpened",
    "Balance",
    "BalanceOf",
    "BuyNow",
    "Deposit",
    "Deposited",
    "StockProduct",
    "app",
    "deposits",
    "openings",
    "write_side",
]

AGGREGATES = 1_000


class OpenAccount(Command):
    account_id: str
    owner: str


class Deposit(Command):
    account_id: str
    amount: Decimal


class AccountOpened(Event):
    account_id: str
    owner: str


class Deposited(Event):
    account_id: str
    amount: Decimal


class Account(Aggregate, key="account_id"):
    balance: Decimal = Decimal(0)

    @handle(creates=True)
    def open(self, command: OpenAccount) -> AccountOpened:
        return AccountOpened(account_id=command.account_id, owner=command.owner)

    @handle
    def deposit(self, command: Deposit) -> Deposited:
        if command.amount <= 0:
            raise Rejected("the amount must be positive", code="amount-not-positive")
        return Deposited(account_id=command.account_id, amount=command.amount)

    @apply
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount


class StockProduct(Command):
    sku: str
    units: int


class BuyNow(Command):
    sku: str
    customer: str


class ProductStocked(Event):
    sku: str
    units: int


class UnitSold(Event):
    sku: str
    customer: str


class Product(Aggregate, key="sku"):
    stock: int = 0

    @handle(creates=True)
    def begin(self, command: StockProduct) -> ProductStocked:
        return ProductStocked(sku=command.sku, units=command.units)

    @handle
    def buy(self, command: BuyNow) -> UnitSold:
        if self.stock == 0:
            raise Rejected("sold out", code="sold-out")
        return UnitSold(sku=command.sku, customer=command.customer)

    @apply
    def stocked(self, event: ProductStocked) -> None:
        self.stock += event.units

    @apply
    def sold(self, event: UnitSold) -> None:
        self.stock -= 1


class Balance(ReadModel, key="account_id", index=["owner"]):
    account_id: str
    owner: str = ""
    balance: Decimal = Decimal(0)

    @on(AccountOpened)
    def opened(self, event: AccountOpened) -> None:
        self.owner = event.owner

    @on(Deposited)
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount


class BalanceOf(Query[Balance | None]):
    account_id: str


@answer
async def balance_of(query: BalanceOf, balances: View[Balance]) -> Balance | None:
    return await balances.get(query.account_id)


write_side = Application("bank-write-side", [Account, Product])
app = Application("bank", [Account, Product, Balance, balance_of])


def openings(count: int) -> Iterator[OpenAccount]:
    return (OpenAccount(account_id=f"a{number}", owner=f"owner {number}") for number in range(count))


def deposits(count: int) -> Iterator[Deposit]:
    """To accounts chosen at random, the same ones in every run."""
    choose = random.Random(count)
    return (Deposit(account_id=f"a{choose.randrange(AGGREGATES)}", amount=Decimal("10.25")) for _ in range(count))
