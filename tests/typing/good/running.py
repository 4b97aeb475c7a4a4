# pyright: strict
"""Sending, asking and testing."""

from collections.abc import Sequence
from decimal import Decimal
from typing import assert_type

from examples.bank import Account, AccountOpened, AccountsOf, Balance, Deposit, Deposited, OpenAccount, app
from twofold import Accepted, Event, Metadata, NotYetConsistentError, Settings, StreamId, connect
from twofold.testing import RunningSystem, TestClock, given, given_events, recorded, running


async def embedded() -> Sequence[Balance]:
    async with connect(app, settings=Settings(event_log="memory:")) as system:
        done = await system.send(
            OpenAccount(account_id="a1", owner="ann"),
            command_id="k1",
            expected_version=0,
            metadata=Metadata(actor="ann", extra={"till": "7"}),
        )
        assert_type(done, Accepted)
        assert_type(done.stream, StreamId)
        assert_type(done.version, int)
        assert_type(done.events, tuple[Event, ...])
        assert_type(done.replayed, bool)
        try:
            answered = await system.answer(AccountsOf(owner="ann"), after=done.position, wait_s=2)
            assert_type(answered.value, list[Balance])
        except NotYetConsistentError as error:
            assert_type(error.reached, int)
        accounts = await system.ask(AccountsOf(owner="ann"))
        assert_type(accounts, list[Balance])
        return accounts


def stories() -> None:
    opened = AccountOpened(account_id="a1", owner="ann")
    deposit = Deposit(account_id="a1", amount=Decimal(1))
    deposited = Deposited(account_id="a1", amount=Decimal(1))
    given(Account, opened).when(deposit, actor="ann", ids=["1"]).then(deposited)
    given(Account).when(deposit).then_rejected("not-found")
    given_events(opened, recorded(deposited, stream="account-a1")).then_row(Balance, "a1", balance=Decimal(1))


async def whole() -> None:
    async with running(app, clock=TestClock()) as system:
        assert_type(system, RunningSystem)
        system.clock.advance(60)
        await system.send(OpenAccount(account_id="a1", owner="ann"))
        await system.settle()
