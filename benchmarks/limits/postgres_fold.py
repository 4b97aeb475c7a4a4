"""Bare psycopg and msgspec: the bare fold on PostgreSQL, in binary form, rows as one `jsonb` argument.

Rows, checkpoint and nothing else in one durable transaction per page.
"""

import json
from collections.abc import Sequence

import psycopg

from benchmarks.limits.folding import PAGE, Page, Row, events_per_s
from benchmarks.limits.postgres_group import group_insert

__all__ = ["fold"]

SELECT_PAGE = """
SELECT position, stream, version, type, convert_to(data, 'UTF8'), metadata
  FROM event WHERE position > %s ORDER BY position LIMIT %s
"""
SCHEMA = """
CREATE TABLE balance (account_id text COLLATE "C" PRIMARY KEY, deposits integer NOT NULL, balance numeric NOT NULL);
CREATE TABLE checkpoint (position bigint NOT NULL);
INSERT INTO checkpoint VALUES (0);
"""
SAVE = """
WITH saved AS (UPDATE checkpoint SET position = %s)
INSERT INTO balance SELECT row->>0, (row->>1)::integer, (row->>2)::numeric FROM jsonb_array_elements(%s::jsonb) AS row
ON CONFLICT (account_id) DO UPDATE SET deposits = excluded.deposits, balance = excluded.balance
"""


def fold(url: str, count: int) -> float:
    """Events folded into the durable table per second."""
    group_insert(url, count, group=2_000)
    with psycopg.connect(url, autocommit=True) as log, psycopg.connect(url, autocommit=True) as store:
        store.execute(SCHEMA)
        return events_per_s(lambda after: _page(log, after), lambda rows, position: _save(store, rows, position))


def _page(log: psycopg.Connection, after: int) -> Page:
    return [(row[0], row[4]) for row in log.execute(SELECT_PAGE, (after, PAGE), prepare=True, binary=True)]


def _save(store: psycopg.Connection, rows: Sequence[Row], position: int) -> None:
    text = json.dumps([(key, deposits, str(balance)) for key, deposits, balance in rows])
    store.execute(SAVE, (position, text), prepare=True)
