# pyright: strict
"""The slice of the design, as printed."""

from decimal import Decimal

from twofold import Aggregate, Application, Command, Event, Query, ReadModel, Rejected, View, answer, apply, handle, on


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


class AccountsOf(Query[list[Balance]]):
    owner: str


@answer
async def accounts_of(query: AccountsOf, balances: View[Balance]) -> list[Balance]:
    return await balances.find(owner=query.owner, order_by="account_id")


app = Application("bank", [Account, Balance, accounts_of])
