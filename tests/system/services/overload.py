"""Load that does not wait for answers: so many wishes in a second, whatever becomes of them. And what must come of it
when it is three times too much."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from examples.bank import Account, Balance
from twofold import Application, Query, View, answer
from twofold.testing.load import LoadClient, NoAnswerError, drive

__all__ = ["ACCOUNTS", "Load", "Outcome", "Phase", "app", "wrongs"]

ACCOUNTS = 1_200
COMMANDS = 3
"""Of ten wishes. Three of five others ask what may be answered with an old answer."""
CONNECTIONS = 900
"""To each service; one process alone takes 2,000."""
_TICK_S = 0.01
_OWNERS = 2
"""With half of the accounts each: to ask is many times the work of a deposit, as it is where reports are read."""


class WealthOf(Query[Decimal]):
    """Much to read, and little to send."""

    owner: str


class WealthLately(Query[Decimal], stale_ok_s=60):
    owner: str


async def wealth(owner: str, balances: View[Balance]) -> Decimal:
    return sum((row.balance for row in await balances.find(owner=owner)), Decimal(0))


@answer
async def wealth_of(query: WealthOf, balances: View[Balance]) -> Decimal:
    return await wealth(query.owner, balances)


@answer
async def wealth_lately(query: WealthLately, balances: View[Balance]) -> Decimal:
    return await wealth(query.owner, balances)


app = Application("bank", [Account, Balance, wealth_of, wealth_lately])


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one wish. Status 0: no answer. `signed`: a refusal says when to come again, a stale answer how old it is."""

    kind: str
    status: int
    seconds: float
    stale: bool = False
    signed: bool = True


@dataclass
class Phase:
    """What became of the wishes of a stretch of time."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def of(self, kind: str) -> Phase:
        return Phase([each for each in self.outcomes if each.kind == kind])

    def share(self, holds: Callable[[Outcome], bool]) -> float:
        return sum(map(holds, self.outcomes)) / len(self.outcomes) if self.outcomes else 0.0

    @property
    def p99_s(self) -> float:
        """Of what was answered 200."""
        ordered = sorted(each.seconds for each in self.outcomes if each.status == 200)
        return ordered[int(len(ordered) * 0.99)] if ordered else 0.0

    @property
    def is_normal(self) -> bool:
        """Everything is answered, newly and soon."""
        return self.share(lambda each: each.status == 200 and not each.stale) == 1.0 and self.p99_s <= 1.0

    def __str__(self) -> str:
        parts: list[str] = []
        for kind in ("command", "query"):
            phase = self.of(kind)
            fresh = phase.share(lambda each: each.status == 200 and not each.stale)
            stale = phase.share(lambda each: each.stale)
            shed = phase.share(lambda each: each.status == 503)
            parts.append(
                f"{len(phase.outcomes)} x {kind}: {fresh:.1%} answered, {stale:.1%} stale, {shed:.1%} shed, "
                f"p99 {phase.p99_s:.2f} s"
            )
        return "; ".join(parts)


class Load:
    """Wishes for a bank, 30 % of them commands: to one service, or to one of each kind."""

    def __init__(self, commands: LoadClient, queries: LoadClient) -> None:
        self._commands, self._queries = commands, queries
        numbers = range(ACCOUNTS)
        self._opening = [self._command("OpenAccount", number, f'"owner": "o{number % _OWNERS}"') for number in numbers]
        self._deposits = itertools.cycle(self._command("Deposit", number, '"amount": "1"') for number in numbers)
        self._questions = itertools.cycle(
            queries.prepare("GET", f"/queries/{name}?owner=o{number}")
            for number in range(_OWNERS)
            for name in ("WealthOf", "WealthLately", "WealthLately", "WealthOf", "WealthLately")
        )
        self._turn = itertools.cycle(["command"] * COMMANDS + ["query"] * (10 - COMMANDS))

    def _command(self, name: str, number: int, field: str) -> bytes:
        body = f'{{"account_id": "a{number}", {field}}}'.encode()
        return self._commands.prepare("POST", f"/commands/{name}", body=body)

    async def open(self) -> None:
        """Open the accounts, and wait until they are seen."""
        opened = await drive(self._commands, self._opening, 16)
        assert opened.statuses == {200: ACCOUNTS}, opened
        asked = {"Twofold-After": str(ACCOUNTS), "Prefer": "wait=30"}
        seen = await self._queries.request("GET", "/queries/WealthOf?owner=o1", headers=asked)
        assert seen.status == 200, seen

    async def saturation(self, seconds: float) -> float:
        """How many wishes are answered in a second when a few clients have nothing else to do."""
        end, answered = time.monotonic() + seconds, Phase()

        async def client() -> None:
            while time.monotonic() < end:
                await self._wish(answered)

        await asyncio.gather(*(client() for _ in range(24)))
        return sum(each.status == 200 for each in answered.outcomes) / seconds

    async def send(self, rate: float, seconds: float) -> Phase:
        """So many in a second, evenly; returns when the last of them is over."""
        phase, sent = Phase(), set[asyncio.Task[None]]()
        started, count = time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds:
            while count < rate * passed:
                sent.add(asyncio.create_task(self._wish(phase)))
                count += 1
            await asyncio.sleep(_TICK_S)
        await asyncio.gather(*sent)
        return phase

    async def _wish(self, phase: Phase) -> None:
        kind, began = next(self._turn), time.monotonic()
        client, wire = (
            (self._commands, next(self._deposits)) if kind == "command" else (self._queries, next(self._questions))
        )
        try:
            answer = await client.send(wire)
        except NoAnswerError:
            phase.outcomes.append(Outcome(kind, 0, time.monotonic() - began))
            return
        seconds, stale, signed = time.monotonic() - began, False, True
        if kind == "query" and answer.status == 200:
            stale = "cache-status" in answer.headers
            signed = not stale or "age" in answer.headers
        elif answer.status == 503:
            signed = "retry-after" in answer.headers
        phase.outcomes.append(Outcome(kind, answer.status, seconds, stale, signed))


def wrongs(pressed: Phase, after: Sequence[Phase]) -> list[str]:
    """Everything that must not be: under three times too much, and in the seconds that follow it."""
    commands, queries = pressed.of("command"), pressed.of("query")
    found: list[str] = []
    if (accepted := commands.share(lambda each: each.status == 200)) < 0.99:
        found.append(f"only {accepted:.2%} of the commands were accepted")
    if commands.p99_s > 1.0:
        found.append(f"commands took {commands.p99_s:.2f} s, the slowest of a hundred")
    if odd := [each for each in queries.outcomes if each.status not in (200, 503) or not each.signed]:
        found.append(f"{len(odd)} queries were neither answered nor shed with a sign, as {odd[0]}")
    if not any(each.is_normal for each in after):
        found.append(f"it was not normal again after {len(after)} s: {after[-1]}")
    return found
