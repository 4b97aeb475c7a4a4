"""The floors of the house: the contracts in pyproject.toml, and a proof that they catch what they forbid."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGE, ROOT, place, python_files, tree_of


def lint_imports(source_folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        env={**os.environ, "PYTHONPATH": str(source_folder)},
        cwd=source_folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def copied_source(tmp_path: Path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / "twofold", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_module_imports_only_from_floors_below_its_own() -> None:
    done = lint_imports(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "code", "complaint"),
    [
        ("stray.py", "", "twofold.stray"),
        ("streams.py", "import twofold.cli", "twofold.streams -> twofold.cli"),
        ("runtime/stray.py", "import twofold.stores", "twofold.runtime.stray -> twofold.stores"),
        ("stores/stray.py", "import twofold.runtime", "twofold.stores.stray -> twofold.runtime"),
        ("wiring.py", "import twofold.testing", "twofold.wiring -> twofold.testing"),
        ("codec.py", "import sqlite3", "twofold.codec -> sqlite3"),
        ("runtime/stray.py", "import starlette", "twofold.runtime.stray -> starlette"),
    ],
)
def test_the_floors_catch_what_they_forbid(copied_source: Path, module: str, code: str, complaint: str) -> None:
    path = copied_source / "twofold" / module
    with path.open("a") as source:
        source.write(f"\n{code}\n")
    done = lint_imports(copied_source)
    assert done.returncode == 1
    assert complaint in done.stdout


def imports_of_the_root_package(tree: ast.Module) -> list[ast.stmt]:
    submodules = {path.stem for path in PACKAGE.iterdir()}
    found: list[ast.stmt] = []
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="twofold", names=names, level=0):
                found += [node for alias in names if alias.name not in submodules]
            case ast.Import(names=names):
                found += [node for alias in names if alias.name == "twofold"]
            case _:
                pass
    return found


def test_no_module_takes_the_stairs_through_the_public_api() -> None:
    """`from twofold import …` inside the package would reach every floor without the contracts seeing it."""
    found = [
        place(path, node.lineno)
        for path in python_files("src")
        for node in imports_of_the_root_package(tree_of(path))
        if path != PACKAGE / "__init__.py"
    ]
    assert not found, f"import from the module that defines the name: {found}"


@pytest.mark.parametrize("code", ["import twofold", "from twofold import Event"])
def test_the_stairs_are_seen(code: str) -> None:
    assert imports_of_the_root_package(ast.parse(code))


def test_no_room_is_called_utils() -> None:
    unnamed = {"base", "common", "core", "helpers", "misc", "shared", "util", "utils"}
    found = [path.relative_to(ROOT) for path in python_files("src") if unnamed & {path.stem, path.parent.name}]
    assert not found, f"name the room after what is in it: {found}"
