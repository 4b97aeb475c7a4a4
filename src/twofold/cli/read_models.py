"""`twofold read-models`: how far they are, and what may be done to them.

A process that has the stores for itself is asked to do it; otherwise it is done here, in the stores. On PostgreSQL that
is always so: the services see it there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from twofold.application import Application
from twofold.cli.application import chosen_application, load_application
from twofold.cli.options import app_argument, app_before, as_json_option, settings_from, store_options
from twofold.cli.output import OnProgress, print_json, print_table, progress_bar
from twofold.cli.running import run
from twofold.errors import RebuildUnderWayError, TwofoldError, UnknownReadModelError
from twofold.settings import Settings
from twofold.tables import Table

if TYPE_CHECKING:
    from twofold.cli.holder import Holder
    from twofold.operations.read_models import Comparison, ReadModelStatus, Rebuild
    from twofold.runtime.lifecycle import System

__all__ = ["read_models"]

_LOOK_AGAIN_S = 0.2

T = TypeVar("T")


@click.group("read-models")
def read_models() -> None:
    """See how far read models are; rebuild or pause one."""


@read_models.command("list")
@app_argument
@store_options
@as_json_option
def list_(app: str | None, as_json: bool, **stores: Any) -> None:
    """List the read models with checkpoint, lag and state.

    lag_events is the head of the log minus the checkpoint, lag_s the age in seconds of the oldest event not folded.
    The state is running, rebuilding, paused, failed or waiting where somebody folds, and stopped where nobody does.
    """
    settings, application = settings_from(**stores), load_application(chosen_application(app))
    found = _statuses(settings, application)
    if as_json:
        print_json([msgspec.structs.replace(each, rebuild=msgspec.UNSET) for each in found])
        return
    headers = ["name", "state", "checkpoint", "head", "lag_events", "lag_s"]
    rows = [[each.name, each.state, each.checkpoint, each.head, each.lag_events, each.lag_s] for each in found]
    if any(each.holders is not msgspec.UNSET for each in found):
        headers.append("held by")
        rows = [[*row, _held_by(each)] for row, each in zip(rows, found, strict=True)]
    print_table(headers, rows)
    for each in found:
        if each.error:
            click.echo(f"{each.name}: {each.error}")
        if each.former:
            click.echo(f'{each.name}: the rows from before its rebuild are kept ("rebuild --roll-back", "drop")')


@read_models.command()
@click.argument("words", nargs=-1, metavar="[APP] NAME")
@store_options
@click.option("--compare", is_flag=True, help="Show the rows that a rebuild would change, and change none.")
@click.option("--roll-back", is_flag=True, help="Put the rows back that the last rebuild has replaced.")
@click.option("--wait/--no-wait", default=True, help="Wait until it is done.  [default: wait]")
@as_json_option
@click.pass_context
def rebuild(
    ctx: click.Context,
    words: tuple[str, ...],
    compare: bool,
    roll_back: bool,
    wait: bool,
    as_json: bool,
    **stores: Any,
) -> None:
    """Fold the whole log anew into a read model.

    Queries are answered from the old rows until the new ones take their place, all at once; the old are kept until
    "drop" or the next rebuild. A rebuild that was cut short goes on where it was when it is run again.

    With --compare the exit code is 1 when rows differ. The read model stands still while they are compared.
    """
    if compare and roll_back:
        raise click.UsageError("give --compare or --roll-back, not both")
    work = _Work(*_named(words, stores), as_json)
    if roll_back:
        work.roll_back()
    elif compare:
        ctx.exit(1 if work.compare() else 0)
    else:
        work.rebuild(wait=wait)


@read_models.command()
@click.argument("words", nargs=-1, metavar="[APP] NAME")
@store_options
def drop(words: tuple[str, ...], **stores: Any) -> None:
    """Forget the rows of a read model from before its last rebuild.

    They can't be put back then. Exit code 3 when none are kept. The rows that queries read are never dropped.
    """
    _change(words, stores, "drop", "keeps no former rows any more")


@read_models.command()
@click.argument("words", nargs=-1, metavar="[APP] NAME")
@store_options
def pause(words: tuple[str, ...], **stores: Any) -> None:
    """Let a read model stand still until resumed, also over restarts; its rows stay as they are."""
    _change(words, stores, "pause", "stands still until it is resumed")


@read_models.command()
@click.argument("words", nargs=-1, metavar="[APP] NAME")
@store_options
def resume(words: tuple[str, ...], **stores: Any) -> None:
    """Let a paused read model go on where it stopped."""
    _change(words, stores, "resume", "goes on")


def _named(words: tuple[str, ...], stores: dict[str, Any]) -> tuple[Settings, Application, str]:
    app, name = app_before("NAME", words)
    settings, application = settings_from(**stores), load_application(chosen_application(app))
    if name not in application.read_models:
        known = ", ".join(application.read_models) or "none"
        raise UnknownReadModelError(name, "no read model of this name is declared", f"declared are: {known}")
    return settings, application, name


# --- listing ---------------------------------------------------------------------------------------------------------


def _statuses(settings: Settings, application: Application) -> list[ReadModelStatus]:
    """From the running process when there is one to ask, otherwise from the stores."""
    from twofold.cli.holder import Holder

    holder = Holder.find(settings)
    if holder is not None and holder.url is not None:
        return holder.read_models()
    return run(_stored(settings, application, "stopped" if holder is None else "running"), settings)


async def _stored(settings: Settings, application: Application, state: str) -> list[ReadModelStatus]:
    from twofold.operations.read_models import stored_read_models
    from twofold.wiring import SystemClock, open_event_log, stored_checkpoints

    tables = {name: model.table for name, model in application.read_models.items()}
    checkpoints = await stored_checkpoints(settings)
    async with open_event_log(settings) as log:
        return await stored_read_models(tables, checkpoints, log, SystemClock().now(), state=state)


def _held_by(status: ReadModelStatus) -> str:
    """How many partitions each of the holders has."""
    named = [holder for holder in status.holders or () if holder]
    counts = [f"{holder} ({named.count(holder)} of {status.partitions})" for holder in dict.fromkeys(named)]
    return ", ".join(counts) or "nobody"


# --- making anew -----------------------------------------------------------------------------------------------------


class _Work:
    """What can be done with the rows of one read model, in the process that has the stores or in this one."""

    def __init__(self, settings: Settings, application: Application, name: str, as_json: bool) -> None:
        from twofold.cli.holder import Holder

        self._settings, self._application, self._name, self._as_json = settings, application, name, as_json
        self._table = application.read_models[name].table
        holder = Holder.find(settings)
        self._holder = holder.needed(settings) if holder else None

    def rebuild(self, *, wait: bool) -> None:
        if self._holder is not None and not wait:
            self._holder.rebuild(self._name)
            click.echo(f"process {self._holder.pid} rebuilds {self._name}")
            return
        with progress_bar(f"rebuilding {self._name}") as show:
            if self._holder is None:
                position = self._here(lambda system: system.rebuild(self._name, show))
            else:
                self._holder.rebuild(self._name)
                position = _wait_for(self._holder, self._name, show).position
        self._say(position, f"{self._name} is rebuilt up to position {position}")

    def roll_back(self) -> None:
        if self._holder is None:
            self._here(lambda system: system.roll_back(self._name))
        else:
            self._holder.change(self._name, "roll-back")
        click.echo(f"{self._name} has its former rows back, and is folded on from there")

    def compare(self) -> bool:
        """Whether rows differ; those that do are printed."""
        with progress_bar(f"comparing {self._name}") as show:
            found = self._compared_here(show) if self._holder is None else self._compared_by(self._holder, show)
        if self._as_json:
            print_json(found)
        else:
            _print_comparison(found)
        return found.differing > 0

    def _compared_here(self, show: OnProgress) -> Comparison:
        from twofold.operations.read_models import compared

        return self._here(lambda system: compared(self._table, system.compare(self._name, show)))

    def _compared_by(self, holder: Holder, show: OnProgress) -> Comparison:
        holder.rebuild(self._name, compare=True)
        found = _wait_for(holder, self._name, show).comparison
        if found is None:
            raise TwofoldError(f"{self._name} was rebuilt meanwhile; nothing was compared (try again)")
        return found

    def _here(self, work: Callable[[System], Coroutine[Any, Any, T]]) -> T:
        return run(self._on_system(work), self._settings)

    async def _on_system(self, work: Callable[[System], Coroutine[Any, Any, T]]) -> T:
        from twofold.wiring import at_rest

        async with at_rest(self._application, self._settings) as system:
            return await self._patiently(work, system)

    async def _patiently(self, work: Callable[[System], Coroutine[Any, Any, T]], system: System) -> T:
        """One that was killed at the same work seems to be at it until its lease has run out."""
        import asyncio

        give_up_at = time.monotonic() + self._settings.lease_s + 1
        while True:
            try:
                return await work(system)
            except RebuildUnderWayError:
                if time.monotonic() >= give_up_at:
                    raise
                await asyncio.sleep(_LOOK_AGAIN_S)

    def _say(self, position: int, text: str) -> None:
        if self._as_json:
            print_json({"read_model": self._name, "position": position})
        else:
            click.echo(text)


def _wait_for(holder: Holder, name: str, show: OnProgress) -> Rebuild:
    """The rebuild once it is done; a TwofoldError when it failed."""
    from twofold.operations.read_models import Rebuild

    while True:
        status = next(each for each in holder.read_models() if each.name == name)
        if status.rebuild and status.rebuild.state == "failed":
            raise TwofoldError(f"{name} could not be rebuilt, its rows are as before: {status.rebuild.error}")
        if status.rebuild and status.rebuild.state == "running":
            show(status.rebuild.position, status.rebuild.head)
        elif status.state != "rebuilding":
            return status.rebuild or Rebuild(state="done", position=status.checkpoint)
        time.sleep(_LOOK_AGAIN_S)


def _print_comparison(found: Comparison) -> None:
    for row in found.rows:
        key = ", ".join(f"{name}={value!r}" for name, value in row.key.items())
        if row.live is None or row.rebuilt is None:
            click.echo(f"{key}: {'missing from the live rows' if row.live is None else 'only in the live rows'}")
            continue
        changes = [
            f"{name} {row.live[name]!r} → {row.rebuilt[name]!r}"
            for name in row.live
            if row.live[name] != row.rebuilt[name]
        ]
        click.echo(f"{key}: {', '.join(changes)}")
    if found.differing > len(found.rows):
        click.echo(f"… and {found.differing - len(found.rows):,} more")
    said = f"{found.differing:,} rows differ from" if found.differing else "every row is"
    click.echo(f"{found.read_model}: {said} what a fold of the log makes")


# --- pausing, resuming, dropping -------------------------------------------------------------------------------------


def _change(words: tuple[str, ...], stores: dict[str, Any], verb: str, done: str) -> None:
    from twofold.cli.holder import Holder

    settings, application, name = _named(words, stores)
    holder = Holder.find(settings)
    if holder is None:
        run(_change_here(settings, application.read_models[name].table, verb), settings)
    else:
        holder.needed(settings).change(name, verb)
    click.echo(f"{name} {done}")


async def _change_here(settings: Settings, table: Table, verb: str) -> None:
    from twofold.operations.read_models import drop_former
    from twofold.wiring import open_read_store

    async with open_read_store(settings) as store:
        if verb == "drop":
            await drop_former(store, table)
            return
        if table.read_model not in await store.checkpoints():
            await store.open(table)
        await store.set_paused(table.read_model, verb == "pause")
