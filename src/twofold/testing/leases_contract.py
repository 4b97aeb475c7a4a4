"""The promises of leases, for every adapter: subclass and supply the fixture `stores`, as for ReadStoreContract.

    class TestMyLeases(LeasesContract):
        @pytest.fixture
        async def stores(self, tmp_path):
            async with MyReadStore.at(tmp_path) as store, MyRowReader.open(tmp_path) as reader:
                yield store, reader

A store that several processes share, whose leases run out, subclasses ExpiringLeasesContract as well.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.errors import FencedError, UnknownReadModelError
from twofold.ports import Fold, Leased, Leases, RowReader, Share
from twofold.streams import START, Position
from twofold.tables import Table
from twofold.testing.read_store_contract import (
    EXAMPLES,
    PRODUCTS,
    SALES,
    SPREAD,
    LeasingStore,
    ReadStoreFixtures,
    Worker,
    product,
    rows_in,
    sale,
)

__all__ = ["ExpiringLeasesContract", "LeasesContract"]

LONG_S = 60.0
"""A lease that doesn't run out while a test runs."""

WIDE = dataclasses.replace(SPREAD, read_model="Wide", name="wide", partitions=7)
TABLES = (SALES, SPREAD, WIDE)
ALL = {table.read_model: "" for table in TABLES}
PARTITIONS = sum(table.partitions for table in TABLES)

Held = Mapping[str, set[tuple[str, int]]]


async def settle(store: Leases, wants: Mapping[str, Iterable[str]], *, rounds: int = 12) -> Held:
    """Let every worker take turns until nothing changes any more; what each holds then."""
    before: Held = {}
    for _ in range(rounds):
        now = {worker: held(await store.lease(worker, dict.fromkeys(its, ""), LONG_S)) for worker, its in wants.items()}
        if now == before:
            return now
        before = now
    raise AssertionError(f"leases still move after {rounds} rounds: {before}")


def held(leased: Mapping[str, Leased]) -> set[tuple[str, int]]:
    return {(name, share.partition) for name, each in leased.items() for share in each.shares}


def shares_of(leased: Mapping[str, Leased]) -> dict[tuple[str, int], Share]:
    return {(name, share.partition): share for name, each in leased.items() for share in each.shares}


def partitions_of(*tables: Table) -> set[tuple[str, int]]:
    return {(table.read_model, partition) for table in tables for partition in range(table.partitions)}


async def saves(store: LeasingStore, table: Table, share: Share) -> Share | None:
    """The share, moved by one; None when it is fenced."""
    try:
        (moved,) = await store.save(Fold(table, [share], Position(share.position + 1), [], []))
    except FencedError:
        return None
    return moved


