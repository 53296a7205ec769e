"""A worker that is killed in the middle of a call: the call is recorded, once, with what it had reserved."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import tool_server
from mcp_telling import progress, telling
from mcp_working import Worker, settings_of, working
from tool_client import Client
from tool_server import Scripted, unknown
from waiting import eventually


@pytest.fixture
def served() -> Iterator[Scripted]:
    """A server that tells of its progress until the test ends."""
    with tool_server.scripted() as made:
        made.answers["server/discover"] = unknown
        telling(made)
        yield made
        made.told.put({"end": True})


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What the decision log has."""
    with contextlib.closing(sqlite3.connect(folder / "audit.db")) as database:
        return database.execute(query).fetchall()


def killed(worker: Worker, served: Scripted) -> None:
    """Kill a worker in the middle of the stream of a call."""
    params = {"name": "get_it", "arguments": {}, "_meta": {"progressToken": "t"}}
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    headers = {**Client(worker.line).headers, "x-correlation-id": "lost"}
    served.told.put({"progress": 1})
    with (
        contextlib.suppress(httpx.HTTPError),
        worker.client.stream("POST", "/mcp/it", json=message, headers=headers) as response,
    ):
        events = (json.loads(one[6:]) for one in response.iter_lines() if one.startswith("data: "))
        assert progress(next(events)) == 1
        os.kill(worker.pid, signal.SIGKILL)
        list(events)


@pytest.mark.parametrize("all_of_them", [False, True], ids=["one worker", "all workers"])
def test_a_call_of_a_killed_worker_is_recorded(
    served: Scripted, redis_url: str, tmp_path_factory: pytest.TempPathFactory, all_of_them: bool
) -> None:
    """By another worker, or by those in the place of all; other calls are recorded as ever."""
    tmp_path = tmp_path_factory.mktemp("l")  # the path of a socket has some hundred bytes
    row = {"mcp": served.url, "timeout": "60s", "price": 0.25}
    settings = settings_of(tmp_path, redis_url, {"it": row}) | {"quotas": {"cost_usd": 5, "calls": 10}}
    unended = "SELECT id FROM decisions WHERE id NOT IN (SELECT id FROM outcomes)"
    with working(tmp_path, settings) as (first, second):
        assert "error" in Client(second.line, "/mcp/it").call("nothing")
        killed(first, served)
        if all_of_them:
            os.kill(second.pid, signal.SIGKILL)
        eventually(lambda: rows(tmp_path, "SELECT * FROM outcomes WHERE correlation_id = 'lost'"), 120)
        assert rows(tmp_path, unended) == []
        eventually(lambda: len(rows(tmp_path, "SELECT * FROM processes")) == 2, 120)
    ((code, status, team, record),) = rows(
        tmp_path, "SELECT code, status, team, record FROM outcomes WHERE correlation_id = 'lost'"
    )
    assert (code, status, team) == ("overloaded", 503, "red")
    said = json.loads(record)
    assert (said["lost"], said["finished"], said["cost_nano_usd"]) == (True, False, 250_000_000)
    assert said["cost_nano_usd"] in said["reserved"].values()
    assert rows(tmp_path, "SELECT * FROM processes") == []
