"""The generated files on a real Docker: from an empty machine to the first command, and through everything that breaks.

Customers are at the gateway all the time. At the end of every story the ledger is audited: nothing is lost, nothing
doubled, every row of every read model is a fold of the log.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.containers.evidence import wrongs
from tests.containers.load import Calls, served, shopping
from tests.containers.project import change_the_event, deploy
from tests.containers.stack import Stack
from tests.system.faults.ledger import Ledger

BACK_WITHIN_S = 10.0


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """One for all stories: they are told on one log."""
    return Ledger()


def in_thread(function: Callable[..., object], *arguments: object) -> "asyncio.Future[object]":
    """Docker is slow, and customers must not wait for it."""
    return asyncio.ensure_future(asyncio.to_thread(function, *arguments))


async def test_one_command_leads_from_an_empty_machine_to_the_first_accepted_command(
    stack: Stack, ledger: Ledger
) -> None:
    async with shopping(stack.port, ledger, seed=1, workers=2) as customers:
        await served(customers, "command", "query", timeout_s=30)
    assert await wrongs(stack, ledger) == []


def test_containers_of_the_application_and_the_gateway_can_change_nothing(stack: Stack) -> None:
    for service in ("command", "query", "projector", "gateway"):
        for each in map(stack.inspect, stack.containers(service)):
            assert each["HostConfig"]["ReadonlyRootfs"], service
            assert each["HostConfig"]["CapDrop"] == ["ALL"], service
            assert each["Config"]["User"] == "10001:10001", service


@pytest.mark.parametrize(
    ("service", "reached"),
    [("command", ["event-log"]), ("query", ["read-store"]), ("projector", ["event-log", "read-store"])],
)
def test_a_service_reaches_the_databases_of_its_role_only(stack: Stack, service: str, reached: list[str]) -> None:
    assert [name for name in ("event-log", "read-store") if stack.reaches(service, name, 5432)] == reached


async def test_commands_go_on_while_the_query_service_is_stopped(stack: Stack, ledger: Ledger) -> None:
    async with shopping(stack.port, ledger, seed=2) as customers:
        await served(customers, "command", "query", timeout_s=30)
        await in_thread(stack.compose, "stop", "query")
        stopped_at = time.monotonic()
        await asyncio.sleep(3)
        gone = Calls(customers.calls).between(stopped_at, time.monotonic())
        await in_thread(stack.compose, "start", "query")
        await in_thread(stack.await_well, "query")
        await served(customers, "query", timeout_s=BACK_WITHIN_S)
    assert Calls(customers.calls).of("command").failures == []
    assert set(gone.of("query").statuses) == {503}
    assert all(each.response and each.response.headers["retry-after"] for each in gone.of("query").all)
    assert await wrongs(stack, ledger) == []


async def test_queries_go_on_while_the_command_service_is_stopped(stack: Stack, ledger: Ledger) -> None:
    async with shopping(stack.port, ledger, seed=3) as customers:
        await served(customers, "command", "query", timeout_s=30)
        await in_thread(stack.compose, "stop", "command")
        stopped_at = time.monotonic()
        await asyncio.sleep(3)
        gone = Calls(customers.calls).between(stopped_at, time.monotonic())
        await in_thread(stack.compose, "start", "command")
        await in_thread(stack.await_well, "command")
        await served(customers, "command", timeout_s=BACK_WITHIN_S)
    assert Calls(customers.calls).of("query").failures == []
    assert set(gone.of("command").statuses) == {503}
    assert await wrongs(stack, ledger) == []


@pytest.mark.parametrize("service", ["command", "query", "projector", "gateway", "event-log", "read-store"])
async def test_a_container_that_is_killed_is_back_by_itself(stack: Stack, ledger: Ledger, service: str) -> None:
    async with shopping(stack.port, ledger, seed=sum(service.encode())) as customers:
        await served(customers, "command", "query", timeout_s=30)
        (container, *others) = await asyncio.to_thread(stack.containers, service)
        await in_thread(stack.kill, container)
        killed_at = time.monotonic()
        await served(customers, "command", "query", timeout_s=BACK_WITHIN_S)
        await in_thread(stack.await_well)
        back_s = time.monotonic() - killed_at
    assert back_s < BACK_WITHIN_S
    if others:  # a replica was left, so nobody has noticed
        assert Calls(customers.calls).failures == []
    assert await wrongs(stack, ledger) == []


async def test_the_command_service_is_scaled_up_and_down_and_no_request_fails(stack: Stack, ledger: Ledger) -> None:
    async with shopping(stack.port, ledger, seed=5) as customers:
        await served(customers, "command", "query", timeout_s=30)
        for count in (3, 1, 2):
            await in_thread(stack.scale, "command", count)
            await in_thread(stack.await_well, "command")
            await asyncio.sleep(2)
    assert Calls(customers.calls).failures == []
    assert await wrongs(stack, ledger) == []


async def test_projectors_are_scaled_during_a_burst_and_every_row_is_right(stack: Stack, ledger: Ledger) -> None:
    async with shopping(stack.port, ledger, seed=6, pause_s=0.0, workers=32, commands_share=0.95) as customers:
        await served(customers, "command", timeout_s=30)
        for count in (4, 1, 2):
            await in_thread(stack.scale, "projector", count)
            await asyncio.sleep(3)
    assert Calls(customers.calls).of("command").failures == []
    assert await wrongs(stack, ledger) == []


async def test_a_new_version_is_rolled_out_and_back_and_no_request_fails(
    stack: Stack, ledger: Ledger, project: Path
) -> None:
    """Sales of the new version have a field more; both versions read both."""
    change_the_event(project)
    words = ("images", "--build", "--offline", "--tag", "1.1.0")
    await asyncio.to_thread(deploy, project, *words, **stack.docker.environment)
    async with shopping(stack.port, ledger, seed=8) as customers:
        await served(customers, "command", "query", timeout_s=30)
        for tag in ("1.1.0", "1.0.0"):
            await in_thread(stack.roll, tag)
            assert await asyncio.to_thread(tags_of, stack) == {tag}
            await asyncio.sleep(2)
    assert Calls(customers.calls).failures == []
    assert await wrongs(stack, ledger) == []
    fields = {"channel" in event["data"] for event in stack.events() if event["type"] == "Sold"}
    assert fields == {True, False}


def tags_of(stack: Stack) -> set[str]:
    found = [each for service in ("command", "query", "projector") for each in stack.containers(service)]
    return {stack.inspect(each)["Config"]["Image"].rpartition(":")[2] for each in found}


@pytest.fixture
def sick(stack: Stack) -> str:
    """The tag of a version whose projectors never get healthy."""
    tag = "1.2.0"
    for service in ("command", "query"):
        stack.docker("tag", f"shop-{service}:1.0.0", f"shop-{service}:{tag}")
    folder = stack.folder.parent / "sick"
    folder.mkdir()
    health = 'HEALTHCHECK --interval=1s --retries=1 CMD ["/venv/bin/python", "-c", "raise SystemExit(1)"]'
    (folder / "Dockerfile").write_text(f"FROM shop-projector:1.0.0\n{health}\n")
    stack.docker("build", "--tag", f"shop-projector:{tag}", folder)
    return tag


async def test_a_version_that_does_not_come_up_is_not_rolled_out(stack: Stack, ledger: Ledger, sick: str) -> None:
    before = await asyncio.to_thread(all_containers, stack)
    async with shopping(stack.port, ledger, seed=9) as customers:
        await served(customers, "command", "query", timeout_s=30)
        with pytest.raises(AssertionError, match="no new container is healthy within 10 seconds; the old ones stay"):
            await in_thread(stack.roll, sick, 10)
    assert await asyncio.to_thread(all_containers, stack) == before
    assert Calls(customers.calls).failures == []
    assert await wrongs(stack, ledger) == []


def test_a_version_without_images_changes_nothing(stack: Stack) -> None:
    before = all_containers(stack)
    with pytest.raises(AssertionError, match=r"shop-command:0\.9\.0 is neither here nor to be pulled"):
        stack.roll("0.9.0")
    assert all_containers(stack) == before


def all_containers(stack: Stack) -> dict[str, set[str]]:
    return {service: set(stack.containers(service)) for service in ("command", "query", "projector", "gateway")}
