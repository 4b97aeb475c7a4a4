"""What several services have left behind in PostgreSQL, read past them, and everything that is wrong with it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

import psycopg
from psycopg.sql import SQL, Identifier

from tests.system.faults.ledger import Ledger, audit, folded_balances
from tests.system.services.bank import app
from tests.system.services.cluster import Cluster

__all__ = ["Shares", "wrongs", "wrongs_of_rows"]


def wrongs(cluster: Cluster, ledger: Ledger, *, settle_s: float = 30.0) -> list[str]:
    """Everything that is wrong once the read models have settled, or that they don't; empty when nothing is."""
    unsettled = cluster.settle(settle_s)
    log = cluster.log()
    return [*unsettled, *audit(ledger, log, _balances(cluster, "balance")), *_wrong_rows(cluster, log)]


def wrongs_of_rows(cluster: Cluster) -> list[str]:
    """Each row that is not what a fold of the log makes of it, once the read models have settled."""
    return [*cluster.settle(30.0), *_wrong_rows(cluster, cluster.log())]


def _wrong_rows(cluster: Cluster, log: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        *_differing("Balance", folded_balances(log), _balances(cluster, "balance")),
        *_differing("PartedBalance", folded_balances(log), _balances(cluster, "parted_balance")),
        *_differing("Journal", _journals_of(log), _journals(cluster)),
    ]


def _balances(cluster: Cluster, table: str) -> dict[str, Decimal]:
    return {account: Decimal(balance) for account, balance in _column(cluster, table, "balance").items()}


def _journals(cluster: Cluster) -> dict[str, list[int]]:
    return {account: json.loads(positions) for account, positions in _column(cluster, "journal", "positions").items()}


def _column(cluster: Cluster, table: str, column: str) -> dict[str, Any]:
    """A column of every row by its key."""
    query = SQL("select account_id, {} from twofold_read.{}").format(Identifier(column), Identifier(table))
    with psycopg.connect(cluster.url) as connection:
        return dict(connection.execute(query).fetchall())


def _journals_of(log: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in log:
        found.setdefault(event["data"]["account_id"], []).append(event["position"])
    return found


def _differing(read_model: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Per key, with its partition: where one is wrong, all keys of it may be."""
    table = app.read_models[read_model].table
    return [
        f"{table.name}, partition {table.partition_of((key,))}, {key}: {found.get(key)} stands where "
        f"{wanted.get(key)} should"
        for key in sorted({*wanted, *found})
        if wanted.get(key) != found.get(key)
    ]


class Shares:
    """Who has the lease of what, as the read store has it; to be looked at often."""

    def __init__(self, cluster: Cluster) -> None:
        self._connection = psycopg.connect(cluster.url, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def by_holder(self) -> dict[str, int]:
        """How many partitions each holder has, over all read models; "" for those whose lease has run out."""
        rows = self._connection.execute(_HOLDERS).fetchall()
        return dict(Counter(holder for (holder,) in rows))


_HOLDERS = "select holder from twofold_read.twofold_checkpoints()"
