"""Bare sqlite3: an event log's rows, prepared beforehand, inserted in groups, each group one durable transaction."""

import sqlite3
import time
from pathlib import Path

__all__ = ["AGGREGATES", "GROUP", "connect", "group_insert"]

GROUP = 64
AGGREGATES = 1000

# As good as bare SQLite gets without giving up durability (secure_delete is on by default on Debian).
SETTINGS = ("synchronous = FULL", "wal_autocheckpoint = 4000", "cache_size = -32768", "secure_delete = OFF")
SCHEMA = """
CREATE TABLE event (
    position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL,
    schema_version INTEGER NOT NULL, data TEXT NOT NULL, metadata TEXT NOT NULL, recorded_at INTEGER NOT NULL,
    UNIQUE (stream, version)) STRICT;
CREATE TABLE command (
    command_id TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, stream TEXT NOT NULL, version INTEGER NOT NULL,
    position INTEGER NOT NULL, event_count INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
EVENT_COLUMNS = 8
COMMAND_COLUMNS = 6


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for setting in SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    return connection


def group_insert(
    folder: Path, count: int, *, commands: bool = True, group: int = GROUP, aggregates: int = AGGREGATES
) -> float:
    """Events per second, each with the record of its command id when `commands`."""
    connection = connect(folder / "limit.db")
    connection.executescript(SCHEMA)
    parts = [range(start, min(start + group, count + 1)) for start in range(1, count + 1, group)]
    prepared = [_statements(part, aggregates) for part in parts]
    started = time.perf_counter()
    for insert_events, insert_commands in prepared:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(*insert_events)
        if commands:
            connection.execute(*insert_commands)
        connection.execute("COMMIT")
    rate = count / (time.perf_counter() - started)
    connection.close()
    return rate


def _statements(positions: range, aggregates: int) -> tuple[tuple[str, list[object]], tuple[str, list[object]]]:
    """One statement for all events and one for all commands: quicker than a statement per row."""
    events = [value for position in positions for value in _event(position, aggregates)]
    commands = [value for position in positions for value in _command(position, aggregates)]
    rows = len(positions)
    return (_insert("event", EVENT_COLUMNS, rows), events), (_insert("command", COMMAND_COLUMNS, rows), commands)


def _insert(table: str, columns: int, rows: int) -> str:
    """OR ROLLBACK: under OR ABORT SQLite keeps copies of pages to undo the statement alone."""
    row = f"({', '.join('?' * columns)})"
    return f"INSERT OR ROLLBACK INTO {table} VALUES {', '.join([row] * rows)}"


def _event(position: int, aggregates: int) -> tuple[object, ...]:
    stream, version = _place(position, aggregates)
    data = f'{{"account_id":"{stream}","amount":"10.25"}}'
    metadata = f'{{"command":"Deposit","command_id":"id-{position}","correlation_id":"{position:032x}"}}'
    return position, stream, version, "Deposited", 1, data, metadata, 1_700_000_000_000_000 + position


def _command(position: int, aggregates: int) -> tuple[object, ...]:
    stream, version = _place(position, aggregates)
    return f"command-{position * 7919 % 1_000_003}-{position}", b"f" * 16, stream, version, position, 1


def _place(position: int, aggregates: int) -> tuple[str, int]:
    return f"account-{position % aggregates}", position // aggregates + 1
