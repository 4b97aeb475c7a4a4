import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Twofold


def test_tail_prints_the_log_to_its_head(story: Path, twofold: Twofold) -> None:
    done = twofold("events", "tail")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert lines[2].endswith('account-a1 2  Deposited  {"account_id":"a1","amount":"9.95"}')


def test_a_json_line_has_everything_that_is_known_of_an_event(story: Path, twofold: Twofold) -> None:
    line = json.loads(twofold("events", "tail", "--json", "--after", "2").stdout)
    assert list(line) == ["position", "stream", "version", "type", "recorded_at", "data", "metadata"]
    assert (line["position"], line["stream"], line["version"], line["type"]) == (3, "account-a1", 2, "Deposited")
    assert line["recorded_at"] == "2024-01-01T12:00:00.000000+00:00"
    assert line["data"] == {"account_id": "a1", "amount": "9.95"}
    assert line["metadata"]["command"] == "Deposit"


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (("--limit", "2"), [1, 2]),
        (("--after", "1", "--limit", "1"), [2]),
        (("--after", "3"), []),
        (("--limit", "0"), []),
    ],
)
def test_after_and_limit_choose(story: Path, twofold: Twofold, options: tuple[str, ...], positions: list[int]) -> None:
    lines = twofold("events", "tail", "--json", *options).stdout.splitlines()
    assert [json.loads(line)["position"] for line in lines] == positions


def test_following_ends_quietly_by_ctrl_c(story: Path, twofold: Twofold, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("twofold.stores.sqlite.event_log.SqliteEventLog.wait", interrupted)
    ended = twofold("events", "tail", "--follow")
    assert (ended.exit_code, len(ended.stdout.splitlines()), ended.stderr) == (0, 3, "")


def test_show_prints_one_stream(story: Path, twofold: Twofold) -> None:
    lines = twofold("events", "show", "examples.bank:app", "account-a1", "--json").stdout.splitlines()
    assert [json.loads(line)["version"] for line in lines] == [1, 2]
    assert twofold("events", "show", "account-a1").stdout.count("\n") == 2


def test_a_stream_without_events_is_not_found(story: Path, twofold: Twofold) -> None:
    failed = twofold("events", "show", "account-nobody")
    assert failed.exit_code == 3
    assert "account-nobody" in failed.stderr


@pytest.mark.parametrize("words", [(), ("nohyphen",), ("account-",), ("-a1",), ("a:b", "account-a1", "more")])
def test_a_stream_that_can_not_be_is_wrong_usage(story: Path, twofold: Twofold, words: tuple[str, ...]) -> None:
    assert twofold("events", "show", "--", *words).exit_code == 2


def test_count_counts_all_or_by_type(story: Path, twofold: Twofold) -> None:
    assert twofold("events", "count").stdout == "3 events\n"
    assert json.loads(twofold("events", "count", "--json").stdout) == {"events": 3}
    counted = json.loads(twofold("events", "count", "--by-type", "--json").stdout)
    assert counted == {"events": 3, "by_type": {"AccountOpened": 2, "Deposited": 1}}
    shown = twofold("events", "count", "--by-type").stdout.split()
    assert shown == ["type", "events", "AccountOpened", "2", "Deposited", "1", "(all)", "3"]


def test_a_log_that_is_not_there_is_named(twofold: Twofold) -> None:
    failed = twofold("events", "tail", "examples.bank:app")
    assert failed.exit_code == 1
    assert ".twofold/log.db" in failed.stderr
    assert "Traceback" not in failed.stderr
