"""The proxy does to connections what the fault tests say it does; a harness that does nothing proves nothing."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import psycopg
import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Lost, Proxy, proxy_to

ADD = "insert into entry values (%s)"


@pytest.fixture
def proxy(postgres18: PostgresServer, database18: str) -> Iterator[Proxy]:
    with psycopg.connect(database18, autocommit=True) as direct:
        direct.execute("create table entry (number int)")
    with proxy_to(postgres18.port) as made:
        yield made


@pytest.fixture
def through(proxy: Proxy, database18: str, postgres18: PostgresServer) -> str:
    return database18.replace(str(postgres18.port), str(proxy.port))


def numbers(database: str) -> list[int]:
    with psycopg.connect(database) as direct:
        return [number for (number,) in direct.execute("select number from entry order by number").fetchall()]


def test_it_passes_what_is_sent_and_answered(proxy: Proxy, through: str) -> None:
    with psycopg.connect(through) as connection:
        assert connection.execute("select 'x' || repeat('y', 500000)").fetchone() == ("x" + "y" * 500_000,)
    assert proxy.accepted == 1


@pytest.mark.parametrize("prepare", [False, True], ids=["plain", "prepared"])
@pytest.mark.parametrize("explicit", [False, True], ids=["by itself", "in a transaction"])
def test_a_lost_reply_is_of_a_transaction_that_has_committed(
    proxy: Proxy, through: str, database18: str, prepare: bool, explicit: bool
) -> None:
    proxy.cut(b"insert into entry", 0, Lost.REPLY)
    with psycopg.connect(through, autocommit=True) as connection:
        connection.execute(ADD, [1], prepare=prepare)
        proxy.cut(b"insert into entry", 1, Lost.REPLY)
        connection.execute("select 1")
        with pytest.raises(psycopg.OperationalError), connection.transaction() if explicit else nullcontext():
            connection.execute(ADD, [2], prepare=prepare)
    assert (proxy.cuts, numbers(database18)) == (1, [1, 2])


def test_a_transaction_rolled_back_is_not_taken_for_a_commit(proxy: Proxy, through: str) -> None:
    proxy.cut(b"insert into entry", 1, Lost.REPLY)
    with psycopg.connect(through) as connection:
        connection.execute(ADD, [1])
        connection.rollback()
        with pytest.raises(psycopg.DataError):
            connection.execute("insert into entry values ('x')")
        connection.rollback()
    assert proxy.cuts == 0


def test_a_lost_request_never_reaches_the_server(proxy: Proxy, through: str, database18: str) -> None:
    proxy.cut(b"insert into entry", 1, Lost.REQUEST)
    with psycopg.connect(through, autocommit=True) as connection, pytest.raises(psycopg.OperationalError):
        connection.execute(ADD, [1])
    assert (proxy.cuts, numbers(database18)) == (1, [])


def test_a_late_request_takes_effect_after_its_client_has_seen_a_reset(
    proxy: Proxy, through: str, database18: str
) -> None:
    proxy.cut(b"insert into entry", 1, Lost.LATE)
    with psycopg.connect(through, autocommit=True) as connection, pytest.raises(psycopg.OperationalError):
        connection.execute(ADD, [1])
    assert numbers(database18) == []
    until = time.monotonic() + 5
    while numbers(database18) != [1]:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(("to_server", "to_client", "arrived"), [(True, False, []), (False, True, [1])])
def test_what_is_held_arrives_when_it_heals(
    proxy: Proxy, through: str, database18: str, to_server: bool, to_client: bool, arrived: list[int]
) -> None:
    with psycopg.connect(through, autocommit=True) as connection, ThreadPoolExecutor(1) as pool:
        proxy.hold(to_server=to_server, to_client=to_client)
        answer = pool.submit(connection.execute, ADD, [1])
        with pytest.raises(TimeoutError):
            answer.result(timeout=0.3)
        assert numbers(database18) == arrived
        proxy.heal()
        answer.result(timeout=5)
    assert numbers(database18) == [1]


def test_new_connections_are_held_too(proxy: Proxy, through: str) -> None:
    proxy.hold()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        psycopg.connect(through, connect_timeout=2)
    proxy.heal()
    psycopg.connect(through).close()


def test_a_reset_ends_every_connection_and_refusing_also_the_new_ones(proxy: Proxy, through: str) -> None:
    with psycopg.connect(through) as connection:
        proxy.reset()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    proxy.refuse()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(through)
    proxy.heal()
    psycopg.connect(through).close()
