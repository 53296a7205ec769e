"""Usage, summed over the outcomes in the decision log. A running gateway may write to the log meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway import ids
from gateway.amounts import NANO_USD
from gateway.call import Json
from gateway.errors import ConfigError
from gateway.policy.decisions import has_table
from gateway.stores.writer import connect

_RECORD: Final = "CAST(record AS TEXT)"
BY: Final[Mapping[str, str]] = {
    "key": "agent",
    "agent": "agent",
    "team": "team",
    "model": f"json_extract({_RECORD}, '$.model')",
    "provider": f"json_extract({_RECORD}, '$.provider')",
    "workflow": "team || ' ' || correlation_id",
}
"""Group of usage -> its column or expression. A key belongs to one agent and is shown by the agent's name."""


class Used(NamedTuple):
    """The sums of one group: calls, failed or refused calls, tokens, cost in nano-USD, and calls without a price."""

    name: str
    calls: int
    failed: int
    input: int
    cached: int
    output: int
    cost: int
    unpriced: int

    def shown(self, by: str) -> Json:
        """The sums as JSON, with the cost in USD."""
        _, calls, failed, input_, cached, output, cost, unpriced = self
        tokens = {"input_tokens": input_, "cached_tokens": cached, "output_tokens": output}
        return {
            by: self.name,
            "calls": calls,
            "failed": failed,
            **tokens,
            "cost_usd": cost / NANO_USD,
            "unpriced": unpriced,
        }


def read(path: Path, by: str, since: float = 0.0) -> list[Used]:
    """The sums by group, most expensive first; empty before the first call. Raises ConfigError without a log.

    `by` is a key of `BY`, `since` is in Unix seconds.
    """
    sums = (f"COALESCE(SUM(json_extract({_RECORD}, '$.usage.{name}')), 0)" for name in ("input", "cached", "output"))
    amounts = ", ".join(sums)
    query = f"""SELECT COALESCE({BY[by]}, ''), COUNT(*), SUM(status >= 400), {amounts},
        COALESCE(SUM(json_extract({_RECORD}, '$.cost_nano_usd')), 0) AS cost,
        COALESCE(SUM(json_extract({_RECORD}, '$.unpriced')), 0)
        FROM outcomes WHERE id > ? GROUP BY 1 ORDER BY cost DESC, 2 DESC, 1"""  # noqa: S608  the table above
    return [Used(*row) for row in _rows(path, query, since)]


def unended(path: Path, since: float = 0.0) -> int:
    """The number of calls that left and have no outcome: in flight, or lost with their gateway. Raises as `read`."""
    query = """SELECT COUNT(*) FROM decisions WHERE id > ? AND verdict = 'allow'
        AND NOT EXISTS (SELECT 1 FROM outcomes WHERE outcomes.id = decisions.id)"""
    return sum(number for (number,) in _rows(path, query, since))


def _rows(path: Path, query: str, since: float) -> list[tuple[Any, ...]]:
    if not path.is_file():
        raise ConfigError(f"there is no decision log at {path} yet: the first call creates it")
    try:
        with closing(connect(path)) as connection:
            if not has_table(connection, "outcomes"):  # keys may be added before the gateway first runs
                return []
            return connection.execute(query, (ids.uuid7(at=since)[:13] if since else "",)).fetchall()
    except sqlite3.Error as error:
        raise ConfigError(f"{path} is not a decision log: {error}") from None
