"""Everyone buys one product, and a tenth more buyers come than there are units: in one process with 64 in flight, and
over HTTP at two command services that fight for it."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import uvloop

from benchmarks.bank import BuyNow, StockProduct
from benchmarks.harness import Benchmark, Job, Target
from benchmarks.http_load import command_request, drive_all, load_clients
from benchmarks.limits.postgres_group import group_insert
from benchmarks.peers import eventsourcing_bank
from benchmarks.postgres.database import bare_server, migrated, services, url_of
from benchmarks.servers import Server
from benchmarks.work import sale
from twofold.testing.load import NoAnswerError, Response

__all__ = ["BENCHMARK"]

UNITS = 100_000
HTTP_UNITS = 30_000
PEER_UNITS = 4_000


class Problem(msgspec.Struct):
    code: str


def ours(job: Job) -> Mapping[str, float]:
    with migrated(job) as server:
        return uvloop.run(sale(url_of(server), job.scaled(UNITS)))


def one_service(job: Job) -> Mapping[str, float]:
    with migrated(job) as server, services(server, "command") as commands:
        return uvloop.run(_sale_at(commands, job.scaled(HTTP_UNITS)))


def two_services(job: Job) -> Mapping[str, float]:
    with migrated(job) as server, services(server, "command", "command") as commands:
        return uvloop.run(_sale_at(commands, job.scaled(HTTP_UNITS)))


async def _sale_at(servers: Sequence[Server], units: int) -> Mapping[str, float]:
    answers: Counter[str] = Counter()

    def count(_: bytes, answer: Response | NoAnswerError) -> None:
        answers[_code(answer)] += 1

    async with load_clients(servers) as clients:
        await drive_all(clients, [command_request(StockProduct(sku="p1", units=units))])
        load = await drive_all(clients, _purchases(range(units)), on_answer=count)
        await drive_all(clients, _purchases(range(units, units + units // 10)), on_answer=count)
    refused, sold = answers.pop("sold-out", 0), answers.pop("ok", 0)
    return load.figures() | {
        "oversold": sold - units,
        "wrongly_refused": refused - units // 10,
        "conflicts_shown": answers.total(),
    }


def _purchases(numbers: range) -> Sequence[bytes]:
    return [command_request(BuyNow(sku="p1", customer=f"c{number}"), f"id-{number}") for number in numbers]


def _code(answer: Response | NoAnswerError) -> str:
    if not isinstance(answer, Response):
        return type(answer).__name__
    return "ok" if answer.status == 200 else msgspec.json.decode(answer.body, type=Problem).code


def limit(job: Job) -> Mapping[str, float]:
    with bare_server(job) as server:
        return {"commands_per_s": group_insert(server.url(), job.scaled(UNITS), aggregates=1)}


def peer(job: Job) -> Mapping[str, float]:
    with bare_server(job) as server:
        environment = eventsourcing_bank.postgres(server.url())
        return {"commands_per_s": eventsourcing_bank.sales_per_s(environment, units=job.scaled(PEER_UNITS))}


BENCHMARK = Benchmark(
    name="flash_sale",
    about="durable commands/s on one aggregate, PostgreSQL: in process, and over HTTP at one and two command services",
    sides={"twofold": ours, "one_service": one_service, "two_services": two_services}
    | {"psycopg": limit, "eventsourcing": peer},
    targets=(
        Target(figure="twofold.commands_per_s", at_least=30_000),
        Target(figure="two_services.per_s", at_least=5_000),
        *(
            Target(figure=f"{side}.{figure}", at_least=0, at_most=0)
            for side in ("twofold", "one_service", "two_services")
            for figure in ("oversold", "wrongly_refused", "conflicts_shown")
        ),
        Target(figure="twofold.commands_per_s", of="psycopg.commands_per_s"),
        Target(figure="twofold.commands_per_s", of="eventsourcing.commands_per_s"),
    ),
)
