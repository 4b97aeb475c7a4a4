"""Bare sqlite3 and msgspec: read a log in pages, decode it, fold it into one row per account, save each page's rows.

Rows, checkpoint and nothing else in one durable transaction per page.
"""

import sqlite3
import time
from decimal import Decimal
from pathlib import Path

import msgspec

from benchmarks.limits.sqlite_group import connect, group_insert

__all__ = ["PAGE", "fold", "read"]

PAGE = 5_000
SELECT_PAGE = """
SELECT position, stream, version, type, CAST(data AS BLOB), metadata
  FROM event WHERE position > ? ORDER BY position LIMIT ?
"""
SCHEMA = """
CREATE TABLE balance (account_id TEXT PRIMARY KEY, deposits INTEGER NOT NULL, balance TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE checkpoint (position INTEGER NOT NULL);
INSERT INTO checkpoint VALUES (0);
"""


class Deposited(msgspec.Struct, frozen=True, gc=False):
    account_id: str
    amount: Decimal


def read(folder: Path, count: int) -> float:
    """Events read and decoded per second."""
    group_insert(folder, count, commands=False)
    log = connect(folder / "limit.db")
    decoder = msgspec.json.Decoder(Deposited)
    started = time.perf_counter()
    position = 0
    while page := _page(log, position):
        events = [decoder.decode(row[4]) for row in page]
        position += len(events)
    rate = position / (time.perf_counter() - started)
    log.close()
    return rate


def fold(folder: Path, count: int) -> float:
    """Events folded into the durable table per second."""
    group_insert(folder, count, commands=False)
    log, store = connect(folder / "limit.db"), connect(folder / "rows.db")
    store.executescript(SCHEMA)
    decoder = msgspec.json.Decoder(Deposited)
    rows: dict[str, tuple[str, int, Decimal]] = {}
    started = time.perf_counter()
    position = 0
    while page := _page(log, position):
        touched: dict[str, None] = {}
        for row in page:
            event = decoder.decode(row[4])
            key, deposits, balance = rows.get(event.account_id) or (event.account_id, 0, Decimal(0))
            rows[key] = (key, deposits + 1, balance + event.amount)
            touched[key] = None
        position = page[-1][0]
        _save(store, [rows[key] for key in touched], position)
    rate = position / (time.perf_counter() - started)
    log.close()
    store.close()
    return rate


def _page(log: sqlite3.Connection, after: int) -> list[tuple[int, str, int, str, bytes, bytes]]:
    return log.execute(SELECT_PAGE, (after, PAGE)).fetchall()


def _save(store: sqlite3.Connection, rows: list[tuple[str, int, Decimal]], position: int) -> None:
    store.execute("BEGIN IMMEDIATE")
    store.executemany(
        "INSERT INTO balance VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET deposits = excluded.deposits,"
        " balance = excluded.balance",
        [(key, deposits, str(balance)) for key, deposits, balance in rows],
    )
    store.execute("UPDATE checkpoint SET position = ?", (position,))
    store.execute("COMMIT")
