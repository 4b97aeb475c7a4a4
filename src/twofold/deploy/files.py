"""Generated files in a folder: what writing them would change, and writing them.

Every generated text has a mark in its first lines. A marked file that is generated no longer is removed, so that a
service that was taken away does not live on in a forgotten manifest; a file without the mark is the user's, and never
touched.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["Files", "diff", "foreign", "mark", "tag_in", "write"]

Files = Mapping[str, str]
"""Texts by their path in the folder. JSON has no comments, so files of it bear no mark."""

_MARK = "Written by twofold deploy"
_TAG = re.compile(r"^(?:TAG=|\s*newTag: )'?([A-Za-z0-9_.-]+)'?$", re.MULTILINE)


def mark(kind: str) -> str:
    """The first line of a file that `twofold deploy KIND` writes, without the sign of a comment."""
    return f"{_MARK} {kind}: change the application or pyproject.toml and run it again."


def diff(folder: Path, files: Files, *, kind: str) -> str:
    """A unified diff from what is in the folder to what `write` would make of it; empty when nothing would change."""
    new: dict[str, str | None] = {**dict.fromkeys(_forgotten(folder, files, kind)), **files}
    lines: list[str] = []
    for path, text in sorted(new.items()):
        before = _read(folder / path)
        if before != text:
            lines += difflib.unified_diff(
                (before or "").splitlines(keepends=True),
                (text or "").splitlines(keepends=True),
                "/dev/null" if before is None else f"a/{path}",
                "/dev/null" if text is None else f"b/{path}",
            )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def write(folder: Path, files: Files, *, kind: str) -> tuple[list[str], list[str]]:
    """Make the folder as the files say; returns the paths that were written, and those that were removed."""
    forgotten = list(_forgotten(folder, files, kind))
    for path in forgotten:
        (folder / path).unlink()
    changed = [path for path, text in files.items() if _read(folder / path) != text]
    for path in changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(files[path], encoding="utf-8")
        if path.endswith(".sh"):
            (folder / path).chmod(0o755)
    return changed, forgotten


def foreign(folder: Path, files: Files) -> list[str]:
    """The paths at which something stands that nobody generated."""
    return [path for path in files if not path.endswith(".json") and not _is_ours(_read(folder / path))]


def tag_in(folder: Path) -> str | None:
    """The tag that the files in the folder deploy; None where there are none."""
    for path in (".env", "overlays/production/kustomization.yaml"):
        found = _TAG.search(_read(folder / path) or "")
        if found:
            return found[1]
    return None


def _is_ours(text: str | None) -> bool:
    return text is None or any(_MARK in line for line in text.splitlines()[:2])


def _forgotten(folder: Path, files: Files, kind: str) -> Iterator[str]:
    """Marked files beside the generated ones, and below."""
    roots = {(folder / path).parent for path in files if path.endswith(".yaml")}
    found = {path for root in roots if root.is_dir() for path in root.glob("*.yaml")}
    for path in sorted(found):
        name = path.relative_to(folder).as_posix()
        if name not in files and (_read(path) or "").startswith(f"# {mark(kind)}"):
            yield name


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
