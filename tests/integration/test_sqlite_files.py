"""Files that can't be used: each gets its own error, and stays as it is."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.integration.events import A, deposit, everything, make_log
from twofold.errors import (
    CorruptStoreError,
    ForeignStoreError,
    StoreInUseError,
    StoreNotWritableError,
    StoreUnavailableError,
    UnknownSchemaError,
)
from twofold.stores.sqlite.connections import StoreLock, read_holder
from twofold.stores.sqlite.event_log import SCHEMA, SqliteEventLog

NOBODY = 65534

HOLD = """
import asyncio, pathlib, sys
from twofold.stores.sqlite.event_log import SqliteEventLog

async def hold():
    async with SqliteEventLog.open(pathlib.Path(sys.argv[1])) as log:
        log.publish({"url": "http://127.0.0.1:8000"})
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(hold())
"""


async def refused(path: Path, *, writable: bool = True) -> Exception:
    """What opening the file raises."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the caller looks at it
        async with SqliteEventLog.open(path, writable=writable):
            pass
    return raised.value


@asynccontextmanager
async def unchanged(path: Path) -> AsyncIterator[None]:
    before = path.read_bytes()
    yield
    assert path.read_bytes() == before
    assert not path.with_name(f"{path.name}-wal").exists()


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("content", [b"hello world\n" * 1_000, b"SQLite format 3\0" + b"\xff" * 9_000, b"x"])
async def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path, content: bytes, writable: bool) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(content)
    async with unchanged(path):
        error = await refused(path, writable=writable)
    assert isinstance(error, CorruptStoreError)
    assert str(path) in str(error)
    assert read_holder(path) is None


async def test_damaged_pages_are_corrupt_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path, events=2_000)
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = b"\xa5" * (len(content) - 3 * 4096)
    path.write_bytes(content)
    async with SqliteEventLog.open(path, writable=False) as log:
        with pytest.raises(CorruptStoreError, match="damaged"):
            await everything(log)


async def test_a_gap_in_the_positions_is_corrupt_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path, events=9)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TRIGGER event_is_never_deleted; DELETE FROM event WHERE position = 5")
    async with SqliteEventLog.open(path, writable=False) as log:
        with pytest.raises(CorruptStoreError, match="positions are not dense after 0: found 6"):
            await everything(log)
        with pytest.raises(CorruptStoreError, match="versions of account-a are not dense after 2: found 6"):
            await log.read_streams([(A, 2)], 9)


@pytest.mark.parametrize("writable", [True, False])
async def test_another_applications_database_is_foreign(tmp_path: Path, writable: bool) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE bookmark (url TEXT); INSERT INTO bookmark VALUES ('x')")
    async with unchanged(path):
        error = await refused(path, writable=writable)
    assert isinstance(error, ForeignStoreError)
    assert "give the event log a file of its own" in str(error)


async def test_a_database_with_another_application_id_is_foreign(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 1234")
    async with unchanged(path):
        assert isinstance(await refused(path), ForeignStoreError)


@pytest.mark.parametrize("writable", [True, False])
async def test_a_newer_schema_is_refused_with_both_numbers_and_the_cure(tmp_path: Path, writable: bool) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("PRAGMA journal_mode = DELETE")
    async with unchanged(path):
        error = await refused(path, writable=writable)
    assert isinstance(error, UnknownSchemaError)
    assert f"its schema is at 99, this release knows {SCHEMA.number}" in str(error)
    assert "run the release that wrote it, or a newer one" in str(error)


async def test_a_reader_does_not_migrate_an_older_schema(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {SCHEMA.application_id}")
    async with unchanged(path):
        error = await refused(path, writable=False)
    assert isinstance(error, UnknownSchemaError)
    assert 'run "twofold schema migrate"' in str(error)


async def test_a_reader_does_not_make_a_missing_file(tmp_path: Path) -> None:
    error = await refused(tmp_path / "log.db", writable=False)
    assert isinstance(error, StoreUnavailableError)
    assert "the file does not exist" in str(error)
    assert not list(tmp_path.iterdir())


async def test_a_missing_folder_and_a_folder_in_the_files_place_are_not_writable(tmp_path: Path) -> None:
    assert isinstance(await refused(tmp_path / "missing" / "log.db"), StoreNotWritableError)
    (tmp_path / "log.db").mkdir()
    assert isinstance(await refused(tmp_path / "log.db"), StoreNotWritableError)


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """A folder that this process can read and not write: root, who can write everywhere, is nobody meanwhile."""
    folder = Path(tempfile.mkdtemp())
    (folder / "locked.db").touch()
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


async def test_a_read_only_folder_is_not_writable(read_only_folder: Path) -> None:
    error = await refused(read_only_folder / "log.db")
    assert isinstance(error, StoreNotWritableError)
    assert "make the folder, writable for this user and with space left, or name another" in str(error)
    assert [path.name for path in read_only_folder.iterdir()] == ["locked.db"]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the log open for writing."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "log.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


async def test_a_second_writing_process_is_refused(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    error = await refused(tmp_path / "log.db")
    assert isinstance(error, StoreInUseError)
    assert f"another process (pid {holder.pid}) writes to it" in str(error)
    assert "PostgreSQL" in str(error)


async def test_the_holder_tells_about_itself_to_its_own_user_alone(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    assert read_holder(tmp_path / "log.db") == {"pid": holder.pid, "url": "http://127.0.0.1:8000"}
    assert (tmp_path / "log.db.lock").stat().st_mode & 0o777 == 0o600


async def test_readers_are_welcome_beside_a_writing_process(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    async with SqliteEventLog.open(tmp_path / "log.db", writable=False) as log:
        assert await log.head() == 0


async def test_a_killed_process_leaves_the_lock_free(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    assert read_holder(tmp_path / "log.db") is None
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        await log.append([deposit(A, 0)])


async def test_the_same_process_can_not_open_a_log_twice_to_write(tmp_path: Path) -> None:
    async with SqliteEventLog.open(tmp_path / "log.db"):
        assert isinstance(await refused(tmp_path / "log.db"), StoreInUseError)
    async with SqliteEventLog.open(tmp_path / "log.db"):
        pass


def test_a_lock_file_that_is_just_being_written_tells_nothing_yet(tmp_path: Path) -> None:
    lock = StoreLock.acquire(tmp_path / "log.db", "event log")
    (tmp_path / "log.db.lock").write_text('{"pid": 12, "ur')
    assert read_holder(tmp_path / "log.db") == {}
    lock.release()


def test_what_is_published_later_takes_the_place_of_what_was(tmp_path: Path) -> None:
    lock = StoreLock.acquire(tmp_path / "log.db", "event log")
    lock.publish({"url": "http://127.0.0.1:8000", "token": "a long secret"})
    lock.publish({"url": "x"})
    assert read_holder(tmp_path / "log.db") == {"pid": os.getpid(), "url": "x"}
    lock.release()
    assert read_holder(tmp_path / "log.db") is None
    assert read_holder(tmp_path / "other.db") is None
