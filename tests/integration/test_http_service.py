"""Health, metrics, documents, and the door in a host framework."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.integration.counters import MEMORY, app, client_of, serving
from twofold import asgi
from twofold.errors import SettingsError, StoreUnavailableError
from twofold.http.app import HttpDoor
from twofold.settings import Role


@pytest.fixture
async def door_and_client() -> AsyncGenerator[tuple[HttpDoor, httpx.AsyncClient]]:
    async with serving() as both:
        await both[1].post("/commands/OpenCounter", json={"counter_id": "a"})
        yield both


@pytest.fixture
def client(door_and_client: tuple[HttpDoor, httpx.AsyncClient]) -> httpx.AsyncClient:
    return door_and_client[1]


async def metrics_of(client: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(response.text)
    return {(each.name, frozenset(each.labels.items())): each.value for found in families for each in found.samples}


def sample(metrics: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return metrics[name, frozenset(labels.items())]


async def test_a_process_that_works_is_alive_and_ready(door_and_client: tuple[HttpDoor, httpx.AsyncClient]) -> None:
    door, client = door_and_client
    await door.system.settle()
    assert (await client.get("/livez")).json() == {"status": "alive"}
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "role": "all",
        "reasons": [],
        "head": 1,
        "read_models": [
            {
                "name": "Total",
                "checkpoint": 1,
                "head": 1,
                "lag_events": 0,
                "lag_s": 0.0,
                "state": "running",
                "partitions": 1,
            }
        ],
    }


async def test_before_the_start_and_after_the_end_work_is_refused_and_health_says_why() -> None:
    door = asgi(app, MEMORY)
    async with client_of(door) as client:
        for _ in range(2):
            refused = await client.post("/commands/OpenCounter", json={"counter_id": "a"})
            assert (refused.status_code, refused.json()["code"]) == (503, "not-started")
            assert refused.headers["retry-after"] == "1"
            assert "lifespan" in refused.json()["detail"]
            not_ready = await client.get("/readyz")
            assert not_ready.status_code == 503
            assert not_ready.json()["reasons"] == ["the system is not started"]
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/metrics")).status_code == 200
            async with door.lifespan():
                assert (await client.get("/readyz")).status_code == 200


async def test_a_process_that_stops_is_alive_and_not_ready(door_and_client: tuple[HttpDoor, httpx.AsyncClient]) -> None:
    door, client = door_and_client
    door.begin_stop()
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["reasons"]) == (503, ["the system is stopping"])
    assert (await client.get("/livez")).status_code == 200
    assert (await client.post("/commands/Count", json={"counter_id": "a"})).status_code == 200


class LostLog:
    """An event log whose disk is gone: it fails, or never answers."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers

    async def head(self) -> int:
        if not self._answers:
            await asyncio.Event().wait()
        raise StoreUnavailableError("event log", "the disk is gone")


