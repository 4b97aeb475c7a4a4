"""What passes between a client and PostgreSQL, as far as a proxy must understand it: which bytes commit what.

A pure reader of the frontend/backend protocol 3 (https://www.postgresql.org/docs/current/protocol-message-formats.html).
It follows one connection from its first byte, since a prepared statement is named once and executed ever after.
"""

from collections import deque

__all__ = ["Conversation"]

_SSL_OR_GSS = (80877103, 80877104)


class Conversation:
    """One connection. `text` is a part of the statement that is looked for, as b"twofold_log.append"."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._from_client, self._from_server = bytearray(), bytearray()
        self._started, self._expects_one_byte = False, False
        self._statements: dict[bytes, bool] = {}
        self._wanted = False  # in what the client has sent since its last Sync
        self._batches: deque[bool] = deque()  # per Sync that the server has yet to answer
        self._in_transaction, self._failed = False, False

    def sent(self, data: bytes) -> bool:
        """Take what the client sends; True when the statement is executed by it."""
        self._from_client += data
        found = False
        while (message := self._next_of_client()) is not None:
            kind, body = message
            executed = self._executes(kind, body)
            self._wanted, found = self._wanted or executed, found or executed
            if kind in b"QS":
                self._batches.append(self._wanted)
                self._wanted = False
        return found

    def answered(self, data: bytes) -> bool:
        """Take what the server replies; True when it says that the statement's transaction has committed."""
        if self._expects_one_byte and data:
            self._expects_one_byte, data = False, data[1:]
        self._from_server += data
        committed = False
        while (message := _cut_typed(self._from_server)) is not None:
            committed = self._ends_transaction(*message) or committed
        return committed

    def _next_of_client(self) -> tuple[bytes, bytes] | None:
        if self._started:
            return _cut_typed(self._from_client)
        if (body := _cut(self._from_client, 0)) is None:
            return None
        code = int.from_bytes(body[:4], "big")
        self._started, self._expects_one_byte = code not in _SSL_OR_GSS, code in _SSL_OR_GSS
        return b"startup", b""

    def _executes(self, kind: bytes, body: bytes) -> bool:
        match kind:
            case b"Q":
                return self._text in body
            case b"P":
                name, _, rest = body.partition(b"\0")
                self._statements[name] = self._text in rest.partition(b"\0")[0]
                return False
            case b"B":
                return self._statements.get(body.split(b"\0", 2)[1], False)
            case _:
                return False

    def _ends_transaction(self, kind: bytes, body: bytes) -> bool:
        if kind == b"E" or (kind == b"C" and body.startswith(b"ROLLBACK")):
            self._failed = True
        if kind != b"Z" or not self._batches:
            return False
        wanted = (self._batches.popleft() or self._in_transaction) and not self._failed
        self._failed = False
        self._in_transaction = wanted and body == b"T"
        return wanted and body == b"I"


def _cut_typed(buffer: bytearray) -> tuple[bytes, bytes] | None:
    kind = bytes(buffer[:1])
    body = _cut(buffer, 1)
    return None if body is None else (kind, body)


def _cut(buffer: bytearray, start: int) -> bytes | None:
    """Take a message off the buffer: its body behind the length at `start`; None until it is whole."""
    if len(buffer) < start + 4:
        return None
    end = start + int.from_bytes(buffer[start : start + 4], "big")
    if len(buffer) < end:
        return None
    body = bytes(buffer[start + 4 : end])
    del buffer[:end]
    return body
