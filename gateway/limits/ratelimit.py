"""The token buckets that a call must pay, and the headers with their levels. Config key: `limits`.

Describes debits, which the store takes. Error code: `rate_limited`. A call takes one unit from a request bucket, and
the estimate (input + output ceiling) from a token bucket, which gets the unused part back. A limit on a claim does not
apply to a token without that claim, and a limit on an attribute does not apply to a call without that attribute. Limits
on attributes are checked separately, after the policy. Tool calls pay only request buckets, and no buckets of a model
or a provider.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from gateway.amounts import Balance, Debit, Rejection, Reservation, Unit
from gateway.call import Subject
from gateway.config.limits import Limit
from gateway.identity.claims import claim

Key = TypeVar("Key")
Value = TypeVar("Value")
_CACHED = 8192  # cached combinations of caller and target
_LONGEST = 999_999_999_999_999  # the largest structured-field integer, RFC 9651 section 3.3.1
_LONGEST_NAME = 120  # characters of an owner in the key of a bucket; a longer name is replaced by its digest


_COUNTED: tuple[Unit, ...] = ("requests", "tokens")
_new = tuple.__new__  # a named tuple without the function that a call of its class runs
_NAMES = {
    unit: tuple(f"x-ratelimit-{what}-{unit}".encode() for what in ("limit", "remaining", "reset")) for unit in _COUNTED
}


class _Named(NamedTuple):
    """A configured limit with its name for headers and messages, and a digest of its settings."""

    name: str
    digest: str
    unit: Unit
    limit: Limit
    refill: float
    burst: int
    window: int


class _Buckets(NamedTuple):
    """The debits of a combination of caller and target. `priced`: those that take the estimate, with their index."""

    debits: tuple[Debit, ...]
    priced: tuple[tuple[int, Debit], ...]


class _Shown(NamedTuple):
    """What the headers say of a combination of buckets, apart from their levels.

    `distinct`: no two buckets have the same name for callers.
    """

    policy: tuple[bytes, bytes]
    distinct: bool


class _Asked(NamedTuple):
    """The properties of a call that determine its buckets.

    `claims`: the values of the claims that limits name. `attributes`: the values of the attributes that limits name;
    None before the decision of the policy.
    """

    agent: str
    team: str
    roles: tuple[str, ...]
    claims: tuple[str | None, ...]
    model: str
    providers: tuple[str, ...]
    tool: str
    stream: bool
    attributes: tuple[str | None, ...] | None = None


class RateLimits:
    """The configured limits. Pure; `debits` and `headers` are cache lookups for a known combination of names."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        named = tuple(_named(limits))
        self._limits = tuple(it for it in named if not it.limit.per.startswith("attributes."))
        self._late = tuple(it for it in named if it.limit.per.startswith("attributes."))
        scopes = dict.fromkeys(limit.per for limit in limits)
        self._claims = tuple(per.removeprefix("claims.") for per in scopes if per.startswith("claims."))
        self._attributes = tuple(per.removeprefix("attributes.") for per in scopes if per.startswith("attributes."))
        self._buckets: dict[_Asked, _Buckets] = {}
        self._shown: dict[tuple[str, ...], _Shown] = {}  # by the keys of buckets

    def debits(
        self,
        subject: Subject,
        model: str = "",
        providers: Sequence[str] = (),
        tokens: int = 0,
        *,
        tool: str = "",
        stream: bool = False,
        attributes: Mapping[str, str] | None = None,
    ) -> list[Debit]:
        """One debit for each bucket that applies to a call of a model or of a `tool`.

        `tokens`: the estimate. `providers`: all providers that may serve the call. `attributes`: assigned by the
        policy; if given, only the buckets for attributes are returned, otherwise all others.
        """
        given = None if attributes is None else tuple([_value(attributes.get(name)) for name in self._attributes])
        if given is not None and not any(given):
            return []
        claims = tuple([_value(claim(subject.claims, name)) for name in self._claims]) if self._claims else ()
        names = (subject.agent, subject.team, subject.roles, claims, model, tuple(providers), tool, stream, given)
        asked: _Asked = _new(_Asked, names)
        buckets = self._buckets.get(asked)
        if buckets is None:
            buckets = _remember(self._buckets, asked, self._match(asked))
        debits = list(buckets.debits)
        for index, (key, unit, _, limit, name, refill, window, partition) in buckets.priced:
            debits[index] = _new(Debit, (key, unit, tokens, limit, name, refill, window, partition))
        return debits

    def headers(self, outcome: Reservation | Rejection, debits: Sequence[Debit]) -> list[tuple[bytes, bytes]]:
        """`RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11) and the `x-ratelimit-*` family.

        After a rejection, only the level of the refusing bucket is known; after a rejection by a quota, the headers
        have no levels. Of buckets that differ only in a name that callers must not see (providers), the emptiest is
        shown.
        """
        if isinstance(outcome, Reservation):
            pairs = [pair for pair in zip(outcome.ask.debits, outcome.balances, strict=True) if pair[0].refill]
            shown = self._show([debit for debit, _ in pairs])
            known: Iterable[_Level] = pairs if shown is None or shown.distinct else _emptiest(pairs)
            wait = None
        else:
            shown = self._show([it for it in debits if it.refill])
            known, wait = _refused(outcome, debits)
        if shown is None:
            return []
        headers = [shown.policy]
        states: list[str] = []
        tightest: dict[Unit, tuple[int, int, float]] = {}
        # Members of a named tuple are taken all at once: by their names they would take ten times as long.
        for (_, unit, _, limit, name, refill, _, partition), (left, reset, _) in known:
            more = _until_more(limit, left, reset, refill) if wait is None else wait
            until = "" if more is None else f";t={more if more < _LONGEST else _LONGEST}"
            if unit not in tightest or left < tightest[unit][1]:
                tightest[unit] = limit, left, reset
            shown_left = left if 0 <= left <= _LONGEST else min(_LONGEST, max(0, left))
            states.append(f'"{name}";r={shown_left}{until}{partition and _pk(partition)}')
        if states:
            headers.append((b"ratelimit", ", ".join(states).encode()))
        for unit in _COUNTED:
            if unit in tightest:
                headers += _family(unit, *tightest[unit])
        return headers

    def _show(self, buckets: list[Debit]) -> _Shown | None:
        """What the headers say of these buckets, apart from their levels; None without any. Cached by their keys."""
        keys = tuple([debit.key for debit in buckets])
        shown = self._shown.get(keys)
        if shown is None and buckets:
            names = {(debit.name, debit.partition) for debit in buckets}
            shown = _remember(self._shown, keys, _Shown(_policy(buckets), distinct=len(names) == len(buckets)))
        return shown

    def _match(self, asked: _Asked) -> _Buckets:
        found: dict[str, Debit] = {}
        claims = dict(zip(self._claims, asked.claims, strict=True))
        attributes = dict(zip(self._attributes, asked.attributes or (), strict=False))
        for it in self._limits if asked.attributes is None else self._late:
            if not _counts(it, asked):
                continue
            for owner, partition in _owners(it.limit, asked, claims, attributes):
                # The digest of the limit is part of the key: a changed limit starts with new buckets.
                key = f"{owner}:{it.digest}"
                found[key] = Debit(key, it.unit, 1, it.burst, it.name, it.refill, it.window, partition)
        debits = tuple(found.values())
        return _Buckets(debits, tuple([(index, it) for index, it in enumerate(debits) if it.unit != "requests"]))


