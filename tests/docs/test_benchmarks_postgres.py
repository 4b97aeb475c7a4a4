"""docs/explanation/benchmarks-postgres.md explains every benchmark on PostgreSQL and every option."""

import click

from benchmarks.postgres.__main__ import NAMES, main
from tests.docs.pages import page, rows, section

TEXT = page("explanation/benchmarks-postgres.md")


def test_every_benchmark_is_explained_in_order_and_no_other() -> None:
    explained = [cells[0].strip("`") for cells in rows(section(TEXT, "What each row means"))]
    assert explained == list(NAMES)


def test_every_option_is_shown_or_told() -> None:
    options = [each.opts[0] for each in main.params if isinstance(each, click.Option)]
    assert not [option for option in options if option not in TEXT and option != "--runs"]
