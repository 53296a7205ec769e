"""MCP servers that the gateway runs as child processes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from line import Line, config, running
from tool_client import Client, failed, sdk, text
from waiting import eventually

# A server in plain Python: its tool does what the argument says.
SCRIPT = """
import json, os, sys, time
TOOLS, waiting = ["do"], []

def tell(method, **params):
    print(json.dumps({"jsonrpc": "2.0", "method": "notifications/" + method, "params": params}), flush=True)

for line in sys.stdin:
    said = json.loads(line)
    if "id" not in said:
        continue
    method, params = said["method"], said.get("params", {})
    if method == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "plain", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
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
        token = params.get("_meta", {}).get("progressToken")
        if what == "grow":
            TOOLS.append("more")
            tell("tools/list_changed")
        if what == "tell":
            tell("progress", progressToken="another", progress=1)
            tell("progress", progressToken=[token], progress=1)
            tell("message", level="info", data="a line of the log")
            tell("progress", progressToken=token, progress=0.5, message="half of ann@example.org")
            tell("progress", progressToken=token, progress=1)
        if what == "chatter":
            for number in range(1005):
                tell("progress", progressToken=token, progress=number)
        if what == "babble":
            for number in range(40):
                tell("progress", progressToken=token, progress=number, message="x" * 10_000)
        if what == "wait":  # for another call
            waiting.append((said["id"], token))
            continue
        if what == "both":
            for id, other in waiting:
                tell("progress", progressToken=other, progress=1, message="for the first")
                tell("progress", progressToken=token, progress=1, message="for the second")
                print(json.dumps({"jsonrpc": "2.0", "id": id, "result": {"content": []}}), flush=True)
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
from mcp.server.mcpserver import Context, MCPServer
server = MCPServer("adder")

@server.tool()
async def add(a: int, b: int, context: Context) -> int:
    await context.report_progress(1, 2, "half")
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
            "max_answer": 300_000,
            "memory": 2_000_000_000,
            "pins": "off",
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


def told(line: Line, what: str, token: Any = "mine", agent: str = "alice") -> list[Any]:
    """What a client hears that wants progress: the messages of an event stream, or the answer."""
    params = {"name": "do", "arguments": {"what": what}, "_meta": {"progressToken": token}}
    answer = Client(line, "/mcp/plain", agent).send("tools/call", params)
    if answer.headers["content-type"] == "application/json":
        return [answer.json()]
    return [json.loads(event.partition("data: ")[2]) for event in answer.text.split("\n\n") if event]


def again(line: Line) -> bool:
    """Whether a call is served."""
    return "result" in Client(line, "/mcp/plain").call("do")


def test_calls_share_one_process(line: Line) -> None:
    """Each answer goes to its call, with the id of that call."""
    client = Client(line, "/mcp/plain")
    assert client.tools() == ["do"]
    assert do(line, "pid") == do(line, "pid")
    assert client.send("tools/call", {"name": "do", "arguments": {}}, id="mine").json()["id"] == "mine"


async def test_the_sdk(line: Line) -> None:
    """A server and a client of the official SDK: the callback is called as without a gateway."""
    told_of: list[Any] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told_of.append((progress, total, message))

    async with sdk(f"{line.url}/mcp/sdk") as client:
        result = await client.call_tool("add", {"a": 2, "b": 3}, progress_callback=on_progress)
    assert result.structured_content == {"result": 5}
    assert told_of == [(1, 2, "half")]


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


def test_progress_of_a_process_reaches_its_call(line: Line) -> None:
    """Judged as a result, under the token of the client. A log belongs to no call, nor does what has another token."""
    *told_before, last = told(line, "tell", 7)
    assert [one["params"] for one in told_before] == [
        {"progress": 0.5, "message": "half of <EMAIL>", "progressToken": 7},
        {"progress": 1, "progressToken": 7},
    ]
    assert text(last) == "tell"
    assert do(line, "tell") == "tell"


def test_progress_reaches_no_other_call(line: Line) -> None:
    """Two callers with the same token at the same time."""
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(told, line, "wait", 1)
        eventually(lambda: line.metric("meshgate_calls_in_flight") >= 1)
        second = None
        while not first.done():
            second = told(line, "both", 1, "bob")
    assert second is not None
    assert [one["params"]["message"] for one in first.result()[:-1]] == ["for the first"]
    assert [one["params"]["message"] for one in second[:-1]] == ["for the second"]


def test_more_progress_than_anybody_reads(line: Line) -> None:
    """The rest is dropped; more bytes than an answer may have end the call, and the process goes on."""
    *before, last = told(line, "chatter")
    assert [one["params"]["progress"] for one in before] == list(range(1000))
    assert text(last) == "chatter"
    pid = do(line, "pid")
    assert failed(told(line, "babble")[-1]) == (-32000, "upstream_error")
    assert do(line, "pid") == pid


def test_a_list_that_changes_is_read_again(line: Line) -> None:
    """Long before it is due."""
    client = Client(line, "/mcp/plain")
    assert client.tools() == ["do"]
    assert do(line, "grow") == "grow"
    eventually(lambda: client.tools() == ["do", "more"])


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
