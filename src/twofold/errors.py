"""Everything that Twofold raises, each with a stable code; no HTTP in it.

TwofoldError
├── DeclarationError            the application is declared wrongly
├── SettingsError               a setting is unknown or has no meaning
├── InvalidInputError           what came in can't be taken as it is
│   ├── InvalidMessageError     a field of a command, query or event has a wrong value
│   ├── MalformedJsonError      the text is no JSON
│   ├── InvalidKeyError         a stream can't have this key
│   ├── InvalidCommandIdError   a command id is empty, too long or not printable
│   └── UnknownMessageError     no command, query or event has this name
├── RefusedError                the command was understood and not done
│   ├── Rejected                the domain says no, with its own code
│   ├── NotFoundError           the stream has no events
│   ├── AlreadyExistsError      the stream has events
│   ├── WrongExpectedVersionError
│   └── CommandIdReusedError    the same command id came with another command
├── UnavailableError            not now; the same call may succeed later
│   ├── OverloadedError
│   ├── StoppingError
│   ├── ContentionError         every retry of a lost race was lost
│   ├── NotYetConsistentError   the read model has not come to the wanted position
│   ├── ReadModelNotReadyError  its rows were made by other code, and are being made anew
│   ├── CommandTimeoutError     the command waited longer than it may
│   ├── QueryTimeoutError       the answer took longer than it may
│   ├── StoreUnavailableError   the disk is full, the file can't be written …
│   └── UnknownOutcomeError     the append may or may not have been done
├── WrongRoleError              another service of the system does this
│   └── WrongServiceError       a service of the same role, with other components
├── HandlerFailedError          a handler raised something that is a bug
├── UndecodableEventError       a stored event can't be read by this application
├── UnfoldableEventError        a read model can't take an event; it stands before it
└── StoreError                  a store can't be used as it is
    ├── StoreInUseError, StoreNotWritableError, ForeignStoreError, CorruptStoreError, UnknownSchemaError
    ├── CheckpointAheadError    a read model knows more than the log
    ├── FencedError             another worker has taken over
    ├── RebuildUnderWayError
    └── UnknownReadModelError, UnknownStreamError
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlreadyExistsError",
    "CheckpointAheadError",
    "CommandIdReusedError",
    "CommandTimeoutError",
    "ContentionError",
    "CorruptStoreError",
    "DeclarationError",
    "FencedError",
    "ForeignStoreError",
    "HandlerFailedError",
    "InvalidCommandIdError",
    "InvalidInputError",
    "InvalidKeyError",
    "InvalidMessageError",
    "MalformedJsonError",
    "NotFoundError",
    "NotYetConsistentError",
    "OverloadedError",
    "QueryTimeoutError",
    "ReadModelNotReadyError",
    "RebuildUnderWayError",
    "RefusedError",
    "Rejected",
    "SettingsError",
    "StoppingError",
    "StoreError",
    "StoreInUseError",
    "StoreNotWritableError",
    "StoreUnavailableError",
    "TwofoldError",
    "UnavailableError",
    "UndecodableEventError",
    "UnfoldableEventError",
    "UnknownMessageError",
    "UnknownOutcomeError",
    "UnknownReadModelError",
    "UnknownSchemaError",
    "UnknownStreamError",
    "WrongExpectedVersionError",
    "WrongRoleError",
    "WrongServiceError",
]


def shortened(value: object, limit: int = 80) -> str:
    """The value as it may stand in an error: quoted, and cut so that hostile input can't fill a log."""
    text = repr(value if not isinstance(value, str) else value[: limit + 1])
    return text if len(text) <= limit else f"{text[:limit]}…"


class TwofoldError(Exception):
    """The root of the tree. `code` is stable and made for programs; the text is made for people."""

    code: ClassVar[str] = "error"


class DeclarationError(TwofoldError):
    """A class or application is declared wrongly. The text names class, method and cure."""

    code = "wrong-declaration"


