"""The generated manifests on a real Kubernetes: from an empty namespace to the first command, and through what breaks.

Customers are at the gateway all the time. At the end of every story the ledger is audited: nothing is lost, nothing
doubled, every row of every read model is a fold of the log.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.containers.evidence import wrongs
from tests.containers.load import Calls, served, shopping
from tests.containers.project import change_the_event, deploy
from tests.kubernetes.deployed import LOOPBACK, Deployed
from tests.system.faults.ledger import Ledger

BACK_WITHIN_S = 10.0
ABSENT_S = 3

customers_of = partial(shopping, host=LOOPBACK, workers=8)


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """One for all stories: they are told on one log."""
    return Ledger()


def in_thread(function: Callable[..., object], *arguments: object) -> "asyncio.Future[object]":
    """kubectl is slow, and customers must not wait for it."""
    return asyncio.ensure_future(asyncio.to_thread(function, *arguments))


async def test_one_apply_leads_from_an_empty_namespace_to_the_first_accepted_command(
    shop: Deployed, ledger: Ledger
) -> None:
    async with customers_of(shop.port, ledger, seed=1) as customers:
        await served(customers, "command", "query", timeout_s=30)
    assert await wrongs(shop, ledger) == []


@pytest.mark.parametrize(("gone", "stays"), [("query", "command"), ("command", "query")])
async def test_one_side_goes_on_while_the_other_has_no_pods(
    shop: Deployed, ledger: Ledger, gone: str, stays: str
) -> None:
    async with customers_of(shop.port, ledger, seed=len(gone) * 10) as customers:
        await served(customers, "command", "query", timeout_s=30)
        await in_thread(shop.scale, gone, 0)
        await in_thread(shop.await_gone, gone)
        emptied_at = time.monotonic()
        await asyncio.sleep(ABSENT_S)
        meanwhile = Calls(customers.calls).between(emptied_at, time.monotonic())
        await in_thread(shop.scale, gone, 2)
        await in_thread(shop.await_ready, gone, 2)
        await served(customers, gone, timeout_s=BACK_WITHIN_S)
    assert Calls(customers.calls).of(stays).failures == []
    assert set(meanwhile.of(gone).statuses) == {503}
    assert all(each.response and each.response.headers["retry-after"] for each in meanwhile.of(gone).all)
    assert await wrongs(shop, ledger) == []


@pytest.mark.parametrize("component", ["command", "query", "projector"])
async def test_a_pod_that_is_deleted_is_replaced_and_no_request_fails(
    shop: Deployed, ledger: Ledger, component: str
) -> None:
    async with customers_of(shop.port, ledger, seed=sum(component.encode())) as customers:
        await served(customers, "command", "query", timeout_s=30)
        await in_thread(shop.delete_pod, component)
        await in_thread(shop.await_ready, component, 2)
        await served(customers, "command", "query", timeout_s=BACK_WITHIN_S)
    assert Calls(customers.calls).failures == []
    assert await wrongs(shop, ledger) == []


@pytest.mark.parametrize("component", ["command", "query", "projector", "gateway", "event-log", "read-store"])
async def test_a_container_that_is_killed_is_back_by_itself(shop: Deployed, ledger: Ledger, component: str) -> None:
    """Some requests fail: until its probe has failed, the cluster sends the gateway to the dead one as well."""
    async with customers_of(shop.port, ledger, seed=100 + sum(component.encode())) as customers:
        await served(customers, "command", "query", timeout_s=30)
        count = len(await asyncio.to_thread(shop.pods, component))
        await in_thread(shop.kill, component)
        await served(customers, "command", "query", timeout_s=BACK_WITHIN_S)
        await in_thread(shop.await_ready, component, count)
    assert await wrongs(shop, ledger) == []


async def test_the_command_service_is_scaled_up_and_down_and_no_request_fails(shop: Deployed, ledger: Ledger) -> None:
    async with customers_of(shop.port, ledger, seed=5) as customers:
        await served(customers, "command", "query", timeout_s=30)
        for count in (3, 1, 2):
            await in_thread(shop.scale, "command", count)
            await in_thread(shop.await_ready, "command", count)
            await asyncio.sleep(2)
    assert Calls(customers.calls).failures == []
    assert await wrongs(shop, ledger) == []


async def test_projectors_are_scaled_during_a_burst_and_every_row_is_right(shop: Deployed, ledger: Ledger) -> None:
    async with customers_of(shop.port, ledger, seed=6, pause_s=0.0, commands_share=0.95) as customers:
        await served(customers, "command", timeout_s=30)
        for count in (4, 1, 2):
            await in_thread(shop.scale, "projector", count)
            await in_thread(shop.await_ready, "projector", count)
    assert Calls(customers.calls).of("command").failures == []
    assert await wrongs(shop, ledger) == []


async def test_a_new_version_is_rolled_out_and_undone_and_no_request_fails(shop: Deployed, ledger: Ledger) -> None:
    """Sales of the new version have a field more; both versions read both."""
    await in_thread(build_next_version, shop)
    async with customers_of(shop.port, ledger, seed=8) as customers:
        await served(customers, "command", "query", timeout_s=30)
        for step, tag in ((partial(shop.apply, "1.1.0"), "1.1.0"), (shop.undo, "1.0.0")):
            await in_thread(step)
            await in_thread(shop.await_rollout)
            assert await asyncio.to_thread(shop.tags) == {tag}
            await asyncio.sleep(2)
    assert Calls(customers.calls).failures == []
    assert await wrongs(shop, ledger) == []
    fields = {"channel" in event["data"] for event in shop.events() if event["type"] == "Sold"}
    assert fields == {True, False}


def build_next_version(shop: Deployed) -> None:
    change_the_event(shop.folder)
    words = ("images", "--build", "--offline", "--tag", "1.1.0")
    deploy(shop.folder, *words, **shop.cluster.docker.environment)


def test_a_dump_of_the_log_is_taken_in_its_pod(shop: Deployed, tmp_path: Path) -> None:
    """As docs/how-to/back-up-and-restore-postgresql.md has it."""
    words = ("pg_dump", "--username=postgres", "--format=plain", "shop")
    dump = shop.kubectl("exec", "statefulset/shop-event-log", "--container", "postgres", "--", *words)
    assert "COPY twofold_log.event " in dump


def test_a_projector_says_how_far_read_models_are(shop: Deployed) -> None:
    words = ("/venv/bin/python", "-m", "twofold", "read-models", "list")
    assert "running" in shop.kubectl("exec", "deployment/shop-projector", "--", *words)
