"""A power cut: what the disk holds when the process stops in mid-flight, with nothing flushed afterwards.

The files lie on a file system of their own in an image, mounted by a loop device. The process is stopped, the image is
copied as it is, and the copy is mounted and used: whatever only the page cache held is not in it.
"""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import FindTool
from tests.servers.disks import make_disk, mounted
from tests.system.crash.evidence import balances, events
from tests.system.crash.service import Service
from tests.system.faults.ledger import Ledger, Outcome, audit
from tests.system.faults.workload import Workload

HERE = Path(__file__).parent
ACKNOWLEDGED = 1_000


@pytest.fixture
def image(tmp_path: Path, find_tool: FindTool) -> Path:
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("mounting an image needs root: sudo make test")
    path = tmp_path / "disk.img"
    make_disk(path, 128 * 1024 * 1024, find_tool("mkfs.ext4"))
    return path


async def after_a_power_cut(image: Path, entry: Path | None) -> list[str]:
    """Load a service until enough is acknowledged, cut, start on what the disk has, and audit."""
    ledger, cut = Ledger(), image.with_name("cut.img")
    with mounted(image, image.with_name("before")) as folder:
        service = Service(folder, entry)
        try:
            await load(service, ledger)
            shutil.copyfile(image, cut)
        finally:
            service.stop()
    with mounted(cut, image.with_name("after")) as folder:
        service = Service(folder)
        try:
            await asyncio.to_thread(service.start)
            service.settle_and_stop()
            return audit(ledger, events(service), balances(folder))
        except RuntimeError as error:
            return [f"the service does not start on what is left: {error}"]
        finally:
            service.stop()


async def load(service: Service, ledger: Ledger) -> None:
    """Deposit until enough is acknowledged, then stop the process in mid-flight with SIGSTOP."""
    await asyncio.to_thread(service.start)
    workload = Workload([service.port], ledger, seed=7)
    await workload.open_accounts()
    running = asyncio.create_task(workload.run())
    async with asyncio.timeout(60):
        while ledger.count(Outcome.OK) < ACKNOWLEDGED:
            await asyncio.sleep(0.01)
    service.signal(signal.SIGSTOP)
    workload.going = False
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_power_cut_loses_nothing_acknowledged(image: Path) -> None:
    assert await after_a_power_cut(image, None) == []


async def test_the_audit_catches_a_log_that_is_not_flushed(image: Path) -> None:
    found = await after_a_power_cut(image, HERE / "planted_unflushed.py")
    assert any("0 times in the log" in each or "does not start" in each for each in found), found[:5]
