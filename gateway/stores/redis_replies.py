"""Decodes replies of the script in Redis, and encodes the member that represents a reservation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson

from gateway.amounts import SHARE, Ask, Balance, Debit, History, Reason, Rejection, Reservation
from gateway.stores import FOREVER, Key, State, Workflow
from gateway.stores.record import MICRO


def member_of(ask: Ask) -> bytes:
    """The member for a reservation in the set of open reservations: deterministic, and sufficient for its lapse."""
    # A depth is not charged, so a depth need not lapse; an older release would add depths up.
    quotas = [(it.key, it.unit, it.amount) for it in ask.debits if not it.refill and it.unit != "hops"]
    return orjson.dumps((ask.id, ask.correlation_id, ask.agent, ask.ttl, quotas))


def ask_of(team: str, member: bytes) -> Ask:
    """The reservation that a member describes, as far as its end needs it."""
    id, correlation_id, agent, ttl, quotas, *_ = orjson.loads(member)  # a newer release may have written more fields
    debits = tuple(Debit(key, unit, amount, limit=0, name=key) for key, unit, amount in quotas)
    return Ask(id, team, correlation_id, agent, debits, None, ttl, lapse=0)


def outcome(ask: Ask, reply: bytes) -> Reservation | Rejection:
    """The script's reply to an ask, decoded."""
    reply, _, taken_out = reply.partition(b"\1")
    stripped = tuple(orjson.loads(taken_out)) if taken_out else ()
    reply, told, flow = reply.partition(b"\0")
    history = history_of(flow) if told else None
    counts, *agents = reply.decode().split("\n")
    reason, *words = counts.split(" ")
    numbers = list(map(int, words))
    if reason in ("ok", "more"):
        chain = tuple(orjson.loads(agents[0])) if agents else (ask.agent,)
        path = tuple([orjson.loads(agent) for agent in agents[1:]]) if len(agents) > 3 else ()
    if reason == "ok":
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        balances = tuple([Balance(left, reset / 1000) for left, reset in pairs])
        return Reservation(ask, balances, chain, path, history, stripped)
    if reason == "more":
        triples = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        balances = tuple([Balance(left, reset / 1000, added) for left, reset, added in triples])
        return Reservation(ask, balances, chain, path, history, stripped)
    index, used, held, retry, limit = numbers
    return Rejection(cast(Reason, reason), index, used, held, None if retry < 0 else retry / 1000, limit)


def history_of(told: bytes) -> History:
    """A workflow's history from the script's reply: its version, and three lists of names."""
    version, labels, tools, cleared = told.split(b"\0")
    return History(tuple(sorted(_names(labels))), _names(tools), tuple(sorted(_names(cleared))), int(version))


def _names(told: bytes) -> tuple[str, ...]:
    return tuple(told.decode().split("\n")[1:])


def workflow_of(team: str, correlation_id: str, flat: Sequence[bytes]) -> Workflow | None:
    """The workflow in the reply of `show`; None for an empty reply."""
    fields = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
    if "first" not in fields:
        return None
    sums: dict[str, dict[str, int]] = {"u": {}, "h": {}, "l": {}}
    topups: dict[str, int] = {}
    for name, value in fields.items():
        kind, _, rest = name.partition(":")
        if kind in sums and rest:
            unit, _, key = rest.partition(":")
            if key.startswith(SHARE):
                continue
            for other in sums.values():
                other.setdefault(unit, 0)
            if unit == "repeats" and kind != "h":  # the highest count of one counter
                sums[kind][unit] = max(sums[kind][unit], int(value))
            else:
                sums[kind][unit] += int(value)
        elif kind == "t":
            topups[rest] = min(FOREVER, int(value))
    state: State = "open"
    if fields["state"] == b"frozen":
        state = cast(State, fields.get("over", b"frozen").decode())
    return Workflow(
        team,
        correlation_id,
        state,
        fields["reason"].decode(),
        int(fields["first"]) / MICRO,
        int(fields["last"]) / MICRO,
        {name[2:]: parent.decode() for name, parent in fields.items() if name.startswith("a:")},
        sums["u"],
        sums["h"],
        sums["l"],
        topups,
        "opened" in fields,
        tuple([orjson.loads(agent) for agent in fields.get("path", b"").split(b"\n")[1:]]),
        history_of(
            b"\0".join([fields.get("fv", b"0"), *(fields.get(it, b"") for it in ("labels", "tools", "cleared"))])
        ),
    )


def key_of(id: bytes, fields: list[Any], expires: bytes | None, used: bytes | None) -> Key:
    """The gateway key in the fields of its three hashes. Times are Unix seconds."""
    sha256, agent, team, roles, created, revoked = fields
    times = (float(it) if it is not None else None for it in (expires, used))
    return Key(id.decode(), sha256, agent, team, tuple(roles), created, revoked, *times)
