"""`eventsourcing` projecting on PostgreSQL as its documentation shows: a ProjectionRunner on a subscription, whose view
writes the row and the tracking record of each event in one transaction."""

import contextlib
import multiprocessing
import random
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from multiprocessing.connection import Connection
from threading import Event
from typing import Any
from uuid import UUID

from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from benchmarks.pace import PAUSE_S, RATE_PER_S
from benchmarks.peers.eventsourcing_bank import Account, Bank, Environment, open_accounts

__all__ = ["fold_per_s", "visible_ms"]

AMOUNT = Decimal("10.25")
TIMEOUT_S = 300.0


class Balances(PostgresTrackingRecorder):
    """Notes when each event became visible, on the clock that all processes of a machine share."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS {schema}.balance (account_id uuid PRIMARY KEY, balance numeric NOT NULL)"
            ).format(schema=Identifier(datastore.schema))
        )
        self.visible_at: dict[int, float] = {}
        self._wanted = 0
        self._there = Event()

    def track(self, tracking: Tracking) -> None:
        self.insert_tracking(tracking)
        self._note(tracking)

    def add(self, account_id: UUID, amount: Decimal, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(
                "INSERT INTO balance VALUES (%s, %s) ON CONFLICT (account_id)"
                " DO UPDATE SET balance = balance.balance + excluded.balance",
                (account_id, amount),
                prepare=True,
            )
            self._insert_tracking(cursor, tracking)
        self._note(tracking)

    def await_event(self, position: int) -> None:
        self._wanted = position
        while position not in self.visible_at:
            if not self._there.wait(TIMEOUT_S):
                raise TimeoutError(f"event {position} was not projected within {TIMEOUT_S} s")
            self._there.clear()

    def _note(self, tracking: Tracking) -> None:
        self.visible_at[tracking.notification_id] = time.monotonic()
        if tracking.notification_id >= self._wanted:
            self._there.set()


class BalanceProjection(Projection[Balances]):
    name = "balances"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.track(tracking)

    @process_event.register
    def _(self, domain_event: Account.Deposited, tracking: Tracking) -> None:
        self.view.add(domain_event.originator_id, domain_event.amount, tracking)


def fold_per_s(environment: Environment, *, count: int) -> float:
    """Events projected per second, from the start of the runner until all are visible."""
    bank = Bank(env=environment)
    accounts = open_accounts(bank, 100)
    choose = random.Random(1)
    for _ in range(count - len(accounts)):
        bank.deposit(choose.choice(accounts), AMOUNT)
    bank.close()
    started = time.perf_counter()
    with _runner(environment) as runner:
        runner.view.await_event(count)
        return count / (time.perf_counter() - started)


def _runner(environment: Environment) -> ProjectionRunner[Bank, Balances]:
    return ProjectionRunner(
        application_class=Bank, projection_class=BalanceProjection, view_class=Balances, env=environment
    )


class Projector:
    """A runner in a process of its own; made once it has come to the position `after`."""

    def __init__(self, environment: Environment, *, after: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_project, args=(environment, far))
        self._process.start()
        far.close()
        self._times_until(after)

    def times(self, last: int) -> Mapping[int, float]:
        """When each event became visible, once `last` is; the process then ends."""
        times = self._times_until(last)
        self._pipe.close()
        self._process.join()
        return times

    def _times_until(self, position: int) -> Mapping[int, float]:
        self._pipe.send(position)
        if not self._pipe.poll(TIMEOUT_S):
            raise TimeoutError(f"no answer from the projecting process within {TIMEOUT_S} s")
        return self._pipe.recv()


def _project(environment: Environment, pipe: Connection) -> None:
    with _runner(environment) as runner, contextlib.suppress(EOFError):
        while True:
            runner.view.await_event(pipe.recv())
            pipe.send(runner.view.visible_at)


def visible_ms(environment: Environment, *, count: int) -> tuple[Sequence[float], Sequence[float]]:
    """Milliseconds from the return of a save in this process to the row's commit in another: for saves with pauses, and
    for twice as many on a schedule of 200 a second."""
    bank = Bank(env=environment)
    accounts = open_accounts(bank, 100)
    projector = Projector(environment, after=len(accounts))
    accepted_at: list[float] = []

    def save(number: int) -> None:
        bank.deposit(accounts[number % len(accounts)], AMOUNT)
        accepted_at.append(time.monotonic())

    for number in range(count // 2):
        save(number)
        time.sleep(PAUSE_S)
    started = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, started + number / RATE_PER_S - time.monotonic()))
        save(number)
    first = len(accounts) + 1  # its log has no gaps when nothing is rolled back
    visible_at = projector.times(first + len(accepted_at) - 1)
    bank.close()
    taken = [max(0.0, visible_at[at] - accepted) * 1000 for at, accepted in enumerate(accepted_at, start=first)]
    return taken[: count // 2], taken[count // 2 :]
