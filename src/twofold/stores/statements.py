"""SQL from `.sql` files in named sections: `-- name: read_after`, comments, one statement (or script).

A section's own comments stay in the file; what is loaded is the bare statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

__all__ = ["load_migrations", "load_statements"]

_SECTION = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)
_COMMENT_LINE = re.compile(r"^\s*--.*\n?", re.MULTILINE)


def load_statements(file: Path) -> Mapping[str, str]:
    """The statements of a file, by name. ValueError for one that is named twice."""
    statements: dict[str, str] = {}
    for name, statement in _sections(file.read_text(encoding="utf-8")):
        if name in statements:
            raise ValueError(f"{file.name}: two sections are named {name}")
        statements[name] = statement
    return MappingProxyType(statements)


def load_migrations(folder: Path) -> tuple[str, ...]:
    """The files `001_….sql`, `002_….sql` … of a folder, in order. ValueError when a number is missing."""
    files = sorted(folder.glob("*.sql"))
    numbers = [int(file.name.partition("_")[0]) for file in files]
    if numbers != list(range(1, len(files) + 1)):
        raise ValueError(f"migrations/{folder.name} must be numbered 1, 2, 3 …, found {numbers}")
    return tuple(file.read_text(encoding="utf-8") for file in files)


def _sections(text: str) -> Iterator[tuple[str, str]]:
    _, *parts = _SECTION.split(text)
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        yield name, _COMMENT_LINE.sub("", body).strip().removesuffix(";")