class LeasesContract(ReadStoreFixtures):
    """What Leases promise whatever the time."""

    @pytest.fixture(autouse=True)
    async def opened(self, store: LeasingStore) -> None:
        for table in TABLES:
            await store.open(table)

    # leasing

    async def test_a_worker_alone_gets_every_partition_that_it_wants(self, store: LeasingStore) -> None:
        leased = await store.lease("a", {"Spread": "", "Sales": ""}, LONG_S)
        assert held(leased) == partitions_of(SPREAD, SALES)
        assert [share.partition for share in leased["Spread"].shares] == [0, 1, 2, 3]
        assert {share.position for share in shares_of(leased).values()} == {START}
        assert leased["Spread"].checkpoint == (await store.checkpoints())["Spread"]
        assert leased["Spread"].checkpoint.holders == ("a",) * 4
        assert (await store.checkpoints())["Wide"].holders == ("",) * 7

    async def test_a_share_is_what_a_fold_needs(self, store: LeasingStore, reader: RowReader) -> None:
        leased = await store.lease("a", ALL, LONG_S)
        shares = leased["Spread"].shares
        moved = await store.save(Fold(SPREAD, shares, Position(3), rows_in(SPREAD, 2), []))
        assert await reader.count(SPREAD, {}) == 1
        again = await store.lease("a", ALL, LONG_S)
        assert list(again["Spread"].shares) == list(moved)
        assert again["Spread"].checkpoint.positions == (3, 3, 3, 3)

    async def test_leasing_again_keeps_shares_and_epochs(self, store: LeasingStore) -> None:
        first = await store.lease("a", ALL, LONG_S)
        for _ in range(5):
            assert await store.lease("a", ALL, LONG_S) == first

    async def test_read_models_that_are_not_there_are_left_out(self, store: LeasingStore) -> None:
        await store.drop("Wide")
        leased = await store.lease("a", {**ALL, "Nothing": "", "Spread~rebuild": ""}, LONG_S)
        assert leased.keys() == {"Sales", "Spread"}
        assert await store.lease("b", {"Nothing": ""}, LONG_S) == {}

    async def test_wanting_nothing_gets_nothing(self, store: LeasingStore) -> None:
        assert await store.lease("a", {}, LONG_S) == {}
        assert held(await store.lease("b", ALL, LONG_S)) == partitions_of(*TABLES)

    # sharing out

    @pytest.mark.parametrize("workers", [2, 3, 5, PARTITIONS, PARTITIONS + 2])
    async def test_workers_that_want_the_same_share_it_evenly(self, store: LeasingStore, workers: int) -> None:
        wants = {f"w{number}": ALL for number in range(workers)}
        now = await settle(store, wants)
        sizes = [len(each) for each in now.values()]
        assert max(sizes) - min(sizes) <= 1, sizes
        assert sum(sizes) == PARTITIONS
        assert set[tuple[str, int]]().union(*now.values()) == partitions_of(*TABLES)
        by_holder = {
            (name, partition): holder
            for name, checkpoint in (await store.checkpoints()).items()
            for partition, holder in enumerate(checkpoint.holders)
        }
        assert by_holder == {each: worker for worker, its in now.items() for each in its}

    async def test_read_models_of_one_partition_each_are_shared_out_too(self, store: LeasingStore) -> None:
        singles = [dataclasses.replace(SALES, read_model=f"Single {at}", name=f"single_{at}") for at in range(6)]
        for table in singles:
            await store.open(table)
        now = await settle(store, {worker: [table.read_model for table in singles] for worker in "abc"})
        assert {worker: len(its) for worker, its in now.items()} == {"a": 2, "b": 2, "c": 2}

    async def test_what_nobody_else_wants_is_held_whole(self, store: LeasingStore) -> None:
        now = await settle(store, {"a": ["Spread"], "b": ["Wide", "Sales"]})
        assert now == {"a": partitions_of(SPREAD), "b": partitions_of(WIDE, SALES)}

    async def test_whatever_anybody_wants_is_held_by_one_who_wants_it(self, store: LeasingStore) -> None:
        wants = {"a": ["Spread"], "b": ["Spread", "Wide"], "c": ["Wide", "Sales"]}
        now = await settle(store, wants)
        assert sorted(each for its in now.values() for each in its) == sorted(partitions_of(*TABLES))
        for worker, its in now.items():
            assert {name for name, _ in its} <= set(wants[worker])
        assert all(now.values())

    async def test_shares_are_sticky_when_a_worker_comes_and_when_it_goes(self, store: LeasingStore) -> None:
        two = await settle(store, dict.fromkeys(["a", "b"], ALL))
        three = await settle(store, dict.fromkeys(["a", "b", "c"], ALL))
        assert three["a"] < two["a"]
        assert three["b"] < two["b"]
        await store.release("c")
        again = await settle(store, dict.fromkeys(["a", "b"], ALL))
        assert again["a"] > three["a"]
        assert again["b"] > three["b"]

    async def test_a_share_that_is_kept_works_on_while_others_move(self, store: LeasingStore) -> None:
        first = shares_of(await store.lease("a", ALL, LONG_S))
        await settle(store, dict.fromkeys(["a", "b", "c"], ALL))
        kept = shares_of(await store.lease("a", ALL, LONG_S))
        assert kept == {place: first[place] for place in kept}
        taken = shares_of(await store.lease("b", ALL, LONG_S))
        tables = {table.read_model: table for table in TABLES}
        for (name, _), share in kept.items():
            assert await saves(store, tables[name], share)
        for place in taken:
            assert not await saves(store, tables[place[0]], first[place])

    async def test_what_a_worker_no_longer_wants_is_given_back(self, store: LeasingStore) -> None:
        await store.lease("a", ALL, LONG_S)
        assert held(await store.lease("a", {"Sales": ""}, LONG_S)) == partitions_of(SALES)
        assert (await store.checkpoints())["Spread"].holders == ("",) * 4
        assert held(await store.lease("b", {"Spread": "", "Wide": ""}, LONG_S)) == partitions_of(SPREAD, WIDE)

    async def test_what_is_released_can_be_taken_at_once(self, store: LeasingStore) -> None:
        await store.lease("a", ALL, LONG_S)
        await store.lease("b", ALL, LONG_S)
        await store.release("a")
        assert (await store.checkpoints())["Wide"].holders == ("",) * 7
        assert held(await store.lease("b", ALL, LONG_S)) == partitions_of(*TABLES)

    async def test_releasing_nothing_changes_nothing(self, store: LeasingStore) -> None:
        first = await store.lease("a", ALL, LONG_S)
        await store.release("b")
        assert await store.lease("a", ALL, LONG_S) == first

    # epochs

    async def test_a_new_holder_has_a_newer_epoch_and_fences_the_former(self, store: LeasingStore) -> None:
        tables = {table.read_model: table for table in TABLES}
        former: dict[tuple[str, int], Share] = {}
        for holder in ("a", "b", "a", "a"):
            shares = shares_of(await store.lease(holder, ALL, LONG_S))
            for place, share in former.items():
                assert shares[place].epoch > share.epoch
                assert not await saves(store, tables[place[0]], share)
            for (name, _), share in shares.items():
                assert await saves(store, tables[name], share)
            former = shares
            await store.release(holder)

    async def test_epochs_are_newer_also_after_a_read_model_was_made_anew(self, store: LeasingStore) -> None:
        newest = 0
        for make_anew in (False, True, False, True):
            shares = (await store.lease("a", {"Spread": ""}, LONG_S))["Spread"].shares
            assert min(share.epoch for share in shares) > newest
            newest = max(share.epoch for share in shares)
            if make_anew:
                await store.open(SPREAD, restart=True)
            else:
                await store.drop("Spread")
                await store.open(SPREAD)

    async def test_a_restart_a_drop_and_a_promotion_take_the_shares_away(self, store: LeasingStore) -> None:
        rebuild, former = SPREAD.aside("rebuild"), SPREAD.aside("former")
        await store.open(rebuild)
        await store.lease("a", {"Spread": "", "Sales": "", "Wide": ""}, LONG_S)
        await store.lease("b", {"Spread~rebuild": ""}, LONG_S)
        before = shares_of(await store.lease("a", ALL, LONG_S))
        promoted = await store.promote(rebuild, SPREAD)
        await store.open(SALES, restart=True)
        await store.drop("Wide")
        now = await store.checkpoints()
        assert promoted.holders == now["Spread"].holders == now["Spread~former"].holders == ("",) * 4
        assert now["Sales"].holders == ("",)
        await store.open(WIDE)
        assert (await store.checkpoints())["Wide"].holders == ("",) * 7
        after = shares_of(await store.lease("a", ALL, LONG_S))
        assert after.keys() == before.keys()
        assert all(after[place].epoch > before[place].epoch for place in before)
        assert former.read_model not in {name for name, _ in after}

    # seizing

    async def test_seizing_takes_every_partition_under_new_epochs(self, store: LeasingStore) -> None:
        former = (await store.lease("a", ALL, LONG_S))["Spread"].shares
        await store.release("a")
        shares = await store.seize("b", "Spread", LONG_S)
        assert [share.partition for share in shares] == [0, 1, 2, 3]
        assert all(share.epoch > old.epoch for share, old in zip(shares, former, strict=True))
        assert (await store.checkpoints())["Spread"].holders == ("b",) * 4
        assert all([not await saves(store, SPREAD, share) for share in former])
        await store.save(Fold(SPREAD, shares, Position(1), [], []))

    async def test_seizing_takes_all_or_none(self, store: LeasingStore) -> None:
        await settle(store, {"a": ALL, "b": ALL})
        assert (await store.checkpoints())["Spread"].holders.count("a") in (1, 2, 3)
        shares = (await store.lease("a", ALL, LONG_S))["Spread"].shares
        before = await store.checkpoints()
        for holder in ("a", "b", "c"):
            assert list(await store.seize(holder, "Spread", LONG_S)) == []
        assert await store.checkpoints() == before
        assert all([await saves(store, SPREAD, share) for share in shares])

    async def test_seizing_again_keeps_the_epochs(self, store: LeasingStore) -> None:
        first = await store.seize("a", "Spread", LONG_S)
        for force in (False, True):
            assert list(await store.seize("a", "Spread", LONG_S, force=force)) == list(first)

    async def test_seizing_by_force_fences_whoever_holds_them(self, store: LeasingStore) -> None:
        former = (await store.lease("a", ALL, LONG_S))["Spread"].shares
        shares = await store.seize("b", "Spread", LONG_S, force=True)
        assert len(shares) == 4
        assert all([not await saves(store, SPREAD, share) for share in former])
        assert held(await store.lease("a", ALL, LONG_S)) == partitions_of(SALES, WIDE)
        assert all([await saves(store, SPREAD, share) for share in shares])

    async def test_others_get_nothing_of_what_is_seized_and_share_the_rest_evenly(self, store: LeasingStore) -> None:
        await store.lease("a", ALL, LONG_S)
        await store.lease("b", ALL, LONG_S)
        seized = await store.seize("rebuild", "Wide", LONG_S, force=True)
        now = await settle(store, {"a": ALL, "b": ALL})
        assert now["a"] | now["b"] == partitions_of(SALES, SPREAD)
        assert abs(len(now["a"]) - len(now["b"])) <= 1
        assert list(await store.seize("rebuild", "Wide", LONG_S)) == list(seized)
        await store.release("rebuild")
        assert sum(map(len, (await settle(store, {"a": ALL, "b": ALL})).values())) == PARTITIONS

    async def test_an_unknown_read_model_can_not_be_seized(self, store: LeasingStore) -> None:
        with pytest.raises(UnknownReadModelError, match="Nothing"):
            await store.seize("a", "Nothing", LONG_S)

    async def test_the_table_beside_is_seized_apart_from_the_live_one(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        live = (await store.lease("a", ALL, LONG_S))["Sales"].shares
        rebuild = SALES.aside("rebuild")
        await store.open(rebuild)
        shares = await store.seize("a rebuild", rebuild.read_model, LONG_S)
        await store.save(Fold(rebuild, shares, Position(5), [sale("EIRE", 1)], []))
        assert (await store.lease("a", ALL, LONG_S))["Sales"].shares == live
        assert await reader.count(SALES, {}) == 0

    # what is told

    async def test_what_hinders_a_worker_is_told_until_it_says_otherwise(self, store: LeasingStore) -> None:
        leased = await store.lease("a", {**ALL, "Sales": "can't fold event 7"}, LONG_S)
        assert leased["Sales"].checkpoint.error == "can't fold event 7"
        told = {name: each.error for name, each in (await store.checkpoints()).items()}
        assert told == {"Sales": "can't fold event 7", "Spread": "", "Wide": ""}
        await store.lease("a", {**ALL, "Sales": "can't fold event 8"}, LONG_S)
        assert (await store.checkpoints())["Sales"].error == "can't fold event 8"
        assert (await store.lease("a", ALL, LONG_S))["Sales"].checkpoint.error == ""
        assert (await store.checkpoints())["Sales"].error == ""

    async def test_one_worker_s_error_is_not_hidden_by_another_that_has_none(self, store: LeasingStore) -> None:
        await store.lease("a", {**ALL, "Spread": "can't fold event 7"}, LONG_S)
        for _ in range(2):
            assert (await store.lease("b", ALL, LONG_S))["Spread"].checkpoint.error == "can't fold event 7"
        await store.lease("a", ALL, LONG_S)
        assert (await store.checkpoints())["Spread"].error == ""

    async def test_an_error_needs_no_share(self, store: LeasingStore) -> None:
        await store.seize("other", "Sales", LONG_S)
        leased = await store.lease("a", {"Sales": "no"}, LONG_S)
        assert (leased["Sales"].shares, leased["Sales"].checkpoint.error) == ((), "no")

    async def test_a_paused_read_model_is_leased_and_says_so(self, store: LeasingStore) -> None:
        await store.lease("a", ALL, LONG_S)
        await store.set_paused("Spread", True)
        leased = await store.lease("a", ALL, LONG_S)
        assert leased["Spread"].checkpoint.paused
        assert len(leased["Spread"].shares) == 4
        assert not leased["Sales"].checkpoint.paused

    # races

    async def test_workers_that_race_never_share_a_partition(self, store: LeasingStore) -> None:
        tables = {table.read_model: table for table in TABLES}
        ever: dict[tuple[str, int, int], str] = {}
        saved: dict[tuple[str, int], int] = dict.fromkeys(partitions_of(*TABLES), 0)

        async def work(worker: str, turns: int) -> None:
            for _ in range(turns):
                for (name, partition), share in shares_of(await store.lease(worker, ALL, LONG_S)).items():
                    assert ever.setdefault((name, partition, share.epoch), worker) == worker
                    await asyncio.sleep(0)  # a store that never suspends would have them take turns
                    if moved := await saves(store, tables[name], share):
                        saved[name, partition] += moved.position - share.position
            await store.release(worker)

        async with asyncio.TaskGroup() as tasks:
            for number in range(5):
                tasks.create_task(work(f"w{number}", 4 + number))
        reached = {
            (name, partition): position
            for name, checkpoint in (await store.checkpoints()).items()
            for partition, position in enumerate(checkpoint.positions)
        }
        assert reached == saved
        assert sum(saved.values()) > 0

    @EXAMPLES
    @given(turns=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=30))
    async def test_whatever_the_turns_only_the_newest_epoch_of_a_partition_saves(
        self, store: LeasingStore, turns: Sequence[tuple[str, int]]
    ) -> None:
        for holder in "abc":
            await store.release(holder)
        newest: dict[int, Share] = {}
        stale: list[Share] = []
        for holder, choice in turns:
            if choice == 0:
                await store.release(holder)
                continue
            if choice <= 2:
                taken = await store.seize(holder, "Spread", LONG_S, force=choice == 1)
            else:
                taken = (await store.lease(holder, {"Spread": ""}, LONG_S))["Spread"].shares
            for share in taken:
                former = newest.get(share.partition, share)
                assert share.epoch >= former.epoch
                stale += [former] if share.epoch > former.epoch else []
                moved = await saves(store, SPREAD, share)
                assert moved is not None
                newest[share.partition] = moved
        for share in stale:
            position = newest[share.partition].position
            assert not await saves(store, SPREAD, share._replace(position=position))


