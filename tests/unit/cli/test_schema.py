import json
import sqlite3
from pathlib import Path

from tests.unit.cli.conftest import Twofold


def states(twofold: Twofold, *words: str) -> list[tuple[str, object, str]]:
    rows = json.loads(twofold("schema", *words, "examples.bank:app", "--json").stdout)
    return [(row["store"], row["schema"], row["state"]) for row in rows]


def test_status_says_of_each_store_that_it_is_up_to_date(story: Path, twofold: Twofold) -> None:
    assert states(twofold, "status") == [("event log", 1, "up to date"), ("read store", 1, "up to date")]
    shown = twofold("schema", "status")
    assert shown.exit_code == 0
    assert shown.stdout.count("up to date") == 2


def test_stores_that_are_not_there_are_made_by_migrate(folder: Path, twofold: Twofold) -> None:
    assert [schema for _, schema, _ in states(twofold, "status")] == [None, None]
    assert not (folder / ".twofold").exists(), "looking changes nothing"
    assert [state for _, _, state in states(twofold, "migrate")] == ["up to date", "up to date"]
    assert (folder / ".twofold" / "log.db").exists()
    assert (folder / ".twofold" / ".gitignore").read_text() == "*\n"


def test_migrate_of_what_is_up_to_date_changes_nothing(story: Path, twofold: Twofold) -> None:
    before = story.read_bytes()
    assert twofold("schema", "migrate").exit_code == 0
    assert story.read_bytes() == before


def test_roles_are_for_postgresql(story: Path, twofold: Twofold) -> None:
    for words in (["roles"], ["roles", "--print-sql"]):
        refused = twofold("schema", *words)
        assert refused.exit_code == 2
        assert "log.db, which has no roles" in refused.stderr


def test_a_newer_schema_fails_and_is_left_alone(story: Path, twofold: Twofold) -> None:
    with sqlite3.connect(story) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    failed = twofold("schema", "status")
    assert failed.exit_code == 1
    assert "newer than this release" in failed.stdout
    refused = twofold("schema", "migrate")
    assert refused.exit_code == 4, "a number of its own: no other try will do"
    assert "newer" in refused.stderr


def test_a_file_that_is_no_database_fails(folder: Path, twofold: Twofold) -> None:
    (folder / "notes.db").write_text("not a database, but long enough to be looked at" * 50)
    failed = twofold("schema", "status", "examples.bank:app", "--event-log", "sqlite:///notes.db")
    assert failed.exit_code == 1
    assert "damaged or no database" in failed.stdout
