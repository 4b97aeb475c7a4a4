import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.operations.conftest import open_accounts
from twofold import Settings
from twofold.operations.findings import (
    findings_about_checkpoints,
    findings_about_clock,
    findings_about_server,
    findings_about_settings,
    findings_about_store,
    findings_about_versions,
)
from twofold.ports import Checkpoint
from twofold.settings import masked
from twofold.stores.reports import ServerFacts, ServerReport, StoreReport
from twofold.streams import Position
from twofold.testing import RunningSystem

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


DATABASE = StoreReport(
    label="event log",
    place="postgresql://db/shop",
    known_schema=2,
    schema=2,
    exists=True,
    size_bytes=4_096,
    made_by_hand=True,
)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({}, "ok", "up to date"),
        ({"exists": False, "schema": None}, "fail", "is not there"),
        ({"schema": 1}, "fail", "older"),
        ({"schema": 3}, "fail", "newer"),
        ({"error": "event log postgresql://db/shop: no connection", "schema": None}, "fail", "no connection"),
    ],
)
def test_what_is_found_about_a_store_on_a_server(change: dict[str, Any], status: str, words: str) -> None:
    found = findings_about_store(dataclasses.replace(DATABASE, **change))
    assert any(finding.status == status and words in finding.text for finding in found)
    assert all(finding.mend for finding in found if finding.status != "ok"), "each has its cure"
    assert {finding.status for finding in found} <= {"ok", status}
    assert not any("disk" in finding.text for finding in found), "the server's disk is not this machine's"


SERVER = ServerReport(
    label="event log",
    place="postgresql://db/shop",
    facts=ServerFacts(
        version="18.1",
        version_number=180_001,
        user="shop",
        standby=False,
        encoding="UTF8",
        tls="TLSv1.3",
        connections=10,
        most_connections=100,
        fsync="on",
        full_page_writes="on",
        synchronous_commit="on",
        autovacuum="on",
        idle_transaction_s=0.0,
        now_s=0.0,
    ),
    pooled=False,
    ahead_s=0.1,
)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({}, "ok", "PostgreSQL 18.1"),
        ({"version_number": 140_009}, "fail", "PostgreSQL"),
        ({"standby": True}, "fail", "a standby"),
        ({"encoding": "SQL_ASCII"}, "fail", "SQL_ASCII"),
        ({"connections": 90}, "warn", "90 of 100 connections"),
        ({"fsync": "off"}, "warn", "fsync is off"),
        ({"full_page_writes": "off"}, "warn", "full_page_writes is off"),
        ({"synchronous_commit": "off"}, "warn", "synchronous_commit is off"),
        ({"autovacuum": "off"}, "warn", "autovacuum is off"),
        ({"idle_transaction_s": 700.0}, "warn", "idle for 700 seconds"),
    ],
)
def test_what_is_found_about_a_server(change: dict[str, Any], status: str, words: str) -> None:
    report = dataclasses.replace(SERVER, facts=dataclasses.replace(SERVER.facts, **change))
    found = findings_about_server(report, "verify-full")
    assert any(finding.status == status and words in finding.text for finding in found)
    assert all(finding.mend for finding in found if finding.status != "ok"), "each has its cure"
    assert {finding.status for finding in found} <= {"ok", status}


@pytest.mark.parametrize(
    ("change", "postgres_tls", "words"),
    [
        ({"could": ("UPDATE", "DELETE")}, "verify-full", "could change events (UPDATE, DELETE)"),
        ({"ahead_s": -7.2}, "verify-full", "-7 seconds from this machine's"),
        ({}, "require", "TWOFOLD_POSTGRES_TLS=require does not check"),
        ({}, "off", "TWOFOLD_POSTGRES_TLS=off does not check"),
    ],
)
def test_what_is_warned_of_about_a_server(change: dict[str, Any], postgres_tls: str, words: str) -> None:
    found = findings_about_server(dataclasses.replace(SERVER, **change), postgres_tls)
    assert [finding.status for finding in found if words in finding.text] == ["warn"]


def test_a_pooler_before_the_server_is_told_of() -> None:
    found = findings_about_server(dataclasses.replace(SERVER, pooled=True), "verify-full")
    assert "behind a pooler" in found[0].text


@pytest.mark.parametrize(
    ("checkpoint", "status"),
    [
        (None, "ok"),
        (Checkpoint("Balance", (Position(5),), "", ""), "ok"),
        (Checkpoint("Balance", (Position(6),), "", ""), "fail"),
        (Checkpoint("Balance", (Position(4), Position(6)), "", ""), "fail"),
        (Checkpoint("Balance", (Position(5),), "", "", error="thirteen"), "warn"),
        (Checkpoint("Balance", (Position(5),), "", "", True), "warn"),
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
        ("postgresql://db/shop?password=s3cret&x=1", "postgresql://db/shop?password=***&x=1"),
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
