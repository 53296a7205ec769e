"""Calls of agents that have HTTP+JSON alone (A2A 1.0, section 11): a request of JSON-RPC as one of HTTP, and back.

What comes back is a response of JSON-RPC, so that it is judged as one; the inverse of `a2a_rest`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import orjson

from gateway.bodies import Json
from gateway.dialects import sse
from gateway.dialects.a2a_errors import ERRORS
from gateway.dialects.a2a_tables import ID
from gateway.dialects.jsonrpc import PARAMS, PARSE, Fault

_CODES: Final[Mapping[str, int]] = {reason: code for code, (_, _, reason) in ERRORS.items() if code != PARSE}
_INTERNAL: Final = -32603
_CONFIGS: Final = "/tasks/{taskId}/pushNotificationConfigs"
_PLACES: Final[Mapping[str, tuple[str, str]]] = {
    "SendMessage": ("POST", "/message:send"),
    "SendStreamingMessage": ("POST", "/message:stream"),
    "GetTask": ("GET", "/tasks/{id}"),
    "ListTasks": ("GET", "/tasks"),
    "CancelTask": ("POST", "/tasks/{id}:cancel"),
    "SubscribeToTask": ("GET", "/tasks/{id}:subscribe"),
    "CreateTaskPushNotificationConfig": ("POST", _CONFIGS),
    "GetTaskPushNotificationConfig": ("GET", f"{_CONFIGS}/{{id}}"),
    "ListTaskPushNotificationConfigs": ("GET", _CONFIGS),
    "DeleteTaskPushNotificationConfig": ("DELETE", f"{_CONFIGS}/{{id}}"),
    "GetExtendedAgentCard": ("GET", "/extendedAgentCard"),
}
"""Method of the protocol -> that of HTTP, and the path below the URL of the interface."""
_VERBS: Final = (":cancel", ":subscribe")  # ids that end so would name another path


class Asked(NamedTuple):
    """A request of HTTP: its method, the path and query below the URL of the interface, the body."""

    method: str
    path: str
    body: bytes


def asked(message: Json) -> Asked:
    """A request of JSON-RPC as one of HTTP. Raises Refusal for what has no place there."""
    method, path = _PLACES[message["method"]]
    params = dict(message["params"])
    for name in ("taskId", "id"):
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", _segment(params.pop(name, None), name))
    if method == "POST":
        return Asked(method, path, orjson.dumps(params))
    query = urlencode({name: _plain(name, value) for name, value in params.items() if value is not None})
    return Asked(method, f"{path}?{query}" if query else path, b"")


def answered(status: int, body: bytes, id: Any) -> bytes:
    """An answer of HTTP as a response of JSON-RPC. Raises ValueError for one that is not of the protocol."""
    if status == 204 or (status == 200 and not body.strip()):
        body = b"{}"
    if status < 300:
        return _envelope(id, body)
    return orjson.dumps({"jsonrpc": "2.0", "id": id, "error": _error(orjson.loads(body), status)})


async def events(pieces: AsyncIterator[bytes], id: Any) -> AsyncIterator[bytes]:
    """A stream of bare results as one of responses. Raises what `pieces` raises, and ValueError for too long events."""
    reader = sse.Reader()
    async for data in pieces:
        if found := b"".join(_event(event, id) for event in reader.feed(data)):
            yield found
    if (last := reader.rest()) is not None:
        yield _event(last, id)


def _envelope(id: Any, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (orjson.dumps(id), result)


def _event(event: sse.SSE, id: Any) -> bytes:
    if event.data is None:
        return event.raw
    # A result that is no JSON, or more than one value, makes an event that is refused as that of any agent.
    if event.event != b"error" and not event.data.lstrip().startswith(b'{"error"'):
        return sse.encode(_envelope(id, event.data.replace(b"\n", b" ")))
    try:
        error = _error(orjson.loads(event.data), 500)
    except ValueError:
        return event.raw
    return sse.encode(orjson.dumps({"jsonrpc": "2.0", "id": id, "error": error}))


def _error(said: Any, status: int) -> Json:
    """The error of JSON-RPC for a google.rpc.Status. Raises ValueError for anything else."""
    error = said.get("error") if type(said) is dict else None
    if type(error) is not dict or type(error.get("message")) is not str:
        raise ValueError("an error is no google.rpc.Status")
    details = error.get("details")
    listed = details if type(details) is list else []
    reasons = [one.get("reason") for one in listed if type(one) is dict]
    code = next((_CODES[it] for it in reasons if type(it) is str and it in _CODES), None)
    if code is None and status in (400, 422):
        code = PARAMS
    return {"code": _INTERNAL if code is None else code, "message": error["message"], "data": listed}


def _segment(value: Any, name: str) -> str:
    """An id as a segment of a path."""
    if type(value) is not str or ID.fullmatch(value) is None or value.endswith(_VERBS):
        raise Fault(PARAMS, f"`params.{name}` cannot be part of a path: this agent is called over HTTP+JSON.")
    return quote(value, safe="")


def _plain(name: str, value: Any) -> str:
    """A value of a query."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is str or type(value) is int:
        return str(value)
    shown = name if name.isascii() and name.isalpha() and len(name) <= 64 else "a field"
    raise Fault(PARAMS, f"`params.{shown}` has no place in a query: this agent is called over HTTP+JSON.")
