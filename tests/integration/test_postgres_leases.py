"""Leases on PostgreSQL among real processes that come, go, are killed and are stopped."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from tests.integration.read_stores import COUNTS, read_store, row_reader
from twofold.ports import Find
from twofold.stores.postgres.read_store import PostgresReadStore
from twofold.stores.postgres.row_reader import PostgresRowReader

ROOT = Path(__file__).parents[2]
LEASE_S = 1.0
UNFENCED = """
create or replace function twofold_read.twofold_move(
    of_read_model text, partitions integer[], epochs bigint[], positions bigint[], through bigint
) returns void language sql as $$
    delete from twofold_read.twofold_checkpoint
     using twofold_read.twofold_lease as lease
     where lease.read_model = of_read_model and lease.partition = any (partitions)
       and twofold_checkpoint.generation = lease.generation and twofold_checkpoint.partition = lease.partition;
    insert into twofold_read.twofold_checkpoint
    select generation, partition, through from twofold_read.twofold_lease
     where read_model = of_read_model and partition = any (partitions)
        on conflict do nothing;
$$
"""
TIME_LIMIT_S = 30.0


@asynccontextmanager
async def worker(url: str, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "tests.integration.lease_worker", url, name, str(LEASE_S)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(condition: Callable[[], Awaitable[bool]], limit_s: float = TIME_LIMIT_S) -> float:
    """Seconds until it held."""
    started = time.monotonic()
    async with asyncio.timeout(limit_s):
        while not await condition():
            await asyncio.sleep(0.02)
    return time.monotonic() - started


@pytest.fixture
async def store(database18: str) -> AsyncIterator[PostgresReadStore]:
    async with read_store(database18) as store:
        await store.open(COUNTS)
        yield store


async def holders(store: PostgresReadStore) -> list[str]:
    return sorted((await store.checkpoints())["Counts"].holders)


async def audit(store: PostgresReadStore, reader: PostgresRowReader) -> None:
    """Every row was counted up exactly once for each move of its partition's checkpoint, by whomever."""
    async with asyncio.timeout(TIME_LIMIT_S):
        positions = (await store.checkpoints())["Counts"].positions
        rows = {COUNTS.partition_of(row[:1]): row[1] for row in await reader.find(COUNTS, Find({}))}
    assert {partition: position for partition, position in enumerate(positions) if position} == rows


async def test_partitions_are_shared_out_anew_when_workers_come_and_go(
    store: PostgresReadStore, database18: str
) -> None:
    def is_shared(*counts: int) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            found = await holders(store)
            return "" not in found and sorted(found.count(each) for each in set(found)) == sorted(counts)

        return look

    async with row_reader(database18) as reader, worker(database18, "a"):
        await until(is_shared(8))
        async with worker(database18, "b"):
            await until(is_shared(4, 4))
            async with worker(database18, "c"):
                await until(is_shared(2, 3, 3))
            assert await until(is_shared(4, 4)) < LEASE_S + 1.0
        assert await until(is_shared(8)) < LEASE_S + 1.0
        await store.seize("audit", "Counts", LEASE_S * 60, force=True)
        await audit(store, reader)


async def sleep_through_the_lease(store: PostgresReadStore, database: str, times: int) -> None:
    """A worker is stopped until another has all that it held, and goes on."""

    def share_of(name: str, number: int) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return (await holders(store)).count(name) == number

        return look

    async with worker(database, "sleeper") as sleeper:
        await until(share_of("sleeper", 8))
        async with worker(database, "b"):
            for _ in range(times):
                sleeper.send_signal(signal.SIGSTOP)
                await until(share_of("b", 8))
                sleeper.send_signal(signal.SIGCONT)
                await until(share_of("sleeper", 4))
                await until(share_of("b", 4))
            await store.seize("audit", "Counts", LEASE_S * 60, force=True)


async def test_a_worker_that_slept_through_its_lease_writes_nothing_when_it_wakes(
    store: PostgresReadStore, database18: str
) -> None:
    async with row_reader(database18) as reader:
        await sleep_through_the_lease(store, database18, times=3)
        await audit(store, reader)


async def test_without_the_fence_the_same_audit_fails(store: PostgresReadStore, database18: str) -> None:
    with psycopg.connect(database18, autocommit=True) as connection:
        connection.execute(UNFENCED)
    async with row_reader(database18) as reader:
        await sleep_through_the_lease(store, database18, times=3)
        with pytest.raises(AssertionError):
            await audit(store, reader)
