"""Load on a server in another process, and its figures."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import uvloop

from benchmarks.bank import AGGREGATES, deposits, openings
from benchmarks.in_flight import IN_FLIGHT
from benchmarks.servers import Server
from twofold import Command
from twofold.testing.load import LoadClient, NoAnswerError, Response, Summary, drive

__all__ = [
    "Load",
    "command_request",
    "deposit_requests",
    "drive_all",
    "load_clients",
    "opening_requests",
    "query_requests",
    "under_load",
]

OnAnswer = Callable[[bytes, Response | NoAnswerError], None]


def under_load(
    servers: Sequence[Server], requests: Iterable[bytes], *, first: Iterable[bytes] = ()
) -> dict[str, float]:
    """Figures of the requests, 64 at a time on as many connections, after `first`, which is not measured.

    Several servers get as many connections each, and each takes requests as fast as it answers them.
    """
    return uvloop.run(_under_load(servers, requests, first))


async def _under_load(servers: Sequence[Server], requests: Iterable[bytes], first: Iterable[bytes]) -> dict[str, float]:
    async with load_clients(servers) as clients:
        _all_answered(await drive_all(clients, first))
        used_s = sum(server.cpu_s() for server in servers)
        load = _all_answered(await drive_all(clients, requests))
        used_s = sum(server.cpu_s() for server in servers) - used_s
    return load.figures() | {"server_cpu_us_each": used_s * 1_000_000 / load.answers}


@asynccontextmanager
async def load_clients(servers: Sequence[Server]) -> AsyncIterator[Sequence[LoadClient]]:
    """One for each, with an even share of 64 connections."""
    each = IN_FLIGHT // len(servers)
    async with AsyncExitStack() as stack:
        clients = [LoadClient("127.0.0.1", server.port, connections=each) for server in servers]
        yield [await stack.enter_async_context(client) for client in clients]


class Load(tuple[Summary, ...]):
    """What several servers together made of one load."""

    @property
    def answers(self) -> int:
        return sum(each.answers for each in self)

    def figures(self) -> dict[str, float]:
        """Latencies are those of the slowest server."""
        return {
            "per_s": self.answers / max(each.seconds for each in self),
            "p50_ms": max(each.p50_ms for each in self),
            "p99_ms": max(each.p99_ms for each in self),
        }


async def drive_all(
    clients: Sequence[LoadClient], requests: Iterable[bytes], *, on_answer: OnAnswer | None = None
) -> Load:
    """Send the requests, each to whichever server has a connection free."""
    shared = iter(requests)
    each = IN_FLIGHT // len(clients)
    return Load(await asyncio.gather(*(drive(client, shared, each, on_answer=on_answer) for client in clients)))


def _all_answered(load: Load) -> Load:
    for summary in load:
        if set(summary.statuses) - {200} or summary.unknown or summary.never_sent:
            raise RuntimeError(f"not everything was answered with 200: {summary}")
    return load


def command_request(command: Command, command_id: str | None = None) -> bytes:
    return LoadClient("127.0.0.1", 0).prepare(
        "POST",
        f"/commands/{type(command).__name__}",
        body=msgspec.json.encode(command),
        headers={"Idempotency-Key": command_id} if command_id else None,
    )


def opening_requests() -> Sequence[bytes]:
    return [command_request(command) for command in openings(AGGREGATES)]


def deposit_requests(count: int) -> Sequence[bytes]:
    """Each with a command id of its own."""
    return [command_request(command, f"id-{number}") for number, command in enumerate(deposits(count))]


def query_requests(count: int) -> Sequence[bytes]:
    client = LoadClient("127.0.0.1", 0)
    return [
        client.prepare("GET", f"/queries/BalanceOf?account_id=a{number * 7919 % AGGREGATES}") for number in range(count)
    ]
