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


class _Holder:
    """The calls in flight of a team or an address, and their bytes."""

    __slots__ = ("bytes", "calls", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self.calls = 0
        self.bytes = 0


class Shares:
    """The calls and bytes in flight. Outlives reloads, so each method takes the current limits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.calls = 0
        self.bytes = 0
        self._clock = clock
        self._holders: dict[str, _Holder] = {}  # by "team NAME" or "address ADDRESS", with calls in flight
        self._strangers: dict[str, tuple[float, float]] = {}  # address -> tries left, and the time of that count
        self._parts: tuple[Limits | None, tuple[int, int, int, int]] = (None, (0, 0, 0, 0))

    def enter(self, limits: Limits, address: str, known: Callable[[], object] | None = None) -> Ticket:
        """A call begins; `known` is called once its key is found valid. Raises Refusal(overloaded)."""
        if self.calls >= limits.max_calls:
            raise _overloaded("The gateway has reached its maximum of calls in flight (server.max_calls).")
        parts = self.parts(limits)
        holder = self.holder(f"address {address}")
        if holder.calls >= parts[0]:
            raise _overloaded(f"Your address has {parts[0]} calls in flight, its share (server.address_share).")
        return Ticket(self, limits, holder, known)

    def holder(self, key: str) -> _Holder:
        """What a team or an address holds."""
        return self._holders.get(key) or _Holder(key)

    def keep(self, holder: _Holder) -> None:
        """A call begins for a team or an address."""
        if not holder.calls:
            self._holders[holder.key] = holder
        holder.calls += 1

    def drop(self, holder: _Holder, size: int) -> None:
        """A call that holds `size` bytes has ended. Who has no calls is forgotten."""
        holder.calls -= 1
        holder.bytes -= size
        if not holder.calls:
            del self._holders[holder.key]

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

    __slots__ = ("_address", "_bytes", "_known", "_limits", "_shares", "_team")

    def __init__(self, shares: Shares, limits: Limits, address: _Holder, known: Callable[[], object] | None) -> None:
        self._shares = shares
        self._limits = limits
        self._address = address
        self._team: _Holder | None = None
        self._known = known
        self._bytes = 0
        shares.calls += 1
        shares.keep(address)

    @property
    def address(self) -> str:
        """The address of the caller: see `place`."""
        return self._address.key.removeprefix("address ")

    def claim(self, team: str) -> None:
        """Assign the call to a team. Raises Refusal(overloaded)."""
        shares = self._shares
        parts = shares.parts(self._limits)
        holder = shares.holder(f"team {team}")
        if holder.calls >= parts[1]:
            raise _overloaded(f"Your team has {parts[1]} calls in flight, its share (server.team_share).")
        shares.keep(holder)
        holder.bytes += self._bytes
        self._team = holder
        if self._known is not None:
            self._known()

    def stranger(self) -> Refusal | None:
        """Count the call as one without a valid key: see `Shares.stranger`."""
        return self._shares.stranger(self._limits, self.address)

    def hold(self, size: int) -> None:
        """Hold `size` more bytes until the call ends. Raises Refusal(overloaded)."""
        shares, address, team = self._shares, self._address, self._team
        if shares.bytes + size > self._limits.max_buffered:
            raise _overloaded("The gateway has reached its maximum of buffered bytes (server.max_buffered).")
        _, _, of_address, of_team = shares.parts(self._limits)
        if address.bytes + size > of_address:
            raise _too_many(address, of_address)
        if team is not None:
            if team.bytes + size > of_team:
                raise _too_many(team, of_team)
            team.bytes += size
        address.bytes += size
        shares.bytes += size
        self._bytes += size

    def close(self) -> None:
        """The call has ended."""
        shares, size = self._shares, self._bytes
        shares.calls -= 1
        shares.bytes -= size
        shares.drop(self._address, size)
        if self._team is not None:
            shares.drop(self._team, size)


class Uncounted(Ticket):
    """The ticket of a call outside the line, which is not counted and holds nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    @property
    def address(self) -> str:
        """No client has called."""
        return ""

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


def _too_many(holder: _Holder, most: int) -> Refusal:
    who = holder.key.partition(" ")[0]
    return _overloaded(f"Your {who} has more than {most} bytes in flight, its share (server.{who}_share).")
