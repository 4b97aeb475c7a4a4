"""What a look at a store from outside finds: a plain value, whichever store it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twofold.ports import Checkpoint

__all__ = ["ServerFacts", "ServerReport", "StoreReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What there is to say about a store, without opening it for work.

    Sizes are bytes; schema numbers count migrations. `schema` is None for a store that is missing or can't be read
    (then `error` says why). `holder` is what the process that writes it has published. `damage` and `gap` are what a
    deep look complains about: `gap` about positions of an event log that are not dense. `made_by_hand` says that no
    service makes or migrates it.
    """

    label: str
    place: str
    known_schema: int
    schema: int | None = None
    exists: bool = False
    writable: bool = False
    size_bytes: int = 0
    free_bytes: int = 0
    error: str = ""
    holder: Mapping[str, Any] | None = None
    damage: Sequence[str] = ()
    gap: str = ""
    made_by_hand: bool = False
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict[str, Checkpoint])

    @property
    def state(self) -> str:
        """The schema in words."""
        if self.error:
            return self.error
        if self.schema is None:
            return f"missing: {self._remedy('made')}"
        if self.schema == self.known_schema:
            return "up to date"
        if self.schema < self.known_schema:
            return f"older than this release: {self._remedy('migrated')}"
        return "newer than this release"

    def _remedy(self, done: str) -> str:
        return 'run "twofold schema migrate"' if self.made_by_hand else f"{done} when a service starts"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a database server says of itself. Times are seconds; settings are as the server writes them."""

    version: str
    version_number: int
    user: str
    standby: bool
    encoding: str
    tls: str
    connections: int
    most_connections: int
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    autovacuum: str
    idle_transaction_s: float
    now_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """What there is to say about the server that a store is on.

    `pooled` says that a pooler stands before it, `ahead_s` how far its clock is before this machine's. `could` is what
    the user that asked could do to events of the log, if that is there: "UPDATE", "SUPERUSER" …
    """

    label: str
    place: str
    facts: ServerFacts
    pooled: bool
    ahead_s: float
    could: Sequence[str] = ()
