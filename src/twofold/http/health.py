"""Whether the process lives, and whether it is ready for work.

A read model that has failed does not make the service unready: commands and the other queries go on. It is shown.
"""

from __future__ import annotations

import asyncio

import msgspec

from twofold.errors import TwofoldError
from twofold.http.answers import Answer, json_answer
from twofold.operations import Operations, ReadModelStatus
from twofold.runtime.lifecycle import System

__all__ = ["Readiness", "alive", "readiness", "ready_answer"]

_LOOK_TIMEOUT_S = 2.0

_encode = msgspec.json.Encoder().encode


class Readiness(msgspec.Struct, kw_only=True):
    """`status` is "ready", "degraded" (it works, and `reasons` says what does not) or "not-ready"."""

    status: str
    reasons: list[str] = []
    read_models: list[ReadModelStatus] = []


def alive() -> Answer:
    return json_answer(200, b'{"status":"alive"}')


def ready_answer(found: Readiness) -> Answer:
    return json_answer(503 if found.status == "not-ready" else 200, _encode(found))


async def readiness(system: System | None, *, starting: bool, stopping: bool) -> Readiness:
    """How the system is, looked at now; an event log that does not answer in 2 s is a reason not to be ready."""
    if system is None:
        return _not_ready("the system is starting" if starting else "the system is not started")
    if stopping or system.state != "running":
        return _not_ready("the system is stopping" if stopping else f"the system is {system.state}")
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            models = await Operations(system).read_models()
    except TimeoutError:
        return _not_ready(f"the event log does not answer within {_LOOK_TIMEOUT_S:g} seconds")
    except TwofoldError as error:
        return _not_ready(str(error))
    reasons = [f"read model {each.name} has failed at position {each.checkpoint}" for each in models if _failed(each)]
    return Readiness(status="degraded" if reasons else "ready", reasons=reasons, read_models=models)


def _not_ready(reason: str) -> Readiness:
    return Readiness(status="not-ready", reasons=[reason])


def _failed(model: ReadModelStatus) -> bool:
    return model.state == "failed"
