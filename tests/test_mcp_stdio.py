"""MCP servers that the gateway runs as child processes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from line import Line, config, running
from tool_client import Client, failed, text
from waiting import eventually

# A server in plain Python: its tool does what the argument says.
SCRIPT = """
import json, os, sys, time
for line in sys.stdin:
    said = json.loads(line)
    if "id" not in said:
        continue
    method, params = said["method"], said.get("params", {})
    if method == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "plain", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": "do", "inputSchema": {"type": "object"}}]}
    else:
        what = params["arguments"].get("what", "")
        if what == "die":
            sys.exit(3)
        if what == "hang":
            continue
        if what == "flood":
            print("x" * 2_000_000, flush=True)
        if what == "ask":
            print(json.dumps({"jsonrpc": "2.0", "id": 99, "method": "sampling/createMessage"}), flush=True)
            what = sys.stdin.readline()
        print("no message", flush=True)
        print(json.dumps({"jsonrpc": "2.0", "id": 123456, "result": {}}), flush=True)
        if what == "env":
            what = json.dumps(sorted(os.environ))
        if what == "token":
            what = os.environ["TOKEN"]
        if what == "pid":
            what = str(os.getpid())
        result = {"content": [{"type": "text", "text": what}]}
    print(json.dumps({"jsonrpc": "2.0", "id": said["id"], "result": result}), flush=True)
"""
SDK = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("adder")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

server.run("stdio")
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that runs both servers, and a program that does not exist."""
    folder = tmp_path_factory.mktemp("stdio")
    (folder / "plain.py").write_text(SCRIPT)
    (folder / "sdk.py").write_text(SDK)
    tools = {
        "plain": {
            "command": [sys.executable, str(folder / "plain.py")],
            "env": {"TOKEN": "for-the-server"},
            "timeout": "3s",
            "max_answer": 100_000,
            "memory": 2_000_000_000,
        },
        "sdk": {"command": [sys.executable, str(folder / "sdk.py")], "timeout": "30s"},
        "missing": {"command": ["/nonexistent/program"]},
    }
    os.environ["OPENAI_API_KEY"] = "sk-of-the-gateway-itself"
    try:
        with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=tools)) as started:
            yield started
    finally:
        del os.environ["OPENAI_API_KEY"]


def do(line: Line, what: str) -> str:
    """The text of a call."""
    return text(Client(line, "/mcp/plain").call("do", {"what": what}))


def again(line: Line) -> bool:
    """Whether a call is served."""
    return "result" in Client(line, "/mcp/plain").call("do")


def test_calls_share_one_process(line: Line) -> None:
    """Each answer goes to its call, with the id of that call."""
    client = Client(line, "/mcp/plain")
    assert client.tools() == ["do"]
    assert do(line, "pid") == do(line, "pid")
    assert client.send("tools/call", {"name": "do", "arguments": {}}, id="mine").json()["id"] == "mine"


def test_the_server_sdk(line: Line) -> None:
    """A server of the official SDK."""
    answer = Client(line, "/mcp/sdk").call("add", {"a": 2, "b": 3})
    assert answer["result"]["structuredContent"] == {"result": 5}


def test_the_environment_of_the_gateway_stays_here(line: Line) -> None:
    """The program gets what its row says, and what programs need; its secrets do not leave."""
    environment = json.loads(do(line, "env"))
    assert "OPENAI_API_KEY" not in environment
    assert "PATH" in environment
    assert "TOKEN" in environment
    assert failed(Client(line, "/mcp/plain").call("do", {"what": "token"})) == (-32000, "secret_blocked")


def test_questions_of_the_server_are_refused(line: Line) -> None:
    """With an error of JSON-RPC."""
    assert json.loads(do(line, "ask"))["error"]["code"] == -32601


@pytest.mark.parametrize(("what", "code"), [("die", "upstream_error"), ("flood", "upstream_error")])
def test_a_process_that_ends_is_started_again(line: Line, what: str, code: str) -> None:
    """The call fails, and after a moment the next is served by another process."""
    before = do(line, "pid")
    assert failed(Client(line, "/mcp/plain").call("do", {"what": what})) == (-32000, code)
    eventually(lambda: again(line))
    assert do(line, "pid") != before


def test_a_process_that_hangs(line: Line) -> None:
    """The call times out; the process serves others."""
    assert failed(Client(line, "/mcp/plain").call("do", {"what": "hang"})) == (-32000, "upstream_timeout")
    assert again(line)


def test_a_program_that_does_not_exist(line: Line) -> None:
    """An error that names no path."""
    answer = Client(line, "/mcp/missing").call("x")
    assert failed(answer) == (-32000, "upstream_error")
    assert "nonexistent" not in json.dumps(answer)


def test_processes_end_with_the_gateway(tmp_path: Path) -> None:
    """None is left."""
    (tmp_path / "plain.py").write_text(SCRIPT)
    tools = {"plain": {"command": [sys.executable, str(tmp_path / "plain.py")]}}
    with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", tools=tools)) as line:
        pid = int(do(line, "pid"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
