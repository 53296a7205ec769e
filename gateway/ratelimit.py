"""Which token buckets a call must pay, and the headers that tell how full they are. Config key: `limits`.

Only describes: the store takes. Refused as `rate_limited`. Request buckets pay one, token buckets the estimate
(input + output ceiling) and get back what was not used.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import quote

from gateway.call import Balance, Debit, Rejection, Reservation, Subject, Unit
from gateway.config import Limit

_CACHED = 8192  # callers' combinations of agent, team, model and providers kept ready
_LONGEST = 999_999_999_999_999  # the largest structured-field integer, RFC 9651 section 3.3.1


_COUNTED: tuple[Unit, ...] = ("requests", "tokens")
_NAMES = {
    unit: tuple(f"x-ratelimit-{what}-{unit}".encode() for what in ("limit", "remaining", "reset")) for unit in _COUNTED
}


class _Named(NamedTuple):
    """A configured limit, ready to use: its place in the file, its name in headers and messages, what it counts."""

    place: int
    name: str
    unit: Unit
    limit: Limit
    refill: float
    burst: int
    window: int


class RateLimits:
    """The configured limits. Pure; `debits` is a look-up once a combination of names has been seen."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self._limits = tuple(_named(limits))
        self._buckets = functools.lru_cache(_CACHED)(self._match)

    def debits(self, subject: Subject, model: str, providers: Sequence[str], tokens: int) -> list[Debit]:
        """One debit for each bucket that applies. `tokens` is the estimate; `providers` those that may be called."""
        found = self._buckets(subject.agent, subject.team, model, tuple(providers))
        return [
            it if it.unit == "requests" else Debit(it.key, it.unit, tokens, it.limit, it.name, it.refill, it.window)
            for it in found
        ]

    def headers(self, outcome: Reservation | Rejection, debits: Sequence[Debit]) -> list[tuple[bytes, bytes]]:
        """`RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11) and the `x-ratelimit-*` family.

        After a rejection only the bucket that refused is known; after one by a quota, only the policies.
        """
        if isinstance(outcome, Reservation):
            known = [pair for pair in zip(outcome.ask.debits, outcome.balances, strict=True) if pair[0].refill]
            buckets = tuple([(it.name, it.unit, it.refill, it.window) for it, _ in known])
        else:
            known = _refused(outcome, debits)
            buckets = tuple([(it.name, it.unit, it.refill, it.window) for it in debits if it.refill])
        if not buckets:
            return []
        headers = [_policy(buckets)]
        if known:
            headers.append((b"ratelimit", ", ".join([_state(*pair) for pair in known]).encode()))
        tightest: dict[Unit, tuple[Debit, Balance]] = {}
        for pair in known:
            other = tightest.get(pair[0].unit)
            if other is None or pair[1].remaining < other[1].remaining:
                tightest[pair[0].unit] = pair
        for unit in _NAMES:
            if unit in tightest:
                headers += _family(*tightest[unit])
        return headers

    def _match(self, agent: str, team: str, model: str, providers: tuple[str, ...]) -> tuple[Debit, ...]:
        found: dict[str, Debit] = {}
        for it in self._limits:
            match = it.limit.match
            through = [name for name in providers if fnmatchcase(name, match.provider)]
            names = ((agent, match.agent), (team, match.team), (model, match.model))
            if not all(fnmatchcase(name, pattern) for name, pattern in names):
                continue
            if not through and match.provider != "*":
                continue
            for owner in _owners(it.limit.per, agent, team, model, through):
                # The rate is part of the key: when an operator changes a limit, its buckets start afresh.
                key = f"{owner}:{it.place}:{it.refill:g}/{it.burst}"
                found[key] = Debit(key, it.unit, 1, it.burst, it.name, it.refill, it.window)
        return tuple(found.values())


def _named(limits: tuple[Limit, ...]) -> Iterator[_Named]:
    """Names like `agent-requests`; the second of a kind is `agent-requests-2`."""
    seen: dict[str, int] = {}
    for index, limit in enumerate(limits):
        unit: Unit = "requests" if limit.requests else "tokens"
        rate = limit.requests or limit.tokens
        if rate is None:
            raise ValueError(f"limits[{index}] counts neither requests nor tokens")
        name = f"{limit.per}-{unit}"
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = f"{name}-{seen[name]}"
        window = max(1, round(rate.seconds))
        yield _Named(index, name, unit, limit, rate.units / rate.seconds, limit.burst or rate.units, window)


def _owners(per: str, agent: str, team: str, model: str, providers: Sequence[str]) -> list[str]:
    """The first word says whose bucket it is (the Redis store places it by that); names cannot forge another's."""
    if per == "agent":
        return [f"agent:{_part(team)}:{_part(agent)}"]
    if per == "team":
        return [f"team:{_part(team)}"]
    if per == "model":
        return [f"model:{_part(model)}"]
    return [f"provider:{_part(provider)}" for provider in providers]


def elsewhere(debits: Sequence[Debit], provider: str) -> dict[str, int]:
    """Nothing, for each token bucket of a provider that did not serve: a failover settles only with who answered."""
    owner = f"provider:{_part(provider)}:"
    return {
        debit.key: 0
        for debit in debits
        if debit.unit == "tokens" and debit.key.startswith("provider:") and not debit.key.startswith(owner)
    }


def _part(name: str) -> str:
    return quote(name, safe="")


def _refused(outcome: Rejection, debits: Sequence[Debit]) -> list[tuple[Debit, Balance]]:
    """The bucket that refused, and how it stands."""
    if outcome.reason != "rate":
        return []
    debit = debits[outcome.index]
    return [(debit, Balance(max(0, debit.limit - outcome.used), outcome.used / debit.refill))]


@functools.lru_cache(1024)
def _policy(buckets: tuple[tuple[str, str, float, int], ...]) -> tuple[bytes, bytes]:
    """`RateLimit-Policy` for buckets given as name, unit, refill and window."""
    items = []
    for name, unit, refill, window in buckets:
        quota = min(_LONGEST, round(refill * window))
        qualified = "" if unit == "requests" else f';qu="{unit}"'  # requests is the draft's default
        items.append(f'"{name}";q={quota}{qualified};w={window}')
    return b"ratelimit-policy", ", ".join(items).encode()


def _state(debit: Debit, balance: Balance) -> str:
    return f'"{debit.name}";r={min(_LONGEST, max(0, balance.remaining))};t={-int(-balance.reset // 1)}'


def _family(debit: Debit, balance: Balance) -> list[tuple[bytes, bytes]]:
    limit, remaining, reset = _NAMES[debit.unit]
    return [
        (limit, b"%d" % debit.limit),
        (remaining, b"%d" % balance.remaining),
        (reset, duration(balance.reset).encode()),
    ]


def duration(seconds: float) -> str:
    """OpenAI's form of a time to wait: `6m0s`, `1s`, `20ms`, `1h2m3.5s`; rounded up to a millisecond."""
    ms = max(0, -int(-seconds * 1000 // 1))
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail
