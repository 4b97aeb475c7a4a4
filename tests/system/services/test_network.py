"""A network that swallows, tears or delays: every call ends in time, and service is normal when the network is."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import NamedTuple

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy, proxy_to
from tests.system.faults.ledger import Ledger
from tests.system.faults.workload import load_on
from tests.system.services.calls import Caller, calling
from tests.system.services.cluster import Cluster
from tests.system.services.evidence import wrongs
from tests.system.services.sizes import FULL
from twofold.testing.load import NoAnswerError

Network = dict[str, Proxy]

TIMEOUT_S = 4.0 if FULL else 2.0
"""Of commands and of stores: a call may wait for its turn first and for the store then."""
LONGEST_CALL_S = 2 * TIMEOUT_S + 1
FAULT_S = LONGEST_CALL_S + 1
NORMAL_AFTER_S = 5.0
ROLES = ("command", "query", "projector")

FAULTS: dict[str, Callable[[Proxy], None]] = {
    "black hole": lambda proxy: proxy.hold(),
    "nothing arrives at the server": lambda proxy: proxy.hold(to_client=False),
    "nothing comes back": lambda proxy: proxy.hold(to_server=False),
    "reset and refused": Proxy.refuse,
}


@pytest.fixture
def network(postgres18: PostgresServer) -> Iterator[Network]:
    """A proxy between each role and PostgreSQL."""
    with ExitStack() as stack:
        yield {role: stack.enter_context(proxy_to(postgres18.port)) for role in ROLES}


class Asking:
    """Queries without pause, and how long the slowest took; those without an answer in time count as for ever."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self.longest_s, self.statuses = caller, 0.0, set[int]()

    async def run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                answer = await self._caller.ask("LastPositionOf", "a1")
                self.statuses.add(answer.status)
            except NoAnswerError:
                self.statuses.add(0)
            self.longest_s = max(self.longest_s, time.monotonic() - started)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def asking(caller: Caller) -> AsyncGenerator[Asking]:
    made = Asking(caller)
    tasks = [asyncio.create_task(made.run()) for _ in range(4)]
    try:
        yield made
        assert not any(task.done() for task in tasks), tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def seconds_until_normal(caller: Caller) -> float:
    """Until a command is taken and seen by a query within a second, on all services: so several times in a row."""
    started, row = time.monotonic(), 0
    while row < 5 and time.monotonic() - started < 30:
        try:
            async with asyncio.timeout(1):
                await caller.visible("a1")
            row += 1
        except (AssertionError, TimeoutError, NoAnswerError):
            row = 0
            await asyncio.sleep(0.05)
    return time.monotonic() - started


class Course(NamedTuple):
    """How a fault went."""

    commands_s: float
    queries_s: float
    statuses: set[int]
    normal_after_s: float
    wrongs: list[str]

    @property
    def longest_s(self) -> float:
        return max(self.commands_s, self.queries_s)


async def course_of(
    fault: Callable[[Proxy], None], cluster: Cluster, network: Network, timeout_s: float = TIMEOUT_S
) -> Course:
    ledger, limit = Ledger(), str(timeout_s)
    roles = ("command", "command", "query", "projector")
    cluster.settings = {**cluster.settings, "TWOFOLD_STORE_TIMEOUT_S": limit, "TWOFOLD_COMMAND_TIMEOUT_S": limit}
    made = [cluster.service(role, port=network[role].port) for role in roles]
    await asyncio.to_thread(cluster.start_all, made)
    async with (
        load_on(cluster.ports("command"), ledger, seed=13, pause_s=0.05, timeout_s=30) as load,
        calling(cluster, ledger, timeout_s=30) as caller,
        asking(caller) as queries,
    ):
        await seconds_until_normal(caller)
        for proxy in network.values():
            fault(proxy)
        await asyncio.sleep(FAULT_S)
        for proxy in network.values():
            proxy.heal()
        seconds = await seconds_until_normal(caller)
    return Course(load.longest_s, queries.longest_s, queries.statuses, seconds, wrongs(cluster, ledger))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.timeout(200)
async def test_every_call_ends_and_service_is_normal_when_the_network_is(
    cluster: Cluster, network: Network, fault: str
) -> None:
    course = await course_of(FAULTS[fault], cluster, network)
    print(f"{fault}: {course}")
    assert course.wrongs == []
    assert course.longest_s <= LONGEST_CALL_S
    assert course.normal_after_s <= NORMAL_AFTER_S
    assert course.statuses == {200, 503}, "every query is answered, and some meet the fault"


@pytest.mark.timeout(200)
async def test_a_service_that_waits_without_limit_is_caught(cluster: Cluster, network: Network) -> None:
    course = await course_of(FAULTS["black hole"], cluster, network, timeout_s=60)
    assert course.longest_s > LONGEST_CALL_S
