"""The health of all targets, for the life of the process: it outlives reloads. Shared with other gateways over Redis.

Each second, `exchange` tells the store which circuits opened or closed here, and learns what other gateways found. A
store that does not answer changes nothing: each gateway then finds out alone.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b

from gateway.call import Target
from gateway.config.routing import Routing
from gateway.stores import Outages, StoreUnavailable
from gateway.upstream.circuit import Circuit, Rules
from gateway.upstream.failures import Failed
from gateway.upstream.retries import RetryBudget
from gateway.upstream.retries import Rules as Retries
from gateway.upstream.window import Window

_MOST = 4096  # targets that are remembered: with models by a pattern, they come and go
_COUNTED = frozenset({"down", "cut", "slow", "denied"})  # kinds of failures that open a circuit
_DENIED = 60.0  # seconds for which a key that was refused is not used, where there are others
_WEIGHT = 0.2  # of the newest measured time
_STALE = 60.0  # seconds after which a measured time is measured again
_MOST_SERVED = 65_536  # workflows whose target is remembered
_ORDER = {"closed": 0, "half_open": 1, "open": 2}


class Account:
    """One key of a provider, for one target. `name`: see `Provider.keys`. `busy`: calls in flight."""

    __slots__ = ("busy", "health", "name", "window")

    def __init__(self, health: Health, name: str) -> None:
        self.health = health
        self.name = name
        self.busy = 0
        self.window = Window(health.provider)


class Health:
    """What is known of one target. `name`: as the store knows the target. `budget`: of all calls to its provider.

    `accounts`: one for each key of the provider; `account` is the first. `several`: there are more.
    """

    __slots__ = (
        *("account", "accounts", "budget", "busy", "circuit"),
        *("first", "measured", "name", "provider", "several"),
    )

    def __init__(self, provider: str, name: str, circuit: Circuit, budget: RetryBudget) -> None:
        self.provider = provider
        self.name = name
        self.circuit = circuit
        self.budget = budget
        self.account = Account(self, "")
        self.accounts: dict[str, Account] = {"": self.account}
        self.several = False
        self.busy = 0  # calls in flight
        self.first = 0.0  # seconds to the first byte, the newer the more they count; 0: not measured
        self.measured = 0.0  # when that was measured last, in seconds of `time.monotonic`

    def keyed(self, names: Iterable[str], *, ignores: bool) -> None:
        """The provider has keys of these names; what is known of one that stays is kept."""
        self.accounts = {name: self.accounts.get(name) or Account(self, name) for name in names}
        self.account = next(iter(self.accounts.values()))
        self.several = len(self.accounts) > 1
        for account in self.accounts.values():
            account.window.ignore(ignores=ignores)

    def chosen(self, only: str) -> list[Account]:
        """The accounts in the order of attempts: the least busy first. `only`: the one that has the call's state."""
        if only in self.accounts:
            return [self.accounts[only]]
        return sorted(self.accounts.values(), key=lambda one: (one.busy, random.random()))  # noqa: S311

    def measure(self, seconds: float, now: float) -> None:
        """An answer took this long to begin."""
        self.first = seconds if not self.first else self.first + _WEIGHT * (seconds - self.first)
        self.measured = now

    def expected(self) -> float:
        """Seconds to the first byte. A target that was not called for a while is tried by one call."""
        stale = not self.first or time.monotonic() - self.measured > _STALE
        return 0.0 if stale and not self.busy else self.first or 1.0


