"""The application that a command is about: found by name from the current folder, and imported."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from twofold.application import Application
from twofold.errors import SettingsError, TwofoldError

__all__ = ["chosen_application", "load_application", "stated_application"]

_SPEC = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


def chosen_application(given: str | None) -> str:
    """`module:attribute` as given, from TWOFOLD_APP or from pyproject.toml; UsageError when none says."""
    spec = given or os.environ.get("TWOFOLD_APP") or stated_application(Path.cwd())
    if not spec:
        raise click.UsageError(
            'which application? Give it as MODULE:ATTRIBUTE (for example shop:app), set TWOFOLD_APP, or write "app" '
            "under [tool.twofold] in the pyproject.toml of the current folder"
        )
    if not _SPEC.fullmatch(spec):
        raise click.UsageError(f"{spec!r} names no application; write MODULE:ATTRIBUTE, for example shop:app")
    return spec


def stated_application(folder: Path) -> str | None:
    """What the folder's pyproject.toml says; None when it says nothing. SettingsError when it can't be read."""
    import tomllib

    path = folder / "pyproject.toml"
    try:
        table: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} can't be read: {error}") from None
    app = table.get("tool", {}).get("twofold", {}).get("app")
    if app is not None and not isinstance(app, str):
        raise SettingsError(f'{path}: [tool.twofold] app = {app!r} is no text; write app = "module:attribute"')
    return app


def load_application(spec: str) -> Application:
    """Import the module and take the application out of it.

    UsageError when module or attribute are not there; ClickException, with the place, when the module itself fails.
    """
    name, _, attribute = spec.partition(":")
    module = _imported(name)
    value = getattr(module, attribute, None)
    if not isinstance(value, Application):
        there = [f"{name}:{own}" for own, each in vars(module).items() if isinstance(each, Application)]
        what = f"has no attribute {attribute!r}" if value is None else f"has no Application in {attribute!r}"
        hint = f"; there is {' and '.join(there)}" if there else ""
        raise click.UsageError(f"the module {name!r} {what}{hint}")
    return value


def _imported(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise click.UsageError(f"there is no module {error.name!r} to be found from {folder}") from None
        raise _failed(name, error) from None
    except TwofoldError:
        raise
    except Exception as error:
        raise _failed(name, error) from None


def _failed(name: str, error: Exception) -> click.ClickException:
    """The error with its traceback from the application's own code on: what lies above it is only the import."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    lines = ["importing the application failed\n", *traceback.format_list(frames)]
    lines += traceback.format_exception_only(error)
    return click.ClickException("".join(lines).rstrip().replace("importing the application", f"importing {name}", 1))


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or filename in (__file__, import_module("importlib").__file__)
