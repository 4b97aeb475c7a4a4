"""What every test of the repository shares, the examples' among them."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The one event loop that Twofold runs on; `async def test_…` needs no mark (`anyio_mode`, pyproject.toml)."""
    return "asyncio"


pytest.register_assert_rewrite("twofold.testing.read_store_contract", "twofold.testing.event_log_contract")
