"""The read store on PostgreSQL keeps every promise of the port, on the newest and the oldest release."""

from collections.abc import AsyncIterator

import pytest

from twofold.settings import Settings
from twofold.stores.postgres.read_store import SCHEMA, PostgresReadStore
from twofold.stores.postgres.row_reader import PostgresRowReader
from twofold.testing.leases_contract import ExpiringLeasesContract, LeasesContract
from twofold.testing.read_store_contract import ReadStoreContract

Stores = tuple[PostgresReadStore, PostgresRowReader]

SETTINGS = Settings()


class PostgresStores:
    @pytest.fixture
    async def stores(self, database: str) -> AsyncIterator[Stores]:
        await SCHEMA.migrate(database, SETTINGS)
        async with (
            PostgresReadStore.at(database, settings=SETTINGS, role="all") as store,
            PostgresRowReader.open(database, settings=SETTINGS, role="all") as reader,
        ):
            yield store, reader


class TestPostgresReadStore(PostgresStores, ReadStoreContract):
    pass


class TestPostgresLeases(PostgresStores, LeasesContract):
    pass


class TestPostgresLeasesOverTime(PostgresStores, ExpiringLeasesContract):
    pass
