"""An HTTP tool with an OpenAPI document as an MCP server: its operations are tools. Config keys: `tools.*.openapi`.

Nothing is asked of the HTTP server until an operation is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import orjson

from gateway.call import Json
from gateway.config.openapi import DEEP, JSON, Operation, described
from gateway.config.tools import Tool
from gateway.dialects import http_tool, mcp_names
from gateway.dialects.jsonrpc import PARAMS, UNKNOWN_METHOD
from gateway.tools.breaker import Attempt, Breaker
from gateway.tools.plain import destination
from gateway.tools.wire import (
    NO_HEADERS,
    NOTHING,
    OFFERED,
    Hold,
    InTime,
    Relay,
    Session,
    TokenRefused,
    Told,
    Wire,
    borne,
    broken,
)
from gateway.upstream.bodies import begun, received
from gateway.upstream.client import Client, Response

_STEPS: Final = frozenset({".", ".."})
_DELETES: Final = "destructiveHint"


class OperationsWire(Wire):
    """One row with `openapi`. Raises ValueError for a document with mistakes, which the check of the file found."""

    def __init__(self, name: str, row: Tool, client: Client, breaker: Breaker) -> None:
        self._name = name
        self._row = row
        self._client = client
        self._breaker = breaker
        self._to = destination(row)
        self._described = described(row)
        self._operations = {one.name: one for one in self._described.chosen}

    async def open(self, bearer: str = "", able: Json = NOTHING) -> tuple[Session, Json]:
        """No session: each operation is a request of its own."""
        del bearer, able
        return Session(OFFERED), {"serverInfo": {"name": self._name, "version": "1"}, "capabilities": {"tools": {}}}

    async def ask(
        self,
        session: Session,
        message: Json,
        hold: Hold,
        headers: Mapping[str, str] = NO_HEADERS,
        bearer: str = "",
        relay: Relay | None = None,
    ) -> bytes:
        """The list of operations, or the answer of one."""
        del session, headers, relay  # of MCP
        match message["method"]:
            case mcp_names.LIST:
                return _result(message, {"tools": [_tool(one) for one in self._operations.values()]})
            case mcp_names.CALL:
                async with self._breaker.attempt() as attempt, InTime(self._name, self._row.timeout):
                    return await self._call(message, hold, bearer, attempt)
        return _error(message, UNKNOWN_METHOD, "The method is not served here.")

    async def listen(self, session: Session, bearer: str = "", last: str = "", message: Json | None = None) -> Told:
        """None: an HTTP API has no such stream."""
        del session, bearer, last, message
        return None

    async def tell(self, session: Session, message: Json, bearer: str = "") -> None:
        """Do nothing: an HTTP API takes no notifications."""

    async def end(self, session: Session, bearer: str = "") -> None:
        """Do nothing: an HTTP API has no sessions."""

    async def close(self) -> None:
        """Nothing: the connections belong to the client."""

    def follow(self, changed: Callable[[], None]) -> None:
        """Nothing: the tools are those of a file."""

    async def _call(self, message: Json, hold: Hold, bearer: str, attempt: Attempt) -> bytes:
        operation = self._operations.get(str(message["params"].get("name")))
        if operation is None:
            return _error(message, PARAMS, "There is no tool of this name.")
        arguments: Mapping[str, Any] = message["params"].get("arguments") or {}
        path, asked = _path(operation, arguments), _query(operation, arguments)
        if path is None or self._is_another(operation, unquote(path)):
            return _error(message, PARAMS, "A parameter of the path is empty, has `..`, or makes another path of it.")
        if name := _replaced(operation, arguments, asked):
            return _error(message, PARAMS, f"The field `{name}` names another method; leave out the field.")
        at = f"{path}?{urlencode(asked)}" if asked else path
        body = orjson.dumps(arguments["body"]) if operation.body and "body" in arguments else b""
        to = self._to.having(
            [("Accept", "application/json"), *([("Content-Type", "application/json")] if body else [])]
        )
        to = to.having(borne(bearer)).below(at, operation.method)
        if operation.method not in http_tool.REPEATS:
            to = to.sent_once()
        response = await begun(self._client, to, body, partial(broken, self._name))
        attempt.status = response.status
        if response.status == 401 and bearer:
            response.close()
            raise TokenRefused
        return _result(message, await self._read(response, hold))

    def _is_another(self, operation: Operation, path: str) -> bool:
        """Whether a path with its parameters is that of another operation, under whose name it was not judged."""
        found = self._described.called(operation.method, path)
        if found is None or found is operation:
            return False
        return len(found.places) < len(operation.places) or not operation.is_called_by(operation.method, path)

    async def _read(self, response: Response, hold: Hold) -> Json:
        status = response.status
        if 300 <= status < 400 or status < 200:
            response.close()
            raise broken(self._name, f"answered with HTTP {status}, which is not followed")
        raw = await received(response, self._row.max_answer, hold, partial(broken, self._name))
        return self._content(status, raw, ", ".join(response.values(b"content-type")[:1]))

    def _content(self, status: int, raw: bytes, kind: str) -> Json:
        """The answer as the result of a tool: as text, and JSON objects as structured content, too."""
        content: Json = {"content": [], "isError": status >= 400}
        media = http_tool.media_type(kind)
        if raw and not (http_tool.is_json(media) or http_tool.is_text(media) or not media):
            raise broken(self._name, f"answered with {media}, which is no text")
        text = http_tool.decoded(raw, kind)
        if text is None:
            raise broken(self._name, "answered with bytes that are no text")
        content["content"].append({"type": "text", "text": text or f"HTTP {status}"})
        if http_tool.is_json(media) and raw:
            try:
                said = orjson.loads(raw)
            except orjson.JSONDecodeError:
                raise broken(self._name, "answered with something that is not JSON, though it says so") from None
            if isinstance(said, dict) and status < 400:
                content["structuredContent"] = said
        return content


def deletes(tool: Json) -> bool:
    """Whether the request of a tool that is an operation has the method DELETE."""
    return tool.get("annotations", {}).get(_DELETES) is True


def _tool(one: Operation) -> Json:
    hints = {"readOnlyHint": one.method in http_tool.READS, "idempotentHint": one.method in http_tool.REPEATS}
    hints[_DELETES] = one.method == "DELETE"
    told: Json = {
        "name": one.name,
        "description": one.description,
        "inputSchema": dict(one.schema),
        "annotations": hints,
    }
    return {**told, "title": one.title} if one.title else told


def _path(operation: Operation, arguments: Mapping[str, Any]) -> str | None:
    """The path; None if a parameter would change which path it is."""
    steps = []
    for step in operation.path.split("/"):
        filled = step
        if "{" in step:
            for name in operation.places:
                value = _listed(arguments.get(name, ""), ",")
                if http_tool.climbs(value):  # some servers decode slashes before they look for the path
                    return None
                filled = filled.replace(f"{{{name}}}", quote(value, safe=""))
            if not filled or filled in _STEPS:
                return None
        steps.append(filled)
    return "/".join(steps)


def _query(operation: Operation, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The fields of the query, lists and objects in the form that the document says (OpenAPI 3.1.1, 4.8.12.4)."""
    fields: list[tuple[str, str]] = []
    for name in operation.query:
        if name not in arguments:
            continue
        value, form = arguments[name], operation.forms.get(name, "")
        if form == JSON:
            fields.append((name, orjson.dumps(value).decode()))
        elif isinstance(value, dict) and form in ("", DEEP):
            named = ((key, f"{name}[{key}]" if form == DEEP else key) for key in value)
            fields += [(as_, _written(value[key])) for key, as_ in named]
        elif isinstance(value, list) and form in ("", DEEP):
            fields += [(name, _written(one)) for one in value]
        else:
            fields.append((name, _listed(value, form)))
    return fields


def _listed(value: Any, between: str) -> str:
    """A value in one word: lists, and keys and values of objects, with a separator."""
    if isinstance(value, dict):
        value = [one for pair in value.items() for one in pair]
    return between.join(map(_written, value)) if isinstance(value, list) else _written(value)


def _replaced(operation: Operation, arguments: Mapping[str, Any], asked: list[tuple[str, str]]) -> str:
    """The field of the body or the query that replaces the method; "" for none."""
    body = arguments.get("body")
    fields = [*(body.items() if isinstance(body, dict) else ()), *asked]
    return next(filter(None, (http_tool.replaces_method({name: it}, operation.method) for name, it in fields)), "")


def _written(value: Any) -> str:
    """A value in a path or a query: JSON without the quotes of strings."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _result(message: Json, result: Json) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})


def _error(message: Json, code: int, words: str) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": words}})
