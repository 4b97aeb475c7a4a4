"""A look at a SQLite file of Twofold from outside: for operators, beside the process that writes it.

Nothing is changed and nobody is locked out. What is wrong with the file is said in the report and not raised.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from twofold.stores.reports import StoreReport
from twofold.stores.sqlite.connections import BUSY_TIMEOUT_S, Schema, meaning, read_holder
from twofold.stores.sqlite.standings import checkpoints
from twofold.stores.statements import load_statements

__all__ = ["SQLITE_VERSION", "inspect"]

SQL = load_statements(Path(__file__).with_name("inspection.sql"))
SQLITE_VERSION = sqlite3.sqlite_version
_MOST_DAMAGES = 5


def inspect(path: Path, schema: Schema, *, deep: bool = False) -> StoreReport:
    """Whether the file is there, usable and of which schema; `deep` checks its every page, which takes time."""
    facts: dict[str, Any] = {
        "label": schema.label,
        "place": str(path),
        "known_schema": schema.number,
        "exists": path.exists(),
        "writable": os.access(path if path.exists() else _existing_folder(path), os.W_OK),
        "free_bytes": shutil.disk_usage(_existing_folder(path)).free,
    }
    if not path.exists():
        return StoreReport(**facts)
    try:
        facts |= {"size_bytes": path.stat().st_size, "holder": read_holder(path)}
        facts |= _contents(path, schema, deep)
    except sqlite3.Error as error:
        facts["error"] = str(meaning(error, schema.store(path), opening=True) or error)
    except OSError as error:
        facts["error"] = f"{schema.store(path)}: {error.strerror or error}"
    return StoreReport(**facts)


def _existing_folder(path: Path) -> Path:
    return next(each for each in path.absolute().parents if each.is_dir())


def _contents(path: Path, schema: Schema, deep: bool) -> Mapping[str, Any]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
        application_id, number, objects = connection.execute(SQL["identity"]).fetchone()
        if application_id != schema.application_id and (application_id or number or objects):
            return {"error": f"{schema.store(path)}: the file is a SQLite database of something else"}
        tables = {name for (name,) in connection.execute(SQL["tables"])}
        return {
            "schema": number,
            "damage": _damage(connection) if deep else (),
            "gap": _gap(connection) if deep and "event" in tables else "",
            "checkpoints": checkpoints(connection) if "twofold_checkpoint" in tables else {},
        }


def _damage(connection: sqlite3.Connection) -> Sequence[str]:
    rows = connection.execute(SQL["quick_check"], {"limit": _MOST_DAMAGES})
    return [text for (text,) in rows if text != "ok"]


def _gap(connection: sqlite3.Connection) -> str:
    count, first, last = connection.execute(SQL["positions"]).fetchone()
    if count == (last or 0) and first in (None, 1):
        return ""
    return f"holds {count} events at positions {first} to {last}: they are not dense"
