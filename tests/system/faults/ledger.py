"""The ledger: what clients know of every command they sent, held against what the system holds in the end.

Clients write each command as sent, then as ok, failed or unknown. Afterwards every ok must be in the log exactly once,
every failed nowhere, every unknown once or not at all; versions per stream 1…n, positions 1…N without a gap; every
subscriber's journal 1…N; every read model equal to a fold of the log.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any


class Outcome(Enum):
    SENT = "sent"
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Entry:
    """One command. `answer` is the body of the first 200, against which a repeat is compared."""

    outcome: Outcome = Outcome.SENT
    answer: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Ledger:
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    contradictions: list[str] = field(default_factory=list[str])

    def sent(self, command_id: str) -> None:
        entry = self.entries.setdefault(command_id, Entry())
        if entry.outcome is Outcome.FAILED:
            entry.outcome = Outcome.SENT

    def never_sent(self, command_id: str) -> None:
        """Not a byte of it left: it has failed for certain, unless an earlier try of it is in doubt."""
        entry = self.entries[command_id]
        if entry.outcome is Outcome.SENT:
            entry.outcome = Outcome.FAILED

    def ok(self, command_id: str, answer: Mapping[str, Any]) -> None:
        entry = self.entries[command_id]
        if entry.answer is not None and entry.answer != answer:
            self.contradictions.append(f"{command_id} was answered {entry.answer} and then {answer}")
        entry.outcome, entry.answer = Outcome.OK, answer

    def failed(self, command_id: str) -> None:
        self.entries[command_id].outcome = Outcome.FAILED

    def unknown(self, command_id: str) -> None:
        entry = self.entries[command_id]
        if entry.outcome is Outcome.SENT:
            entry.outcome = Outcome.UNKNOWN

    def count(self, outcome: Outcome) -> int:
        return sum(entry.outcome is outcome for entry in self.entries.values())


def audit(ledger: Ledger, log: Sequence[Mapping[str, Any]], balances: Mapping[str, Decimal]) -> list[str]:
    """Everything that is wrong; empty when nothing is lost, doubled or out of order.

    `log` are the lines of `twofold events tail --json`, `balances` the rows of the bank's read model.
    """
    return [
        *ledger.contradictions,
        *_commands(ledger, log),
        *dense("positions of the log", (event["position"] for event in log)),
        *_versions(log),
        *_rows(log, balances),
    ]


def _commands(ledger: Ledger, log: Sequence[Mapping[str, Any]]) -> list[str]:
    found = collections.Counter(event["metadata"]["command_id"] for event in log)
    allowed = {Outcome.OK: (1,), Outcome.FAILED: (0,), Outcome.UNKNOWN: (0, 1), Outcome.SENT: (0, 1)}
    wrong = [
        f"command {command_id} is {entry.outcome.value} and is {found[command_id]} times in the log"
        for command_id, entry in ledger.entries.items()
        if found[command_id] not in allowed[entry.outcome]
    ]
    places = {event["position"]: event["metadata"]["command_id"] for event in log}
    moved = [
        f"command {command_id} was answered position {entry.answer['position']}, which holds {places.get(at)}"
        for command_id, entry in ledger.entries.items()
        if entry.answer is not None and places.get(at := entry.answer["position"]) != command_id
    ]
    strangers = [f"the log holds a command that nobody sent: {each}" for each in found if each not in ledger.entries]
    return [*wrong, *moved, *strangers]


def dense(what: str, numbers: Iterable[int]) -> list[str]:
    """Nothing when the numbers are 1, 2, 3 …; else the first that is not."""
    for expected, number in enumerate(numbers, 1):
        if number != expected:
            return [f"{what}: {number} stands where {expected} should"]
    return []


def _versions(log: Sequence[Mapping[str, Any]]) -> list[str]:
    streams: dict[str, list[int]] = collections.defaultdict(list)
    for event in log:
        streams[event["stream"]].append(event["version"])
    return [wrong for stream, versions in streams.items() for wrong in dense(f"versions of {stream}", versions)]


def _rows(log: Sequence[Mapping[str, Any]], balances: Mapping[str, Decimal]) -> list[str]:
    folded = folded_balances(log)
    return [
        f"account {account}: the log's fold is {folded.get(account)}, the read model says {balances.get(account)}"
        for account in sorted({*folded, *balances})
        if folded.get(account) != balances.get(account)
    ]


def folded_balances(log: Sequence[Mapping[str, Any]]) -> dict[str, Decimal]:
    """What each account should have, from the lines of the bank's log."""
    folded: dict[str, Decimal] = {}
    for event in log:
        account = event["data"]["account_id"]
        folded[account] = folded.get(account, Decimal(0)) + Decimal(event["data"].get("amount", 0))
    return folded
