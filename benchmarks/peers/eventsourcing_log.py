"""The log side of `eventsourcing` on SQLite: groups appended by its recorder, notifications read, a projection.

Its SQLite recorder knows no subscriptions, so the projection is fed from the notification log in sections, as its
documentation shows for pulling; its view is a tracking recorder that writes the row and the tracking record of each
event in one transaction, again as documented.
"""

import time
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.sqlite import SQLiteDatastore, SQLiteTrackingRecorder

from benchmarks.peers.eventsourcing_bank import Account, Bank, sqlite

__all__ = ["append_per_s", "fold_per_s", "load_per_s", "read_per_s"]

GROUP = 64
AMOUNT = Decimal("10.25")


class Balances(SQLiteTrackingRecorder):
    def construct_create_table_statements(self) -> list[str]:
        table = "CREATE TABLE IF NOT EXISTS balance (account_id TEXT PRIMARY KEY, balance TEXT) WITHOUT ROWID"
        return [*super().construct_create_table_statements(), table]

    def add(self, account_id: UUID, amount: Decimal, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("SELECT balance FROM balance WHERE account_id = ?", (account_id.hex,))
            row = cursor.fetchone()
            balance = (Decimal(row["balance"]) if row else Decimal(0)) + amount
            cursor.execute("INSERT OR REPLACE INTO balance VALUES (?, ?)", (account_id.hex, str(balance)))
            self._insert_tracking(cursor, tracking)


def append_per_s(folder: Path, *, aggregates: int, count: int) -> float:
    """Events per second when its recorder is given groups of prepared events of many aggregates."""
    bank = Bank(env=sqlite(folder / "append.db"))
    ids = [uuid4() for _ in range(aggregates)]
    events = [_deposited(bank, ids[at % aggregates], at // aggregates + 1) for at in range(count)]
    started = time.perf_counter()
    for start in range(0, count, GROUP):
        bank.recorder.insert_events(events[start : start + GROUP])
    rate = count / (time.perf_counter() - started)
    bank.close()
    return rate


def read_per_s(folder: Path, *, count: int) -> float:
    """Events read in global order and decoded per second."""
    bank = _filled(folder, aggregates=1000, count=count)
    started = time.perf_counter()
    position = 0
    while section := bank.notification_log.select(start=position + 1, limit=bank.log_section_size):
        events = [bank.mapper.to_domain_event(notification) for notification in section]
        position += len(events)
    rate = position / (time.perf_counter() - started)
    bank.close()
    return rate


def fold_per_s(folder: Path, *, count: int) -> float:
    """Events projected per second."""
    bank = _filled(folder, aggregates=1000, count=count)
    balances = Balances(SQLiteDatastore(str(folder / "balances.db")))
    balances.create_table()
    started = time.perf_counter()
    position = 0
    while section := bank.notification_log.select(start=position + 1, limit=bank.log_section_size):
        for notification in section:
            event = bank.mapper.to_domain_event(notification)
            if isinstance(event, Account.Deposited):
                balances.add(event.originator_id, event.amount, Tracking(bank.name, notification.id))
        position = section[-1].id
    rate = position / (time.perf_counter() - started)
    bank.close()
    return rate


def load_per_s(folder: Path, *, events: int, times: int) -> float:
    """Events per second while one aggregate is rebuilt again and again from its stored events."""
    bank = Bank(env=sqlite(folder / "load.db", cached=False))
    account_id = bank.open("ann")
    deposits = [_deposited(bank, account_id, version) for version in range(2, events + 1)]
    bank.recorder.insert_events(deposits)
    started = time.perf_counter()
    for _ in range(times):
        account: Account = bank.repository.get(account_id)
        assert account.version == events
    rate = events * times / (time.perf_counter() - started)
    bank.close()
    return rate


def _filled(folder: Path, *, aggregates: int, count: int) -> Bank:
    bank = Bank(env=sqlite(folder / "filled.db"))
    ids = [uuid4() for _ in range(aggregates)]
    for start in range(0, count, 1000):
        stop = min(start + 1000, count)
        group = [_deposited(bank, ids[at % aggregates], at // aggregates + 1) for at in range(start, stop)]
        bank.recorder.insert_events(group)
    return bank


def _deposited(bank: Bank, account_id: UUID, version: int) -> StoredEvent:
    facts = {"originator_id": account_id, "originator_version": version, "amount": AMOUNT}
    event = Account.Deposited(timestamp=Account.Event.create_timestamp(), **facts)  # pyright: ignore[reportArgumentType, reportCallIssue] its fields are made by a metaclass
    return bank.mapper.to_stored_event(event)
