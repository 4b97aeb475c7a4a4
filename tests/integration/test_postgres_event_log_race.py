"""16 writers from 4 processes, a fifth of their transactions rolled back: every subscriber sees exactly 1…N.

TWOFOLD_RACE_EVENTS sets N (1000000 takes minutes). The same race over a naive log must be lost, or it proves nothing.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.postgres_logs import migrated, sql
from tests.integration.postgres_race import NAIVE_TABLES

EVENTS = int(os.environ.get("TWOFOLD_RACE_EVENTS", "100000"))
PROCESSES, WRITERS_EACH = 4, 4
NAIVE_EVENTS = 4_000
TIME_LIMIT_S = 60 + EVENTS / 1_000


async def race(kind: str, url: str, events: int) -> tuple[int, dict[str, dict[str, Any]]]:
    """How many events the writers appended, and what each subscriber says."""
    subscribers = {way: _start("follow", kind, url, way) for way in ("woken", "polling")}
    share = str(events // PROCESSES)
    writers = [_start("write", kind, url, f"w{number}", share, str(WRITERS_EACH)) for number in range(PROCESSES)]
    try:
        written = await asyncio.gather(*(_result(writer) for writer in writers))
        seen = await asyncio.gather(*(_result(subscriber) for subscriber in subscribers.values()))
    finally:
        for process in [*writers, *subscribers.values()]:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
    return sum(each["appended"] for each in written), dict(zip(subscribers, seen, strict=True))


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.integration.postgres_race", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


async def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = await asyncio.to_thread(process.communicate, timeout=TIME_LIMIT_S)
    assert process.returncode == 0, err[-3_000:]
    return json.loads(out.splitlines()[-1])


async def streams_that_are_not_dense(url: str) -> Sequence[tuple[Any, ...]]:
    wrong = "count(*) <> max(version) OR min(version) <> 1"
    return await sql(url, f"SELECT stream FROM twofold_log.event GROUP BY stream HAVING {wrong}")


@pytest.mark.timeout(TIME_LIMIT_S * 2)
async def test_every_subscriber_sees_every_event_once_and_in_order(database18: str) -> None:
    await migrated(database18)
    appended, seen = await race("ours", database18, EVENTS)
    assert appended >= EVENTS
    assert seen == {way: {"seen": appended, "last": appended, "wrong": None} for way in ("woken", "polling")}
    assert await sql(database18, "SELECT count(*), max(position) FROM twofold_log.event") == [(appended, appended)]
    assert await streams_that_are_not_dense(database18) == []


async def test_a_log_whose_positions_are_taken_before_the_commit_loses_the_same_race(database18: str) -> None:
    async with await psycopg.AsyncConnection.connect(database18) as connection:
        await connection.execute(NAIVE_TABLES.encode())
    appended, seen = await race("naive", database18, NAIVE_EVENTS)
    for each in seen.values():
        assert each["wrong"] is not None
        assert each["seen"] < appended  # not only gaps: events that were never seen
