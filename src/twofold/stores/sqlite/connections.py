"""Opening SQLite files: whose they are, their schema, their settings, who may write, and what their errors mean.

One process writes a file, and in it one thread on one connection: a WAL file reset under two writing or checkpointing
connections can lose pages (https://www.sqlite.org/wal.html#walresetbug). Readers open the file `mode=ro`, in any
number and from any process; such a connection can't checkpoint.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold.errors import (
    CorruptStoreError,
    ForeignStoreError,
    StoreInUseError,
    StoreNotWritableError,
    StoreUnavailableError,
    TwofoldError,
    UnknownSchemaError,
)
from twofold.stores.statements import load_migrations, load_statements

__all__ = ["Schema", "StoreLock", "meaning", "open_reader", "open_writer", "read_holder", "transaction", "translated"]

SQL = load_statements(Path(__file__).with_name("connections.sql"))

BUSY_TIMEOUT_S = 5.0
_SMALLEST_DATABASE_BYTES = 512
_CORRUPT_REMEDY = "restore it from a backup, or give the store another file"
WAL_AUTOCHECKPOINT_PAGES = 2_000

# --- what is in a file ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one kind of store: how its files are told from others, and the steps that make them."""

    label: str
    application_id: int
    steps: tuple[str, ...]

    @classmethod
    def load(cls, label: str, *, application_id: int, folder: str) -> Schema:
        """The steps are the files of a folder under `migrations`."""
        return cls(label, application_id, load_migrations(Path(__file__).parent / "migrations" / folder))

    @property
    def number(self) -> int:
        """The schema's number once every step is done; `user_version` of an up-to-date file."""
        return len(self.steps)

    def store(self, path: Path) -> str:
        """How errors name the store: `event log orders.db`."""
        return f"{self.label} {path}"


def open_writer(path: Path, schema: Schema) -> sqlite3.Connection:
    """The writing connection, on a file that is made if it is missing and migrated if it is older.

    The caller holds the file's StoreLock. A file that is foreign, corrupt or newer is left as it is.
    """
    _check_size(path, schema)
    with translated(schema.store(path), opening=True):
        connection = _connect(path, "rwc")
        try:
            number = _schema_number(connection, path, schema)
            connection.execute(SQL["use_wal"])
            connection.executescript(SQL["configure_writer"].format(wal_autocheckpoint=WAL_AUTOCHECKPOINT_PAGES))
            _migrate(connection, schema, number)
        except (sqlite3.Error, TwofoldError):
            connection.close()
            raise
    return connection


def open_reader(path: Path, schema: Schema) -> sqlite3.Connection:
    """A connection that can't write, on a file of exactly this schema. It may be used from any one thread at a time."""
    if not path.exists():
        raise StoreUnavailableError(schema.store(path), "the file does not exist")
    _check_size(path, schema)
    with translated(schema.store(path), opening=True):
        connection = _connect(path, "ro")
        try:
            number = _schema_number(connection, path, schema)
            if number < schema.number:
                raise _unknown_schema(schema.store(path), number, schema.number)
            connection.executescript(SQL["configure_reader"])
        except (sqlite3.Error, TwofoldError):
            connection.close()
            raise
    return connection


def _check_size(path: Path, schema: Schema) -> None:
    """Refuse a file that is smaller than a database can be: SQLite takes it for an empty one, and writes over it."""
    size_bytes = path.stat().st_size if path.is_file() else 0
    if 0 < size_bytes < _SMALLEST_DATABASE_BYTES:
        reason = f"the file of {size_bytes} bytes is no database"
        raise CorruptStoreError(schema.store(path), reason, _CORRUPT_REMEDY)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _schema_number(connection: sqlite3.Connection, path: Path, schema: Schema) -> int:
    """The schema that the file is at, 0 for an empty one; ForeignStoreError or UnknownSchemaError. Writes nothing."""
    store = schema.store(path)
    application_id, number, objects = connection.execute(SQL["identity"]).fetchone()
    if application_id == schema.application_id:
        if number > schema.number:
            raise _unknown_schema(store, number, schema.number)
        return number
    if application_id or number or objects:
        reason = (
            f"the file is a SQLite database of something else (application id {application_id:#x}, {objects} objects)"
        )
        raise ForeignStoreError(store, reason, f"give the {schema.label} a file of its own")
    return 0


def _unknown_schema(store: str, found: int, known: int) -> UnknownSchemaError:
    if found > known:
        remedy = "run the release that wrote it, or a newer one"
    else:
        remedy = 'run "twofold schema migrate", or start the service that writes it'
    return UnknownSchemaError(store, f"its schema is at {found}, this release knows {known}", remedy)


