"""PgBouncer in transaction mode before a PostgreSQL server: Debian's, with a configuration of the test's own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer

__all__ = ["PgBouncer", "pgbouncer"]

_START_TIMEOUT_S = 10.0
_USER = "nobody"
_CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={target}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
admin_users = postgres
pool_mode = transaction
default_pool_size = 10
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
"""


class PgBouncer:
    """Leads to every database of the server under its own name."""

    def __init__(self, server: PostgresServer, port: int) -> None:
        self.server, self.port = server, port

    def url(self, database: str, user: str = "postgres") -> str:
        return self.server.url(database, user, port=self.port)

    def show(self, what: str) -> str:
        """What its console says: POOLS, CLIENTS, SERVERS …; unaligned rows."""
        return self.server.run("psql", "-X", "-A", "-d", self.url("pgbouncer"), "-c", f"SHOW {what}")


@contextmanager
def pgbouncer(server: PostgresServer, binary: Path, users: Sequence[str]) -> Generator[PgBouncer]:
    """Running, for these users, who are trusted; stopped and its files removed at the end."""
    folder, port = Path(tempfile.mkdtemp(prefix="twofold-pgbouncer-")), free_port()
    (folder / "users").write_text("".join(f'"{user}" ""\n' for user in users))
    text = _CONFIGURATION.format(target=server.port, port=port, users=folder / "users")
    (folder / "pgbouncer.ini").write_text(text)
    folder.chmod(0o755)
    user = pwd.getpwnam(_USER).pw_uid if os.geteuid() == 0 else None
    with (folder / "log").open("wb") as log:
        command = [str(binary), str(folder / "pgbouncer.ini")]
        process = subprocess.Popen(command, stdout=log, stderr=log, user=user)
    try:
        bouncer = PgBouncer(server, port)
        _await_ready(bouncer, process, folder / "log")
        yield bouncer
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)
        shutil.rmtree(folder)


def _await_ready(bouncer: PgBouncer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            bouncer.show("VERSION")
            return
        except RuntimeError:
            time.sleep(0.05)
    raise RuntimeError(f"PgBouncer does not start:\n{log.read_text()[-2000:]}")
