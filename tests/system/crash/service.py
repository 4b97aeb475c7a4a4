"""The service under fire: a real process of `twofold serve all` on SQLite files, started and killed at will."""

import time
from pathlib import Path
from typing import Any

from tests.system.cli_process import ROOT
from tests.system.faults.process import START_TIMEOUT_S, ServiceProcess, twofold_json

__all__ = ["APP", "ROOT", "Service"]

APP = "examples.bank:app"


class Service(ServiceProcess):
    """Starts on one port and one pair of files every time."""

    def __init__(self, folder: Path, entry: Path | None = None) -> None:
        settings = {"TWOFOLD_EVENT_LOG": f"sqlite:///{folder}/log.db", "TWOFOLD_LOG_LEVEL": "warning"}
        super().__init__("all", APP, settings, folder / "service.log", entry)
        self.folder = folder

    def settle_and_stop(self) -> None:
        """Wait until the read model stands at the log's head, then SIGTERM; RuntimeError when either takes too long."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while any(each["lag_events"] for each in self._read_models()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the read models don't settle: {self._read_models()}")
            time.sleep(0.05)
        self.end()

    def _read_models(self) -> list[dict[str, Any]]:
        return twofold_json("read-models", "list", APP, "--json", environment=self.environment)[0]
