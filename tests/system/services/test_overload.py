"""Three times as much as can be done, 30 % of it commands: they are accepted, and queries shed; then all is normal."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.system.faults.process import ServiceProcess
from tests.system.services.cluster import cluster_on
from tests.system.services.overload import CONNECTIONS, Load, Phase, wrongs
from tests.system.services.sizes import size
from twofold.testing.load import LoadClient

APP = "tests.system.services.overload:app"
NORMAL_WITHIN_S = 10


async def overloaded(commands: int, queries: int) -> tuple[Phase, list[str]]:
    """Find what the services at these ports can do, send three times that, then a quarter; and what is wrong then."""
    async with (
        LoadClient("127.0.0.1", commands, connections=CONNECTIONS, timeout_s=20) as sender,
        LoadClient("127.0.0.1", queries, connections=CONNECTIONS, timeout_s=20) as asker,
    ):
        load, after = Load(sender, asker), list[Phase]()
        await load.open()
        saturation = await load.saturation(3)
        pressed = await load.send(3 * saturation, size(8, 30))
        for _ in range(NORMAL_WITHIN_S):
            after.append(await load.send(saturation / 4, 1))
            if after[-1].is_normal:
                break
        print(f"saturation {saturation:.0f}/s; {pressed}; normal after {len(after)} s")
        return pressed, wrongs(pressed, after)


@contextmanager
def everything_in_one(folder: Path, **settings: str) -> Generator[ServiceProcess]:
    url = f"sqlite:///{folder / 'log.db'}"
    service = ServiceProcess("all", APP, {"TWOFOLD_EVENT_LOG": url, **settings}, folder / "output")
    service.start()
    try:
        yield service
    finally:
        service.stop()


def counted(phase: Phase) -> tuple[bool, bool]:
    """Whether queries were shed, and whether others were given stale answers."""
    queries = phase.of("query")
    return queries.share(lambda each: each.status == 503) > 0, queries.share(lambda each: each.stale) > 0


@pytest.mark.timeout(180)
async def test_one_process_keeps_its_commands_and_sheds_queries_and_is_normal_soon(tmp_path: Path) -> None:
    with everything_in_one(tmp_path) as service:
        pressed, wrong = await overloaded(service.port, service.port)
    assert not wrong, pressed
    assert counted(pressed) == (True, True), pressed


@pytest.mark.timeout(180)
async def test_services_of_their_own_keep_commands_and_shed_queries_and_are_normal_soon(
    postgres18: PostgresServer, database18: str, tmp_path: Path
) -> None:
    with cluster_on(postgres18, database18.rpartition("/")[2], tmp_path, {}) as cluster:
        cluster.start_all([cluster.service(role, app=APP) for role in ("command", "projector", "query")])
        pressed, wrong = await overloaded(cluster.ports("command")[0], cluster.ports("query")[0])
    assert not wrong, pressed
    assert counted(pressed) == (True, True), pressed


@pytest.mark.timeout(180)
async def test_without_limits_the_same_load_is_found_to_be_wrong(tmp_path: Path) -> None:
    """The proof that the audit can fail."""
    with everything_in_one(tmp_path, TWOFOLD_ADAPTIVE_LIMITS="false") as service:
        pressed, wrong = await overloaded(service.port, service.port)
    assert wrong, pressed
