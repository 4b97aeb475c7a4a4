import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Twofold


def test_a_project_is_made_with_its_own_name_everywhere(folder: Path, twofold: Twofold) -> None:
    done = twofold("new", "my_shop")
    assert done.exit_code == 0
    made = {
        path.relative_to(folder / "my_shop").as_posix() for path in (folder / "my_shop").rglob("*") if path.is_file()
    }
    assert made == {
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "my_shop/__init__.py",
        "my_shop/tasks.py",
        "tests/conftest.py",
        "tests/test_tasks.py",
    }
    texts = [(folder / "my_shop" / path).read_text() for path in made]
    assert not any("$" in text for text in texts), "every blank is filled in"
    assert 'app = "my_shop:app"' in (folder / "my_shop" / "pyproject.toml").read_text()
    assert 'name = "my-shop"' in (folder / "my_shop" / "pyproject.toml").read_text()


def test_a_new_project_is_well_formed_and_typed(folder: Path, twofold: Twofold) -> None:
    twofold("new", "my_shop")
    project = folder / "my_shop"
    tool = [sys.executable, "-m"]
    for command in (
        ["ruff", "check", "--isolated", "--line-length", "120", "--select", "E,F,I,UP,B", "."],
        ["ruff", "format", "--isolated", "--line-length", "120", "--check", "."],
        ["pyright", "--pythonpath", sys.executable, "."],
    ):
        done = subprocess.run([*tool, *command], cwd=project, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["1st", "my-shop", "my shop", "class", "../shop", "", "größe", "_shop"])
def test_a_name_that_can_not_be_imported_is_refused(folder: Path, twofold: Twofold, name: str) -> None:
    failed = twofold("new", name)
    assert failed.exit_code == 2
    assert "can't name a Python package" in failed.stderr
    assert not any(folder.iterdir())


@pytest.mark.parametrize("name", ["json", "twofold", "tests"])
def test_a_name_that_would_hide_another_module_is_refused(folder: Path, twofold: Twofold, name: str) -> None:
    failed = twofold("new", name)
    assert failed.exit_code == 2
    assert "hide" in failed.stderr
    assert not any(folder.iterdir())


def test_an_existing_folder_is_left_alone(folder: Path, twofold: Twofold) -> None:
    (folder / "shop").mkdir()
    failed = twofold("new", "shop")
    assert failed.exit_code == 2
    assert "exists already" in failed.stderr
    assert not any((folder / "shop").iterdir())


def test_a_folder_that_can_not_be_written_is_named(
    folder: Path, twofold: Twofold, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refused)  # root may write everywhere
    failed = twofold("new", "shop")
    assert failed.exit_code == 1
    assert "Permission denied" in failed.stderr
