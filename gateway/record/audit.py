"""The decision log in SQLite, with decisions, outcomes and actions of operators.

Config key: `audit`. The decision is on disk before the call leaves, the outcome follows. Records contain names, counts
and amounts, never a raw value, a prompt or an answer; `audit.erase` removes claims about people. If writing fails,
calls are refused as state_unavailable: a gateway that cannot record a call does not let it pass.
`policy/decisions.py` reads the log.
"""

from __future__ import annotations

import re
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

import orjson

from gateway import ids
from gateway.call import Call, Decision, Headers, Json, Subject
from gateway.config.grammar import Config
from gateway.config.sections import Audit as Settings
from gateway.errors import POLICY_UNAVAILABLE
from gateway.policy.erase import Eraser
from gateway.record.ended import Ended
from gateway.record.lost import SCHEMA as LOST
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
    # Decisions that a candidate bundle would have made differently.
    """CREATE TABLE IF NOT EXISTS differences (
        id TEXT NOT NULL, version TEXT NOT NULL, time REAL NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (id, version)) WITHOUT ROWID""",
    LOST,
    # Decisions that were not sent yet, in the order of writing.
    "CREATE TABLE IF NOT EXISTS unsent (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL)",
)
_DECISION = Bulk(3, "INSERT OR REPLACE INTO decisions VALUES (?,?,?,?,?,?,?,?,?)")
_OUTCOME = Bulk(4, "INSERT OR REPLACE INTO outcomes VALUES (?,?,?,?,?,?,?,?)")
_UNSENT = Bulk(5, "INSERT INTO unsent (id) VALUES (?)")
_DIFFERENCE = Bulk(6, "INSERT OR REPLACE INTO differences VALUES (?,?,?,?)")
_ACTION = "INSERT INTO actions VALUES (?,?,?,?,?,?,?)"
_NOBODY = Subject("", "")
_NO_POLICY = Decision(allow=True, rule="none", version="")
# Ids begin with their time. Decisions that were not sent yet are kept regardless of age.
_DELETE_OLDER = (
    "DELETE FROM decisions WHERE id < ? AND id NOT IN (SELECT id FROM unsent)",
    "DELETE FROM outcomes WHERE id < ?",
    "DELETE FROM actions WHERE id < ?",
    "DELETE FROM differences WHERE id < ?",
)
_NEWEST = "COALESCE((SELECT id FROM decisions ORDER BY id DESC LIMIT 1 OFFSET ?), '')"
_DELETE_EXCESS = (
    f"DELETE FROM outcomes WHERE id <= {_NEWEST}",  # noqa: S608  only constants
    f"DELETE FROM differences WHERE id <= {_NEWEST}",  # noqa: S608
    f"DELETE FROM decisions WHERE id <= {_NEWEST} AND id NOT IN (SELECT id FROM unsent)",  # noqa: S608
)
# Headers in which clients name the sub-agent that calls, and its parent.
_CLAIMS: Final = {
    b"x-agent-id": "agent",
    b"x-agent-name": "agent",
    b"x-claude-code-agent-id": "agent",
    b"x-parent-agent-id": "parent",
    b"x-claude-code-parent-agent-id": "parent",
}
# Plain names without longer numbers, which may be those of a person; and UUIDs.
_PLAIN: Final = re.compile(
    rb"(?!.*[0-9](?:[-_.:/]?[0-9]){4})[A-Za-z_][A-Za-z0-9_.:/-]{0,63}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


class Audit:
    """Writes records through a group-committing writer."""

    def __init__(self, writer: Writer, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self._writer = writer
        self._erase = Eraser(settings.erase).erase if settings.erase else None
        self._sends = settings.upload is not None

    def decided(self, call: Call) -> None:
        """Enqueue the decision of a call, which is on disk after the writer's next barrier.

        While writes fail, no call passes the barrier, and decisions are not kept.
        """
        if self._writer.failing:
            return
        subject, decision = call.subject or _NOBODY, call.authorization.decision or _NO_POLICY
        row = (
            call.id,
            time.time(),
            subject.team,
            subject.agent,
            call.request.correlation_id,
            "allow" if decision.allow else "deny",
            decision.rule,
            decision.version,
            self._record(call.authorization.input or {}, decision, claimed(call.headers), begun(call)),
        )
        self._writer.submit(_DECISION, row)
        if self._sends:
            self._writer.submit(_UNSENT, (call.id,))

    def differs(self, id: str, version: str, record: bytes) -> None:
        """Enqueue a decision that a candidate bundle would have made differently."""
        self._writer.submit(_DIFFERENCE, (id, version, time.time(), record))

    def sent(self, last: int) -> None:
        """Enqueue that all decisions up to this sequence number were sent."""
        self._writer.submit("DELETE FROM unsent WHERE seq <= ?", (last,))

    def ended(self, record: Ended) -> None:
        """Enqueue the outcome of a call. While writes fail, only calls that were sent to a provider are kept.

        Throttled calls without a valid key are not recorded, because a flood of them must not fill the log.
        """
        if record.throttled or (self._writer.failing and not record.sent):
            return
        who = record.subject or _NOBODY
        row = (
            record.id,
            time.time(),
            who.team,
            who.agent,
            record.correlation_id,
            record.code,
            record.status,
            orjson.dumps(_outcome(record)),
        )
        self._writer.submit(_OUTCOME, row)

    def acted(self, who: str, action: str, team: str, correlation_id: str, details: Json) -> None:
        """Enqueue an action that an operator is about to take. `who`: a key by its hash, or a user of this machine."""
        row = (ids.uuid7(), time.time(), who, action, team, correlation_id, orjson.dumps(details))
        self._writer.submit(_ACTION, row)

    def durable(self) -> Coroutine[None, None, None]:
        """Return, once awaited, when everything enqueued so far is on disk. Raises StoreUnavailable."""
        return self._writer.barrier()

    def expire(self, before: float, most: int | None = None) -> None:
        """Delete records older than a Unix time, and the oldest if there are more than `most` decisions."""
        first = ids.uuid7(at=before)[:13]
        if not self._sends:  # without `audit.upload`, the queue of an earlier configuration is not sent
            self._writer.submit("DELETE FROM unsent WHERE id < ?", (first,))
        for statement in _DELETE_OLDER:
            self._writer.submit(statement, (first,))
        for statement in _DELETE_EXCESS if most is not None else ():
            self._writer.submit(statement, (most,))

    def _record(self, document: Json, decision: Decision, claims: Json, began: Json) -> bytes:
        """The input and the whole result as JSON, with the list of erased values if there are any.

        `claims`: what the caller says of itself. `began`: see `begun`.
        """
        result = orjson.Fragment(decision.result)
        record: Json = {"input": document, "result": result, "mode": decision.mode, "begun": began}
        if claims:
            record["claimed"] = claims
        if decision.rule == POLICY_UNAVAILABLE:
            record["error"] = POLICY_UNAVAILABLE
        if self._erase is not None:
            record["input"], erased = self._erase(document)
            if erased:
                record["erased"] = erased
        return orjson.dumps(record)


def begun(call: Call) -> Json:
    """What is needed if the process is killed before the outcome is written: see `lost`."""
    debits = call.admission.debits
    cost = sum([debit.amount for debit in debits if debit.key == "cost"])
    return {"process": ids.WORKER, "reserved": {debit.name: debit.amount for debit in debits}, "cost": cost}


def claimed(headers: Headers) -> dict[str, str]:
    """What a caller says of itself: names of a sub-agent and of its parent. `?` stands for what is no plain name."""
    found: dict[str, str] = {}
    for name, value in headers:
        if (what := _CLAIMS.get(name)) is not None:
            found.setdefault(what, value.decode("ascii") if _PLAIN.fullmatch(value) else "?")
    return found


def place(config: Config) -> Path | None:
    """The separate file of the decision log; None if the log is in the state's own file."""
    if config.audit.path:
        return Path(config.audit.path)
    return None if config.state.url.startswith("sqlite:") else Path("var/audit.db")


def file(config: Config) -> Path:
    """The file with the decision log: a separate file, or the state's own."""
    return place(config) or Path(config.state.url.removeprefix("sqlite:///"))


def _outcome(record: Ended) -> Json:
    usage = record.usage
    return {
        "provider": record.provider,
        "model": record.provider_model,
        "upstream_status": record.provider_status,
        "tries": record.tries,
        "finished": record.finished,
        "usage": None
        if usage is None
        else {"input": usage.input, "output": usage.output, "cached": usage.cached, "counted": usage.counted},
        "cost_nano_usd": record.cost,
        **({"runs": dict(usage.runs)} if usage is not None and usage.runs else {}),
        **({} if record.priced else {"unpriced": True}),
        **({"cache": "hit", "saved_nano_usd": record.saved} if record.hit else {}),
        "reserved": {debit.name: debit.amount for debit in record.debits},
        "bound": record.bound,
        "redacted": record.redacted,
        "screened": record.screened,
    }