class SettingsError(TwofoldError):
    """A setting is unknown, or its value has no meaning. Nothing was started."""

    code = "wrong-setting"


class InvalidInputError(TwofoldError):
    """What came in can't be taken as it is. Nothing was done; correct it and send it again."""

    code = "invalid-input"


class InvalidMessageError(InvalidInputError):
    """A field has a wrong type or value, is missing or unknown. `pointer` is a JSON pointer to it (RFC 6901)."""

    code = "invalid-message"

    def __init__(self, name: str, reason: str, pointer: str = "") -> None:
        self.name, self.reason, self.pointer = name, reason, pointer
        where = f" at {shortened(pointer)}" if pointer else ""
        super().__init__(f"{name}: {reason}{where}; nothing was done (correct the field and send it again)")


class MalformedJsonError(InvalidInputError):
    """The text is not JSON (RFC 8259) in UTF-8."""

    code = "malformed-json"

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"{name}: the text is not valid JSON: {reason}; nothing was done")


class InvalidKeyError(InvalidInputError):
    """A key is empty, longer than 200 characters, or holds characters that can't be printed."""

    code = "invalid-key"

    def __init__(self, category: str, key: str) -> None:
        self.category, self.key = category, key
        super().__init__(
            f"{category or 'stream'}: the key {shortened(key)} of {len(key)} characters can't name a stream; "
            "nothing was done (use 1 to 200 printable characters)"
        )


class InvalidCommandIdError(InvalidInputError):
    """A command id is empty, longer than 200 characters, or holds characters that can't be printed."""

    code = "invalid-command-id"

    def __init__(self, command_id: str) -> None:
        self.command_id = command_id
        super().__init__(
            f"the command id {shortened(command_id)} of {len(command_id)} characters can't be recorded; "
            "nothing was done (use 1 to 200 printable characters)"
        )


class UnknownMessageError(InvalidInputError):
    """The application declares no command, query or event of this name."""

    code = "unknown-message"

    def __init__(self, kind: str, name: str, nearest: str | None = None) -> None:
        self.kind, self.name, self.nearest = kind, name, nearest
        hint = f"did you mean {nearest}?" if nearest else f"/docs lists every {kind}"
        super().__init__(f"the application has no {kind} named {shortened(name)}; nothing was done ({hint})")


class RefusedError(TwofoldError):
    """The command was understood and not done. Nothing was appended."""

    code = "refused"


class Rejected(RefusedError):
    """A business refusal, raised by a handler: `raise Rejected("the amount must be positive", code="amount")`."""

    code: str = "rejected"  # pyright: ignore[reportIncompatibleVariableOverride] - each refusal brings its own

    def __init__(self, text: str, *, code: str = "rejected") -> None:
        self.text, self.code = text, code  # pyright: ignore[reportAttributeAccessIssue]
        super().__init__(text)


class NotFoundError(RefusedError):
    """The command needs a stream with events, and this one has none."""

    code = "not-found"

    def __init__(self, stream: str, command: str) -> None:
        self.stream, self.command = stream, command
        super().__init__(
            f"stream {shortened(stream)}: {command} needs a stream with events and found none; nothing was appended"
        )


class AlreadyExistsError(RefusedError):
    """The command opens a stream, and this one has events already."""

    code = "already-exists"

    def __init__(self, stream: str, command: str, version: int) -> None:
        self.stream, self.command, self.version = stream, command, version
        super().__init__(
            f"stream {shortened(stream)}: {command} opens a stream, and this one is at version {version}; "
            "nothing was appended"
        )


class WrongExpectedVersionError(RefusedError):
    """Another writer appended to the stream after it was read. Nothing was written; read again and decide again."""

    code = "wrong-expected-version"

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        self.stream, self.expected, self.actual = stream, expected, actual
        super().__init__(
            f"stream {shortened(stream)}: expected version {expected}, found {actual}; nothing was appended "
            f"(read again from {actual} and decide again)"
        )


