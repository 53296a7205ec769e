"""Clients of tools: one that writes each message itself, and that of the official SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.client import Client as SdkClient
from mcp.client.streamable_http import streamable_http_client

from line import Line


class Client:
    """The client, with the key of an agent."""

    def __init__(self, line: Line, path: str = "/mcp/it", agent: str = "alice") -> None:
        self.line = line
        self.path = path
        self.headers = {"authorization": f"Bearer mg-{agent}", "accept": "application/json, text/event-stream"}

    def send(self, method: str, params: Any = None, *, id: Any = 7, **headers: str) -> Any:
        """One request; the response of HTTP."""
        message = {"jsonrpc": "2.0", "id": id, "method": method, **({} if params is None else {"params": params})}
        return self.post(json.dumps(message), **headers)

    def post(self, body: str, **headers: str) -> Any:
        """Any body."""
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**self.headers, "content-type": "application/json", **extra}
        return self.line.client.post(self.path, content=body, headers=sent)

    def call(self, tool: str, arguments: Any = None, **headers: str) -> Any:
        """The response to a call of a tool, as JSON."""
        return self.send("tools/call", {"name": tool, "arguments": arguments or {}}, **headers).json()

    def open(self) -> str:
        """Open a session; returns its id."""
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        answer = self.send("initialize", params)
        assert answer.json()["result"]["protocolVersion"] == "2025-11-25"
        return str(answer.headers["mcp-session-id"])

    def tools(self) -> list[str]:
        """The names of the tools in the list."""
        return [tool["name"] for tool in self.send("tools/list").json()["result"]["tools"]]


@asynccontextmanager
async def sdk(url: str, **options: Any) -> AsyncIterator[SdkClient]:
    """The client of the SDK with the key of alice. `options`: those of `mcp.client.client.Client`."""
    async with (
        httpx2.AsyncClient(headers={"authorization": "Bearer mg-alice"}, timeout=20) as http,
        SdkClient(streamable_http_client(url, http_client=http), **options) as client,
    ):
        yield client


def failed(answer: Any) -> tuple[int, str]:
    """The code of an error, and the gateway's own."""
    return answer["error"]["code"], answer["error"]["data"]["code"]


def text(answer: Any) -> str:
    """The text of a result."""
    return str(answer["result"]["content"][0]["text"])
