# pyright: strict
"""What can't be asked or answered."""

from decimal import Decimal

from examples.bank import Account, AccountsOf, Balance, Deposit, Deposited, app
from twofold import Query, System, View, answer, connect
from twofold.testing import given, given_events, running


class Count(Query[int]):
    owner: str


class Aged(Query[int], stale_ok_s="30"):  # E: reportArgumentType, arg-type
    owner: str


@answer
async def unknown_method(query: Count, balances: View[Balance]) -> int:
    return await balances.sum(owner=query.owner)  # E: reportAttributeAccessIssue, attr-defined


@answer
async def other_type(query: Count, balances: View[Balance]) -> int:
    return await balances.find(owner=query.owner)  # E: reportReturnType, return-value


@answer
async def unknown_field(query: Count, balances: View[Balance]) -> str:
    row = await balances.get(query.owner)
    return row.owner  # E: reportOptionalMemberAccess, union-attr


@answer  # E: reportArgumentType, type-var
def not_async(query: Count) -> int:
    return 1


async def wrong_page(balances: View[Balance]) -> None:
    await balances.find(limit="10")  # E: reportArgumentType, arg-type


Wrong = View[int]  # E: reportInvalidTypeArguments, type-var


async def talk(system: System) -> None:
    number: int = await system.ask(AccountsOf(owner="ann"))  # E: reportAssignmentType, arg-type
    print(number)
    await system.ask(Deposit(account_id="a1", amount=Decimal(1)))  # E: reportArgumentType, arg-type
    await system.send(AccountsOf(owner="ann"))  # E: reportArgumentType, arg-type
    await system.send(Deposit(account_id="a1", amount=Decimal(1)), comand_id="k1")  # E: reportCallIssue, call-arg
    done = await system.send(Deposit(account_id="a1", amount=Decimal(1)))
    done.version = 2  # E: reportAttributeAccessIssue, misc
    rows = await system.ask(AccountsOf(owner="ann"))
    print(rows[0].ballance)  # E: reportAttributeAccessIssue, attr-defined


async def tests() -> None:
    given(Balance)  # E: reportArgumentType, arg-type
    given(Account).when(Deposited(account_id="a1", amount=Decimal(1)))  # E: reportArgumentType, arg-type
    deposit = Deposit(account_id="a1", amount=Decimal(1))
    given(Account).when(deposit).then(deposit)  # E: reportArgumentType, arg-type
    given_events().then_row(Account, "a1")  # E: reportArgumentType, arg-type
    async with running(app) as system:
        system.clock.rewind(1)  # E: reportAttributeAccessIssue, attr-defined
    async with connect(app) as system:
        system.clock.advance(1)  # E: reportAttributeAccessIssue, attr-defined
