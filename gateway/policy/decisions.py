"""Reads the decision log: decisions as recorded, and as events of OPA's decision log.

https://www.openpolicyagent.org/docs/management-decision-logs. Facts without a field in OPA's event are under `custom`.
A reader has its own connection, and the gateway can write at the same time.
"""

from __future__ import annotations

import datetime
import platform
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from gateway import __version__, ids
from gateway.call import Json
from gateway.errors import ConfigError
from gateway.stores.writer import connect

PATH: Final = "gateway/decision"
_COLUMNS = "id, time, team, agent, correlation_id, verdict, rule, version, record"
_OF_DECISION = ", ".join(f"d.{name}" for name in _COLUMNS.split(", "))
_PAGE = 1000
_LABELS: Final = {"app": "meshgate", "id": platform.node(), "version": __version__}


class Recorded(NamedTuple):
    """One recorded decision. `time`: Unix seconds. `record`: JSON with input, result, mode and erased pointers."""

    id: str
    time: float
    team: str
    agent: str
    correlation_id: str
    verdict: str
    rule: str
    version: str
    record: bytes


class Reader:
    """Reads one file. Raises ConfigError if the file does not exist or has no decision log."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ConfigError(f"there is no decision log at {path} yet: the first call creates it")
        try:
            self._connection = connect(path)
            if not has_table(self._connection, "decisions"):  # keys may be added before the gateway first runs
                self._connection.close()
                raise ConfigError(f"there are no calls in {path} yet: the decision log begins with the first call")
            self._connection.execute("SELECT 1 FROM decisions, unsent LIMIT 0")
        except sqlite3.Error as error:
            raise ConfigError(f"{path} is not a decision log: {error}") from None

    def decisions(self, since: float = 0.0, until: float | None = None) -> Iterator[Recorded]:
        """The decisions of a period (Unix seconds), in the order of their calls, read in pages."""
        last = ids.uuid7(at=since)[:13] if since else ""
        while True:
            query = f"SELECT {_COLUMNS} FROM decisions WHERE id > ? ORDER BY id LIMIT {_PAGE}"  # noqa: S608
            rows = self._connection.execute(query, (last,)).fetchall()
            for row in rows:
                recorded = Recorded(*row)
                if until is not None and recorded.time >= until:
                    return
                yield recorded
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    def decision(self, id: str) -> Recorded | None:
        """The decision on one call, by its id; None if the log does not have it."""
        query = f"SELECT {_COLUMNS} FROM decisions WHERE id = ?"  # noqa: S608
        row = self._connection.execute(query, (id,)).fetchone()
        return Recorded(*row) if row else None

    def differences(self, since: float = 0.0) -> Iterator[tuple[Recorded, str, bytes]]:
        """Decisions that a candidate would have made differently, with its version and its result as JSON."""
        query = f"""SELECT {_OF_DECISION}, x.version, x.record
            FROM differences x JOIN decisions d USING (id) WHERE x.id > ? ORDER BY x.id"""  # noqa: S608
        for row in self._connection.execute(query, (ids.uuid7(at=since)[:13] if since else "",)):
            yield Recorded(*row[:-2]), row[-2], row[-1]

    def unsent(self, most: int) -> tuple[int, list[Recorded]]:
        """The next decisions to send, and the sequence number of the last (0: there are none)."""
        query = f"""SELECT u.seq, {_OF_DECISION}
            FROM unsent u LEFT JOIN decisions d USING (id) ORDER BY u.seq LIMIT ?"""  # noqa: S608
        queue = self._connection.execute(query, (most,)).fetchall()
        return queue[-1][0] if queue else 0, [Recorded(*row[1:]) for row in queue if row[1] is not None]

    def waiting(self) -> int:
        """The number of decisions that were not sent yet."""
        count: int = self._connection.execute("SELECT count(*) FROM unsent").fetchone()[0]
        return count

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether a state file has a table. The first run of the gateway creates the decision log."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (name,)).fetchone() is not None


def event(recorded: Recorded) -> Json:
    """A decision as an event of OPA's decision log."""
    record = orjson.loads(recorded.record)
    told: Json = {
        "labels": _LABELS,
        "decision_id": recorded.id,
        "bundles": {"gateway": {"revision": recorded.version}} if recorded.version else {},
        "path": PATH,
        "input": record["input"],
        "result": record["result"],
        "requested_by": recorded.agent,
        "timestamp": timestamp(recorded.time),
        "custom": {
            "agent": recorded.agent,
            "team": recorded.team,
            "correlation_id": recorded.correlation_id,
            "verdict": recorded.verdict,
            "rule": recorded.rule,
            "mode": record.get("mode", "enforce"),
        },
    }
    if "error" in record:
        told["error"] = {"code": record["error"], "message": "no decision could be made"}
        del told["result"]
    if record.get("erased"):
        told["erased"] = record["erased"]
    return told


def timestamp(at: float) -> str:
    """A time in Unix seconds in the format of RFC 3339, in UTC."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
