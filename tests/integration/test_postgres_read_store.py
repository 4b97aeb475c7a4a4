"""The read store on PostgreSQL beside what only PostgreSQL has: plain SQL, names, rights, locks, other processes."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg
import pytest

from tests.integration.read_stores import NOON, ORDERS, SETTINGS, order, read_store, row_reader
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import PostgresServer
from twofold.errors import StoreError, StoreUnavailableError, UnknownReadModelError, UnknownSchemaError
from twofold.ports import Find
from twofold.settings import Settings
from twofold.stores.postgres.read_store import SCHEMA, PostgresReadStore
from twofold.stores.postgres.row_reader import PostgresRowReader
from twofold.tables import Column, ColumnKind, Table
from twofold.testing.read_store_contract import Worker

TIME_LIMIT_S = 20.0


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresReadStore]:
    async with read_store(database) as store:
        yield store


@pytest.fixture
async def reader(store: PostgresReadStore, database: str) -> AsyncIterator[PostgresRowReader]:
    async with row_reader(database) as reader:
        yield reader


def rows_of(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


# --- values, as others see them --------------------------------------------------------------------------------------


async def test_plain_sql_sees_numbers_times_and_texts(store: PostgresReadStore, database: str) -> None:
    later = datetime(2024, 2, 29, 14, tzinfo=timezone(timedelta(hours=2)))
    await Worker.of(store, ORDERS, order(3), ("o4", "customer 0", later, Decimal("1E+2"), None))
    found = rows_of(database, "select sum(total), max(placed_at) from twofold_read.orders where total > 1")
    assert found == [(Decimal("101.5"), NOON)]
    assert rows_of(database, """select id from twofold_read.orders where "#written" is not null""") == [("o4",)]


async def test_values_survive_whatever_the_database_is_set_to(store: PostgresReadStore, database: str) -> None:
    name = database.rpartition("/")[2]
    for setting in ("timezone = 'Asia/Kolkata'", "datestyle = 'SQL, DMY'", "bytea_output = 'escape'"):
        rows_of(database, f"alter database {name} set {setting}")
    columns = (Column("at", ColumnKind.DATETIME), Column("b", ColumnKind.BYTES), Column("n", ColumnKind.REAL))
    table = Table("Times", "times", columns, ("at",), indexes=(("n",),))
    async with read_store(database) as other, row_reader(database) as reader:
        rows = [(NOON + timedelta(microseconds=at), b"\0\xff'\\", at / 3) for at in range(4)]
        await Worker.of(other, table, *rows)
        assert await reader.find(table, Find({}, ("n",))) == rows
        assert await reader.find(table, Find({}, ("-n",), start_after=rows[2][:1])) == rows[1::-1]
        assert await reader.find(table, Find({}, start_after=rows[2][:1])) == rows[3:]


@pytest.mark.parametrize("number", ["1E+131072", "1E-16384"])
async def test_numbers_beyond_those_of_postgresql_are_refused(store: PostgresReadStore, number: str) -> None:
    worker = await Worker.of(store, ORDERS)
    with pytest.raises(StoreError, match=r"total can't hold.*digits before the point"):
        await worker.save(("o1", "c", NOON, Decimal(number), None))
    await worker.save(("o1", "c", NOON, Decimal("1E+131071"), None), ("o2", "c", NOON, Decimal("1E-16383"), None))
    loaded = await store.load(ORDERS, [("o1",), ("o2",)])
    assert [str(row[3]) for row in loaded.values()] == ["1E+131071", "1E-16383"]


async def test_a_text_too_long_for_an_index_is_refused_in_words(store: PostgresReadStore) -> None:
    worker = await Worker.of(store, ORDERS)
    long = "".join(map(chr, range(0x4E00, 0x4E00 + 9_000)))
    with pytest.raises(StoreError, match=r"Orders: a row is too large.*index"):
        await worker.save(order(1, long))
    assert (await store.checkpoints())["Orders"].position == 0


async def test_search_knows_words_of_any_length_and_number(store: PostgresReadStore, reader: PostgresRowReader) -> None:
    table = dataclasses.replace(ORDERS, indexes=())
    very_long, many = "x" * 3_000, " ".join(f"word{number}" for number in range(20_000))
    await Worker.of(store, table, order(1, very_long), order(2, "x" * 2_999), order(3, many))

    async def found(text: str) -> list[str]:
        return [row[0] for row in await reader.search(table, text, 9)]

    assert await found(very_long) == ["o1"]
    assert await found("x" * 600) == ["o1", "o2"]
    assert await found(" ".join(many.split()[:5_000])) == ["o3"]
    assert await found(" ".join([*many.split()[:5_000], "other"])) == []
    assert await found("word19999") == ["o3"]


async def test_more_different_words_than_postgresql_can_search_are_refused(store: PostgresReadStore) -> None:
    worker = await Worker.of(store, dataclasses.replace(ORDERS, indexes=()))
    with pytest.raises(StoreError, match="more than 1 MB of different words"):
        await worker.save(order(1, " ".join(f"quite-a-long-word{number}" for number in range(100_000))))
    await worker.save(order(1, "same " * 300_000))


# --- names -----------------------------------------------------------------------------------------------------------


async def test_names_that_can_not_be_are_refused_before_anything_is_made(store: PostgresReadStore) -> None:
    system = dataclasses.replace(ORDERS, columns=(*ORDERS.columns, Column("xmin", ColumnKind.TEXT)))
    long = dataclasses.replace(ORDERS, columns=(*ORDERS.columns, Column("c" * 64, ColumnKind.TEXT)))
    refused = {
        "belongs to the store itself": dataclasses.replace(ORDERS, name="twofold_checkpoint"),
        "longer than PostgreSQL's 63 bytes": dataclasses.replace(ORDERS, name="o" * 55),
        "c{64}.* longer": long,
        "xmin": system,
    }
    for reason, table in refused.items():
        with pytest.raises(StoreError, match=reason):
            await store.open(table)
    assert await store.checkpoints() == {}
    longest = dataclasses.replace(ORDERS, name="o" * 54)
    for table in (longest, longest.aside("rebuild")):
        await store.open(table)
    await store.promote(longest.aside("rebuild"), longest)


async def test_rows_of_a_table_renamed_over_and_over_keep_their_indexes(
    store: PostgresReadStore, database: str
) -> None:
    await store.open(ORDERS)
    for _ in range(3):
        await store.open(ORDERS.aside("rebuild"), restart=True)
        await store.promote(ORDERS.aside("rebuild"), ORDERS)
    found = rows_of(database, "select count(*) from pg_indexes where tablename in ('orders', 'orders__former')")
    assert found == [(8,)]


# --- somebody's own SQL ----------------------------------------------------------------------------------------------


async def test_sql_reads_rows_with_named_parameters(store: PostgresReadStore, reader: PostgresRowReader) -> None:
    class Customer(Enum):
        ONE = "customer 1"

    await Worker.of(store, ORDERS, *map(order, range(1, 6)), order(9, "a\0b"))
    text = "select id, total, placed_at from orders where customer = :who and total > :least::numeric order by id"
    found = await reader.sql(text, {"who": Customer.ONE, "least": Decimal(1), "unused": 1})
    assert list(found) == [{"id": "o4", "total": Decimal(2), "placed_at": NOON}]
    assert [row["id"] for row in await reader.sql("select id from orders where note = :note", {"note": "a\0b"})] == [
        "o9"
    ]
    naive = NOON.replace(tzinfo=None)
    assert await reader.sql("select :at = placed_at as same from orders limit 1", {"at": naive}) == [{"same": True}]
    assert await reader.sql("values (1)", {}) == [{"column1": 1}]
    assert await reader.sql("select array_agg(id) ids from orders where id = any(:ids)", {"ids": ["o1", "o2"]}) == [
        {"ids": ["o1", "o2"]}
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("delete from orders", "no statement that reads"),
        ("", "no statement that reads"),
        ("commit", "no statement that reads"),
        ("with gone as (delete from orders returning id) select id from gone", "read-only"),
        ("select id into other from orders", "read-only"),
        ("select 1; delete from orders", "multiple commands"),
        ("select set_config('transaction_read_only', 'off', false)", "read-write"),
        ("select nextval('twofold_epoch')", "read-only"),
        ("select nothing from orders", "nothing"),
        ("select * from nowhere", "nowhere"),
        ("select :missing", "no value for :missing"),
        ("selec 1", "no statement that reads"),
        ("select id from orders where", "syntax"),
        ("select 1/0", "division by zero"),
        ("select :odd", "odd|adapt"),
    ],
)
async def test_sql_that_does_not_read_is_refused_and_changes_nothing(
    store: PostgresReadStore, reader: PostgresRowReader, text: str, reason: str
) -> None:
    await Worker.of(store, ORDERS, order(1))
    with pytest.raises(StoreError, match=reason):
        await reader.sql(text, {"odd": object()} if "odd" in text else {})
    assert await reader.count(ORDERS, {}) == 1
    assert list(await reader.sql("select id from orders", {})) == [{"id": "o1"}]


async def test_what_a_statement_sets_is_gone_with_it(reader: PostgresRowReader) -> None:
    for _ in range(4):
        await reader.sql("select set_config('search_path', 'public', false), set_config('role', 'none', false)", {})
        (row,) = await reader.sql("select current_setting('search_path') as path", {})
        assert row == {"path": "twofold_read"}


async def test_a_statement_that_takes_too_long_is_given_up_and_one_that_nobody_awaits(database: str) -> None:
    settings = Settings(store_timeout_s=0.8)
    async with read_store(database, settings), row_reader(database, settings) as reader:
        started = perf_counter()
        with pytest.raises(StoreUnavailableError):
            await reader.sql("select pg_sleep(60)", {})
        assert perf_counter() - started < 5
        task = asyncio.create_task(reader.sql("select pg_sleep(30), 'unawaited'", {}))
        running = (
            "select count(*) from pg_stat_activity where state = 'active' and query like '%unawaited%' "
            "and pid <> pg_backend_pid()"
        )
        async with asyncio.timeout(TIME_LIMIT_S):
            while rows_of(database, running) != [(1,)]:
                await asyncio.sleep(0.01)
            task.cancel()
            while rows_of(database, running) != [(0,)]:
                await asyncio.sleep(0.01)
        assert list(await reader.sql("select 1 as one", {})) == [{"one": 1}]


# --- rights ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def users(database: str) -> dict[str, str]:
    """URLs of login users, each a member of one role only."""
    name = database.rpartition("/")[2]
    return {kind: database.replace("postgres@", f"{kind}_{name}@") for kind in ("projector", "reader")}


@pytest.fixture
async def granted(users: dict[str, str], database: str) -> AsyncIterator[dict[str, str]]:
    name = database.rpartition("/")[2]
    await SCHEMA.migrate(database, SETTINGS)
    for kind in users:
        rows_of(database, f"create role {kind}_{name} login")
        rows_of(database, f"create role {kind}s_{name} nologin")
        rows_of(database, f"grant {kind}s_{name} to {kind}_{name}")
    projectors, readers = f"projectors_{name}", f"readers_{name}"
    rows_of(database, f"alter schema twofold_read owner to {projectors}")
    ours = "relnamespace = 'twofold_read'::regnamespace and relkind in ('r', 'S')"
    for (table,) in rows_of(database, f"select oid::regclass::text from pg_class where {ours}"):
        rows_of(database, f"alter table {table} owner to {projectors}")
    rows_of(database, f"grant usage on schema twofold_read to {readers}")
    rows_of(database, f"grant select on all tables in schema twofold_read to {readers}")
    rows_of(
        database,
        f"alter default privileges for role {projectors} in schema twofold_read grant select on tables to {readers}",
    )
    yield users
    for kind in users:
        rows_of(database, f"drop owned by {kind}_{name}, {kind}s_{name} cascade")
        rows_of(database, f"drop role {kind}_{name}, {kind}s_{name}")


async def test_any_projector_may_rename_and_drop_what_another_made_and_readers_only_read(
    granted: dict[str, str], database: str
) -> None:
    async with AsyncExitStack() as stack:
        # made by the superuser, who acts as the owner of the schema
        first = await stack.enter_async_context(read_store(database))
        second = await stack.enter_async_context(
            PostgresReadStore.at(granted["projector"], settings=SETTINGS, role="all")
        )
        reader = await stack.enter_async_context(row_reader(granted["reader"]))
        await Worker.of(first, ORDERS, order(1))
        await Worker.of(first, ORDERS.aside("rebuild"), order(1), order(2))
        await second.promote(ORDERS.aside("rebuild"), ORDERS)
        assert await reader.count(ORDERS, {}) == 2
        assert (await reader.checkpoints())["Orders"].position == 1
        assert len(await reader.sql("select id from orders", {})) == 2
        await (await Worker.of(second, ORDERS, order(3))).save(order(4))
        await second.drop("Orders~former")
        await second.open(ORDERS, restart=True)
        await Worker.of(first, ORDERS, order(5))
        for text in ("delete from twofold_read.orders", "update twofold_read.twofold_lease set epoch = 0"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                rows_of(granted["reader"], text)
        assert [row[0] for row in await reader.find(ORDERS, Find({}))] == ["o5"]


async def test_a_database_without_the_schema_is_refused_with_the_command_that_makes_it(database: str) -> None:
    for opening in (
        PostgresReadStore.at(database, settings=SETTINGS, role="all"),
        PostgresRowReader.open(database, settings=SETTINGS, role="all"),
    ):
        with pytest.raises(UnknownSchemaError, match="twofold schema migrate"):
            async with opening:
                pass


async def test_a_database_that_can_not_hold_every_text_is_refused(postgres: PostgresServer, database: str) -> None:
    name = f"{database.rpartition('/')[2]}_latin"
    rows_of(database, f"create database {name} encoding latin1 template template0")
    try:
        with pytest.raises(StoreError, match=r"LATIN1.*UTF8"):
            async with read_store(postgres.url(name)):
                pass
    finally:
        rows_of(database, f"drop database {name} with (force)")


# --- promotion under readers -----------------------------------------------------------------------------------------


async def test_a_promotion_of_other_columns_shows_readers_the_one_or_the_other(database: str) -> None:
    wider = dataclasses.replace(
        ORDERS, columns=(*ORDERS.columns, Column("units", ColumnKind.INTEGER)), fingerprint="columns-2"
    )
    rows = [order(number, "lamp") for number in range(20)]
    async with read_store(database) as store, row_reader(database) as reader, row_reader(database) as newer:
        await Worker.of(store, ORDERS, *rows)
        done = asyncio.Event()

        async def read() -> None:
            while not done.is_set():
                assert len(await reader.find(ORDERS, Find({}, ("-total", "note"), start_after=("o0",)))) in (0, 19)
                assert len(await reader.get(ORDERS, [row[:1] for row in rows])) == 20
                assert len(await reader.search(ORDERS, "lamp", 99)) == 20
                assert await reader.count(ORDERS, {"note": "lamp"}) == 20

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(read())
            for table in (wider, ORDERS, wider):
                side = table.aside("rebuild")
                width = len(table.columns) - len(ORDERS.columns)
                await Worker.of(store, side, *((*row, *[5] * width) for row in rows), restart=True)
                await store.promote(side, table)
            done.set()
        assert (await newer.get(wider, [("o1",)]))[("o1",)][-1] == 5
        assert (await store.checkpoints())["Orders~former"].fingerprint == "columns-1"


async def test_a_query_that_takes_long_holds_up_a_promotion_and_no_other_query(database: str) -> None:
    async with read_store(database) as store, row_reader(database) as reader:
        await Worker.of(store, ORDERS, order(1))
        await Worker.of(store, ORDERS.aside("rebuild"), order(1), order(2))
        with psycopg.connect(database) as long:
            long.execute("select * from twofold_read.orders")
            promotion = asyncio.create_task(store.promote(ORDERS.aside("rebuild"), ORDERS))
            slowest_s = 0.0
            for _ in range(30):
                started = perf_counter()
                assert await reader.count(ORDERS, {}) == 1
                slowest_s = max(slowest_s, perf_counter() - started)
                await asyncio.sleep(0.02)
            assert not promotion.done()
            assert slowest_s < 1.0
            long.rollback()
            await asyncio.wait_for(promotion, TIME_LIMIT_S)
        assert await reader.count(ORDERS, {}) == 2


async def test_a_table_that_is_never_free_ends_a_promotion_in_time_and_nothing_is_changed(database: str) -> None:
    settings = Settings(store_timeout_s=1.0)
    async with read_store(database, settings) as store:
        worker = await Worker.of(store, ORDERS, order(1))
        await store.open(ORDERS.aside("rebuild"))
        with psycopg.connect(database) as long:
            long.execute("select * from twofold_read.orders")
            with pytest.raises(StoreUnavailableError, match="lock"):
                await asyncio.wait_for(store.promote(ORDERS.aside("rebuild"), ORDERS), TIME_LIMIT_S)
        assert set(await store.checkpoints()) == {"Orders", "Orders~rebuild"}
        await worker.save(order(2))


# --- wake-ups --------------------------------------------------------------------------------------------------------


async def test_a_reader_in_another_process_is_woken_also_after_its_connection_was_lost(database: str) -> None:
    settings = Settings(poll_s=30.0)
    async with read_store(database) as store, row_reader(database, settings) as reader:
        worker = await Worker.of(store, ORDERS)
        for number in range(1, 4):
            async with asyncio.timeout(TIME_LIMIT_S):
                await worker.save(order(number))
                while (await reader.checkpoints())["Orders"].position < number:
                    await reader.wait(30.0)
                listening = "query like 'LISTEN%' and datname = current_database()"
                rows_of(database, f"select pg_terminate_backend(pid) from pg_stat_activity where {listening}")
                while not rows_of(database, f"select pid from pg_stat_activity where {listening}"):
                    await asyncio.sleep(0.01)


async def test_a_reader_knows_nothing_of_read_models_that_were_dropped(database: str) -> None:
    async with read_store(database) as store, row_reader(database) as reader:
        await Worker.of(store, ORDERS, order(1))
        assert await reader.count(ORDERS, {}) == 1
        await store.drop("Orders")
        with pytest.raises(UnknownReadModelError):
            await reader.count(ORDERS, {})
        assert await reader.checkpoints() == {}


# --- behind a pooler -------------------------------------------------------------------------------------------------


async def test_both_sides_work_through_pgbouncer_in_transaction_mode(
    postgres18: PostgresServer, database18: str, find_tool: Callable[..., Path]
) -> None:
    await SCHEMA.migrate(database18, SETTINGS)
    with pgbouncer(postgres18, find_tool("pgbouncer"), ["postgres"]) as pooler:
        url = pooler.url(database18.rpartition("/")[2])
        async with read_store(url) as store, row_reader(url) as reader:
            worker = await Worker.of(store, ORDERS, *(order(number, "a lamp") for number in range(5)))
            await worker.save(order(5), deleted=[("o0",)])
            page = await reader.find(ORDERS, Find({}, ("-total",), 2, ("o4",)))
            assert [row[0] for row in page] == ["o3", "o2"]
            assert len(await reader.search(ORDERS, "lamp", 9)) == 4
            assert await reader.sql("select count(*) as n from orders where total > :t", {"t": 1}) == [{"n": 3}]
            await Worker.of(store, ORDERS.aside("rebuild"), order(1))
            await store.promote(ORDERS.aside("rebuild"), ORDERS)
            assert len((await store.lease("w", {"Orders": ""}, 5.0))["Orders"].shares) == 1
            moving = asyncio.create_task((await Worker.of(store, ORDERS)).save(order(9)))
            async with asyncio.timeout(TIME_LIMIT_S):
                while (await reader.checkpoints())["Orders"].position < 2:
                    await reader.wait(TIME_LIMIT_S)
            await moving
