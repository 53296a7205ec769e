"""A caller of `/v1/realtime`, and a gateway with a model for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

import upstream as scripted
from keeping import settings
from line import Line
from realtime_provider import Provider

MAIL, CARD, KEY = "ann@example.org", "4539 1488 0343 6467", "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def made(folder: Path, up: Provider, **fields: Any) -> dict[str, Any]:
    """A configuration with a model at the provider."""
    unused = scripted.Upstream.__new__(scripted.Upstream)
    unused.url = up.url
    found = settings(folder, unused, server={"websockets": True}, **fields)
    found["providers"]["other"]["base_url"] = up.url
    found["models"]["talk"] = {"targets": ["up/gpt-realtime"], "price": {"input": 1, "output": 2}}
    return found


def opened(line: Line, agent: str = "alice", model: str = "talk", **headers: str) -> ClientConnection:
    """A connection."""
    said = {"authorization": f"Bearer mg-{agent}", **headers}
    url = f"{line.url.replace('http', 'ws')}/v1/realtime?model={model}"
    return connect(url, additional_headers=said)


def until(socket: Connection, *names: str) -> list[dict[str, Any]]:
    """The events up to the first of these types."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] not in names:
        events.append(json.loads(socket.recv(timeout=20)))
    return events


def send(socket: Connection, kind: str, **fields: Any) -> None:
    """Send an event."""
    socket.send(json.dumps({"type": kind, **fields}))


def say(socket: Connection, text: str) -> None:
    """An item with a text of the user."""
    part = {"type": "input_text", "text": text}
    send(socket, "conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
    until(socket, "conversation.item.done")


def answer(socket: Connection, **response: Any) -> list[dict[str, Any]]:
    """The events of an answer."""
    send(socket, "response.create", **({"response": response} if response else {}))
    return until(socket, "response.done", "error")


def text(events: list[dict[str, Any]], name: str = "output_text") -> str:
    """What the deltas say, which the later events repeat."""
    said = "".join(event["delta"] for event in events if event["type"] == f"response.{name}.delta")
    key = "text" if name == "output_text" else "transcript"
    assert [event[key] for event in events if event["type"] == f"response.{name}.done"] == [said]
    assert events[-1]["type"] == "response.done", events[-1]
    assert events[-1]["response"]["output"][0]["content"][0][key] == said
    return said
