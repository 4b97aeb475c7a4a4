"""How much may be at work at once: as much as does not hold itself up, which is measured and not set.

By Little's law what is at work is what is done in a second times how long each takes. So after each window the limit
is put to where the mean time would be the undisturbed one and a tolerated delay: docs/decisions/concurrency-limits.md.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from typing import NamedTuple

from twofold.errors import OverloadedError
from twofold.runtime.gate import Gate

__all__ = ["ConcurrencyLimit", "Load"]

_WINDOW_S = 0.1
"""At least; and no shorter than the mean time, since what is quick comes out of a short one first."""
_SAMPLES = 10
_LONGEST_WINDOW_S = 1.0
"""After so long a few samples must do: what is slow is known by one."""
_TOLERANCE = 0.5
"""By how much longer than undisturbed the mean may be beside the tolerated delay: times vary by themselves."""
_LARGEST_CUT = 0.5
_LARGEST_GROWTH = 1.25
_NEWS = 0.3
_OLD_NEWS = 0.05
"""How much of a window's mean goes into the undisturbed time: of a shorter one, and of a longer one in calm."""
_YIELD_S = 1.0
_LOOKS_PER_WAIT = 4


class Load(NamedTuple):
    """How much is at work, waits and may be at work. `shed` counts what was not let in, by the reason: "full" (too much
    was waiting already), "wait" (it was over the limit for too long), "deadline" (its sender's time was over)."""

    limit: int
    in_flight: int
    waiting: int
    shed: Mapping[str, int]

    @classmethod
    def of(cls, gate: Gate, limit: ConcurrencyLimit) -> Load:
        return cls(limit.limit, limit.inside, limit.waiting, {"full": gate.refused, **limit.shed})


class _Waiter(NamedTuple):
    future: asyncio.Future[None]
    until: float
    own: bool
    """Whether it is its sender's deadline, and not our patience, that ends the wait."""


class _Kind:
    """The times of one command or query in this window, and what one takes undisturbed (None: not known yet)."""

    __slots__ = ("calm_s", "count", "total_s")

    def __init__(self) -> None:
        self.calm_s: float | None = None
        self.count, self.total_s = 0, 0.0

    def settle(self, calm: bool) -> float:
        """End the window; returns the seconds by which all its calls together were held up."""
        count, total_s, self.count, self.total_s = self.count, self.total_s, 0, 0.0
        if not count:
            return 0.0
        mean_s = total_s / count
        if self.calm_s is None:
            self.calm_s = mean_s
        elif mean_s < self.calm_s:
            self.calm_s += _NEWS * (mean_s - self.calm_s)
        elif calm:
            self.calm_s += _OLD_NEWS * (mean_s - self.calm_s)
        return total_s - count * self.calm_s


