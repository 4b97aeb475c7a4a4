"""Faults while the event log is written: a full disk, an error at COMMIT, a killed process."""

import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.events import A, deposit, everything, make_log
from twofold.errors import StoreNotWritableError, StoreUnavailableError, UnknownOutcomeError
from twofold.ports import Appended
from twofold.stores.sqlite.event_log import SqliteEventLog
from twofold.stores.sqlite.event_writer import Writer
from twofold.streams import Position, StreamId

LARGE = b'"%s"' % (b"x" * 100_000)

# --- a full disk ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB, where this process may mount one."""
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(8_000_000)
    try:
        subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"no file system can be mounted here ({error}); the next test does it with a limit")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


async def fill(log: SqliteEventLog) -> int:
    """Append until the store refuses; how many events were acknowledged."""
    for number in range(1_000):
        try:
            await log.append([deposit(A, number, data=LARGE, command_id=f"c-{number}")])
        except StoreUnavailableError:
            return number
    raise AssertionError("the disk was never full")


async def check_refusal_and_recovery(log: SqliteEventLog, path: Path, acknowledged: int) -> None:
    """What was acknowledged is there and no more; then, with space again, the same commit goes in."""
    assert await log.head() == acknowledged
    assert len(await everything(log)) == acknowledged
    assert await log.append([deposit(A, acknowledged, command_id=f"c-{acknowledged}")]) == [
        Appended(acknowledged + 1, Position(acknowledged + 1))
    ]
    async with SqliteEventLog.open(path, writable=False) as reader:
        assert [each.position for each in await everything(reader)] == list(range(1, acknowledged + 2))


async def test_a_full_disk_refuses_appends_and_one_with_space_again_takes_them(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 2_000_000)
    async with SqliteEventLog.open(small_disk / "log.db") as log:
        acknowledged = await fill(log)
        with pytest.raises(StoreUnavailableError, match=r"the disk is full .* nothing was written"):
            await log.append([deposit(A, acknowledged, data=LARGE)])
        ballast.unlink()
        await check_refusal_and_recovery(log, small_disk / "log.db", acknowledged)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """No file of this process grows further: what a full disk is, without a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_file_that_can_not_grow_refuses_appends_until_it_can(tmp_path: Path) -> None:
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        with files_of_at_most(3_000_000):
            acknowledged = await fill(log)
            with pytest.raises(StoreUnavailableError, match="nothing was written"):
                await log.append([deposit(A, acknowledged, data=LARGE)])
        await check_refusal_and_recovery(log, tmp_path / "log.db", acknowledged)


async def test_without_space_for_the_lock_file_nothing_is_opened_and_nothing_stays_locked(tmp_path: Path) -> None:
    with files_of_at_most(1), pytest.raises(StoreNotWritableError, match="with space left"):
        async with SqliteEventLog.open(tmp_path / "log.db"):
            pass
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        assert await log.head() == 0


async def test_no_neighbour_of_a_commit_that_does_not_fit_is_written(tmp_path: Path) -> None:
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        with files_of_at_most(1_000_000), pytest.raises(StoreUnavailableError):
            await log.append(
                [deposit(A, 0), deposit(StreamId("account", "b"), 0, events=400, data=LARGE), deposit(A, 1)]
            )
        assert await log.head() == 0
        assert not await everything(log)


# --- an error at COMMIT ---


class Faulty(sqlite3.Connection):
    """Fails a statement after it took effect, or before; then, if told so, all others."""

    plan: str = ""
    code: int = sqlite3.SQLITE_IOERR

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if self.plan == "dead" or (self.plan and sql.startswith("INSERT")):
            if self.plan == "after":
                super().execute(sql, *parameters)
            self.plan = "dead" if self.plan == "dead too" else "" if self.plan != "dead" else "dead"
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode, error.sqlite_errorname = self.code, "SQLITE_IOERR"
            raise error
        return super().execute(sql, *parameters)


@pytest.fixture
async def faulty(tmp_path: Path) -> Faulty:
    await make_log(tmp_path / "log.db")
    return sqlite3.connect(tmp_path / "log.db", isolation_level=None, factory=Faulty)


async def test_an_append_that_failed_after_it_took_effect_is_acknowledged(faulty: Faulty) -> None:
    with closing(faulty):
        writer = Writer(faulty, "event log")
        faulty.plan = "after"
        assert writer.write([[deposit(A, 3)]]).outcomes == [[Appended(4, Position(4))]]
        assert writer.write([[deposit(A, 4)]]).outcomes == [[Appended(5, Position(5))]]


async def test_an_append_that_failed_and_took_no_effect_was_not_written(faulty: Faulty) -> None:
    with closing(faulty):
        writer = Writer(faulty, "event log")
        faulty.plan = "before"
        with pytest.raises(StoreUnavailableError, match="nothing was written"):
            writer.write([[deposit(A, 3)]])
        assert writer.write([[deposit(A, 3)]]).outcomes == [[Appended(4, Position(4))]]


async def test_the_outcome_is_unknown_when_the_file_can_not_be_asked(faulty: Faulty) -> None:
    with closing(faulty):
        writer = Writer(faulty, "event log")
        faulty.plan = "dead too"
        with pytest.raises(UnknownOutcomeError, match="send the same command with the same command id again"):
            writer.write([[deposit(A, 3)]])
        faulty.plan = ""
        assert writer.write([[deposit(A, 3)]]).outcomes == [[Appended(4, Position(4))]]


async def test_the_outcome_is_unknown_when_a_sync_failed(faulty: Faulty) -> None:
    """The pages are in the WAL file and not counted: a crash before the next write would count them."""
    with closing(faulty):
        writer = Writer(faulty, "event log")
        faulty.plan, faulty.code = "before", sqlite3.SQLITE_IOERR_FSYNC
        with pytest.raises(UnknownOutcomeError):
            writer.write([[deposit(A, 3)]])


# --- a killed process ---

APPEND = """
import asyncio, pathlib, sys
from tests.integration.events import A, deposit, everything
from twofold.stores.sqlite.event_log import SqliteEventLog
from twofold.streams import StreamId

