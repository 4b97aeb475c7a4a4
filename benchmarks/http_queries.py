"""Queries by key over HTTP: one server process, 64 connections, beside a bare echo of as many bytes."""

from collections.abc import Mapping

from benchmarks.harness import Benchmark, Job, Target
from benchmarks.http_load import deposit_requests, opening_requests, query_requests, under_load
from benchmarks.servers import twofold_server, uvicorn_server
from benchmarks.system import sqlite_url

__all__ = ["BENCHMARK"]

QUERIES = 60_000


def ours(job: Job) -> Mapping[str, float]:
    with twofold_server("benchmarks.bank:app", sqlite_url(job.folder)) as server:
        first = [*opening_requests(), *deposit_requests(5_000)]
        return under_load([server], query_requests(job.scaled(QUERIES)), first=first)


def limit(job: Job) -> Mapping[str, float]:
    with uvicorn_server("benchmarks.limits.echo:app") as server:
        return under_load([server], query_requests(job.scaled(QUERIES)), first=query_requests(5_000))


BENCHMARK = Benchmark(
    name="http_queries",
    about="queries/s by key over HTTP, one process, 64 connections",
    sides={"twofold": ours, "echo": limit},
    targets=(
        Target(figure="twofold.per_s", at_least=10_000),
        Target(figure="twofold.per_s", of="echo.per_s"),
    ),
)
