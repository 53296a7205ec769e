"""State in Redis or Valkey, for many gateway processes. Config key: `state: redis://` or `rediss://`.

One call of `redis.lua` reserves, another settles; each is atomic and uses the server's clock. If a process dies, its
reservations lapse at their deadline, in the sweep of the replica that comes first. Every failure is a
`StoreUnavailable`: fails closed. `sweep()` repeats a settlement until Redis has confirmed the settlement.

The hash tag of a key is {team}: a workflow, its reservations and the buckets of its team and agents (an agent belongs
to one team) are in one slot of a Cluster. Buckets that teams share have tags of their own: on one server they take part
in the same call, while `cluster.py` takes them in a second step. `reach.py` makes the connections.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from gateway.amounts import Ask, Debit, Marked, Rejection, Reservation
from gateway.stores import (
    DEFAULT_TTL,
    ENTRIES,
    Clock,
    End,
    Enlisted,
    Enlisting,
    Key,
    StoreUnavailable,
    Workflow,
    actual,
    charges,
)
from gateway.stores.reach import check_version, reach
from gateway.stores.record import MICRO
from gateway.stores.redis_answers import RedisAnswers
from gateway.stores.redis_keys import (
    DUES,
    GRANTS,
    alone_key,
    answer_key,
    call_keys,
    open_key,
    owned_key,
    pins_key,
    registry_keys,
    seen_key,
    vault_key,
    work_key,
)
from gateway.stores.redis_outages import RedisOutages
from gateway.stores.redis_queues import RedisQueues
from gateway.stores.redis_replies import ask_of, history_of, key_of, member_of, outcome, workflow_of
from gateway.stores.redis_vault import RedisVault
from gateway.stores.waiting import Waiting

_ENLISTING: Mapping[int, Enlisting] = {0: "done", 1: "taken", 2: "full"}
_PARTS = ("redis_flow.lua", "redis.lua", "redis_queues.lua", "redis_kept.lua")
SCRIPT = "".join([Path(__file__).with_name(name).read_text("utf-8") for name in _PARTS])

_TEAMS = "mg1:teams"
_PING = "mg1:ping"
_KEYS = "mg1:{keys}"
_KEYS_VERSION = "mg1:{keys}:version"
# id -> Unix seconds. Not among the fields of a key, which older gateways read by position.
_KEYS_EXPIRY = "mg1:{keys}:expiry"
_KEYS_USED = "mg1:{keys}:used"
# Seconds in which a settlement is repeated for a reservation that may arrive late: longer than a command can stay in
# a socket's buffer.
DOUBT = 10.0
_STATES = 1000  # workflows whose states one script reads
_SWEEP = 500  # overdue reservations of one team handled in one sweep
_TOGETHER = 50  # teams swept concurrently

_log = logging.getLogger(__name__)


class _Ending(NamedTuple):
    """A settlement that Redis has not confirmed, and that is repeated until Redis does.

    The reply "no such reservation" is not final before `doubted` (event-loop time): the reservation may arrive late.
    """

    ask: Ask
    used: Mapping[str, int]
    state: End
    doubted: float


class RedisStore:
    """A `Store` on one Redis or Valkey server. `clock` replaces the server's clock, for tests only."""

    def __init__(
        self, url: str, *, clock: Clock | None = None, ca_file: str = "", acks: int = 0, script: str = SCRIPT
    ) -> None:
        self._clock = clock
        # Redis names a script by its SHA-1, so gateways of two releases each call their own script.
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._batch = reach(url, script, ca_file=ca_file, acks=acks)
        self._teams: set[str] = set()
        self._endings: list[_Ending] = []
        self._waiting = Waiting(self._last_ended)
        answers = self._answers = RedisAnswers(self._call, answer_key)
        self.begin, self.finish, self.abandon = answers.begin, answers.finish, answers.abandon
        vault = self._vault = RedisVault(self._call, lambda team, id: [vault_key(team, id), work_key(team, id)])
        self.seal, self.unseal, self.spell, self.spellings = vault.seal, vault.unseal, vault.spell, vault.spellings
        self.places = vault.places
        queues = RedisQueues(self._call, self._batch.call)
        self.push, self.lease, self.postpone, self.shift = queues.push, queues.lease, queues.postpone, queues.shift
        self.measure, self.measured = queues.measure, queues.measured
        outages = RedisOutages(self._batch.call)
        self.shut, self.reopen, self.outages, self.probe = outages.shut, outages.reopen, outages.outages, outages.probe

    async def open(self) -> None:
        await check_version(self._batch)

    async def close(self) -> None:
        await self._waiting.close()
        await self._end_again()
        await self._batch.close()

    async def ping(self) -> None:
        """Raise unless the server accepts writes: a full server, or a replica, still answers a PING."""
        if len(self._batch.nodes()) > 1:  # one node of a Cluster may be down while others serve
            await self._batch.call("PING")
        else:
            await self._batch.call("SET", _PING, "1")

    async def durable(self) -> None:
        return

    async def refresh(self) -> None:
        return

    # Admission

    async def reserve(self, ask: Ask) -> Reservation | Rejection:
        if not ask.bare:
            await self._join(ask.team)
        elif not ask.look:
            self._vault.forget(ask.team, ask.correlation_id)  # nothing will be said of its vault
        keys, slots = call_keys(ask)
        debits = [
            (slots.get(it.key, 0), f"{it.unit}:{it.key}", it.amount, it.limit, it.refill, it.name) for it in ask.debits
        ]
        seconds = False if ask.seconds is None else ask.seconds  # Lua's tables cannot hold a nil
        idle = False if ask.idle is None else ask.idle
        times = (seconds, ask.ttl * 1000, ask.lapse * 1000)
        whole = (ask.correlation_id, ask.agent, *times, debits, idle, ask.strict, ask.first, ask.id)
        try:
            flow = (ask.chained, ask.look, ask.history, ask.tools, ask.firm, not ask.bare, ask.excess)
            reply = await self._call("reserve", keys, orjson.dumps((*whole, *flow)), member_of(ask))
        except (StoreUnavailable, asyncio.CancelledError):
            self._vault.forget(ask.team, ask.correlation_id)
            # Redis may have taken the reservation nevertheless, and no caller is left to end it.
            if not ask.bare:
                self._repeat_later(ask, {}, "released", DOUBT)
            raise
        if not ask.bare and b"\2" in reply:
            reply, _, spelled = reply.rpartition(b"\2")
            self._vault.note(ask.team, ask.correlation_id, spelled)
        return outcome(ask, reply)

    async def mark(self, team: str, correlation_id: str, labels: Sequence[str], version: int) -> Marked:
        reply: bytes = await self._call("mark", [work_key(team, correlation_id)], orjson.dumps((labels, version)))
        if reply == b"gone":
            raise StoreUnavailable("redis: the record of a workflow with a call in flight is missing")
        done, _, told = reply.partition(b"\0")
        return Marked(done == b"1", history_of(told))

    async def enter(self, team: str, correlation_id: str, labels: Sequence[str], tools: Sequence[str]) -> None:
        """Add labels and tools that a workflow got while Redis was unreachable."""
        await self._call("enter", [work_key(team, correlation_id)], orjson.dumps((labels, tools)))

    async def strip(self, team: str, correlation_id: str, tools: Sequence[str]) -> None:
        await self._call("strip", [work_key(team, correlation_id)], orjson.dumps(tools))

    async def settle(self, reservation: Reservation, used: Mapping[str, int], state: End) -> bool:
        ask = reservation.ask
        try:
            return await self._end(ask, used, state)
        except (StoreUnavailable, asyncio.CancelledError) as error:
            self._repeat_later(ask, used, state)
            if isinstance(error, StoreUnavailable):
                _log.warning("settling call %s will be tried again: %s", ask.id, error)
                return True
            raise

    def settle_later(self, ask: Ask, used: Mapping[str, int], state: End) -> None:
        """End a reservation once Redis answers again, by `sweep()`."""
        self._repeat_later(ask, used, state)

    async def adopt(self, ask: Ask, calls: int = 1) -> bool:
        """Reserve the quotas of calls that were admitted without Redis, regardless of limits; False if done before."""
        debits = [(f"{it.unit}:{it.key}", it.amount) for it in ask.debits]
        whole = (ask.correlation_id, ask.agent, ask.ttl * 1000, ask.lapse * 1000, ask.id, debits, calls)
        await self._join(ask.team)
        keys = [work_key(ask.team, ask.correlation_id), open_key(ask.team), seen_key(ask.team), alone_key(ask.team)]
        return bool(await self._call("adopt", keys, orjson.dumps(whole), member_of(ask)))

    async def writable(self) -> None:
        """Raise unless every server accepts writes: a full server, or a replica, still answers."""
        try:
            await asyncio.gather(*(self._batch.call("SET", key, "1") for key in self._batch.spread(_PING)))
        except StoreUnavailable:
            await self._batch.open()  # a replica may have replaced a node
            raise

    async def sweep(self) -> int:
        await self._end_again()
        failed: list[BaseException] = []
        teams = sorted(self._teams)
        try:
            await self._answers.renew()
        except StoreUnavailable as error:
            failed.append(error)
        try:
            if teams:
                await self._batch.call("SADD", _TEAMS, *teams)
            teams = await self.teams()
        except StoreUnavailable as error:  # the node with the list may be down: use the teams of this process
            failed.append(error)
        lapsed = 0
        for start in range(0, len(teams), _TOGETHER):
            some = map(self._sweep, teams[start : start + _TOGETHER])
            for swept in await asyncio.gather(*some, return_exceptions=True):
                if isinstance(swept, BaseException):
                    failed.append(swept)
                else:
                    lapsed += swept
        if failed:
            raise failed[0]
        return lapsed

    async def _sweep(self, team: str) -> int:
        """Sweep one team: its node may be down while other nodes answer."""
        members = await self._call("overdue", [open_key(team), seen_key(team)], _SWEEP)
        asks = [ask_of(team, member) for member in members]
        lapsed = sum(await asyncio.gather(*(self._end(ask, {}, "lapsed") for ask in asks)))
        await self._trim_index(team)
        return lapsed

    async def _end(
        self,
        ask: Ask,
        used: Mapping[str, int],
        state: End,
        *,
        again: bool = False,  # noqa: ARG002  (needed for several slots only)
        operation: str = "settle",
    ) -> bool:
        """End a reservation; False if it had ended before. `again`: this repeats an attempt without an answer."""
        keys, slots = call_keys(ask)
        amounts = [
            (slots.get(it.key, 0), f"{it.unit}:{it.key}", amount, actual(it, amount, used, state), it.limit, it.refill)
            for it, amount in charges(ask.debits)
        ]
        whole = (ask.correlation_id, state, ask.ttl * 1000, amounts)
        done = bool(await self._call(operation, keys, orjson.dumps(whole), member_of(ask)))
        self._waiting.tell((ask.team, ask.correlation_id))
        return done

    def left(self, team: str, correlation_id: str, debits: Sequence[Debit]) -> None:  # noqa: ARG002
        return None

    async def settled(self, team: str, correlation_id: str, seconds: float) -> None:
        await self._waiting.wait((team, correlation_id), seconds)

    def _last_ended(self, name: tuple[str, str]) -> asyncio.Future[object]:
        """The time at which a call of the workflow last ended, on any replica."""
        return self._batch.call("HGET", work_key(*name), "ended")

    def _repeat_later(self, ask: Ask, used: Mapping[str, int], state: End, doubt: float = 0) -> None:
        """Let `sweep` repeat a settlement. `doubt`: seconds in which its reservation may still arrive."""
        self._endings.append(_Ending(ask, used, state, asyncio.get_running_loop().time() + doubt))

    async def _end_again(self) -> None:
        now = asyncio.get_running_loop().time()
        endings, self._endings = self._endings, []
        told = [self._end(ending.ask, ending.used, ending.state, again=True) for ending in endings]
        for ending, ended in zip(endings, await asyncio.gather(*told, return_exceptions=True), strict=True):
            if isinstance(ended, BaseException) or (not ended and ending.doubted > now):
                self._endings.append(ending)

    # Workflows

    async def workflow(self, team: str, correlation_id: str) -> Workflow | None:
        keys = [work_key(team, correlation_id), open_key(team)]
        return workflow_of(team, correlation_id, await self._call("show", keys, correlation_id))

    async def workflows(self, team: str | None, limit: int) -> list[Workflow]:
        found: list[Workflow] = []
        for name in await self.teams() if team is None else [team]:
            ids = await self._batch.call("ZREVRANGE", seen_key(name), 0, limit - 1)
            every = await asyncio.gather(*(self.workflow(name, id.decode()) for id in ids))
            found += [it for it in every if it is not None]
        return sorted(found, key=lambda it: it.last_seen, reverse=True)[:limit]

    async def states(self, limit: int) -> Mapping[str, int]:
        found: list[tuple[int, bytes]] = []
        for team in await self.teams():
            keys = [seen_key(team), open_key(team), work_key(team, "")]
            for start in range(0, limit, _STATES):
                last = min(start + _STATES, limit) - 1
                flat: list[bytes] = await self._call("states", keys, start, last)
                found += [(int(seen), state) for seen, state in zip(flat[::2], flat[1::2], strict=True)]
                if len(flat) < 2 * (last + 1 - start):
                    break
        return Counter(state.decode() for _, state in sorted(found, reverse=True)[:limit] if state)

    async def open_workflow(
        self, team: str, correlation_id: str, ttl: int, *, seconds: int | None = None, idle: int | None = None
    ) -> bool:
        await self._join(team)
        return await self._change(team, correlation_id, "open", ttl=ttl, times=(seconds or False, idle or False))

    async def close_workflow(self, team: str, correlation_id: str, reason: str) -> bool:
        return await self._change(team, correlation_id, "close", reason)

    async def freeze(self, team: str, correlation_id: str, reason: str) -> None:
        await self._join(team)
        await self._change(team, correlation_id, "freeze", reason)

    async def resume(self, team: str, correlation_id: str, topups: Mapping[str, int] | None = None) -> bool:
        return await self._change(team, correlation_id, "resume", topups=topups)

    async def relabel(self, team: str, correlation_id: str, label: str, *, off: bool = False) -> bool:
        return await self._change(team, correlation_id, "unlabel" if off else "label", label)

    async def _change(
        self,
        team: str,
        correlation_id: str,
        kind: str,
        reason: str = "",
        ttl: int = DEFAULT_TTL,
        topups: Mapping[str, int] | None = None,
        times: tuple[int, int] = (False, False),
    ) -> bool:
        keys = [work_key(team, correlation_id), seen_key(team), open_key(team)]
        whole = (correlation_id, kind, reason, ttl * 1000, dict(topups or {}), uuid.uuid4().hex, *times)
        changed = bool(await self._call("change", keys, orjson.dumps(whole)))
        self._waiting.tell((team, correlation_id))
        return changed

    async def _join(self, team: str) -> None:
        """Add the team to the set of teams to sweep and list."""
        if team not in self._teams:
            await self._batch.call("SADD", _TEAMS, team)
            self._teams.add(team)

    async def teams(self) -> list[str]:
        return sorted(team.decode() for team in await self._batch.call("SMEMBERS", _TEAMS))

    async def _trim_index(self, team: str) -> None:
        """Drop from the index those of the oldest 100 workflows that Redis has expired."""
        ids = await self._batch.call("ZRANGE", seen_key(team), 0, 99)
        known = await asyncio.gather(*(self._batch.call("EXISTS", work_key(team, id.decode())) for id in ids))
        gone = [id for id, exists in zip(ids, known, strict=True) if not exists]
        if gone:
            await self._batch.call("ZREM", seen_key(team), *gone)

    # Owners

    async def own(self, team: str, id: str, record: bytes, ttl: int) -> None:
        await self._call("own", [owned_key(team, id)], ttl * 1000, record)

    async def owned(self, team: str, id: str) -> bytes | None:
        record: bytes | None = await self._call("owned", [owned_key(team, id)])
        return record

    async def owned_of(self, team: str, ids: Sequence[str]) -> list[bytes | None]:
        if not ids:
            return []
        records = await self._call("owned_of", [owned_key(team, id) for id in ids])
        return [record or None for record in records]

    async def disown(self, team: str, id: str) -> None:
        await self._call("disown", [owned_key(team, id)])

    async def reown(self, team: str, id: str, record: bytes, before: bytes | None, ttl: int) -> bool:
        had = ("0", b"") if before is None else ("1", before)
        return bool(await self._call("reown", [owned_key(team, id)], ttl * 1000, record, *had))

    # Pins

    async def pins(self, server: str) -> bytes | None:
        record: bytes | None = await self._batch.call("GET", pins_key(server))
        return record

    async def pin(self, server: str, record: bytes, before: bytes | None) -> bool:
        had = ("0", b"") if before is None else ("1", before)
        return bool(await self._call("pin", [pins_key(server)], record, *had))

    # Grants

    async def grant(self, id: str) -> bytes | None:
        record: bytes | None = await self._batch.call("HGET", GRANTS, id)
        return record

    async def put_grant(self, id: str, record: bytes | None, before: bytes | None) -> bool:
        kept, had = (("0", b"") if one is None else ("1", one) for one in (record, before))
        return bool(await self._call("grant", [GRANTS], id, *kept, *had))

    async def grants(self) -> Mapping[str, bytes]:
        flat = await self._batch.call("HGETALL", GRANTS)
        return {id.decode(): record for id, record in zip(flat[::2], flat[1::2], strict=True)}

    # Dues

    async def put_due(self, id: str, record: bytes, seconds: float) -> None:
        await self._call("put_due", DUES, id, record, round(seconds * 1000))

    async def take_dues(self, most: int, seconds: float) -> Mapping[str, bytes]:
        flat = await self._call("take_dues", DUES, most, round(seconds * 1000))
        return {id.decode(): record for id, record in zip(flat[::2], flat[1::2], strict=True)}

    async def drop_due(self, id: str) -> None:
        await self._call("drop_due", DUES, id)

    # Registry

    async def enlist(self, team: str, name: str, owner: str, record: bytes, ttl: int) -> Enlisting:
        said = await self._call("enlist", registry_keys(team), name, owner, record, ttl * 1000, ENTRIES)
        return _ENLISTING[said]

    async def enlisted(self, team: str) -> list[Enlisted]:
        flat = await self._call("enlisted", registry_keys(team))
        rows = zip(*[iter(flat)] * 4, strict=True)
        found = [Enlisted(name.decode(), who.decode(), kept, int(ends) / MICRO) for name, who, kept, ends in rows]
        return sorted(found)

    async def delist(self, team: str, name: str) -> None:
        await self._call("delist", registry_keys(team), name)

    # Keys

    async def keys(self) -> list[Key]:
        hashes = (self._batch.call("HGETALL", name) for name in (_KEYS, _KEYS_EXPIRY, _KEYS_USED))
        kept, expires, used = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in await asyncio.gather(*hashes)]
        keys = [key_of(id, orjson.loads(fields), expires.get(id), used.get(id)) for id, fields in kept.items()]
        return sorted(keys, key=lambda key: (key.created, key.id))

    async def add_key(self, key: Key) -> None:
        if key.expires is not None:  # first: no reader may see the key without its expiry
            await self._batch.call("HSET", _KEYS_EXPIRY, key.id, repr(key.expires))
        await self._put_key(key.id, [key.sha256, key.agent, key.team, key.roles, key.created, key.revoked])

    async def revoke_key(self, id: str) -> bool:
        fields = await self._batch.call("HGET", _KEYS, id)
        if fields is None or (kept := orjson.loads(fields))[-1] is not None:
            return False
        seconds, _ = await self._batch.call("TIME")
        await self._put_key(id, [*kept[:-1], float(seconds)])
        return True

    async def expire_key(self, id: str, at: float) -> bool:
        fields = await self._batch.call("HGET", _KEYS, id)
        if fields is None or orjson.loads(fields)[-1] is not None:
            return False
        put = self._batch.call("HSET", _KEYS_EXPIRY, id, repr(at))
        await asyncio.gather(put, self._batch.call("INCR", _KEYS_VERSION))
        return True

    async def note_keys(self, used: Mapping[str, float]) -> None:
        if used:
            pairs = [part for id, at in used.items() for part in (id, repr(at))]
            await self._batch.call("HSET", _KEYS_USED, *pairs)

    async def keys_version(self) -> int:
        return int(await self._batch.call("GET", _KEYS_VERSION) or 0)

    async def _put_key(self, id: str, fields: list[Any]) -> None:
        put = self._batch.call("HSET", _KEYS, id, orjson.dumps(fields))
        await asyncio.gather(put, self._batch.call("INCR", _KEYS_VERSION))

    async def _call(self, operation: str, keys: Sequence[str], *args: Any) -> Any:
        now = "" if self._clock is None else round(self._clock() * MICRO)
        return await self._batch.call("EVALSHA", self._sha, len(keys), *keys, operation, now, *args)
