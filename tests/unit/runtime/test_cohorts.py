from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from twofold.ports import Share
from twofold.runtime.cohorts import Cohort, Cohorts
from twofold.streams import Position


def share(partition: int, position: int, epoch: int = 1) -> Share:
    return Share(partition, epoch, Position(position))


def holding(*shares: Share) -> Cohorts:
    cohorts = Cohorts()
    cohorts.hold(shares)
    return cohorts


def first(cohorts: Cohorts) -> Cohort:
    found = cohorts.next()
    assert found is not None
    return found[0]


def come_to(cohorts: Cohorts, position: int) -> None:
    """The first cohort folds so far, and stores it."""
    cohort = first(cohorts)
    shares = [each._replace(position=Position(position)) for each in cohort.shares]
    cohorts.moved(cohort, Position(position), shares)


def positions(cohorts: Cohorts) -> dict[int, int]:
    return {each.partition: each.position for each in cohorts.shares}


def test_nothing_held_is_nothing_to_do() -> None:
    cohorts = Cohorts()
    assert (cohorts.next(), cohorts.position, cohorts.shares) == (None, None, ())


def test_shares_that_stand_together_are_folded_together() -> None:
    found = holding(share(0, 7), share(3, 7), share(5, 7)).next()
    assert found is not None
    assert ([each.partition for each in found[0].shares], found[1]) == ([0, 3, 5], None)


def test_the_furthest_behind_comes_first_up_to_the_next_and_goes_on_with_it() -> None:
    cohorts = holding(share(0, 9), share(1, 4), share(2, 4))
    cohort, until = cohorts.next() or (None, None)
    assert cohort is not None
    assert ([each.partition for each in cohort.shares], cohorts.position, until) == ([1, 2], 4, 9)
    come_to(cohorts, 6)
    assert cohorts.position == 6
    come_to(cohorts, 9)
    assert (len(first(cohorts).shares), cohorts.position) == (3, 9)
    come_to(cohorts, 12)
    assert positions(cohorts) == {0: 12, 1: 12, 2: 12}


def test_what_is_held_on_stays_where_it_has_come_to() -> None:
    cohorts = holding(share(0, 4), share(1, 4))
    come_to(cohorts, 8)
    cohorts.hold([share(0, 4), share(1, 4), share(2, 6)])
    assert positions(cohorts) == {0: 8, 1: 8, 2: 6}


def test_a_share_in_a_new_epoch_stands_where_the_store_says() -> None:
    cohorts = holding(share(0, 4))
    come_to(cohorts, 8)
    cohorts.hold([share(0, 5, epoch=2)])
    assert (cohorts.position, cohorts.shares) == (5, (share(0, 5, epoch=2),))


def test_what_is_not_granted_any_more_is_dropped() -> None:
    cohorts = holding(share(0, 4), share(1, 4), share(2, 9))
    cohorts.hold([share(1, 4)])
    assert positions(cohorts) == {1: 4}
    cohorts.hold([])
    assert cohorts.next() is None


def test_a_lost_cohort_takes_no_other_with_it() -> None:
    cohorts = holding(share(0, 4), share(1, 9))
    cohorts.lost(first(cohorts))
    assert positions(cohorts) == {1: 9}


def test_what_is_folded_and_not_stored_is_known() -> None:
    cohorts = holding(share(0, 4), share(1, 4))
    cohort = first(cohorts)
    assert cohorts.unsaved() == []
    cohorts.moved(cohort, Position(9), cohort.shares)
    assert [(each.position, each.stored_position) for each in cohorts.unsaved()] == [(9, 4)]


def test_a_cohort_that_joins_another_is_stored_as_far_as_the_last_of_its_shares() -> None:
    cohorts = holding(share(0, 4), share(1, 9))
    cohort = first(cohorts)
    cohorts.moved(cohort, Position(9), cohort.shares)
    assert (first(cohorts).position, first(cohorts).stored_position, len(first(cohorts).shares)) == (9, 4, 2)


GRANTS = st.lists(
    st.dictionaries(st.integers(0, 5), st.tuples(st.integers(1, 3), st.integers(0, 20))).map(
        lambda grant: [share(partition, position, epoch) for partition, (epoch, position) in grant.items()]
    ),
    max_size=8,
)


@given(grants=GRANTS, steps=st.lists(st.integers(1, 5), max_size=20))
def test_whatever_is_granted_each_share_is_held_once_and_every_position_is_folded_once(
    grants: Sequence[Sequence[Share]], steps: Sequence[int]
) -> None:
    cohorts = Cohorts()
    for grant in grants:
        before = {(each.partition, each.epoch): each.position for each in cohorts.shares}
        cohorts.hold(grant)
        expected = {each.partition: before.get((each.partition, each.epoch), each.position) for each in grant}
        assert positions(cohorts) == expected
        for step in steps:
            found = cohorts.next()
            if found is None:
                break
            cohort, until = found
            assert cohort.position == min(positions(cohorts).values())
            come_to(cohorts, min(cohort.position + step, until or 100))
        assert len({each.partition for each in cohorts.shares}) == len(cohorts.shares)
