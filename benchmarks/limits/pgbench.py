"""PostgreSQL's own pgbench: the rows of one command per transaction, by so many clients. What a log costs that does not
group its commits; the program is C, and decides nothing."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmarks.limits.postgres_group import make_tables
from tests.servers.postgres import PostgresServer

__all__ = ["transactions"]

SCRIPT = Path(__file__).with_name("pgbench.sql")


def transactions(server: PostgresServer, *, clients: int, seconds: int) -> Mapping[str, float]:
    """Transactions per second and their mean time; prepared statements, two threads."""
    make_tables(server.url())
    server.sql("CREATE SEQUENCE event_position CACHE 1")
    script = shutil.copy(SCRIPT, server.folder)  # where the server's user may read it
    words = ["--no-vacuum", "--protocol=prepared", "--define=turn=0", f"--file={script}", f"--time={seconds}"]
    load = [f"--client={clients}", f"--jobs={min(clients, 2)}"]
    output = server.run("pgbench", *words, *load, server.url())
    return {"commands_per_s": _figure("tps = ", output), "mean_ms": _figure("latency average = ", output)}


def _figure(label: str, output: str) -> float:
    found = re.search(re.escape(label) + r"([\d.]+)", output)
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if found is None or (failed is not None and int(failed[1])):
        raise RuntimeError(f"pgbench says no {label!r} or had failures:\n{output}")
    return float(found[1])
