"""The testing kit: given/when/then for aggregates and read models, a system in the test's process, contract suites.

The contract suites are in `twofold.testing.event_log_contract` and `twofold.testing.read_store_contract`.
"""

from twofold.testing.aggregates import given
from twofold.testing.clocks import TestClock
from twofold.testing.read_models import given_events, recorded
from twofold.testing.system import RunningSystem, running

__all__ = ["RunningSystem", "TestClock", "given", "given_events", "recorded", "running"]
