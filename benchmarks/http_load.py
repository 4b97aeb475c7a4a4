"""Load on a server in another process, and its figures."""

from collections.abc import Sequence

import msgspec
import uvloop

from benchmarks.bank import AGGREGATES, deposits, openings
from benchmarks.in_flight import IN_FLIGHT
from benchmarks.servers import Server
from twofold.testing.load import LoadClient, Summary, drive

__all__ = ["deposit_requests", "opening_requests", "query_requests", "under_load"]


def under_load(server: Server, requests: Sequence[bytes], *, first: Sequence[bytes] = ()) -> dict[str, float]:
    """Figures of the requests, 64 at a time on as many connections, after `first`, which is not measured."""
    return uvloop.run(_under_load(server, requests, first))


async def _under_load(server: Server, requests: Sequence[bytes], first: Sequence[bytes]) -> dict[str, float]:
    async with LoadClient("127.0.0.1", server.port, connections=IN_FLIGHT) as client:
        _all_answered(await drive(client, first, IN_FLIGHT))
        used_s = server.cpu_s()
        summary = _all_answered(await drive(client, requests, IN_FLIGHT))
        used_s = server.cpu_s() - used_s
    return {
        "per_s": summary.rate_per_s,
        "p50_ms": summary.p50_ms,
        "p99_ms": summary.p99_ms,
        "server_cpu_us_each": used_s * 1_000_000 / summary.answers,
    }


def _all_answered(summary: Summary) -> Summary:
    if set(summary.statuses) - {200} or summary.unknown or summary.never_sent:
        raise RuntimeError(f"not everything was answered with 200: {summary}")
    return summary


def opening_requests() -> Sequence[bytes]:
    client = LoadClient("127.0.0.1", 0)
    return [
        client.prepare("POST", "/commands/OpenAccount", body=msgspec.json.encode(command))
        for command in openings(AGGREGATES)
    ]


def deposit_requests(count: int) -> Sequence[bytes]:
    """Each with a command id of its own."""
    client = LoadClient("127.0.0.1", 0)
    return [
        client.prepare(
            "POST",
            "/commands/Deposit",
            body=msgspec.json.encode(command),
            headers={"Idempotency-Key": f"id-{number}"},
        )
        for number, command in enumerate(deposits(count))
    ]


def query_requests(count: int) -> Sequence[bytes]:
    client = LoadClient("127.0.0.1", 0)
    return [
        client.prepare("GET", f"/queries/BalanceOf?account_id=a{number * 7919 % AGGREGATES}") for number in range(count)
    ]
