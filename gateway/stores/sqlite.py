"""State in one SQLite file, for one gateway process. Config key: `state: sqlite:///path`.

Counters are in memory; every change goes to the writer, and the line awaits `durable()` once before a call leaves.
Reservations that a crash left open lapse at the next start. Quotas are exact across a crash; token buckets are written
once a second, so a crash loses at most their last second. Command-line processes open the file while a gateway runs
(`role="cli"`): they write keys directly, and leave freezes and resumes as orders for the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson

from gateway.amounts import HELD, Ask, Debit, Marked, Rejection, Reservation
from gateway.errors import ConfigError
from gateway.stores import (
    ENTRIES,
    Begun,
    Clock,
    End,
    Enlisted,
    Enlisting,
    Key,
    Leased,
    Role,
    Room,
    Sealed,
    Spelling,
    StoreUnavailable,
    Unsealed,
    Workflow,
    queues,
)
from gateway.stores.answers import Answers
from gateway.stores.clock import SteadyClock
from gateway.stores.counters import Bucket, Counters
from gateway.stores.record import MICRO, Change, Count, Record
from gateway.stores.rows import (
    DROP_VAULT,
    ENLIST,
    ENLISTED,
    EXPIRE,
    key_of,
    ordered,
    record_of,
    repeats_rows,
    spelling_rows,
    workflow_row,
)
from gateway.stores.schema import migrate, outdated
from gateway.stores.vault import Vault, Vaults
from gateway.stores.waiting import Waiting
from gateway.stores.watch import Watch
from gateway.stores.writer import Bulk, Statement, Writer, connect, reading

# The rank orders statements of one commit: a reservation is inserted before it is deleted.
_PUT_RESERVATION = Bulk(0, "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?)")
_DROP_RESERVATION = Bulk(1, "DELETE FROM reservations WHERE id = ?")
_PUT_WORKFLOW = Bulk(2, "INSERT OR REPLACE INTO workflows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
_PUT_BUCKET = Bulk(7, "INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?)")
_PUT_VAULT = Bulk(5, "INSERT OR REPLACE INTO vaults VALUES (?, ?, ?, ?)")
_PUT_SEALED = Bulk(6, "INSERT INTO sealed VALUES (?, ?, ?, ?, ?, ?)")
_PUT_ORDER = """INSERT INTO orders (team, correlation_id, reason, kind, ttl, topups, seconds, idle)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_GET_ORDERS = """SELECT reason, kind, ttl, topups, seconds, idle FROM orders
                 WHERE team = ? AND correlation_id = ? ORDER BY seq"""
_GET_REPEATS = """SELECT number, key, used, lapsed FROM repeats
                   WHERE team = ? AND correlation_id = ? AND first = ? ORDER BY number"""
# The first record of an id stays until it expires. The last parameter is the present time.
_PUT_OWNED = """INSERT INTO owned VALUES (?, ?, ?, ?) ON CONFLICT (team, id)
                DO UPDATE SET ends = excluded.ends, record = excluded.record WHERE owned.ends <= ?"""
_REPLACE_OWNED = "UPDATE owned SET record = ?, ends = ? WHERE team = ? AND id = ? AND record = ? AND ends > ?"
_GET_VAULT = "SELECT ends, first FROM vaults WHERE team = ? AND correlation_id = ?"
_GET_SEALED = """SELECT entity, digest, number, ciphertext FROM sealed
                 WHERE team = ? AND correlation_id = ? ORDER BY entity, number"""
_GET_SPELLINGS = """SELECT number, digest, ciphertext FROM spellings
                    WHERE team = ? AND correlation_id = ? ORDER BY number"""
_KEYS_CHANGED: Statement = ("UPDATE meta SET value = value + 1 WHERE name = 'keys'", ())

# Microseconds after which an idle workflow is dropped from memory; its next call loads it again.
_STATES = """
    WITH newest AS (SELECT *, since + seconds * :micro AS age_ends, max(last, since) + idle * :micro AS rest_ends
                    FROM workflows WHERE ends >= :now ORDER BY last DESC LIMIT :limit)
    SELECT CASE WHEN state != 'open' THEN state
                WHEN :now > rest_ends AND rest_ends < ifnull(age_ends, rest_ends + 1)
                     AND (team, correlation_id) NOT IN (SELECT team, correlation_id FROM reservations) THEN 'expired'
                WHEN :now > age_ends THEN 'frozen'
                ELSE state END AS shown, count(*)
    FROM newest GROUP BY shown"""  # the same as `Counters.view`
