"""The read store on SQLite keeps every promise of the port."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from twofold.stores.sqlite.read_store import SqliteReadStore
from twofold.stores.sqlite.row_reader import SqliteRowReader
from twofold.testing.read_store_contract import ReadStoreContract


class TestSqliteReadStore(ReadStoreContract):
    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[tuple[SqliteReadStore, SqliteRowReader]]:
        path = tmp_path / "read.db"
        async with SqliteReadStore.at(path) as store, SqliteRowReader.open(path) as reader:
            yield store, reader
