import json
import sqlite3
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Twofold


def findings(twofold: Twofold, *words: str) -> list[dict[str, str]]:
    return json.loads(twofold("doctor", "--json", *words).stdout)


def test_all_is_well(story: Path, twofold: Twofold) -> None:
    done = twofold("doctor")
    assert done.exit_code == 0
    assert all(line.startswith("ok ") for line in done.stdout.splitlines() if "bytes free" not in line)
    subjects = [finding["subject"] for finding in findings(twofold)]
    looked_at = ["application", "settings", "versions", "event log", "read store", "Balance", "clock"]
    assert list(dict.fromkeys(subjects)) == looked_at


def test_before_the_first_start_nothing_is_wrong(twofold: Twofold) -> None:
    done = twofold("doctor", "examples.bank:app")
    assert done.exit_code == 0
    assert done.stdout.count("is not there yet; a service makes it") == 2


def test_a_read_model_of_another_history_fails_with_its_cure(story: Path, twofold: Twofold) -> None:
    for path in story.parent.glob("log.db*"):
        path.unlink()
    assert twofold("schema", "migrate").exit_code == 0
    done = twofold("doctor")
    assert done.exit_code == 1
    assert "fail  Balance: stands at position 3, the event log ends at 0" in done.stdout
    assert "→ they belong to different histories" in done.stdout


def test_a_damaged_file_fails(story: Path, twofold: Twofold) -> None:
    data = bytearray(story.read_bytes())
    data[4_096:4_196] = b"\xff" * 100  # the head of the second page
    story.write_bytes(data)
    done = twofold("doctor")
    assert done.exit_code == 1
    assert "fail  event log" in done.stdout


def test_a_gap_in_the_positions_fails(story: Path, twofold: Twofold) -> None:
    with sqlite3.connect(story) as connection:
        connection.execute("DROP TRIGGER event_is_never_deleted")
        connection.execute("DELETE FROM event WHERE position = 2")
    connection.close()
    done = twofold("doctor")
    assert done.exit_code == 1
    assert "holds 2 events at positions 1 to 3" in done.stdout


def test_a_file_of_something_else_fails(folder: Path, twofold: Twofold) -> None:
    with sqlite3.connect(folder / "other.db") as connection:
        connection.execute("CREATE TABLE customers (name)")
    connection.close()
    done = twofold("doctor", "examples.bank:app", "--event-log", "sqlite:///other.db")
    assert done.exit_code == 1
    assert "a SQLite database of something else" in done.stdout


def test_an_application_that_does_not_load_fails_and_the_rest_is_looked_at(story: Path, twofold: Twofold) -> None:
    found = findings(twofold, "examples.bank:nope")
    assert found[0]["status"] == "fail"
    assert found[-1]["subject"] == "clock"


def test_a_password_is_not_shown(twofold: Twofold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_READ_STORE", "postgresql://ann:s3cret@127.0.0.1:9/shop")
    monkeypatch.setenv("TWOFOLD_STORE_TIMEOUT_S", "0.5")
    failed = twofold("doctor", "examples.bank:app")
    assert failed.exit_code == 1
    assert "fail  read store" in failed.output
    assert "s3cret" not in failed.output
