"""The numbers of docs/how-to/run-on-postgresql.md are those of the code."""

from tests.docs.pages import page, rows, section
from twofold.settings import Settings
from twofold.stores.postgres import event_log, read_store, row_reader
from twofold.stores.postgres.event_appends import CONCURRENT_APPENDS

TEXT = page("how-to/run-on-postgresql.md")

LISTENING = 1
APPEND = CONCURRENT_APPENDS + 1
QUERY = row_reader.KEYED_CONNECTIONS + LISTENING + row_reader.FINDING_CONNECTIONS + row_reader.SQL_CONNECTIONS
PROJECTOR = event_log.READERS + LISTENING + read_store.CONNECTIONS


def test_the_connections_of_each_role_are_counted_rightly() -> None:
    counted = {row[0].strip("`"): (int(row[1]), row[2]) for row in rows(section(TEXT, "Connections"))}
    assert {role: count for role, (count, _) in counted.items()} == {
        "command": event_log.READERS + APPEND,
        "projector": PROJECTOR,
        "query": QUERY,
        "all": PROJECTOR + APPEND + QUERY,
    }
    assert f"`read` {event_log.READERS}, `append` {APPEND}" == counted["command"][1]
    assert f"`read-store` {read_store.CONNECTIONS}" in counted["projector"][1]


def test_the_time_limits_are_those_of_the_default() -> None:
    timeout_s = Settings().store_timeout_s
    limits = section(TEXT, "Timeouts")
    assert f"`TWOFOLD_STORE_TIMEOUT_S` ({timeout_s:g} seconds)" in limits
    shown = {row[0]: row[1] for row in rows(limits)}
    assert shown["`statement_timeout`"] == f"{timeout_s * 0.75:g} s"
    assert shown["`lock_timeout`"] == shown["`connect_timeout`"] == f"{timeout_s / 2:g} s"
