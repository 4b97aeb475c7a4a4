"""The operator's door of a running process: what `twofold read-models` asks when another process holds the stores.

Only who knows the process's token gets in. It is published beside the stores' lock, readable by the same user alone.
"""

from __future__ import annotations

import hmac
import secrets

import msgspec

from twofold.http.answers import Answer, json_answer
from twofold.http.headers import Headers
from twofold.http.problems import PROBLEM_JSON, MethodNotAllowedError, Problem, UnknownPathError
from twofold.operations.read_models import Operations
from twofold.runtime.lifecycle import System

__all__ = ["OPERATIONS", "OperatorDoor"]

OPERATIONS = "/operations/"
_READ_MODELS = f"{OPERATIONS}read-models"
_VERBS = ("rebuild", "compare", "roll-back", "drop", "pause", "resume")


class OperatorDoor:
    """Answers `GET /operations/read-models` and `POST /operations/read-models/{name}/{verb}`.

    `token` is new in every process. A rebuild, or comparison, is answered 202 when it has begun; the list shows how far
    it is, and what it found.
    """

    def __init__(self, system: System) -> None:
        self.token = secrets.token_urlsafe(32)
        self.operations = Operations(system)

    async def answer(self, path: str, method: str, headers: Headers) -> Answer:
        """UnknownPathError, MethodNotAllowedError and UnknownReadModelError are for the caller to answer."""
        if not self._is_known(headers):
            return _unauthorized()
        if path == _READ_MODELS:
            _only("GET", method)
            return json_answer(200, msgspec.json.encode(await self.operations.read_models()))
        name, slash, verb = path.removeprefix(f"{_READ_MODELS}/").rpartition("/")
        if not path.startswith(f"{_READ_MODELS}/") or not slash or verb not in _VERBS:
            raise UnknownPathError(path)
        _only("POST", method)
        return await self._change(name, verb)

    async def close(self) -> None:
        """Call it before the system stops."""
        await self.operations.close()

    async def _change(self, name: str, verb: str) -> Answer:
        match verb:
            case "rebuild" | "compare":
                begun = self.operations.start_rebuild(name, compare=verb == "compare")
                return json_answer(202, msgspec.json.encode(begun))
            case "roll-back":
                await self.operations.roll_back(name)
            case "drop":
                await self.operations.drop(name)
            case "pause":
                await self.operations.pause(name)
            case _:
                await self.operations.resume(name)
        return json_answer(200, msgspec.json.encode(await self.operations.read_models()))

    def _is_known(self, headers: Headers) -> bool:
        given = headers.get(b"authorization", b"")
        return hmac.compare_digest(given, b"Bearer " + self.token.encode())


def _only(wanted: str, method: str) -> None:
    if method != wanted:
        raise MethodNotAllowedError(method, wanted)


def _unauthorized() -> Answer:
    problem = Problem(
        type="urn:twofold:problem:unauthorized",
        title="Unauthorized",
        status=401,
        detail="the operator's token is missing or wrong; nothing was done (the lock file of the event log has it)",
        code="unauthorized",
    )
    body = msgspec.json.encode(problem)
    headers = [
        (b"content-type", PROBLEM_JSON),
        (b"content-length", b"%d" % len(body)),
        (b"www-authenticate", b"Bearer"),
    ]
    return Answer(401, headers, body, problem.code)
