"""Connections to PostgreSQL: where they lead, how long they may take, and what their errors mean."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from examples.bank import app as bank
from tests.conftest import FindTool
from tests.integration.postgres_logs import A, deposit, everything, migrated, opened, sql
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import proxy_to
from twofold.errors import (
    CorruptStoreError,
    SettingsError,
    StoreError,
    StoreNotWritableError,
    StoreUnavailableError,
)
from twofold.ports import Appended, Snapshot
from twofold.settings import Role, Settings
from twofold.stores.postgres.connections import Connection, Connections, meaning
from twofold.stores.postgres.target import Target
from twofold.streams import Position
from twofold.wiring import connect, migrate

QUICK = Settings(store_timeout_s=1.0, poll_s=0.05)


@asynccontextmanager
async def connections(url: str, settings: Settings = QUICK, **options: Any) -> AsyncGenerator[Connections]:
    opening = Connections.open(url, label="event log", settings=settings, role="test", component="part", **options)
    async with opening as opened_connections:
        yield opened_connections


async def one(connection: Connection, statement: str) -> Any:
    row = await (await connection.execute(statement.encode())).fetchone()
    return row and row[0]


# --- where they lead ---


def parsed(url: str, **settings: Any) -> Target:
    return Target.parse(url, Settings(**settings), application_name="twofold command append")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///shop",
        "postgresql://localhost/shop",
        "postgresql://127.0.0.7:5432/shop",
        "postgresql://[::1]:5432/shop",
        "postgresql:///shop?host=/var/run/postgresql",
        "postgresql://127.0.0.1:5432,localhost:5433/shop",
    ],
)
def test_on_this_machine_tls_is_as_the_url_says(url: str) -> None:
    assert parsed(url).tls == "on this machine"
    assert "sslmode" not in parsed(url).parameters


def test_beyond_this_machine_the_server_must_prove_who_it_is() -> None:
    target = parsed("postgresql://app@db.example.com/shop")
    assert target.tls == target.parameters["sslmode"] == "verify-full"
    assert target.parameters["sslrootcert"] == "system"
    assert parsed("postgresql://db/shop?sslrootcert=ca.pem").parameters["sslrootcert"] == "ca.pem"
    assert parsed("postgresql://localhost,db/shop").tls == "verify-full"
    assert parsed("postgresql://db/shop?hostaddr=10.0.0.1").tls == "verify-full"


def test_a_setting_asks_for_less_tls_and_the_url_alone_can_not() -> None:
    assert parsed("postgresql://db/shop", postgres_tls="require").parameters["sslmode"] == "require"
    assert parsed("postgresql://db/shop", postgres_tls="off").parameters["sslmode"] == "disable"
    assert parsed("postgresql://db/shop?sslmode=verify-full", postgres_tls="off").parameters["sslmode"] == "verify-full"
    with pytest.raises(SettingsError, match="sslmode=disable and TWOFOLD_POSTGRES_TLS asks for verify-full"):
        parsed("postgresql://db/shop?sslmode=disable")


def test_no_error_and_no_log_has_the_password() -> None:
    secret = "postgresql://app:geheim@db:5432/shop"
    assert parsed(secret).place == "postgresql://db:5432/shop"
    for wrong in (f"{secret}?sslmode=disable", f"{secret}?geheim=1", "postgresql://app:ge%heim@db/shop"):
        with pytest.raises(SettingsError) as caught:
            parsed(wrong)
        assert "heim" not in str(caught.value)
    with pytest.raises(SettingsError, match="no PostgreSQL"):
        parsed("mysql://db/shop")


async def test_every_connection_has_a_name_and_limits_on_both_sides(database: str) -> None:
    async with connections(database) as pool, pool.lend() as connection:
        found = {
            name: await one(connection, f"SELECT current_setting('{name}')")
            for name in ("application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        }
        assert found == {
            "application_name": "twofold test part",
            "statement_timeout": "750ms",
            "lock_timeout": "500ms",
            "idle_in_transaction_session_timeout": "1s",
        }
        parameters = connection.info.get_parameters()
        assert (parameters["keepalives"], parameters["tcp_user_timeout"]) == ("1", "1000")
        assert parameters["connect_timeout"] == "2"
        assert pool.pooled is False


@pytest.mark.parametrize("role", [Role.ALL, Role.COMMAND, Role.QUERY, Role.PROJECTOR])
async def test_each_start_logs_once_what_it_has_opened_as_whom_and_how_it_is_protected(
    database18: str, role: Role
) -> None:
    settings = Settings(event_log=database18)
    await migrate(settings)
    with capture_logs() as logs:
        async with connect(bank, settings, role=role):
            pass
    (told,) = [entry for entry in logs if entry["log_level"] == "info" and entry["event"].startswith("postgres-")]
    assert told["event"] == "postgres-opened"
    assert (told["user"], told["tls"], told["version"][:3]) == ("postgres", "on this machine", "18.")


@pytest.fixture
def other18(postgres18: PostgresServer) -> Iterator[str]:
    postgres18.sql("create database only_read")
    yield postgres18.url("only_read")
    postgres18.sql("drop database only_read with (force)")


async def test_each_of_two_databases_is_logged(database18: str, other18: str) -> None:
    settings = Settings(event_log=database18, read_store=other18)
    await migrate(settings)
    with capture_logs() as logs:
        async with connect(bank, settings):
            pass
    told = [entry["store"].partition(" postgresql")[0] for entry in logs if entry["event"] == "postgres-opened"]
    assert told == ["event log", "read store"]


# --- the pool ---


async def test_the_pool_never_has_more_connections_than_it_may(database18: str) -> None:
    async with connections(database18, size=3) as pool:
        most = 0

        async def work(connection: Connection) -> None:
            nonlocal most
            most = max(
                most, await one(connection, "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ 'part'")
            )

        await asyncio.gather(*(pool.read(work) for _ in range(30)))
        assert most <= 3


async def test_who_gets_no_connection_in_time_is_told(database18: str) -> None:
    async with connections(database18, size=1) as pool, pool.lend():
        with pytest.raises(StoreUnavailableError, match="all of its 1 connections are busy"):
            async with pool.lend(0.05):
                raise AssertionError("there was a second connection")


async def test_an_open_transaction_is_not_lent_to_the_next(database18: str) -> None:
    async with connections(database18, size=1) as pool:
        async with pool.lend() as connection:
            await connection.execute("BEGIN")
            await connection.execute("CREATE TABLE note (text text)")
        assert await pool.read(lambda it: one(it, "SELECT to_regclass('note')")) is None


async def test_a_connection_whose_caller_was_cancelled_is_whole_afterwards(database18: str) -> None:
    async with connections(database18, size=1) as pool:
        await pool.read(lambda it: one(it, "SELECT 1"))
        task = asyncio.create_task(pool.read(lambda it: one(it, "SELECT pg_sleep(10)")))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
        assert await pool.read(lambda it: one(it, "SELECT 7")) == 7


async def test_a_closed_pool_says_so(database18: str) -> None:
    async with connections(database18) as pool:
        pass
    with pytest.raises(StoreUnavailableError, match="it is closed"):
        await pool.read(lambda it: one(it, "SELECT 1"))


# --- faults ---


async def kill_all(url: str) -> None:
    """End every connection of ours to this database; returns when all of them are gone."""
    ours = "FROM pg_stat_activity WHERE application_name LIKE 'twofold%' AND datname = current_database()"
    await sql(url, f"SELECT pg_terminate_backend(pid) {ours}")
    async with asyncio.timeout(5):
        while await sql(url, f"SELECT pid {ours}"):
            await asyncio.sleep(0.005)


async def test_connections_that_the_server_closed_are_not_lent_again(database: str) -> None:
    async with connections(database) as pool:
        for _ in range(5):
            await asyncio.gather(*(pool.read(lambda it: one(it, "SELECT pg_sleep(0.01)")) for _ in range(4)))
            await kill_all(database)
            async with pool.lend() as connection:
                assert await one(connection, "SELECT 1") == 1


async def test_reading_goes_on_when_its_connection_is_killed_under_it(database: str) -> None:
    async with connections(database, Settings()) as pool:
        reading = asyncio.create_task(pool.read(lambda it: one(it, "SELECT pg_sleep(0.3), 5")))
        await asyncio.sleep(0.1)
        await kill_all(database)
        await reading


async def test_a_server_that_answers_nothing_ends_the_call_and_not_the_service(
    database18: str, postgres18: PostgresServer
) -> None:
    with proxy_to(postgres18.port) as proxy:
        url = database18.replace(str(postgres18.port), str(proxy.port))
        async with connections(url) as pool:
            assert await pool.read(lambda it: one(it, "SELECT 1")) == 1
            proxy.hold()
            for _ in range(2):  # on the connection that was there, then on a new one
                started = time.monotonic()
                with pytest.raises(StoreUnavailableError):
                    await pool.read(lambda it: one(it, "SELECT 1"))
                assert time.monotonic() - started < 1.5
            proxy.heal()
            assert await pool.read(lambda it: one(it, "SELECT 2")) == 2


async def test_a_slow_statement_is_ended_by_the_server_before_the_connection_is_cut(database18: str) -> None:
    async with connections(database18) as pool:
        with pytest.raises(StoreUnavailableError, match="statement timeout"):
            async with pool.lend() as connection:
                await connection.execute("SELECT pg_sleep(10)")


async def test_a_server_that_is_not_there_is_unavailable_and_found_when_it_comes(database18: str) -> None:
    async with connections("postgresql://postgres@127.0.0.1:1/x", Settings(store_timeout_s=0.3)) as pool:
        with pytest.raises(StoreUnavailableError, match="no connection"):
            await pool.read(lambda it: one(it, "SELECT 1"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("53100", StoreUnavailableError),  # the disk is full
        ("53300", StoreUnavailableError),  # too many connections
        ("57P01", StoreUnavailableError),  # ended by an administrator
        ("57014", StoreUnavailableError),  # statement timeout
        ("55P03", StoreUnavailableError),  # lock timeout
        ("40P01", StoreUnavailableError),  # deadlock
        ("25006", StoreUnavailableError),  # a standby
        ("25P03", StoreUnavailableError),
        ("08006", StoreUnavailableError),
        ("58030", StoreUnavailableError),
        ("42501", StoreNotWritableError),
        ("XX001", CorruptStoreError),
        ("28P01", StoreError),
        ("3D000", StoreError),
    ],
)
def test_what_postgresql_says_of_the_store_is_said_in_our_words(code: str, kind: type) -> None:
    error = psycopg.errors.lookup(code)("so it is")
    meant = meaning(error, "event log")
    assert type(meant) is kind
    assert code in str(meant)


def test_what_postgresql_says_of_our_statement_is_a_bug() -> None:
    assert meaning(psycopg.errors.SyntaxError("syntax"), "event log") is None
    assert meaning(psycopg.errors.UniqueViolation("twice"), "event log") is None
    assert meaning(psycopg.DataError("no NUL"), "event log") is None


# --- behind PgBouncer ---


async def test_the_event_log_works_through_pgbouncer_in_transaction_mode(
    database: str, postgres: PostgresServer, find_tool: FindTool
) -> None:
    """Without notifications and prepared statements, which it can't have there: whoever waits polls."""
    await migrated(database)
    with pgbouncer(postgres, find_tool("pgbouncer"), ["postgres"]) as bouncer:
        url = bouncer.url(database.rpartition("/")[2])
        with capture_logs() as logs:
            async with opened(url, QUICK) as log, opened(url, QUICK, writable=False) as other:
                waiting = asyncio.create_task(other.wait(Position(0), 5))
                for version in range(20):
                    assert await log.append([deposit(A, version)]) == [Appended(version + 1, Position(version + 1))]
                assert await waiting
                assert len(await everything(other)) == 20
                await log.save_snapshots({A: Snapshot(1, "f", b"{}")})
                assert await asyncio.gather(*(other.head() for _ in range(50))) == [20] * 50
        assert {"postgres-pooler"} <= {entry["event"] for entry in logs}
