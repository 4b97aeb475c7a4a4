"""What one given/when/then test costs."""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal

from benchmarks.bank import Account, AccountOpened, Balance, Deposit, Deposited
from benchmarks.harness import Benchmark, Job, Target
from twofold.testing import given, given_events

__all__ = ["BENCHMARK"]

TIMES = 1_000


def ours(job: Job) -> Mapping[str, float]:
    return {"aggregate_ms": _each_ms(_aggregate), "read_model_ms": _each_ms(_read_model)}


def _aggregate() -> None:
    opened = AccountOpened(account_id="a1", owner="ann")
    deposit = Deposit(account_id="a1", amount=Decimal(10))
    given(Account, opened).when(deposit).then(Deposited(account_id="a1", amount=Decimal(10)))


def _read_model() -> None:
    events = (AccountOpened(account_id="a1", owner="ann"), Deposited(account_id="a1", amount=Decimal(10)))
    given_events(*events).then_row(Balance, "a1", owner="ann", balance=Decimal(10))


def _each_ms(test: Callable[[], None]) -> float:
    started = time.perf_counter()
    for _ in range(TIMES):
        test()
    return (time.perf_counter() - started) / TIMES * 1000


BENCHMARK = Benchmark(
    name="testing_kit",
    about="milliseconds per given/when/then test",
    sides={"twofold": ours},
    targets=(Target(figure="twofold.aggregate_ms", at_most=2), Target(figure="twofold.read_model_ms", at_most=2)),
)
