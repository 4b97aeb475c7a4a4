import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from tests.integration.counters import MEMORY, serving

Json = dict[str, Any]


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    async with serving() as (_, client):
        await client.post("/commands/OpenCounter", json={"counter_id": "a"})
        yield client


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and code, of an answer that is a problem in every respect."""
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert problem.keys() >= {"type", "title", "status", "detail", "code"}
    assert problem["status"] == response.status_code
    assert "Traceback" not in response.text
    return response.status_code, problem["code"]


async def head_of(client: httpx.AsyncClient) -> int:
    return (await client.get("/readyz")).json()["read_models"][0]["head"]


async def test_a_command_is_answered_with_stream_version_position_and_events(client: httpx.AsyncClient) -> None:
    response = await client.post("/commands/Count", json={"counter_id": "a", "by": 2})
    assert response.status_code == 200
    assert response.content == b'{"stream":"counter-a","version":2,"position":2,"events":["Counted"]}'
    assert response.headers["etag"] == '"2"'
    assert response.headers["twofold-position"] == "2"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.content))
    assert "idempotent-replayed" not in response.headers


async def test_browsers_are_given_the_position_for_their_next_queries(client: httpx.AsyncClient) -> None:
    response = await client.post("/commands/Count", json={"counter_id": "a"})
    assert response.headers["set-cookie"] == "twofold-position=2; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"
    refused = await client.post("/commands/Count", json={"counter_id": "nobody"})
    assert "set-cookie" not in refused.headers


async def test_the_cookie_can_be_switched_off() -> None:
    async with serving(dataclasses.replace(MEMORY, position_cookie=False)) as (_, client):
        response = await client.post("/commands/OpenCounter", json={"counter_id": "a"})
        assert "set-cookie" not in response.headers


async def test_a_repeat_gets_the_first_answer_and_says_so(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = await client.post("/commands/Count", json={"counter_id": "a"}, headers=key)
    await client.post("/commands/Count", json={"counter_id": "a"})
    again = await client.post("/commands/Count", json={"counter_id": "a"}, headers=key)
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_key_with_another_command_is_refused(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    await client.post("/commands/Count", json={"counter_id": "a"}, headers=key)
    reused = await client.post("/commands/Count", json={"counter_id": "a", "by": 2}, headers=key)
    assert refusal(reused) == (422, "idempotency-key-reused")


@pytest.mark.parametrize("key", [b"", b"x" * 201, b"a\tb", b"\xff"])
async def test_a_key_that_can_not_be_recorded_is_refused(client: httpx.AsyncClient, key: bytes) -> None:
    response = await client.post("/commands/Count", json={"counter_id": "a"}, headers=[(b"Idempotency-Key", key)])
    assert refusal(response) == (400, "invalid-command-id")
    assert await head_of(client) == 1


async def test_a_key_of_200_characters_is_taken(client: httpx.AsyncClient) -> None:
    response = await client.post("/commands/Count", json={"counter_id": "a"}, headers={"Idempotency-Key": "x" * 200})
    assert response.status_code == 200


async def test_if_match_is_the_expected_version(client: httpx.AsyncClient) -> None:
    done = await client.post("/commands/Count", json={"counter_id": "a"}, headers={"If-Match": '"1"'})
    assert done.status_code == 200
    stale = await client.post("/commands/Count", json={"counter_id": "a"}, headers={"If-Match": 'W/"1"'})
    assert refusal(stale) == (412, "wrong-expected-version")
    assert {"stream": "counter-a", "expected": 1, "actual": 2}.items() <= stale.json().items()


@pytest.mark.parametrize("value", ["*", "1", '"x"', '"1", "2"'])
async def test_an_if_match_without_meaning_is_refused(client: httpx.AsyncClient, value: str) -> None:
    response = await client.post("/commands/Count", json={"counter_id": "a"}, headers={"If-Match": value})
    assert refusal(response) == (400, "invalid-header")
    assert response.json()["header"] == "If-Match"


async def test_what_the_clients_time_does_not_suffice_for_is_not_begun(client: httpx.AsyncClient) -> None:
    late = await client.post("/commands/Count", json={"counter_id": "a"}, headers={"Request-Timeout": "0"})
    assert refusal(late) == (503, "command-timeout")
    assert late.headers["retry-after"] == "1"
    done = await client.post("/commands/Count", json={"counter_id": "a"}, headers={"Request-Timeout": "2.5"})
    assert (done.status_code, done.json()["version"]) == (200, 2)
    asked = await client.get("/queries/TotalOf?counter_id=a", headers={"Request-Timeout": "0"})
    assert refusal(asked) == (503, "query-timeout")
    wrong = await client.post("/commands/Count", json={"counter_id": "a"}, headers={"Request-Timeout": "soon"})
    assert refusal(wrong) == (400, "invalid-header")


@pytest.mark.parametrize("name", ["X-Correlation-ID", "Twofold-Correlation-Id"])
async def test_the_correlation_id_is_recorded_and_sent_back(client: httpx.AsyncClient, name: str) -> None:
    response = await client.post("/commands/OpenCounter", json={"counter_id": "b"}, headers={name: "trip-7"})
    assert response.headers[name] == "trip-7"
    after = {"Twofold-After": response.headers["twofold-position"]}
    row = await client.get("/queries/TotalOf", params={"counter_id": "b"}, headers=after)
    assert row.json()["correlation_id"] == "trip-7"


async def test_a_problem_has_the_correlation_id_too(client: httpx.AsyncClient) -> None:
    response = await client.post("/commands/Count", json={}, headers={"X-Correlation-ID": "trip-7"})
    assert response.headers["x-correlation-id"] == "trip-7"
    assert response.json()["correlation_id"] == "trip-7"


async def test_a_correlation_id_that_can_not_be_recorded_is_refused_and_not_sent_back(
    client: httpx.AsyncClient,
) -> None:
    response = await client.post("/commands/Count", json={"counter_id": "a"}, headers={"X-Correlation-ID": "x" * 201})
    assert refusal(response) == (400, "invalid-header")
    assert len(response.headers["x-correlation-id"]) == 32  # one of its own, under which it is logged


async def test_a_command_that_brings_no_correlation_id_is_told_the_one_that_its_events_have(
    client: httpx.AsyncClient,
) -> None:
    response = await client.post("/commands/OpenCounter", json={"counter_id": "b"})
    after = {"Twofold-After": response.headers["twofold-position"]}
    row = await client.get("/queries/TotalOf", params={"counter_id": "b"}, headers=after)
    assert row.json()["correlation_id"] == response.headers["x-correlation-id"] != ""


REFUSED: list[tuple[str, Json, int, str]] = [
    ("OpenCounter", {"counter_id": "a"}, 409, "already-exists"),
    ("Count", {"counter_id": "nobody"}, 404, "not-found"),
    ("Nonsense", {}, 404, "unknown-command"),
    ("", {}, 404, "unknown-command"),
    ("Count", {"counter_id": "a", "by": 0}, 422, "invalid-message"),
    ("Count", {"counter_id": "a", "by": 2**70}, 422, "invalid-message"),
    ("Count", {"counter_id": "a", "by": "1"}, 422, "invalid-message"),
    ("Count", {"counter_id": "a", "bye": 1}, 422, "invalid-message"),
    ("Count", {"counter_id": "x" * 10_000}, 422, "invalid-key"),
    ("Count", {"counter_id": ""}, 422, "invalid-key"),
    ("Count", {"counter_id": "a\n"}, 422, "invalid-key"),
    ("Count", {"counter_id": "a", "marks": [{"x": 1.0}, {"y": "z"}]}, 422, "invalid-message"),
]


@pytest.mark.parametrize(("name", "body", "status", "code"), REFUSED)
async def test_a_command_that_can_not_be_done_has_its_code_and_changes_nothing(
    client: httpx.AsyncClient, name: str, body: Json, status: int, code: str
) -> None:
    response = await client.post(f"/commands/{name}", json=body)
    assert refusal(response) == (status, code)
    assert await head_of(client) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"counter_id": "a", "by": 0}, "/by"),
        ({"counter_id": "a", "bye": 1}, "/bye"),
        ({"by": 1}, "/counter_id"),
        ({"counter_id": "a", "marks": [{"x": 1.0}, {"y": "z"}]}, "/marks/1/y"),
        ({"counter_id": "x" * 201}, "/counter_id"),
        ([], ""),
    ],
)
async def test_a_wrong_field_is_pointed_at(client: httpx.AsyncClient, body: Any, pointer: str) -> None:
    response = await client.post("/commands/Count", json=body)
    assert response.status_code == 422
    assert response.json()["pointer"] == pointer


MALFORMED = [
    b"",
    b"{",
    b'{"counter_id": "a"} {}',
    b'{"counter_id": "\xff"}',
    b'{"counter_id": "\\ud800"}',
    b"\xef\xbb\xbf{}",
    b'{"counter_id": "a", "by": NaN}',
    b'{"counter_id": "a", "by": 01}',
    b"nonsense",
]


@pytest.mark.parametrize("body", MALFORMED)
async def test_what_is_no_json_is_malformed(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/commands/Count", content=body, headers={"Content-Type": "application/json"})
    assert refusal(response) == (400, "malformed-json")
    assert await head_of(client) == 1


@pytest.mark.parametrize("depth", [100, 100_000])
async def test_json_that_is_nested_too_deep_is_refused(client: httpx.AsyncClient, depth: int) -> None:
    body = b'{"counter_id": "a", "marks": ' + b"[" * depth + b"]" * depth + b"}"
    response = await client.post("/commands/Count", content=body, headers={"Content-Type": "application/json"})
    assert refusal(response) == (422, "invalid-message")


async def test_a_refusal_of_the_domain_has_its_own_code_and_text(client: httpx.AsyncClient) -> None:
    await client.post("/commands/Count", json={"counter_id": "a", "by": 100})
    response = await client.post("/commands/Count", json={"counter_id": "a"})
    assert refusal(response) == (409, "full")
    assert response.json()["detail"] == "the counter is full"
    assert await head_of(client) == 2


async def test_a_bug_in_a_handler_tells_nothing_but_the_correlation_id(client: httpx.AsyncClient) -> None:
    response = await client.post("/commands/Break", json={"counter_id": "a"}, headers={"X-Correlation-ID": "trip-7"})
    assert refusal(response) == (500, "internal-error")
    assert response.json()["correlation_id"] == "trip-7"
    assert "1234" not in response.text
    assert await head_of(client) == 1


async def test_a_body_over_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    body = b'{"counter_id": "' + b"x" * MEMORY.http_max_body_bytes + b'"}'
    response = await client.post("/commands/Count", content=body, headers={"Content-Type": "application/json"})
    assert refusal(response) == (413, "body-too-large")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_a_body_that_is_not_declared_to_be_json_is_refused(client: httpx.AsyncClient, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = await client.post("/commands/Count", content=b'{"counter_id": "a"}', headers=headers)
    assert refusal(response) == (415, "unsupported-media-type")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_told_which_is_right(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/commands/Count")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST, OPTIONS"
    assert bool(response.content) == (method != "HEAD")


async def test_options_tells_the_methods(client: httpx.AsyncClient) -> None:
    response = await client.options("/commands/Count")
    assert (response.status_code, response.headers["allow"], response.content) == (204, "POST, OPTIONS", b"")
    assert refusal(await client.options("/commands/Nonsense")) == (404, "unknown-command")


async def test_a_name_may_be_percent_encoded(client: httpx.AsyncClient) -> None:
    response = await client.post("/commands/%43ount", json={"counter_id": "a"})
    assert response.status_code == 200


async def test_when_too_many_wait_the_rest_is_told_to_come_again() -> None:
    async with serving(dataclasses.replace(MEMORY, max_waiting_commands=3)) as (_, client):
        await client.post("/commands/OpenCounter", json={"counter_id": "a"})
        commands = [client.post("/commands/Count", json={"counter_id": "a"}) for _ in range(20)]
        answers = await asyncio.gather(*commands)
        refused = [each for each in answers if each.status_code != 200]
        assert 0 < len(refused) < 20
        assert {refusal(each) for each in refused} == {(503, "overloaded")}
        assert {each.headers["retry-after"] for each in refused} == {"1"}
