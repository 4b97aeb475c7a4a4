"""Partitions are part of what is stored: which one a key is in must never change."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.tables import Column, ColumnKind, Key, Table


class Country(Enum):
    EIRE = "EIRE"


class Level(Enum):
    LOW = 1


def shared(partitions: int) -> Table:
    columns = (Column("a", ColumnKind.TEXT), Column("b", ColumnKind.TEXT))
    return Table("Sales", "sales", columns, ("a", "b"), search=("a",), partitions=partitions)


NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "partition"),
    [
        (("a1",), 35),
        (("EIRE", 2), 88),
        ((Decimal("1.50"),), 186),
        ((NOON,), 106),
        ((NOON.replace(tzinfo=None),), 57),
        ((date(2024, 2, 29),), 110),
        ((UUID(int=1),), 31),
        ((b"\0\xff",), 101),
        ((True,), 179),
        ((-(2**63),), 11),
        (("Crème brûlée",), 57),
        (("", ""), 120),
    ],
    ids=repr,
)
def test_a_key_stays_in_its_partition_from_release_to_release(key: Key, partition: int) -> None:
    assert shared(256).partition_of(key) == partition


@given(digits=st.integers(-(10**9), 10**9), exponent=st.integers(-9, 9), zeros=st.integers(0, 9))
def test_decimals_that_are_equal_are_in_one_partition(digits: int, exponent: int, zeros: int) -> None:
    number, longer = Decimal(digits).scaleb(exponent), Decimal(digits * 10**zeros).scaleb(exponent - zeros)
    assert number == longer
    assert shared(256).partition_of((number,)) == shared(256).partition_of((longer,))


@given(hours=st.integers(-23, 23), minutes=st.integers(0, 59))
def test_instants_are_in_one_partition_whatever_their_zone(hours: int, minutes: int) -> None:
    zone = timezone(timedelta(hours=hours, minutes=minutes if hours >= 0 else -minutes))
    assert shared(256).partition_of((NOON.astimezone(zone),)) == shared(256).partition_of((NOON,))


@pytest.mark.parametrize(("member", "value"), [(Country.EIRE, "EIRE"), (Level.LOW, 1)])
def test_enum_members_are_in_the_partition_of_their_values(member: Enum, value: object) -> None:
    assert shared(256).partition_of((member,)) == shared(256).partition_of((value,))


@pytest.mark.parametrize("partitions", [2, 3, 8, 256])
def test_keys_are_spread_evenly(partitions: int) -> None:
    keys = partitions * 500
    for of in (
        lambda number: (f"account-{number}",),
        lambda number: ("EIRE", number),
        lambda number: (UUID(int=number),),
    ):
        sizes = Counter(shared(partitions).partition_of(of(number)) for number in range(keys))
        assert sizes.keys() == set(range(partitions))
        assert max(sizes.values()) < 600
        assert min(sizes.values()) > 400


def test_all_keys_are_in_the_only_partition() -> None:
    assert {shared(1).partition_of((f"a{number}",)) for number in range(100)} == {0}


def test_a_table_aside_has_the_same_shape_and_partitions() -> None:
    table = shared(8)
    aside = table.aside("rebuild")
    assert (aside.read_model, aside.name) == ("Sales~rebuild", "sales__rebuild")
    assert (aside.columns, aside.key, aside.search, aside.partitions) == (table.columns, table.key, table.search, 8)
    assert aside.partition_of(("a", "b")) == table.partition_of(("a", "b"))
