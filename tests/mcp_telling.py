"""Calls of a server that tells of its progress, for tests of what becomes of their streams."""

from __future__ import annotations

import contextlib
from typing import Any

import event_stream
from line import Line
from mcp_asking import ABLE
from tool_client import Client
from tool_server import Scripted


def telling(server: Scripted) -> None:
    """The server tells what `server.told` says, one message at a time, and ends with the response."""

    def answer(message: dict[str, Any]) -> Any:
        token = message["params"].get("_meta", {}).get("progressToken")

        def write(handler: Any) -> None:
            send = event_stream.begin(handler)
            with contextlib.suppress(OSError):
                while "end" not in (said := server.told.get(timeout=10)):
                    if "progress" in said:
                        params = {"progressToken": token, **said}
                        send({"method": "notifications/progress", "params": params})
                    else:
                        send(said)
                send({"id": message["id"], "result": {"content": [{"type": "text", "text": "done"}]}})

        return write

    server.answers["tools/call"] = answer


def opened(line: Line, *, path: str = "/mcp/it", agent: str = "alice", version: str = "2025-11-25") -> str:
    """A session."""
    params = {"protocolVersion": version, "capabilities": ABLE, "clientInfo": {"name": "t", "version": "1"}}
    return str(Client(line, path, agent).send("initialize", params).headers["mcp-session-id"])


def progress(said: Any) -> Any:
    """The number in a report of progress."""
    return said["params"]["progress"]
