"""Bare psycopg: an event log's rows, prepared beforehand as JSON, inserted in groups.

Each group is one statement with one `jsonb` argument, and one durable transaction. Positions are given: no head is
locked, and nothing is looked up.

Rows as arrays: as objects they take 1.1 to 1.3 times as long.
"""

import json
import time

import psycopg

from benchmarks.limits.rows import AGGREGATES, GROUP, command_row, event_row, groups

__all__ = ["group_insert", "make_tables"]

# The tables and indexes of Twofold's event log, in columns of the same order.
SCHEMA = """
CREATE TABLE event (
    position bigint NOT NULL PRIMARY KEY, recorded_at bigint NOT NULL, version integer NOT NULL,
    schema_version integer NOT NULL, stream text COLLATE "C" NOT NULL, type text COLLATE "C" NOT NULL,
    data text COLLATE "C" NOT NULL, metadata text COLLATE "C" NOT NULL, UNIQUE (stream, version));
CREATE TABLE command (
    command_id text COLLATE "C" NOT NULL PRIMARY KEY, position bigint NOT NULL, version integer NOT NULL,
    event_count integer NOT NULL, stream text COLLATE "C" NOT NULL, fingerprint bytea NOT NULL);
"""
INSERT = """
WITH incoming AS MATERIALIZED (
    SELECT (row->>0)::bigint AS position, row->>1 AS stream, (row->>2)::integer AS version, row->>3 AS type,
           (row->>4)::integer AS schema_version, row->>5 AS data, row->>6 AS metadata,
           (row->>7)::bigint AS recorded_at, row->>8 AS command_id, row->>9 AS fingerprint
      FROM jsonb_array_elements(%s::jsonb) AS row
), stored AS (
    INSERT INTO event (position, stream, version, type, schema_version, data, metadata, recorded_at)
    SELECT position, stream, version, type, schema_version, data, metadata, recorded_at FROM incoming
)
INSERT INTO command (command_id, fingerprint, stream, version, position, event_count)
SELECT command_id, decode(fingerprint, 'hex'), stream, version, position, 1 FROM incoming
"""


def make_tables(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)


def group_insert(url: str, count: int, *, group: int = GROUP, aggregates: int = AGGREGATES) -> float:
    """Events per second, each with the record of its command id."""
    make_tables(url)
    prepared = [json.dumps([_row(position, aggregates) for position in part]) for part in groups(count, group)]
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.perf_counter()
        for text in prepared:
            connection.execute(INSERT, (text,), prepare=True)
        return count / (time.perf_counter() - started)


def _row(position: int, aggregates: int) -> tuple[object, ...]:
    command_id, fingerprint, *_ = command_row(position, aggregates)
    return *event_row(position, aggregates), command_id, fingerprint.hex()
