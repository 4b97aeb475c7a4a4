"""Values on their way into PostgreSQL, as far as no server is needed to say that they are right."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.stores.postgres.columns import array, encode_columns, held_text
from twofold.stores.postgres.named_parameters import numbered
from twofold.stores.rows import Unstorable
from twofold.tables import Column, ColumnKind

TEXTS = st.text(st.sampled_from("\0\1\2\3ab"), max_size=8)


@given(one=TEXTS, other=TEXTS)
def test_texts_are_held_without_nul_and_keep_their_order(one: str, other: str) -> None:
    assert "\0" not in held_text(one)
    assert (held_text(one) < held_text(other)) == (one < other)
    assert (held_text(one) == held_text(other)) == (one == other)


def test_arrays_are_quoted_where_texts_could_be_taken_for_something_else() -> None:
    assert array(["a", None, "", "NULL", 'quote"', "back\\slash", "{,}"]) == (
        '{"a",NULL,"","NULL","quote\\"","back\\\\slash","{,}"}'
    )
    assert array([]) == "{}"


@pytest.mark.parametrize(
    ("kind", "value", "literal", "written"),
    [
        (ColumnKind.DECIMAL, Decimal("1.50"), "{1.50}", None),
        (ColumnKind.DECIMAL, Decimal("-0.5"), "{-0.5}", None),
        (ColumnKind.DECIMAL, Decimal("1E-7"), "{1E-7}", None),
        (ColumnKind.DECIMAL, Decimal("1E+5"), "{1E+5}", '{"c":"1E+5"}'),
        (ColumnKind.DECIMAL, Decimal("-0.00"), "{-0.00}", '{"c":"-0.00"}'),
        (ColumnKind.DECIMAL, 5, "{5}", None),
        (ColumnKind.DATETIME, datetime(2024, 2, 29, 12, tzinfo=UTC), '{"2024-02-29T12:00:00Z"}', None),
        (
            ColumnKind.DATETIME,
            datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(0))),
            '{"2024-02-29T12:00:00Z"}',
            None,
        ),
        (
            ColumnKind.DATETIME,
            datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Rome")),
            '{"2024-07-01T10:00:00Z"}',
            '{"c":"2024-07-01T12:00:00.000000+02:00"}',
        ),
        (
            ColumnKind.DATETIME,
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
            '{"10000-01-01T00:59:59.999999Z"}',
            '{"c":"9999-12-31T23:59:59.999999-01:00"}',
        ),
        (
            ColumnKind.DATETIME,
            datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
            '{"0001-12-31T23:00:00Z BC"}',
            '{"c":"0001-01-01T00:00:00.000000+01:00"}',
        ),
    ],
)
def test_what_a_column_can_not_hold_to_the_last_digit_is_written_out(
    kind: ColumnKind, value: Any, literal: str, written: str | None
) -> None:
    (column,), beside = encode_columns([Column("c", kind)], [(value,)])
    assert (column, beside[0]) == (literal, written)


def test_a_decimal_that_is_no_number_is_named() -> None:
    for value in (Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(Unstorable, match="c can't hold"):
            encode_columns([Column("c", ColumnKind.DECIMAL)], [(Decimal(1),), (value,)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select :a, :b, :a", "select $1, $2, $1"),
        ("select ':a', \":b\", :a", "select ':a', \":b\", $1"),
        ("select 'it''s :a' || :a", "select 'it''s :a' || $1"),
        (r"select e'\':a' || :a", r"select e'\':a' || $1"),
        ("select :a::int, x::text", "select $1::int, x::text"),
        ("select $$ :a $$, $q$ :a $$ $q$, :b", "select $$ :a $$, $q$ :a $$ $q$, $1"),
        ("select 1 -- :a\n, :b", "select 1 -- :a\n, $1"),
        ("select /* :a /* :b */ :a */ :b", "select /* :a /* :b */ :a */ $1"),
        ("select /* never closed :a", "select /* never closed :a"),
        ("select x[1:2], y['a':'b']", "select x[1:2], y['a':'b']"),
    ],
)
def test_parameters_are_found_where_they_are_parameters(text: str, expected: str) -> None:
    assert numbered(text, {"a": 1, "b": 2})[0] == expected


def test_parameters_come_with_their_values_in_order() -> None:
    assert numbered("select :b, :a, :b", {"a": 1, "b": 2, "c": 3})[1] == [2, 1]
    with pytest.raises(ValueError, match="no value for :missing"):
        numbered("select :missing", {"a": 1})
