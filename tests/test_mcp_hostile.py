"""Servers and clients of MCP that misbehave: each gets an error of the protocol, and the next call is served."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tool_server
from gateway.bodies import Json
from gateway.dialects import mcp_names
from gateway.errors import Refusal
from gateway.tools import catalogue
from gateway.tools.schema import check
from line import Line, config, running
from tool_client import Client, failed
from tool_server import Scripted, tool

META = {mcp_names.VERSION: mcp_names.MODERN, mcp_names.CAPABILITIES: {}}


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A scripted server."""
    with tool_server.scripted() as made:
        yield made


@pytest.fixture(scope="module")
def line(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with small bounds."""
    folder = tmp_path_factory.mktemp("hostile")
    row = {"mcp": server.url, "timeout": "400ms", "max_answer": 200_000, "refresh": 0, "pins": "off"}
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools={"it": row})) as started:
        yield started


@pytest.fixture(autouse=True)
def calm(server: Scripted) -> Iterator[None]:
    """The server behaves again after each test."""
    yield
    server.answers.clear()
    server.release.set()
    server.release.clear()
    server.tools = [tool("get_it"), tool("send_it")]


Writer = Callable[[Any], None]


def hangs(server: Scripted) -> Writer:
    """Says nothing until the test is over."""

    def write(handler: Any) -> None:
        server.release.wait(10)

    return write


def floods(server: Scripted) -> Writer:
    """Sends without end."""

    def write(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.end_headers()
        try:
            while not server.release.is_set():
                handler.wfile.write(b'{"jsonrpc": "2.0", "id": 7, "result": {"content": [' + b" " * 65536)
        except OSError:
            pass

    return write


def events(*messages: Any) -> tuple[int, bytes, str]:
    """A stream of messages."""
    data = b"".join(b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n" for message in messages)
    return 200, data, "text/event-stream"


def answer(id: Any, **fields: Any) -> dict[str, Any]:
    """A response."""
    return {"jsonrpc": "2.0", "id": id, **fields}


RESULT = {"content": [{"type": "text", "text": "done"}]}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (hangs, "upstream_timeout"),
        (floods, "upstream_error"),
        ((200, b"x" * 300_000), "upstream_error"),
        ((200, b"<html>"), "upstream_error"),
        ((200, b""), "upstream_error"),
        ((500, b"{}"), "upstream_error"),
        ((302, b""), "upstream_error"),
        ((401, b"{}"), "upstream_error"),
        ((200, json.dumps(answer(8, result=RESULT)).encode()), "upstream_error"),
        ((200, json.dumps(answer("7", result=RESULT)).encode()), "upstream_error"),
        ((200, json.dumps(answer(7)).encode()), "upstream_error"),
        ((200, json.dumps(answer(7, result=RESULT, error={"code": 1, "message": "x"})).encode()), "upstream_error"),
        ((200, json.dumps(answer(7, error={"code": "x"})).encode()), "upstream_error"),
        ((200, b'{"jsonrpc": "2.0", "id": 7, "result": ' + b'{"a": ' * 5000 + b"1" + b"}" * 5001), "upstream_error"),
        (events(answer(8, result=RESULT)), "upstream_error"),
        (events({"jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": {}}), "upstream_error"),
        (events(*[{"jsonrpc": "2.0", "id": 1, "method": "elicitation/create"}] * 20, answer(7)), "upstream_error"),
        ((200, b"data: " + b"x" * 190_000, "text/event-stream"), "upstream_error"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", "answer"),
)
def test_a_server_that_misbehaves(line: Line, server: Scripted, said: Any, code: str) -> None:
    """One error; nothing of the answer leaks, and the next call is served."""
    server.answers["tools/call"] = lambda message: said(server) if callable(said) else said
    client = Client(line)
    refused = client.call("get_it")
    assert failed(refused) == (-32000, code)
    assert len(json.dumps(refused)) < 1000
    server.answers.clear()
    assert "result" in client.call("get_it")


def test_other_messages_of_a_stream_are_left_out(line: Line, server: Scripted) -> None:
    """Notifications, questions and answers to others come before the response."""
    note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x"}}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}}
    server.answers["tools/call"] = lambda message: events(note, asked, answer(1, result={}), answer(7, result=RESULT))
    assert Client(line).call("get_it")["result"] == RESULT


def test_questions_of_the_server_are_answered(line: Line, server: Scripted) -> None:
    """A server that asks within its answer does not wait in vain: pings are answered, all else is refused."""
    ping = {"jsonrpc": "2.0", "id": "p", "method": "ping"}
    asked = [{"jsonrpc": "2.0", "id": n, "method": name} for n, name in enumerate(("roots/list", "elicitation/create"))]
    server.answers["tools/call"] = lambda message: events(ping, *asked, answer(7, result=RESULT))
    server.seen.clear()
    assert Client(line).call("get_it")["result"] == RESULT
    said = [(headers, body) for headers, body in server.seen if "method" not in body]
    assert [(body["id"], body.get("result"), body.get("error", {}).get("code")) for _, body in said] == [
        ("p", {}, None),
        (0, None, -32601),
        (1, None, -32601),
    ]
    assert {headers["mcp-session-id"] for headers, _ in said} == {"s1"}


@pytest.mark.parametrize(
    "said",
    [
        {"tools": "none"},
        {"tools": [3]},
        {},
        {"tools": [], "nextCursor": "again"},
        {"tools": [tool(f"t{number}") for number in range(2001)]},
    ],
    ids=["no list", "no objects", "nothing", "endless", "too many"],
)
def test_lists_that_are_not_valid(line: Line, server: Scripted, said: Any) -> None:
    """An error of the server, and the next list is served."""
    server.answers["tools/list"] = lambda message: answer(message["id"], result=said)
    client = Client(line)
    assert failed(client.send("tools/list").json()) == (-32000, "upstream_error")
    server.answers.clear()
    assert client.tools() == ["get_it", "send_it"]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ([{"name": "same", "inputSchema": {}}] * 2_001, "more than 2000 tools"),
        ([{"name": "same", "inputSchema": {}}] * 1_001, "more than 2000 tools"),
        ([tool("long", "x" * 60_000)] * 10, "more than 4194304 bytes"),
        ([tool("huge", "x" * 70_000)] * 10, "more than 4194304 bytes"),
    ],
)
async def test_lists_without_end(page: list[Any], words: str) -> None:
    """Tools count on all pages together, also those that are not served: reading them is work."""

    async def ask(message: Json) -> bytes:
        return json.dumps(answer(1, result={"tools": page, "nextCursor": "more"})).encode()

    with pytest.raises(Refusal, match=words):
        await catalogue.read("it", ask)


@pytest.mark.parametrize(
    "raw",
    [
        b"{bad",
        b'{"jsonrpc": "2.0", "id": 7, "result": {"resources": [' + b'{"a": ' * 400 + b"1" + b"}" * 400 + b"]}}",
        b'{"jsonrpc": "2.0", "id": 7, "result": null}',
    ],
)
@pytest.mark.parametrize(("method", "params"), [("resources/list", {}), ("logging/setLevel", {"level": "info"})])
def test_answers_to_messages_of_the_protocol(
    line: Line, server: Scripted, raw: bytes, method: str, params: dict[str, Any]
) -> None:
    """That are none are faults of the server, not of the gateway."""
    client = Client(line)
    session = client.open()
    server.answers[method] = lambda message: (200, raw)
    assert failed(client.send(method, params, mcp_session_id=session).json()) == (-32000, "upstream_error")


def test_an_answer_about_eras_that_is_none(line: Line, server: Scripted) -> None:
    """The server has the earlier era."""
    server.answers["server/discover"] = lambda message: (200, b"{bad")
    line.gateway.runtime.line.desks.mcp._server("it")._later = (False, -1.0)
    headers = {"mcp_protocol_version": mcp_names.MODERN, "mcp_method": "server/discover"}
    assert "result" in Client(line).send("server/discover", {"_meta": META}, **headers).json()


def test_a_lost_session_is_opened_again(line: Line, server: Scripted) -> None:
    """That of the gateway itself; a client hears that its own is lost, and opens another."""
    client, lost = Client(line), []

    def forget(message: dict[str, Any]) -> Any:
        lost.append(message)
        return (404, b"{}") if len(lost) == 1 else None

    server.answers["tools/call"] = forget
    assert "result" in client.call("get_it")
    session = client.open()
    lost.clear()
    gone = client.send("tools/call", {"name": "get_it"}, mcp_session_id=session)
    assert (gone.status_code, failed(gone.json())) == (404, (-32600, "invalid_request"))


MODERN = {"mcp_protocol_version": mcp_names.MODERN, "mcp_method": "tools/call", "mcp_name": "get_it"}


@pytest.mark.parametrize(
    ("meta", "headers", "status", "code"),
    [
        (META, MODERN, 200, None),
        (META, {**MODERN, "mcp_name": "=?base64?Z2V0X2l0?="}, 200, None),
        (META, {**MODERN, "mcp_name": "send_it"}, 400, -32020),
        (META, {**MODERN, "mcp_method": "tools/list"}, 400, -32020),
        (META, {**MODERN, "mcp_protocol_version": "2025-11-25"}, 400, -32020),
        (META, {"mcp_protocol_version": mcp_names.MODERN}, 400, -32020),
        ({}, MODERN, 400, -32602),
        ({mcp_names.VERSION: mcp_names.MODERN}, MODERN, 400, -32602),
        ({**META, mcp_names.VERSION: "2030-01-01"}, {**MODERN, "mcp_protocol_version": "2030-01-01"}, 400, -32022),
    ],
)
def test_headers_of_the_later_era(
    line: Line, meta: Any, headers: dict[str, str], status: int, code: int | None
) -> None:
    """The body decides; headers that say something else are refused."""
    got = Client(line).send("tools/call", {"name": "get_it", "arguments": {}, "_meta": meta}, **headers)
    assert got.status_code == status
    assert got.json().get("error", {}).get("code") == code
    if code is None:
        assert got.json()["result"]["resultType"] == "complete"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"mcp_method": "tools/call", "mcp_name": "get_it", "mcp_param_region": "eu"}, 200),
        ({"mcp_method": "tools/list"}, 400),
        ({"mcp_name": "send_it"}, 400),
        ({"mcp_param_region": "us"}, 400),
    ],
)
def test_headers_in_the_earlier_era(line: Line, server: Scripted, headers: dict[str, str], status: int) -> None:
    """They have no meaning there, but must not say something else either."""
    server.tools = [MIRRORED]
    got = Client(line).send("tools/call", {"name": "get_it", "arguments": {"region": "eu"}}, **headers)
    assert got.status_code == status
    assert got.json().get("error", {}).get("code") == (None if status == 200 else -32020)


def test_the_later_era_has_no_sessions(line: Line) -> None:
    """Whatever a header names as one, also a session of the caller that has ended."""
    client = Client(line)
    ended = client.open()
    assert line.client.delete("/mcp/it", headers={**client.headers, "mcp-session-id": ended}).status_code == 200
    for session in ("made up", ended):
        params = {"name": "get_it", "arguments": {}, "_meta": META}
        got = client.send("tools/call", params, **MODERN, mcp_session_id=session)
        assert (got.status_code, got.json()["result"]["resultType"]) == (200, "complete")
        headers = {**client.headers, "mcp-protocol-version": mcp_names.MODERN, "mcp-session-id": session}
        for method in ("GET", "DELETE"):
            assert line.client.request(method, "/mcp/it", headers=headers).status_code == 405


def test_what_is_read_is_private(line: Line, server: Scripted) -> None:
    """In both eras, also if the server says that everybody may have it."""
    shared: Json = {"ttlMs": 9, "cacheScope": "public"}
    server.answers["resources/list"] = lambda message: answer(message["id"], result={"resources": [], **shared})
    server.answers["resources/read"] = lambda message: answer(message["id"], result={"contents": [], **shared})
    for method in ("resources/list", "resources/read"):
        headers = {"mcp_protocol_version": mcp_names.MODERN, "mcp_method": method, "mcp_name": "a:b"}
        told = [
            Client(line).send(method, {"uri": "a:b"}).json()["result"],
            Client(line).send(method, {"uri": "a:b", "_meta": META}, **headers).json()["result"],
        ]
        assert [one["cacheScope"] for one in told] == ["private", "private"]


def test_repeated_headers(line: Line) -> None:
    """Which of two would count is not asked."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_it", "_meta": META}}
    names = [("mcp-protocol-version", mcp_names.MODERN), ("mcp-method", "tools/call"), ("mcp-name", "get_it")]
    headers = [("authorization", "Bearer mg-alice"), *names, ("mcp-name", "send_it")]
    got = line.client.post("/mcp/it", json=body, headers=headers)
    assert (got.status_code, got.json()["error"]["code"]) == (400, -32020)


