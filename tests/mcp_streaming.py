"""Streams of what a server tells without a request: those of a scripted server, and those of clients."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import event_stream
from gateway.dialects import mcp_names
from line import Line
from mcp_asking import ABLE
from tool_client import Client
from tool_server import Scripted

END: Any = object()
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
UPDATED = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "notes://a"}}
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def log(data: Any) -> dict[str, Any]:
    """A message of a log."""
    return {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": data}}


class Streams:
    """The streams of a scripted server: what is put into `says` is sent, with an id of the event if it is a pair."""

    def __init__(self, server: Scripted) -> None:
        self.server = server
        self.says: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.status = 200
        self.gone = threading.Event()
        server.answers["GET"] = lambda _: self.write
        server.answers["subscriptions/listen"] = lambda _: self.write

    def write(self, handler: Any) -> None:
        """Answer a request for a stream."""
        if self.status != 200:
            handler.reply(self.status, b"")
            return
        event_stream.begin(handler)
        try:
            while (said := self.says.get(timeout=10)) is not END:
                if _has_gone(handler):  # the message is for the next stream
                    self.says.put(said)
                    self.gone.set()
                    return
                id, said = said if type(said) is tuple else ("", said)
                named = f"id: {id}\n" if id else ""
                data = said if type(said) is str else json.dumps(said)
                handler.wfile.write(f"{named}data: {data}\n\n".encode())
        except (OSError, queue.Empty):
            self.gone.set()


def _has_gone(handler: Any) -> bool:
    """Whether the client of a stream has closed the connection."""
    try:
        return not handler.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


class Open:
    """A stream of a client: its messages and the ids of its events."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self._lines = response.iter_lines()
        self.id = ""

    def next(self) -> Any:
        """The next message; None for an event without one; the end raises StopIteration."""
        self.id = ""
        data: str | None = None
        for one in self._lines:
            if one.startswith("id: "):
                self.id = one.removeprefix("id: ")
            elif one.startswith("data: "):
                data = one.removeprefix("data: ")
            elif not one and (data is not None or self.id):
                return json.loads(data) if data else None
        raise StopIteration

    def rest(self) -> list[Any]:
        """All messages until the end."""
        found = []
        try:
            while True:
                found.append(self.next())
        except StopIteration:
            return found


def session(line: Line, path: str = "/mcp/it", agent: str = "alice") -> str:
    """The id of a new session of a client that can be asked."""
    params = {"protocolVersion": "2025-11-25", "capabilities": ABLE, "clientInfo": {"name": "t", "version": "1"}}
    return str(Client(line, path, agent).send("initialize", params).headers["mcp-session-id"])


@contextmanager
def listening_to(line: Line, id: str, *, path: str = "/mcp/it", agent: str = "alice", **headers: str) -> Iterator[Open]:
    """The stream of a session."""
    sent = {"authorization": f"Bearer mg-{agent}", "accept": "text/event-stream", "mcp-session-id": id}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    with line.client.stream("GET", path, headers=sent) as response:
        yield Open(response)


@contextmanager
def subscribed(line: Line, wanted: Any, *, path: str = "/mcp/it", id: Any = "l1") -> Iterator[Open]:
    """A subscription of the later era."""
    meta = {mcp_names.VERSION: mcp_names.MODERN, mcp_names.CAPABILITIES: {}}
    message = {"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen"}
    message["params"] = {"notifications": wanted, "_meta": meta}
    sent = {"accept": "application/json, text/event-stream", "mcp-protocol-version": mcp_names.MODERN}
    sent["mcp-method"] = "subscriptions/listen"
    with line.client.stream("POST", path, json=message, headers=sent) as response:
        yield Open(response)
