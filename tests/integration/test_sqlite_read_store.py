"""The read store on SQLite beside real files, processes and faults."""

import asyncio
import dataclasses
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from twofold.errors import (
    CorruptStoreError,
    ForeignStoreError,
    StoreError,
    StoreInUseError,
    StoreNotWritableError,
    StoreUnavailableError,
    UnknownSchemaError,
)
from twofold.ports import Find, Fold
from twofold.stores.sqlite.connections import open_reader
from twofold.stores.sqlite.inspection import inspect
from twofold.stores.sqlite.read_store import SCHEMA, SqliteReadStore
from twofold.stores.sqlite.row_reader import SqliteRowReader
from twofold.stores.sqlite.table_reader import TableReader
from twofold.streams import Position
from twofold.tables import Column, ColumnKind, Row, Table
from twofold.testing.read_store_contract import Worker

COUNTS = Table("Counts", "counts", (Column("name", ColumnKind.TEXT), Column("position", ColumnKind.INTEGER)), ("name",))
NAMES = [f"row {number}" for number in range(20)]

ORDERS = Table(
    "Orders",
    "orders",
    (
        Column("id", ColumnKind.TEXT),
        Column("customer", ColumnKind.TEXT),
        Column("placed_at", ColumnKind.DATETIME),
        Column("total", ColumnKind.DECIMAL),
        Column("note", ColumnKind.TEXT),
    ),
    ("id",),
    indexes=(("customer", "placed_at"), ("total",), ("note", "total")),
    search=("note",),
)
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def order(number: int, note: str | None = None) -> Row:
    return (f"o{number}", f"customer {number % 3}", NOON, Decimal(number) / 2, note)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "read.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteReadStore]:
    async with SqliteReadStore.at(path) as store:
        yield store


@pytest.fixture
async def reader(store: SqliteReadStore, path: Path) -> AsyncIterator[SqliteRowReader]:
    async with SqliteRowReader.open(path) as reader:
        yield reader


async def opened(path: Path) -> None:
    async with SqliteReadStore.at(path):
        pass


async def counted(path: Path) -> int:
    """Where the checkpoint of COUNTS stands; every row holds the same number, or the store is broken."""
    async with SqliteReadStore.at(path) as store, SqliteRowReader.open(path) as reader:
        position = (await store.open(COUNTS)).position
        rows = await reader.find(COUNTS, Find({}))
        assert {row[1] for row in rows} == ({position} if position else set())
        return position


# --- files that are not what they should be --------------------------------------------------------------------------


async def test_a_file_that_is_no_database_is_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"not a database, " * 1000)
    with pytest.raises(CorruptStoreError, match=r"read\.db"):
        await opened(path)
    assert path.read_bytes() == b"not a database, " * 1000


async def test_a_database_of_something_else_is_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(ForeignStoreError, match="a file of its own"):
        await opened(path)
    assert path.read_bytes() == before


async def test_a_file_of_a_newer_release_is_left_as_it_is(path: Path) -> None:
    await opened(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for use in (opened(path), SqliteRowReader.open(path).__aenter__()):
        with pytest.raises(UnknownSchemaError, match="99"):
            await use


async def test_a_damaged_page_is_reported_and_not_repaired(path: Path) -> None:
    async with SqliteReadStore.at(path) as store:
        await Worker.of(store, COUNTS, *((f"{number:0500}", number) for number in range(200)))
    damaged = bytearray(path.read_bytes())
    for page in range(4, len(damaged) // 4096):
        damaged[page * 4096 : page * 4096 + 100] = random.Random(page).randbytes(100)
    path.write_bytes(damaged)
    async with SqliteReadStore.at(path) as store:
        with pytest.raises(CorruptStoreError, match=r"read\.db"):
            await store.load(COUNTS, [(f"{number:0500}",) for number in range(200)])


async def test_reading_a_file_that_is_not_there_says_so(path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="does not exist"):
        async with SqliteRowReader.open(path):
            pass
    assert not path.exists()


def open_as_nobody(path: Path) -> None:
    if os.geteuid() == 0:  # root may write everywhere
        os.setuid(65_534)
    try:
        asyncio.run(opened(path))
    except StoreNotWritableError:
        os._exit(42)


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())  # not tmp_path, whose parents only its owner may enter
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_can_not_be_written_is_reported(locked_folder: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=open_as_nobody, args=(locked_folder / "read.db",))
    process.start()
    process.join(20)
    assert process.exitcode == 42
    assert not list(locked_folder.iterdir())


async def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreNotWritableError, match="make the folder"):
        await opened(tmp_path / "nowhere" / "read.db")


