from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.errors import FencedError
from twofold.ports import Checkpoint, Fold, Share
from twofold.stores.sharing import NOBODY, Sharing, fenced
from twofold.streams import START, Position
from twofold.tables import Column, ColumnKind, Table

PARTITIONS = {"Alone": 1, "Few": 3, "Many": 16}
WORKERS = ["a", "b", "c", "d"]


def turns(sharing: Sharing, wants: Mapping[str, Sequence[str]], *, rounds: int) -> Sharing:
    for _ in range(rounds):
        for worker, wanted in wants.items():
            sharing = sharing.lease(worker, dict.fromkeys(wanted, ""), PARTITIONS)
    return sharing


def load(sharing: Sharing, worker: str) -> int:
    return sum(len(sharing.of(worker, name)) for name in PARTITIONS)


_WANTS = st.dictionaries(st.sampled_from(WORKERS), st.lists(st.sampled_from(list(PARTITIONS)), unique=True), min_size=1)
_HELD = st.fixed_dictionaries(
    {
        name: st.lists(st.sampled_from([NOBODY, *WORKERS]), min_size=number, max_size=number).map(tuple)
        for name, number in PARTITIONS.items()
    }
)


@given(held=_HELD, wants=_WANTS)
def test_from_wherever_they_start_workers_come_to_rest_evenly(
    held: dict[str, tuple[str, ...]], wants: dict[str, Sequence[str]]
) -> None:
    rested = turns(Sharing(held), {**dict.fromkeys(WORKERS, ()), **wants}, rounds=6)
    assert turns(rested, wants, rounds=1) == rested
    for name in PARTITIONS:
        wanting = [worker for worker in wants if name in wants[worker]]
        holders = set(rested.holders.get(name, ()))
        assert holders <= set(wanting) if wanting else holders <= {NOBODY}
        for giver in holders - {NOBODY}:
            assert load(rested, giver) <= min(load(rested, worker) for worker in wanting) + 1


@given(held=_HELD, wants=_WANTS, first=st.sampled_from(WORKERS))
def test_a_turn_takes_nothing_from_others(
    held: dict[str, tuple[str, ...]], wants: dict[str, Sequence[str]], first: str
) -> None:
    before = turns(Sharing(held), wants, rounds=1)
    after = before.lease(first, dict.fromkeys(PARTITIONS, ""), PARTITIONS)
    for name, by in before.holders.items():
        for was, now in zip(by, after.holders[name], strict=True):
            assert now == was or was in (NOBODY, first)
            assert now in (was, NOBODY, first)


def test_a_worker_that_comes_gets_its_part_after_one_turn_of_each() -> None:
    wants = {worker: list(PARTITIONS) for worker in "abc"}
    two = turns(Sharing(), {worker: wants[worker] for worker in "ab"}, rounds=3)
    three = turns(two.lease("c", dict.fromkeys(PARTITIONS, ""), PARTITIONS), wants, rounds=1)
    assert sorted(load(three, worker) for worker in "abc") == [6, 7, 7]


def test_each_read_model_is_spread_when_much_is_handed_back() -> None:
    partitions = {f"R{number}": 8 for number in range(5)}
    wanted = dict.fromkeys(partitions, "")
    alone = Sharing().lease("a", wanted, partitions)
    shared = alone.lease("b", wanted, partitions).lease("a", wanted, partitions).lease("b", wanted, partitions)
    assert [len(shared.of("b", name)) for name in partitions] == [4] * 5


def test_what_was_gained_is_what_was_not_had_before() -> None:
    before = Sharing({"Few": ("a", "b", NOBODY)})
    after = Sharing({"Few": ("a", "a", "a"), "Alone": ("a",)})
    assert after.gained("a", before) == [("Few", 1), ("Few", 2), ("Alone", 0)]
    assert after.gained("b", before) == []


def test_a_checkpoint_is_told_with_the_error_that_was_said_last() -> None:
    checkpoint = Checkpoint("Few", (START,) * 3, "", "")
    sharing = Sharing().lease("a", {"Few": "first"}, PARTITIONS).lease("b", {"Few": "second"}, PARTITIONS)
    assert sharing.told(checkpoint).error == "second"
    assert sharing.lease("a", {"Few": "third"}, PARTITIONS).told(checkpoint).error == "third"
    assert sharing.lease("b", {"Few": ""}, PARTITIONS).told(checkpoint).error == "first"
    assert sharing.release("a").release("b").told(checkpoint).error == ""
    assert Sharing().told(checkpoint).holders == (NOBODY,) * 3


COUNTS = Table("Counts", "counts", (Column("name", ColumnKind.TEXT),), ("name",))
SHARE = Share(0, 3, Position(7))


@pytest.mark.parametrize(
    ("shares", "stored", "told"),
    [
        (
            [SHARE],
            [Share(0, 4, Position(9))],
            "partition 0 of Counts stands at 9 in epoch 4, this worker folded from 7",
        ),
        ([SHARE], [], "partition 0 of Counts is gone, this worker folded from 7 in epoch 3"),
        (
            [SHARE, Share(1, 3, START)],
            [SHARE, Share(1, 3, Position(1))],
            "partition 1 of Counts stands at 1 in epoch 3",
        ),
        ([], [SHARE], "Counts is to be folded without any share of it"),
    ],
)
def test_a_fenced_worker_is_told_what_is_stored(shares: list[Share], stored: list[Share], told: str) -> None:
    error = fenced("read store", Fold(COUNTS, shares, Position(8), [], []), stored)
    assert isinstance(error, FencedError)
    assert told in str(error)
