"""`twofold new`: a project that runs, from the files under `template`."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

import click

__all__ = ["new"]

_TEMPLATE = Path(__file__).parent / "template"
_SUFFIX = ".tmpl"
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_TAKEN = {"twofold", "tests", *sys.stdlib_module_names}


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Make a project that runs: one slice and its tests.

    NAME names the folder and the Python package in it: lower-case letters, digits and underscores.
    """
    _check_name(name)
    folder = Path.cwd() / name
    if folder.exists():
        raise click.UsageError(f"{folder} exists already; nothing was written (choose another name, or another folder)")
    try:
        for path, text in _files(name):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{error.filename} can't be written: {error.strerror}") from None
    click.echo(f"{folder} is made. Next:\n")
    click.echo(f"  cd {name}\n  twofold dev     run it, with a page to try it\n  pytest          test it")


def _check_name(name: str) -> None:
    """UsageError for a name that can't be imported, or that would hide another module."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise click.UsageError(
            f"{name!r} can't name a Python package; use letters, digits and underscores, and a letter first (my_shop)"
        )
    if name in _TAKEN:
        raise click.UsageError(f"a package {name!r} would hide the module of that name; choose another")


def _files(name: str) -> Iterator[tuple[Path, str]]:
    """Every file of the project: its path in the folder, and its text."""
    words = _words(name)
    for source in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
        path = source.relative_to(_TEMPLATE)
        folder = Path(name, *path.parts[1:-1]) if path.parts[0] == "package" else path.parent
        own = path.name.removesuffix(_SUFFIX)
        text = Template(source.read_text(encoding="utf-8")).substitute(words)
        yield folder / (".gitignore" if own == "gitignore" else own), text


def _words(name: str) -> Mapping[str, str]:
    from importlib.metadata import version

    title = name.replace("_", " ").strip().capitalize() or name
    return {
        "name": name,
        "title": title,
        "distribution": name.strip("_").replace("_", "-"),
        "version": version("twofold"),
    }
