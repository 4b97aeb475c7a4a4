"""Answers that are given again when there can be no new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.integration.counters import MEMORY, Counter, Total, client_of
from tests.integration.test_http_queries import refusal
from twofold import Application, NotYetConsistentError, Query, Settings, View, answer, asgi
from twofold.errors import OverloadedError, QueryTimeoutError, ReadModelNotReadyError, StoreUnavailableError
from twofold.http.app import HttpDoor

trouble: list[Exception] = []


class Recent(Query[int], stale_ok_s=60):
    counter_id: str = "a"


class Exact(Query[int]):
    counter_id: str = "a"


async def total_of(counter_id: str, totals: View[Total]) -> int:
    if trouble:
        raise trouble[0]
    found = await totals.get(counter_id)
    return found.total if found else 0


@answer
async def recent(query: Recent, totals: View[Total]) -> int:
    return await total_of(query.counter_id, totals)


@answer
async def exact(query: Exact, totals: View[Total]) -> int:
    return await total_of(query.counter_id, totals)


@asynccontextmanager
async def serving(settings: Settings = MEMORY) -> AsyncGenerator[tuple[HttpDoor, httpx.AsyncClient]]:
    """With one counter, at 5."""
    trouble.clear()
    door = asgi(Application("stale", [Counter, Total, recent, exact]), settings)
    async with door.lifespan(), client_of(door) as client:
        await client.post("/commands/OpenCounter", json={"counter_id": "a"})
        await client.post("/commands/Count", json={"counter_id": "a", "by": 5})
        await door.system.settle()
        yield door, client


@pytest.mark.parametrize(
    "error",
    [
        OverloadedError("queries", 8, 0.2),
        StoreUnavailableError("read store", "it is away"),
        QueryTimeoutError("Recent", 30.0),
        NotYetConsistentError(2, 0, "Total"),
    ],
    ids=lambda error: error.code,
)
async def test_an_earlier_answer_stands_in_for_one_that_cannot_be_had_and_says_so(error: StoreUnavailableError) -> None:
    async with serving() as (_, client):
        fresh = await client.get("/queries/Recent?counter_id=a")
        assert not {"age", "cache-status"} & set(fresh.headers)
        await client.get("/queries/Exact?counter_id=a")
        trouble.append(error)
        for stale in (await client.get("/queries/Recent"), await client.post("/queries/Recent", json={})):
            assert (stale.status_code, stale.content) == (200, fresh.content)
            assert stale.headers["twofold-position"] == fresh.headers["twofold-position"] == "2"
            assert stale.headers["age"] == "0"
            assert stale.headers["cache-status"] == f"twofold; hit; ttl=0; detail={error.code}"
        assert refusal(await client.get("/queries/Recent?counter_id=b")) == (503, error.code)
        assert refusal(await client.get("/queries/Exact?counter_id=a")) == (503, error.code)
        counted = f'twofold_stale_answers_total{{code="{error.code}",query="Recent"}} 2.0'
        assert counted in (await client.get("/metrics")).text


async def test_what_does_not_pass_by_itself_is_told_and_not_covered_up() -> None:
    async with serving() as (_, client):
        await client.get("/queries/Recent")
        trouble.append(ReadModelNotReadyError("Total", "the stored rows have the columns of other code"))
        assert refusal(await client.get("/queries/Recent")) == (503, "read-model-not-ready")
        trouble[:] = [RuntimeError("a bug")]
        assert refusal(await client.get("/queries/Recent")) == (500, "internal-error")


async def test_no_answer_is_older_than_the_position_that_was_wanted() -> None:
    async with serving() as (door, client):
        await client.get("/queries/Recent")
        written = await client.post("/commands/Count", json={"counter_id": "a"})
        await door.system.settle()
        trouble.append(OverloadedError("queries", 8, 0.2))
        client.cookies.clear()
        for position, status in (("2", 200), ("3", 503)):
            asked = await client.get("/queries/Recent", headers={"Twofold-After": position})
            assert asked.status_code == status
        client.cookies.set("twofold-position", written.headers["twofold-position"])
        assert (await client.get("/queries/Recent")).status_code == 503


async def test_who_finds_the_service_full_gets_the_earlier_answer() -> None:
    async with serving(Settings(event_log="memory:", max_waiting_queries=1)) as (door, client):
        await client.get("/queries/Recent")
        waiting = asyncio.create_task(
            client.get("/queries/Exact", headers={"Twofold-After": "99", "Prefer": "wait=30"})
        )
        async with asyncio.timeout(10):
            while not door.system.progress["Total"].waited_for:
                await asyncio.sleep(0)
        assert refusal(await client.get("/queries/Exact")) == (503, "overloaded")
        assert (await client.get("/queries/Recent")).headers["cache-status"].endswith("detail=overloaded")
        assert 'twofold_shed_total{kind="query",reason="full"} 2.0' in (await client.get("/metrics")).text
        waiting.cancel()
