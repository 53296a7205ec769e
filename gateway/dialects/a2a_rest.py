"""The HTTP+JSON binding of A2A 1.0 (section 11): the same calls as over JSON-RPC, with bare results and HTTP's errors.

Of version 0.3, clients of any binding look for the card for callers at a path of this binding (0.3.0, section 7.10).

A request becomes one of JSON-RPC before it is read, so that it is judged, sent and answered as one; the answer loses
the envelope once it is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from gateway.bodies import Headers, Json
from gateway.dialects import Chunk, StreamCodec, google_rpc, numbers, sse
from gateway.dialects.a2a import A2a
from gateway.dialects.a2a_errors import ERRORS, NO_VERSION, info, named
from gateway.dialects.a2a_stream import A2aStream
from gateway.dialects.a2a_tables import METHODS
from gateway.dialects.jsonrpc import INVALID, OURS, PARAMS, Fault
from gateway.errors import Refusal

KIND: Final = "application/a2a+json"
_AGENT: Final = "/a2a/{agent}"
PATHS: Final[Mapping[str, Mapping[str, str]]] = {
    f"{_AGENT}/message:send": {"POST": "SendMessage"},
    f"{_AGENT}/message:stream": {"POST": "SendStreamingMessage"},
    f"{_AGENT}/tasks": {"GET": "ListTasks"},
    f"{_AGENT}/tasks/{{id}}:cancel": {"POST": "CancelTask"},
    f"{_AGENT}/tasks/{{id}}:subscribe": {"GET": "SubscribeToTask", "POST": "SubscribeToTask"},
    f"{_AGENT}/tasks/{{id}}": {"GET": "GetTask"},
    f"{_AGENT}/tasks/{{id}}/pushNotificationConfigs": {
        "POST": "CreateTaskPushNotificationConfig",
        "GET": "ListTaskPushNotificationConfigs",
    },
    f"{_AGENT}/tasks/{{id}}/pushNotificationConfigs/{{config}}": {
        "GET": "GetTaskPushNotificationConfig",
        "DELETE": "DeleteTaskPushNotificationConfig",
    },
    f"{_AGENT}/extendedAgentCard": {"GET": "GetExtendedAgentCard"},
    f"{_AGENT}/v1/card": {"GET": "agent/getAuthenticatedExtendedCard"},
}
"""Path template -> method of HTTP -> method of the protocol; those that end in a verb come first."""
_NUMBERS: Final = frozenset({"historyLength", "pageSize"})
_ID: Final = 1


class A2aRest(A2a):
    """The codec of one call. `called`: the method of the protocol; `ids`: those in the path; `query`: as it came."""

    def __init__(
        self, agent: str, headers: Headers, url: str, called: str, ids: Mapping[str, str], query: bytes
    ) -> None:
        super().__init__(agent, headers, url)
        self._called = called
        named = ("taskId", "id") if "PushNotification" in called else ("id", "")
        self._ids = {name: ids[key] for name, key in zip(named, ("id", "config"), strict=True) if key in ids}
        self._query = query

    def enclosed(self, raw: bytes) -> bytes:
        """The request as one of JSON-RPC. Raises Refusal(invalid_request)."""
        head = {"jsonrpc": "2.0", "id": _ID, "method": self._called}
        try:
            params = orjson.loads(raw) if raw.strip() else self._asked()
        except orjson.JSONDecodeError as fault:
            raise Fault(INVALID, f"The body is not JSON: {fault}.", status=400) from None
        if type(params) is not dict:
            raise Fault(INVALID, "The body must be a JSON object.", status=400)
        if raw.strip() and not self._ids:
            return super().enclosed(orjson.dumps(head)[:-1] + b',"params":' + raw + b"}")
        return super().enclosed(orjson.dumps({**head, "params": {**params, **self._ids}}))

    def _asked(self) -> Json:
        """The fields of the query."""
        try:
            pairs = parse_qsl(self._query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
        except ValueError:
            raise Fault(PARAMS, "The query must be percent-encoded UTF-8.", status=400) from None
        asked: Json = {}
        for name, value in pairs:
            if name in asked:
                raise Fault(PARAMS, "The query has a field twice.", status=400)
            asked[name] = value
            if name in _NUMBERS and value.isdecimal() and len(value) < 10:
                asked[name] = int(value)
            elif name == "includeArtifacts":
                asked[name] = value == "true"
        return asked

    def _is_new(self) -> bool:
        """Whether the path is one of 1.0."""
        return self._called not in METHODS["0.3"]

    @property
    def refuses_in_stream(self) -> bool:
        """No: an error before the stream has its status of HTTP."""
        return False

    def delivered(self, judged: bytes) -> tuple[int, bytes, str]:
        """Status, body and Content-Type of the answer, once it is judged."""
        said, kind = orjson.loads(judged), KIND if self._is_new() else "application/json"
        numbers.exact(judged, said)
        if "result" in said:
            return 200, orjson.dumps(said["result"] if said["result"] is not None else {}), kind
        status, error = _failure(said["error"])
        return status, orjson.dumps({"error": error}), kind

    def stream(self, *, keep_usage: bool, choices: int = 1) -> StreamCodec:
        """The reader of a stream, which writes bare results."""
        return _Stream(self, self.version, self.continues())

    def again(self, answer: bytes) -> bytes:
        """The same: an answer has no id of its request."""
        return answer

    def status(self, refusal: Refusal) -> int:
        """That of the protocol's error, else that of the refusal."""
        known = ERRORS.get(self.rpc(refusal)) if isinstance(refusal, Fault) else None
        return known[0] if known else refusal.status

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {code, status, message, details}}`, a google.rpc.Status."""
        status, rpc = self.status(refusal), self.rpc(refusal)
        known = ERRORS.get(rpc) if isinstance(refusal, Fault) else None
        return {"error": _status(status, known[1] if known else "", refusal.message, [named(refusal, rpc, request_id)])}

    def _version(self) -> str:
        """That of the path."""
        said = [value for name, value in self._headers if name == b"a2a-version"]
        mine = "1.0" if self._is_new() else "0.3"
        version = super()._version() if said else mine
        if version != mine:
            raise Fault(NO_VERSION, f"This path is one of version {mine}.", status=400)
        return version


class _Stream(A2aStream):
    """Writes events without envelopes."""

    __slots__ = ()

    def encode(self, chunk: Chunk) -> bytes:
        """The result of an event, or its error."""
        if chunk.data is None:
            return chunk.raw
        numbers.exact(b"\n".join(sse.datas(chunk.raw)), chunk.data)
        if "result" in chunk.data:
            return sse.encode(orjson.dumps(chunk.data["result"]))
        return sse.encode(orjson.dumps({"error": _failure(chunk.data["error"])[1]}), b"error")

    def refuse(self, refusal: Refusal, request_id: str, reason: str = "", *, bare: bool = False) -> bytes:
        """An error in the last event."""
        return super().refuse(refusal, request_id, reason, bare=bare).replace(b"data: ", b"event: error\ndata: ", 1)


def _failure(error: Json) -> tuple[int, Json]:
    """Status of HTTP and error for an error of JSON-RPC."""
    status, name, reason = ERRORS.get(error["code"], (500, "INTERNAL", "INTERNAL_ERROR"))
    details = error.get("data")
    if type(details) is not list:
        about = {name: str(value) for name, value in details.items()} if type(details) is dict else {}
        details = [info(reason, about if error["code"] == OURS else {})]
    return status, _status(status, name, error["message"], details)


def _status(status: int, name: str, message: str, details: list[Any]) -> Json:
    name = name or google_rpc.STATUSES.get(status, "INTERNAL")
    return {"code": status, "status": name, "message": message, "details": details}
