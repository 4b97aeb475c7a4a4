"""Migrations of a SQLite file: numbered steps, each with its number in one transaction."""

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.events import make_log
from twofold.stores.sqlite.connections import open_reader, open_writer
from twofold.stores.sqlite.event_log import SCHEMA, SqliteEventLog

NEXT = dataclasses.replace(SCHEMA, steps=(*SCHEMA.steps, "CREATE TABLE note (text TEXT) STRICT;"))
BROKEN = dataclasses.replace(NEXT, steps=(*NEXT.steps, "CREATE TABLE more (n INTEGER); CREATE TABLE note (n INTEGER);"))


def state(path: Path) -> tuple[int, set[str]]:
    with closing(sqlite3.connect(path)) as connection:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        return number, {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


async def test_an_older_file_is_migrated_and_keeps_its_events(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    open_writer(path, NEXT).close()
    assert state(path) == (2, {"event", "command", "snapshot", "note"})
    with closing(open_reader(path, NEXT)) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (3,)


async def test_a_file_that_is_up_to_date_is_not_migrated_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    before = state(path)
    async with SqliteEventLog.open(path) as log:
        assert await log.head() == 3
    assert state(path) == before


async def test_a_step_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    """A bug of ours, so SQLite's error passes as it is; the steps before it stay, and can be gone on from."""
    path = tmp_path / "log.db"
    await make_log(path)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        open_writer(path, BROKEN)
    assert state(path) == (2, {"event", "command", "snapshot", "note"})
    open_writer(path, NEXT).close()
