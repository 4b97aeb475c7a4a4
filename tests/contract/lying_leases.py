"""Leases that lie, one lie each; and an honest store in memory whose leases run out, for lies about time."""

import dataclasses
import time
from collections.abc import Mapping, Sequence

from twofold.ports import NOTHING_HELD, Checkpoint, Held, Leased, Share
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.stores.sharing import NOBODY, Sharing
from twofold.streams import START
from twofold.tables import Table

# --- whatever the time -----------------------------------------------------------------------------------------------


class KeepsAllItHas(MemoryReadStore):
    """Whoever comes later gets nothing."""

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        self._sharing = dataclasses.replace(self._sharing, wants={})
        return await super().lease(holder, wanted, lease_s)


class TakesAllItCan(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        for name in set(wanted) & set(self._held):
            await self.seize(holder, name, lease_s, force=True)
        return await super().lease(holder, wanted, lease_s)


class GivesOneShareToTwo(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        leased = await super().lease(holder, wanted, lease_s)
        return {name: each._replace(shares=self._held[name].shares) for name, each in leased.items()}


class SharesOutEachReadModelByItself(MemoryReadStore):
    """So that a read model of one partition always goes to the same worker."""

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        before, leased = self._sharing, dict[str, Leased]()
        for name in wanted:
            alone = {worker: {name: its[name]} for worker, its in before.wants.items() if name in its}
            self._sharing = Sharing(
                {name: before.holders.get(name, (NOBODY,))} if name in before.holders else {}, alone
            )
            leased |= await super().lease(holder, {name: wanted[name]}, lease_s)
            before = Sharing({**before.holders, **self._sharing.holders}, before.wants)
        self._sharing = Sharing(before.holders, {**before.wants, holder: wanted})
        return leased


class SharesOutAnewEachTime(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        workers = sorted({*self._sharing.wants, holder})
        before = self._sharing
        every = [(name, at) for name in sorted(self._held) for at in range(len(self._held[name].shares))]
        share = {place: workers[number % len(workers)] for number, place in enumerate(every)}
        holders = {
            name: tuple(share[name, at] for at in range(len(held.shares))) for name, held in sorted(self._held.items())
        }
        self._go_over_to(Sharing(holders, {**before.wants, holder: wanted}), holder)
        return {
            name: Leased(self._sharing.told(self._held[name].checkpoint), self._shares(holder, self._held[name]))
            for name in wanted
            if name in self._held
        }


class LeavesWhatNobodyElseWants(MemoryReadStore):
    """Takes no more than half of anything, also where it is alone with it."""

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        others = {"nobody": dict.fromkeys(self._held, "")}
        self._sharing = dataclasses.replace(self._sharing, wants={**others, **self._sharing.wants})
        return await super().lease(holder, wanted, lease_s)


class RenewsEpochs(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        self._sharing = Sharing(self._sharing.release(holder).holders, self._sharing.wants)
        return await super().lease(holder, wanted, lease_s)


class TakesUnderTheFormerEpoch(MemoryReadStore):
    def _go_over_to(self, sharing: Sharing, holder: str) -> None:
        self._sharing = sharing


class TellsPositionsAsTheyWereTaken(MemoryReadStore):
    def _shares(self, holder: str, held: object) -> tuple[Share, ...]:
        return tuple(share._replace(position=START) for share in super()._shares(holder, held))  # pyright: ignore[reportArgumentType]


class KeepsWhatIsNoLongerWanted(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        had = {name: by for name, by in self._sharing.holders.items() if name not in wanted and holder in by}
        leased = await super().lease(holder, wanted, lease_s)
        self._sharing = dataclasses.replace(self._sharing, holders={**self._sharing.holders, **had})
        return leased


class InventsReadModels(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        leased = await super().lease(holder, wanted, lease_s)
        return {name: leased.get(name, Leased(Checkpoint(name, (START,), "", ""), ())) for name in wanted}


class ReleasesNothing(MemoryReadStore):
    async def release(self, holder: str) -> None:
        pass


class ReleasesEverybody(MemoryReadStore):
    async def release(self, holder: str) -> None:
        for worker in list(self._sharing.wants):
            await super().release(worker)


class SeizesWhatIsFree(MemoryReadStore):
    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        held = self._required(read_model)
        return await super().seize(holder, read_model, lease_s, force=force) or self._shares(holder, held)


class SeizesByForceAlways(MemoryReadStore):
    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        return await super().seize(holder, read_model, lease_s, force=True)


class NeverSeizesByForce(MemoryReadStore):
    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        return await super().seize(holder, read_model, lease_s)


class SeizesUnderNewEpochsAgain(MemoryReadStore):
    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        if set(self._sharing.holders.get(read_model, ())) == {holder}:
            self._sharing = self._sharing.void(read_model)
        return await super().seize(holder, read_model, lease_s, force=force)


class SeizesNothingThere(MemoryReadStore):
    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        if read_model not in self._held:
            return ()
        return await super().seize(holder, read_model, lease_s, force=force)


class SharesOutWhatIsSeized(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        for worker in {each for by in self._sharing.holders.values() for each in by} - set(self._sharing.wants):
            await super().release(worker)
        return await super().lease(holder, wanted, lease_s)


class PromotesWithTheHolders(MemoryReadStore):
    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        before = self._sharing.holders
        checkpoint = await super().promote(rebuilt, live, held)
        self._sharing = dataclasses.replace(self._sharing, holders=before)
        return checkpoint


class TellsNoErrors(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        return await super().lease(holder, dict.fromkeys(wanted, ""), lease_s)


class KeepsErrors(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        before = self._sharing.wants.get(holder, {})
        return await super().lease(holder, {name: wanted[name] or before.get(name, "") for name in wanted}, lease_s)


class TellsTheLastWorkersErrorOnly(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        silent = {worker: dict.fromkeys(its, "") for worker, its in self._sharing.wants.items()}
        self._sharing = dataclasses.replace(self._sharing, wants=silent)
        return await super().lease(holder, wanted, lease_s)


class LeasesNothingThatIsPaused(MemoryReadStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        going = {name: wanted[name] for name in wanted if name not in self._held or not self._held[name].paused}
        return await super().lease(holder, going, lease_s)


# --- time ------------------------------------------------------------------------------------------------------------


class ExpiringStore(MemoryReadStore):
    """Honest: who has been silent for longer than its lease keeps what nobody takes, and counts for nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self._until: dict[str, float] = {}

    def now(self) -> float:
        return time.monotonic()

    def extend(self, holder: str, lease_s: float) -> None:
        self._until[holder] = self.now() + lease_s

    def expired(self, holder: str) -> bool:
        return bool(holder) and self._until.get(holder, 0.0) <= self.now()

    def free(self, holder: str) -> Mapping[str, tuple[str, ...]]:
        """Let others have what ran out; returns who held what before."""
        before = self._sharing.holders
        for worker in [each for each in self._until if each != holder and self.expired(each)]:
            self._sharing = self._sharing.release(worker)
        return before

    def keep(self, before: Mapping[str, tuple[str, ...]]) -> None:
        """What nobody took stays with whom it was."""
        holders = {
            name: tuple(
                was if is_now == NOBODY and self.expired(was) else is_now
                for was, is_now in zip(before.get(name, by), by, strict=True)
            )
            for name, by in self._sharing.holders.items()
        }
        self._sharing = dataclasses.replace(self._sharing, holders=holders)

    def told(self, checkpoint: Checkpoint) -> Checkpoint:
        running = tuple(NOBODY if self.expired(each) else each for each in checkpoint.holders)
        return checkpoint._replace(holders=running)

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return {name: self.told(checkpoint) for name, checkpoint in (await super().checkpoints()).items()}

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        before = self.free(holder)
        leased = await super().lease(holder, wanted, lease_s)
        self.keep(before)
        self.extend(holder, lease_s)
        return {name: each._replace(checkpoint=self.told(each.checkpoint)) for name, each in leased.items()}

    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        before = self.free(holder)
        shares = await super().seize(holder, read_model, lease_s, force=force)
        self.keep(before)
        if shares:
            self.extend(holder, lease_s)
        return shares


class NeverExpires(ExpiringStore):
    def expired(self, holder: str) -> bool:
        return False


class ExpiresAtOnce(ExpiringStore):
    def expired(self, holder: str) -> bool:
        return bool(holder)


class ExpiresMuchTooLate(ExpiringStore):
    def extend(self, holder: str, lease_s: float) -> None:
        super().extend(holder, lease_s + 5.0)


class LeasesOnce(ExpiringStore):
    """Saying it again extends nothing."""

    def extend(self, holder: str, lease_s: float) -> None:
        if holder not in self._until:
            super().extend(holder, lease_s)


class LosesWhatRanOut(ExpiringStore):
    def free(self, holder: str) -> Mapping[str, tuple[str, ...]]:
        if self.expired(holder):
            self._sharing = self._sharing.release(holder)
        return super().free(holder)


class GoesByTheWallClock(ExpiringStore):
    def now(self) -> float:
        return time.time()


class TakesWhatRanOutWithoutFencing(ExpiringStore):
    def _go_over_to(self, sharing: Sharing, holder: str) -> None:
        self._sharing = sharing


class SeizesForEver(ExpiringStore):
    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        return await super().seize(holder, read_model, 3600.0, force=force)


class SeizesOnlyWhatWasGivenBack(ExpiringStore):
    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        if set(self._sharing.holders.get(read_model, ())) - {NOBODY, holder} and not force:
            return ()
        return await super().seize(holder, read_model, lease_s, force=force)


class CountsTheSilent(ExpiringStore):
    def free(self, holder: str) -> Mapping[str, tuple[str, ...]]:
        wants = self._sharing.wants
        before = super().free(holder)
        self._sharing = dataclasses.replace(self._sharing, wants=wants)
        return before


class TellsErrorsOfThoseWhoAreGone(ExpiringStore):
    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        said = {name: error for its in self._sharing.wants.values() for name, error in its.items() if error}
        await super().lease("ghost", said, 3600.0)
        return await super().lease(holder, wanted, lease_s)
