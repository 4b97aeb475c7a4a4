"""The command: which benchmarks, how often, where the databases lie, where the retail file is."""

from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.command import load, run, with_options
from benchmarks.harness import Job

NAMES = (
    "in_process_commands",
    "one_at_a_time",
    "flash_sale",
    "http_commands",
    "http_queries",
    "append",
    "load",
    "read",
    "fold",
    "visible",
    "memory",
    "startup",
    "testing_kit",
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@with_options
def main(names: Sequence[str], quick: bool, runs: int | None, retail: Path, data_folder: Path) -> None:
    """Measure NAMES (default: all) on SQLite, print a table, and write benchmarks/results/<time>.json.

    Exits with 1 when a side failed; a target that is missed is shown as "short" and fails nothing.
    """
    job = Job(folder=data_folder, quick=quick, retail=retail if retail.exists() else None)
    run(load("benchmarks", names or NAMES), job, title="Twofold benchmarks (medians)", runs=runs)


if __name__ == "__main__":
    main()
