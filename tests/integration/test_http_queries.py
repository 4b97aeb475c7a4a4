import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from tests.integration.counters import MEMORY, serving


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    """Counters a, b and c, at 1, 2 and 3, folded; the log's head is 6."""
    async with serving() as (door, client):
        for by, name in enumerate("abc", start=1):
            await client.post("/commands/OpenCounter", json={"counter_id": name})
            await client.post("/commands/Count", json={"counter_id": name, "by": by})
        await door.system.settle()
        yield client


def refusal(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def names(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [each["counter_id"] for each in response.json()]


async def test_a_query_is_answered_with_json_and_the_position_that_it_reflects(client: httpx.AsyncClient) -> None:
    response = await client.get("/queries/TotalOf?counter_id=b")
    assert response.status_code == 200
    assert response.json()["total"] == 2
    assert response.headers["twofold-position"] == "6"
    assert response.headers["content-type"] == "application/json"


async def test_a_row_shows_its_fields_and_nothing_else(client: httpx.AsyncClient) -> None:
    response = await client.get("/queries/TotalOf?counter_id=b")
    assert response.json().keys() == {"counter_id", "total", "correlation_id"}


async def test_an_answer_may_be_null(client: httpx.AsyncClient) -> None:
    response = await client.get("/queries/TotalOf", params={"counter_id": "nobody"})
    assert (response.status_code, response.content) == (200, b"null")


async def test_a_query_can_be_posted(client: httpx.AsyncClient) -> None:
    body = {"counter_id": ["a", "c"], "within": {"low": 2, "high": 3}}
    assert names(await client.post("/queries/Totals", json=body)) == ["c"]


async def test_parameters_are_typed_lists_are_repeated_and_objects_are_json(client: httpx.AsyncClient) -> None:
    assert names(await client.get("/queries/Totals")) == ["a", "b", "c"]
    assert names(await client.get("/queries/Totals?limit=2")) == ["a", "b"]
    assert names(await client.get("/queries/Totals?counter_id=a&counter_id=c")) == ["a", "c"]
    assert names(await client.get("/queries/Totals", params={"within": '{"low": 2, "high": 2}'})) == ["b"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("Totals?limit=x", "/limit"),
        ("Totals?limit=0", "/limit"),
        ("Totals?limit=", "/limit"),
        ("Totals?limit=1&limit=2", "/limit"),
        ("Totals?limit=99999999999999999999999", "/limit"),
        ("Totals?nonsense=1", "/nonsense"),
        ("Totals?within=%7B", "/within"),
        ("Totals?within=%7B%22low%22%3A1%7D", "/within/high"),
        ("TotalOf", "/counter_id"),
        ("TotalOf?counter_id=%00", "/counter_id"),
    ],
)
async def test_a_wrong_parameter_is_pointed_at(client: httpx.AsyncClient, query: str, pointer: str) -> None:
    response = await client.get(f"/queries/{query}")
    assert refusal(response) == (422, "invalid-message")
    assert response.json()["pointer"] == pointer


async def test_a_query_string_that_is_no_utf_8_is_malformed(client: httpx.AsyncClient) -> None:
    assert refusal(await client.get("/queries/TotalOf?counter_id=%FF")) == (400, "malformed-query-string")


async def test_a_hostile_key_is_only_a_key_that_nothing_has(client: httpx.AsyncClient) -> None:
    for key in ("x" * 10_000, "' OR 1=1 --", "../..", "%"):
        response = await client.get("/queries/TotalOf", params={"counter_id": key})
        assert (response.status_code, response.content) == (200, b"null")


async def test_an_unknown_query_names_the_nearest(client: httpx.AsyncClient) -> None:
    response = await client.get("/queries/TotalsOf")
    assert refusal(response) == (404, "unknown-query")
    assert response.json()["nearest"] in ("Totals", "TotalOf")


async def test_head_has_the_headers_and_no_body(client: httpx.AsyncClient) -> None:
    got, head = await client.get("/queries/Totals"), await client.head("/queries/Totals")
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers["twofold-position"] == "6"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_another_method_is_told_which_are_right(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/queries/Totals")
    assert refusal(response) == (405, "method-not-allowed")
    assert response.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    assert (await client.options("/queries/Totals")).headers["allow"] == response.headers["allow"]


async def test_one_reads_ones_own_write(client: httpx.AsyncClient) -> None:
    for number in range(20):
        done = await client.post("/commands/OpenCounter", json={"counter_id": f"n{number}"})
        after = {"Twofold-After": done.headers["twofold-position"], "Prefer": "wait=5"}
        response = await client.get(f"/queries/TotalOf?counter_id=n{number}", headers=after)
        assert response.json()["counter_id"] == f"n{number}"
        assert int(response.headers["twofold-position"]) >= int(after["Twofold-After"])


async def test_a_position_that_does_not_come_is_an_error_that_says_when_to_try_again(client: httpx.AsyncClient) -> None:
    response = await client.get("/queries/Totals", headers={"Twofold-After": "7"})
    assert refusal(response) == (503, "not-yet-consistent")
    assert {"wanted": 7, "reached": 6, "read_models": "Total"}.items() <= response.json().items()
    assert response.headers["retry-after"] == "1"


async def test_prefer_wait_says_how_long(client: httpx.AsyncClient) -> None:
    started = time.perf_counter()
    response = await client.get("/queries/Totals", headers={"Twofold-After": "7", "Prefer": "wait=1"})
    assert refusal(response) == (503, "not-yet-consistent")
    assert 0.9 < time.perf_counter() - started < 5
    waiting = asyncio.create_task(client.get("/queries/Totals", headers={"Twofold-After": "7", "Prefer": "wait=30"}))
    await client.post("/commands/Count", json={"counter_id": "a"})
    assert (await waiting).headers["twofold-position"] == "7"


@pytest.mark.parametrize("value", ["x", "-1", "1.5", ""])
async def test_a_position_without_meaning_is_refused(client: httpx.AsyncClient, value: str) -> None:
    assert refusal(await client.get("/queries/Totals", headers={"Twofold-After": value})) == (400, "invalid-header")


async def test_a_browser_reads_its_own_write_by_its_cookie() -> None:
    async with serving() as (door, client):
        await client.post("/commands/OpenCounter", json={"counter_id": "a"})
        assert (await client.get("/queries/TotalOf?counter_id=a")).json()["counter_id"] == "a"
        await door.system.pause("Total")
        await client.post("/commands/Count", json={"counter_id": "a"})
        assert client.cookies["twofold-position"] == "2"
        assert refusal(await client.get("/queries/TotalOf?counter_id=a")) == (503, "not-yet-consistent")
        older = await client.get("/queries/TotalOf?counter_id=a", headers={"Twofold-After": "1"})
        assert older.json()["total"] == 0, "a header is stronger than the cookie"


@pytest.mark.parametrize("cookie", ["twofold-position=x", "twofold-position=7", "twofold-position=", "other=1"])
async def test_a_cookie_that_this_log_can_not_have_given_is_no_wish(client: httpx.AsyncClient, cookie: str) -> None:
    client.cookies.clear()
    response = await client.get("/queries/Totals", headers={"Cookie": cookie})
    assert (response.status_code, response.headers["twofold-position"]) == (200, "6")


async def test_the_cookie_is_not_looked_at_when_it_is_switched_off() -> None:
    async with serving(dataclasses.replace(MEMORY, position_cookie=False)) as (door, client):
        await door.system.pause("Total")
        await client.post("/commands/OpenCounter", json={"counter_id": "a"})
        response = await client.get("/queries/Totals", headers={"Cookie": "twofold-position=1"})
        assert (response.status_code, response.json()) == (200, [])


async def test_a_bug_in_an_answer_tells_nothing(client: httpx.AsyncClient) -> None:
    response = await client.get("/queries/Crash")
    assert refusal(response) == (500, "internal-error")
    assert "1234" not in response.text


async def test_the_correlation_id_is_sent_back(client: httpx.AsyncClient) -> None:
    response = await client.get("/queries/Totals", headers={"X-Correlation-ID": "trip-7"})
    assert response.headers["x-correlation-id"] == "trip-7"


async def test_when_too_many_wait_the_rest_is_told_to_come_again() -> None:
    async with serving(dataclasses.replace(MEMORY, max_waiting_queries=3)) as (_, client):
        headers = {"Twofold-After": "1", "Prefer": "wait=1"}
        answers = await asyncio.gather(*(client.get("/queries/Totals", headers=headers) for _ in range(8)))
        assert sorted(refusal(each)[1] for each in answers) == ["not-yet-consistent"] * 3 + ["overloaded"] * 5


async def test_malformed_bodies_are_refused_as_those_of_commands_are(client: httpx.AsyncClient) -> None:
    def post(**options: Any) -> Any:
        return client.post("/queries/Totals", **options)

    as_json = {"Content-Type": "application/json"}
    assert refusal(await post(content=b"{", headers=as_json)) == (400, "malformed-json")
    assert refusal(await post(content=b"{}")) == (415, "unsupported-media-type")
    assert refusal(await post(json={"limit": 0})) == (422, "invalid-message")
    large = b'{"counter_id": ["' + b"x" * MEMORY.http_max_body_bytes + b'"]}'
    assert refusal(await post(content=large, headers=as_json)) == (413, "body-too-large")
