"""The repository as the architecture tests see it: its committed files and their syntax trees."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "twofold"
CODE_FOLDERS = ("src", "tests", "examples", "benchmarks")


@cache
def committed_files() -> tuple[Path, ...]:
    """Every file that git has or would take: tracked, or new and not ignored; deleted ones left out."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return tuple(sorted({path for path in paths if path.is_file()}))


def text_files() -> Iterator[tuple[Path, str]]:
    for path in committed_files():
        data = path.read_bytes()
        if b"\0" not in data:
            yield path, data.decode()


@cache
def python_files(*folders: str) -> tuple[Path, ...]:
    roots = [ROOT / folder for folder in folders]
    return tuple(path for path in committed_files() if path.suffix == ".py" and any(r in path.parents for r in roots))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"
