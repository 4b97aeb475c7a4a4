"""Durable commands over HTTP: one server process with uvloop and httptools, 64 connections, beside a bare echo."""

from collections.abc import Mapping

from benchmarks.harness import Benchmark, Job, Target
from benchmarks.http_load import deposit_requests, opening_requests, under_load
from benchmarks.servers import twofold_server, uvicorn_server
from benchmarks.system import sqlite_url

__all__ = ["BENCHMARK"]

COMMANDS = 60_000
PEER_COMMANDS = 4_000


def ours(job: Job) -> Mapping[str, float]:
    with twofold_server("benchmarks.bank:write_side", sqlite_url(job.folder)) as server:
        return under_load([server], deposit_requests(job.scaled(COMMANDS)), first=opening_requests())


def ours_with_projector(job: Job) -> Mapping[str, float]:
    with twofold_server("benchmarks.bank:app", sqlite_url(job.folder)) as server:
        return under_load([server], deposit_requests(job.scaled(COMMANDS)), first=opening_requests())


def limit(job: Job) -> Mapping[str, float]:
    with uvicorn_server("benchmarks.limits.echo:app") as server:
        return under_load([server], deposit_requests(job.scaled(COMMANDS)), first=opening_requests())


def peer(job: Job) -> Mapping[str, float]:
    environment = {"BENCHMARKS_PEER_DATABASE": str(job.folder / "peer.db")}
    with uvicorn_server("benchmarks.peers.eventsourcing_http:app", environment=environment) as server:
        return under_load([server], deposit_requests(job.scaled(PEER_COMMANDS)), first=opening_requests())


BENCHMARK = Benchmark(
    name="http_commands",
    about="durable commands/s over HTTP, one process, 64 connections, 1,000 aggregates",
    sides={"twofold": ours, "twofold_and_projector": ours_with_projector, "echo": limit, "eventsourcing": peer},
    targets=(
        Target(figure="twofold_and_projector.per_s", at_least=10_000),
        Target(figure="twofold_and_projector.p99_ms", at_most=20),
        Target(figure="twofold_and_projector.per_s", of="echo.per_s", at_least=0.3),
        Target(figure="twofold_and_projector.per_s", of="eventsourcing.per_s"),
    ),
)
