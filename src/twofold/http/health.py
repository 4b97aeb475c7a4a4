"""Whether the process lives, and whether it is ready for the work of its role.

A read model that has failed does not make the service unready: commands and the other queries go on. It is shown. But a
query service whose rows are made by other code is not ready: until they are made anew, its older replicas answer.
"""

from __future__ import annotations

import asyncio

import msgspec

from twofold.errors import TwofoldError
from twofold.http.answers import Answer, json_answer
from twofold.operations.read_models import Operations, ReadModelStatus
from twofold.runtime.lifecycle import System
from twofold.settings import Role

__all__ = ["Readiness", "alive", "readiness", "ready_answer"]

_LOOK_TIMEOUT_S = 2.0

_encode = msgspec.json.Encoder().encode


class Readiness(msgspec.Struct, kw_only=True):
    """`status` is "ready", "degraded" (it works, and `reasons` says what does not) or "not-ready".

    `head` is the last position of the event log, for roles that see it. `read_models` are those that it folds or reads.
    """

    status: str
    role: str
    reasons: list[str] = []
    head: int | msgspec.UnsetType = msgspec.UNSET
    read_models: list[ReadModelStatus] = []


def alive() -> Answer:
    return json_answer(200, b'{"status":"alive"}')


def ready_answer(found: Readiness) -> Answer:
    return json_answer(503 if found.status == "not-ready" else 200, _encode(found))


async def readiness(system: System | None, role: Role, *, starting: bool, stopping: bool) -> Readiness:
    """How the system is, looked at now; a store of its role that does not answer in 2 s is a reason not to be ready."""
    if system is None:
        return _not_ready(role, "the system is starting" if starting else "the system is not started")
    if stopping or system.state != "running":
        return _not_ready(role, "the system is stopping" if stopping else f"the system is {system.state}")
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            seen = await Operations(system).look()
    except TimeoutError:
        return _not_ready(role, f"the stores do not answer within {_LOOK_TIMEOUT_S:g} seconds")
    except TwofoldError as error:
        return _not_ready(role, str(error))
    models = seen.read_models
    reasons = [f"read model {each.name} has failed at position {each.checkpoint}" for each in models if _failed(each)]
    hindered = [f"read model {name}: {each.hindrance}" for name, each in system.progress.items() if each.hindrance]
    if role.answers:
        reasons += hindered
    status = "not-ready" if role is Role.QUERY and hindered else "degraded" if reasons else "ready"
    head = msgspec.UNSET if seen.head is None else seen.head
    return Readiness(status=status, role=role, reasons=reasons, head=head, read_models=models)


def _not_ready(role: Role, reason: str) -> Readiness:
    return Readiness(status="not-ready", role=role, reasons=[reason])


def _failed(model: ReadModelStatus) -> bool:
    return model.state == "failed"
