"""A disk that is full: commands are refused in clear words, and go on by themselves when there is room again."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from tests.conftest import FindTool
from tests.servers.disks import small_disk
from tests.servers.postgres import PostgresServer
from tests.system.faults.ledger import Ledger, Outcome
from tests.system.faults.workload import load_on
from tests.system.services.calls import calling
from tests.system.services.cluster import Cluster, cluster_on
from tests.system.services.evidence import wrongs
from twofold.testing.load import Response

DISK_BYTES = 64 * 1024 * 1024


@pytest.fixture
def disk(find_tool: FindTool) -> Iterator[Path]:
    """Mounted where the server's user can come, unlike the folders that pytest makes."""
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("mounting an image needs root: sudo make test")
    with TemporaryDirectory(prefix="twofold-disk-") as name:
        root = Path(name)
        root.chmod(0o755)
        with small_disk(root / "image", root / "disk", DISK_BYTES, find_tool("mkfs.ext4")) as folder:
            yield folder


@pytest.fixture
def cluster(postgres18: PostgresServer, disk: Path, tmp_path: Path) -> Iterator[Cluster]:
    """On a database whose tables are on the small disk."""
    place = disk / "tables"
    place.mkdir()
    if os.geteuid() == 0:
        shutil.chown(place, "nobody")
    postgres18.sql(f"create tablespace small location '{place}'")
    postgres18.sql("create database small tablespace small")
    try:
        with cluster_on(postgres18, "small", tmp_path, {"TWOFOLD_LEASE_S": "1"}) as made:
            yield made
    finally:
        postgres18.sql("drop database small with (force)")
        postgres18.sql("drop tablespace small")


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Until the block ends, the disk has no byte left."""
    ballast = disk / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=64k"], capture_output=True, check=False)
    try:
        yield
    finally:
        ballast.unlink()


async def until_refused(load_answers: list[Response]) -> Response:
    async with asyncio.timeout(60):
        while not load_answers:
            await asyncio.sleep(0.05)
    return load_answers[0]


@pytest.mark.timeout(200)
async def test_a_full_disk_is_a_clear_503_and_nothing_is_lost(cluster: Cluster, disk: Path) -> None:
    ledger = Ledger()
    await asyncio.to_thread(cluster.start, command=1, query=1, projector=1)
    pids = [service.pid for service in cluster.services]
    async with load_on(cluster.ports("command"), ledger, seed=14) as load, calling(cluster, ledger) as caller:
        await caller.visible("a1")
        with filled(disk):
            refused = await until_refused(load.unavailable)
            assert (await caller.ask("LastPositionOf", "a1")).status == 200, "queries go on"
        async with asyncio.timeout(10):
            while (await caller.send("Deposit", account_id="a1", amount="1")).status != 200:
                await asyncio.sleep(0.1)
            await caller.visible("a1")
    problem = msgspec.json.decode(refused.body)
    assert (problem["status"], problem["code"]) == (503, "store-unavailable")
    assert "nothing was written" in problem["detail"], "what it means to the client"
    (service,) = cluster.of("command")
    assert "No space left on device" in service.output.read_text(), "what it means to the operator"
    assert wrongs(cluster, ledger) == []
    assert pids == [service.pid for service in cluster.services if service.runs], "nothing was restarted"
    print(f"{ledger.count(Outcome.OK)} acknowledged, nothing lost")
