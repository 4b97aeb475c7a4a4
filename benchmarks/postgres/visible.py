"""From accepted to visible between processes: a command service answers, a projector folds, and a query service that is
asked at once answers with the command's position. Over HTTP, so a request and its answer are in every figure."""

import time
from collections.abc import Mapping
from decimal import Decimal

import uvloop

from benchmarks.bank import AGGREGATES, Deposit
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.http_load import command_request, drive_all, opening_requests
from benchmarks.pace import idle_and_busy, percentiles
from benchmarks.peers import eventsourcing_bank, eventsourcing_projection
from benchmarks.postgres.database import bare_server, migrated, services
from benchmarks.servers import Server
from twofold.testing.load import LoadClient, Response

__all__ = ["BENCHMARK"]

SAMPLES = 2_000


def ours(job: Job) -> Mapping[str, float]:
    with migrated(job) as server, services(server, "command", "projector", "query") as (commands, _, queries):
        return uvloop.run(_ours(commands, queries, job.scaled(SAMPLES)))


async def _ours(command_service: Server, query_service: Server, count: int) -> Mapping[str, float]:
    async with (
        LoadClient("127.0.0.1", command_service.port) as commands,
        LoadClient("127.0.0.1", query_service.port) as queries,
    ):
        await drive_all([commands], opening_requests())
        return await idle_and_busy(lambda number: _visible(commands, queries, number), count)


async def _visible(commands: LoadClient, queries: LoadClient, number: int) -> float:
    account_id = f"a{number * 7919 % AGGREGATES}"
    done = _ok(await commands.send(command_request(Deposit(account_id=account_id, amount=Decimal(1)))))
    accepted = time.perf_counter()
    after = {"Twofold-After": done.headers["twofold-position"]}
    _ok(await queries.request("GET", f"/queries/BalanceOf?account_id={account_id}", headers=after))
    return (time.perf_counter() - accepted) * 1000


def _ok(answer: Response) -> Response:
    if answer.status != 200:
        raise RuntimeError(f"not answered with 200: {answer}")
    return answer


def peer(job: Job) -> Mapping[str, float]:
    """Without HTTP: from the return of the save to the commit of the row."""
    with bare_server(job) as server:
        environment = eventsourcing_bank.postgres(server.url())
        idle, busy = eventsourcing_projection.visible_ms(environment, count=job.scaled(SAMPLES))
    return percentiles("idle", idle) | percentiles("busy", busy)


BENCHMARK = Benchmark(
    name="visible",
    about="milliseconds from the acknowledged command to the query that shows it, each in a process of its own",
    sides={"twofold": ours, "eventsourcing": peer},
    targets=(
        Target(figure="twofold.idle_p50_ms", at_most=1.5),
        Target(figure="twofold.idle_p99_ms", at_most=10),
        Target(figure="twofold.busy_p50_ms", at_most=1.5),
        Target(figure="twofold.busy_p99_ms", at_most=10),
    ),
)