class ExpiringLeasesContract(ReadStoreFixtures):
    """What Leases promise of time, in a store that several processes share."""

    lease_s = 0.5
    slack_s = 1.0
    """What may come on top of a lease until its shares are another's (`lease` is called often in it)."""

    @pytest.fixture(autouse=True)
    async def opened(self, store: LeasingStore) -> None:
        await store.open(SPREAD)
        await store.open(PRODUCTS)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Ask again and again until it holds, as long as taking over may take."""
        async with asyncio.timeout(self.lease_s + self.slack_s):
            while True:
                if await condition():
                    return
                await asyncio.sleep(self.lease_s / 20)

    async def until_taken(self, store: LeasingStore, holder: str, number: int) -> Sequence[Share]:
        """Lease until the holder has so many shares of SPREAD."""
        shares: Sequence[Share] = ()

        async def taken() -> bool:
            nonlocal shares
            shares = (await store.lease(holder, {"Spread": ""}, self.lease_s))["Spread"].shares
            return len(shares) == number

        await self.until(taken)
        return shares

    async def test_the_shares_of_a_worker_that_is_silent_are_taken_over_within_its_lease(
        self, store: LeasingStore
    ) -> None:
        silent = (await store.lease("silent", {"Spread": ""}, self.lease_s))["Spread"].shares
        taken = await self.until_taken(store, "b", 4)
        assert all(share.epoch > old.epoch for share, old in zip(taken, silent, strict=True))
        assert all([not await saves(store, SPREAD, share) for share in silent])
        assert all([await saves(store, SPREAD, share) for share in taken])
        assert held(await store.lease("silent", {"Spread": ""}, self.lease_s)) == set()

    async def test_nothing_is_taken_before_a_lease_has_run_out(self, store: LeasingStore) -> None:
        await store.lease("silent", {"Spread": ""}, LONG_S)
        await asyncio.sleep(self.lease_s / 20)
        assert held(await store.lease("b", {"Spread": ""}, self.lease_s)) == set()
        assert list(await store.seize("c", "Spread", self.lease_s)) == []

    async def test_a_worker_that_says_so_in_time_keeps_what_it_has(self, store: LeasingStore) -> None:
        first = await store.lease("a", {"Spread": ""}, self.lease_s)
        loop = asyncio.get_running_loop()
        until = loop.time() + 2.5 * self.lease_s
        while loop.time() < until:
            assert await store.lease("a", {"Spread": ""}, self.lease_s) == first
            assert list(await store.seize("b", "Spread", self.lease_s)) == []
            await asyncio.sleep(self.lease_s / 10)

    async def test_a_lease_that_ran_out_and_that_nobody_took_is_kept(self, store: LeasingStore) -> None:
        first = (await store.lease("a", {"Spread": ""}, self.lease_s))["Spread"].shares

        async def expired() -> bool:
            return not any((await store.checkpoints())["Spread"].holders)

        await self.until(expired)
        moved = [await saves(store, SPREAD, share) for share in first]
        again = await store.lease("a", {"Spread": ""}, self.lease_s)
        assert list(again["Spread"].shares) == moved
        assert again["Spread"].checkpoint.holders == ("a",) * 4

    async def test_a_seized_lease_runs_out_and_seizing_again_extends_it(self, store: LeasingStore) -> None:
        first = await store.seize("a", "Spread", self.lease_s)
        loop = asyncio.get_running_loop()
        until = loop.time() + 2 * self.lease_s
        while loop.time() < until:
            assert list(await store.seize("a", "Spread", self.lease_s)) == list(first)
            assert held(await store.lease("b", {"Spread": ""}, self.lease_s)) == set()
            await asyncio.sleep(self.lease_s / 10)
        assert len(await self.until_taken(store, "b", 4)) == 4

    async def test_what_ran_out_can_be_seized_without_force(self, store: LeasingStore) -> None:
        await store.lease("silent", {"Spread": ""}, self.lease_s)

        async def seized() -> bool:
            return len(await store.seize("b", "Spread", self.lease_s)) == 4

        await self.until(seized)

    async def test_a_silent_worker_no_longer_counts_when_partitions_are_shared_out(self, store: LeasingStore) -> None:
        for _ in range(3):
            for worker in ("a", "silent"):
                await store.lease(worker, {"Spread": ""}, self.lease_s)
        assert (await store.checkpoints())["Spread"].holders.count("silent") == 2
        await self.until_taken(store, "a", 4)

    async def test_the_error_of_a_worker_that_is_gone_is_no_longer_told(self, store: LeasingStore) -> None:
        await store.lease("silent", {"Products": "can't fold event 7"}, self.lease_s)

        async def forgotten() -> bool:
            return not (await store.lease("b", {"Products": ""}, self.lease_s))["Products"].checkpoint.error

        await self.until(forgotten)
        assert (await store.checkpoints())["Products"].error == ""

    async def test_the_worker_s_clock_does_not_matter(
        self, store: LeasingStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = await store.lease("a", {"Spread": ""}, LONG_S)
        for shift_s in (-86_400.0, 86_400.0):
            now = time.time() + shift_s
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda now=now: now)
                patch.setattr(time, "time_ns", lambda now=now: int(now * 1e9))
                assert held(await store.lease("b", {"Spread": ""}, LONG_S)) == set()
                assert list(await store.seize("b", "Spread", LONG_S)) == []
            await store.release("b")
        assert await store.lease("a", {"Spread": ""}, LONG_S) == first

    async def test_rows_of_a_fold_that_a_take_over_overtook_are_not_written(
        self, store: LeasingStore, reader: RowReader
    ) -> None:
        silent = await Worker.of(store, PRODUCTS, product("p1", "A lamp"))
        await store.seize("other", "Products", self.lease_s, force=True)
        with pytest.raises(FencedError):
            await silent.save(product("p2", "A desk"))
        assert await reader.count(PRODUCTS, {}) == 1
