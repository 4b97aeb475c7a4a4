"""Runs the steps of a page, in order, as a reader would who types them in (what a page may hold: see `blocks.py`)."""

import ast
import asyncio
import importlib
import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Self

from tests.docs.blocks import FOR_THE_EYE, Block, Serve, Step
from tests.docs.likeness import is_like, is_like_body
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer

__all__ = ["Page", "PageError"]

COMMAND_TIMEOUT_S = 60
STARTING_TIMEOUT_S = 30
STOPPING_TIMEOUT_S = 10

_PORT = re.compile(r"(?<=:)800\d\b|(?<=--port )800\d\b|(?<=--port=)800\d\b|(?<=PORT=)800\d\b|(?<=localhost:)5432\b")
_EXIT_STATUS = re.compile(r"\s+# exit status (\d+)$")


class PageError(AssertionError):
    """Something else happens than the page says; the text says where and what."""


class Page:
    """Runs the steps of one page in one folder: `with Page(folder) as page: page.run(step)`.

    `postgres` is the server of a page that names one, and its programs are on the page's PATH.
    """

    def __init__(self, folder: Path, postgres: PostgresServer | None = None) -> None:
        self.folder = self.here = folder
        self.port = free_port()
        self._ports = {"8000": str(self.port)} | ({"5432": str(postgres.port)} if postgres else {})
        self.module = ModuleType(f"page_{self.port}")
        self._servers: list[_Server] = []
        self._serving: _Server | None = None
        programs = [postgres.binaries] if postgres else []
        self._environment = {
            "PATH": os.pathsep.join(map(str, [Path(sys.executable).parent, *programs, os.environ["PATH"]])),
            "HOME": str(folder),
            "TWOFOLD_HTTP_PORT": str(self.port),
            "NO_COLOR": "1",
            "COLUMNS": "120",
            "PYTHONUNBUFFERED": "1",
        }

    def __enter__(self) -> Self:
        self._before = Path.cwd(), list(sys.path), set(sys.modules)
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        sys.modules[self.module.__name__] = self.module  # annotations are resolved in the module of their class
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        folder, path, modules = self._before
        os.chdir(folder)
        sys.path[:] = path
        del sys.modules[self.module.__name__]
        for name in set(sys.modules) - modules:
            if _comes_from(sys.modules[name], self.folder):
                del sys.modules[name]
        complaints = [complaint for server in self._servers if (complaint := server.stop())]
        if complaints and kind is None:
            raise PageError("\n".join(complaints))

    def run(self, step: Step) -> None:
        """PageError, or what a block of Python raises, when the page says something else than is."""
        if isinstance(step, Serve):
            self._serve(step)
        elif step.not_run is None and step.needs is None:
            self._run(step, _PORT.sub(lambda found: self._port_for(found[0]), step.text))

    def _port_for(self, written: str) -> str:
        """The port that stands for the one on the page, the same all over the page."""
        if written == "5432" and written not in self._ports:
            raise PageError("the page names a PostgreSQL at localhost:5432 and was given none")
        return self._ports.setdefault(written, str(free_port()))

    def _run(self, block: Block, text: str) -> None:
        run: dict[str, Callable[[Block, str], None]] = {
            "python": self._python,
            "console": self._console,
            "bash": self._script,
            "sh": self._script,
            "http": self._http,
            "json": lambda block, text: _check_parses(block, json.loads, text),
            "toml": lambda block, text: _check_parses(block, tomllib.loads, text),
            **dict.fromkeys(FOR_THE_EYE, lambda block, text: None),
        }
        if block.file is not None:
            self._write(block.file, text)
        elif block.language in run:
            run[block.language](block, text)
        else:
            known = ", ".join(run)
            raise PageError(f"{block.place}: no block is of language {block.language!r}; there are {known}")

    # --- files, python ---

    def _write(self, file: str, text: str) -> None:
        path = self.here / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for name in [name for name, module in sys.modules.items() if _comes_from(module, path)]:
            del sys.modules[name]  # written anew: what imports it from now on gets the new one
        importlib.invalidate_caches()
        if path.parent == self.folder and path.suffix == ".py":
            names = vars(importlib.import_module(path.stem))
            vars(self.module).update((name, value) for name, value in names.items() if not name.startswith("__"))

    def _python(self, block: Block, text: str) -> None:
        before = dict(vars(self.module))
        code = compile(text, block.place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        _done(eval(code, vars(self.module)))  # a coroutine when the block awaits
        for name, value in list(vars(self.module).items()):
            if name.startswith("test_") and before.get(name) is not value:
                _done(value())

    # --- console, scripts ---

    def _script(self, block: Block, text: str) -> None:
        status, printed = self._shell(f"set -euo pipefail\n{text}")
        if status:
            raise PageError(f"{block.place}: exit status {status}\n{printed}")

    def _console(self, block: Block, text: str) -> None:
        for line, expected in _commands(block, text):
            stated = _EXIT_STATUS.search(line)
            command = _EXIT_STATUS.sub("", line)
            match shlex.split(command):
                case ["cd", folder]:
                    self.here = self.here / folder
                case ["export", *assignments]:
                    self._environment |= dict(each.split("=", 1) for each in assignments)
                case [*_, "&"]:
                    self._start(block, command.removesuffix("&"), expected)
                case _:
                    self._command(block, command, expected, int(stated[1]) if stated else None if expected else 0)

    def _command(self, block: Block, command: str, expected: Sequence[str], status: int | None) -> None:
        came, printed = self._shell(command)
        if status is not None and came != status:
            raise PageError(f"{block.place}: {command}: exit status {came}, expected {status}\n{printed}")
        if expected and not is_like(expected, printed):
            raise PageError(_difference(block, command, expected, printed))

    def _shell(self, command: str) -> tuple[int, str]:
        try:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.here,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            return -1, f"did not end within {COMMAND_TIMEOUT_S} seconds\n{error.output}"
        return done.returncode, done.stdout.decode()

    # --- servers ---

    def _start(self, block: Block, command: str, expected: Sequence[str]) -> None:
        server = self._launch(command)
        if not server.until(lambda: is_like([*expected, "..."], server.printed())):
            raise PageError(_difference(block, command, expected, server.printed()))

    def _serve(self, step: Serve) -> None:
        if self._serving is not None:
            self._servers.remove(self._serving)
            if complaint := self._serving.stop():
                raise PageError(f"{step.place}: {complaint}")
            self._serving = None
        if step.app is not None:
            self._serving = self._launch(f"twofold serve all {step.app}")
            if not self._serving.until(self._is_ready):
                raise PageError(f"{step.place}: {step.app} is not ready\n{self._serving.printed()}")

    def _launch(self, command: str) -> "_Server":
        server = _Server(command, self.here, self._environment, self.folder / f".server-{len(self._servers)}.log")
        self._servers.append(server)
        return server

    def _is_ready(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=COMMAND_TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    # --- http ---

    def _http(self, block: Block, text: str) -> None:
        request, _, answer = text.partition("\nHTTP/")
        if not answer:
            raise PageError(f"{block.place}: the block has no answer: a line that begins with HTTP/")
        sent, expected = _Message.of(request), _Message.of(answer)
        method, _, path = sent.first.partition(" ")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=COMMAND_TIMEOUT_S)
        connection.request(method, path.strip(), sent.body or None, sent.headers)
        came = connection.getresponse()
        body = came.read().decode()
        connection.close()
        if wrong := list(_wrong(expected, came, body)):
            raise PageError("\n".join([f"{block.place}: {sent.first}", *wrong, body]))


# --- python, data ----------------------------------------------------------------------------------------------------


def _comes_from(module: ModuleType, place: Path) -> bool:
    """Also true of a folder that is a package without a file of its own."""
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(place in (path, *path.parents) for path in map(Path, filter(None, places)))


def _done(result: Any) -> None:
    if inspect.iscoroutine(result):
        asyncio.run(result)


def _check_parses(block: Block, parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        raise PageError(f"{block.place}: no valid {block.language}: {error}") from None


# --- console, servers ------------------------------------------------------------------------------------------------


def _commands(block: Block, text: str) -> list[tuple[str, list[str]]]:
    """Each command with what must be printed; a command goes on in the next line after a backslash."""
    found: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in text.rstrip().splitlines():
        if goes_on:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        elif line.startswith("$ "):
            found.append((line[2:].rstrip(), []))
        elif found:
            found[-1][1].append(line)
        else:
            raise PageError(f"{block.place}: a console block begins with a command: $ ...")
        goes_on = (goes_on or line.startswith("$ ")) and line.endswith("\\")
    return found


def _difference(block: Block, command: str, expected: Sequence[str], printed: str) -> str:
    wanted = "\n".join(expected)
    return f"{block.place}: {command}\n--- the page says\n{wanted}\n--- was printed\n{printed}"


@dataclass
class _Server:
    """A program that runs until it is stopped."""

    command: str
    folder: Path
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {self.command}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait for the condition; False when the program ends before, or when it takes too long."""
        deadline = time.monotonic() + STARTING_TIMEOUT_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return condition()
            time.sleep(0.02)
        return True

    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def stop(self) -> str | None:
        """What was wrong with how it stopped, if anything."""
        if self.process.poll() is not None:
            return f"{self.command}: ended by itself with exit status {self.process.returncode}\n{self.printed()}"
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOPPING_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOPPING_TIMEOUT_S)
            return f"{self.command}: did not stop within {STOPPING_TIMEOUT_S} s of SIGTERM\n{self.printed()}"
        return None


# --- http ------------------------------------------------------------------------------------------------------------


class _Message(NamedTuple):
    """A request or an answer: its first line, its headers and its body."""

    first: str
    headers: dict[str, str]
    body: str

    @classmethod
    def of(cls, text: str) -> Self:
        head, _, body = text.partition("\n\n")
        first, *lines = head.splitlines()
        pairs = (line.partition(":") for line in lines if ":" in line)
        return cls(first.strip(), {name.strip(): value.strip() for name, _, value in pairs}, body.strip())


def _wrong(expected: _Message, came: HTTPResponse, body: str) -> Iterator[str]:
    status = int(expected.first.split()[1])
    if status != came.status:
        yield f"the page says status {status}, {came.status} came"
    for name, value in expected.headers.items():
        if not is_like([value], came.getheader(name, "")):
            yield f"the page says {name}: {value}, {came.getheader(name)} came"
    if expected.body and not is_like_body(expected.body, body):
        yield f"the page says\n{expected.body}\nand this came:"