def _named(limits: tuple[Limit, ...]) -> Iterator[_Named]:
    """The limits with names such as `agent-requests`; the second limit of a kind is `agent-requests-2`."""
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
        digest = hashlib.sha256(limit.model_dump_json().encode()).hexdigest()[:12]
        yield _Named(name, digest, unit, limit, rate.units / rate.seconds, limit.burst or rate.units, window)


def _counts(it: _Named, asked: _Asked) -> bool:
    """Whether the limit counts this call."""
    match = it.limit.match
    if asked.tool:
        if it.unit == "tokens":
            return False
    elif it.limit.per == "tool" or match.tool != "*":
        return False
    names = (
        (asked.agent, match.agent),
        (asked.team, match.team),
        (asked.model, match.model),
        (asked.tool, match.tool),
    )
    return (
        all(fnmatchcase(name, pattern) for name, pattern in names)
        and _any(asked.roles, match.role)
        and _any(asked.providers, match.provider)
        and match.stream in (None, asked.stream)
    )


def _any(names: Iterable[str], pattern: str) -> bool:
    return pattern == "*" or any(fnmatchcase(name, pattern) for name in names)


_Level = tuple[Debit, Balance]
_Values = Mapping[str, str | None]  # of claims or attributes, by name


def _owners(limit: Limit, asked: _Asked, claims: _Values, attributes: _Values) -> list[tuple[str, str]]:
    """The owners of the buckets of a call, each with its partition key for headers ("" if the caller cannot choose).

    The first word of an owner is its kind, which determines the slot in Redis; names are quoted, so that none can
    imitate another owner.
    """
    match limit.per:
        case "agent":
            return [(f"agent:{_part(asked.team)}:{_part(asked.agent)}", "")]
        case "team":
            return [(f"team:{_part(asked.team)}", "")]
        case "model":
            return [(f"model:{_part(asked.model)}", _base64(asked.model.encode()))] if asked.model else []
        case "tool":
            return [(f"tool:{_part(asked.tool)}", _base64(asked.tool.encode()))]
        case "provider":
            return [(f"provider:{_part(it)}", "") for it in asked.providers if fnmatchcase(it, limit.match.provider)]
        case "role":
            return [(f"role:{_part(it)}", "") for it in asked.roles if fnmatchcase(it, limit.match.role)]
    kind, _, name = limit.per.partition(".")
    value = (claims if kind == "claims" else attributes).get(name)
    if value is None:
        return []
    # The header has a digest of the value, which only shows whether two values are equal.
    return [(f"{kind}:{_part(name)}:{value}", _base64(hashlib.sha256(value.encode()).digest()[:6]))]