def _migrate(connection: sqlite3.Connection, schema: Schema, number: int) -> None:
    for done, step in enumerate(schema.steps[number:], start=number + 1):
        try:
            connection.executescript(
                SQL["migrate"].format(step=step, application_id=schema.application_id, number=done)
            )
        except sqlite3.Error:
            roll_back(connection)
            raise


# --- transactions ----------------------------------------------------------------------------------------------------


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """All or nothing: commits at the end, rolls back when anything raises. The connection stays usable."""
    connection.execute(SQL["begin"])
    try:
        yield
        connection.execute("COMMIT")
    finally:
        roll_back(connection)


def roll_back(connection: sqlite3.Connection) -> None:
    """Leave no transaction open. After some errors (disk full, I/O) SQLite has rolled back by itself."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


# --- errors ----------------------------------------------------------------------------------------------------------

_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_BUSY: "another process holds the file",
    sqlite3.SQLITE_LOCKED: "another connection holds the table",
    sqlite3.SQLITE_PROTOCOL: "another process holds the file",
    sqlite3.SQLITE_READONLY: "the file can't be written",
    sqlite3.SQLITE_CANTOPEN: "the file can't be opened",
    sqlite3.SQLITE_PERM: "the file can't be used with this user's rights",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
}
_NOT_WRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}


def meaning(error: sqlite3.Error, store: str, *, opening: bool = False) -> TwofoldError | None:
    """What SQLite's error says about the store; None for one that says something about our statement (a bug).

    With `opening`, a file that can't be opened or written is a StoreNotWritableError, afterwards it is unavailable.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF
    detail = f"SQLite: {error} ({error.sqlite_errorname})"
    if primary in _CORRUPT:
        reason = f"the file is damaged or no database ({detail})"
        return CorruptStoreError(store, reason, _CORRUPT_REMEDY)
    if opening and primary in _NOT_WRITABLE:
        return StoreNotWritableError(
            store, f"{_UNAVAILABLE[primary]} ({detail})", "make the file and its folder writable for this user"
        )
    if primary in _UNAVAILABLE:
        return StoreUnavailableError(store, f"{_UNAVAILABLE[primary]} ({detail})")
    return None


@contextmanager
def translated(store: str, *, opening: bool = False) -> Generator[None]:
    """Raise Twofold's error for SQLite's; one that means nothing but a bug passes as it is."""
    try:
        yield
    except sqlite3.Error as error:
        meant = meaning(error, store, opening=opening)
        if meant is None:
            raise
        raise meant from error


# --- the one writer --------------------------------------------------------------------------------------------------

_LOCK_ATTEMPTS = 10
_LOCK_PAUSE_S = 0.02


class StoreLock:
    """The right to write a file: an exclusive `flock` on `<path>.lock`, given back by the kernel when the process dies.

    The lock file stays where it is: removing it would let two processes hold locks on two files of one name.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.publish({"pid": os.getpid()})

    @classmethod
    def acquire(cls, path: Path, store: str) -> StoreLock:
        """StoreInUseError when another process holds it, StoreNotWritableError when the lock file can't be made."""
        with ExitStack() as undo:
            try:
                descriptor = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT, 0o600)
                undo.callback(os.close, descriptor)
                if not _locked(descriptor):
                    raise _in_use(path, store)
                lock = cls(descriptor)
            except OSError as error:
                remedy = "make the folder, writable for this user and with space left, or name another"
                raise StoreNotWritableError(store, f"no lock file can be made beside it ({error})", remedy) from error
            undo.pop_all()
            return lock

    def publish(self, facts: Mapping[str, Any]) -> None:
        """Tell other processes of this user about the holder, as a JSON object; `pid` is always in it.

        The file's mode is 0600, so a token in it is as private as the user's own files.
        """
        text = json.dumps({"pid": os.getpid(), **facts}).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        """Let another process write. Call it once."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def read_holder(path: Path) -> Mapping[str, Any] | None:
    """What the process that writes the file has published (`pid` at least); None when no process holds the lock."""
    try:
        descriptor = os.open(_lock_path(path), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        return _published(os.pread(descriptor, 65_536, 0))
    finally:
        os.close(descriptor)


def _lock_path(path: Path) -> str:
    return f"{path}.lock"


def _locked(descriptor: int) -> bool:
    """Try for a moment: read_holder of another process takes the lock for microseconds to see whether it is free."""
    for _ in range(_LOCK_ATTEMPTS):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOCK_PAUSE_S)
    return False


def _published(text: bytes) -> Mapping[str, Any]:
    """The JSON object, or an empty one while the holder is just writing it."""
    try:
        return json.loads(text)
    except ValueError:
        return {}


def _in_use(path: Path, store: str) -> StoreInUseError:
    holder = read_holder(path) or {}
    return StoreInUseError(
        store,
        f"another process (pid {holder.get('pid', 'unknown')}) writes to it",
        "SQLite takes one writing process: stop that one, or use PostgreSQL, which takes many",
    )
