"""The Model Context Protocol over Streamable HTTP, in both of its eras.

Until 2025-11-25, a client opens a session with `initialize`; from 2026-07-28 on, each request says in `params._meta`
what it needs, and repeats method and name in headers (basic/transports/streamable-http). Both are served on one path.
Requests are judged by their body; headers that say something else, or occur twice, are refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from gateway.call import Headers, Json
from gateway.dialects import MAX_ANSWER, NO_VALUES, Intent
from gateway.dialects.field_table import Table, table
from gateway.dialects.jsonrpc import PARAMS, UNKNOWN_METHOD, Fault, JsonRpc
from gateway.dialects.tree import Shape
from gateway.errors import Refusal

MODERN: Final = "2026-07-28"
HANDSHAKE: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Versions with `initialize`, oldest first."""
VERSIONS: Final = (*HANDSHAKE, MODERN)
META: Final = "_meta"
VERSION: Final = "io.modelcontextprotocol/protocolVersion"
CLIENT: Final = "io.modelcontextprotocol/clientInfo"
CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
MISMATCH: Final = -32020
UNSUPPORTED: Final = -32022
CALL: Final = "tools/call"
LIST: Final = "tools/list"
NAMED: Final[Mapping[str, str]] = {CALL: "name", "prompts/get": "name", "resources/read": "uri"}
"""Method -> the parameter that the header `Mcp-Name` repeats."""
OLD_METHODS: Final = frozenset({"initialize", "ping", LIST, CALL})
NEW_METHODS: Final = frozenset({"server/discover", LIST, CALL})
_ROUTING: Final = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-session-id")
_ENCODED: Final = re.compile(r"=\?base64\?([A-Za-z0-9+/=]*)\?=")
_TOOL: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_REQUEST: Final = Shape(
    opaque=frozenset({"jsonrpc", "method", "id", "name", "protocolVersion", "progressToken", "cursor"}),
    json=frozenset(),
    blobs=frozenset(),
    within=frozenset({"params"}),
    repeats=frozenset({META, "capabilities", "clientInfo"}),  # not forwarded
)
_ANSWER: Final = Shape(
    opaque=frozenset({"jsonrpc", "id", "type", "mimeType", "resultType", "protocolVersion", "cacheScope", "format"}),
    json=frozenset(),
    blobs=frozenset(),
    within=frozenset({"result", "content", "resource", "tools", "annotations", "inputSchema", "outputSchema"})
    | frozenset({"properties", "items"}),
    roles={"result": "tool", "error": "tool"},
    pictures=frozenset({"data", "blob"}),
)


def header(headers: Headers, name: bytes) -> str:
    """The value of a header, decoded if it is in base64 (`=?base64?...?=`); "" without the header."""
    value = next((value for key, value in headers if key == name), b"").decode("latin-1").strip()
    encoded = _ENCODED.fullmatch(value)
    if encoded is None:
        return value
    try:
        return base64.b64decode(encoded[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return value


def written(value: str) -> str:
    """A value as a header has it: in base64 if it is not plain ASCII."""
    plain = value.isascii() and value.isprintable() and value == value.strip() and not _ENCODED.fullmatch(value)
    return value if plain else f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def unknown_tool() -> Refusal:
    """The refusal for a tool that does not exist, or that the caller may not see."""
    return Fault(PARAMS, "There is no tool of this name. `tools/list` has your tools.", code="tool_not_found")


class Mcp(JsonRpc):
    """The codec of one call to the server `server`."""

    name = "mcp"
    noun = "a response of the Model Context Protocol"
    formats = frozenset({"mcp"})
    path = "/mcp/{server}"
    shape = _REQUEST
    fields: Table = table("jsonrpc id method", params=None)
    answer = _ANSWER
    words = frozenset({"2.0", "text", "complete", "private", "object", "string"})
    max_answer = MAX_ANSWER

    def __init__(self, server: str, headers: Headers) -> None:
        super().__init__()
        self.server = server
        self.called = ""
        self.modern = False
        self._headers = headers

    @property
    def told(self) -> bool:
        """Whether the message is a notification or the answer to a question, of which only the receipt is answered."""
        return not self.answered

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The tool as `server/name`; the server for other messages. Raises Refusal(invalid_request, tool_not_found)."""
        self.open(body)
        self._check_version()
        if self.answered:
            known = NEW_METHODS if self.modern else OLD_METHODS
            if self.method not in known:
                status = 404 if self.modern else 200
                raise Fault(UNKNOWN_METHOD, "The method is not served here.", status=status)
        if self.method != CALL or self.told:
            return Intent(self.server, False, (), 0, control=True)
        name, arguments = self.params.get("name"), self.params.get("arguments")
        if type(name) is not str or not _TOOL.fullmatch(name):
            raise unknown_tool()
        if arguments is None:
            arguments = self.params["arguments"] = {}
        if type(arguments) is not dict:
            raise Fault(PARAMS, "`params.arguments` must be an object.")
        self.called = name
        return Intent(f"{self.server}/{name}", False, (), 0, arguments)

    def _check_version(self) -> None:
        """Determine the era, and compare headers with the body. Raises Refusal(invalid_request)."""
        seen = [name for name, _ in self._headers if name in _ROUTING]
        if len(set(seen)) != len(seen):
            raise Fault(MISMATCH, "A header of the protocol occurs twice.", status=400)
        meta = self.params.get(META)
        said = meta.get(VERSION) if type(meta) is dict else None
        shown = header(self._headers, b"mcp-protocol-version")
        if said is None and shown != MODERN:
            if shown and shown not in HANDSHAKE and self.method != "initialize":
                raise _unsupported()
            return
        if type(said) is not str or type(meta) is not dict or type(meta.get(CAPABILITIES)) is not dict:
            raise Fault(PARAMS, f"`params._meta` must have `{VERSION}` and `{CAPABILITIES}`.", status=400)
        if said != shown:
            raise Fault(MISMATCH, "The header MCP-Protocol-Version differs from the version in the body.", status=400)
        if said != MODERN:
            raise _unsupported()
        self.modern = True
        if header(self._headers, b"mcp-method") != self.method:
            raise Fault(MISMATCH, "The header Mcp-Method differs from the method in the body.", status=400)
        if (param := NAMED.get(self.method)) and header(self._headers, b"mcp-name") != self.params.get(param):
            raise Fault(MISMATCH, f"The header Mcp-Name differs from `params.{param}`.", status=400)


def _unsupported() -> Fault:
    data = {"supported": list(VERSIONS)}
    return Fault(UNSUPPORTED, f"This version is not served; use one of {', '.join(VERSIONS)}.", status=400, data=data)
