"""`twofold dev` and `twofold serve`: the application in this process, or the part of it that a role is, over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twofold.cli.application import chosen_application, load_application
from twofold.cli.options import app_argument, http_options, settings_from, store_options
from twofold.settings import Role, Settings

if TYPE_CHECKING:
    import socket

__all__ = ["dev", "serve"]

_BACKLOG = 2_048


@click.command()
@app_argument
@http_options
@store_options
@click.option("--reload/--no-reload", default=True, help="Start anew when a *.py file changes.  [default: reload]")
@click.option("--socket-fd", type=int, hidden=True, help="The listening socket, from the process that reloads.")
@click.option("--lifeline-fd", type=int, hidden=True, help="A pipe that closes when that process is gone.")
def dev(app: str | None, reload: bool, socket_fd: int | None, lifeline_fd: int | None, **options: Any) -> None:
    """Run everything in one process, and reload on change.

    It starts anew when a Python file below the current folder changes; the port stays open meanwhile: requests wait,
    and none is refused. The SQLite files are in .twofold/ under the current folder, unless settings or options say
    otherwise.
    """
    spec, settings = chosen_application(app), settings_from(**options)
    if socket_fd is not None and lifeline_fd is not None:
        _run_for_supervisor(spec, settings, socket_fd, lifeline_fd)
    elif reload:
        _supervise(spec, settings, options)
    else:
        _run(spec, settings, on_listening=lambda url: _greet(spec, settings, url))


@click.command()
@click.argument("role", type=click.Choice([role.value for role in Role]))
@app_argument
@http_options
@store_options
def serve(role: str, app: str | None, **options: Any) -> None:
    """Run the application, or one role of it, for production.

    Role "all" is everything in one process. The other roles share the work on PostgreSQL, each in as many processes as
    you like: "command" takes commands, "query" answers queries, "projector" folds events into read models. Each has its
    own port for health and metrics.

    SIGTERM ends it in good order: what was accepted is finished, within 5 seconds. Logs go to stderr, as JSON unless
    that is a terminal.
    """
    spec, settings = chosen_application(app), settings_from(**options)
    _run(spec, settings, role=Role(role))


def _run(
    spec: str,
    settings: Settings,
    *,
    role: Role = Role.ALL,
    listener: socket.socket | None = None,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    application = load_application(spec)
    from twofold.http.server import run

    run(application, settings, role=role, listener=listener, on_listening=on_listening)


def _supervise(spec: str, settings: Settings, options: Mapping[str, Any]) -> None:
    """Listen here, and run the application in a child that is started anew when a file changes."""
    from twofold.cli.reload import Lifeline, Supervisor
    from twofold.http.server import bound, url_of

    lifeline = Lifeline()
    with bound(settings) as listener:
        listener.listen(_BACKLOG)
        inherited = (listener.fileno(), lifeline.child_end)
        command = [sys.executable, "-m", "twofold", "dev", spec, "--socket-fd", str(inherited[0])]
        command += ["--lifeline-fd", str(inherited[1]), *_as_given(options)]
        _greet(spec, settings, url_of(listener), "It starts anew when a *.py file changes. Ctrl-C ends it.")
        Supervisor(command, inherited=inherited, folder=Path.cwd()).run()


def _as_given(options: Mapping[str, Any]) -> list[str]:
    """The options that were given on the command line, as words for another one."""
    flags = {"http_host": "--host", "http_port": "--port", "event_log": "--event-log", "read_store": "--read-store"}
    return [word for name, value in options.items() if value is not None for word in (flags[name], str(value))]


def _run_for_supervisor(spec: str, settings: Settings, socket_fd: int, lifeline_fd: int) -> None:
    import socket

    from twofold.cli.reload import Lifeline

    Lifeline.hold(lifeline_fd)
    with socket.socket(fileno=socket_fd) as listener:
        _run(spec, settings, listener=listener)


def _greet(spec: str, settings: Settings, url: str, hint: str = "Ctrl-C ends it.") -> None:
    click.echo(f"{spec} at {click.style(url, bold=True)}, try it at {click.style(f'{url}/docs', bold=True)}", err=True)
    click.echo(f"events in {settings.event_log_at}", err=True)
    click.echo(f"read models in {settings.read_store_at}", err=True)
    click.echo(hint, err=True)
