"""The loaders of `.sql` files."""

from pathlib import Path

import pytest

from twofold.stores.statements import load_migrations, load_statements


def test_a_section_is_a_statement_without_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "x.sql"
    file.write_text(
        "-- A file.\n\n-- name: one\n-- Why.\nSELECT 1\n  -- inside\n  FROM t;\n\n-- name: two\nSELECT 2;\n"
    )
    assert load_statements(file) == {"one": "SELECT 1\n  FROM t", "two": "SELECT 2"}


def test_two_sections_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.sql"
    file.write_text("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    with pytest.raises(ValueError, match=r"x\.sql: two sections are named one"):
        load_statements(file)


def test_migrations_must_be_numbered_without_a_gap(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "001_a.sql").write_text("SELECT 1;")
    assert load_migrations(folder) == ("SELECT 1;",)
    (folder / "003_c.sql").write_text("SELECT 3;")
    with pytest.raises(ValueError, match=r"migrations/x must be numbered 1, 2, 3 …, found \[1, 3\]"):
        load_migrations(folder)
