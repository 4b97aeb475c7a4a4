"""The command: which benchmarks, how often, where the databases lie, where the retail file is."""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console

from benchmarks import machine, report
from benchmarks.harness import Benchmark, Outcome, measure

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
RESULTS = Path(__file__).parent / "results"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--quick", is_flag=True, help="One run with a tenth of the work: a look, not a measurement.")
@click.option("--runs", type=click.IntRange(1, 50), help="How often each side runs (default 3).")
@click.option(
    "--retail",
    type=click.Path(path_type=Path),
    envvar="BENCHMARKS_RETAIL",
    default=Path("../shared/data/online-retail.csv.gz"),
    show_default=True,
    help="The UCI Online Retail file (.csv or .csv.gz); where it is missing, synthetic orders are folded.",
)
@click.option(
    "--data-folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="TMPDIR",
    help="Where the databases lie while measuring: on a disk, not in memory (default: benchmarks/results).",
)
def main(names: Sequence[str], quick: bool, runs: int | None, retail: Path, data_folder: Path | None) -> None:
    """Measure NAMES (default: all), print a table, and write benchmarks/results/<time>.json.

    Exits with 1 when a side failed; a target that is missed is shown as "short" and fails nothing.
    """
    benchmarks = [import_module(f"benchmarks.{name}").BENCHMARK for name in names or NAMES]
    RESULTS.mkdir(exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 130)
    data = Path(tempfile.mkdtemp(prefix="data-", dir=data_folder or RESULTS))
    try:
        _refuse_memory(data)
        facts = machine.facts(data)
        outcomes = [
            _measured(each, console, data=data, quick=quick, runs=runs or (1 if quick else 3), retail=retail)
            for each in benchmarks
        ]
    finally:
        shutil.rmtree(data, ignore_errors=True)
    console.print(report.table(outcomes))
    console.print(report.write_json(RESULTS, outcomes, machine=facts, options={"quick": quick, "runs": runs}))
    for outcome in outcomes:
        for side, failure in outcome.failures.items():
            console.print(f"\n{outcome.benchmark.name}, {side}:\n{failure}", markup=False, highlight=False)
    sys.exit(1 if any(outcome.failures for outcome in outcomes) else 0)


def _refuse_memory(folder: Path) -> None:
    if machine.file_system(folder) in ("tmpfs", "ramfs"):
        raise click.UsageError(f"{folder} is in memory, where an fsync costs nothing: name a disk with --data-folder")


def _measured(benchmark: Benchmark, console: Console, *, data: Path, quick: bool, runs: int, retail: Path) -> Outcome:
    with console.status(benchmark.name) as status:
        return measure(
            benchmark,
            runs=runs,
            data_folder=data,
            quick=quick,
            retail=retail if retail.exists() else None,
            note=status.update,
        )


if __name__ == "__main__":
    main()
