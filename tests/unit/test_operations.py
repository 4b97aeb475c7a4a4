import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from examples.bank import Account, AccountOpened, Deposit, OpenAccount, app
from twofold import Application, ReadModel, Settings, TwofoldError, on
from twofold.errors import UnknownReadModelError, UnknownStreamError
from twofold.messages import RawEvent
from twofold.operations import (
    Operations,
    ReadModelStatus,
    count_by_type,
    event_line,
    events_after,
    events_of,
    findings_about_checkpoints,
    findings_about_clock,
    findings_about_settings,
    findings_about_store,
    findings_about_versions,
    masked,
    stored_read_models,
)
from twofold.ports import Checkpoint
from twofold.stores.reports import StoreReport
from twofold.streams import Position, StreamId
from twofold.testing import RunningSystem, running

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
A_FEW_SECONDS = 5.0


@pytest.fixture
async def system() -> AsyncIterator[RunningSystem]:
    async with running(app) as system:
        yield system


async def open_accounts(system: RunningSystem, number: int) -> None:
    await asyncio.gather(
        *(system.send(OpenAccount(account_id=f"a{each}", owner="ann")) for each in range(1, number + 1))
    )


async def positions(pages: AsyncIterator[Sequence[RawEvent]]) -> list[int]:
    return [stored.position async for page in pages for stored in page]


async def until(operations: Operations, state: str) -> ReadModelStatus:
    """The first status in which the last rebuild is in that state."""
    async with asyncio.timeout(A_FEW_SECONDS):
        while True:
            (status,) = await operations.read_models()
            if status.rebuild and status.rebuild.state == state:
                return status
            await asyncio.sleep(0)


# --- events ---


async def test_events_come_in_order_from_behind_a_position_to_the_head(system: RunningSystem) -> None:
    await open_accounts(system, 5)
    assert await positions(events_after(system.log)) == [1, 2, 3, 4, 5]
    assert await positions(events_after(system.log, 3)) == [4, 5]
    assert await positions(events_after(system.log, 5)) == []


@pytest.mark.parametrize("limit", [0, 1, 3, 9])
async def test_a_limit_bounds_the_events(system: RunningSystem, limit: int) -> None:
    await open_accounts(system, 5)
    assert await positions(events_after(system.log, limit=limit)) == [1, 2, 3, 4, 5][:limit]


async def test_following_waits_at_the_head_for_more(system: RunningSystem) -> None:
    await open_accounts(system, 1)
    pages = events_after(system.log, follow=True)
    assert (await anext(pages))[0].position == 1
    waiting = asyncio.ensure_future(anext(pages))
    await system.send(Deposit(account_id="a1", amount=Decimal(1)))
    assert [stored.position for stored in await asyncio.wait_for(waiting, A_FEW_SECONDS)] == [2]


async def test_a_stream_shows_its_own_events_alone(system: RunningSystem) -> None:
    await open_accounts(system, 2)
    await system.send(Deposit(account_id="a1", amount=Decimal(1)))
    pages = [page async for page in events_of(system.log, StreamId("account", "a1"))]
    assert [(stored.version, stored.type) for page in pages for stored in page] == [
        (1, "AccountOpened"),
        (2, "Deposited"),
    ]


async def test_a_stream_without_events_is_unknown(system: RunningSystem) -> None:
    with pytest.raises(UnknownStreamError, match="account-nobody"):
        await anext(events_of(system.log, StreamId("account", "nobody")))


async def test_events_are_counted_by_type_the_most_frequent_first(system: RunningSystem) -> None:
    await open_accounts(system, 1)
    for _ in range(2):
        await system.send(Deposit(account_id="a1", amount=Decimal(1)))
    seen: list[int] = []
    assert list((await count_by_type(system.log, seen.append)).items()) == [("Deposited", 2), ("AccountOpened", 1)]
    assert seen == [3]