def test_a_method_of_the_other_era(line: Line) -> None:
    """404 in the later era, as its transport says."""
    headers = {"mcp_protocol_version": mcp_names.MODERN, "mcp_method": "initialize"}
    got = Client(line).send("initialize", {"_meta": META}, **headers)
    assert (got.status_code, got.json()["error"]["code"]) == (404, -32601)


def test_arguments_that_are_huge_or_deep(line: Line, server: Scripted) -> None:
    """The bounds of all requests hold; a remote reference in a schema is never fetched."""
    deep: Any = {}
    for _ in range(100):
        deep = {"a": deep}
    client = Client(line)
    assert failed(client.call("get_it", deep))[1] == "invalid_request"
    assert failed(client.call("get_it", {f"k{n}": n for n in range(30_000)}))[1] == "request_too_large"
    schema = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}, "b": {"$ref": "#/properties/b"}}}
    server.tools = [tool("get_it", inputSchema=schema)]
    assert "result" in client.call("get_it", {"a": 1, "b": 2})


MIRRORED = tool(
    "get_it",
    inputSchema={"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
)


@pytest.mark.parametrize(
    ("value", "headers", "status"),
    [
        ("eu", {"mcp_param_region": "eu"}, 200),
        ("ü", {"mcp_param_region": "=?base64?w7w=?="}, 200),
        (None, {}, 200),
        ("eu", {}, 400),
        ("eu", {"mcp_param_region": "us"}, 400),
        (None, {"mcp_param_region": "us"}, 400),
    ],
)
def test_headers_of_arguments(line: Line, server: Scripted, value: Any, headers: Any, status: int) -> None:
    """Those of the caller must equal the body."""
    server.tools = [MIRRORED]
    params = {"name": "get_it", "arguments": {} if value is None else {"region": value}, "_meta": META}
    got = Client(line).send("tools/call", params, **MODERN, **headers)
    assert got.status_code == status
    assert got.json().get("error", {}).get("code") == (None if status == 200 else -32020)


def test_headers_of_arguments_leave_as_the_arguments_do(
    server: Scripted, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """To a server of the later era alone, and redacted."""
    server.tools = [MIRRORED]
    server.answers["initialize"] = lambda message: (404, b'{"jsonrpc": "2.0", "id": 0, "error": {"code": -32601}}')
    server.answers["server/discover"] = lambda message: answer(message["id"], result={"capabilities": {"tools": {}}})
    folder = tmp_path_factory.mktemp("modern")
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools={"new": {"mcp": server.url}})) as fresh:
        assert "result" in Client(fresh, "/mcp/new").call("get_it", {"region": tool_server.MAIL})
    headers, message = next(one for one in reversed(server.seen) if one[1]["method"] == "tools/call")
    assert (headers["mcp-param-region"], headers["mcp-name"]) == ("<EMAIL_1>", "get_it")
    assert headers["mcp-protocol-version"] == mcp_names.MODERN
    assert message["params"]["_meta"][mcp_names.VERSION] == mcp_names.MODERN


