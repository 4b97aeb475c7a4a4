"""The service with a bug planted: rows are saved in one transaction, and their checkpoint in the next one."""

from tests.system.faults.plants import save_in_two_transactions
from twofold.cli import main
from twofold.stores.sqlite.read_store import SqliteReadStore

save_in_two_transactions(SqliteReadStore)
main()
