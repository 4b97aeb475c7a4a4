"""The read store on SQLite keeps every promise of the port."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from twofold.stores.sqlite.read_store import SqliteReadStore
from twofold.stores.sqlite.row_reader import SqliteRowReader
from twofold.testing.leases_contract import LeasesContract
from twofold.testing.read_store_contract import ReadStoreContract

Stores = tuple[SqliteReadStore, SqliteRowReader]


class TestSqliteReadStore(ReadStoreContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        path = tmp_path / "read.db"
        async with SqliteReadStore.at(path) as store, SqliteRowReader.open(path) as reader:
            yield store, reader


class TestSqliteReaderBesideTheStore(ReadStoreContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        path = tmp_path / "read.db"
        async with SqliteReadStore.at(path) as store, SqliteRowReader.open(path, beside=store) as reader:
            yield store, reader


class TestSqliteLeases(LeasesContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        path = tmp_path / "read.db"
        async with SqliteReadStore.at(path) as store, SqliteRowReader.open(path) as reader:
            yield store, reader
