"""Fair shares of the gateway: calls and bytes in flight, in total, by team and by client address.

Config keys: `server.max_calls`, `max_buffered`, `team_share`, `address_share`, `max_wrong_keys`. Refuses with
overloaded and rate_limited. No team and no address can take all of the capacity, so others are always served. Calls
without a valid key are counted by address; calls with a valid key from that address are still served.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network
from typing import Final, Protocol

from gateway.errors import Refusal

_SOON: Final = 1.0  # Retry-After in seconds
_MINUTE: Final = 60.0
_STRANGERS: Final = 10_000  # addresses with wrong keys that are remembered


class Limits(Protocol):
    """The settings of `config.Server` for shares."""

    @property
    def max_calls(self) -> int: ...
    @property
    def max_buffered(self) -> int: ...
    @property
    def team_share(self) -> float: ...
    @property
    def address_share(self) -> float: ...
    @property
    def max_wrong_keys(self) -> int: ...


def part(whole: int, share: float) -> int:
    """A share of a whole, at least 1."""
    return max(1, int(whole * share))


def place(client: tuple[str, int] | None) -> str:
    """The address of a client for shares: for IPv6 the /64 network, since one host may use all of its addresses."""
    host = client[0] if client else ""
    if ":" not in host:
        return host
    try:
        return str(ip_network((int(IPv6Address(host.partition("%")[0])) >> 64 << 64, 64)))
    except ValueError:
        return host


class Shares:
    """The calls and bytes in flight. Outlives reloads, so each method takes the current limits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.calls = 0
        self.bytes = 0
        self._clock = clock
        self._calls: dict[str, int] = {}  # by "team NAME" or "address ADDRESS"
        self._bytes: dict[str, int] = {}
        self._strangers: dict[str, tuple[float, float]] = {}  # address -> tries left, and the time of that count
        self._parts: tuple[Limits | None, tuple[int, int, int, int]] = (None, (0, 0, 0, 0))

    def enter(self, limits: Limits, address: str, known: Callable[[], object] | None = None) -> Ticket:
        """A call begins; `known` is called once its key is found valid. Raises Refusal(overloaded)."""
        if self.calls >= limits.max_calls:
            raise _overloaded("The gateway has reached its maximum of calls in flight (server.max_calls).")
        key = f"address {address}"
        most = self.parts(limits)[0]
        if self._calls.get(key, 0) >= most:
            raise _overloaded(f"Your address has {most} calls in flight, its share (server.address_share).")
        return Ticket(self, limits, key, known)

    def parts(self, limits: Limits) -> tuple[int, int, int, int]:
        """The share of an address and of a team: of calls, and of bytes. Worked out once for each configuration."""
        if self._parts[0] is not limits:
            calls, held, address, team = limits.max_calls, limits.max_buffered, limits.address_share, limits.team_share
            shares = part(calls, address), part(calls, team), part(held, address), part(held, team)
            self._parts = limits, shares
        return self._parts[1]

    def stranger(self, limits: Limits, address: str) -> Refusal | None:
        """Count a call without a valid key; returns the refusal if its address exceeds `max_wrong_keys`."""
        rate, now = limits.max_wrong_keys / _MINUTE, self._clock()
        left, since = self._strangers.pop(address, (float(limits.max_wrong_keys), now))
        left = min(limits.max_wrong_keys, left + (now - since) * rate)
        if len(self._strangers) >= _STRANGERS:
            del self._strangers[next(iter(self._strangers))]
        self._strangers[address] = (max(0.0, left - 1), now)
        if left >= 1:
            return None
        words = (
            f"Your address made more than {limits.max_wrong_keys} calls a minute without a valid key "
            "(server.max_wrong_keys). Use the key that the operator of the gateway gave you."
        )
        return Refusal("rate_limited", words, retry_after=(1 - left) / rate if rate else _MINUTE)


class Ticket:
    """The share of one call, until `close`."""

    __slots__ = ("_bytes", "_keys", "_known", "_limits", "_shares")

    def __init__(self, shares: Shares, limits: Limits, address: str, known: Callable[[], object] | None) -> None:
        self._shares = shares
        self._limits = limits
        self._keys = [address]
        self._known = known
        self._bytes = 0
        shares.calls += 1
        shares._calls[address] = shares._calls.get(address, 0) + 1

    def claim(self, team: str) -> None:
        """Assign the call to a team. Raises Refusal(overloaded)."""
        key, shares = f"team {team}", self._shares
        calls = shares._calls.get(key, 0)
        most = shares.parts(self._limits)[1]
        if calls >= most:
            raise _overloaded(f"Your team has {most} calls in flight, its share (server.team_share).")
        shares._calls[key] = calls + 1
        shares._bytes[key] = shares._bytes.get(key, 0) + self._bytes
        self._keys.append(key)
        if self._known is not None:
            self._known()

    def stranger(self) -> Refusal | None:
        """Count the call as one without a valid key: see `Shares.stranger`."""
        return self._shares.stranger(self._limits, self._keys[0].removeprefix("address "))

    def hold(self, size: int) -> None:
        """Hold `size` more bytes until the call ends. Raises Refusal(overloaded)."""
        shares, limits = self._shares, self._limits
        if shares.bytes + size > limits.max_buffered:
            raise _overloaded("The gateway has reached its maximum of buffered bytes (server.max_buffered).")
        held, after = shares._bytes, list[int]()
        for key, most in zip(self._keys, shares.parts(limits)[2:], strict=False):
            sum_ = held[key] + size if key in held else size
            if sum_ > most:
                who = key.partition(" ")[0]
                raise _overloaded(f"Your {who} has more than {most} bytes in flight, its share (server.{who}_share).")
            after.append(sum_)
        shares.bytes += size
        self._bytes += size
        for key, sum_ in zip(self._keys, after, strict=True):
            held[key] = sum_

    def close(self) -> None:
        """The call has ended."""
        shares = self._shares
        shares.calls -= 1
        shares.bytes -= self._bytes
        size, calls, held = self._bytes, shares._calls, shares._bytes
        for key in self._keys:  # zero is not kept
            if (left := calls[key] - 1) > 0:
                calls[key] = left
            else:
                del calls[key]
            if (left := held.get(key, 0) - size) > 0:
                held[key] = left
            else:
                held.pop(key, None)


class Uncounted(Ticket):
    """The ticket of a call outside the line, which is not counted and holds nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    def claim(self, team: str) -> None:
        """No team's share is taken."""

    def stranger(self) -> Refusal | None:
        """Its key is not counted."""
        return None

    def hold(self, size: int) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing was taken."""


UNCOUNTED: Final = Uncounted()


def _overloaded(why: str) -> Refusal:
    return Refusal("overloaded", f"{why} Try again shortly.", retry_after=_SOON)