class CommandIdReusedError(RefusedError):
    """A command id that is already recorded came with another command, or with other fields."""

    code = "idempotency-key-reused"

    def __init__(self, command_id: str, stream: str) -> None:
        self.command_id, self.stream = command_id, stream
        super().__init__(
            f"command id {shortened(command_id)} is recorded for another command on stream {shortened(stream)}; "
            "nothing was appended (a new command needs a new id)"
        )


class UnavailableError(TwofoldError):
    """Not now. The same call may succeed later; `retry_after_s` says when to try."""

    code = "unavailable"
    retry_after_s: int = 1


class OverloadedError(UnavailableError):
    """More work is waiting, or at work, than the limit allows. Nothing was done with this call.

    `waited_s` is how long it waited in vain for a place.
    """

    code = "overloaded"

    def __init__(self, what: str, limit: int, waited_s: float = 0.0) -> None:
        self.what, self.limit, self.waited_s = what, limit, waited_s
        reason = f"are at work, and none was done within {waited_s:g} seconds" if waited_s else "are waiting already"
        super().__init__(f"{limit} {what} {reason}; nothing was done (try again in a second)")


class StoppingError(UnavailableError):
    """The system is stopping and takes nothing new; what it had accepted is being finished."""

    code = "stopping"

    def __init__(self) -> None:
        super().__init__("the system is stopping; nothing was done (try again when it is back)")


class ContentionError(UnavailableError):
    """Other writers won every race for the stream. Nothing was appended."""

    code = "contention"

    def __init__(self, stream: str, attempts: int) -> None:
        self.stream, self.attempts = stream, attempts
        super().__init__(
            f"stream {shortened(stream)}: {attempts} attempts lost against other writers; "
            "nothing was appended (try again)"
        )


class NotYetConsistentError(UnavailableError):
    """A read model has not come to the wanted position in time."""

    code = "not-yet-consistent"

    def __init__(self, wanted: int, reached: int, read_models: str) -> None:
        self.wanted, self.reached, self.read_models = wanted, reached, read_models
        super().__init__(
            f"{read_models or 'the answer'}: position {wanted} was wanted, {reached} is reached; "
            "no answer was made (try again, or ask without the wanted position)"
        )


class ReadModelNotReadyError(UnavailableError):
    """The stored rows of a read model have the columns of other code; rows for this code are not there yet."""

    code = "read-model-not-ready"

    def __init__(self, read_model: str, reason: str) -> None:
        self.read_model, self.reason = read_model, reason
        super().__init__(f"{read_model}: {reason}; no answer was made (try again when its rebuild is done)")


class CommandTimeoutError(UnavailableError):
    """A command waited longer than the setting allows before it could be decided. Nothing was done with it."""

    code = "command-timeout"

    def __init__(self, command: str, timeout_s: float) -> None:
        self.command, self.timeout_s = command, timeout_s
        super().__init__(f"{command}: not decided within {timeout_s} seconds; nothing was done (try again)")


class QueryTimeoutError(UnavailableError):
    """An answer took longer than the setting allows, and was given up."""

    code = "query-timeout"

    def __init__(self, query: str, timeout_s: float) -> None:
        self.query, self.timeout_s = query, timeout_s
        super().__init__(f"{query}: no answer within {timeout_s} seconds; the query was given up (ask for less)")


class StoreUnavailableError(UnavailableError):
    """A store can't work now (disk full, I/O error, interrupted). Nothing of this call was written."""

    code = "store-unavailable"

    def __init__(self, store: str, reason: str) -> None:
        self.store, self.reason = store, reason
        super().__init__(f"{store}: {reason}; nothing was written (mend the cause; no restart is needed)")


