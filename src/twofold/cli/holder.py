"""The running process that writes the stores, asked over its own HTTP door.

It tells this user's other processes where it listens and the token that operators need (`StoreLock.publish`).
"""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from twofold.errors import StoreInUseError, TwofoldError, UnavailableError, UnknownReadModelError
from twofold.operations.read_models import ReadModelStatus, Rebuild
from twofold.settings import Settings
from twofold.wiring import holder_of

__all__ = ["Holder"]

_TIMEOUT_S = 10.0


class _Problem(msgspec.Struct):
    code: str = "error"
    detail: str = ""


class Holder:
    """The process that writes the stores: its id, and what may be asked of it."""

    def __init__(self, pid: int | str, url: str | None, token: str) -> None:
        self.pid, self.url, self._token = pid, url, token

    @classmethod
    def find(cls, settings: Settings) -> Holder | None:
        """None when no process has the stores for itself; those on PostgreSQL never have one."""
        facts = holder_of(settings)
        if facts is None:
            return None
        return cls(facts.get("pid", "unknown"), facts.get("url"), str(facts.get("token", "")))

    def needed(self, settings: Settings) -> Holder:
        """Itself when it can be asked; StoreInUseError when it serves no HTTP."""
        if self.url is None:
            raise StoreInUseError(
                f"event log {settings.event_log_at}",
                f"process {self.pid} writes to it and serves no HTTP to ask it by",
                "stop that process first, or let it do this itself",
            )
        return self

    def read_models(self) -> list[ReadModelStatus]:
        return msgspec.json.decode(self._request("GET", "/operations/read-models"), type=list[ReadModelStatus])

    def rebuild(self, name: str, *, compare: bool = False) -> Rebuild:
        """Have it begin; `read_models` shows the progress."""
        return msgspec.json.decode(self.change(name, "compare" if compare else "rebuild"), type=Rebuild)

    def change(self, name: str, verb: str) -> bytes:
        """Have it do what the verb says with a read model: "pause", "resume", "roll-back", "drop"."""
        return self._request("POST", f"/operations/read-models/{quote(name, safe='')}/{verb}")

    def _request(self, method: str, path: str) -> bytes:
        """The answer's body; the error that it stands for when it is none of 2xx."""
        parts = urlsplit(self.url or "")
        connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {self._token}", "Content-Length": "0"})
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, HTTPException) as error:
            raise UnavailableError(
                f"process {self.pid} writes the stores and does not answer at {self.url}: {error!r} "
                "(is it starting, stopping or overloaded? try again)"
            ) from None
        finally:
            connection.close()
        if 200 <= status < 300:
            return body
        raise self._error(status, body)

    def _error(self, status: int, body: bytes) -> TwofoldError:
        problem = _problem(body)
        if problem.code == UnknownReadModelError.code:
            return _Answered(problem.detail)
        return UnavailableError(f"process {self.pid} at {self.url} answers {status}: {problem.detail or 'no reason'}")


class _Answered(UnknownReadModelError):
    """The running process's own words."""

    def __init__(self, text: str) -> None:
        TwofoldError.__init__(self, text)


def _problem(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:
        return _Problem()
