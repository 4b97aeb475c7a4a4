"""The read store on PostgreSQL while the server is killed, and while somebody leaves a transaction open."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import psycopg
import pytest

from tests.integration.read_stores import COUNTS, read_store, row_reader
from tests.servers.postgres import VERSIONS, PostgresServer, postgres_server
from twofold.errors import FencedError, StoreUnavailableError
from twofold.ports import Find, Fold, Share
from twofold.settings import Settings
from twofold.stores.postgres.read_store import PostgresReadStore
from twofold.streams import Position
from twofold.tables import Row

KILLED_AFTER_S = 0.8
"""Longer than commits can go without being flushed, three times `wal_writer_delay`."""

NAMES = [f"row {number}" for number in range(20)]


def rows_at(position: int) -> list[Row]:
    """A page in which every row has its position."""
    return [(name, position) for name in NAMES]


async def leased(store: PostgresReadStore) -> Sequence[Share]:
    return (await store.lease("worker", {"Counts": ""}, 60.0))["Counts"].shares


async def save_until_it_fails(store: PostgresReadStore, shares: Sequence[Share]) -> Sequence[Share]:
    """The shares as the last save that succeeded has left them."""
    while True:
        through = Position(shares[0].position + 1)
        try:
            shares = await store.save(Fold(COUNTS, shares, through, rows_at(through), []))
        except StoreUnavailableError:
            return shares


async def start_again(server: PostgresServer) -> None:
    """Killed processes may keep the server's shared memory for a moment, and it does not start until they are gone."""
    async with asyncio.timeout(20):
        while True:
            try:
                return server.start()
            except RuntimeError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_killed_server_loses_rows_and_checkpoint_only_together(version: str) -> None:
    settings = Settings(store_timeout_s=4.0)
    with postgres_server(version) as server:
        async with read_store(server.url(), settings) as store, row_reader(server.url(), settings) as reader:
            await store.open(COUNTS)
            reached = 0
            for _ in range(5):
                shares = await leased(store)
                assert len({share.position for share in shares}) == 1
                asyncio.get_running_loop().call_later(KILLED_AFTER_S, server.kill)
                shares = await save_until_it_fails(store, shares)
                await start_again(server)
                positions = (await store.checkpoints())["Counts"].positions
                assert len(set(positions)) == 1
                assert {row[1] for row in await reader.find(COUNTS, Find({}))} == {positions[0]}
                assert positions[0] <= shares[0].position + 1
                assert positions[0] >= reached
                if shares[0].position != positions[0]:
                    with pytest.raises(FencedError):
                        await store.save(Fold(COUNTS, shares, Position(shares[0].position + 1), rows_at(0), []))
                reached = positions[0]
            assert reached > 0


async def test_a_transaction_left_open_does_not_slow_saves_down(database18: str) -> None:
    async with read_store(database18) as store, row_reader(database18) as reader:
        await store.open(COUNTS)
        shares = await leased(store)

        async def save(position: int) -> None:
            """Rows come and come again, each only once: what is measured is the checkpoint, not a row's versions."""
            nonlocal shares
            shares = await store.save(Fold(COUNTS, shares, Position(position), [(f"n{position}", position)], []))

        async def median_ms(first: int) -> float:
            took: list[float] = []
            for position in range(first, first + 101):
                started = perf_counter()
                await save(position)
                took.append(perf_counter() - started)
            return sorted(took)[50] * 1_000

        before = await median_ms(1)
        with psycopg.connect(database18) as open_for_long:
            open_for_long.execute("select count(*), txid_current() from twofold_read.twofold_checkpoint")
            for position in range(200, 4_200):
                await save(position)
            after = await median_ms(5_000)
            started = perf_counter()
            assert (await reader.checkpoints())["Counts"].position == 5_100
            look_ms = (perf_counter() - started) * 1_000
        print(f"saves took {before:.2f} ms before, {after:.2f} ms after 4,000 more; a look {look_ms:.2f} ms")
        assert after < 3 * before + 5
        assert look_ms < 100
