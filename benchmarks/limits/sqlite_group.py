"""Bare sqlite3: an event log's rows, prepared beforehand, inserted in groups, each group one durable transaction."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.limits.rows import AGGREGATES, GROUP, command_row, event_row, groups

__all__ = ["connect", "group_insert"]

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

Statement = tuple[str, Sequence[object]]


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
    prepared = [_statements(part, aggregates) for part in groups(count, group)]
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


def _statements(positions: range, aggregates: int) -> tuple[Statement, Statement]:
    """One statement for all events and one for all commands: quicker than a statement per row."""
    events = [value for position in positions for value in event_row(position, aggregates)]
    commands = [value for position in positions for value in command_row(position, aggregates)]
    rows = len(positions)
    return (_insert("event", EVENT_COLUMNS, rows), events), (_insert("command", COMMAND_COLUMNS, rows), commands)


def _insert(table: str, columns: int, rows: int) -> str:
    """OR ROLLBACK: under OR ABORT SQLite keeps copies of pages to undo the statement alone."""
    row = f"({', '.join('?' * columns)})"
    return f"INSERT OR ROLLBACK INTO {table} VALUES {', '.join([row] * rows)}"
