"""Bare sqlite3 and msgspec: read a log in pages, decode it, fold it into one row per account, save each page's rows.

Rows, checkpoint and nothing else in one durable transaction per page.
"""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.limits.folding import PAGE, Deposited, Page, Row, events_per_s
from benchmarks.limits.sqlite_group import connect, group_insert

__all__ = ["fold", "read"]

SELECT_PAGE = """
SELECT position, stream, version, type, CAST(data AS BLOB), metadata
  FROM event WHERE position > ? ORDER BY position LIMIT ?
"""
SCHEMA = """
CREATE TABLE balance (account_id TEXT PRIMARY KEY, deposits INTEGER NOT NULL, balance TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE checkpoint (position INTEGER NOT NULL);
INSERT INTO checkpoint VALUES (0);
"""


def read(folder: Path, count: int) -> float:
    """Events read and decoded per second."""
    group_insert(folder, count, commands=False)
    log = connect(folder / "limit.db")
    decoder = msgspec.json.Decoder(Deposited)
    started = time.perf_counter()
    position = 0
    while page := _page(log, position):
        events = [decoder.decode(row[1]) for row in page]
        position += len(events)
    rate = position / (time.perf_counter() - started)
    log.close()
    return rate


def fold(folder: Path, count: int) -> float:
    """Events folded into the durable table per second."""
    group_insert(folder, count, commands=False)
    log, store = connect(folder / "limit.db"), connect(folder / "rows.db")
    store.executescript(SCHEMA)
    rate = events_per_s(lambda after: _page(log, after), lambda rows, position: _save(store, rows, position))
    log.close()
    store.close()
    return rate


def _page(log: sqlite3.Connection, after: int) -> Page:
    return [(row[0], row[4]) for row in log.execute(SELECT_PAGE, (after, PAGE))]


def _save(store: sqlite3.Connection, rows: Sequence[Row], position: int) -> None:
    store.execute("BEGIN IMMEDIATE")
    store.executemany(
        "INSERT INTO balance VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET deposits = excluded.deposits,"
        " balance = excluded.balance",
        [(key, deposits, str(balance)) for key, deposits, balance in rows],
    )
    store.execute("UPDATE checkpoint SET position = ?", (position,))
    store.execute("COMMIT")