async def write(log, writer):
    stream = StreamId("account", str(writer))
    ((*_, last),) = [events or [None] for events in await log.read_streams([(stream, 0)], 100_000)]
    version = last.version if last else 0
    while True:
        commit = deposit(stream, version, events=2, command_id=f"{writer}-{version}")
        version = (await log.append([commit]))[0].version
        print(writer, version, flush=True)

async def main():
    async with SqliteEventLog.open(pathlib.Path(sys.argv[1])) as log:
        await asyncio.gather(*(write(log, writer) for writer in range(8)))

asyncio.run(main())
"""


def kill_in_the_middle_of_appends(path: Path, acknowledgements: int) -> dict[str, int]:
    """The last version that each writer saw acknowledged."""
    versions: dict[str, int] = {}
    command = [sys.executable, "-c", APPEND, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout
        for number, line in enumerate(process.stdout):
            if number == acknowledgements:
                process.send_signal(signal.SIGKILL)
            if line.endswith("\n"):
                writer, version = line.split()
                versions[writer] = int(version)
        assert process.wait() == -signal.SIGKILL
    return versions


async def test_everything_acknowledged_before_a_kill_is_there_and_nothing_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    for acknowledgements in (1, 50, 333, 1_234):
        acknowledged = kill_in_the_middle_of_appends(path, acknowledgements)
        async with SqliteEventLog.open(path) as log:
            events = await everything(log)
            streams = await log.read_streams([(StreamId("account", name), 0) for name in acknowledged], 100_000)
        assert [each.position for each in events] == list(range(1, len(events) + 1))
        for (name, version), stream in zip(acknowledged.items(), streams, strict=True):
            assert len(stream) >= version, name
            assert len(stream) % 2 == 0
