"""The SQL of this adapter, from the `.sql` files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import LiteralString, cast

from twofold.stores.statements import load_statements

__all__ = ["load_sql", "trusted"]


def load_sql(file: str) -> Mapping[str, LiteralString]:
    """The named sections of a file of this folder."""
    return {name: trusted(text) for name, text in load_statements(Path(__file__).parent / file).items()}


def trusted(text: str) -> LiteralString:
    """SQL that comes from our own files and checked names, as psycopg wants to be told."""
    return cast("LiteralString", text)
