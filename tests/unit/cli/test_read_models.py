import json
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.unit.cli.conftest import Twofold
from twofold.stores.sqlite.connections import StoreLock

KEYS = ["name", "checkpoint", "head", "lag_events", "lag_s", "state", "partitions"]


def listed(twofold: Twofold) -> dict[str, object]:
    (found,) = json.loads(twofold("read-models", "list", "--json").stdout)
    return found


def test_a_list_shows_how_far_they_are(story: Path, twofold: Twofold) -> None:
    found = listed(twofold)
    assert list(found) == KEYS
    assert found == {
        "name": "Balance",
        "checkpoint": 3,
        "head": 3,
        "lag_events": 0,
        "lag_s": 0.0,
        "state": "stopped",
        "partitions": 1,
    }
    assert twofold("read-models", "list").stdout.splitlines()[1].split() == ["Balance", "stopped", "3", "3", "0", "0.0"]


def test_without_a_process_a_read_model_is_paused_and_resumed_in_the_store(story: Path, twofold: Twofold) -> None:
    assert twofold("read-models", "pause", "Balance").exit_code == 0
    assert listed(twofold)["state"] == "paused"
    assert twofold("read-models", "resume", "Balance").exit_code == 0
    assert listed(twofold)["state"] == "stopped"


def test_a_read_model_that_was_never_folded_may_be_paused(story: Path, twofold: Twofold) -> None:
    (story.parent / "log.read.db").unlink()
    assert (listed(twofold)["checkpoint"], listed(twofold)["lag_events"]) == (0, 3)
    assert twofold("read-models", "pause", "Balance").exit_code == 0
    assert listed(twofold)["state"] == "paused"


def test_without_a_process_a_rebuild_is_done_here(story: Path, twofold: Twofold) -> None:
    (story.parent / "log.read.db").unlink()
    done = twofold("read-models", "rebuild", "examples.bank:app", "Balance")
    assert (done.exit_code, done.stdout) == (0, "Balance is rebuilt up to position 3\n")
    assert listed(twofold)["checkpoint"] == 3


def spoilt(read_store: Path) -> None:
    with sqlite3.connect(read_store) as connection:
        connection.execute("UPDATE balance SET owner = 'bob' WHERE account_id = 'a1'")
        connection.execute("DELETE FROM balance WHERE account_id = 'a2'")
    connection.close()


def test_rows_that_a_rebuild_would_change_are_shown_and_left_alone(story: Path, twofold: Twofold) -> None:
    same = twofold("read-models", "rebuild", "Balance", "--compare")
    assert (same.exit_code, same.stdout) == (0, "Balance: every row is what a fold of the log makes\n")
    spoilt(story.parent / "log.read.db")
    for _ in range(2):
        differ = twofold("read-models", "rebuild", "Balance", "--compare")
        assert differ.exit_code == 1
        assert differ.stdout.splitlines() == [
            "account_id='a1': owner 'bob' → 'ann'",
            "account_id='a2': missing from the live rows",
            "Balance: 2 rows differ from what a fold of the log makes",
        ]
    found = json.loads(twofold("read-models", "rebuild", "Balance", "--compare", "--json").stdout)
    assert found["differing"] == 2
    assert found["rows"][0]["key"] == {"account_id": "a1"}
    assert (found["rows"][0]["live"]["owner"], found["rows"][0]["rebuilt"]["owner"]) == ("bob", "ann")


def test_the_rows_from_before_a_rebuild_are_put_back_and_dropped(story: Path, twofold: Twofold) -> None:
    spoilt(story.parent / "log.read.db")
    assert twofold("read-models", "rebuild", "Balance", "--json").stdout == '{"read_model":"Balance","position":3}\n'
    assert twofold("read-models", "rebuild", "Balance", "--compare").exit_code == 0
    assert listed(twofold)["former"] is True
    assert "from before its rebuild are kept" in twofold("read-models", "list").stdout
    assert twofold("read-models", "rebuild", "Balance", "--roll-back").exit_code == 0
    assert twofold("read-models", "rebuild", "Balance", "--compare").exit_code == 1
    assert twofold("read-models", "drop", "Balance").exit_code == 0
    assert "former" not in listed(twofold)
    assert twofold("read-models", "drop", "Balance").exit_code == 3
    assert twofold("read-models", "rebuild", "Balance", "--roll-back").exit_code == 3


def test_one_compares_or_rolls_back(story: Path, twofold: Twofold) -> None:
    assert twofold("read-models", "rebuild", "Balance", "--compare", "--roll-back").exit_code == 2


@pytest.mark.parametrize("verb", ["rebuild", "drop", "pause", "resume"])
def test_a_read_model_that_is_not_declared_is_not_found(story: Path, twofold: Twofold, verb: str) -> None:
    failed = twofold("read-models", verb, "Nope")
    assert failed.exit_code == 3
    assert "declared are: Balance" in failed.stderr


@pytest.mark.parametrize("verb", ["rebuild", "drop", "pause", "resume"])
def test_a_process_that_can_not_be_asked_is_named(story: Path, twofold: Twofold, verb: str) -> None:
    lock = StoreLock.acquire(story, "event log")
    try:
        failed = twofold("read-models", verb, "Balance")
        assert failed.exit_code == 1
        assert f"process {os.getpid()}" in failed.stderr
        assert listed(twofold)["state"] == "running", "it can be looked at all the same"
    finally:
        lock.release()


def test_a_process_that_does_not_answer_is_named(story: Path, twofold: Twofold) -> None:
    lock = StoreLock.acquire(story, "event log")
    lock.publish({"url": "http://127.0.0.1:9", "token": "secret"})
    try:
        failed = twofold("read-models", "list")
        assert failed.exit_code == 1
        assert "http://127.0.0.1:9" in failed.stderr
        assert "secret" not in failed.stderr
    finally:
        lock.release()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b"<html>", "answers 500: no reason"),
        (401, b'{"code":"unauthorized","detail":"the token is wrong"}', "answers 401: the token is wrong"),
    ],
)
def test_an_answer_that_is_none_is_shown(story: Path, twofold: Twofold, status: int, body: bytes, said: str) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is written."""

    lock = StoreLock.acquire(story, "event log")
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        lock.publish({"url": f"http://127.0.0.1:{server.server_port}", "token": "secret"})
        answering = Thread(target=server.handle_request)
        answering.start()
        failed = twofold("read-models", "list")
        answering.join()
    lock.release()
    assert failed.exit_code == 1
    assert said in failed.stderr
