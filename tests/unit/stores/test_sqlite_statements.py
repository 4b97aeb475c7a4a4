"""The loader of `.sql` files."""

from pathlib import Path

import pytest

from twofold.stores.sqlite import statements
from twofold.stores.sqlite.connections import Schema
from twofold.stores.sqlite.statements import load_statements


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(statements, "__file__", str(tmp_path / "statements.py"))
    return tmp_path


def test_a_section_is_a_statement_without_its_comments(folder: Path) -> None:
    (folder / "x.sql").write_text(
        "-- A file.\n\n-- name: one\n-- Why.\nSELECT 1\n  -- inside\n  FROM t;\n\n-- name: two\nSELECT 2;\n"
    )
    assert load_statements("x.sql") == {"one": "SELECT 1\n  FROM t", "two": "SELECT 2"}


def test_two_sections_of_one_name_are_refused(folder: Path) -> None:
    (folder / "x.sql").write_text("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    with pytest.raises(ValueError, match="two sections are named one"):
        load_statements("x.sql")


def test_migrations_must_be_numbered_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.stores.sqlite.connections.__file__", str(tmp_path / "connections.py"))
    folder = tmp_path / "migrations" / "x"
    folder.mkdir(parents=True)
    (folder / "001_a.sql").write_text("SELECT 1;")
    assert Schema.load("x", application_id=1, folder="x").number == 1
    (folder / "003_c.sql").write_text("SELECT 3;")
    with pytest.raises(ValueError, match=r"numbered 1, 2, 3 …, found \[1, 3\]"):
        Schema.load("x", application_id=1, folder="x")
