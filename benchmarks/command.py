"""What the commands share: their options, a data folder on a disk, and the table and JSON of the outcomes."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console

from benchmarks import machine, report
from benchmarks.harness import Benchmark, Job, Outcome, measure

__all__ = ["load", "run", "with_options"]


def results_folder() -> Path:
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    return folder


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every set of benchmarks: `quick`, `runs`, `retail` and `data_folder`."""
    for option in (
        click.option(
            "--data-folder",
            type=click.Path(path_type=Path, file_okay=False, exists=True),
            envvar="TMPDIR",
            default=results_folder,
            help="Where the databases lie while measuring: on a disk, not in memory (default: benchmarks/results).",
        ),
        click.option(
            "--retail",
            type=click.Path(path_type=Path),
            envvar="BENCHMARKS_RETAIL",
            default=Path("../shared/data/online-retail.csv.gz"),
            show_default=True,
            help="The UCI Online Retail file (.csv or .csv.gz); where it is missing, synthetic orders are folded.",
        ),
        click.option("--runs", type=click.IntRange(1, 50), help="How often each side runs (default 3)."),
        click.option("--quick", is_flag=True, help="One run with a tenth of the work: a look, not a measurement."),
    ):
        command = option(command)
    return command


def load(package: str, names: Sequence[str]) -> Sequence[Benchmark]:
    return [import_module(f"{package}.{name}").BENCHMARK for name in names]


def run(
    benchmarks: Sequence[Benchmark],
    job: Job,
    *,
    title: str,
    runs: int | None,
    more_facts: Callable[[Job], Mapping[str, object]] = lambda _: {},
) -> None:
    """Measure in a new folder below the job's, print the table, write the JSON, and exit: with 1 when a side failed."""
    console = Console(width=None if sys.stdout.isatty() else 130)
    runs = runs or (1 if job.quick else 3)
    data = Path(tempfile.mkdtemp(prefix="data-", dir=job.folder))
    data.chmod(0o755)  # a server's user has to reach its folder below
    try:
        _refuse_memory(data)
        job = replace(job, folder=data)
        facts = {**machine.facts(data), **more_facts(job)}
        outcomes = [_measured(each, job, console, runs) for each in benchmarks]
    finally:
        shutil.rmtree(data, ignore_errors=True)
    console.print(report.table(title, outcomes))
    options = {"quick": job.quick, "runs": runs}
    console.print(report.write_json(results_folder(), outcomes, machine=facts, options=options))
    for outcome in outcomes:
        for side, failure in outcome.failures.items():
            console.print(f"\n{outcome.benchmark.name}, {side}:\n{failure}", markup=False, highlight=False)
    sys.exit(1 if any(outcome.failures for outcome in outcomes) else 0)


def _refuse_memory(folder: Path) -> None:
    if machine.file_system(folder) in ("tmpfs", "ramfs"):
        raise click.UsageError(f"{folder} is in memory, where an fsync costs nothing: name a disk with --data-folder")


def _measured(benchmark: Benchmark, job: Job, console: Console, runs: int) -> Outcome:
    with console.status(benchmark.name) as status:
        return measure(benchmark, job, runs=runs, note=status.update)