def test_an_event_line_has_the_stored_json_untouched_and_microseconds_always() -> None:
    stored = RawEvent(Position(7), "account-a1", 2, "Deposited", 1, b'{"amount":1.50}', b'{"actor":"ann"}', 0)
    assert msgspec.json.encode(event_line(stored)) == (
        b'{"position":7,"stream":"account-a1","version":2,"type":"Deposited",'
        b'"recorded_at":"1970-01-01T00:00:00.000000+00:00","data":{"amount":1.50},"metadata":{"actor":"ann"}}'
    )


# --- read models ---


async def test_a_read_model_at_the_head_has_no_lag(system: RunningSystem) -> None:
    await open_accounts(system, 3)
    await system.settle()
    assert await Operations(system).read_models() == [
        ReadModelStatus(name="Balance", checkpoint=3, head=3, lag_events=0, lag_s=0.0, state="running")
    ]


async def test_a_paused_read_model_lags_by_events_and_by_the_age_of_the_oldest(system: RunningSystem) -> None:
    operations = Operations(system)
    await operations.pause("Balance")
    await open_accounts(system, 2)
    system.clock.advance(90)
    (status,) = await operations.read_models()
    assert (status.state, status.checkpoint, status.lag_events, status.lag_s) == ("paused", 0, 2, 90.0)
    await operations.resume("Balance")
    await system.settle()
    (status,) = await operations.read_models()
    assert (status.state, status.lag_events) == ("running", 0)


async def test_a_rebuild_ends_at_the_head_and_is_told_of(system: RunningSystem) -> None:
    await open_accounts(system, 3)
    await system.settle()
    operations = Operations(system)
    begun = operations.start_rebuild("Balance")
    assert begun.state == "running"
    assert operations.start_rebuild("Balance") is begun, "one rebuild of a read model at a time"
    status = await until(operations, "done")
    assert status.rebuild
    assert (status.rebuild.position, status.state) == (3, "running")


async def test_what_fails_in_a_rebuild_is_told(system: RunningSystem) -> None:
    await open_accounts(system, 1)
    await system.settle()
    operations = Operations(system)

    async def fails(*_: Any) -> int:
        raise TwofoldError("the disk is full")

    system.rebuild = fails  # type: ignore[method-assign]
    operations.start_rebuild("Balance")
    status = await until(operations, "failed")
    assert status.rebuild
    assert status.rebuild.error == "the disk is full"


async def test_closing_gives_up_a_rebuild(system: RunningSystem) -> None:
    operations = Operations(system)
    rebuild = operations.start_rebuild("Balance")
    await operations.close()
    assert (rebuild.state, rebuild.error) == ("failed", "the process is stopping")


async def test_a_read_model_that_fails_shows_its_error() -> None:
    class Broken(ReadModel, key="account_id"):
        account_id: str

        @on(AccountOpened)
        def opened(self, event: AccountOpened) -> None:
            raise ZeroDivisionError("no")

    async with running(Application("broken", [Account, Broken])) as system:
        await system.send(OpenAccount(account_id="a1", owner="ann"))
        await system.clock.until_sleeping()
        (status,) = await Operations(system).read_models()
        assert status.state == "failed"
        assert "ZeroDivisionError" in str(status.error)


async def test_an_unknown_read_model_is_said_to_be_so(system: RunningSystem) -> None:
    operations = Operations(system)
    with pytest.raises(UnknownReadModelError, match="declared are: Balance"):
        operations.start_rebuild("Nope")
    with pytest.raises(UnknownReadModelError):
        await operations.pause("Nope")
    with pytest.raises(UnknownReadModelError):
        await operations.resume("Nope")


async def test_without_a_running_process_the_stores_tell(system: RunningSystem) -> None:
    await open_accounts(system, 4)
    checkpoints = {
        "Balance": Checkpoint("Balance", Position(1), 1, "", ""),
        "Paused": Checkpoint("Paused", Position(4), 1, "", "", True),
    }
    now = system.clock.now() + timedelta(seconds=2)
    names = ["Balance", "Paused", "New"]
    found = await stored_read_models(names, checkpoints, system.log, now, state="stopped")
    assert [(each.name, each.state, each.checkpoint, each.lag_events, each.lag_s) for each in found] == [
        ("Balance", "stopped", 1, 3, 2.0),
        ("Paused", "paused", 4, 0, 0.0),
        ("New", "stopped", 0, 4, 2.0),
    ]