_IDLE = 600 * MICRO
_RECORDS = 16_384  # workflows kept in memory after a sweep, besides those with calls in flight; each takes about 1 kB
# Microseconds between two deletions of expired rows, each of which scans the tables.
_PURGE = 60 * MICRO


class SqliteStore:
    """A `Store` on one file. `writer` may be shared with other users of the same file."""

    writer: Writer

    def __init__(self, url: str, *, role: Role = "gateway", clock: Clock | None = None) -> None:
        self.path = _path(url)
        self._role = role
        self._clock = clock or SteadyClock()
        self._counters = Counters(self._load)
        self._waiting = Waiting()
        self._vaults = Vaults(self._written)
        self._answers = Answers()
        self._queues = queues.SqliteQueues(self._now)
        self._lock: int | None = None
        self._watch: Watch | None = None
        self._order = 0  # the last order applied
        self._flushed = 0  # when buckets were last written
        self._purged = 0
        self._taking = asyncio.Lock()  # of dues: each is given to one

    async def open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo, self._reading():
            if self._role == "gateway":
                self._lock = _lock(self.path)
                undo.callback(os.close, self._lock)
            self._reader = connect(self.path)
            undo.callback(self._reader.close)
            if self._role == "cli" and outdated(self._reader):
                _refuse_to_migrate(self.path)
            migrate(self._reader, self.path)
            self.writer = Writer(self.path)
            undo.pop_all()
        if self._role == "gateway":
            with self._reading():
                self._watch = Watch(self.writer, alone=True)
                self._restore()
                self._queues.load(self._reader)
            await self.refresh()
        await self.durable()

    async def close(self) -> None:
        if self._role == "gateway":
            self._write_buckets()
        self.writer.close()
        self._reader.close()
        if self._watch is not None:
            self._watch.close()
        if self._lock is not None:
            os.close(self._lock)

    async def ping(self) -> None:
        self.writer.check()
        with self._reading():
            self._reader.execute("SELECT 1 FROM workflows LIMIT 1").fetchone()

    async def durable(self) -> None:
        await self.writer.barrier()

    # Admission

    async def reserve(self, ask: Ask) -> Reservation | Rejection:
        self.writer.check()
        now = self._now()
        outcome = self._counters.reserve(ask, now)
        record = self._counters.records.get((ask.team, ask.correlation_id))
        if isinstance(outcome, Reservation) and (ask.debits or not ask.bare):
            # A depth is not charged, so it need not lapse.
            quotas = [(it.key, it.unit, it.amount) for it in ask.debits if not it.refill and it.unit != "hops"]
            due = now + ask.lapse * MICRO
            row = (ask.id, ask.team, ask.correlation_id, ask.agent, ask.ttl, due, orjson.dumps(quotas))
            self.writer.submit(_PUT_RESERVATION, row)
        if record is not None and record.dirty:
            self._write(record)
        return outcome

    def left(self, team: str, correlation_id: str, debits: Sequence[Debit]) -> Sequence[int] | None:
        return self._counters.left(team, correlation_id, debits, self._now())

    async def mark(self, team: str, correlation_id: str, labels: Sequence[str], version: int) -> Marked:
        self.writer.check()
        marked = self._counters.mark(team, correlation_id, labels, version, self._now())
        if marked is None:
            raise StoreUnavailable(f"{self.path}: the record of a workflow with a call in flight is missing")
        record = self._counters.records[team, correlation_id]
        if record.dirty:
            self._write(record)
        return marked

    async def strip(self, team: str, correlation_id: str, tools: Sequence[str]) -> None:
        self.writer.check()
        record = self._counters.strip(team, correlation_id, tools, self._now())
        if record is not None and record.dirty:
            self._write(record)

    async def settle(self, reservation: Reservation, used: Mapping[str, int], state: End) -> bool:
        return self._settle(reservation.ask, used, state, self._now())

    async def settled(self, team: str, correlation_id: str, seconds: float) -> None:
        await self._waiting.wait((team, correlation_id), seconds)

    async def sweep(self) -> int:
        now = self._now()
        overdue = self._counters.overdue(now)
        for ask in overdue:
            self._settle(ask, {}, "lapsed", now)
        self._write_buckets()
        for key in self._counters.drain(now):
            self.writer.submit("DELETE FROM buckets WHERE key = ?", (key,))
        self._counters.evict(now - _IDLE, self.writer.written, _RECORDS)
        self._vaults.drop_ended(now)
        self._answers.drop_written(self.writer)
        if self._purged + _PURGE <= now:
            self._purge(now)
        await self.durable()
        return len(overdue)

    def _settle(self, ask: Ask, used: Mapping[str, int], state: End, now: int) -> bool:
        if not self._counters.settle(ask, used, state, now):
            return False
        # In one commit: a crash between the two would charge the call twice or never.
        rows: list[Statement] = [(_DROP_RESERVATION, (ask.id,))]
        name = (ask.team, ask.correlation_id)
        record = self._counters.records.get(name)
        if record is None:
            self.writer.submit_all(rows)
        else:
            if record.repeats:
                rows += repeats_rows(record, ask)
            self._write(record, *rows)
        self._waiting.tell(name)
        return True

    def _write(self, record: Record, *others: Statement) -> None:
        record.mark = self.writer.submit_all((*others, (_PUT_WORKFLOW, workflow_row(record))))
        record.dirty = False

    # Workflows

    async def refresh(self) -> None:
        if self._watch is not None:
            self._watch.look()
        self.writer.check()
        with self._reading():
            orders = self._reader.execute("SELECT * FROM orders WHERE seq > ? ORDER BY seq", (self._order,)).fetchall()
        for seq, team, correlation_id, *order in orders:
            self._order = seq
            self._change(team, correlation_id, ordered(*order), ("DELETE FROM orders WHERE seq = ?", (seq,)))

    async def workflow(self, team: str, correlation_id: str) -> Workflow | None:
        with self._reading():
            return self._seen(team, correlation_id)

    async def workflows(self, team: str | None, limit: int) -> list[Workflow]:
        await self.durable()
        sql = """SELECT team, correlation_id FROM workflows
                 WHERE (?1 IS NULL OR team = ?1) AND ends >= ?2 ORDER BY last DESC LIMIT ?3"""
        ordered = "SELECT DISTINCT team, correlation_id FROM orders WHERE ?1 IS NULL OR team = ?1"
        with self._reading():
            names = self._reader.execute(sql, (team, self._now(), limit)).fetchall()
            names += self._reader.execute(ordered, (team,)).fetchall()
            here = [name for name in self._counters.records if team in (None, name[0])]
            found = [self._seen(*name) for name in dict.fromkeys([*names, *here])]
        latest = sorted((it for it in found if it is not None), key=lambda it: it.last_seen, reverse=True)
        return latest[:limit]

    async def states(self, limit: int) -> Mapping[str, int]:
        await self.durable()
        return await asyncio.to_thread(self._states, limit)

    def _states(self, limit: int) -> Mapping[str, int]:
        with self._reading(), contextlib.closing(connect(self.path)) as reader:
            return dict(reader.execute(_STATES, {"now": self._now(), "micro": MICRO, "limit": limit}).fetchall())

    async def teams(self) -> list[str]:
        with self._reading():
            rows = self._reader.execute("SELECT team FROM workflows UNION SELECT team FROM orders").fetchall()
        return sorted({row[0] for row in rows} | {team for team, _ in self._counters.records})

    async def open_workflow(
        self, team: str, correlation_id: str, ttl: int, *, seconds: int | None = None, idle: int | None = None
    ) -> bool:
        return await self._order_or_change(team, correlation_id, Change("open", ttl=ttl, seconds=seconds, idle=idle))

    async def close_workflow(self, team: str, correlation_id: str, reason: str) -> bool:
        return await self._order_or_change(team, correlation_id, Change("close", reason))

    async def freeze(self, team: str, correlation_id: str, reason: str) -> None:
        await self._order_or_change(team, correlation_id, Change("freeze", reason))

    async def resume(self, team: str, correlation_id: str, topups: Mapping[str, int] | None = None) -> bool:
        return await self._order_or_change(team, correlation_id, Change("resume", topups=dict(topups or {})))

    async def relabel(self, team: str, correlation_id: str, label: str, *, off: bool = False) -> bool:
        return await self._order_or_change(team, correlation_id, Change("unlabel" if off else "label", label))

    async def _order_or_change(self, team: str, correlation_id: str, change: Change) -> bool:
        """Apply the change, or leave it as an order for the gateway; False if the change does not apply."""
        if self._role == "gateway":
            changed = self._change(team, correlation_id, change)
        else:
            with self._reading():
                beside = self._beside(team, correlation_id)
            changed = beside.change(team, correlation_id, change, self._now()) is not None
            if changed:
                topups = orjson.dumps(change.topups)
                row = (change.reason, change.kind, change.ttl, topups, change.seconds, change.idle)
                self.writer.submit(_PUT_ORDER, (team, correlation_id, *row))
        await self.durable()
        return changed

    def _change(self, team: str, correlation_id: str, change: Change, *others: Statement) -> bool:
        record = self._counters.change(team, correlation_id, change, self._now())
        if record is not None:
            self._write(record, *others)
        else:
            self.writer.submit_all(others)
        self._waiting.tell((team, correlation_id))
        return record is not None

    def _seen(self, team: str, correlation_id: str) -> Workflow | None:
        """A workflow as the gateway has it, or as it will be once the gateway has applied the pending orders."""
        now = self._now()
        counters = self._counters if self._role == "gateway" else self._beside(team, correlation_id)
        record = counters.look(team, correlation_id, now)
        return None if record is None else counters.view(record, now)

    def _beside(self, team: str, correlation_id: str) -> Counters:
        """The counters of one workflow as the gateway has them, computed from the file by a command-line process."""
        now, name = self._now(), (team, correlation_id)
        beside = Counters(self._load)
        for row in self._reader.execute("SELECT * FROM reservations WHERE team = ? AND correlation_id = ?", name):
            _hold(beside, row, now)
        for order in self._reader.execute(_GET_ORDERS, name):
            beside.change(team, correlation_id, ordered(*order), now)
        return beside

    def _load(self, team: str, correlation_id: str) -> Record | None:
        sql = "SELECT * FROM workflows WHERE team = ? AND correlation_id = ?"
        with self._reading():
            row = self._reader.execute(sql, (team, correlation_id)).fetchone()
            if row is None:
                return None
            record = record_of(row)
            for number, key, used, lapsed in self._reader.execute(_GET_REPEATS, (team, correlation_id, record.first)):
                record.repeats[key] = Count("repeats", used, 0, lapsed, number)
        return record

    # Vault

    async def seal(self, team: str, correlation_id: str, items: Sequence[Sealed], ttl: float) -> list[int]:
        now = self._now()
        vault, first = self._vault(team, correlation_id, now)
        numbers, fresh = vault.assign(items)
        rows: list[Statement] = [(_PUT_SEALED, (team, correlation_id, e, n, d, c)) for e, d, n, c in fresh]
        self._keep_vault(team, correlation_id, vault, rows, now, ttl, first)
        return numbers

    async def unseal(self, team: str, correlation_id: str) -> list[Unsealed]:
        return list(self._vault(team, correlation_id, self._now())[0].items)

    async def spell(
        self, team: str, correlation_id: str, items: Sequence[Spelling], ttl: float, places: Sequence[int] = ()
    ) -> None:
        now = self._now()
        vault, first = self._vault(team, correlation_id, now)
        rows = spelling_rows(team, correlation_id, vault.spell(items, places))
        self._keep_vault(team, correlation_id, vault, rows, now, ttl, first)

    async def spellings(self, team: str, correlation_id: str, digests: Sequence[bytes]) -> list[bytes | None]:
        kept = self._vault(team, correlation_id, self._now())[0].spellings
        return list(map(kept.get, digests))

    async def places(self, team: str, correlation_id: str) -> Mapping[int, bytes] | None:
        return self._vault(team, correlation_id, self._now())[0].places

    def _keep_vault(
        self, team: str, correlation_id: str, vault: Vault, rows: list[Statement], now: int, ttl: float, first: int
    ) -> None:
        ends = now + round(ttl * MICRO)
        # A hundredth of precision saves a write on most calls.
        if rows or ends - vault.ends > ttl * MICRO / 100 or (first and vault.first != first):
            vault.ends, vault.first = ends, first or vault.first
            rows.append((_PUT_VAULT, (team, correlation_id, ends, vault.first)))
        if rows:
            vault.mark = self.writer.submit_all(rows)
        self._vaults.put((team, correlation_id), vault)

    def _vault(self, team: str, correlation_id: str, now: int) -> tuple[Vault, int]:
        """The vault of a workflow, and when the record of the workflow began, in microseconds; 0 without a record."""
        name = (team, correlation_id)
        record = self._counters.record(team, correlation_id, now)
        first = record.first if record is not None else 0
        vault = self._vaults.take(name)
        if vault is None:
            vault = self._load_vault(name)
            self._vaults.put(name, vault)
        if vault.ends and not vault.alive(first, now):
            vault = Vault(mark=self.writer.submit_all([(sql, name) for sql in DROP_VAULT]))
            self._vaults.put(name, vault)
        return vault, first

    def _load_vault(self, name: tuple[str, str]) -> Vault:
        vault = Vault()
        with self._reading():
            row = self._reader.execute(_GET_VAULT, name).fetchone()
            if row is not None:
                vault.ends, vault.first = row
                for sealed in self._reader.execute(_GET_SEALED, name):
                    vault.add(*sealed)
                for spelling in self._reader.execute(_GET_SPELLINGS, name):
                    vault.put(*spelling)
        return vault

    # Idempotency

    async def begin(self, team: str, key: str, digest: bytes, lease: int) -> Begun:  # noqa: ARG002  (the lease ends with the process)
        with self._reading():
            return self._answers.begin(self._reader, (team, key), digest, self._now())

    async def finish(self, team: str, key: str, digest: bytes, sealed: bytes, ttl: int) -> None:
        self._answers.finish(self.writer, (team, key), digest, sealed, self._now() + ttl * MICRO)
        await self.durable()

    async def abandon(self, team: str, key: str, digest: bytes) -> None:
        self._answers.abandon((team, key), digest)

    # Owners

    async def own(self, team: str, id: str, record: bytes, ttl: int) -> None:
        now = self._now()
        self.writer.submit(_PUT_OWNED, (team, id, now + ttl * MICRO, record, now))
        await self.durable()

    async def owned(self, team: str, id: str) -> bytes | None:
        sql = "SELECT record FROM owned WHERE team = ? AND id = ? AND ends > ?"
        with self._reading():
            row = self._reader.execute(sql, (team, id, self._now())).fetchone()
        return None if row is None else row[0]

    async def owned_of(self, team: str, ids: Sequence[str]) -> list[bytes | None]:
        # The ids are one parameter: SQLite bounds the number of parameters.
        sql = "SELECT id, record FROM owned WHERE team = ? AND id IN (SELECT value FROM json_each(?)) AND ends > ?"
        with self._reading():
            found = dict(self._reader.execute(sql, (team, orjson.dumps(list(ids)).decode(), self._now())).fetchall())
        return [found.get(id) for id in ids]

    async def disown(self, team: str, id: str) -> None:
        self.writer.submit("DELETE FROM owned WHERE team = ? AND id = ?", (team, id))
        await self.durable()

    async def reown(self, team: str, id: str, record: bytes, before: bytes | None, ttl: int) -> bool:
        now = self._now()
        if before is None:
            self.writer.submit(_PUT_OWNED, (team, id, now + ttl * MICRO, record, now))
        else:
            row = (record, now + ttl * MICRO, team, id, before, now)
            self.writer.submit(_REPLACE_OWNED, row)
        await self.durable()
        return await self.owned(team, id) == record

    # Pins

    async def pins(self, server: str) -> bytes | None:
        with self._reading():
            row = self._reader.execute("SELECT record FROM pins WHERE server = ?", (server,)).fetchone()
        return None if row is None else row[0]

    async def pin(self, server: str, record: bytes, before: bytes | None) -> bool:
        if before is None:
            self.writer.submit("INSERT OR IGNORE INTO pins VALUES (?, ?)", (server, record))
        else:
            row = (record, server, before)
            self.writer.submit("UPDATE pins SET record = ? WHERE server = ? AND record = ?", row)
        await self.durable()
        return await self.pins(server) == record

    # Grants

    async def grant(self, id: str) -> bytes | None:
        with self._reading():
            row = self._reader.execute("SELECT record FROM grants WHERE id = ?", (id,)).fetchone()
        return None if row is None else row[0]

    async def put_grant(self, id: str, record: bytes | None, before: bytes | None) -> bool:
        if record is None:
            self.writer.submit("DELETE FROM grants WHERE id = ? AND record = ?", (id, before))
        elif before is None:
            self.writer.submit("INSERT OR IGNORE INTO grants VALUES (?, ?)", (id, record))
        else:
            self.writer.submit("UPDATE grants SET record = ? WHERE id = ? AND record = ?", (record, id, before))
        await self.durable()
        return await self.grant(id) == record

    async def grants(self) -> Mapping[str, bytes]:
        with self._reading():
            return dict(self._reader.execute("SELECT id, record FROM grants ORDER BY id").fetchall())

    # Dues

    async def put_due(self, id: str, record: bytes, seconds: float) -> None:
        at = self._now() + round(seconds * MICRO)
        self.writer.submit("INSERT OR REPLACE INTO dues VALUES (?, ?, ?)", (id, at, record))
        await self.durable()

    async def take_dues(self, most: int, seconds: float) -> Mapping[str, bytes]:
        now = self._now()
        sql = "SELECT id, record FROM dues WHERE at <= ? ORDER BY at LIMIT ?"
        async with self._taking:
            with self._reading():
                found = dict(self._reader.execute(sql, (now, most)).fetchall())
            if found:
                again = now + round(seconds * MICRO)
                self.writer.submit_all([("UPDATE dues SET at = ? WHERE id = ?", (again, id)) for id in found])
                await self.durable()
        return found

    async def drop_due(self, id: str) -> None:
        self.writer.submit("DELETE FROM dues WHERE id = ?", (id,))
        await self.durable()

    # Registry

    async def enlist(self, team: str, name: str, owner: str, record: bytes, ttl: int) -> Enlisting:
        now = self._now()
        ends = now + ttl * MICRO
        self.writer.submit(ENLIST, (team, name, owner, ends, record, now, ENTRIES))
        await self.durable()
        kept = next((it for it in await self.enlisted(team) if it.name == name), None)
        if kept is None:
            return "full"
        return "done" if kept.owner == owner else "taken"

    async def enlisted(self, team: str) -> list[Enlisted]:
        with self._reading():
            rows = self._reader.execute(ENLISTED, (team, self._now())).fetchall()
        return [Enlisted(name, owner, record, ends / MICRO) for name, owner, record, ends in rows]

    async def delist(self, team: str, name: str) -> None:
        self.writer.submit("DELETE FROM registry WHERE team = ? AND name = ?", (team, name))
        await self.durable()

    # Queues and figures

    async def push(self, queue: str, owner: str, record: bytes, room: Room) -> bool:
        self.writer.check()
        if not self._queues.push(self.writer, queue, owner, record, room):
            return False
        await self.durable()
        return True

    async def lease(self, seconds: float, most: int) -> list[Leased]:
        return self._queues.lease(seconds, most)

    async def postpone(self, queue: str, number: int, seconds: float) -> None:
        self._queues.postpone(queue, number, seconds)

    async def shift(self, queue: str, number: int, *, all: bool = False) -> int:
        return self._queues.shift(self.writer, queue, number, all=all)

    async def measure(self, name: str, records: Sequence[bytes]) -> None:
        queues.measure(self.writer, name, records)
        await self.durable()

    async def measured(self, name: str) -> list[bytes]:
        with self._reading():
            return queues.measured(self._reader, name)

    # Outages: there is no other gateway to share them with

    async def shut(self, name: str, seconds: float, level: int) -> None: ...

    async def reopen(self, name: str) -> None: ...

    async def outages(self) -> Mapping[str, tuple[float, int]]:
        return {}

    async def probe(self, name: str, seconds: float) -> bool:  # noqa: ARG002  (needed where it is shared)
        return True

    # Keys

    async def keys(self) -> list[Key]:
        with self._reading():
            rows = self._reader.execute("SELECT * FROM keys ORDER BY created, id").fetchall()
        return [key_of(*row) for row in rows]

    async def add_key(self, key: Key) -> None:
        times = (key.created, key.revoked, key.expires, key.used)
        row = (key.id, key.sha256, key.agent, key.team, orjson.dumps(key.roles), *times)
        self.writer.submit_all((("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row), _KEYS_CHANGED))
        await self.durable()

    async def revoke_key(self, id: str) -> bool:
        return await self._change_key(id, "UPDATE keys SET revoked = ? WHERE id = ?", self._now() / MICRO)

    async def expire_key(self, id: str, at: float) -> bool:
        return await self._change_key(id, "UPDATE keys SET expires = ? WHERE id = ?", at)

    async def _change_key(self, id: str, sql: str, at: float) -> bool:
        known = any(key.id == id and key.revoked is None for key in await self.keys())
        if known:
            self.writer.submit_all(((sql, (at, id)), _KEYS_CHANGED))
            await self.durable()
        return known

    async def note_keys(self, used: Mapping[str, float]) -> None:
        self.writer.submit_all([("UPDATE keys SET used = ? WHERE id = ?", (at, id)) for id, at in used.items()])

    async def keys_version(self) -> int:
        with self._reading():
            version: int = self._reader.execute("SELECT value FROM meta WHERE name = 'keys'").fetchone()[0]
        return version

    # Upkeep

    def _written(self, mark: int) -> bool:
        return self.writer.written(mark)

    def _now(self) -> int:
        return round(self._clock() * MICRO)

    def _restore(self) -> None:
        """Continue from the last process: load its buckets, and lapse the reservations of its calls."""
        now = self._now()
        for key, *state in self._reader.execute("SELECT * FROM buckets"):
            self._counters.buckets[key] = Bucket(*state)
        for row in self._reader.execute("SELECT * FROM reservations").fetchall():
            ask = _hold(self._counters, row, now)
            if not ask.id.endswith(HELD):
                self._settle(ask, {}, "lapsed", now)

    def _write_buckets(self) -> None:
        changed = [(key, it) for key, it in self._counters.buckets.items() if it.at >= self._flushed]
        self.writer.submit_all([(_PUT_BUCKET, (key, it.level, it.at, it.limit, it.refill)) for key, it in changed])
        self._flushed = self._now()

    def _purge(self, now: int) -> None:
        self._purged = now
        self.writer.submit_all([(sql, (now,)) for sql in EXPIRE])

    def _reading(self) -> AbstractContextManager[None]:
        return reading(self.path, getattr(self, "writer", None))


def _path(url: str) -> Path:
    path = url.removeprefix("sqlite:///")
    if not path or path == url or ":memory:" in path:
        raise ConfigError(
            f"state: {url!r} does not name a file; write sqlite:///relative/path or sqlite:////absolute/path"
        )
    return Path(path)


def _lock(path: Path) -> int:
    """Lock the file for this process until the process ends. Raises `ConfigError` if another process has the lock."""
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(lock, 64).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise ConfigError(
            f"state: {path} is in use by another gateway process (pid {owner}). SQLite state serves one process: "
            "stop the other process, or share the state with `state: redis://host:6379/0`"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    return lock


def _refuse_to_migrate(path: Path) -> None:
    """Raise `ConfigError` if a gateway is running: a migration would make its writes fail."""
    with open(f"{path}.lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"state: {path} is in use by a gateway of an older release, and this release must migrate its tables: "
                "restart the gateway with this release first"
            ) from None


def _hold(counters: Counters, row: tuple[Any, ...], now: int) -> Ask:
    """Restore a reservation from its row in the counters; returns its ask."""
    id, team, correlation_id, agent, ttl, due, debits = row
    quotas = tuple(Debit(key, unit, amount, limit=0, name=key) for key, unit, amount in orjson.loads(debits))
    ask = Ask(id, team, correlation_id, agent, quotas, None, ttl, lapse=0)
    record = counters.record(team, correlation_id, now)
    if record is not None:
        for debit in quotas:
            record.begin(debit).held += debit.amount
    counters.open[id] = (ask, due)
    return ask