def elsewhere(debits: Sequence[Debit], provider: str) -> dict[str, int]:
    """Zero for each token bucket of a provider that did not serve the call: only the serving provider's is charged."""
    shared = [debit.key for debit in debits if debit.unit == "tokens" and debit.key.startswith("provider:")]
    if not shared:
        return {}
    owner = f"provider:{_part(provider)}:"
    return {key: 0 for key in shared if not key.startswith(owner)}


def _remember(known: dict[Key, Value], key: Key, value: Value) -> Value:
    """Put a value into a cache that starts over when it is full."""
    if len(known) >= _CACHED:
        known.clear()
    known[key] = value
    return value


def _part(name: str) -> str:
    part = quote(name, safe="", errors="surrogatepass")
    if len(part) <= _LONGEST_NAME:
        return part
    return "=" + hashlib.sha256(part.encode()).hexdigest()  # no quoted name holds a "="


def _value(value: object) -> str | None:
    """The value of a claim as part of a key; None for None. A string and a number with the same text share a key."""
    if value is None:
        return None
    return _part(value if isinstance(value, str) else json.dumps(value, sort_keys=True))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _emptiest(pairs: Iterable[tuple[Debit, Balance]]) -> Iterable[tuple[Debit, Balance]]:
    """The emptiest bucket of each name and partition."""
    found: dict[tuple[str, str], tuple[Debit, Balance]] = {}
    for pair in pairs:
        name = (pair[0].name, pair[0].partition)
        if name not in found or pair[1].remaining < found[name][1].remaining:
            found[name] = pair
    return found.values()


def _until_more(limit: int, left: int, reset: float, refill: float) -> int | None:
    """Seconds until the bucket has one unit more than now; None if it is full."""
    if left >= limit:
        return None
    wait = math.ceil((left + 1 - (limit - reset * refill)) / refill)
    return wait if wait > 1 else 1


def _refused(outcome: Rejection, debits: Sequence[Debit]) -> tuple[list[_Level], int | None]:
    """The refusing bucket with its level, and the seconds until it has the amount, the same as Retry-After, if ever."""
    if outcome.reason != "rate":
        return [], None
    debit = debits[outcome.index]
    balance = Balance(max(0, debit.limit - outcome.used), outcome.used / debit.refill)
    return [(debit, balance)], None if outcome.retry_after is None else whole_seconds(outcome.retry_after)


def whole_seconds(wait: float) -> int:
    """A waiting time for headers: rounded up, at least one second."""
    return max(1, math.ceil(wait))


def _policy(buckets: Sequence[Debit]) -> tuple[bytes, bytes]:
    """The header `RateLimit-Policy`, with each name and partition once."""
    items = []
    shown = [(it.name, it.unit, it.refill, it.limit, it.window, it.partition) for it in buckets]
    for name, unit, refill, limit, window, partition in dict.fromkeys(shown):
        quota = min(_LONGEST, round(refill * window))
        qualified = "" if unit == "requests" else f';qu="{unit}"'  # requests is the draft's default
        burst = "" if quota == limit else f";meshgate-burst={min(_LONGEST, limit)}"
        items.append(f'"{name}";q={quota}{qualified};w={window}{_pk(partition)}{burst}')
    return b"ratelimit-policy", ", ".join(items).encode()


def _pk(partition: str) -> str:
    return f";pk=:{partition}:" if partition else ""


def _family(unit: Unit, limit: int, left: int, reset: float) -> list[tuple[bytes, bytes]]:
    of_limit, of_left, of_reset = _NAMES[unit]
    return [(of_limit, b"%d" % limit), (of_left, b"%d" % left), (of_reset, duration(reset).encode())]


def duration(seconds: float) -> str:
    """A waiting time in OpenAI's format: `6m0s`, `1s`, `20ms`, `1h2m3.5s`; rounded up to a millisecond."""
    ms = math.ceil(seconds * 1000)
    if 0 < ms < 1000:
        return f"{ms}ms"
    if ms <= 0:
        return "0s"
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail
