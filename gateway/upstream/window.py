"""What a provider's own rate limits let pass: one window for each key of a provider and model.

A window is shut after a 429 until the time that the provider named, and knows from the headers of answers how many
calls and tokens are left. Calls that find no room wait in its queue: bounded, and fair, since teams take turns. After
`BELIEVED` seconds at most, a call tries whether there is room before the time that the provider named.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.errors import Refusal
from gateway.upstream.failures import Failed
from gateway.upstream.ratelimits import BELIEVED, Told

_FIRST: Final = 1.0  # seconds that a window is shut after a 429 without a time; twice as long after each further one
_LONGEST: Final = 60.0
_ROUNDING: Final = 1e-3  # requests or tokens
_APART: Final = 0.1  # seconds between two waiting calls, where no rate is known


class Bucket:
    """What is left of one limit, as far as is known: refilled evenly, and corrected by each answer. `now`: seconds.

    `tries`: a call is in flight although nothing is known to be left, so that the next answer counts.
    """

    __slots__ = ("at", "left", "limit", "rate", "tries")

    def __init__(self, told: Told, now: float) -> None:
        self.limit, self.left, self.at = told.limit, told.remaining, now
        self.rate, self.tries = 0.0, False
        self.learn(told, now)

    def learn(self, told: Told, now: float) -> None:
        """What an answer says. Calls that the provider has not counted yet are in our own count alone."""
        self.left = told.remaining if self.tries else min(self.now(now), told.remaining)
        self.limit, self.at, self.tries = told.limit, now, False
        self.rate = (told.limit - told.remaining) / max(told.reset, 0.001)
        if told.remaining >= told.limit:
            self.left, self.rate = told.remaining, told.limit

    def now(self, now: float) -> float:
        """What is left now."""
        return min(self.limit, self.left + self.rate * (now - self.at))

    def wait(self, amount: float, now: float) -> float:
        """Seconds until there is room for an amount; of a larger amount than the limit, all of the limit."""
        lacks = min(amount, self.limit) - self.now(now)
        if lacks <= 0:
            return 0.0
        return min(lacks / self.rate if self.rate > 0 else _LONGEST, max(0.0, self.at + BELIEVED - now))

    def take(self, amount: float, now: float) -> None:
        """Take an amount."""
        left = self.now(now) - min(amount, self.limit)
        self.left, self.at, self.tries = max(0.0, left), now, self.tries or left < -_ROUNDING


class _Waiter(NamedTuple):
    tokens: int
    turn: asyncio.Future[None]


class Window:
    """The window. For one event loop. `guarded`: something is known, so that calls must ask; read for each call."""

    __slots__ = (
        "_granted",
        "_teams",
        "_timer",
        "buckets",
        "guarded",
        "ignores",
        "provider",
        "refused",
        "size",
        "until",
    )

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.guarded = False
        self.ignores = False  # what the provider says about its limits
        self.until = 0.0  # no call before this time, in seconds of `time.monotonic`
        self.refused = 0  # times in succession that the provider answered with 429
        self.buckets: dict[str, Bucket] = {}
        self.size = 0  # waiting calls
        self._teams: dict[str, deque[_Waiter]] = {}  # the waiting calls, the team with the next turn first
        self._timer: asyncio.TimerHandle | None = None
        self._granted = 0.0  # when a waiting call was last let through

    # what the provider says

    def limited(self, now: float, seconds: float | None) -> None:
        """The provider answered with 429, and named a time, or none."""
        if self.ignores:
            return
        if now >= self.until:  # else one of several calls that were in flight together
            self.refused += 1
        wait = min(_FIRST * 2.0 ** min(self.refused - 1, 30), _LONGEST) if seconds is None else seconds
        self.shut(now + min(wait, BELIEVED))

    def shut(self, until: float) -> None:
        """Let no call pass before this time."""
        self.until, self.guarded = max(self.until, until), True

    def learn(self, told: Iterable[Told], now: float) -> None:
        """The limits that an answer tells; of several of a unit, the one with the least left counts."""
        if self.ignores:
            return
        least: dict[str, Told] = {}
        for one in told:
            if one.unit not in least or one.remaining < least[one.unit].remaining:
                least[one.unit] = one
        for unit, one in least.items():
            if unit in self.buckets:
                self.buckets[unit].learn(one, now)
            else:
                self.buckets[unit] = Bucket(one, now)
            self.guarded = True
        self._let_through()

    def forget(self) -> None:
        """There is plenty of room again."""
        self.buckets.clear()
        self._let_through()

    def ignore(self, *, ignores: bool) -> None:
        """Ignore what the provider says from now on, or do not."""
        self.ignores = ignores
        if ignores:
            self.until, self.guarded = 0.0, False
            self.forget()

    # what calls ask

    def wait(self, tokens: int, now: float) -> float:
        """Seconds until there is room for a call, if nobody else takes it."""
        waits = [bucket.wait(tokens if unit == "tokens" else 1, now) for unit, bucket in self.buckets.items()]
        return max(0.0, self.until - now, *waits)

    def take(self, tokens: int, now: float) -> bool:
        """Whether a call may leave now; then it has taken its room. Nobody overtakes those who wait."""
        if self.size or self.wait(tokens, now) > 0:
            return False
        self._spend(tokens, now)
        return True

    def _spend(self, tokens: int, now: float) -> None:
        for unit, bucket in self.buckets.items():
            bucket.take(tokens if unit == "tokens" else 1, now)
        if not self.buckets and not self.size:
            self.guarded = False

    def expected(self, team: str, tokens: int, now: float) -> float:
        """Seconds until a call of the team would get its turn, at the pace that is known."""
        mine = len(self._teams.get(team, ())) + 1
        before = sum(min(len(waiting), mine) for waiting in self._teams.values())
        requests = self.buckets.get("requests")
        pace = min(1 / requests.rate, BELIEVED) if requests is not None and requests.rate > 0 else _APART
        return self.wait(tokens, now) + before * pace

    async def turn(self, team: str, tokens: int, seconds: float, most: int) -> None:
        """Wait for the turn of a call. Raises Failed after `seconds`, Refusal(overloaded) if `most` calls wait."""
        self._make_room(team, most)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(tokens, turn)
        self._teams.setdefault(team, deque()).append(waiter)
        self.size += 1
        self._let_through()
        try:
            async with asyncio.timeout(seconds):
                await turn
        except TimeoutError:
            raise self.late(team, tokens, seconds) from None
        finally:
            self._leave(team, waiter)

    def late(self, team: str, tokens: int, seconds: float) -> Failed:
        """The refusal of a call that would have to wait for longer than it may."""
        wait = max(1.0, self.expected(team, tokens, time.monotonic()))
        return Failed(
            "limited",
            f"The provider {self.provider} has no room for this call for about {wait:.0f} s: its own rate limit is "
            f"used up, and a call may wait {seconds:.0f} s (routing.wait). Try again then.",
            retry_after=wait,
        )

    def _make_room(self, team: str, most: int) -> None:
        """If the queue is full, the newest call of the team with most calls gives way, unless that is this team."""
        if self.size < most:
            return
        longest = max(self._teams, key=lambda name: len(self._teams[name]), default=team)
        refusal = Refusal(
            "overloaded",
            f"{self.size} calls wait for the provider {self.provider}, whose own rate limit is used up; no more may "
            "wait (routing.queue). Try again later.",
            stage="upstream",
            retry_after=max(1.0, self.expected(team, 1, time.monotonic())),
        )
        if longest == team or len(self._teams[longest]) <= len(self._teams.get(team, ())) + 1:
            raise refusal
        waiter = self._teams[longest][-1]
        self._leave(longest, waiter)
        if not waiter.turn.done():
            waiter.turn.set_exception(refusal)

    def _leave(self, team: str, waiter: _Waiter) -> None:
        waiting = self._teams.get(team)
        if waiting is not None and waiter in waiting:
            waiting.remove(waiter)
            self.size -= 1
            if not waiting:
                del self._teams[team]
            self._let_through()

    def _let_through(self) -> None:
        """Give turns to waiting calls while there is room, and look again when there will be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._teams:
            team = next(iter(self._teams))
            waiter, now = self._teams[team][0], time.monotonic()
            wait = self.wait(waiter.tokens, now)
            if "requests" not in self.buckets:
                wait = max(wait, self._granted + _APART - now)
            if wait > 0:
                self._timer = asyncio.get_running_loop().call_later(wait, self._let_through)
                return
            self._granted = now
            waiting = self._teams.pop(team)
            waiting.popleft()
            self.size -= 1
            if waiting:
                self._teams[team] = waiting  # at the end: another team is next
            self._spend(waiter.tokens, now)
            if not waiter.turn.done():
                waiter.turn.set_result(None)
