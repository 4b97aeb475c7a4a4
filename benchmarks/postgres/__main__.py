"""The command: which benchmarks, how often, where the databases lie, which PostgreSQL."""

from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.command import load, run, with_options
from benchmarks.harness import Job
from benchmarks.postgres.database import facts
from tests.servers.postgres import VERSIONS

NAMES = (
    "in_process_commands",
    "one_at_a_time",
    "flash_sale",
    "http_commands",
    "http_queries",
    "fold",
    "visible",
    "memory",
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@with_options
@click.option("--postgres", type=click.Choice(VERSIONS), default=VERSIONS[0], show_default=True, help="Its version.")
def main(names: Sequence[str], quick: bool, runs: int | None, retail: Path, data_folder: Path, postgres: str) -> None:
    """Measure NAMES (default: all) on PostgreSQL, print a table, and write benchmarks/results/<time>.json.

    Every side starts a server of its own, with its defaults but for `shared_buffers`: fsync and synchronous_commit
    are on. Exits with 1 when a side failed; a target that is missed is shown as "short" and fails nothing.
    """
    job = Job(folder=data_folder, quick=quick, retail=retail if retail.exists() else None, postgres=postgres)
    title = f"Twofold benchmarks on PostgreSQL {postgres} (medians)"
    run(load("benchmarks.postgres", names or NAMES), job, title=title, runs=runs, more_facts=facts)


if __name__ == "__main__":
    main()