# --- one writer ------------------------------------------------------------------------------------------------------


async def test_a_second_writer_is_refused_and_the_first_goes_on(store: SqliteReadStore, path: Path) -> None:
    worker = await Worker.of(store, COUNTS)
    with pytest.raises(StoreInUseError, match=str(os.getpid())):
        await opened(path)
    await worker.save(("a", 1))


@pytest.mark.parametrize("name", ["sqlite_mine", "twofold_checkpoint", "TWOFOLD_other"])
async def test_a_table_can_not_have_a_name_of_the_store_s_own(store: SqliteReadStore, name: str) -> None:
    with pytest.raises(StoreError, match="another name"):
        await store.open(Table("Mine", name, COUNTS.columns, COUNTS.key))


async def test_the_store_waits_for_no_disk_at_a_commit_and_the_wal_is_used(store: SqliteReadStore) -> None:
    settings = await store._run(
        lambda connection: [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")
        ]
    )
    assert settings == [1, "wal"]


# --- faults ----------------------------------------------------------------------------------------------------------


async def test_a_full_disk_loses_nothing_and_is_left_behind_when_there_is_room(
    store: SqliteReadStore, reader: SqliteRowReader
) -> None:
    worker = await Worker.of(store, COUNTS, ("a", 1))

    def allow_pages(connection: sqlite3.Connection, pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await store._run(lambda connection: allow_pages(connection, 20))
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        await worker.save(*((f"{number:01000}", number) for number in range(1000)), deleted=[("a",)])
    assert await reader.find(COUNTS, Find({})) == [("a", 1)]
    assert (await store.checkpoints())["Counts"].position == 1
    await store._run(lambda connection: allow_pages(connection, 1_000_000))
    await worker.save(*((f"{number:01000}", number) for number in range(1000)), deleted=[("a",)])
    assert await reader.count(COUNTS, {}) == 1000


FOLDER = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_sqlite_read_store import COUNTS, NAMES
from twofold.stores.sqlite.read_store import SqliteReadStore
from twofold.testing.read_store_contract import Worker

async def main():
    async with SqliteReadStore.at(Path(sys.argv[1])) as store:
        worker = await Worker.of(store, COUNTS)
        print("open", flush=True)
        for _ in range(1_000_000):
            through = worker.position + 1
            await worker.save(*((name, through) for name in NAMES))

asyncio.run(main())
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_rows_and_checkpoint_agree_after_a_process_was_killed_between_or_amid_saves(path: Path) -> None:
    chance, positions = random.Random(5), [0]
    for _ in range(6):
        with start(FOLDER, str(path)) as process:
            assert process.stdout
            assert await asyncio.to_thread(process.stdout.readline) == "open\n"
            await asyncio.sleep(chance.uniform(0.01, 0.2))
            process.send_signal(signal.SIGKILL)
        positions.append(await counted(path))
    assert positions == sorted(positions)
    assert positions[-1] > 0


async def test_rows_and_checkpoint_agree_after_a_power_cut_lost_the_end_of_the_log(path: Path, tmp_path: Path) -> None:
    """What a power cut leaves under synchronous = NORMAL: the WAL up to some byte."""
    found: set[int] = set()
    async with SqliteReadStore.at(path) as store:
        worker = await Worker.of(store, COUNTS)
        for position in range(1, 30):
            await worker.save(*((name, position) for name in NAMES))
        wal = Path(f"{path}-wal")
        chance = random.Random(7)
        for number, size in enumerate([wal.stat().st_size, *(chance.randrange(wal.stat().st_size) for _ in range(12))]):
            copy = tmp_path / f"copy{number}.db"
            shutil.copy(path, copy)
            Path(f"{copy}-wal").write_bytes(wal.read_bytes()[:size])
            found.add(await counted(copy))
    assert max(found) == 29
    assert len(found) > 5


READER = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_sqlite_read_store import COUNTS, NAMES
from twofold.ports import Find, Fold
from twofold.stores.sqlite.row_reader import SqliteRowReader

async def main():
    seen = 0
    async with SqliteRowReader.open(Path(sys.argv[1])) as reader:
        print("open", flush=True)
        while seen < 200:
            rows = await reader.find(COUNTS, Find({}))
            (now,) = {row[1] for row in rows}
            assert len(rows) == len(NAMES) and now >= seen, rows
            seen = now
    print("seen", seen, flush=True)

asyncio.run(asyncio.wait_for(main(), 20))
"""


async def test_readers_in_another_process_see_every_save_whole_and_in_order(store: SqliteReadStore, path: Path) -> None:
    worker = await Worker.of(store, COUNTS, *((name, 1) for name in NAMES))
    with start(READER, str(path)) as process:
        assert process.stdout
        assert await asyncio.to_thread(process.stdout.readline) == "open\n"
        for position in range(2, 201):
            await worker.save(*((name, position) for name in NAMES))
        assert await asyncio.to_thread(process.stdout.readline) == "seen 200\n"


async def test_closing_finishes_what_was_asked_for(path: Path) -> None:
    async with SqliteReadStore.at(path) as store:
        worker = await Worker.of(store, COUNTS)
        save = asyncio.create_task(worker.save(*((name, 1) for name in NAMES)))
        await asyncio.sleep(0)
    await save
    assert await counted(path) == 1
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.checkpoints()


async def test_a_save_whose_caller_is_gone_is_done_whole(store: SqliteReadStore, reader: SqliteRowReader) -> None:
    worker = await Worker.of(store, COUNTS)
    save = asyncio.create_task(worker.save(*((name, 1) for name in NAMES)))
    await asyncio.sleep(0)
    save.cancel()
    with pytest.raises(asyncio.CancelledError):
        await save
    assert (await store.checkpoints())["Counts"].position == 1
    assert await reader.count(COUNTS, {}) == len(NAMES)


# --- query plans -----------------------------------------------------------------------------------------------------


def plan(path: Path, table: Table, find: Find) -> str:
    """How SQLite goes about the statement that a find runs."""
    with closing(open_reader(path, SCHEMA)) as connection:
        connection.create_collation("twofold_decimal", lambda one, other: (one > other) - (one < other))
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        TableReader("store", table).find(connection, find)
        connection.set_trace_callback(None)
        (select,) = (each for each in statements if "SELECT" in each)
        return "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {select}"))


@pytest.mark.parametrize(
    ("equals", "columns"),
    [
        ({"id": "o1"}, "PRIMARY KEY (id=?)"),
        ({"customer": "x"}, "/customer,placed_at (customer=?)"),
        ({"customer": None}, "/customer,placed_at (customer=?)"),
        ({"customer": "x", "placed_at": NOON}, "/customer,placed_at (customer=? AND <expr>=?)"),
        ({"total": Decimal("1.5")}, "/total (<expr>=?)"),
        ({"note": "x", "total": Decimal(1)}, "/note,total (note=? AND <expr>=?)"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_finding_by_the_columns_of_an_index_uses_it(
    store: SqliteReadStore, path: Path, equals: dict[str, Any], columns: str
) -> None:
    await store.open(ORDERS)
    assert columns in plan(path, ORDERS, Find(equals))
    assert "SCAN orders" not in plan(path, ORDERS, Find(equals))


async def test_an_index_gives_the_order_of_its_next_column_and_of_the_key(store: SqliteReadStore, path: Path) -> None:
    await store.open(ORDERS)
    for order_by in ((), ("id",), ("-id",)):
        assert "TEMP B-TREE" not in plan(path, ORDERS, Find({}, order_by, limit=10))
    assert "TEMP B-TREE" not in plan(path, ORDERS, Find({"customer": "x"}, ("placed_at",), limit=10))
    # A REAL decides between decimals nearly always: sorted are only those that are the same as one.
    assert "LAST TERM OF ORDER BY" in plan(path, ORDERS, Find({}, ("total",), limit=10)).replace(
        "RIGHT PART", "LAST TERM"
    )


async def test_a_later_page_in_the_order_of_the_key_is_looked_up_and_not_counted_off(
    store: SqliteReadStore, path: Path
) -> None:
    await store.open(ORDERS)
    with closing(open_reader(path, SCHEMA)) as connection:
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        TableReader("store", ORDERS).find(connection, Find({}, limit=10, start_after=("o5",)))
        select = next(each for each in statements if "LIMIT" in each)
        connection.set_trace_callback(None)
        plans = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {select}")]
    assert any("SEARCH orders USING PRIMARY KEY (id>?)" in each for each in plans), plans


# --- SQL of the application's own ------------------------------------------------------------------------------------


@pytest.fixture
async def orders(store: SqliteReadStore) -> None:
    await Worker.of(store, ORDERS, *(order(number, f"note {number}") for number in range(6)))


@pytest.mark.usefixtures("orders")
async def test_sql_reads_with_bound_parameters(reader: SqliteRowReader) -> None:
    text = "SELECT customer, count(*) AS n, sum(total) AS total FROM orders WHERE placed_at = :at GROUP BY customer"
    rows = await reader.sql(f"{text} ORDER BY total DESC LIMIT :limit", {"at": NOON, "limit": 2})
    assert rows == [{"customer": "customer 2", "n": 2, "total": 3.5}, {"customer": "customer 1", "n": 2, "total": 2.5}]
    assert await reader.sql("WITH some(x) AS (VALUES (1), (2)) SELECT x FROM some", {}) == [{"x": 1}, {"x": 2}]
    assert await reader.sql("SELECT id FROM orders WHERE id = 'nowhere'", {}) == []


@pytest.mark.usefixtures("orders")
async def test_sql_parameters_are_written_as_columns_hold_them(reader: SqliteRowReader) -> None:
    values = {"a": True, "b": Decimal("1.50"), "c": NOON, "d": NOON.date(), "e": UUID(int=1), "f": None, "g": b"x"}
    (row,) = await reader.sql("SELECT :a AS a, :b AS b, :c AS c, :d AS d, :e AS e, :f AS f, :g AS g", values)
    assert row == {
        "a": 1,
        "b": "1.50",
        "c": "2024-02-29T12:00:00.000000Z",
        "d": "2024-02-29",
        "e": "00000000-0000-0000-0000-000000000001",
        "f": None,
        "g": b"x",
    }
    found = await reader.sql(
        "SELECT id FROM orders WHERE placed_at = :at AND total = :total", {"at": NOON, "total": Decimal("1.5")}
    )
    assert found == [{"id": "o3"}]


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM orders",
        "INSERT INTO orders (id) VALUES ('x')",
        "UPDATE twofold_checkpoint SET position = 0 RETURNING position",
        "DROP TABLE orders",
        "CREATE TEMP TABLE mine (x)",
        "SELECT 1; SELECT 2",
        "SELECT 1; DELETE FROM orders",
        "PRAGMA query_only = OFF",
        "PRAGMA user_version",
        "ATTACH DATABASE ':memory:' AS other",
        "BEGIN",
        "VACUUM INTO 'elsewhere.db'",
        "",
        "-- nothing",
        "nonsense",
        "SELECT * FROM nowhere",
        "SELECT load_extension('x')",
        "SELECT ?",
        "SELECT :missing",
        "SELECT 'lone \ud800'",
        "SELECT '\0'",
    ],
)
async def test_sql_that_does_not_read_is_refused(reader: SqliteRowReader, text: str) -> None:
    with pytest.raises(StoreError, match=r"refused|no statement"):
        await reader.sql(text, {})
    assert await reader.count(ORDERS, {}) == 6
    assert await reader.sql("SELECT 1 AS one", {}) == [{"one": 1}]


async def test_sql_parameters_that_sqlite_can_not_take_are_refused(reader: SqliteRowReader) -> None:
    for value in (2**64, object(), ["list"]):
        with pytest.raises(StoreError, match="refused"):
            await reader.sql("SELECT :x", {"x": value})


ENDLESS = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


async def test_sql_that_runs_on_and_on_is_interrupted_and_holds_nobody_up(store: SqliteReadStore, path: Path) -> None:
    async with SqliteRowReader.open(path, statement_timeout_s=0.5) as reader:
        await Worker.of(store, ORDERS, order(1))
        endless = [asyncio.create_task(reader.sql(ENDLESS, {})) for _ in range(2)]
        assert await reader.count(ORDERS, {}) == 1
        for each in endless:
            with pytest.raises(StoreUnavailableError, match=r"longer than 0\.5 s"):
                await each
        assert await reader.sql("SELECT count(*) AS n FROM orders", {}) == [{"n": 1}]


async def test_sql_that_nobody_waits_for_any_more_is_interrupted(reader: SqliteRowReader) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.gather(*(reader.sql(ENDLESS, {}) for _ in range(2)))
    async with asyncio.timeout(5):
        assert await reader.sql("SELECT 1 AS one", {}) == [{"one": 1}]


async def test_the_full_text_index_stays_in_step_with_the_rows(store: SqliteReadStore, path: Path) -> None:
    worker, chance = await Worker.of(store, ORDERS), random.Random(3)
    for _ in range(60):
        rows = [order(number, chance.choice([None, "", "red lamp", "blue lamp ", "lamp lamp"])) for number in range(8)]
        await worker.save(*chance.sample(rows, 4), deleted=[(f"o{chance.randrange(8, 12)}",)])
        await worker.save(deleted=[(f"o{chance.randrange(8)}",)])
    generation = await store._run(lambda db: db.execute("SELECT generation FROM twofold_read_model").fetchone()[0])
    search = f'"{generation}/search"'
    # Raises when the index differs from the words that it indexes.
    await store._run(lambda db: db.execute(f"INSERT INTO {search} ({search}, rank) VALUES ('integrity-check', 1)"))
    words = f'"{generation}/words"'
    rows, entries = await store._run(
        lambda db: [db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("orders", words)]
    )
    assert rows == entries


async def test_tables_that_are_gone_leave_nothing_behind(store: SqliteReadStore) -> None:
    rebuild, former = ORDERS.aside("rebuild"), ORDERS.aside("former")
    for _ in range(3):
        await Worker.of(store, ORDERS, order(1, "lamp"), restart=True)
        await Worker.of(store, rebuild, order(1, "lamp"))
        await store.promote(rebuild, ORDERS)
        await store.promote(former, ORDERS)
    await store.drop(former.read_model)
    names: list[str] = await store._run(
        lambda db: [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")]
    )
    generations = {name.partition("/")[0] for name in names if "/" in name}
    assert len(generations) == 1
    own = {"twofold_read_model", "twofold_checkpoint", "twofold_epoch"}
    assert {name for name in names if "/" not in name} == {"orders", *own}


# --- leases ----------------------------------------------------------------------------------------------------------

SPREAD = dataclasses.replace(COUNTS, partitions=3)


async def test_leasing_writes_only_when_a_partition_changes_hands(store: SqliteReadStore) -> None:
    await store.open(SPREAD)

    def changes(connection: sqlite3.Connection) -> int:
        return connection.total_changes

    await store.lease("a", {"Counts": ""}, 5.0)
    before = await store._run(changes)
    for error in ("", "", "can't fold event 7", ""):
        await store.lease("a", {"Counts": error}, 5.0)
        await store.lease("b", {"Other": ""}, 5.0)
        await store.seize("a", "Counts", 5.0)
    assert await store._run(changes) == before
    await store.release("a")
    assert await store._run(changes) == before
    await store.lease("b", {"Counts": ""}, 5.0)
    assert await store._run(changes) > before


async def test_a_new_process_takes_everything_under_newer_epochs(path: Path) -> None:
    newest, position = 0, 0
    for number in range(3):
        async with SqliteReadStore.at(path) as store:
            checkpoint = await store.open(SPREAD)
            assert (checkpoint.positions, checkpoint.holders) == ((position,) * 3, ("",) * 3)
            shares = (await store.lease(f"process {number}", {"Counts": ""}, 5.0))["Counts"].shares
            assert min(share.epoch for share in shares) > newest
            newest, position = max(share.epoch for share in shares), position + 1
            await store.save(Fold(SPREAD, shares, Position(position), [], []))


async def test_a_lease_that_could_not_be_written_is_nobody_s(store: SqliteReadStore) -> None:
    await store.open(SPREAD)
    await store._run(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await store.lease("a", {"Counts": ""}, 5.0)
        with pytest.raises(StoreUnavailableError):
            await store.seize("a", "Counts", 5.0)
    assert (await store.checkpoints())["Counts"].holders == ("", "", "")
    await store._run(lambda connection: connection.execute("PRAGMA query_only = OFF").fetchall())
    shares = (await store.lease("a", {"Counts": ""}, 5.0))["Counts"].shares
    await store.save(Fold(SPREAD, shares, Position(1), [], []))


async def test_a_reader_beside_the_store_tells_holders_and_errors_and_one_elsewhere_does_not(
    store: SqliteReadStore, reader: SqliteRowReader, path: Path
) -> None:
    await store.open(SPREAD)
    await store.lease("a", {"Counts": "can't fold event 7"}, 5.0)
    async with SqliteRowReader.open(path, beside=store) as beside:
        assert await beside.checkpoints() == await store.checkpoints()
    elsewhere = (await reader.checkpoints())["Counts"]
    assert (elsewhere.holders, elsewhere.error) == ((), "")
    assert inspect(path, SCHEMA).checkpoints == await reader.checkpoints()


async def test_a_reader_is_woken_by_a_save_whose_caller_is_gone(store: SqliteReadStore, path: Path) -> None:
    worker = await Worker.of(store, COUNTS)
    async with SqliteRowReader.open(path, beside=store) as reader:
        await reader.wait(0.0)
        save = asyncio.create_task(worker.save(*((name, 1) for name in NAMES)))
        await asyncio.sleep(0)
        save.cancel()
        async with asyncio.timeout(5):
            while (await reader.checkpoints())["Counts"].position < 1:
                await reader.wait(10)


FOLLOWER = """
import asyncio, sys
from pathlib import Path
from twofold.stores.sqlite.row_reader import SqliteRowReader

async def main():
    async with SqliteRowReader.open(Path(sys.argv[1])) as reader:
        print("open", flush=True)
        while (position := (await reader.checkpoints())["Counts"].position) < 20:
            print(position, flush=True)
            await reader.wait(15)
    print("done", flush=True)

asyncio.run(asyncio.wait_for(main(), 20))
"""


async def test_a_follower_in_another_process_is_woken_by_every_save(store: SqliteReadStore, path: Path) -> None:
    worker = await Worker.of(store, COUNTS)
    with start(FOLLOWER, str(path)) as process:
        assert process.stdout
        assert await asyncio.to_thread(process.stdout.readline) == "open\n"
        async with asyncio.timeout(10):
            for position in range(1, 21):
                await worker.save((NAMES[0], position))
                told = ""
                while told not in (f"{position}\n", "done\n"):
                    told = await asyncio.to_thread(process.stdout.readline)


async def test_two_readers_in_one_process_are_both_woken(store: SqliteReadStore, path: Path) -> None:
    worker = await Worker.of(store, COUNTS)
    async with SqliteRowReader.open(path, beside=store) as one, SqliteRowReader.open(path, beside=store) as other:

        async def follow(reader: SqliteRowReader) -> None:
            while (await reader.checkpoints())["Counts"].position < 50:
                await reader.wait(15)

        async with asyncio.timeout(10), asyncio.TaskGroup() as followers:
            followers.create_task(follow(one))
            followers.create_task(follow(other))
            for position in range(1, 51):
                await worker.save((NAMES[0], position))
