import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.unit.observability.logging_state import as_before
from twofold.errors import SettingsError
from twofold.observability.logs import configure_logs
from twofold.settings import Settings


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    with as_before():
        yield


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def configured(stream: io.StringIO, **settings: Any) -> None:
    configure_logs(Settings(**settings), stream=stream)


def test_an_event_is_one_line_of_json_with_its_fields() -> None:
    stream = io.StringIO()
    configured(stream)
    structlog.get_logger("twofold.projector").info("folded", read_model="Balance", lag_events=3)
    (line,) = stream.getvalue().splitlines()
    logged = json.loads(line)
    assert logged.pop("timestamp").endswith("Z")
    assert logged == {
        "event": "folded",
        "logger": "twofold.projector",
        "level": "info",
        "read_model": "Balance",
        "lag_events": 3,
    }


def test_other_libraries_come_out_in_the_same_form() -> None:
    stream = io.StringIO()
    configured(stream)
    logging.getLogger("somebody").warning("%d left", 3)
    assert json.loads(stream.getvalue())["event"] == "3 left"


def test_an_exception_is_a_field_of_its_line() -> None:
    stream = io.StringIO()
    configured(stream)
    try:
        raise ValueError("x")
    except ValueError:
        structlog.get_logger("twofold").exception("failed", value=object)
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: x" in json.loads(line)["exception"]


def test_a_terminal_gets_text() -> None:
    terminal = Terminal()
    configured(terminal)
    structlog.get_logger("twofold").info("folded", read_model="Balance")
    assert "folded" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_the_format_can_be_chosen() -> None:
    terminal, file = Terminal(), io.StringIO()
    configured(terminal, log_format="json")
    structlog.get_logger("twofold").info("folded")
    assert json.loads(terminal.getvalue())["event"] == "folded"
    configured(file, log_format="text")
    structlog.get_logger("twofold").info("folded")
    assert not file.getvalue().startswith("{")


def test_what_is_less_severe_than_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    configured(stream, log_level="warning")
    structlog.get_logger("twofold").info("folded")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("settings", [{"log_level": "loud"}, {"log_format": "xml"}])
def test_a_level_or_format_that_is_none_is_named(settings: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings.values()))):
        configured(io.StringIO(), **settings)
