"""What a page of documentation holds for the harness that runs it.

By the language of the fence:

| fence | is |
|---|---|
| `python` | run, all of a page in one namespace; `await` is legal at the top; functions named `test_…` are called |
| any, with `title="shop.py"` or `# file: shop.py` as its first line | written to that file, and not run |
| `console` | lines that begin with `$ ` are run by bash; the lines below are what must be printed |
| `bash`, `sh` | run as a script that stops at the first failure |
| `http` | a request, and from a line that begins with `HTTP/` on the answer that must come |
| `json`, `toml` | must be valid |
| `text`, `mermaid` | for the eye alone |

A page has a fresh folder of its own: everything runs in it, and Python imports from it. A Python file that is written
there (not in a folder below) is imported at once, and its names become the page's. `cd` and `export` hold for the
commands after them. Ports 8000 to 8009 stand for free ports. A page that names `localhost:5432` has a PostgreSQL of its
own there, new and empty, which trusts its superuser `postgres` and everyone else, and the programs that belong to it.

In what is printed `...` stands for anything, and on a line of its own for any lines. A command without lines below it
may print what it likes, but must succeed; with `# exit status 3` behind it, it must end so.

`<!-- serve: shop:app on port 8000 -->` runs that application from there on, in place of the one before; `<!-- stop -->`
stops it, and so does the end of the page. `$ command &` starts any other server, waits for the printed lines and goes
on.

In a JSON answer of an `http` block the text "..." stands for any value, and a key "..." for any other keys.

A block that can't run says why in a comment on the line above its fence: `<!-- not run: needs the network -->`. One
whose commands need Docker or a cluster says so, and is looked at by `test_container_commands.py`:
`<!-- needs Docker -->`, `<!-- needs a cluster -->`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FOR_THE_EYE", "Block", "Serve", "Step", "names_postgres", "steps_of"]

FOR_THE_EYE = ("text", "mermaid")

_FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w-]*)(?P<more>.*)$")
_SERVE = re.compile(r"^\s*<!-- (?:serve: (?P<app>\S+) on port 8000|stop) -->\s*$")
_NEEDS = re.compile(r"^\s*<!-- needs (?P<what>Docker|a cluster) -->\s*$")
_NOT_RUN = re.compile(r"^\s*<!-- not run: (?P<reason>.+?) -->\s*$")
_TITLE = re.compile(r'title="([^"]+)"')
_POSTGRES = "localhost:5432"
_FILE_LINE = re.compile(r"^(?:#|//|--) file: (\S+)\s*$")


@dataclass(frozen=True)
class Block:
    """One fenced block. `place` is the line of its fence, `file` where it is written, `not_run` why it is not run.

    `needs` is what a machine has to have that runs its commands: Docker, or a cluster.
    """

    place: str
    language: str
    text: str
    file: str | None = None
    not_run: str | None = None
    needs: str | None = None


@dataclass(frozen=True)
class Serve:
    """From here on this application is served; None: none is."""

    place: str
    app: str | None


Step = Block | Serve


def steps_of(page: Path) -> list[Step]:
    """The page's fenced blocks (those in lists and admonitions too) and comments to the harness, in order."""
    return list(_steps(page.read_text(encoding="utf-8").splitlines(), page.name))


def names_postgres(steps: Iterable[Step]) -> bool:
    """Whether a PostgreSQL must be there for the page."""
    return any(isinstance(step, Block) and _POSTGRES in step.text and step.not_run is None for step in steps)


def _steps(lines: Sequence[str], name: str) -> Iterator[Step]:
    number = 0
    while number < len(lines):
        start, opening = number, _FENCE.match(lines[number])
        number += 1
        if opening is not None:
            while number < len(lines) and not _closes(lines[number], opening["fence"]):
                number += 1
            inside = [line.removeprefix(opening["indent"]) for line in lines[start + 1 : number]]
            number += 1
            yield _block(f"{name}:{start + 1}", opening, inside, lines[start - 1] if start else "")
        elif serve := _SERVE.match(lines[start]):
            yield Serve(f"{name}:{start + 1}", serve["app"])


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return stripped.startswith(fence) and not stripped.strip(fence[0])


def _block(place: str, opening: re.Match[str], inside: Sequence[str], line_above: str) -> Block:
    title, first = _TITLE.search(opening["more"]), _FILE_LINE.match(inside[0]) if inside else None
    file = title[1] if title else first[1] if first else None
    not_run, needs = _NOT_RUN.match(line_above), _NEEDS.match(line_above)
    return Block(
        place=place,
        language=opening["language"],
        text="\n".join(inside) + "\n",
        file=file,
        not_run=not_run["reason"] if not_run else None,
        needs=needs["what"] if needs else None,
    )
