"""Lines of requests and batches: what is in them, when they are written, and by whom."""

import asyncio
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.observability.logging_state import as_before
from tests.unit.runtime.parts import Stocked, commit, idle
from twofold.errors import StoreUnavailableError
from twofold.messages import RawEvent
from twofold.observability.lines import SLOW_S, BatchLines, Lines, RequestLine
from twofold.observability.logs import configure_logs
from twofold.ports import Appended, Conflict, Outcome, Share
from twofold.settings import Settings
from twofold.streams import Position


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    with as_before():
        yield


def configured(stream: io.StringIO, **settings: Any) -> Lines:
    return configure_logs(Settings(log_format="json", **settings), stream=stream)


def request(**fields: Any) -> RequestLine:
    return RequestLine(
        level="info",
        logger="twofold.http",
        timestamp=datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
        method="POST",
        path="/commands/Buy",
        status=200,
        code="ok",
        duration_ms=1.25,
        correlation_id="talk",
        **fields,
    )


async def written(stream: io.StringIO) -> list[dict[str, Any]]:
    await idle(2)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_request_is_one_line_of_json_in_the_form_of_all_logs() -> None:
    stream = io.StringIO()
    configured(stream).add(request(position=7))
    assert await written(stream) == [
        {
            "event": "request",
            "level": "info",
            "logger": "twofold.http",
            "timestamp": "2026-01-02T03:04:05.000678Z",
            "method": "POST",
            "path": "/commands/Buy",
            "status": 200,
            "code": "ok",
            "duration_ms": 1.25,
            "correlation_id": "talk",
            "position": 7,
        }
    ]


class Writes(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def write(self, text: str, /) -> int:
        self.count += 1
        return super().write(text)


async def test_lines_of_one_turn_are_written_together_and_in_order() -> None:
    stream = Writes()
    lines = configured(stream)
    for position in range(1, 101):
        lines.add(request(position=position))
    assert stream.count == 0
    assert [each["position"] for each in await written(stream)] == list(range(1, 101))
    assert stream.count == 1


class Gone(io.StringIO):
    def write(self, text: str, /) -> int:
        raise BrokenPipeError


async def test_logs_that_nobody_takes_stop_nothing() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    configured(Gone()).add(request())
    await idle(2)
    assert complaints == []


async def test_a_terminal_gets_text() -> None:
    stream = io.StringIO()
    lines = configure_logs(Settings(log_format="text"), stream=stream)
    lines.add(request())
    await idle(2)
    (line,) = stream.getvalue().splitlines()
    assert "request" in line
    assert "/commands/Buy" in line
    assert not line.startswith("{")


def test_a_level_that_is_not_logged_is_not_wanted() -> None:
    wanted = {level: configured(io.StringIO(), log_level=level) for level in ("debug", "info", "warning", "error")}
    assert [wanted["debug"].wants(each) for each in ("debug", "info", "warning")] == [True, True, True]
    assert [wanted["info"].wants(each) for each in ("debug", "info", "warning")] == [False, True, True]
    assert [wanted["warning"].wants(each) for each in ("debug", "info", "warning")] == [False, False, True]
    assert not wanted["error"].wants("warning")


# --- batches ---

TWO = commit(Stocked(sku="mug", units=1), Stocked(sku="mug", units=1))
NONE = commit()
OUTCOMES: list[Outcome] = [Appended(2, Position(8)), Conflict(3), Appended(1, Position(8)), Appended(2, Position(10))]


async def test_an_append_tells_how_many_commands_and_which_positions() -> None:
    stream = io.StringIO()
    batches = BatchLines(configured(stream, log_level="debug"))
    batches.append_done([TWO, TWO, NONE, TWO], OUTCOMES, 0.0015)
    (line,) = await written(stream)
    assert line.pop("timestamp")
    assert line == {
        "event": "append",
        "level": "debug",
        "logger": "twofold.commands",
        "commands": 4,
        "events": 4,
        "first_position": 7,
        "last_position": 10,
        "code": "ok",
        "duration_ms": 1.5,
    }


async def test_an_append_that_failed_tells_its_error_and_no_positions() -> None:
    stream = io.StringIO()
    batches = BatchLines(configured(stream, log_level="debug"))
    batches.append_done([TWO], StoreUnavailableError("event log", "gone"), 0.001)
    (line,) = await written(stream)
    assert (line["code"], line["commands"], line["events"]) == ("store-unavailable", 1, 0)
    assert "last_position" not in line


def page(first: int, last: int) -> list[RawEvent]:
    return [RawEvent(Position(each), "product-mug", each, "Stocked", 1, b"{}", b"{}", 0) for each in range(first, last)]


async def test_a_page_tells_whose_it_is_and_which_events() -> None:
    stream = io.StringIO()
    batches = BatchLines(configured(stream, log_level="debug"))
    batches.fold_done("Sales", page(5, 9), [Share(0, 1, Position(8)), Share(3, 1, Position(8))], 0.25)
    (line,) = await written(stream)
    assert line.pop("timestamp")
    assert line == {
        "event": "fold",
        "level": "debug",
        "logger": "twofold.projector",
        "read_model": "Sales",
        "partitions": [0, 3],
        "events": 4,
        "first_position": 5,
        "last_position": 8,
        "duration_ms": 250.0,
    }


async def test_batches_are_for_debugging_and_slow_ones_a_warning() -> None:
    stream = io.StringIO()
    batches = BatchLines(configured(stream))
    batches.append_done([TWO], OUTCOMES[:1], SLOW_S)
    batches.fold_done("Sales", page(1, 3), [], SLOW_S)
    batches.append_done([TWO], OUTCOMES[:1], SLOW_S * 1.1)
    batches.fold_done("Sales", page(1, 3), [], SLOW_S * 1.1)
    assert [(each["event"], each["level"]) for each in await written(stream)] == [
        ("append", "warning"),
        ("fold", "warning"),
    ]
