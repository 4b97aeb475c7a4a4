"""The projector with a bug planted: rows are saved in one transaction, and their checkpoint in the next one."""

from tests.system.faults.plants import save_in_two_transactions
from twofold.cli import main
from twofold.stores.postgres.read_store import PostgresReadStore

save_in_two_transactions(PostgresReadStore)
main()
