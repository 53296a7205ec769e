"""Processes that misbehave: they write without end, do not read, leave others behind; and callers that meddle."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.call import Subject
from gateway.config.tools import Tool
from gateway.delegation import Delegation
from gateway.errors import Refusal
from gateway.tools.sessions import Sessions
from gateway.tools.stdio import StdioWire
from gateway.tools.wire import Session, unheld

HEAD = """
import json, os, signal, sys, time

def tell(**said):
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)

def read():
    return json.loads(sys.stdin.readline())

opening = read()
about = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
tell(id=opening["id"], result=about)
read()
"""
SERVES = """
cancelled = []
while True:
    said = read()
    if said["method"] == "notifications/cancelled":
        cancelled.append(said["params"]["requestId"])
    elif said["params"]["arguments"].get("what") == "wait":
        waits = said["id"]
        tell(method="notifications/tools/list_changed")
    else:
        tell(id=said["id"], result={"cancelled": cancelled, "waits": waits})
"""
PINGS = """
line = (json.dumps({"jsonrpc": "2.0", "id": "p" * 200, "method": "ping"}) + "\\n").encode()
while True:
    os.write(1, line * 200)
"""
GARBAGE = """
while True:
    os.write(1, b"{}\\n" * 20000)
"""
CHANGES = """
line = (json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}) + "\\n").encode()
while True:
    os.write(1, line * 200)
"""
LEAVES = """
said = read()
if os.fork() == 0:
    DETACH
    open(FILE, "w").write(str(os.getpid()))
    time.sleep(60)
while not os.path.exists(FILE):
    time.sleep(0.01)
os._exit(0)
"""


@asynccontextmanager
async def served(script: str, seconds: float = 20) -> AsyncIterator[StdioWire]:
    """A process with this script, once its session is opened."""
    wire = StdioWire("it", Tool(command=(sys.executable, "-c", HEAD + script), timeout=seconds, max_answer=1_000_000))
    try:
        yield wire
    finally:
        await wire.close()


def call(id: Any = 7, **arguments: Any) -> dict[str, Any]:
    """A call of a tool."""
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "do", "arguments": arguments}}


async def ask(wire: StdioWire, session: Session, **arguments: Any) -> Any:
    """The result of a call."""
    return json.loads(await wire.ask(session, call(**arguments), unheld))["result"]


@pytest.mark.parametrize("script", [PINGS, GARBAGE, CHANGES])
async def test_a_process_that_writes_without_end_is_killed(script: str) -> None:
    """What no call waits for fills neither memory nor log, and does not keep the gateway busy."""
    async with served(script) as wire:
        session, _ = await wire.open()
        with pytest.raises(Refusal, match="writes without end"):
            await ask(wire, session)


async def test_what_a_process_does_not_read_is_not_kept() -> None:
    """Of many long calls that timed out, hardly more than one message is left."""
    async with served("time.sleep(60)", seconds=1.5) as wire:
        session, _ = await wire.open()
        texts = [str(number) * 500_000 for number in range(10, 30)]
        answers = await asyncio.gather(*(ask(wire, session, text=it) for it in texts), return_exceptions=True)
        assert {getattr(one, "code", one) for one in answers} == {"upstream_timeout"}
        pipes = [one for one in gc.get_objects() if isinstance(one, asyncio.WriteTransport)]
        assert pipes
        assert sum(one.get_write_buffer_size() for one in pipes) < 3_000_000


@pytest.mark.parametrize("detach", ["pass", "os.setsid()"])
async def test_what_a_process_leaves_behind_holds_no_call(tmp_path: Path, detach: str) -> None:
    """The call ends with the process, although another one has its pipes."""
    file = tmp_path / "pid"
    script = LEAVES.replace("FILE", repr(str(file))).replace("DETACH", detach)
    async with served(script) as wire:
        session, _ = await wire.open()
        with pytest.raises(Refusal, match="has ended"):
            async with asyncio.timeout(10):
                await ask(wire, session)
    left = int(file.read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(left, signal.SIGKILL)


async def test_a_caller_cancels_its_own_requests_alone() -> None:
    """All share the process: a request is found by the session and the id that its caller has."""
    async with served(SERVES) as wire:
        session, _ = await wire.open()
        mine, other = session._replace(holder=("red", "alice", "1")), session._replace(holder=("red", "alice", "2"))
        changed = asyncio.Event()
        wire.follow(changed.set)
        waits = asyncio.create_task(wire.ask(mine, call(id="a", what="wait"), unheld))
        await changed.wait()
        for id in ("a", *range(1, 9)):
            await wire.tell(other, _cancel(id))
            await wire.tell(session, _cancel(id))
        found = await ask(wire, other)
        assert found["cancelled"] == []
        await wire.tell(mine, _cancel("a"))
        with pytest.raises(Refusal, match="cancel"):
            await waits
        assert (await ask(wire, other))["cancelled"] == [found["waits"]]


def test_sub_agents_share_the_processes_of_their_agent() -> None:
    """Their number would not be limited, if each had its own: an agent gives its sub-agents any names."""
    sessions, alone = Sessions(None), Subject("alice", "red", ())
    child = replace(alone, delegation=Delegation("w", ("alice",), ("child",), (), (), 9e9))
    opened = [
        sessions.open(one, "it", sessions.new(one, "it", Session("2025-11-25"), "", {})) for one in (alone, child)
    ]
    holders = [one.upstream.holder for one in opened if one is not None]
    assert holders[0][:2] == holders[1][:2]
    assert holders[0] != holders[1]


def _cancel(id: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}
