"""The circuit breaker of tool servers, of every kind: when it opens, what callers hear, the probe, and what is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import tool_server
from gateway.call import Target
from gateway.config.routing import Breaker as Rules
from gateway.config.routing import Routing
from gateway.errors import Refusal
from gateway.tools.breaker import Breaker, Breakers
from gateway.tools.wire import SessionLost, broken
from gateway.upstream.circuit import Circuit
from gateway.upstream.health import Healths
from line import Line, config, running
from tool_client import Client, failed
from tool_server import Scripted
from waiting import eventually

BREAKER = {"failures": 2, "wait": "1h", "max_wait": "1h"}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "d", "version": "1"},
    "paths": {"/v1/it": {"get": {"operationId": "get_it", "responses": {"200": {"description": "ok"}}}}},
}
STDIO = """
import json, sys
for line in sys.stdin:
    said = json.loads(line)
    if said["method"] == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    elif said["method"] == "tools/list":
        result = {"tools": [{"name": "do", "inputSchema": {"type": "object"}}]}
    elif said["method"] == "tools/call" and said["params"]["arguments"].get("hang"):
        continue
    else:
        result = {"content": []}
    if "id" in said:
        print(json.dumps({"jsonrpc": "2.0", "id": said["id"], "result": result}), flush=True)
"""


@pytest.fixture(scope="module")
def up() -> Iterator[Scripted]:
    """A scripted server of MCP, whose GET answers as an HTTP tool."""
    with tool_server.scripted() as made:
        yield made


@pytest.fixture(scope="module")
def started(up: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with servers of every kind; those called `gone_*` are at a port where nothing listens."""
    folder = tmp_path_factory.mktemp("breaker")
    (folder / "stdio.py").write_text(STDIO)
    (folder / "document.yaml").write_text(yaml.safe_dump(DOCUMENT))
    base, gone = up.url.removesuffix("/mcp"), "http://127.0.0.1:9"
    document = {"openapi": str(folder / "document.yaml")}
    tools: dict[str, Any] = {
        "it": {"mcp": up.url, "timeout": "300ms", "max_answer": 100_000, "refresh": "1h"},
        "gone_mcp": {"mcp": f"{gone}/mcp"},
        "plain": {"http": base, "methods": ["GET", "POST"]},
        "gone_plain": {"http": gone},
        "gone_api": {"http": gone, **document},
        "stdio": {"command": [sys.executable, str(folder / "stdio.py")], "timeout": "300ms"},
        "gone_stdio": {"command": ["/nonexistent/program"]},
    }
    settings = config(folder, "http://127.0.0.1:9/v1", tools=tools, routing={"breaker": BREAKER})
    with running(folder, settings) as line:
        yield line


@pytest.fixture
def line(started: Line, up: Scripted) -> Line:
    """The gateway with all circuits closed."""
    up.answers.clear()
    up.seen.clear()
    for circuit in _circuits(started):
        circuit.close()
    return started


def _circuits(line: Line) -> list[Circuit]:
    return [health.circuit for health in line.gateway.shared.healths._known.values()]


def circuit(line: Line, server: str) -> Circuit:
    """The circuit of a server that other processes can reach, too."""
    return line.gateway.shared.healths.of(Target(server, "")).circuit


def calls(up: Scripted) -> int:
    """Calls of tools that have reached the server."""
    return sum(message["method"] == "tools/call" for _, message in up.seen)


@pytest.mark.parametrize("server", ["gone_mcp", "gone_api", "gone_stdio"])
def test_a_server_that_is_gone_is_not_called(line: Line, server: str) -> None:
    """After a few failures callers hear at once that the server is not called, and when to try again."""
    client = Client(line, f"/mcp/{server}")
    answers = [client.send("tools/call", {"name": "get_it", "arguments": {}}) for _ in range(4)]
    assert [failed(answer.json()) for answer in answers] == [(-32000, "upstream_error")] * 4
    assert "is not called" in answers[-1].json()["error"]["message"]
    assert 3500 < int(answers[-1].headers["retry-after"]) <= 3600
    assert line.client.get("/readyz").json()["upstreams"][server] == "open"
    assert line.client.get("/readyz").status_code == 200
    assert line.metric("meshgate_upstream_circuits", provider=server, state="open") == 1
    assert line.metric("meshgate_upstream_state", provider=server) == 0