class Healths:
    """The health of every target that was called. `states`: provider -> 1 if its last call was answered, else 0."""

    def __init__(self, states: dict[str, int] | None = None) -> None:
        self.states = {} if states is None else states
        self.rules = Rules()
        self.retries = Retries()
        self.heeds = True  # the providers' own rate limits
        self.keys: Mapping[str, Iterable[str]] = {}
        self.served: dict[bytes, tuple[Target, str]] = {}  # the last target and account of a workflow with a choice
        self._known: dict[Target, Health] = {}
        self._budgets: defaultdict[str, RetryBudget] = defaultdict(RetryBudget)  # by provider
        self._changed: dict[str, Health] = {}  # whose circuit opened or closed, and the store does not know
        self._shut: Mapping[str, tuple[float, int]] = {}  # as other gateways found: name -> until, level

    def follow(self, routing: Routing, keys: Mapping[str, Iterable[str]] | None = None) -> None:
        """Use these settings from now on; the states stay. `keys`: the names of the keys of each provider."""
        self.keys = keys or {}
        breaker = routing.breaker
        if breaker is None:
            self.rules = Rules(failures=sys.maxsize, calls=sys.maxsize)
        else:
            waits = (breaker.window, breaker.wait, breaker.max_wait)
            self.rules = Rules(breaker.failures, breaker.ratio, breaker.calls, *waits)
        times = (routing.wait, routing.queue, routing.hedge)
        self.retries = Retries(routing.retries, routing.retry_ratio, routing.retry_minimum, *times)
        self.heeds = routing.provider_limits == "heed"
        for health in self._known.values():
            health.circuit.rules = self.rules
            health.keyed(self.keys.get(health.provider, ("",)), ignores=not self.heeds)

    def of(self, target: Target) -> Health:
        """The health of a target."""
        health = self._known.get(target)
        return health if health is not None else self._new(target)

    def _new(self, target: Target) -> Health:
        if len(self._known) >= _MOST:
            kept = {key: health for key, health in self._known.items() if not health.circuit.closed}
            self._known = kept if len(kept) < _MOST else {}
        name = blake2b("\0".join(target).encode(), digest_size=16).hexdigest()
        circuit = Circuit(self.rules)
        if name in self._shut:
            circuit.open(*self._shut[name])
        health = self._known[target] = Health(target.provider, name, circuit, self._budgets[target.provider])
        health.keyed(self.keys.get(target.provider, ("",)), ignores=not self.heeds)
        circuit.tell = lambda: self._changed.__setitem__(name, health)
        return health

    def answered(self, account: Account) -> None:
        """The target began to answer."""
        health = account.health
        health.circuit.answered()
        account.window.refused = 0
        self.states[health.provider] = 1

    def remember(self, workflow: bytes, target: Target, account: str) -> None:
        """A target has answered a call of the workflow."""
        served = self.served
        served.pop(workflow, None)
        if len(served) >= _MOST_SERVED:
            del served[next(iter(served))]
        served[workflow] = target, account

    def ended(self, health: Health, answered: bool, probes: bool) -> None:
        """A call ended without an answer, and not for a failure: the request was refused, or its caller has gone.

        `probes`: the call was the probe of an open circuit.
        """
        if answered:
            health.circuit.answered()
        elif probes:
            health.circuit.let_go()

    def failed(self, account: Account, fault: Failed, probes: bool) -> None:
        """A call failed. `probes`: the call was the probe of an open circuit."""
        health, now = account.health, time.monotonic()
        self.states[health.provider] = 0
        if fault.kind == "limited":
            account.window.limited(now, fault.retry_after)
        aside = fault.kind == "denied" and health.several
        if aside:
            account.window.shut(now + _DENIED)
        if fault.kind in _COUNTED and not aside:
            health.circuit.failed(now)
        elif probes:
            health.circuit.let_go()

    def renew(self, target: Target) -> None:
        """The target is another one from now on: what was known of it counts no more."""
        health = self._known.get(target)
        if health is not None and not health.circuit.closed:
            health.circuit.answered()

    def waiting(self) -> dict[str, int]:
        """Provider -> number of calls that wait for its rate limits."""
        found: Counter[str] = Counter()
        for target, health in self._known.items():
            found[target.provider] += sum(account.window.size for account in health.accounts.values())
        return found

    def circuits(self) -> Iterator[tuple[str, str, int]]:
        """Provider, state and number of its targets in this state."""
        now = time.monotonic()
        found = Counter((health.provider, health.circuit.state(now)) for health in self._known.values())
        for (provider, state), number in sorted(found.items()):
            yield provider, state, number

    def troubled(self) -> dict[str, str]:
        """The providers that have a target whose circuit is not closed, with the worst state."""
        found: dict[str, str] = {}
        for provider, state, _ in self.circuits():
            if state != "closed" and _ORDER[state] > _ORDER[found.get(provider, "closed")]:
                found[provider] = state
        return found

    async def may_probe(self, health: Health, outages: Outages | None, seconds: float) -> bool:
        """Whether this call is the one that probes an open circuit, among all gateways, for at most `seconds`."""
        if not health.circuit.may_probe(time.monotonic()):
            return False
        try:
            if outages is None or await outages.probe(health.name, seconds):
                return True
        except StoreUnavailable:
            return True
        except BaseException:
            health.circuit.let_go()
            raise
        health.circuit.let_go()
        return False

    async def exchange(self, outages: Outages) -> None:
        """Tell the store what changed, and take over what other gateways found. To be called each second."""
        with contextlib.suppress(StoreUnavailable):
            now = time.monotonic()
            for name, health in list(self._changed.items()):
                circuit = health.circuit
                if circuit.closed:
                    await outages.reopen(name)
                else:
                    await outages.shut(name, circuit.until - now, circuit.level)
                self._changed.pop(name, None)
            told = await outages.outages()
            now = time.monotonic()
            before, self._shut = self._shut, {name: (now + left, level) for name, (left, level) in told.items()}
            for health in self._known.values():
                if health.name not in self._changed:
                    self._take_over(health, was=health.name in before)

    def _take_over(self, health: Health, *, was: bool) -> None:
        circuit, shut = health.circuit, self._shut.get(health.name)
        if shut is None:
            if was and not circuit.closed:
                circuit.close()
        elif not circuit.probing and (circuit.closed or shut[1] > circuit.level):
            circuit.open(*shut)
