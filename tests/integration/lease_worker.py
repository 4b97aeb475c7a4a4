"""A worker in a process of its own: `lease_worker URL NAME LEASE_S`.

It leases COUNTS, and moves each partition that it has by one event at a time, which counts up a row of that partition.
"""

import asyncio
import sys

from tests.integration.read_stores import COUNTS, SETTINGS
from twofold.errors import FencedError
from twofold.ports import Fold, Share
from twofold.stores.postgres.read_store import PostgresReadStore
from twofold.streams import Position
from twofold.tables import Row


def names_by_partition() -> dict[int, str]:
    """A key for each partition."""
    found: dict[int, str] = {}
    for number in range(1_000):
        found.setdefault(COUNTS.partition_of((f"n{number}",)), f"n{number}")
    return found


NAMES = names_by_partition()


_ROUNDS_OF_A_LEASE = 15


async def fold_one(store: PostgresReadStore, share: Share) -> Share:
    """The row counts how often its partition was moved, as a fold does that reads the row before."""
    key = (NAMES[share.partition],)
    loaded = await store.load(COUNTS, [key])
    row: Row = (*key, (loaded[key][1] if loaded else 0) + 1)
    (moved,) = await store.save(Fold(COUNTS, [share], Position(share.position + 1), [row], []))
    return moved


async def work(url: str, name: str, lease_s: float) -> None:
    """Leases now and then, and trusts what it has between: one that slept wakes up with shares that are others' now."""
    shares: list[Share] = []
    rounds = 0
    async with PostgresReadStore.at(url, settings=SETTINGS, role="all") as store:
        while True:
            if rounds % _ROUNDS_OF_A_LEASE == 0:
                shares = list((await store.lease(name, {COUNTS.read_model: ""}, lease_s))[COUNTS.read_model].shares)
            try:
                shares = [await fold_one(store, share) for share in shares]
                rounds += 1
            except FencedError:
                rounds = 0
            await asyncio.sleep(lease_s / 50)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], float(sys.argv[3])))