# --- findings ---

WELL = StoreReport(
    label="event log",
    place="log.db",
    known_schema=2,
    schema=2,
    exists=True,
    writable=True,
    size_bytes=4_096,
    free_bytes=10**12,
)


def statuses(report: StoreReport) -> set[str]:
    return {finding.status for finding in findings_about_store(report)}


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({}, "ok", "up to date"),
        ({"exists": False, "schema": None}, "ok", "not there yet"),
        ({"holder": {"pid": 7, "url": "http://127.0.0.1:1"}}, "ok", "process 7 writes it at http://127.0.0.1:1"),
        ({"schema": 1}, "warn", "older"),
        ({"schema": 3}, "fail", "newer"),
        ({"writable": False}, "fail", "can't be written"),
        ({"error": "the file is damaged", "schema": None}, "fail", "the file is damaged"),
        ({"free_bytes": 500_000_000}, "warn", "500,000,000 bytes free"),
        ({"free_bytes": 1_000_000}, "fail", "1,000,000 bytes free"),
        ({"damage": ["page 3 is torn"]}, "fail", "page 3 is torn"),
        ({"gap": "holds 2 events at positions 1 to 3"}, "fail", "positions 1 to 3"),
    ],
)
def test_what_is_found_about_a_store(change: dict[str, Any], status: str, words: str) -> None:
    found = findings_about_store(dataclasses.replace(WELL, **change))
    assert any(finding.status == status and words in finding.text for finding in found)
    assert all(finding.mend for finding in found if finding.status != "ok"), "each has its cure"
    assert {finding.status for finding in found} <= {"ok", status}


@pytest.mark.parametrize(
    ("checkpoint", "status"),
    [
        (None, "ok"),
        (Checkpoint("Balance", Position(5), 1, "", ""), "ok"),
        (Checkpoint("Balance", Position(6), 1, "", ""), "fail"),
        (Checkpoint("Balance", Position(5), 1, "", "", True), "warn"),
    ],
)
def test_a_read_model_must_not_know_more_than_the_log(checkpoint: Checkpoint | None, status: str) -> None:
    checkpoints = {"Balance": checkpoint} if checkpoint else {}
    assert [finding.status for finding in findings_about_checkpoints(["Balance"], checkpoints, 5)] == [status]


async def test_a_clock_behind_the_last_event_is_a_warning(system: RunningSystem) -> None:
    now = system.clock.now()
    assert [finding.status for finding in await findings_about_clock(system.log, now)] == ["ok"]
    await open_accounts(system, 1)
    (finding,) = await findings_about_clock(system.log, now - timedelta(seconds=60))
    assert (finding.status, "60 seconds" in finding.text) == ("warn", True)


def test_settings_are_told_without_their_secrets() -> None:
    settings = Settings(event_log="postgresql://ann:s3cret@db/shop", http_port=9_000)
    texts = [finding.text for finding in findings_about_settings(settings)]
    assert texts == ["TWOFOLD_EVENT_LOG=postgresql://ann:***@db/shop", "TWOFOLD_HTTP_PORT=9000"]
    assert [finding.text for finding in findings_about_settings(Settings())] == ["all at their defaults"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:s3cret@db/shop", "postgresql://ann:***@db/shop"),
        ("postgresql://ann@db/shop", "postgresql://ann@db/shop"),
        ("sqlite:////data/log.db", "sqlite:////data/log.db"),
    ],
)
def test_a_url_is_shown_without_its_password(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(("sqlite", "findings"), [("3.40.1", 2), ("3.51.2", 2), ("3.51.3", 1), ("4.0.0", 1)])
def test_an_old_sqlite_is_told_of_and_said_to_be_covered(sqlite: str, findings: int) -> None:
    found = findings_about_versions("0.1.0", "3.11.7", sqlite)
    assert [finding.status for finding in found] == ["ok"] * findings
    assert sqlite in found[0].text
