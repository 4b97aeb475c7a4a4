"""The bare fold: pages of a log decoded and folded into one row per account, each page's rows saved at once."""

import time
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

__all__ = ["PAGE", "Deposited", "Page", "Row", "events_per_s"]

PAGE = 5_000

Page = Sequence[tuple[int, bytes]]
Row = tuple[str, int, Decimal]


class Deposited(msgspec.Struct, frozen=True, gc=False):
    account_id: str
    amount: Decimal


def events_per_s(read: Callable[[int], Page], save: Callable[[Sequence[Row], int], None]) -> float:
    """`read(after)` has position and data of the next events, `save(rows, position)` makes a page's effect durable."""
    decoder = msgspec.json.Decoder(Deposited)
    rows: dict[str, Row] = {}
    started = time.perf_counter()
    position = 0
    while page := read(position):
        touched: dict[str, None] = {}
        for _, data in page:
            event = decoder.decode(data)
            key, deposits, balance = rows.get(event.account_id) or (event.account_id, 0, Decimal(0))
            rows[key] = (key, deposits + 1, balance + event.amount)
            touched[key] = None
        position = page[-1][0]
        save([rows[key] for key in touched], position)
    return position / (time.perf_counter() - started)
