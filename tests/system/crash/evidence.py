"""What the system holds in the end, read from outside: the log by the command line, the rows from their file."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.system.crash.service import APP, ROOT, Service
from tests.system.faults.process import twofold_json


def events(service: Service) -> list[dict[str, Any]]:
    """The whole log, as `twofold events tail --json` prints it."""
    return twofold_json("events", "tail", APP, "--json", environment=service.environment)


def balances(folder: Path) -> dict[str, Decimal]:
    """Account and balance of every row of the bank's read model."""
    with closing(sqlite3.connect(f"file:{folder}/log.read.db?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT account_id, balance FROM balance").fetchall()
    return {account: Decimal(balance) for account, balance in rows}


class Journal:
    """A subscriber in a process of its own: follows the log from 1 and writes down every position it is given."""

    def __init__(self, service: Service) -> None:
        self._path = service.folder / "journal.jsonl"
        command = [sys.executable, "-m", "twofold", "events", "tail", APP, "--json", "--follow"]
        with self._path.open("wb") as output:
            self._process = subprocess.Popen(command, env=service.environment, cwd=ROOT, stdout=output)

    def positions(self) -> list[int]:
        """What was written so far; a line that is not yet whole is left out."""
        lines = self._path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line)["position"] for line in lines]

    async def reaches(self, count: int) -> None:
        """Wait until so many events were written down, at most ten seconds."""
        async with asyncio.timeout(10):
            while len(self.positions()) < count:
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
