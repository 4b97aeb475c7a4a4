"""`twofold read-models`: how far they are, and what may be done to them, in a running process or with none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from twofold.application import Application
from twofold.cli.application import chosen_application, load_application
from twofold.cli.options import app_argument, app_before, as_json_option, settings_from, store_options
from twofold.cli.output import OnProgress, print_json, print_table, progress_bar
from twofold.cli.running import run
from twofold.errors import TwofoldError, UnknownReadModelError
from twofold.settings import Settings

if TYPE_CHECKING:
    from twofold.cli.holder import Holder
    from twofold.operations import ReadModelStatus

__all__ = ["read_models"]

_LOOK_AGAIN_S = 0.2


@click.group("read-models")
def read_models() -> None:
    """See how far read models are; rebuild, pause or resume one."""


@read_models.command("list")
@app_argument
@store_options
@as_json_option
def list_(app: str | None, as_json: bool, **stores: Any) -> None:
    """List the read models with checkpoint, lag and state.

    lag_events is the head of the log minus the checkpoint, lag_s the age in seconds of the oldest event not folded.
    The state is running, rebuilding, paused or failed in a running process, and stopped when none runs.
    """
    settings, application = settings_from(**stores), load_application(chosen_application(app))
    found = _statuses(settings, application)
    if as_json:
        print_json([msgspec.structs.replace(each, rebuild=msgspec.UNSET) for each in found])
        return
    print_table(
        ("name", "state", "checkpoint", "head", "lag_events", "lag_s"),
        [(each.name, each.state, each.checkpoint, each.head, each.lag_events, each.lag_s) for each in found],
    )
    for each in found:
        if each.error:
            click.echo(f"{each.name}: {each.error}")


@read_models.command()
@click.argument("words", nargs=-1, metavar="[APP] NAME")
@store_options
@click.option("--wait/--no-wait", default=True, help="Wait until it is done.  [default: wait]")
def rebuild(words: tuple[str, ...], wait: bool, **stores: Any) -> None:
    """Fold the whole log anew into a read model.

    Queries are answered from the old rows until the new ones take their place, all at once. A running process does it
    itself while it goes on working; otherwise it is done here.
    """
    from twofold.cli.holder import Holder

    settings, application, name = _named(words, stores)
    holder = Holder.find(settings)
    if holder is None:
        with progress_bar(f"rebuilding {name}") as show:
            position = run(_rebuild_here(application, settings, name, show))
    else:
        holder.needed(settings).rebuild(name)
        if not wait:
            click.echo(f"process {holder.pid} rebuilds {name}")
            return
        with progress_bar(f"rebuilding {name}") as show:
            position = _wait_for_rebuild(holder, name, show)
    click.echo(f"{name} is rebuilt up to position {position}")


@read_models.command()
@click.argument("words", nargs=-1, metavar="[APP] NAME")
@store_options
def pause(words: tuple[str, ...], **stores: Any) -> None:
    """Let a read model stand still until resumed, also over restarts; its rows stay as they are."""
    _set_paused(words, stores, paused=True)


@read_models.command()
@click.argument("words", nargs=-1, metavar="[APP] NAME")
@store_options
def resume(words: tuple[str, ...], **stores: Any) -> None:
    """Let a paused read model go on where it stopped."""
    _set_paused(words, stores, paused=False)


def _named(words: tuple[str, ...], stores: dict[str, Any]) -> tuple[Settings, Application, str]:
    app, name = app_before("NAME", words)
    settings, application = settings_from(**stores), load_application(chosen_application(app))
    if name not in application.read_models:
        known = ", ".join(application.read_models) or "none"
        raise UnknownReadModelError(name, "no read model of this name is declared", f"declared are: {known}")
    return settings, application, name


def _statuses(settings: Settings, application: Application) -> list[ReadModelStatus]:
    """From the running process when there is one to ask, otherwise from the stores."""
    from twofold.cli.holder import Holder

    holder = Holder.find(settings)
    if holder is not None and holder.url is not None:
        return holder.read_models()
    return run(_stored(settings, application, "stopped" if holder is None else "running"))


async def _stored(settings: Settings, application: Application, state: str) -> list[ReadModelStatus]:
    from twofold.operations import stored_read_models
    from twofold.wiring import SystemClock, open_event_log, reports_on

    names, checkpoints = list(application.read_models), reports_on(settings)[-1].checkpoints
    async with open_event_log(settings) as log:
        return await stored_read_models(names, checkpoints, log, SystemClock().now(), state=state)


async def _rebuild_here(application: Application, settings: Settings, name: str, show: OnProgress) -> int:
    from twofold.observability.logs import configure_logs
    from twofold.operations import rebuild_at_rest
    from twofold.wiring import at_rest

    configure_logs(settings)
    async with at_rest(application, settings) as system:
        return await rebuild_at_rest(system, name, show)


def _wait_for_rebuild(holder: Holder, name: str, show: OnProgress) -> int:
    """The position that the rebuild came to; a TwofoldError when it failed."""
    while True:
        status = next(each for each in holder.read_models() if each.name == name)
        if status.rebuild and status.rebuild.state == "failed":
            raise TwofoldError(f"{name} could not be rebuilt, its rows are as before: {status.rebuild.error}")
        if status.rebuild and status.rebuild.state == "running":
            show(status.rebuild.position, status.rebuild.head)
        elif status.state != "rebuilding":
            return status.rebuild.position if status.rebuild else status.checkpoint
        time.sleep(_LOOK_AGAIN_S)


def _set_paused(words: tuple[str, ...], stores: dict[str, Any], *, paused: bool) -> None:
    from twofold.cli.holder import Holder

    settings, application, name = _named(words, stores)
    holder = Holder.find(settings)
    if holder is None:
        run(_set_paused_here(application, settings, name, paused))
    elif paused:
        holder.needed(settings).pause(name)
    else:
        holder.needed(settings).resume(name)
    click.echo(f"{name} {'stands still until it is resumed' if paused else 'goes on'}")


async def _set_paused_here(application: Application, settings: Settings, name: str, paused: bool) -> None:
    from twofold.wiring import open_stores

    async with open_stores(settings) as stores:
        if name not in await stores.store.checkpoints():
            await stores.store.open(application.read_models[name].table)
        await stores.store.set_paused(name, paused)
