"""`twofold events`: what the log holds. Reads beside a running service, and needs no application code to work."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from twofold.cli.application import chosen_application
from twofold.cli.options import app_argument, app_before, as_json_option, settings_from, store_options
from twofold.cli.output import print_json, print_table, progress_bar
from twofold.cli.running import run
from twofold.settings import Settings

if TYPE_CHECKING:
    from twofold.messages import RawEvent
    from twofold.operations.events import EventLine

__all__ = ["events"]


@click.group()
def events() -> None:
    """Look at the event log."""


@events.command()
@app_argument
@store_options
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="N", help="Start behind this position.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Print at most so many events.")
@click.option("--follow", is_flag=True, help="Wait for more at the head; Ctrl-C ends it.")
@as_json_option
def tail(app: str | None, after: int, limit: int | None, follow: bool, as_json: bool, **stores: Any) -> None:
    """Print events in the order of the log, to its head.

    With --json each line is {"position", "stream", "version", "type", "recorded_at", "data", "metadata"}.
    """
    chosen_application(app)
    settings = settings_from(**stores)
    try:
        run(_tail(settings, after, limit, follow, as_json), settings)
    except KeyboardInterrupt:
        if not follow:
            raise


@events.command()
@click.argument("words", nargs=-1, metavar="[APP] STREAM")
@store_options
@as_json_option
def show(words: tuple[str, ...], as_json: bool, **stores: Any) -> None:
    """Print the events of one stream, such as account-a1. Exit code 3 when it has none."""
    app, stream = app_before("STREAM", words)
    if not all(stream.partition("-")):
        raise click.UsageError(f"{stream!r} names no stream; write category and key with a hyphen, such as account-a1")
    chosen_application(app)
    settings = settings_from(**stores)
    run(_show(settings, stream, as_json), settings)


@events.command()
@app_argument
@store_options
@click.option("--by-type", is_flag=True, help="Count each type of event.")
@as_json_option
def count(app: str | None, by_type: bool, as_json: bool, **stores: Any) -> None:
    """Count the events of the log."""
    chosen_application(app)
    settings = settings_from(**stores)
    run(_count(settings, by_type, as_json), settings)


async def _tail(settings: Settings, after: int, limit: int | None, follow: bool, as_json: bool) -> None:
    from twofold.operations.events import events_after
    from twofold.wiring import open_event_log

    async with open_event_log(settings) as log:
        await _print_events(events_after(log, after, limit=limit, follow=follow), as_json)


async def _show(settings: Settings, stream: str, as_json: bool) -> None:
    from twofold.operations.events import events_of
    from twofold.streams import StreamId
    from twofold.wiring import open_event_log

    async with open_event_log(settings) as log:
        await _print_events(events_of(log, StreamId.parse(stream)), as_json)


async def _print_events(pages: AsyncIterator[Sequence[RawEvent]], as_json: bool) -> None:
    import msgspec

    from twofold.operations.events import event_line

    out = sys.stdout.buffer
    encoder = msgspec.json.Encoder()
    async for page in pages:
        lines = [event_line(stored) for stored in page]
        out.write(encoder.encode_lines(lines) if as_json else b"".join(map(_as_text, lines)))
        out.flush()


def _as_text(line: EventLine) -> bytes:
    place = f"{line.position:>8}  {line.recorded_at}  {line.stream} {line.version}  {line.type}  "
    return b"%b%b\n" % (place.encode(), line.data)


async def _count(settings: Settings, by_type: bool, as_json: bool) -> None:
    from twofold.operations.events import count_by_type
    from twofold.wiring import open_event_log

    async with open_event_log(settings) as log:
        head = await log.head()
        if not by_type:
            if as_json:
                print_json({"events": head})
            else:
                click.echo(f"{head:,} events")
            return
        with progress_bar("counting") as show_progress:
            counts = await count_by_type(log, lambda position: show_progress(position, max(head, position)))
    total = sum(counts.values())
    if as_json:
        print_json({"events": total, "by_type": counts})
    else:
        print_table(("type", "events"), [*counts.items(), ("(all)", total)])
