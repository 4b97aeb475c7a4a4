"""The read store in memory keeps every promise of the port."""

import pytest

from twofold.stores.memory.read_store import MemoryReadStore
from twofold.testing.leases_contract import LeasesContract
from twofold.testing.read_store_contract import ReadStoreContract


class TestMemoryReadStore(ReadStoreContract):
    @pytest.fixture
    def stores(self) -> tuple[MemoryReadStore, MemoryReadStore]:
        store = MemoryReadStore()
        return store, store


class TestMemoryLeases(LeasesContract):
    @pytest.fixture
    def stores(self) -> tuple[MemoryReadStore, MemoryReadStore]:
        store = MemoryReadStore()
        return store, store
