from decimal import Decimal

import pytest

from examples.bank import Account, AccountOpened, AccountsOf, Balance, Deposit, Deposited, OpenAccount, app
from twofold.testing import given, given_events, running

OPENED = AccountOpened(account_id="a1", owner="ann")


def test_an_account_is_opened_once() -> None:
    command = OpenAccount(account_id="a1", owner="ann")
    given(Account).when(command).then(OPENED)
    given(Account, OPENED).when(command).then_rejected("already-exists")


def test_a_deposit_is_recorded() -> None:
    given(Account, OPENED).when(Deposit(account_id="a1", amount=Decimal("9.95"))).then(
        Deposited(account_id="a1", amount=Decimal("9.95"))
    )


@pytest.mark.parametrize("amount", [Decimal(0), Decimal("-0.01")])
def test_a_deposit_that_adds_nothing_is_refused(amount: Decimal) -> None:
    given(Account, OPENED).when(Deposit(account_id="a1", amount=amount)).then_rejected("amount-not-positive")


def test_a_deposit_needs_an_open_account() -> None:
    given(Account).when(Deposit(account_id="a1", amount=Decimal(1))).then_rejected("not-found")


def test_the_balance_is_the_exact_sum_of_the_deposits() -> None:
    tenth = Deposited(account_id="a1", amount=Decimal("0.1"))
    given_events(OPENED, tenth, tenth, tenth).then_row(Balance, "a1", owner="ann", balance=Decimal("0.3"))


async def test_an_owner_sees_every_account_and_no_other() -> None:
    async with running(app) as system:
        for account_id, owner in [("a1", "ann"), ("b1", "bob"), ("a2", "ann")]:
            await system.send(OpenAccount(account_id=account_id, owner=owner))
        await system.send(Deposit(account_id="a2", amount=Decimal(5)))
        await system.settle()
        assert await system.ask(AccountsOf(owner="ann")) == [
            Balance(account_id="a1", owner="ann"),
            Balance(account_id="a2", owner="ann", balance=Decimal(5)),
        ]
