"""The event log in memory keeps the contract."""

import pytest

from twofold.stores.memory.event_log import MemoryEventLog
from twofold.testing.event_log_contract import EventLogContract, SnapshotsContract


class TestMemoryEventLog(EventLogContract):
    @pytest.fixture
    def log(self) -> MemoryEventLog:
        return MemoryEventLog()


class TestMemorySnapshots(SnapshotsContract):
    @pytest.fixture
    def snapshots(self) -> MemoryEventLog:
        return MemoryEventLog()