class ConcurrencyLimit:
    """Lets in as many as `limit` says, and others when one leaves or not at all: `if not limit.take(): await
    limit.turn()`, and in the end `limit.leave(...)`.

    The limit is between `least` (so few can't hold each other up: a time with no more at work counts as undisturbed)
    and `most`. `delay_s` is how much longer than undisturbed the mean may take. `newest_first` lets in who came last:
    under overload it is the one whose sender is most likely still there.
    """

    def __init__(
        self,
        what: str,
        *,
        least: int,
        start: int,
        most: int,
        delay_s: float,
        wait_s: float,
        newest_first: bool = False,
        adaptive: bool = True,
    ) -> None:
        self._what, self._least, self._most = what, min(least, most), most
        self._delay_s, self._wait_s, self._newest_first, self._adaptive = delay_s, wait_s, newest_first, adaptive
        self.limit = min(start, most) if adaptive else most
        self.inside = 0
        self.shed: Counter[str] = Counter(wait=0, deadline=0)
        self.gives_way: ConcurrencyLimit | None = None
        """Whose limit is cut before this one's: what matters less, where both share a processor."""
        self._yields_until = 0.0
        self._waiting: deque[_Waiter] = deque()
        self._kinds: defaultdict[str, _Kind] = defaultdict(_Kind)
        self._began = self._ends = 0.0
        self._peak = 0
        self._pressed = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait to be let in."""
        return len(self._waiting)

    # --- in and out ---

    def take(self) -> bool:
        """Go in, if there is room."""
        if self.inside >= self.limit:
            return False
        self.inside += 1
        if self.inside > self._peak:
            self._peak = self.inside
        return True

    async def turn(self, timeout_s: float | None = None) -> None:
        """Wait to be let in; OverloadedError when that takes too long, TimeoutError after the sender's own time."""
        self._pressed = True
        loop = asyncio.get_running_loop()
        wait_s = self._wait_s if timeout_s is None else min(timeout_s, self._wait_s)
        waiter = _Waiter(loop.create_future(), loop.time() + wait_s, wait_s < self._wait_s)
        self._waiting.append(waiter)
        if self._timer is None:
            self._timer = loop.call_later(self._wait_s / _LOOKS_PER_WAIT, self._look)
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self.inside -= 1  # it was let in at the moment when its sender left
                self._let_in()
            raise

    def leave(self, kind: str, began: float, ended: float) -> None:
        """Come out. `began` and `ended` are `time.perf_counter` when it was let in, and now."""
        self.inside -= 1
        if began >= self._began:  # else its time tells of the limit before
            times = self._kinds[kind]
            times.count += 1
            times.total_s += ended - began
            if ended >= self._ends:
                self._end_window(ended)
        if self._waiting:
            self._let_in()

    def _let_in(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and self.inside < self.limit:
            waiter = self._waiting.pop() if self._newest_first else self._waiting.popleft()
            if waiter.future.done():
                continue  # its sender is gone
            if waiter.until <= now:
                self._refuse(waiter)
            else:
                self.take()
                waiter.future.set_result(None)

    def _look(self) -> None:
        """Send those away who have waited for too long."""
        loop = asyncio.get_running_loop()
        now, waiting = loop.time(), self._waiting
        self._waiting = deque(each for each in waiting if each.until > now and not each.future.done())
        for waiter in waiting:
            if waiter.until <= now and not waiter.future.done():
                self._refuse(waiter)
        again = bool(self._waiting)
        self._timer = loop.call_later(self._wait_s / _LOOKS_PER_WAIT, self._look) if again else None

    def _refuse(self, waiter: _Waiter) -> None:
        self.shed["deadline" if waiter.own else "wait"] += 1
        refusal = TimeoutError() if waiter.own else OverloadedError(self._what, self.limit, self._wait_s)
        waiter.future.set_exception(refusal)

    # --- the limit ---

    def _end_window(self, now: float) -> None:
        """Judge what has come out since the last time, once there is enough of it."""
        count = sum(each.count for each in self._kinds.values())
        if count < _SAMPLES and now - self._began < _LONGEST_WINDOW_S:
            return
        calm, mean_s = self._peak <= self._least, sum(each.total_s for each in self._kinds.values()) / count
        held_up_s = sum(each.settle(calm) for each in self._kinds.values()) / count
        if self._adaptive:
            self._adapt(now, mean_s, 0.0 if calm else held_up_s)
        self._began, self._ends = now, now + max(_WINDOW_S, min(mean_s, _LONGEST_WINDOW_S))
        self._peak, self._pressed = self.inside, bool(self._waiting)

    def _adapt(self, now: float, mean_s: float, held_up_s: float) -> None:
        calm_s = mean_s - held_up_s
        tolerated_s = self._delay_s + _TOLERANCE * calm_s
        factor = (calm_s + tolerated_s) / mean_s if mean_s else _LARGEST_GROWTH
        if held_up_s > tolerated_s:
            if self.gives_way is None or not self.gives_way.give_way(now, factor):
                self._cut(factor, min(self._least, self.limit))
        elif self._pressed and now >= self._yields_until:
            self.limit = min(self._most, round(self.limit * min(factor, _LARGEST_GROWTH)) + 1)

    def give_way(self, now: float, factor: float) -> bool:
        """Let fewer in for the sake of what matters more, for a while; False when no fewer can be let in."""
        self._yields_until = now + _YIELD_S
        if self.limit <= 1:
            return False
        self._cut(factor, 1)
        return True

    def _cut(self, factor: float, least: int) -> None:
        self.limit = max(least, round(min(self.limit, self._peak) * max(factor, _LARGEST_CUT)))
