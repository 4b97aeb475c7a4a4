"""Who holds which partitions, for stores that one process has for itself: plain values, no clock and no store.

Leases run until they are given back or seized. At its turn a worker plans how all should share, and carries out its own
part: what is free goes to those that hold least, and who holds at least two more than another that wants the same hands
one back. So of workers that want the same, none holds more than one partition more than another, and once that is so
nothing moves.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from twofold.errors import FencedError, StoreError
from twofold.ports import Checkpoint, Fold, Held, Share
from twofold.tables import Table

__all__ = ["NOBODY", "Sharing", "check_held", "fenced", "other_columns"]

NOBODY = ""

V = TypeVar("V")

Wants = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Sharing:
    """The holders of each read model's partitions, and what each worker wants (with what hinders it).

    Whatever changes gives a new value, so that a store can write it down first and then go over to it.
    """

    holders: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    wants: Wants = field(default_factory=dict[str, Mapping[str, str]])

    def lease(self, holder: str, wanted: Mapping[str, str], partitions: Mapping[str, int]) -> Sharing:
        """After the worker's turn; `partitions` says how many each read model has, at least of the wanted ones."""
        known = {name: hindrance for name, hindrance in wanted.items() if name in partitions}
        wants = {**_without(self.wants, [holder]), holder: known}
        nobody = {name: (NOBODY,) * partitions[name] for name in known}
        now = {name: by if name in known else _freed(holder, by) for name, by in {**nobody, **self.holders}.items()}
        plan = _Plan(now, wants)
        plan.give_out_free(first=holder)
        plan.level()
        return Sharing({name: _done_by(holder, by, plan.planned[name]) for name, by in now.items()}, wants)

    def seize(self, holder: str, read_model: str, partitions: int, *, force: bool) -> Sharing | None:
        """With every partition the holder's; None when another has one of them, unless `force`."""
        others = set(self.holders.get(read_model, ())) - {NOBODY, holder}
        if others and not force:
            return None
        return dataclasses.replace(self, holders={**self.holders, read_model: (holder,) * partitions})

    def release(self, holder: str) -> Sharing:
        """Without the worker."""
        holders = {name: _freed(holder, by) for name, by in self.holders.items()}
        return Sharing(holders, _without(self.wants, [holder]))

    def void(self, *read_models: str) -> Sharing:
        """With nobody holding any of these."""
        return dataclasses.replace(self, holders=_without(self.holders, read_models))

    def gained(self, holder: str, since: Sharing) -> list[tuple[str, int]]:
        """The read models and partitions that the holder has and did not have before."""
        return [
            (name, partition)
            for name, by in self.holders.items()
            for partition, each in enumerate(by)
            if each == holder and since.holders.get(name, (NOBODY,) * len(by))[partition] != holder
        ]

    def of(self, holder: str, read_model: str) -> frozenset[int]:
        """The partitions that the holder has."""
        return frozenset(at for at, each in enumerate(self.holders.get(read_model, ())) if each == holder)

    def told(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with its holders and its workers' error: of several, the one said last."""
        name = checkpoint.read_model
        said = [wanted[name] for wanted in self.wants.values() if wanted.get(name)]
        holders = self.holders.get(name, (NOBODY,) * len(checkpoint.positions))
        return checkpoint._replace(error=said[-1] if said else "", holders=holders)


def _without(mapping: Mapping[str, V], names: Iterable[str]) -> dict[str, V]:
    return {name: value for name, value in mapping.items() if name not in set(names)}


def _freed(holder: str, by: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(NOBODY if each == holder else each for each in by)


def _done_by(holder: str, now: Sequence[str], planned: Sequence[str]) -> tuple[str, ...]:
    """The holder's part of a plan: it takes what is free, and hands back what others are to take."""

    def after(has: str, gets: str) -> str:
        if gets == holder and has == NOBODY:
            return holder
        return NOBODY if has == holder and gets != holder else has

    return tuple(map(after, now, planned))


class _Plan:
    """How all workers should share, starting from who holds what. Every worker's plan orders workers alike."""

    def __init__(self, now: Mapping[str, Sequence[str]], wants: Wants) -> None:
        self.planned = {name: list(by) for name, by in now.items()}
        self._wanting = {name: [worker for worker in sorted(wants) if name in wants[worker]] for name in now}
        self._counts = {name: Counter(by) for name, by in now.items()}
        self._loads = Counter(worker for by in now.values() for worker in by)

    def give_out_free(self, *, first: str) -> None:
        """To those that want it and hold least; of several, the first."""
        for name, by in self.planned.items():
            wanting = sorted(self._wanting[name], key=lambda worker: worker != first)
            for partition, holder in enumerate(by):
                if holder == NOBODY and wanting:
                    self._move(name, partition, min(wanting, key=self._load))

    def level(self) -> None:
        """From the richest to the poorest, of what both want, until none has two more than another."""
        while steps := [step for name in self.planned if (step := self._step(name))]:
            _, _, name, giver, taker = max(steps)
            by = self.planned[name]
            self._move(name, len(by) - 1 - by[::-1].index(giver), taker)

    def _step(self, name: str) -> tuple[int, int, str, str, str] | None:
        """What moves next within a read model, best last: of the richest, and of that of which it has most."""
        by = self._counts[name]
        givers = [worker for worker in self._wanting[name] if by[worker]]
        if not givers:
            return None
        giver, taker = max(givers, key=self._load), min(self._wanting[name], key=self._load)
        load = self._load(giver)
        return (load, by[giver], name, giver, taker) if load - self._load(taker) >= 2 else None

    def _load(self, worker: str) -> int:
        return self._loads[worker]

    def _move(self, name: str, partition: int, taker: str) -> None:
        former = self.planned[name][partition]
        self.planned[name][partition] = taker
        for count in (self._counts[name], self._loads):
            count[former] -= 1
            count[taker] += 1


def fenced(store: str, fold: Fold, stored: Iterable[Share]) -> FencedError:
    """The error of a fold whose shares are not the stored ones: it names the first that differs."""
    found = {share.partition: share for share in stored}
    lost = next((share for share in fold.shares if found.get(share.partition) != share), None)
    remedy = "another worker has it: lease it again"
    if lost is None:
        return FencedError(store, f"{fold.table.read_model} is to be folded without any share of it", remedy)
    has = found.get(lost.partition)
    stands = f"stands at {has.position} in epoch {has.epoch}" if has else "is gone"
    reason = f"partition {lost.partition} of {fold.table.read_model} {stands}"
    return FencedError(store, f"{reason}, this worker folded from {lost.position} in epoch {lost.epoch}", remedy)


def check_held(store: str, held: Held, stored: Callable[[str], Iterable[Share]]) -> None:
    """FencedError when a read model's stored shares are not those that the caller holds."""
    for read_model, shares in held.items():
        if set(stored(read_model)) != set(shares):
            raise FencedError(store, f"another process has taken {read_model} over", "rebuild again")


def other_columns(store: str, table: Table, detail: str = "") -> StoreError:
    """The error of reading or writing rows of another shape than the stored table's."""
    reason = f"the table of {table.read_model} has the columns of other code{detail}"
    return StoreError(store, reason, "run the projector of this code, or rebuild")
