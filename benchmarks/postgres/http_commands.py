"""Durable commands over HTTP on PostgreSQL: one and two command services behind one load generator."""

from collections.abc import Mapping
from functools import partial

from benchmarks.harness import Benchmark, Job, Target
from benchmarks.http_load import deposit_requests, opening_requests, under_load
from benchmarks.postgres.database import migrated, services
from benchmarks.servers import uvicorn_server

__all__ = ["BENCHMARK"]

COMMANDS = 80_000


def ours(job: Job, *, roles: tuple[str, ...]) -> Mapping[str, float]:
    """The load goes to those of the services that take commands."""
    with migrated(job) as server, services(server, *roles) as started:
        takers = [service for service, role in zip(started, roles, strict=True) if role == "command"]
        return under_load(takers, deposit_requests(job.scaled(COMMANDS)), first=opening_requests())


def limit(job: Job) -> Mapping[str, float]:
    with uvicorn_server("benchmarks.limits.echo:app") as server:
        return under_load([server], deposit_requests(job.scaled(COMMANDS)), first=opening_requests())


BENCHMARK = Benchmark(
    name="http_commands",
    about="durable commands/s over HTTP, PostgreSQL, 64 connections, 1,000 aggregates",
    sides={
        "one_service": partial(ours, roles=("command",)),
        "one_service_and_projector": partial(ours, roles=("command", "projector")),
        "two_services": partial(ours, roles=("command", "command")),
        "echo": limit,
    },
    targets=(
        Target(figure="one_service.per_s", at_least=8_000),
        Target(figure="one_service.p99_ms", at_most=25),
        Target(figure="two_services.per_s", of="one_service.per_s", at_least=1.3),
        Target(figure="one_service.per_s", of="echo.per_s"),
    ),
)
