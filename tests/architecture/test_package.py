"""What users install and import."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import twofold
from tests.architecture.source_tree import PACKAGE, ROOT, committed_files

MOST_PUBLIC_NAMES = 40
MOST_DEPENDENCIES = 10


def natural_order(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions: the order that ruff's RUF022 keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_the_public_api_is_small_and_sorted() -> None:
    assert len(twofold.__all__) <= MOST_PUBLIC_NAMES
    assert list(twofold.__all__) == sorted(set(twofold.__all__), key=natural_order)


def test_every_public_name_exists_and_is_listed() -> None:
    missing = [name for name in twofold.__all__ if not hasattr(twofold, name)]
    assert not missing, missing
    assert set(twofold.__all__) <= set(dir(twofold))


def test_a_core_install_has_at_most_ten_direct_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(project["dependencies"]) <= MOST_DEPENDENCIES


def test_every_direct_dependency_is_decided_in_writing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "decisions" / "dependencies.md").read_text()
    names = [requirement.partition(">=")[0] for requirement in project["dependencies"]]
    assert not [name for name in names if f"| {name} |" not in page]


def test_the_wheel_carries_every_file_of_the_package(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = tmp_path.glob("twofold-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("twofold/")}
    written = {path.relative_to(PACKAGE.parent).as_posix() for path in committed_files() if PACKAGE in path.parents}
    assert packed == written
    assert "twofold/py.typed" in packed