def test_an_http_tool_that_is_gone_is_not_called(line: Line) -> None:
    """The same in the form of plain HTTP."""
    key = {"authorization": "Bearer mg-alice"}
    answers = [line.client.get("/tools/gone_plain/v1/it", headers=key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502] * 3
    assert answers[-1].headers["x-meshgate-code"] == "upstream_error"
    assert "is not called" in answers[-1].text
    assert 3500 < int(answers[-1].headers["retry-after"]) <= 3600
    assert line.metric("meshgate_upstream_circuits", provider="gone_plain", state="open") == 1


def test_one_call_probes_the_server(line: Line, up: Scripted) -> None:
    """A probe that fails opens the circuit again, one that is answered closes the circuit."""
    client = Client(line)
    client.tools()
    up.answers["tools/call"] = lambda _: (503, b"busy", "text/plain")
    for _ in range(3):
        client.call("get_it")
    assert calls(up) == 2
    circuit(line, "it").until = 0.0
    assert line.client.get("/readyz").json()["upstreams"]["it"] == "half_open"
    assert failed(client.call("get_it")) == (-32000, "upstream_error")
    assert calls(up) == 3
    assert not circuit(line, "it").closed
    circuit(line, "it").until = 0.0
    up.answers.clear()
    assert "result" in client.call("get_it")
    assert circuit(line, "it").closed
    assert "it" not in line.client.get("/readyz").json().get("upstreams", {})
    assert line.metric("meshgate_upstream_state", provider="it") == 1


def _cut(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.close_connection = True


def _silent(up: Scripted) -> Any:
    def hang(handler: Any) -> None:
        up.release.wait(2)
        handler.close_connection = True

    return lambda _: hang


@pytest.mark.parametrize(
    "said",
    [
        pytest.param((503, b"busy", "text/plain"), id="busy"),
        pytest.param((502, b'{"message": "no backend"}'), id="of a load balancer"),
        pytest.param((200, b"data: {}\n\n", "text/event-stream"), id="a stream without a response"),
        pytest.param(_cut, id="cut"),
    ],
)
def test_failures_of_a_server(line: Line, up: Scripted, said: Any) -> None:
    """Each opens the circuit."""
    client = Client(line)
    client.tools()
    up.answers["tools/call"] = lambda _: said
    for _ in range(2):
        assert failed(client.call("get_it")) == (-32000, "upstream_error")
    assert not circuit(line, "it").closed


@pytest.mark.parametrize(
    "said",
    [
        pytest.param((403, b""), id="credentials"),
        pytest.param((200, b"{" + b" " * 200_000 + b"}"), id="too long"),
        pytest.param((404, b"no", "text/plain"), id="no response"),
        pytest.param(
            (500, b'{"jsonrpc": "2.0", "id": 7, "error": {"code": -32603, "message": "no"}}'), id="an error of a tool"
        ),
    ],
)
def test_what_a_caller_can_cause_is_no_failure(line: Line, up: Scripted, said: Any) -> None:
    """The server stays there for others."""
    client = Client(line)
    client.tools()
    up.answers["tools/call"] = lambda _: said
    for _ in range(4):
        assert "error" in client.call("get_it")
    assert circuit(line, "it").closed


def test_servers_that_fall_silent(line: Line, up: Scripted) -> None:
    """Over HTTP and as a process; the circuit of a process is that of this gateway alone."""
    client, other = Client(line), Client(line, "/mcp/stdio")
    client.tools()
    other.tools()
    up.answers["tools/call"] = _silent(up)
    for _ in range(2):
        assert failed(client.call("get_it")) == (-32000, "upstream_timeout")
        assert failed(other.call("do", {"hang": True})) == (-32000, "upstream_timeout")
    assert failed(client.call("get_it")) == failed(other.call("do")) == (-32000, "upstream_error")
    assert circuit(line, "stdio").closed
    assert line.gateway.shared.healths.troubled() == {"it": "open", "stdio": "open"}


def test_a_list_of_all_servers_leaves_them_out(line: Line) -> None:
    """As it does with a server that fails."""
    circuit(line, "gone_mcp").failed(0)
    circuit(line, "gone_mcp").open(float("inf"), 1)
    assert "it_get_it" in Client(line, "/mcp").tools()


@pytest.mark.parametrize(("status", "opens"), [(503, True), (500, False), (404, False)])
def test_answers_of_http_tools_are_passed_on(line: Line, up: Scripted, status: int, opens: bool) -> None:
    """One that says that the server is not there counts as a failure, an error of the tool does not."""
    up.answers["x"] = lambda message: (status, json.dumps({"error": "no"}).encode())
    body = {"jsonrpc": "2.0", "id": 1, "method": "x"}
    key = {"authorization": "Bearer mg-alice"}
    answers = [line.client.post("/tools/plain/mcp", json=body, headers=key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 502 if opens else status]
    assert circuit(line, "plain").closed is not opens


def test_a_row_that_changes_is_called_again(up: Scripted, tmp_path: Path) -> None:
    """The operator has mended a fault, and nobody waits for the probe."""
    rows = {"it": {"mcp": "http://127.0.0.1:9/mcp"}, "plain": {"http": "http://127.0.0.1:9"}}
    settings = config(tmp_path, "http://127.0.0.1:9/v1", tools=rows, routing={"breaker": {**BREAKER, "failures": 1}})
    with running(tmp_path, settings) as line:
        headers = {"authorization": "Bearer mg-alice"}
        for _ in range(2):
            Client(line).call("get_it")
            line.client.get("/tools/plain/x", headers=headers)
        assert line.gateway.shared.healths.troubled() == {"it": "open", "plain": "open"}
        changed = {"it": {"mcp": up.url}, "plain": {"http": up.url.removesuffix("/mcp")}}
        line.path.write_text(yaml.safe_dump({**yaml.safe_load(line.path.read_text()), "tools": changed}))
        eventually(lambda: not line.gateway.shared.healths.troubled())
        assert "result" in Client(line).call("get_it")
        assert line.client.get("/tools/plain/x", headers=headers).status_code == 200


def _breakers(rules: Rules | None) -> Breakers:
    healths = Healths()
    healths.follow(Routing(breaker=rules))
    return Breakers(healths)


async def ends(breaker: Breaker, fault: BaseException) -> None:
    """An exchange that ends so."""
    with contextlib.suppress(type(fault)):
        async with breaker.attempt():
            raise fault


async def test_a_caller_that_leaves_is_no_outcome() -> None:
    """The next call may be the probe, and there is no other at the same time."""
    breaker = _breakers(Rules(failures=1)).of("it")
    await ends(breaker, broken("it", "is away", down=True))
    circuit = breaker.breakers.healths.of(breaker.target).circuit
    circuit.until = 0.0
    probe = await breaker.attempt().__aenter__()
    with pytest.raises(Refusal) as refused:
        await breaker.attempt().__aenter__()
    assert (refused.value.code, refused.value.retry_after) == ("upstream_error", 1.0)
    await probe.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)
    assert circuit.state(1.0) == "half_open"
    await ends(breaker, SessionLost())
    assert circuit.closed


async def test_without_a_breaker_every_call_is_sent() -> None:
    """`routing.breaker: null`."""
    breaker = _breakers(None).of("it")
    for _ in range(50):
        await ends(breaker, broken("it", "is away", down=True))
    async with breaker.attempt():
        pass
