"""Answers in the background: a gateway for them, their end, and what a workflow was charged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import generating
import passed
import responding
import upstream as scripted
from keeping import PRICE, settings
from line import KEYS, Line

SOON: dict[str, Any] = {"stored": {"retrieve": "0.2s"}}
NEVER: dict[str, Any] = {"stored": {"retrieve": "1h"}}
TOKENS = 25_000  # nano-USD of the tokens of one answer
SMALL, LARGE, SEARCH, PREVIEW = 30_000_000, 120_000_000, 10_000_000, 25_000_000
RUNS = {"container": 30, "container_4g": 120, "web_search": 10}
INTERPRETER = {"type": "code_interpreter", "container": {"type": "auto"}}


def code(container: str) -> dict[str, Any]:
    """An item of code that ran in a container."""
    ran = {"type": "code_interpreter_call", "id": f"ci_{container}", "code": "1", "status": "completed", "outputs": []}
    return {**ran, "container_id": container}


def made(folder: Path, up: scripted.Upstream, state: str = "", **fields: Any) -> dict[str, Any]:
    """A configuration with a provider of each kind of such answers."""
    url = state or f"sqlite:///{folder}/state.db"
    found = settings(folder, up, state=url, audit={"path": str(folder / "audit.db")}, **fields)
    found["providers"]["g"] = {"format": "gemini", "base_url": up.url, "api_key": "gem-upstream-secret"}
    found["providers"]["claude"] = {"format": "anthropic", "base_url": up.url, "api_key": "sk-ant-upstream"}
    price = {**PRICE, "tiers": {"batch": {"input": 1, "output": 1}}}
    found["models"]["act"] = {"targets": ["g/gem-x"], "price": price}
    found["models"]["claude"] = {"targets": ["claude/claude-x"], "price": price}
    return found


def post(line: Line, path: str, cid: str, body: dict[str, Any], agent: str = "alice") -> Any:
    """One call."""
    headers = {"authorization": f"Bearer {KEYS[agent]}", "x-correlation-id": cid}
    return line.client.post(path, json=body, headers=headers)


def finish(id: str) -> None:
    """The provider completes it."""
    responding.PENDING.discard(id)
    generating.RUNNING.discard(id)
    if id in passed.BATCHES:
        passed.BATCHES[id]["processing_status"] = "ended"


def amounts(line: Line, cid: str) -> tuple[int, int]:
    """The tokens that a workflow was charged, and those that are held."""
    found = line.workflow(cid)
    return found.used.get("tokens", 0), found.held.get("tokens", 0)


def outcomes(line: Line, cid: str) -> list[dict[str, Any]]:
    """The outcomes of a workflow in the decision log that cost something."""
    asyncio.run_coroutine_threadsafe(line.gateway.runtime.audit.durable(), line.loop).result()
    with contextlib.closing(sqlite3.connect(line.path.parent / "audit.db")) as log:
        found = log.execute("SELECT agent, record FROM outcomes WHERE correlation_id = ?", (cid,)).fetchall()
    return [{**one, "agent": agent} for agent, record in found if (one := json.loads(record))["cost_nano_usd"]]
