"""Event streams of scripted servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

Send = Callable[[dict[str, Any]], None]
"""Sends a message of JSON-RPC, given without `jsonrpc`, as an event."""


def begin(handler: BaseHTTPRequestHandler) -> Send:
    """Answer with the head of a stream, which ends with the connection."""
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("connection", "close")
    handler.end_headers()

    def send(said: dict[str, Any]) -> None:
        handler.wfile.write(b"data: " + json.dumps({"jsonrpc": "2.0", **said}).encode() + b"\n\n")

    return send
