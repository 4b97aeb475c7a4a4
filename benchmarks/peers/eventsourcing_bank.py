"""The PyPI package `eventsourcing` as a bank: its Application and Aggregate on its SQLite or PostgreSQL recorder.

Set up as its documentation advises for one process: aggregates cached without fast-forwarding; on SQLite the database
in WAL mode (its recorder does that itself; SQLite's default synchronous=FULL stays), on PostgreSQL a pool with a
connection for each thread. It is synchronous, so concurrency means threads; each thread works on accounts of its own,
so that none loses a race. It records no command ids: what is measured is less work than ours.
"""

import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

__all__ = [
    "Account",
    "Bank",
    "Product",
    "Shop",
    "best_commands_per_s",
    "commands_per_s",
    "open_accounts",
    "postgres",
    "sales_per_s",
    "sqlite",
]

Environment = Mapping[str, str]
CACHED = {"AGGREGATE_CACHE_MAXSIZE": "2000", "AGGREGATE_CACHE_FASTFORWARD": "n"}


class Account(Aggregate):
    class Deposited(Aggregate.Event):
        amount: Decimal

    @event("Opened")
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance = Decimal(0)

    def deposit(self, amount: Decimal) -> None:
        if amount <= 0:
            raise ValueError("the amount must be positive")
        self._deposited(amount)

    @event(Deposited)
    def _deposited(self, amount: Decimal) -> None:
        self.balance += amount


class Bank(Application[UUID]):
    log_section_size = 500

    def open(self, owner: str) -> UUID:
        account = Account(owner)
        self.save(account)
        return account.id

    def deposit(self, account_id: UUID, amount: Decimal) -> None:
        account: Account = self.repository.get(account_id)
        account.deposit(amount)
        self.save(account)


class Product(Aggregate):
    @event("Stocked")
    def __init__(self, stock: int) -> None:
        self.stock = stock

    def buy(self, customer: str) -> None:
        if self.stock == 0:
            raise ValueError("sold out")
        self._bought(customer)

    @event("Bought")
    def _bought(self, customer: str) -> None:
        self.stock -= 1


class Shop(Application[UUID]):
    def stock(self, units: int) -> UUID:
        product = Product(units)
        self.save(product)
        return product.id

    def buy(self, product_id: UUID, customer: str) -> None:
        product: Product = self.repository.get(product_id)
        product.buy(customer)
        self.save(product)


def sqlite(path: Path, *, cached: bool = True) -> Environment:
    settings = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
    return settings | (CACHED if cached else {})


def postgres(url: str, *, cached: bool = True, connections: int = 5, functions: bool = False) -> Environment:
    """5 connections are its default. `functions`: insert by its function in the database, in one round trip."""
    address = urlsplit(url)
    settings = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": address.path.removeprefix("/"),
        "POSTGRES_HOST": str(address.hostname),
        "POSTGRES_PORT": str(address.port),
        "POSTGRES_USER": str(address.username),
        "POSTGRES_PASSWORD": "",
        "POSTGRES_POOL_SIZE": str(connections),
        "POSTGRES_ENABLE_DB_FUNCTIONS": "y" if functions else "n",
    }
    return settings | (CACHED if cached else {})


def open_accounts(bank: Bank, count: int) -> list[UUID]:
    return [bank.open(f"owner {number}") for number in range(count)]


def best_commands_per_s(
    ways: Mapping[str, tuple[Environment, int]], *, aggregates: int, count: int
) -> Mapping[str, float]:
    """The rate of each way (its environment and number of threads), and the best of them as `commands_per_s`."""
    rates = {
        name: commands_per_s(environment, aggregates=aggregates, count=count, threads=threads)
        for name, (environment, threads) in ways.items()
    }
    return {"commands_per_s": max(rates.values()), **rates}


def commands_per_s(environment: Environment, *, aggregates: int, count: int, threads: int) -> float:
    """Deposits per second on random accounts, by so many threads."""
    bank = Bank(env=environment)
    accounts = open_accounts(bank, aggregates)
    shares = [accounts[number::threads] for number in range(threads)]

    def work(share: Sequence[UUID]) -> None:
        choose = random.Random(share[0].int)
        for _ in range(count // threads):
            bank.deposit(choose.choice(share), Decimal("10.25"))

    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        list(pool.map(work, shares))
        rate = count // threads * threads / (time.perf_counter() - started)
    bank.close()
    return rate


def sales_per_s(environment: Environment, *, units: int) -> float:
    """Sales per second of one product, by one thread: more threads only lose races to each other."""
    shop = Shop(env=environment)
    product_id = shop.stock(units)
    started = time.perf_counter()
    for number in range(units):
        shop.buy(product_id, f"c{number}")
    rate = units / (time.perf_counter() - started)
    shop.close()
    return rate