class UnknownOutcomeError(UnavailableError):
    """The append may or may not have been done. Send the same command with the same command id to find out."""

    code = "unknown-outcome"

    def __init__(self, store: str, reason: str) -> None:
        self.store, self.reason = store, reason
        super().__init__(
            f"{store}: the outcome of the append is unknown: {reason} "
            "(send the same command with the same command id again: it takes effect once)"
        )


class HandlerFailedError(TwofoldError):
    """A handler raised something that is a bug. Nothing was appended; the log has the trace."""

    code = "internal-error"

    def __init__(self, handler: str, correlation_id: str) -> None:
        self.handler, self.correlation_id = handler, correlation_id
        super().__init__(
            f"{handler} failed; nothing was done (the service's log has the details under correlation id "
            f"{correlation_id})"
        )


class UndecodableEventError(TwofoldError):
    """A stored event can't be read by this application: unknown type, missing upcaster, or other fields."""

    code = "undecodable-event"

    def __init__(self, event_type: str, schema_version: int, reason: str) -> None:
        self.event_type, self.schema_version, self.reason = event_type, schema_version, reason
        super().__init__(f"event {event_type} of schema version {schema_version}: {reason}")


class UnfoldableEventError(TwofoldError):
    """A read model's handler, or the codec, can't take an event. The read model stands before it and tries again."""

    code = "unfoldable-event"

    def __init__(self, read_model: str, position: int, event: str, reason: Exception) -> None:
        self.read_model, self.position, self.event, self.reason = read_model, position, event, reason
        super().__init__(
            f"{read_model}: {event} at position {position} can't be folded: {type(reason).__name__}: {reason}; "
            "the read model stands before it and tries again (mend the handler and deploy; nothing was skipped)"
        )


class StoreError(TwofoldError):
    """A store can't be used as it is. Nothing was changed in it."""

    code = "store-error"

    def __init__(self, store: str, reason: str, remedy: str) -> None:
        self.store, self.reason, self.remedy = store, reason, remedy
        super().__init__(f"{store}: {reason}; nothing was changed ({remedy})")


class StoreInUseError(StoreError):
    """Another process writes to the store."""

    code = "store-in-use"


class StoreNotWritableError(StoreError):
    """The folder or file of the store can't be written."""

    code = "store-not-writable"


class ForeignStoreError(StoreError):
    """The file or database belongs to something else."""

    code = "foreign-store"


class CorruptStoreError(StoreError):
    """The file is damaged, or no database at all."""

    code = "corrupt-store"


class UnknownSchemaError(StoreError):
    """The store's schema is not one that this release knows."""

    code = "unknown-schema"


class CheckpointAheadError(StoreError):
    """A read model has folded events that the log does not have: the two belong to different histories."""

    code = "checkpoint-ahead"


class FencedError(StoreError):
    """Another worker has taken over this read model, or has moved its checkpoint. This worker wrote nothing."""

    code = "fenced"


class RebuildUnderWayError(StoreError):
    """The read model is being rebuilt already."""

    code = "rebuild-under-way"


class WrongRoleError(TwofoldError):
    """This process has a role that does not do this. Nothing was done."""

    code = "wrong-role"

    def __init__(self, role: str, wanted: str) -> None:
        self.role, self.wanted = role, wanted
        super().__init__(f"this service has the role {role}; nothing was done (send it to a service of role {wanted})")


class WrongServiceError(WrongRoleError):
    """This service includes a part of the application, and the command or query is in another. Nothing was done."""

    code = "wrong-service"

    def __init__(self, kind: str, name: str, included: str) -> None:
        self.kind, self.name, self.included = kind, name, included
        TwofoldError.__init__(
            self,
            f"this service has only {included}; nothing was done (send it to the service that includes the {kind} "
            f"{shortened(name)})",
        )


class UnknownReadModelError(StoreError):
    """No read model of this name is declared."""

    code = "unknown-read-model"


class UnknownStreamError(StoreError):
    """No stream of this name has events."""

    code = "unknown-stream"
