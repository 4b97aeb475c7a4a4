"""The command service with a bug planted: it does not record command ids."""

from collections.abc import Sequence

from twofold.cli import main
from twofold.ports import Commit, Outcome
from twofold.stores.postgres.event_log import PostgresEventLog

append = PostgresEventLog.append


async def append_without_records(self: PostgresEventLog, commits: Sequence[Commit]) -> Sequence[Outcome]:
    return await append(self, [commit._replace(record=None) for commit in commits])


PostgresEventLog.append = append_without_records
main()
