"""The partitions that one worker holds, by how far they have come: those that stand together are folded together."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.ports import Share
from twofold.streams import Position

__all__ = ["Cohort", "Cohorts"]


class Cohort:
    """Shares that stand at one position. What is stored of each may be behind it, by pages that touched no row."""

    __slots__ = ("position", "shares")

    def __init__(self, position: Position, shares: Sequence[Share]) -> None:
        self.position, self.shares = position, tuple(shares)

    @property
    def stored_position(self) -> Position:
        """Of the share that was saved least far."""
        return min(share.position for share in self.shares)


class Cohorts:
    """Everything that a worker holds of one read model. The cohort that is furthest behind is worked on first, up to
    where the next one stands; there they become one."""

    def __init__(self) -> None:
        self._cohorts: list[Cohort] = []

    @property
    def shares(self) -> tuple[Share, ...]:
        return tuple(share for cohort in self._cohorts for share in cohort.shares)

    @property
    def position(self) -> Position | None:
        """Everything up to here is folded, in all that is held; None when nothing is."""
        return self._cohorts[0].position if self._cohorts else None

    def hold(self, granted: Sequence[Share]) -> None:
        """Hold these and no others. A share that is held in the same epoch stays where it has come to."""
        wanted = {share.partition: share for share in granted}
        kept: list[Cohort] = []
        for cohort in self._cohorts:
            shares = [share for share in cohort.shares if _is_granted(share, wanted)]
            for share in shares:
                del wanted[share.partition]
            if shares:
                kept.append(Cohort(cohort.position, shares))
        self._cohorts = kept + [Cohort(share.position, (share,)) for share in wanted.values()]
        self._merge()

    def next(self) -> tuple[Cohort, Position | None] | None:
        """What to work on, and where the cohort after it stands; None when nothing is held."""
        if not self._cohorts:
            return None
        return self._cohorts[0], self._cohorts[1].position if len(self._cohorts) > 1 else None

    def moved(self, cohort: Cohort, position: Position, shares: Sequence[Share]) -> None:
        """The cohort has come to the position, and this much of it is stored."""
        cohort.position, cohort.shares = position, tuple(shares)
        self._merge()

    def lost(self, cohort: Cohort) -> None:
        """Others hold (some of) its shares now."""
        self._cohorts = [each for each in self._cohorts if each is not cohort]

    def unsaved(self) -> list[Cohort]:
        """Those of which not everything is stored."""
        return [cohort for cohort in self._cohorts if cohort.stored_position != cohort.position]

    def _merge(self) -> None:
        if len(self._cohorts) < 2:
            return
        by_position: dict[Position, list[Share]] = {}
        for cohort in self._cohorts:
            by_position.setdefault(cohort.position, []).extend(cohort.shares)
        self._cohorts = [Cohort(position, by_position[position]) for position in sorted(by_position)]


def _is_granted(share: Share, granted: dict[int, Share]) -> bool:
    found = granted.get(share.partition)
    return found is not None and found.epoch == share.epoch