@pytest.mark.parametrize(("answers", "reason"), [(True, "the disk is gone"), (False, "do not answer")])
async def test_without_its_event_log_a_process_is_not_ready_and_still_counts(
    door_and_client: tuple[HttpDoor, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch, answers: bool, reason: str
) -> None:
    door, client = door_and_client
    monkeypatch.setattr(door.system, "stores", door.system.stores._replace(log=cast("Any", LostLog(answers=answers))))
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert reason in response.json()["reasons"][0]
    metrics = await metrics_of(client)
    assert sample(metrics, "twofold_commands_total", command="OpenCounter", code="ok") == 1
    assert ("twofold_event_log_position", frozenset[tuple[str, str]]()) not in metrics


async def test_a_request_that_a_stopping_server_cuts_short_is_told_so(
    door_and_client: tuple[HttpDoor, httpx.AsyncClient],
) -> None:
    door, client = door_and_client
    headers = {"Twofold-After": "9", "Prefer": "wait=30"}
    for stopping, outcome in ((False, asyncio.CancelledError), (True, None)):
        if stopping:
            door.begin_stop()
        waiting = asyncio.create_task(client.get("/queries/Totals", headers=headers))
        await asyncio.sleep(0.05)
        waiting.cancel()
        if outcome is None:
            assert (await waiting).json()["code"] == "stopping"
        else:
            with pytest.raises(outcome):
                await waiting


async def test_a_failed_read_model_is_shown_and_the_rest_goes_on(
    door_and_client: tuple[HttpDoor, httpx.AsyncClient],
) -> None:
    door, client = door_and_client
    await client.post("/commands/Count", json={"counter_id": "a", "by": 13})
    with pytest.raises(TimeoutError):
        await door.system.settle(timeout_s=0.2)
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["status"] == "degraded"
    assert ready.json()["reasons"] == ["read model Total has failed at position 1"]
    (model,) = ready.json()["read_models"]
    assert (model["state"], model["lag_events"]) == ("failed", 1)
    assert "thirteen" in model["error"]
    metrics = await metrics_of(client)
    assert sample(metrics, "twofold_read_model_state", read_model="Total", state="failed") == 1
    assert sample(metrics, "twofold_read_model_lag_events", read_model="Total") == 1
    assert (await client.post("/commands/Count", json={"counter_id": "a"})).status_code == 200
    client.cookies.clear()
    assert (await client.get("/queries/TotalOf?counter_id=a")).json()["total"] == 0


async def test_metrics_count_commands_queries_appends_folds_and_errors(
    door_and_client: tuple[HttpDoor, httpx.AsyncClient],
) -> None:
    door, client = door_and_client
    for by in (99, 99):
        await client.post("/commands/Count", json={"counter_id": "a", "by": by})
    await client.post("/commands/Count", json={})
    await client.get("/nowhere")
    await client.get("/queries/TotalOf?counter_id=a")
    await door.system.settle()
    metrics = await metrics_of(client)
    assert sample(metrics, "twofold_commands_total", command="Count", code="ok") == 1
    assert sample(metrics, "twofold_commands_total", command="Count", code="full") == 1
    assert sample(metrics, "twofold_command_seconds_count", command="Count") == 2
    assert sample(metrics, "twofold_queries_total", query="TotalOf", code="ok") == 1
    assert sample(metrics, "twofold_query_seconds_count", query="TotalOf") == 1
    assert sample(metrics, "twofold_appended_events_total") == 2
    assert sample(metrics, "twofold_append_batch_commands_count") == 3
    assert sample(metrics, "twofold_folded_events_total", read_model="Total") == 2
    assert sample(metrics, "twofold_event_log_position") == 2
    for code in ("full", "invalid-message", "unknown-path"):
        assert sample(metrics, "twofold_http_errors_total", code=code) == 1


async def test_the_description_is_served(client: httpx.AsyncClient) -> None:
    response = await client.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["openapi"] == "3.1.0"


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.css", "/docs/docs.js"])
async def test_the_page_loads_nothing_from_another_host(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]
    for scheme in ("https://", "http://", "//cdn"):
        assert scheme not in response.text.replace("http://www.w3.org/2000/svg", "")


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    for path in ("/", "/nowhere", "/commands", "/queries", "/docs/", "/livez/x", "/" + "x" * 5_000):
        response = await client.get(path)
        assert (response.status_code, response.json()["code"]) == (404, "unknown-path")
        assert len(response.content) < 400


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/openapi.json", "/docs"])
async def test_pages_are_read_and_nothing_else(client: httpx.AsyncClient, path: str) -> None:
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    refused = await client.post(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert (await client.options(path)).headers["allow"] == "GET, HEAD, OPTIONS"


async def test_a_host_framework_runs_the_system_and_mounts_the_door_at_a_prefix() -> None:
    door = asgi(app, MEMORY)
    host = Starlette(routes=[Mount("/counting", app=door)], lifespan=door.lifespan)
    async with host.router.lifespan_context(host):
        client = httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://host/counting")
        async with client:
            done = await client.post("/commands/OpenCounter", json={"counter_id": "a"})
            assert done.json()["stream"] == "counter-a"
            after = {"Twofold-After": done.headers["twofold-position"], "Prefer": "wait=5"}
            assert (await client.get("/queries/TotalOf?counter_id=a", headers=after)).json()["counter_id"] == "a"
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.get("/openapi.json")).json()["servers"] == [{"url": "/counting"}]
            assert (await client.get("/docs")).status_code == 200
            unknown = await client.get("/nowhere")
            assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown-path")


@pytest.mark.parametrize(
    ("role", "path", "wanted"),
    [
        (Role.QUERY, "/commands/Count", "command"),
        (Role.PROJECTOR, "/commands/Count", "command"),
        (Role.COMMAND, "/queries/Totals", "query"),
        (Role.PROJECTOR, "/queries/nonsense", "query"),
    ],
)
async def test_what_another_role_does_is_asked_of_a_service_of_that_role(role: Role, path: str, wanted: str) -> None:
    async with client_of(asgi(app, MEMORY, role=role)) as client:
        response = await client.post(path, json={})
        assert (response.status_code, response.json()["code"]) == (404, "wrong-role")
        assert f"role {role};" in response.json()["detail"]
        assert f"send it to a service of role {wanted}" in response.json()["detail"]


async def test_a_service_of_a_part_serves_and_describes_that_part_and_names_the_rest_anothers() -> None:
    async with serving(dataclasses.replace(MEMORY, include="Counter,TotalOf")) as (_, client):
        assert (await client.post("/commands/OpenCounter", json={"counter_id": "a"})).status_code == 200
        assert (await client.get("/queries/TotalOf?counter_id=a", headers={"Twofold-After": "1"})).status_code == 200
        described = (await client.get("/openapi.json")).json()["paths"]
        assert "/queries/TotalOf" in described
        assert not {"/queries/Totals", "/queries/Crash"} & set(described)
        for method in ("GET", "POST", "OPTIONS"):
            refused = await client.request(method, "/queries/Totals")
            assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")
        assert refused.json()["code"] == "wrong-service"
        assert refused.json()["title"] == "Wrong service"
    async with serving(dataclasses.replace(MEMORY, include="Total")) as (_, client):
        refused = await client.post("/commands/Count", json={"counter_id": "a"})
        assert (refused.status_code, refused.json()["code"]) == (404, "wrong-service")


async def test_a_role_of_its_own_does_not_start_on_stores_of_one_process() -> None:
    for role in (Role.COMMAND, Role.QUERY, Role.PROJECTOR):
        with pytest.raises(SettingsError, match=f"the role {role} needs PostgreSQL"):
            async with asgi(app, MEMORY, role=role).lifespan():
                pass


class Lifespan:
    """The server's side of the ASGI lifespan."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self._events = ["lifespan.startup", "lifespan.shutdown"]

    async def receive(self) -> dict[str, Any]:
        return {"type": self._events.pop(0)}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


async def test_on_its_own_the_door_speaks_the_asgi_lifespan() -> None:
    lifespan = Lifespan()
    await asgi(app, MEMORY)({"type": "lifespan"}, lifespan.receive, lifespan.send)
    assert [each["type"] for each in lifespan.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_system_that_can_not_start_says_why(tmp_path: Path) -> None:
    lifespan = Lifespan()
    (tmp_path / "log.db").write_bytes(b"this is no database" * 100)
    settings = dataclasses.replace(MEMORY, event_log=f"sqlite:///{tmp_path / 'log.db'}")
    await asgi(app, settings)({"type": "lifespan"}, lifespan.receive, lifespan.send)
    (failed,) = lifespan.sent
    assert failed["type"] == "lifespan.startup.failed"
    assert "log.db" in failed["message"]


async def test_a_websocket_is_closed() -> None:
    lifespan = Lifespan()
    await asgi(app, MEMORY)({"type": "websocket"}, lifespan.receive, lifespan.send)
    assert lifespan.sent == [{"type": "websocket.close", "code": 1000}]


def test_settings_without_meaning_are_refused_when_the_door_is_made() -> None:
    with pytest.raises(SettingsError):
        asgi(app, dataclasses.replace(MEMORY, http_body_timeout_s=0))
