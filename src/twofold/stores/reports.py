"""What a look at a store from outside finds: a plain value, whichever store it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twofold.ports import Checkpoint

__all__ = ["StoreReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What there is to say about a store, without opening it for work.

    Sizes are bytes; schema numbers count migrations. `schema` is None for a store that is missing or can't be read
    (then `error` says why). `holder` is what the process that writes it has published. `damage` and `gap` are what a
    deep look complains about: `gap` about positions of an event log that are not dense.
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
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict[str, Checkpoint])

    @property
    def state(self) -> str:
        """The schema in words."""
        if self.error:
            return self.error
        if self.schema is None:
            return "missing: made when a service starts"
        if self.schema == self.known_schema:
            return "up to date"
        if self.schema < self.known_schema:
            return "older than this release: migrated when a service starts"
        return "newer than this release"
