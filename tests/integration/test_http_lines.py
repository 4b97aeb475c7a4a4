"""One line per request, with what it takes to find it again."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from structlog.testing import capture_logs

from tests.integration.counters import MEMORY, app, client_of
from tests.unit.runtime.parts import idle
from twofold.http.app import CLIENT_GONE, HttpDoor
from twofold.observability.lines import Line, Lines
from twofold.observability.traces import Traces

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Written:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __call__(self, lines: Sequence[Line]) -> None:
        self.lines += [msgspec.to_builtins(line) for line in lines]

    async def last(self) -> dict[str, Any]:
        await idle(2)
        return self.lines[-1]


@asynccontextmanager
async def logging(*, least: int = 20, requests: bool = True) -> AsyncGenerator[tuple[httpx.AsyncClient, Written]]:
    written = Written()
    door = HttpDoor(app, MEMORY, lines=Lines(written, least=least, requests=requests))
    async with door.lifespan(), client_of(door) as client:
        yield client, written


async def test_a_command_says_what_it_was_how_it_ended_and_where_its_events_are() -> None:
    async with logging() as (client, written):
        headers = {"X-Correlation-ID": "trip-7", "X-Causation-ID": "17", "traceparent": PARENT}
        await client.post("/commands/OpenCounter", json={"counter_id": "a"}, headers=headers)
        line = await written.last()
    assert line.pop("timestamp")
    assert 0 < line.pop("duration_ms") < 10_000
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "twofold.http",
        "method": "POST",
        "path": "/commands/OpenCounter",
        "status": 200,
        "code": "ok",
        "correlation_id": "trip-7",
        "causation_id": "17",
        "trace_id": TRACE,
        "position": 1,
    }


async def test_a_request_without_ids_is_found_by_the_one_that_its_client_was_told() -> None:
    async with logging() as (client, written):
        response = await client.get("/queries/TotalOf", params={"counter_id": "secret"})
        line = await written.last()
    assert line["correlation_id"] == response.headers["x-correlation-id"]
    assert line["path"] == "/queries/TotalOf"  # what was asked for may be about people
    assert "trace_id" not in line
    assert "causation_id" not in line


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "level"),
    [
        ("/commands/Count", {"counter_id": "gone"}, 404, "not-found", "info"),
        ("/commands/Count", {"counter_id": 7}, 422, "invalid-message", "info"),
        ("/commands/Nothing", {}, 404, "unknown-command", "info"),
        ("/queries/Crash", {}, 500, "internal-error", "warning"),
        ("/nowhere/" + "x" * 500, {}, 404, "unknown-path", "info"),
    ],
)
async def test_a_problem_is_logged_with_its_code(
    path: str, body: dict[str, Any], status: int, code: str, level: str
) -> None:
    async with logging() as (client, written):
        await client.post(path, json=body)
        line = await written.last()
    assert (line["status"], line["code"], line["level"]) == (status, code, level)
    assert len(line["path"]) <= 200


async def test_a_request_whose_id_is_refused_is_logged_under_the_one_that_is_sent_back() -> None:
    async with logging() as (client, written):
        response = await client.post("/commands/Count", json={}, headers={"X-Correlation-ID": "x" * 201})
        line = await written.last()
    assert (line["code"], line["correlation_id"]) == ("invalid-header", response.headers["x-correlation-id"])


async def test_a_bug_in_an_answer_is_logged_under_the_requests_correlation_id() -> None:
    async with logging() as (client, written):
        with capture_logs() as logs:
            response = await client.get("/queries/Crash", headers={"X-Correlation-ID": "trip-7"})
        assert (await written.last())["correlation_id"] == response.json()["correlation_id"] == "trip-7"
    assert [(each["event"], each["correlation_id"]) for each in logs] == [("answer-failed", "trip-7")]


async def test_looks_at_health_are_for_debugging() -> None:
    async with logging() as (client, written):
        for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
            await client.get(path)
        await idle(2)
        assert written.lines == []
    async with logging(least=10) as (client, written):
        await client.get("/livez")
        assert (await written.last())["path"] == "/livez"


async def test_batches_are_logged_for_debugging_too() -> None:
    async with logging(least=10) as (client, written):
        done = await client.post("/commands/OpenCounter", json={"counter_id": "a"})
        after = {"Twofold-After": done.headers["twofold-position"]}
        await client.get("/queries/TotalOf", params={"counter_id": "a"}, headers=after)
        await idle(2)
        kinds = {each["event"]: each for each in written.lines}
    assert (kinds["append"]["first_position"], kinds["append"]["commands"]) == (1, 1)
    assert (kinds["fold"]["read_model"], kinds["fold"]["last_position"]) == ("Total", 1)


async def test_lines_of_requests_can_be_switched_off() -> None:
    async with logging(requests=False) as (client, written):
        await client.post("/commands/OpenCounter", json={"counter_id": "a"})
        await idle(2)
        assert written.lines == []


async def test_commands_sent_in_the_same_process_are_not_logged() -> None:
    from tests.integration.counters import OpenCounter

    written = Written()
    door = HttpDoor(app, MEMORY, lines=Lines(written, least=20, requests=True))
    async with door.lifespan():
        await door.system.send(OpenCounter(counter_id="a"))
        await idle(2)
    assert written.lines == []


async def test_a_client_that_goes_away_in_its_request_is_logged_as_gone() -> None:
    written = Written()
    door = HttpDoor(app, MEMORY, lines=Lines(written, least=20, requests=True))

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async with door.lifespan():
        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/commands/Count", "query_string": b"", "headers": headers}
        assert await door.respond(scope, receive) is None
        line = await written.last()
    assert (line["status"], line["code"]) == (CLIENT_GONE, "client-gone")


@pytest.mark.parametrize("value", ["garbage", f"{PARENT}-more", ""])
async def test_a_place_in_a_trace_without_meaning_is_ignored(value: str) -> None:
    async with logging() as (client, written):
        headers = {"traceparent": value, "tracestate": "=" * 9}
        response = await client.post("/commands/OpenCounter", json={"counter_id": "a"}, headers=headers)
        assert response.status_code == 200
        assert "trace_id" not in await written.last()


async def test_with_traces_on_the_line_names_the_trace_that_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    async with logging() as (client, written):
        door: HttpDoor = client._transport.app  # pyright: ignore - the door that this client calls
        provider = TracerProvider(shutdown_on_exit=False)
        door.system.tracer = Traces(provider)
        await client.post("/commands/OpenCounter", json={"counter_id": "a"})
        assert len((await written.last())["trace_id"]) == 32
        provider.shutdown()