def test_meta_is_an_object(line: Line) -> None:
    """As the protocol says, in all methods."""
    for method, params in (("tools/call", {"name": "get_it"}), ("resources/read", {"uri": "a:b"})):
        got = Client(line).send(method, {**params, "_meta": tool_server.MAIL})
        assert (got.status_code, got.json()["error"]["code"]) == (400, -32602)


class Counted(int):
    """A number that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        type(self).compared += 1
        return type(self).compared % 5_000 == 0

    __hash__ = int.__hash__


@pytest.mark.parametrize(
    ("schema", "fits", "does_not"),
    [
        ({"exclusiveMinimum": 1}, 2, 1),
        ({"exclusiveMaximum": 1}, 0, 1),
        ({"minProperties": 1}, {"a": 1}, {}),
        ({"maxProperties": 1}, {"a": 1}, {"a": 1, "b": 2}),
        ({"additionalProperties": {"type": "string"}}, {"a": "b"}, {"a": 1}),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"a": 1}, {"a": 1, "b": 1}),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1], ["a", "b"]),
        ({"prefixItems": [{"type": "string"}]}, ["a", "b"], [1]),
        ({"prefixItems": [{"type": "string"}], "items": False}, ["a"], ["a", "b"]),
    ],
)
def test_what_a_schema_says_of_the_shape(schema: Json, fits: object, does_not: object) -> None:
    """In arguments; an exclusive bound of an older draft, which is a boolean, says nothing by itself."""
    whole = {"properties": {"it": schema}}
    check({"it": fits}, whole)
    with pytest.raises(Refusal) as refused:
        check({"it": does_not}, whole)
    assert refused.value.message.startswith("The arguments do not fit the input schema of the tool: arguments.it")
    check({"it": 5}, {"properties": {"it": {"minimum": 5, "exclusiveMinimum": True, "exclusiveMaximum": True}}})


def test_a_schema_that_is_work() -> None:
    """A list that is searched for each value counts as work: the check ends, and the server has to look."""
    schema = {"properties": {"list": {"type": "array", "items": {"enum": list(range(10_000))}}}}
    check({"list": [Counted() for _ in range(1000)]}, schema)
    assert Counted.compared < 50_000
