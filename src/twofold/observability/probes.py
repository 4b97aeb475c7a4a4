"""Several probes in the place of one."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.errors import TwofoldError
from twofold.messages import RawEvent
from twofold.ports import BatchProbe, Commit, Outcome, Probe, Share

__all__ = ["Probes"]


class Probes:
    """A probe that others look over the shoulder of: they are told of batches too. Of single commands only it is."""

    def __init__(self, probe: Probe, *others: BatchProbe) -> None:
        self.command_done, self.query_done = probe.command_done, probe.query_done
        self._all: tuple[BatchProbe, ...] = (probe, *others)

    def append_done(
        self, commits: Sequence[Commit], outcomes: Sequence[Outcome] | TwofoldError, seconds: float
    ) -> None:
        for each in self._all:
            each.append_done(commits, outcomes, seconds)

    def fold_done(self, read_model: str, page: Sequence[RawEvent], shares: Sequence[Share], seconds: float) -> None:
        for each in self._all:
            each.fold_done(read_model, page, shares, seconds)
