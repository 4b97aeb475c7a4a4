"""Queries by key over HTTP on PostgreSQL: one query service, 64 connections, beside a bare echo of as many bytes."""

from collections.abc import Mapping

import uvloop

from benchmarks.bank import app
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.http_load import query_requests, under_load
from benchmarks.postgres.database import migrated, services, url_of
from benchmarks.servers import uvicorn_server
from benchmarks.system import connected, open_accounts

__all__ = ["BENCHMARK"]

QUERIES = 80_000
WARM_UP = 5_000


def ours(job: Job) -> Mapping[str, float]:
    with migrated(job) as server:
        uvloop.run(_fill(url_of(server)))
        with services(server, "query") as queries:
            return under_load(queries, query_requests(job.scaled(QUERIES)), first=query_requests(WARM_UP))


async def _fill(url: str) -> None:
    async with connected(app, url) as system:
        await open_accounts(system)
        await system.settle()


def limit(job: Job) -> Mapping[str, float]:
    with uvicorn_server("benchmarks.limits.echo:app") as server:
        return under_load([server], query_requests(job.scaled(QUERIES)), first=query_requests(WARM_UP))


BENCHMARK = Benchmark(
    name="http_queries",
    about="queries/s by key over HTTP, PostgreSQL, one query service, 64 connections",
    sides={"twofold": ours, "echo": limit},
    targets=(
        Target(figure="twofold.per_s", at_least=10_000),
        Target(figure="twofold.per_s", of="echo.per_s"),
    ),
)
