"""Stage 8, `record`: what was decided and how it ended, in SQLite.

Config key: `audit`. The decision is on disk before the call leaves, the outcome follows. Records hold names, counts
and amounts; never a raw value, a prompt or an answer. A write that fails ends calls with state_unavailable: a gateway
that cannot say what it let through lets nothing through.
"""

from __future__ import annotations

import time
from pathlib import Path

import orjson

from gateway import authorize, ingress
from gateway.call import Call, Decision, Json, Subject
from gateway.config import Config
from gateway.stores.writer import Bulk, Writer

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS decisions (
        id TEXT PRIMARY KEY, time REAL NOT NULL, team TEXT NOT NULL, agent TEXT NOT NULL,
        correlation_id TEXT NOT NULL, verdict TEXT NOT NULL, rule TEXT NOT NULL, version TEXT NOT NULL,
        record BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS outcomes (
        id TEXT PRIMARY KEY, time REAL NOT NULL, team TEXT NOT NULL, agent TEXT NOT NULL,
        correlation_id TEXT NOT NULL, code TEXT NOT NULL, status INTEGER NOT NULL,
        record BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS actions (
        id TEXT PRIMARY KEY, time REAL NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, team TEXT NOT NULL,
        correlation_id TEXT NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
)
_DECISION = Bulk(3, "INSERT OR REPLACE INTO decisions VALUES (?,?,?,?,?,?,?,?,?)")
_OUTCOME = Bulk(4, "INSERT OR REPLACE INTO outcomes VALUES (?,?,?,?,?,?,?,?)")
_ACTION = "INSERT INTO actions VALUES (?,?,?,?,?,?,?)"
_NOBODY = Subject("", "")
_NO_POLICY = Decision(allow=True, rule="none", version="")
_FORGET = (
    "DELETE FROM decisions WHERE id < ?",
    "DELETE FROM outcomes WHERE id < ?",
    "DELETE FROM actions WHERE id < ?",
)  # ids begin with their time


class Audit:
    """Writes records through a group-committing writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def decided(self, call: Call) -> None:
        """Enqueue the decision of a call; it is on disk after the writer's next barrier."""
        subject, decision = call.subject or _NOBODY, call.decision or _NO_POLICY
        row = (
            call.id,
            time.time(),
            subject.team,
            subject.agent,
            call.correlation_id,
            "allow" if decision.allow else "deny",
            decision.rule,
            decision.version,
            orjson.dumps({"input": call.document or authorize.document(call), "result": _result(decision)}),
        )
        self._writer.submit(_DECISION, row)

    def ended(self, call: Call, status: int, cost: int) -> None:
        """Enqueue how the call ended."""
        code = call.refusal.code if call.refusal else ""
        who = call.subject or _NOBODY
        record = orjson.dumps(_outcome(call, cost))
        row = (call.id, time.time(), who.team, who.agent, call.correlation_id, code, status, record)
        self._writer.submit(_OUTCOME, row)

    def acted(self, who: str, action: str, team: str, correlation_id: str, details: Json) -> None:
        """Enqueue what an operator is about to do. `who` names a key by its hash, or a user of this machine."""
        row = (ingress.uuid7(), time.time(), who, action, team, correlation_id, orjson.dumps(details))
        self._writer.submit(_ACTION, row)

    async def durable(self) -> None:
        """Return when everything said so far is on disk."""
        await self._writer.barrier()

    def forget(self, before: float) -> None:
        """Drop what is older than a Unix time."""
        first = ingress.uuid7(at=before)[:13]
        for statement in _FORGET:
            self._writer.submit(statement, (first,))


def place(config: Config) -> Path | None:
    """The file of the decision log; None where it is in the state's own file."""
    if config.audit.path:
        return Path(config.audit.path)
    return None if config.state.url.startswith("sqlite:") else Path("var/audit.db")


def _result(decision: Decision) -> Json:
    return {
        "allow": decision.allow,
        "rule": decision.rule,
        "mode": decision.mode,
        "deny": [{"code": deny.code, "class": deny.cls} for deny in decision.deny],
    }


def _outcome(call: Call, cost: int) -> Json:
    outcome, usage = call.outcome, call.outcome.usage
    return {
        "provider": outcome.provider,
        "model": outcome.model,
        "upstream_status": outcome.status,
        "tries": outcome.tries,
        "finished": outcome.finished,
        "usage": None
        if usage is None
        else {"input": usage.input, "output": usage.output, "cached": usage.cached, "counted": usage.counted},
        "cost_nano_usd": cost,
        "reserved": {debit.name: debit.amount for debit in call.debits},
        "redacted": call.redaction.counts,
        "screened": call.screening.counts,
    }
