"""Clients and servers of different eras of the protocol: what each hears in its own form."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest

from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.tools.said import for_later_era


def read(said: dict[str, Any], method: str = "resources/read") -> Any:
    """A response of a server, as a client of the later era gets it."""
    return orjson.loads(for_later_era(orjson.dumps({"jsonrpc": "2.0", "id": 1, **said}), method))


def test_results_have_what_the_later_era_demands() -> None:
    """Their type; and where they were read, how long they may be kept, and by whom."""
    assert read({"result": {"content": []}}, "tools/call")["result"] == {"content": [], "resultType": "complete"}
    made = {"contents": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    assert read({"result": {"contents": []}})["result"] == made
    assert read({"result": {"contents": [], "ttlMs": 9, "cacheScope": "public"}})["result"] == {**made, "ttlMs": 9}
    asked = {"resultType": "input_required", "inputRequests": {}}
    assert read({"result": asked})["result"] == asked


@pytest.mark.parametrize(("code", "told"), [(-32002, -32602), (-32603, -32603), (-32602, -32602)])
def test_errors_have_the_codes_of_the_later_era(code: int, told: int) -> None:
    """A resource that does not exist is an invalid parameter."""
    error = {"code": code, "message": "none", "data": {"uri": "test://it"}}
    assert read({"error": error})["error"] == {**error, "code": told}


@pytest.mark.parametrize("raw", [b"no json", b"[]", b"1", b"{}", b'{"error": 1}', b'{"result": []}'])
def test_what_is_no_response_is_left_to_the_judge(raw: bytes) -> None:
    """Byte for byte."""
    assert for_later_era(raw, "resources/read") == raw


@pytest.mark.parametrize(
    ("modern", "body", "status"),
    [
        (True, {"error": {"code": -32021}}, 400),
        (True, {"error": {"code": -32603}}, 200),
        (True, {"result": {"error": {"code": -32021}}}, 200),
        (True, {"error": -32021}, 200),
        (False, {"error": {"code": -32021}}, 200),
    ],
)
def test_a_missing_capability_has_a_status_in_the_later_era(modern: bool, body: Any, status: int) -> None:
    """That of HTTP which the protocol demands."""
    codec = Mcp("it", ())
    codec.modern = modern
    assert codec.answer_status(orjson.dumps(body)) == status


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([], ""),
        ([("mcp-session-id", "")], ""),
        ([("mcp-session-id", "a"), ("mcp-session-id", "b")], "occurs twice"),
        ([("mcp-session-id", "a"), ("mcp-session-id", "a")], "occurs twice"),
        ([("accept", "a"), ("accept", "b"), ("mcp-name", "n")], ""),
        ([("accept", "a"), ("mcp-name", "n"), ("mcp-name", "m"), ("accept", "b")], "occurs twice"),
        ([("mcp-protocol-version", "2025-06-18"), ("accept", "a")], ""),
        ([("mcp-protocol-version", "2000-01-01")], "not served"),
    ],
)
def test_a_header_of_the_protocol_that_occurs_twice_is_refused(headers: list[tuple[str, str]], message: str) -> None:
    """Others may: of those the first counts."""
    codec = Mcp("it", [(name.encode(), value.encode()) for name, value in headers])
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with pytest.raises(Refusal, match=message) if message else contextlib.nullcontext():
        codec.parse(body)


@pytest.mark.parametrize(
    ("values", "session"), [([" a "], "a"), (["=?base64?w6k=?="], "é"), (["=?base64?!?="], "=?base64?!?="), ([], "")]
)
def test_the_session_is_that_of_the_header(values: list[str], session: str) -> None:
    headers = [(b"accept", b"x"), *((b"mcp-session-id", value.encode()) for value in values)]
    assert Mcp("it", headers).session == session
