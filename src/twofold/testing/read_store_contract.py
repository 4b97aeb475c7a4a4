"""The promises of a read store, for every adapter: subclass ReadStoreContract and supply the fixture `stores`.

    class TestMyReadStore(ReadStoreContract):
        @pytest.fixture
        async def stores(self, tmp_path):
            async with MyReadStore.at(tmp_path) as store, MyRowReader.open(tmp_path) as reader:
                yield store, reader

The store writes and leases in one object. How it leases is in `twofold.testing.leases_contract`, on the same fixture.
The tests are coroutines: run them with `anyio_mode = "auto"`. They need pytest and hypothesis. Every call has a time
limit, so that a store that hangs fails.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cmp_to_key
from itertools import count, islice
from typing import Any, Protocol, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofold.errors import FencedError, InvalidInputError, StoreError, UnknownReadModelError
from twofold.ports import Checkpoint, Find, Fold, Leases, ReadStore, RowReader, Share
from twofold.stores.rows import order_value
from twofold.stores.words import words
from twofold.streams import START, Position
from twofold.tables import Column, ColumnKind, Key, Row, Table

__all__ = ["LeasingStore", "ReadStoreContract", "ReadStoreFixtures", "Worker"]

# --- tables ----------------------------------------------------------------------------------------------------------

SALES = Table(
    read_model="Sales",
    name="sales",
    columns=(
        Column("country", ColumnKind.TEXT),
        Column("month", ColumnKind.INTEGER),
        Column("revenue", ColumnKind.DECIMAL),
        Column("last_at", ColumnKind.DATETIME),
        Column("best", ColumnKind.TEXT),
    ),
    key=("country", "month"),
    indexes=(("best",), ("revenue", "last_at"), ("best", "revenue")),
    fingerprint="columns-1",
    fold_fingerprint="code-1",
)

PRODUCTS = Table(
    read_model="Products",
    name="products",
    columns=(
        Column("sku", ColumnKind.TEXT),
        Column("title", ColumnKind.TEXT),
        Column("text", ColumnKind.TEXT),
        Column("price", ColumnKind.DECIMAL),
    ),
    key=("sku",),
    search=("title", "text"),
    fingerprint="columns-1",
)

EVERY_KIND = Table(
    read_model="Every Kind",
    name='every "kind"',
    columns=(
        Column("id", ColumnKind.INTEGER),
        *(Column(f"a {kind.value}", kind) for kind in ColumnKind),
    ),
    key=("id",),
    fingerprint="columns-1",
)


IN_JSON = dataclasses.replace(
    EVERY_KIND,
    read_model="Kinds that JSON holds",
    name="in_json",
    columns=tuple(each for each in EVERY_KIND.columns if each.kind not in (ColumnKind.REAL, ColumnKind.BYTES)),
)
"""Stores may read rows of such columns on another way."""


WIDER = dataclasses.replace(
    SALES,
    columns=(*SALES.columns, Column("units", ColumnKind.INTEGER)),
    fingerprint="columns-2",
    fold_fingerprint="code-2",
    partitions=2,
)
"""The sales of later code."""

SPREAD = dataclasses.replace(SALES, read_model="Spread", name="spread", partitions=4)
SALES_REBUILD, SALES_FORMER = SALES.aside("rebuild"), SALES.aside("former")


def rows_in(table: Table, partition: int, number: int = 1, *, best: str | None = None) -> list[Row]:
    """Rows of SPREAD or a table like it whose keys belong to the partition."""
    every = (sale(f"country {at}", at, best=best) for at in count())
    return list(islice((row for row in every if table.partition_of(row[:2]) == partition), number))


def sale(country: str, month: int, revenue: str | None = None, *, at: datetime | None = None, best: Any = None) -> Row:
    return (country, month, None if revenue is None else Decimal(revenue), at, best)


def product(sku: str, title: str | None, text: str | None = None) -> Row:
    return (sku, title, text, Decimal("1.50"))


# --- a worker, and time limits ---------------------------------------------------------------------------------------


class LeasingStore(ReadStore, Leases, Protocol):
    """What an adapter gives to projectors, in one object."""


_numbers = count(1)


class Worker:
    """Folds into one table as a projector does that has it alone: takes every partition, and saves from there."""

    def __init__(self, store: LeasingStore, table: Table, shares: Sequence[Share]) -> None:
        self.store, self.table, self.shares = store, table, shares

    @classmethod
    async def of(cls, store: LeasingStore, table: Table, *rows: Row, restart: bool = False) -> Worker:
        await store.open(table, restart=restart)
        worker = await cls.taking_over(store, table)
        if rows:
            await worker.save(*rows)
        return worker

    @classmethod
    async def taking_over(cls, store: LeasingStore, table: Table) -> Worker:
        holder = f"worker {next(_numbers)}"
        return cls(store, table, await store.seize(holder, table.read_model, 60.0, force=True))

    @property
    def position(self) -> Position:
        return min(share.position for share in self.shares)

    async def save(self, *rows: Row, deleted: Sequence[Key] = ()) -> None:
        through = Position(self.position + 1)
        self.shares = await self.store.save(Fold(self.table, self.shares, through, rows, deleted))


class _Limited:
    """An adapter whose every call must be done within some seconds."""

    def __init__(self, adapter: Any, seconds: float) -> None:
        self._adapter, self._seconds = adapter, seconds

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._adapter, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def limited(*arguments: Any, **keywords: Any) -> Any:
            async with asyncio.timeout(self._seconds):
                return await method(*arguments, **keywords)

        return limited


# --- values ----------------------------------------------------------------------------------------------------------

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
_OFFSETS = (
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23))
    # Python itself reads an offset of less than a second as none (datetime.fromisoformat), and no place ever had one.
    .filter(lambda offset: not timedelta(0) < abs(offset) < timedelta(seconds=1))
    .map(timezone)
)
_DATETIMES = st.datetimes(timezones=st.one_of(st.none(), st.just(UTC), _OFFSETS))
_VALUES: Mapping[ColumnKind, st.SearchStrategy[Any]] = {
    ColumnKind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ColumnKind.REAL: st.floats(allow_nan=False).map(lambda number: number + 0.0),  # -0.0 may come back as 0.0
    ColumnKind.BOOLEAN: st.booleans(),
    ColumnKind.TEXT: _TEXTS,
    ColumnKind.BYTES: st.binary(max_size=20),
    ColumnKind.DECIMAL: st.decimals(allow_nan=False, allow_infinity=False),
    ColumnKind.DATETIME: _DATETIMES,
    ColumnKind.DATE: st.dates(),
    ColumnKind.UUID: st.uuids(),
    ColumnKind.JSON: _TEXTS,
}


def rows_of(table: Table, number: int) -> st.SearchStrategy[Row]:
    """Rows of EVERY_KIND or IN_JSON with this id."""
    return st.tuples(st.just(number), *(st.none() | _VALUES[column.kind] for column in table.columns[1:]))


_TABLES_WITH_ROWS = st.sampled_from([EVERY_KIND, IN_JSON]).flatmap(
    lambda table: st.tuples(st.just(table), *(rows_of(table, number) for number in range(3)))
)


def written(row: Row) -> tuple[Any, ...]:
    """What makes values the same to the last digit and offset, where `==` would be content with less."""
    return tuple((type(value), str(value)) for value in row)


EXTREMES = [
    *(Decimal(text) for text in ("0", "-0", "0.00", "1E+5", "100000", "1.10", "-1E-30", "9" * 60, "1E+100", "1E-100")),
    *(datetime.min.replace(tzinfo=zone) for zone in (None, UTC, timezone(timedelta(hours=23, minutes=59)))),
    *(datetime.max.replace(tzinfo=zone) for zone in (None, UTC, timezone(timedelta(hours=-23, minutes=-59)))),
    datetime(1890, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28))),
    *(-(2**63), 2**63 - 1, 0.1 + 0.2, 1e308, 5e-324, float("inf"), -float("inf")),
    *("", "\0", "a\0b", "'\"\\", "null", "0", "\U0010ffff", "e\u0301", b"", b"\0\xff"),
    *(date.min, date.max, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), True, False),
]

_KIND_OF: Mapping[type, ColumnKind] = {
    int: ColumnKind.INTEGER,
    float: ColumnKind.REAL,
    bool: ColumnKind.BOOLEAN,
    str: ColumnKind.TEXT,
    bytes: ColumnKind.BYTES,
    Decimal: ColumnKind.DECIMAL,
    datetime: ColumnKind.DATETIME,
    date: ColumnKind.DATE,
    uuid.UUID: ColumnKind.UUID,
}


def row_with(kind: ColumnKind, value: Any, *, number: int = 1, table: Table = EVERY_KIND) -> Row:
    """A row of the table that has the value in the column of its kind, and None in all others."""
    return (number, *(value if kind is each.kind else None for each in table.columns[1:]))


NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)

# --- a model of find, as simple as can be ----------------------------------------------------------------------------


_FEW: Mapping[str, st.SearchStrategy[Any]] = {
    "country": st.sampled_from(["", "A", "a", "Ä", "\uffff", "\U00010000"]),
    "month": st.integers(-1, 2),
    "revenue": st.none() | st.sampled_from([Decimal(t) for t in ("-1", "0", "1.5", "1.50", "1.50000000000000000001")]),
    "last_at": st.none()
    | st.sampled_from(
        [
            NOON,
            NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
            NOON.replace(tzinfo=None),
            NOON + timedelta(microseconds=1),
            NOON - timedelta(days=1),
        ]
    ),
    "best": st.none() | st.sampled_from(["", "a", "b"]),
}
_ORDERS = st.lists(st.sampled_from([*_FEW, *(f"-{name}" for name in _FEW)]), max_size=4).map(tuple)
_SALES = st.lists(st.tuples(*_FEW.values()), max_size=30)


def in_order(rows: Iterable[Row], order_by: Sequence[str]) -> list[Row]:
    names = [column.name for column in SALES.columns]

    def compare(one: Row, other: Row) -> int:
        for name in [*order_by, *SALES.key]:
            at = names.index(name.removeprefix("-"))
            left, right = order_value(one[at]), order_value(other[at])
            if left != right:
                return (1 if left > right else -1) * (-1 if name.startswith("-") else 1)
        return 0

    return sorted(rows, key=cmp_to_key(compare))


@st.composite
def _searched(draw: st.DrawFn) -> tuple[list[Row], str]:
    """Rows of PRODUCTS, and a text that may hold beginnings of their words."""
    texts = draw(st.lists(st.tuples(_TEXTS | st.none(), _TEXTS | st.none()), max_size=6))
    held = [word for pair in texts for text in pair for word in words(text or "")]
    starts = st.sampled_from(held).map(lambda word: word[: len(word) // 2 + 1]) if held else st.nothing()
    rows = [product(f"p{at}", *pair) for at, pair in enumerate(texts)]
    return rows, " ".join(draw(st.lists(starts | _TEXTS, max_size=2)))


def holds_words(row: Row, text: str) -> bool:
    held = words(row[1] or "") + words(row[2] or "")
    return bool(words(text)) and all(any(each.startswith(start) for each in held) for start in words(text))


EXAMPLES = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


# --- the contract ----------------------------------------------------------------------------------------------------


class ReadStoreFixtures:
    """`stores` supplies a fresh store and a reader of the same rows (they may be one object)."""

    call_timeout_s = 10.0

    @pytest.fixture
    def stores(self) -> tuple[LeasingStore, RowReader]:
        raise NotImplementedError("supply the fixture `stores`")

    @pytest.fixture
    def store(self, stores: tuple[LeasingStore, RowReader]) -> LeasingStore:
        return cast("LeasingStore", _Limited(stores[0], self.call_timeout_s))

    @pytest.fixture
    def reader(self, stores: tuple[LeasingStore, RowReader]) -> RowReader:
        return cast("RowReader", _Limited(stores[1], self.call_timeout_s))


class ReadStoreContract(ReadStoreFixtures):
    """What a ReadStore and its RowReader promise."""

    # opening

    async def test_a_new_table_is_empty_and_starts_before_the_first_event(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        checkpoint = await store.open(SALES)
        assert checkpoint == Checkpoint("Sales", (START,), "columns-1", "code-1", paused=False, error="", holders=("",))
        assert await store.checkpoints() == {"Sales": checkpoint}
        assert await reader.find(SALES, Find({})) == []

    async def test_every_partition_has_a_checkpoint(self, store: LeasingStore) -> None:
        checkpoint = await store.open(SPREAD)
        assert (checkpoint.positions, checkpoint.holders) == ((START,) * 4, ("",) * 4)

    async def test_opening_again_changes_nothing_and_fences_nobody(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        first = await Worker.of(store, SALES, sale("EIRE", 1))
        before = await store.checkpoints()
        assert await store.open(SALES) == before["Sales"]
        assert await store.checkpoints() == before
        await first.save(sale("France", 1))
        assert await reader.count(SALES, {}) == 2

    async def test_a_table_that_other_code_made_is_left_as_it_is(self, store: LeasingStore, reader: RowReader) -> None:
        first = await Worker.of(store, SALES, sale("EIRE", 1))
        found = await store.open(WIDER)
        assert (found.fingerprint, found.fold_fingerprint, found.positions) == ("columns-1", "code-1", (1,))
        await first.save(sale("France", 1))
        assert await reader.find(SALES, Find({})) == [sale("EIRE", 1), sale("France", 1)]
        changed = dataclasses.replace(SALES, fold_fingerprint="code-2")
        assert (await store.open(changed)).fold_fingerprint == "code-1"

    async def test_a_restart_makes_any_table_anew_and_no_other(self, store: LeasingStore, reader: RowReader) -> None:
        await Worker.of(store, SALES, sale("EIRE", 1))
        other = await Worker.of(store, PRODUCTS, product("p1", "A lamp"))
        assert (await store.open(SALES, restart=True)).positions == (START,)
        assert await reader.find(SALES, Find({})) == []
        await other.save(product("p2", "A desk"))
        assert await reader.count(PRODUCTS, {}) == 2
        assert [row[0] for row in await reader.search(PRODUCTS, "lamp", 9)] == ["p1"]

    async def test_a_restart_takes_over_the_columns_the_fold_and_the_partitions(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, SALES, sale("EIRE", 1))
        restarted = await store.open(WIDER, restart=True)
        assert restarted == Checkpoint("Sales", (START, START), "columns-2", "code-2", holders=("", ""))
        await (await Worker.taking_over(store, WIDER)).save((*sale("France", 2), 5))
        assert await reader.find(WIDER, Find({})) == [(*sale("France", 2), 5)]

    async def test_a_restart_voids_every_share(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SPREAD)
        await store.open(SPREAD, restart=True)
        for share in worker.shares:
            with pytest.raises(FencedError):
                await store.save(Fold(SPREAD, [share], Position(1), rows_in(SPREAD, share.partition), []))
        assert await reader.count(SPREAD, {}) == 0

    async def test_two_read_models_can_not_have_one_table(self, store: LeasingStore, reader: RowReader) -> None:
        await Worker.of(store, SALES, sale("EIRE", 1))
        with pytest.raises(StoreError, match="Sales"):
            await store.open(dataclasses.replace(SALES, read_model="Other", name="Sales"))
        assert await reader.count(SALES, {}) == 1

    async def test_reading_a_table_that_was_never_opened_says_so(self, store: LeasingStore, reader: RowReader) -> None:
        await store.open(PRODUCTS)
        for read in (
            store.load(SALES, [("EIRE", 1)]),
            reader.get(SALES, [("EIRE", 1)]),
            reader.find(SALES, Find({})),
            reader.find(SALES, Find({}, ("best",), start_after=("EIRE", 1))),
            reader.count(SALES, {}),
            reader.search(PRODUCTS.aside("rebuild"), "lamp", 9),
        ):
            with pytest.raises(UnknownReadModelError, match=r"Sales|Products"):
                await read

    async def test_reading_with_other_columns_than_the_table_has_says_so(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, SALES, sale("EIRE", 1))
        with pytest.raises(StoreError, match="columns"):
            await reader.get(WIDER, [("EIRE", 1)])
        with pytest.raises(StoreError, match="columns"):
            await reader.find(WIDER, Find({}))

    async def test_rows_of_other_columns_than_the_table_has_are_refused(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        worker = await Worker.of(store, SALES, sale("EIRE", 1))
        with pytest.raises(StoreError, match="columns"):
            await store.save(Fold(WIDER, worker.shares, Position(2), [(*sale("France", 1), 5)], [("EIRE", 1)]))
        await worker.save()
        assert await reader.find(SALES, Find({})) == [sale("EIRE", 1)]

    # saving and loading

    async def test_saved_rows_are_loaded_and_only_those_that_exist(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, SALES, sale("EIRE", 1, "1.50"), sale("EIRE", 2), sale("France", 1))
        wanted = [("EIRE", 1), ("France", 1), ("France", 9)]
        rows = {("EIRE", 1): sale("EIRE", 1, "1.50"), ("France", 1): sale("France", 1)}
        assert dict(await store.load(SALES, wanted)) == rows
        assert dict(await reader.get(SALES, wanted)) == rows
        assert dict(await store.load(SALES, [])) == {}

    async def test_a_row_takes_the_place_of_the_one_with_its_key(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SALES, sale("EIRE", 1, "1", best="lamp"))
        await worker.save(sale("EIRE", 1, "2"))
        assert await reader.find(SALES, Find({})) == [sale("EIRE", 1, "2")]

    async def test_rows_and_checkpoint_are_saved_together(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SALES)
        before = (await store.checkpoints())["Sales"]
        moved = await store.save(Fold(SALES, worker.shares, Position(17), [sale("EIRE", 1)], []))
        assert list(moved) == [share._replace(position=Position(17)) for share in worker.shares]
        assert (await store.checkpoints())["Sales"] == before._replace(positions=(Position(17),))
        assert await reader.count(SALES, {}) == 1

    async def test_a_page_without_rows_moves_the_checkpoint_alone(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SALES)
        await worker.save()
        assert (await store.checkpoints())["Sales"].position == 1
        assert await reader.count(SALES, {}) == 0

    async def test_deleted_rows_are_gone_and_may_come_again(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SALES, sale("EIRE", 1, "1"), sale("EIRE", 2), sale("France", 1))
        await worker.save(sale("Japan", 1), deleted=[("EIRE", 1), ("France", 1), ("never there", 1)])
        assert [row[:2] for row in await reader.find(SALES, Find({}))] == [("EIRE", 2), ("Japan", 1)]
        assert dict(await store.load(SALES, [("EIRE", 1)])) == {}
        await worker.save(sale("EIRE", 1, "2"))
        assert dict(await store.load(SALES, [("EIRE", 1)])) == {("EIRE", 1): sale("EIRE", 1, "2")}

    async def test_a_large_page_is_saved_and_loaded_whole(self, store: LeasingStore, reader: RowReader) -> None:
        rows = [sale(f"country {number % 7}", number, str(number)) for number in range(3_333)]
        worker = await Worker.of(store, SALES, *rows)
        assert dict(await store.load(SALES, [row[:2] for row in rows])) == {row[:2]: row for row in rows}
        await worker.save(deleted=[row[:2] for row in rows[1:]])
        assert await reader.find(SALES, Find({})) == rows[:1]

    async def test_changing_what_was_saved_changes_nothing_stored(self, store: LeasingStore) -> None:
        content = bytearray(b"before")
        row = list(row_with(ColumnKind.BYTES, content))
        await Worker.of(store, EVERY_KIND, cast("Row", row))
        content[:] = b"after!"
        row[0] = 2
        loaded = await store.load(EVERY_KIND, [(1,), (2,)])
        assert dict(loaded) == {(1,): row_with(ColumnKind.BYTES, b"before")}

    async def test_readers_see_all_of_a_save_or_nothing_of_it(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SALES, sale("A", 1, "0"), sale("B", 1, "0"))
        done = asyncio.Event()

        async def read() -> None:
            while not done.is_set():
                assert len({row[2] for row in await reader.find(SALES, Find({}))}) == 1
                assert len({row[2] for row in (await reader.get(SALES, [("A", 1), ("B", 1)])).values()}) == 1

        async with asyncio.TaskGroup() as readers:
            for _ in range(3):
                readers.create_task(read())
            for number in range(1, 100):
                await worker.save(sale("A", 1, str(number)), sale("B", 1, str(number)))
            done.set()

    # partitions

    async def test_partitions_move_independently(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SPREAD)
        first, second, third, _ = worker.shares
        await store.save(Fold(SPREAD, [second], Position(5), rows_in(SPREAD, 1), []))
        moved = await store.save(Fold(SPREAD, [third, first], Position(3), rows_in(SPREAD, 0) + rows_in(SPREAD, 2), []))
        assert [share.partition for share in moved] == [2, 0]
        await store.save(Fold(SPREAD, [moved[1]], Position(9), [], [rows_in(SPREAD, 0)[0][:2]]))
        checkpoint = (await store.checkpoints())["Spread"]
        assert (checkpoint.positions, checkpoint.position) == ((9, 5, 3, 0), 0)
        assert await reader.count(SPREAD, {}) == 2

    async def test_a_fold_over_several_partitions_is_all_or_none(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SPREAD)
        (moved,) = await store.save(Fold(SPREAD, worker.shares[2:3], Position(1), [], []))
        rows = [row for partition in range(4) for row in rows_in(SPREAD, partition)]
        with pytest.raises(FencedError, match=r"partition 2 of Spread.* at 1 in epoch .* from 0 in epoch"):
            await store.save(Fold(SPREAD, worker.shares, Position(1), rows, []))
        assert (await store.checkpoints())["Spread"].positions == (0, 0, 1, 0)
        assert await reader.count(SPREAD, {}) == 0
        await store.save(Fold(SPREAD, [*worker.shares[:2], moved, worker.shares[3]], Position(2), rows, []))
        assert (await store.checkpoints())["Spread"].positions == (2, 2, 2, 2)
        assert await reader.count(SPREAD, {}) == 4

    async def test_a_taken_share_fences_the_fold_that_holds_it_and_no_other(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        worker = await Worker.of(store, SPREAD)
        stale = worker.shares[1]._replace(epoch=worker.shares[1].epoch - 1)
        with pytest.raises(FencedError, match="partition 1 of Spread"):
            await store.save(Fold(SPREAD, [worker.shares[0], stale], Position(1), rows_in(SPREAD, 0), []))
        assert await reader.count(SPREAD, {}) == 0
        await store.save(Fold(SPREAD, worker.shares[:1], Position(1), rows_in(SPREAD, 0), []))
        assert await reader.count(SPREAD, {}) == 1

    # fencing

    async def test_the_worker_of_an_earlier_epoch_writes_nothing(self, store: LeasingStore, reader: RowReader) -> None:
        stale = await Worker.of(store, SALES, sale("France", 1))
        fresh = await Worker.taking_over(store, SALES)
        before = await store.checkpoints()
        with pytest.raises(FencedError, match="Sales"):
            await stale.save(sale("EIRE", 1), deleted=[("France", 1)])
        assert await store.checkpoints() == before
        assert await reader.find(SALES, Find({})) == [sale("France", 1)]
        await fresh.save(sale("EIRE", 1))

    async def test_a_page_that_does_not_start_at_the_checkpoint_writes_nothing(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        worker = await Worker.of(store, SALES, sale("EIRE", 1, "1"))
        for after in (START, Position(2)):
            shares = [share._replace(position=after) for share in worker.shares]
            with pytest.raises(FencedError, match="Sales"):
                await store.save(Fold(SALES, shares, Position(3), [sale("EIRE", 1, "2")], [("EIRE", 1)]))
        assert (await store.checkpoints())["Sales"].position == 1
        assert await reader.find(SALES, Find({})) == [sale("EIRE", 1, "1")]

    async def test_nothing_is_saved_without_a_share(self, store: LeasingStore, reader: RowReader) -> None:
        await Worker.of(store, SALES)
        with pytest.raises(FencedError, match="Sales"):
            await store.save(Fold(SALES, [], Position(1), [sale("EIRE", 1)], []))
        assert await reader.count(SALES, {}) == 0

    async def test_a_partition_that_is_not_there_is_fenced(self, store: LeasingStore) -> None:
        worker = await Worker.of(store, SALES)
        beyond = worker.shares[0]._replace(partition=1)
        for shares in ([beyond], [worker.shares[0], beyond]):
            with pytest.raises(FencedError, match="partition 1 of Sales"):
                await store.save(Fold(SALES, shares, Position(1), [], []))
        await worker.save()

    async def test_a_read_model_that_was_never_opened_is_fenced(self, store: LeasingStore) -> None:
        with pytest.raises(FencedError, match="Sales"):
            await store.save(Fold(SALES, [Share(0, 1, START)], Position(1), [], []))
        assert await store.checkpoints() == {}

    # values

    @EXAMPLES
    @given(saved=_TABLES_WITH_ROWS)
    async def test_rows_of_every_kind_survive_exactly(
        self, store: LeasingStore, reader: RowReader, saved: tuple[Any, ...]
    ) -> None:
        table, *rows = saved
        await Worker.of(store, table, *rows, restart=True)
        loaded = await store.load(table, [(0,), (1,), (2,)])
        assert [written(loaded[row[:1]]) for row in rows] == [written(row) for row in rows]
        assert [written(row) for row in await reader.find(table, Find({}))] == [written(row) for row in rows]

    @pytest.mark.parametrize("table", [EVERY_KIND, IN_JSON], ids=["every kind", "kinds that JSON holds"])
    async def test_extreme_values_survive_exactly(self, store: LeasingStore, reader: RowReader, table: Table) -> None:
        kinds = {column.kind for column in table.columns}
        values = [value for value in EXTREMES if _KIND_OF[type(value)] in kinds]
        rows = [row_with(_KIND_OF[type(each)], each, number=at, table=table) for at, each in enumerate(values)]
        await Worker.of(store, table, *rows)
        assert [written(row) for row in await reader.find(table, Find({}))] == [written(row) for row in rows]

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            (ColumnKind.INTEGER, 2**63),
            (ColumnKind.INTEGER, -(2**63) - 1),
            (ColumnKind.INTEGER, 1.5),
            (ColumnKind.REAL, float("nan")),
            (ColumnKind.BOOLEAN, 2),
            (ColumnKind.TEXT, "lone \ud800"),
            (ColumnKind.TEXT, 5),
            (ColumnKind.BYTES, "text"),
            (ColumnKind.DECIMAL, Decimal("NaN")),
            (ColumnKind.DECIMAL, Decimal("-Infinity")),
            (ColumnKind.DECIMAL, 0.1),
            (ColumnKind.DATETIME, date(2024, 2, 29)),
            (ColumnKind.DATE, NOON),
            (ColumnKind.UUID, "12345678-1234-1234-1234-123456789abc"),
            (ColumnKind.JSON, {"a": 1}),
        ],
    )
    async def test_a_value_that_a_column_can_not_hold_is_named_and_nothing_is_written(
        self, store: LeasingStore, reader: RowReader, kind: ColumnKind, value: Any
    ) -> None:
        worker = await Worker.of(store, EVERY_KIND, row_with(kind, None))
        with pytest.raises(StoreError, match=f"a {kind.value} can't hold"):
            await worker.save(row_with(kind, None, number=2), row_with(kind, value, number=3), deleted=[(1,)])
        assert [row[0] for row in await reader.find(EVERY_KIND, Find({}))] == [1]
        assert (await store.checkpoints())["Every Kind"].position == 1

    async def test_a_row_of_the_wrong_length_is_refused(self, store: LeasingStore) -> None:
        worker = await Worker.of(store, SALES)
        for row in (("EIRE", 1), (*sale("EIRE", 1), None)):
            with pytest.raises(StoreError, match="needs 5 values"):
                await worker.save(row)

    async def test_a_key_is_never_none(self, store: LeasingStore) -> None:
        worker = await Worker.of(store, SALES)
        with pytest.raises(StoreError, match="month"):
            await worker.save(("EIRE", None, None, None, None))

    async def test_whole_numbers_are_taken_for_decimals_and_reals(self, store: LeasingStore) -> None:
        await Worker.of(store, EVERY_KIND, row_with(ColumnKind.DECIMAL, 2), row_with(ColumnKind.REAL, 3, number=2))
        loaded = await store.load(EVERY_KIND, [(1,), (2,)])
        assert written(loaded[(1,)]) == written(row_with(ColumnKind.DECIMAL, Decimal(2)))
        assert written(loaded[(2,)]) == written(row_with(ColumnKind.REAL, 3.0, number=2))

    @pytest.mark.parametrize(
        ("kind", "one", "other"),
        [
            (ColumnKind.INTEGER, 7, 8),
            (ColumnKind.BOOLEAN, True, False),
            (ColumnKind.TEXT, "a", "A"),
            (ColumnKind.BYTES, b"\0\xff", b"\0"),
            (ColumnKind.DECIMAL, Decimal("1.5"), Decimal("1.51")),
            (ColumnKind.DATETIME, NOON, NOON + timedelta(microseconds=1)),
            (ColumnKind.DATE, date(2024, 2, 29), date(2024, 3, 1)),
            (ColumnKind.UUID, uuid.UUID(int=1), uuid.UUID(int=2)),
        ],
    )
    async def test_keys_may_be_of_any_kind(
        self, store: LeasingStore, reader: RowReader, kind: ColumnKind, one: Any, other: Any
    ) -> None:
        table = Table("Keyed", "keyed", (Column("n", ColumnKind.INTEGER), Column("k", kind)), ("k",))
        worker = await Worker.of(store, table, (1, one), (2, other))
        assert dict(await store.load(table, [(one,)])) == {(one,): (1, one)}
        assert dict(await reader.get(table, [(one,), (other,)])) == {(one,): (1, one), (other,): (2, other)}
        first, second = await reader.find(table, Find({}))
        assert await reader.find(table, Find({}, start_after=(first[1],))) == [second]
        await worker.save((3, other), deleted=[(one,)])
        assert await reader.find(table, Find({})) == [(3, other)]

    async def test_keys_are_the_same_when_their_values_are(self, store: LeasingStore, reader: RowReader) -> None:
        table = Table(
            "Keyed",
            "keyed",
            (Column("price", ColumnKind.DECIMAL), Column("at", ColumnKind.DATETIME), Column("n", ColumnKind.INTEGER)),
            ("price", "at"),
        )
        later = NOON.astimezone(timezone(timedelta(hours=2)))
        worker = await Worker.of(store, table, (Decimal("1.50"), later, 1))
        await worker.save((Decimal("1.5"), NOON, 2))
        assert await reader.find(table, Find({})) == [(Decimal("1.5"), NOON, 2)]
        assert (await store.load(table, [(Decimal("1.500"), later)]))[(Decimal("1.5"), NOON)][2] == 2
        await worker.save(deleted=[(Decimal("15E-1"), later)])
        assert await reader.count(table, {}) == 0

    async def test_zero_is_one_key_and_a_time_in_a_key_has_a_time_in_utc(self, store: LeasingStore) -> None:
        zero = Table("Zero", "zero", (Column("k", ColumnKind.DECIMAL),), ("k",))
        await Worker.of(store, zero, (Decimal("0.00"),))
        assert dict(await store.load(zero, [(Decimal("-0E+5"),)])) == {(Decimal(0),): (Decimal(0),)}
        times = Table("Times", "times", (Column("k", ColumnKind.DATETIME),), ("k",))
        worker = await Worker.of(store, times)
        with pytest.raises(StoreError, match="no time in UTC"):
            await worker.save((datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),))

    async def test_key_columns_may_stand_anywhere_in_any_order(self, store: LeasingStore, reader: RowReader) -> None:
        names = [("b", ColumnKind.TEXT), ("n", ColumnKind.INTEGER), ("a", ColumnKind.INTEGER)]
        table = Table("Apart", "apart", tuple(Column(*each) for each in names), ("a", "b"))
        worker = await Worker.of(store, table, ("x", 1, 10), ("y", 2, 10), ("x", 3, 9))
        assert dict(await store.load(table, [(10, "x"), (9, "y")])) == {(10, "x"): ("x", 1, 10)}
        assert [row[1] for row in await reader.find(table, Find({}))] == [3, 1, 2]
        assert [row[1] for row in await reader.find(table, Find({}, start_after=(10, "x")))] == [2]
        await worker.save(deleted=[(10, "x")])
        assert [row[1] for row in await reader.find(table, Find({}, ("-n",)))] == [3, 2]

    async def test_enum_members_are_taken_for_their_values(self, store: LeasingStore, reader: RowReader) -> None:
        class Country(Enum):
            EIRE = "EIRE"

        await Worker.of(store, SALES, ("EIRE", 1, None, None, Country.EIRE))
        assert await reader.find(SALES, Find({"best": Country.EIRE, "country": Country.EIRE})) == [
            sale("EIRE", 1, best="EIRE")
        ]

    async def test_a_table_may_have_only_a_key_or_very_many_columns(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        narrow = Table("Narrow", "narrow", (Column("k", ColumnKind.TEXT),), ("k",))
        worker = await Worker.of(store, narrow, ("a",), ("b",))
        await worker.save(("a",))
        assert await reader.find(narrow, Find({})) == [("a",), ("b",)]
        wide = Table("Wide", "wide", tuple(Column(f"c{at}", ColumnKind.INTEGER) for at in range(230)), ("c0",))
        await Worker.of(store, wide, tuple(range(230)))
        assert dict(await reader.get(wide, [(0,)])) == {(0,): tuple(range(230))}

    # finding

    @EXAMPLES
    @given(rows=_SALES, order_by=_ORDERS, limit=st.integers(1, 7), best=st.none() | _FEW["best"])
    async def test_pages_of_any_order_equal_a_sorted_list(
        self, store: LeasingStore, reader: RowReader, rows: list[Row], order_by: tuple[str, ...], limit: int, best: Any
    ) -> None:
        table = {row[:2]: row for row in rows}
        await Worker.of(store, SALES, *table.values(), restart=True)
        equals = {} if best is None else {"best": best}
        wanted = in_order([row for row in table.values() if best is None or row[4] == best], order_by)
        assert await reader.find(SALES, Find(equals, order_by)) == wanted
        pages: list[Row] = []
        for _ in range(len(wanted) + 1):
            after = pages[-1][:2] if pages else None
            pages += await reader.find(SALES, Find(equals, order_by, limit, after))
        assert pages == wanted

    async def test_order_is_by_value_with_none_first(self, store: LeasingStore, reader: RowReader) -> None:
        revenues = ["100", "9", "9.00", None, "-1", "1E+2"]
        await Worker.of(store, SALES, *(sale("A", month, revenue) for month, revenue in enumerate(revenues)))

        async def months(*order_by: str) -> list[int]:
            return [row[1] for row in await reader.find(SALES, Find({}, order_by))]

        assert await months("revenue") == [3, 4, 1, 2, 0, 5]
        assert await months("-revenue") == [0, 5, 1, 2, 4, 3]
        assert await months("revenue", "-month") == [3, 4, 2, 1, 5, 0]

    @EXAMPLES
    @given(values=st.lists(st.decimals(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
    async def test_decimals_are_found_and_ordered_by_value(
        self, store: LeasingStore, reader: RowReader, values: list[Decimal]
    ) -> None:
        rows = [row_with(ColumnKind.DECIMAL, value, number=at) for at, value in enumerate(values)]
        await Worker.of(store, EVERY_KIND, *rows, restart=True)
        found = await reader.find(EVERY_KIND, Find({}, ("a decimal",)))
        assert [row[0] for row in found] == sorted(range(len(values)), key=lambda at: (values[at], at))
        equal = [row[0] for row in await reader.find(EVERY_KIND, Find({"a decimal": values[0]}))]
        assert equal == [at for at, value in enumerate(values) if value == values[0]]

    @EXAMPLES
    @given(values=st.lists(_DATETIMES, max_size=8))
    async def test_times_are_ordered_by_instant(
        self, store: LeasingStore, reader: RowReader, values: list[datetime]
    ) -> None:
        rows = [row_with(ColumnKind.DATETIME, value, number=at) for at, value in enumerate(values)]
        await Worker.of(store, EVERY_KIND, *rows, restart=True)
        found = await reader.find(EVERY_KIND, Find({}, ("-a datetime",)))
        instants = [order_value(value) for value in values]
        assert [instants[row[0]] for row in found] == sorted(instants, reverse=True)

    async def test_times_are_found_by_instant_and_without_a_zone_count_as_utc(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        times = [NOON, NOON.astimezone(timezone(timedelta(hours=-9))), NOON.replace(tzinfo=None)]
        other = NOON + timedelta(microseconds=1)
        rows = [row_with(ColumnKind.DATETIME, value, number=at) for at, value in enumerate([*times, other, None])]
        await Worker.of(store, EVERY_KIND, *rows)
        for time in times:
            found = await reader.find(EVERY_KIND, Find({"a datetime": time}))
            assert [row[0] for row in found] == [0, 1, 2]

    @EXAMPLES
    @given(row=rows_of(EVERY_KIND, 1))
    async def test_a_row_is_found_by_each_of_its_values(self, store: LeasingStore, reader: RowReader, row: Row) -> None:
        await Worker.of(store, EVERY_KIND, row, restart=True)
        for column, value in zip(EVERY_KIND.columns, row, strict=True):
            assert await reader.count(EVERY_KIND, {column.name: value}) == 1
        everything = dict(zip([column.name for column in EVERY_KIND.columns], row, strict=True))
        assert len(await reader.find(EVERY_KIND, Find(everything))) == 1

    async def test_none_equals_none_and_nothing_else(self, store: LeasingStore, reader: RowReader) -> None:
        await Worker.of(store, SALES, sale("A", 1, best=None), sale("B", 1, best=""), sale("C", 1, best="x"))
        assert [row[0] for row in await reader.find(SALES, Find({"best": None}))] == ["A"]
        assert [row[0] for row in await reader.find(SALES, Find({"best": ""}))] == ["B"]
        assert await reader.count(SALES, {"best": None}) == 1
        assert await reader.count(SALES, {"best": None, "country": "B"}) == 0

    async def test_a_page_may_start_behind_a_row_that_is_gone_when_the_key_is_the_order(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, SALES, *(sale(country, month) for country in "AC" for month in (1, 3)))

        async def keys(*order_by: str, after: Key) -> list[Key]:
            return [row[:2] for row in await reader.find(SALES, Find({}, order_by, start_after=after))]

        assert await keys(after=("A", 2)) == [("A", 3), ("C", 1), ("C", 3)]
        assert await keys(after=("B", 9)) == [("C", 1), ("C", 3)]
        assert await keys("-month", after=("B", 2)) == [("A", 1), ("C", 1)]

    async def test_a_page_can_not_start_behind_a_row_that_is_gone_in_another_order(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, SALES, sale("A", 1))
        with pytest.raises(InvalidInputError, match="first page"):
            await reader.find(SALES, Find({}, ("revenue",), start_after=("B", 1)))

    async def test_limits(self, store: LeasingStore, reader: RowReader) -> None:
        await Worker.of(store, SALES, *(sale("A", month) for month in range(5)))
        for limit, found in ((0, 0), (2, 2), (5, 5), (10**30, 5), (None, 5)):
            assert len(await reader.find(SALES, Find({}, limit=limit))) == found
        with pytest.raises(InvalidInputError, match="-1"):
            await reader.find(SALES, Find({}, limit=-1))

    async def test_a_column_that_is_not_there_is_named_with_those_that_are(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await store.open(SALES)
        for read in (
            reader.find(SALES, Find({"profit": 1})),
            reader.find(SALES, Find({}, ("-profit",))),
            reader.count(SALES, {"profit": 1}),
        ):
            with pytest.raises(ValueError, match=r"profit.*country, month, revenue, last_at, best"):
                await read

    async def test_a_value_of_another_kind_than_the_column_is_refused(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await store.open(SALES)
        for equals in ({"month": "1"}, {"revenue": 0.5}, {"best": 1}, {"last_at": "2024-01-01"}):
            with pytest.raises(ValueError, match=next(iter(equals))):
                await reader.find(SALES, Find(equals))
        with pytest.raises(ValueError, match="key needs 2 values"):
            await reader.find(SALES, Find({}, start_after=("A",)))

    # searching

    async def test_search_finds_rows_whose_words_start_with_every_word(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(
            store,
            PRODUCTS,
            product("p1", "Hanging HEART T-light holder"),
            product("p2", "Heart of wicker", "small, white"),
            product("p3", "Crème brûlée set", "ﬁne ½ ガラス हिन्दी"),
            product("p4", None, None),
        )
        expected: dict[str, set[str]] = {
            "heart": {"p1", "p2"},
            "HEA": {"p1", "p2"},
            "hang hold": {"p1"},
            "wick whi": {"p2"},
            "light": {"p1"},
            "eart": set(),
            "heart lamp": set(),
            "creme BRULEE": {"p3"},
            "crème": {"p3"},
            "fine": {"p3"},
            "ガ": {"p3"},
            "हिन": {"p3"},
        }
        for text, found in expected.items():
            assert {row[0] for row in await reader.search(PRODUCTS, text, 9)} == found, text

    async def test_a_text_without_words_finds_nothing(self, store: LeasingStore, reader: RowReader) -> None:
        await Worker.of(store, PRODUCTS, product("p1", "A lamp"), product("p2", None))
        for text in ("", " ", '"', "*", "-", "()", "\0", "\ud800", "…"):
            assert await reader.search(PRODUCTS, text, 9) == []

    async def test_operators_of_a_query_language_are_words_like_others(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, PRODUCTS, product("p1", "lamp AND desk"), product("p2", "lamp desk"))
        for text in ("lamp AND desk", '"lamp" AND', "and", "AND*", "title:lamp and"):
            assert len(await reader.search(PRODUCTS, text, 9)) <= 1, text
        assert [row[0] for row in await reader.search(PRODUCTS, '"lamp" AND', 9)] == ["p1"]
        assert {row[0] for row in await reader.search(PRODUCTS, "lamp*) -desk'", 9)} == {"p1", "p2"}

    @EXAMPLES
    @given(searched=_searched())
    async def test_search_finds_the_same_rows_as_looking_at_each(
        self, store: LeasingStore, reader: RowReader, searched: tuple[list[Row], str]
    ) -> None:
        rows, text = searched
        await Worker.of(store, PRODUCTS, *rows, restart=True)
        found = {row[0] for row in await reader.search(PRODUCTS, text, 9)}
        assert found == {row[0] for row in rows if holds_words(row, text)}

    async def test_search_knows_rows_as_they_are_now(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, PRODUCTS, product("p1", "Red lamp"), product("p2", "Red desk"))
        await worker.save(product("p1", "Blue lamp", "red no more"), ("p2", "Red desk", None, None))
        await worker.save(product("p1", "Blue lamp"), product("p3", "Red sofa"))

        async def found(text: str) -> set[str]:
            return {row[0] for row in await reader.search(PRODUCTS, text, 9)}

        assert (await found("red"), await found("blue"), await found("more")) == ({"p2", "p3"}, {"p1"}, set())
        await worker.save(deleted=[("p2",), ("never there",)])
        assert (await found("red"), await found("desk")) == ({"p3"}, set())
        await worker.save(product("p2", "Green desk"))
        assert (await found("red"), await found("desk")) == ({"p3"}, {"p2"})

    async def test_better_rows_come_first_and_the_key_breaks_ties(self, store: LeasingStore, reader: RowReader) -> None:
        others = [product(f"x{at}", "an ordinary thing") for at in range(20)]
        await Worker.of(
            store,
            PRODUCTS,
            product("p3", "lamp"),
            product("p2", "a lamp among many other words of a long text"),
            product("p4", "lamp lamp lamp"),
            product("p1", "lamp"),
            *others,
        )
        found = [row[0] for row in await reader.search(PRODUCTS, "lamp", 9)]
        assert found == ["p4", "p1", "p3", "p2"]
        assert [row[0] for row in await reader.search(PRODUCTS, "lamp", 2)] == ["p4", "p1"]
        assert await reader.search(PRODUCTS, "lamp", 0) == []
        with pytest.raises(InvalidInputError, match="-1"):
            await reader.search(PRODUCTS, "lamp", -1)

    async def test_a_very_long_search_is_a_search(self, store: LeasingStore, reader: RowReader) -> None:
        await Worker.of(store, PRODUCTS, product("p1", " ".join(f"w{at}" for at in range(500))))
        assert len(await reader.search(PRODUCTS, " ".join(f"w{at}" for at in range(500)), 9)) == 1
        assert await reader.search(PRODUCTS, " ".join(f"w{at}" for at in range(501)), 9) == []

    async def test_a_table_without_search_says_so(self, store: LeasingStore, reader: RowReader) -> None:
        await store.open(SALES)
        with pytest.raises(ValueError, match="Sales"):
            await reader.search(SALES, "lamp", 9)

    # promoting and dropping

    async def test_a_promoted_table_takes_the_place_of_the_live_one(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, PRODUCTS, product("old", "An old lamp"))
        side = dataclasses.replace(PRODUCTS, fold_fingerprint="code-2").aside("rebuild")
        rebuilt = await Worker.of(store, side, product("new", "A new lamp"))
        await rebuilt.save(product("newer", "A newer lamp"))
        promoted = await store.promote(side, PRODUCTS)
        assert promoted == Checkpoint("Products", (Position(2),), "columns-1", "code-2", holders=("",))
        assert (await store.checkpoints())["Products"] == promoted
        assert {row[0] for row in await reader.find(PRODUCTS, Find({}))} == {"new", "newer"}
        assert {row[0] for row in await reader.search(PRODUCTS, "lamp", 9)} == {"new", "newer"}
        assert (await store.checkpoints()).keys() == {"Products", "Products~former"}
        with pytest.raises(UnknownReadModelError):
            await reader.find(side, Find({}))

    async def test_a_promotion_keeps_the_former_table(self, store: LeasingStore, reader: RowReader) -> None:
        former, side = PRODUCTS.aside("former"), PRODUCTS.aside("rebuild")
        await Worker.of(store, PRODUCTS, product("p1", "First lamp"))
        for number in (2, 3):
            rebuilt = await Worker.of(store, side, product(f"p{number}", "Lamp"))
            await rebuilt.save()
            await store.promote(side, PRODUCTS)
            kept = (await store.checkpoints())["Products~former"]
            assert kept == Checkpoint("Products~former", (Position(number - 1),), "columns-1", "", holders=("",))
            assert [row[0] for row in await reader.find(former, Find({}))] == [f"p{number - 1}"]
            assert [row[0] for row in await reader.search(former, "lamp", 9)] == [f"p{number - 1}"]

    async def test_a_promotion_can_be_taken_back(self, store: LeasingStore, reader: RowReader) -> None:
        await Worker.of(store, SALES, sale("EIRE", 1))
        await Worker.of(store, WIDER.aside("rebuild"), (*sale("France", 1), 5))
        assert (await store.promote(WIDER.aside("rebuild"), WIDER)).fingerprint == "columns-2"
        back = await store.promote(SALES_FORMER, WIDER)
        assert back == Checkpoint("Sales", (Position(1),), "columns-1", "code-1", holders=("",))
        assert await reader.find(SALES, Find({})) == [sale("EIRE", 1)]
        assert await reader.find(WIDER.aside("former"), Find({})) == [(*sale("France", 1), 5)]
        assert (await store.checkpoints()).keys() == {"Sales", "Sales~former"}
        await (await Worker.taking_over(store, SALES)).save(sale("Japan", 1))
        await store.promote(WIDER.aside("former"), WIDER)
        assert await reader.find(WIDER, Find({})) == [(*sale("France", 1), 5)]

    async def test_a_promoted_table_is_folded_on(self, store: LeasingStore, reader: RowReader) -> None:
        await Worker.of(store, PRODUCTS)
        for number in range(4):
            side = await Worker.of(store, PRODUCTS.aside("rebuild"), product("p1", f"lamp {number}"))
            await store.promote(side.table, PRODUCTS)
            worker = await Worker.taking_over(store, PRODUCTS)
            await worker.save(product("p2", f"desk {number}"))
            assert [row[0] for row in await reader.search(PRODUCTS, f"{number}", 9)] == ["p1", "p2"]
        assert (await store.open(PRODUCTS)).position == 2

    async def test_a_promotion_fences_the_workers_of_both_tables(self, store: LeasingStore, reader: RowReader) -> None:
        live = await Worker.of(store, SALES)
        rebuilt = await Worker.of(store, SALES_REBUILD)
        await store.promote(SALES_REBUILD, SALES)
        for worker in (live, rebuilt):
            for table in (SALES, SALES_REBUILD, SALES_FORMER):
                with pytest.raises(FencedError):
                    await store.save(Fold(table, worker.shares, Position(1), [sale("France", 1)], []))
        assert await reader.count(SALES, {}) == await reader.count(SALES_FORMER, {}) == 0

    async def test_a_promotion_by_one_that_has_lost_a_table_is_refused(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        live, rebuilt = await Worker.of(store, SALES, sale("EIRE", 1)), await Worker.of(store, SALES_REBUILD)
        for lost in (SALES, SALES_REBUILD):
            held = {"Sales": live.shares, "Sales~rebuild": rebuilt.shares}
            taker = await Worker.taking_over(store, lost)
            with pytest.raises(FencedError, match=f"another process has taken {lost.read_model} over"):
                await store.promote(SALES_REBUILD, SALES, held)
            assert await reader.count(SALES, {}) == 1
            live, rebuilt = (taker, rebuilt) if lost is SALES else (live, taker)
        await store.promote(SALES_REBUILD, SALES, {"Sales": live.shares, "Sales~rebuild": rebuilt.shares})
        assert await reader.count(SALES, {}) == 0

    async def test_the_worker_of_an_earlier_rebuild_never_writes_into_a_later_one(self, store: LeasingStore) -> None:
        await store.open(SALES)
        earlier = await Worker.of(store, SALES_REBUILD)
        await store.promote(SALES_REBUILD, SALES)
        later = await Worker.of(store, SALES_REBUILD)
        assert later.position == earlier.position
        with pytest.raises(FencedError):
            await earlier.save(sale("EIRE", 1))

    async def test_a_table_can_be_promoted_where_no_live_one_was(self, store: LeasingStore, reader: RowReader) -> None:
        rebuilt = await Worker.of(store, SALES_REBUILD, sale("EIRE", 1))
        assert (await store.promote(rebuilt.table, SALES)).position == 1
        assert await reader.count(SALES, {}) == 1
        assert (await store.checkpoints()).keys() == {"Sales"}

    async def test_a_table_of_other_columns_and_partitions_can_be_promoted(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, SALES, sale("EIRE", 1))
        await Worker.of(store, WIDER.aside("rebuild"), (*sale("EIRE", 1), 5))
        promoted = await store.promote(WIDER.aside("rebuild"), WIDER)
        assert promoted == Checkpoint("Sales", (Position(1),) * 2, "columns-2", "code-2", holders=("", ""))
        assert await reader.find(WIDER, Find({})) == [(*sale("EIRE", 1), 5)]
        assert await reader.find(SALES_FORMER, Find({})) == [sale("EIRE", 1)]
        assert await store.open(WIDER) == promoted
        await (await Worker.taking_over(store, WIDER)).save((*sale("France", 1), 6))
        assert await reader.count(WIDER, {}) == 2

    async def test_promoting_what_was_never_opened_changes_nothing(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        live = await Worker.of(store, SALES, sale("EIRE", 1))
        with pytest.raises(UnknownReadModelError, match="Sales~rebuild"):
            await store.promote(SALES_REBUILD, SALES)
        assert await reader.count(SALES, {}) == 1
        await live.save()

    async def test_a_dropped_read_model_is_gone_and_no_other(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, PRODUCTS, product("p1", "A lamp"))
        other = await Worker.of(store, PRODUCTS.aside("former"), product("p1", "A former lamp"))
        await store.drop("Products")
        assert (await store.checkpoints()).keys() == (await reader.checkpoints()).keys() == {"Products~former"}
        with pytest.raises(UnknownReadModelError):
            await reader.search(PRODUCTS, "lamp", 9)
        with pytest.raises(FencedError):
            await worker.save()
        await other.save(product("p2", "Another former lamp"))
        assert len(await reader.search(other.table, "lamp", 9)) == 2

    async def test_dropping_what_is_not_there_changes_nothing(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SALES, sale("EIRE", 1))
        await store.drop("Sales~former")
        await store.drop("nothing")
        await worker.save(sale("France", 1))
        assert await reader.count(SALES, {}) == 2

    async def test_a_dropped_read_model_can_be_opened_again_and_earlier_workers_stay_fenced(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        earlier = await Worker.of(store, PRODUCTS)
        for _ in range(3):
            await store.drop("Products")
            assert (await store.open(PRODUCTS)).position == START
            with pytest.raises(FencedError):
                await earlier.save(product("p1", "A stale lamp"))
            later = await Worker.taking_over(store, PRODUCTS)
            assert min(share.epoch for share in later.shares) > max(share.epoch for share in earlier.shares)
            with pytest.raises(FencedError):
                await earlier.save(product("p1", "A stale lamp"))
            earlier = later
        assert await reader.search(PRODUCTS, "lamp", 9) == []

    async def test_readers_never_miss_a_table_while_it_is_promoted(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, PRODUCTS, product("p1", "lamp"), product("p2", "lamp"))
        done = asyncio.Event()

        async def read() -> None:
            while not done.is_set():
                assert len(await reader.find(PRODUCTS, Find({}))) == 2
                assert len(await reader.get(PRODUCTS, [("p1",), ("p2",)])) == 2
                assert len(await reader.search(PRODUCTS, "lamp", 9)) == 2

        async with asyncio.TaskGroup() as readers:
            for _ in range(4):
                readers.create_task(read())
            for _ in range(15):
                side = await Worker.of(store, PRODUCTS.aside("rebuild"), restart=True)
                await side.save(product("p1", "lamp"), product("p2", "lamp"))
                await store.promote(side.table, PRODUCTS)
            done.set()

    # pausing

    async def test_a_read_model_stays_paused_until_told_otherwise(self, store: LeasingStore, reader: RowReader) -> None:
        await store.open(SALES)
        await store.open(PRODUCTS)
        await store.set_paused("Sales", True)
        assert (await store.open(SALES)).paused
        assert (await store.open(SALES, restart=True)).paused
        assert not (await store.open(SALES_REBUILD)).paused
        assert (await store.promote(SALES_REBUILD, SALES)).paused
        paused = {name: checkpoint.paused for name, checkpoint in (await reader.checkpoints()).items()}
        assert paused == {"Sales": True, "Products": False, "Sales~former": False}
        await store.set_paused("Sales", False)
        assert not (await store.open(SALES)).paused

    async def test_pausing_fences_nobody(self, store: LeasingStore) -> None:
        worker = await Worker.of(store, SALES)
        await store.set_paused("Sales", True)
        await worker.save(sale("EIRE", 1))

    async def test_an_unknown_read_model_can_not_be_paused(self, store: LeasingStore) -> None:
        with pytest.raises(UnknownReadModelError, match="Sales"):
            await store.set_paused("Sales", True)
        assert await store.checkpoints() == {}

    # following

    async def test_a_reader_knows_how_far_each_partition_has_come(self, store: LeasingStore, reader: RowReader) -> None:
        assert await reader.checkpoints() == {}
        worker = await Worker.of(store, SPREAD)
        await store.save(Fold(SPREAD, worker.shares[1:3], Position(7), [], []))
        found = (await reader.checkpoints())["Spread"]
        assert (found.positions, found.fingerprint, found.fold_fingerprint) == ((0, 7, 7, 0), "columns-1", "code-1")

    async def test_a_checkpoint_that_a_reader_sees_is_never_ahead_of_the_rows(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        worker = await Worker.of(store, SALES, sale("A", 1), sale("B", 0))
        done = asyncio.Event()

        async def read() -> None:
            while not done.is_set():
                position = (await reader.checkpoints())["Sales"].position
                assert (await reader.find(SALES, Find({"country": "A"})))[0][1] >= position
                position = (await reader.checkpoints())["Sales"].position
                assert len(await reader.get(SALES, [("B", number) for number in range(position)])) == position

        async with asyncio.TaskGroup() as readers:
            for _ in range(3):
                readers.create_task(read())
            for number in range(1, 60):
                await worker.save(sale("A", number + 1), sale("B", number), deleted=[("A", number)])
            done.set()

    async def test_a_reader_that_waits_is_woken_by_every_save(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SALES)

        seen: asyncio.Queue[int] = asyncio.Queue()

        async def follow() -> None:
            while True:
                seen.put_nowait((await reader.checkpoints())["Sales"].position)
                await reader.wait(self.call_timeout_s * 0.9)

        async with asyncio.timeout(self.call_timeout_s * 0.8), asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow())
            for number in range(1, 11):
                await worker.save()
                while await seen.get() < number:
                    pass
            following.cancel()

    async def test_a_move_between_two_waits_is_not_missed(self, store: LeasingStore, reader: RowReader) -> None:
        worker = await Worker.of(store, SALES)
        await reader.wait(0.05)
        await reader.wait(0.05)
        await worker.save()
        async with asyncio.timeout(self.call_timeout_s * 0.5):
            await reader.wait(self.call_timeout_s * 0.9)

    async def test_waiting_for_nothing_ends_in_time_and_is_no_busy_loop(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        await Worker.of(store, SALES)
        await reader.wait(0.0)
        loop = asyncio.get_running_loop()
        until, calls = loop.time() + 0.3, 0
        while loop.time() < until:
            await reader.wait(0.1)
            calls += 1
        assert calls < 30
