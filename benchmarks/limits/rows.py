"""The rows of an event log with command records, as the limits and pgbench write them: a deposit each."""

from collections.abc import Sequence

__all__ = ["AGGREGATES", "GROUP", "command_row", "event_row", "groups"]

GROUP = 64
AGGREGATES = 1000


def groups(count: int, group: int) -> Sequence[range]:
    """Positions 1 to `count`, so many at a time."""
    return [range(start, min(start + group, count + 1)) for start in range(1, count + 1, group)]


def event_row(position: int, aggregates: int) -> tuple[int, str, int, str, int, str, str, int]:
    """Position, stream, version, type, schema version, data, metadata, microseconds of the time."""
    stream, version = _place(position, aggregates)
    data = f'{{"account_id":"{stream}","amount":"10.25"}}'
    metadata = f'{{"command":"Deposit","command_id":"id-{position}","correlation_id":"{position:032x}"}}'
    return position, stream, version, "Deposited", 1, data, metadata, 1_700_000_000_000_000 + position


def command_row(position: int, aggregates: int) -> tuple[str, bytes, str, int, int, int]:
    """Command id, fingerprint, stream, version, position, number of events."""
    stream, version = _place(position, aggregates)
    return f"command-{position * 7919 % 1_000_003}-{position}", b"f" * 16, stream, version, position, 1


def _place(position: int, aggregates: int) -> tuple[str, int]:
    return f"account-{position % aggregates}", position // aggregates + 1
