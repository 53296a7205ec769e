"""Rows of the state file: workflows, counters of repeats, orders and keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from gateway.amounts import NO_HISTORY, REPEATS, Ask, History
from gateway.stores import SPELLINGS, Key
from gateway.stores.record import Change, Count, Record
from gateway.stores.writer import Bulk, Statement

PUT_REPEATS = Bulk(8, "INSERT OR REPLACE INTO repeats VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
PUT_SPELLING = Bulk(9, "INSERT OR REPLACE INTO spellings VALUES (?, ?, ?, ?, ?, ?)")
DROP_VAULT = (
    "DELETE FROM sealed WHERE team = ? AND correlation_id = ?",
    "DELETE FROM spellings WHERE team = ? AND correlation_id = ?",
)
# ?1 team, ?2 name, ?3 owner, ?4 end, ?5 record, ?6 now, in microseconds, ?7 maximum number of entries. A name is its
# owner's until its entry ends.
ENLIST = """INSERT INTO registry SELECT ?1, ?2, ?3, ?4, ?5
            WHERE (SELECT count(*) FROM registry WHERE team = ?1 AND ends > ?6 AND name != ?2) < ?7
            ON CONFLICT (team, name) DO UPDATE SET owner = excluded.owner, ends = excluded.ends,
            record = excluded.record WHERE registry.owner = excluded.owner OR registry.ends <= ?6"""
ENLISTED = "SELECT name, owner, record, ends FROM registry WHERE team = ? AND ends > ? ORDER BY name"
EXPIRE = (
    "DELETE FROM answers WHERE ends < ?",
    "DELETE FROM owned WHERE ends < ?",
    "DELETE FROM registry WHERE ends < ?",
    """DELETE FROM repeats WHERE (team, correlation_id) IN
       (SELECT team, correlation_id FROM workflows WHERE ends < ?) AND (team, correlation_id) NOT IN
       (SELECT team, correlation_id FROM reservations)""",
    """DELETE FROM workflows WHERE ends < ? AND (team, correlation_id) NOT IN
       (SELECT team, correlation_id FROM reservations)""",
    # After the workflows: a vault is deleted with the record of its workflow.
    """DELETE FROM sealed WHERE (team, correlation_id) IN
       (SELECT team, correlation_id FROM vaults WHERE ends < ? AND (team, correlation_id, first) NOT IN
       (SELECT team, correlation_id, first FROM workflows))""",
    """DELETE FROM spellings WHERE (team, correlation_id) IN
       (SELECT team, correlation_id FROM vaults WHERE ends < ? AND (team, correlation_id, first) NOT IN
       (SELECT team, correlation_id, first FROM workflows))""",
    """DELETE FROM vaults WHERE ends < ? AND (team, correlation_id, first) NOT IN
       (SELECT team, correlation_id, first FROM workflows)""",
)
"""Statements that delete the rows that expired before a time, in microseconds."""


def workflow_row(record: Record) -> tuple[Any, ...]:
    """The row of a workflow, without its counters of repeats."""
    counts = {key: (count.unit, count.used, count.lapsed) for key, count in record.counts.items()}
    if record.dirty or not record.who:
        record.who = _copy(orjson.dumps({"parents": record.agents, "path": record.path}))
        unseen = record.history is NO_HISTORY and not record.stripped
        record.flow = b"" if unseen else _copy(orjson.dumps((*record.history, record.stripped)))
    return (
        record.team,
        record.correlation_id,
        record.state,
        record.reason,
        record.first,
        record.last,
        record.since,
        record.ends,
        record.who,
        orjson.dumps(counts),
        orjson.dumps(record.topups) if record.topups else b"{}",
        record.opened,
        record.seconds,
        record.idle,
        record.flow,
    )


def _copy(text: bytes) -> bytes:
    """A copy in its own, small buffer: orjson returns bytes at the start of a buffer of 4 kB."""
    return bytes(memoryview(text))


def repeats_rows(record: Record, ask: Ask) -> Iterator[Statement]:
    """Statements for the counters of repeats that a call has changed."""
    for debit in ask.debits:
        if debit.unit == "repeats" and (it := record.repeats.get(debit.key)) is not None:
            place = (record.team, record.correlation_id, it.number % REPEATS)
            yield PUT_REPEATS, (*place, record.first, it.number, debit.key, it.used, it.lapsed)


def spelling_rows(team: str, correlation_id: str, fresh: Sequence[tuple[int, bytes, bytes]]) -> list[Statement]:
    """New spellings of a vault, (number, digest, ciphertext) each, as rows."""
    return [(PUT_SPELLING, (team, correlation_id, it[0] % SPELLINGS, *it)) for it in fresh]


def ordered(
    reason: str | None, kind: Any, ttl: int | None, topups: bytes | None, seconds: int | None, idle: int | None
) -> Change:
    """The change in the row of an order."""
    if kind is None:
        return Change("resume") if reason is None else Change("freeze", reason)
    return Change(kind, reason or "", ttl or 0, orjson.loads(topups or b"{}"), seconds, idle)


def record_of(row: tuple[Any, ...]) -> Record:
    """The workflow in a row."""
    *fields, agents, counts, topups, opened, seconds, idle, flow = row
    team, correlation_id, state, reason, first, last, since, ends = fields
    record = Record(team, correlation_id, first, last, since, ends, state, reason, opened=bool(opened), dirty=False)
    record.seconds, record.idle = seconds, idle
    record.topups = orjson.loads(topups)
    told = orjson.loads(agents)
    if isinstance(told, list):  # a list of names, as older releases wrote it
        told = {"parents": dict.fromkeys(told, ""), "path": told[-1:]}
    record.agents, record.path = told["parents"], told["path"]
    if flow:
        labels, tools, cleared, version, *stripped = orjson.loads(flow)
        record.history = History(tuple(labels), tuple(tools), tuple(cleared), version)
        record.stripped = tuple(stripped[0]) if stripped else ()  # an older release did not write this
    record.counts = {k: Count(unit, used, 0, lapsed) for k, (unit, used, lapsed) in orjson.loads(counts).items()}
    return record


def key_of(id: str, sha256: str, agent: str, team: str, roles: bytes, *times: float | None) -> Key:
    """The key in a row."""
    created, revoked, expires, used = times
    return Key(id, sha256, agent, team, tuple(orjson.loads(roles)), created or 0.0, revoked, expires, used)
