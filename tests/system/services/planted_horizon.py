"""The projector with a bug planted: like many a log on PostgreSQL, it reads only behind the oldest open transaction."""

from collections.abc import Sequence

from twofold.cli import main
from twofold.messages import RawEvent
from twofold.stores.postgres.event_log import PostgresEventLog
from twofold.streams import Position

read = PostgresEventLog.read
HORIZON = "select pg_snapshot_xmin(s)::text = pg_snapshot_xmax(s)::text from pg_current_snapshot() as s"


async def read_behind_the_horizon(self: PostgresEventLog, after: Position, limit: int) -> Sequence[RawEvent]:
    async with self._readers.lend() as connection:  # pyright: ignore[reportPrivateUsage]
        row = await (await connection.execute(HORIZON)).fetchone()
    return await read(self, after, limit) if row == (True,) else ()


PostgresEventLog.read = read_behind_the_horizon
main()
