"""JSON-RPC 2.0 as a dialect: one request or notification in a body, and the errors of the gateway in its form.

Unlike the codecs of models, a codec of this kind belongs to one call, because each error repeats the id of its request.
`Mcp` derives from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.bodies import Json
from gateway.dialects.base import Untold
from gateway.errors import NotJson, Refusal

PARSE: Final = -32700
INVALID: Final = -32600
UNKNOWN_METHOD: Final = -32601
PARAMS: Final = -32602
OURS: Final = -32000
"""The code of every refusal for which the protocol has no code; `data.code` has the code of `errors.TABLE`."""
_OUTSIDE: Final = frozenset({"unauthenticated"})  # refusals of HTTP, whatever the body says
_METHOD: Final = re.compile(r"[a-zA-Z][\w./-]{0,127}", re.ASCII)
_LONGEST_ID: Final = 256
Id = str | int | None


def is_id(said: object) -> bool:
    """Whether a value can be the id of a request."""
    return type(said) is int or (type(said) is str and len(said) <= _LONGEST_ID)


class Fault(Refusal):
    """A refusal with an error code of the protocol: `rpc` is its code, `status` that of HTTP."""

    def __init__(
        self,
        rpc: int,
        message: str,
        *,
        code: str = "invalid_request",
        status: int = 200,
        data: Mapping[str, object] = {},
    ) -> None:
        super().__init__(code, message, status=status, detail=data)
        self.rpc = rpc


def named(answer: bytes, sent: object, id: Id) -> bytes:
    """The answer to a request that left with the id `sent`, with another id. Unchanged if this is not the answer."""
    if sent == id and type(sent) is type(id):
        return answer
    try:
        said = orjson.loads(answer)
        if type(said) is not dict or said.get("id") != sent:
            return answer
        return orjson.dumps({**said, "id": id})
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # refused when it is read
        return answer


class JsonRpc(Untold):
    """The codec of one call: `id`, `method` and `params` are those of its request, once that is parsed."""

    restores = True

    def __init__(self) -> None:
        self.id: Id = None
        self.method = ""
        self.params: Json = {}
        self.answered = False
        """The caller waits for an answer with `id`."""

    def open(self, body: Json) -> None:
        """Read the envelope. Raises Refusal(invalid_request)."""
        id = body.get("id")
        if "id" in body:
            if not is_id(id):
                raise Fault(
                    INVALID, f"`id` must be a string of up to {_LONGEST_ID} characters or a whole number.", status=400
                )
            self.id = id
        if body.get("jsonrpc") != "2.0":
            raise Fault(INVALID, '`jsonrpc` must be "2.0".', status=400)
        if "method" not in body and ("result" in body or "error" in body):
            return
        method = body.get("method")
        if type(method) is not str or not _METHOD.fullmatch(method):
            raise Fault(INVALID, "`method` must be the name of a method.", status=400)
        params = body.get("params", {})
        if type(params) is not dict:
            raise Fault(PARAMS, "`params` must be an object.", status=400)
        self.method, self.params, self.answered = method, params, "id" in body

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is the response to the request."""
        if answer.get("jsonrpc") != "2.0" or answer.get("id") != self.id or type(answer.get("id")) is not type(self.id):
            raise ValueError("it answers another request")
        result, error = answer.get("result"), answer.get("error")
        if (type(result) is dict) == (type(error) is dict):
            raise ValueError("it has neither a result nor an error, or both")
        if type(error) is dict and (type(error.get("code")) is not int or type(error.get("message")) is not str):
            raise ValueError("its error has no code or no message")

    def named(self, answer: bytes, sent: object) -> bytes:
        """The answer to a request that left with the id `sent`, with the id of the caller."""
        return named(answer, sent, self.id)

    def asked(self, body: Json) -> Json:
        """Everything except the id, which differs in each request."""
        return {key: value for key, value in body.items() if key != "id"}

    def again(self, answer: bytes) -> bytes:
        """The answer with the id of this request."""
        return orjson.dumps({**orjson.loads(answer), "id": self.id})

    def status(self, refusal: Refusal) -> int:
        """200 for an error that answers a request, because clients read errors of the protocol only there."""
        if isinstance(refusal, Fault) or not self.answered or refusal.code in _OUTSIDE:
            return refusal.status
        return 200

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"jsonrpc", "id", "error": {code, message, data: {code, ...}}}`."""
        return {"jsonrpc": "2.0", "id": self.id, "error": self.failure(refusal, request_id)}

    def failure(self, refusal: Refusal, request_id: str) -> Json:
        """The error object of a refusal."""
        data: dict[str, Any] = {**refusal.detail, "code": refusal.code, "request_id": request_id}
        if refusal.retry_after is not None:
            data["retry_after"] = refusal.retry_after
        return {"code": self.rpc(refusal), "message": refusal.message, "data": data}

    def rpc(self, refusal: Refusal) -> int:
        """The error code of a refusal."""
        if isinstance(refusal, Fault):
            return refusal.rpc
        if isinstance(refusal, NotJson):
            return PARSE
        if refusal.code == "tool_not_found":
            return PARAMS
        return INVALID if refusal.code == "invalid_request" and not self.method else OURS
