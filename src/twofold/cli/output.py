"""Text for people and JSON for programs. Progress goes to stderr, and only to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import msgspec

__all__ = ["OnProgress", "print_json", "print_table", "progress_bar", "styled_state"]

OnProgress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""

_COLOURS = {
    "ok": "green",
    "running": "green",
    "up to date": "green",
    "warn": "yellow",
    "note": "yellow",
    "paused": "yellow",
    "rebuilding": "cyan",
    "fail": "red",
    "failed": "red",
    "error": "red",
}


def print_json(value: Any) -> None:
    click.echo(msgspec.json.encode(value))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest value; numbers to the right, the last column as it comes."""
    texts = [[_text(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *texts, strict=True)]
    numbers = [bool(rows) and all(isinstance(row[index], int | float) for row in rows) for index in range(len(headers))]
    for row in [list(headers), *texts]:
        cells = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ]
        click.echo("  ".join([*(styled_state(cell) for cell in cells[:-1]), cells[-1].rstrip()]))


def styled_state(text: str) -> str:
    """The text in the colour of the state that it names, if it names one."""
    colour = _COLOURS.get(text.strip())
    return click.style(text, fg=colour) if colour else text


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


@contextmanager
def progress_bar(label: str, *, unit: str = "events") -> Generator[OnProgress]:
    """A bar with rate and time left while a long work goes on; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None, rate="")

        def show(done: int, total: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, completed=done, total=total, rate=f"{speed:,.0f} {unit}/s" if speed else "")

        yield show
