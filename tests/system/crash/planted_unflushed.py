"""The service with a bug planted: the event log acknowledges what it has not flushed (`synchronous=OFF`)."""

import sqlite3
from pathlib import Path

from twofold.cli import main
from twofold.stores.sqlite import event_log
from twofold.stores.sqlite.connections import Schema, open_writer


def open_unflushed(path: Path, schema: Schema) -> sqlite3.Connection:
    connection = open_writer(path, schema)
    connection.execute("PRAGMA synchronous=OFF")
    return connection


event_log.open_writer = open_unflushed
main()
