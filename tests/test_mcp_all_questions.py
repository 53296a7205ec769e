"""Questions of servers to clients of all servers at once (`/mcp`), in both eras: each answer goes to its server."""

from __future__ import annotations

import contextlib
import json
import queue
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from fastmcp import Client as FastClient
from fastmcp import Context as FastContext
from fastmcp import FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

import tool_server
from asking_processes import FAST, SCRIPT
from gateway.dialects import mcp
from line import Line, config, policies, running
from mcp_asking import ABLE, ACCEPTED, FORM, POLICY, SAMPLED, Asked, answers, asking, prompt
from tool_client import Client, failed, sdk
from tool_server import MAIL, Scripted


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Scripted, Scripted]]:
    """Two scripted servers."""
    with tool_server.scripted() as first, tool_server.scripted() as second:
        for number, made in enumerate((first, second)):
            made.session = f"session-of-{number}"
        yield first, second


@pytest.fixture
def servers(served: tuple[Scripted, Scripted]) -> tuple[Scripted, Scripted]:
    """The same, as new."""
    for one in served:
        one.answers.clear()
        one.seen.clear()
        one.told = queue.SimpleQueue()
    return served


@pytest.fixture(scope="module")
def line(served: tuple[Scripted, Scripted], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before these, one that may ask nothing, and a process."""
    folder = tmp_path_factory.mktemp("all-asking")
    (folder / "plain.py").write_text(SCRIPT)
    first, second = served
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools={
            "first": {"mcp": first.url, "timeout": "10s", "asks": ["elicitation", "sampling"]},
            "second": {"mcp": second.url, "timeout": "10s", "asks": ["elicitation"]},
            "mute": {"mcp": first.url},
            "process": {"command": [sys.executable, str(folder / "plain.py")], "asks": ["elicitation"]},
        },
        policy=policies(folder, POLICY),
        pii={"vault_key": "A" * 43 + "="},
    )
    with running(folder, settings) as started:
        yield started


def test_each_answer_goes_to_its_server(line: Line, servers: tuple[Scripted, Scripted]) -> None:
    """In the gateway's session with this server, which was opened with what the client can be asked there."""
    asked = Asked(line, "/mcp")
    for number, (name, server) in enumerate(zip(("first", "second"), servers, strict=True)):
        asking(server, ("elicitation/create", {**FORM, "message": f"Is it {MAIL}?"}))
        told = asked.call(ACCEPTED, tool=f"{name}_get_it")
        assert answers(told) == [{"result": ACCEPTED}]
        assert asked.questions[-1]["params"]["message"] == "Is it <EMAIL>?"
        assert asked.taken[-1].status_code == 202
        (sent,) = [headers for headers, body in server.seen if "method" not in body]
        assert sent["mcp-session-id"] == f"session-of-{number}"
        opened = [body["params"]["capabilities"] for _, body in server.seen if body.get("method") == "initialize"]
        assert {kind: ABLE[kind] for kind in (["sampling"] if name == "first" else []) + ["elicitation"]} in opened


def test_a_process_asks_as_well(line: Line) -> None:
    """The session has a process of its own, as at the path of one server."""
    asked = Asked(line, "/mcp")
    told = asked.call(ACCEPTED, tool="process_get_it", arguments={"questions": [("elicitation/create", FORM)]})
    assert answers(told) == [{"result": ACCEPTED}]
    pids = [answers(asked.call(tool="process_get_it", arguments={"what": "pid"})) for _ in range(2)]
    other = answers(Asked(line, "/mcp").call(tool="process_get_it", arguments={"what": "pid"}))
    assert pids[0] == pids[1] != other


@pytest.mark.parametrize(("tool", "able"), [("mute_get_it", ABLE), ("second_get_it", ABLE), ("first_get_it", {})])
def test_who_is_not_asked(line: Line, servers: tuple[Scripted, Scripted], tool: str, able: Any) -> None:
    """What a server may ask is that of its row, whatever others may ask."""
    for server in servers:
        asking(server, ("sampling/createMessage", prompt("x")))
    (told,) = answers(Asked(line, "/mcp", able=able).call(tool=tool))
    assert told["error"]["code"] == -32601


def test_clients_without_a_session_are_not_asked(line: Line, servers: tuple[Scripted, Scripted]) -> None:
    """There would be no way to the client."""
    asking(servers[0], ("elicitation/create", FORM))
    assert "error" in answers(Client(line, "/mcp").call("first_get_it"))[0]


def test_foreign_answers_are_refused(line: Line, servers: tuple[Scripted, Scripted]) -> None:
    """Of another agent, session or path: nothing of them reaches the server."""
    asking(servers[0], ("elicitation/create", FORM))
    asked, other, bob = Asked(line, "/mcp"), Asked(line, "/mcp"), Asked(line, "/mcp", agent="bob")
    one = Asked(line, "/mcp/first")

    def answer(question: dict[str, Any]) -> None:
        id = question["id"]
        for told in (
            asked.answer(id, session=other.session, result=ACCEPTED),
            asked.answer(id, agent="bob", session=bob.session, result=ACCEPTED),
            asked.answer(id, agent="bob", result=ACCEPTED),
            asked.answer(id, path="/mcp/first", session=one.session, result=ACCEPTED),
            asked.answer(id, path="/mcp/first", result=ACCEPTED),
        ):
            assert told.status_code in (400, 404)
        assert [body for _, body in servers[0].seen if "method" not in body] == []
        asked.answer(id, result=ACCEPTED)

    assert answers(asked.call(answer, tool="first_get_it")) == [{"result": ACCEPTED}]


def test_the_policy_judges_answers_by_their_server(line: Line, servers: tuple[Scripted, Scripted]) -> None:
    """As at the path of one server."""
    asking(servers[0], ("sampling/createMessage", prompt("x")))
    asked = Asked(line, "/mcp")
    (told,) = answers(asked.call({**SAMPLED, "content": {"type": "text", "text": "deny"}}, tool="first_get_it"))
    assert told["error"]["code"] == -32000
    assert asked.taken[0].status_code == 403


def test_a_server_that_is_gone(line: Line, servers: tuple[Scripted, Scripted], tmp_path: Path) -> None:
    """Its questions are answered in vain at a gateway that has no such row."""
    asking(servers[0], ("elicitation/create", FORM))
    row = {"mcp": servers[1].url, "asks": ["elicitation"]}
    settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"second": row}, pii={"vault_key": "A" * 43 + "="})
    with running(tmp_path, settings) as other:
        asked = Asked(line, "/mcp")

        def answer(question: dict[str, Any]) -> None:
            body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": ACCEPTED})
            assert Client(other, "/mcp").post(body, mcp_session_id=asked.session).status_code == 400
            asked.answer(question["id"], result=ACCEPTED)

        assert answers(asked.call(answer, tool="first_get_it")) == [{"result": ACCEPTED}]


def test_a_session_that_the_server_has_lost(line: Line, servers: tuple[Scripted, Scripted]) -> None:
    """The gateway opens another, and the answer goes there."""
    server, asked = servers[0], Asked(line, "/mcp")
    asked.call(tool="first_get_it")
    server.session = "another"
    asking(server, ("elicitation/create", FORM))
    asks, lost = server.answers["tools/call"], [(404, b"")]
    server.answers["tools/call"] = lambda message: lost.pop() if lost else asks(message)
    assert answers(asked.call(ACCEPTED, tool="first_get_it")) == [{"result": ACCEPTED}]
    (sent,) = [headers for headers, body in server.seen if "method" not in body]
    assert sent["mcp-session-id"] == "another"
    server.session = "session-of-0"


def test_rounds_of_the_later_era(line: Line, servers: tuple[Scripted, Scripted]) -> None:
    """The state of one server is none at another."""
    for server in servers:
        server.answers["server/discover"] = lambda message: {
            "jsonrpc": "2.0",
            "id": message["id"],
            "result": {"supportedVersions": [mcp.MODERN], "capabilities": {}, "resultType": "complete"},
        }
        server.answers["tools/call"] = lambda message: {
            "jsonrpc": "2.0",
            "id": message["id"],
            "result": {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}
            if "inputResponses" in message["params"]
            else {
                "resultType": "input_required",
                "requestState": "s",
                "inputRequests": {"a": {"method": "elicitation/create", "params": FORM}},
            },
        }

    def call(tool: str, **more: Any) -> Any:
        meta = {mcp.VERSION: mcp.MODERN, mcp.CAPABILITIES: ABLE}
        headers = {"mcp_protocol_version": mcp.MODERN, "mcp_method": "tools/call", "mcp_name": tool}
        params = {"name": tool, "arguments": {}, "_meta": meta, **more}
        return Client(line, "/mcp").send("tools/call", params, **headers).json()

    state = call("first_get_it")["result"]["requestState"]
    answered = {"requestState": state, "inputResponses": {"a": ACCEPTED}}
    assert failed(call("second_get_it", **answered)) == (-32602, "invalid_request")
    assert call("first_get_it", **answered)["result"]["content"][0]["text"] == "done"
    assert servers[0].seen[-1][1]["params"]["requestState"] == "s"


class Choice(BaseModel):
    """What a user is asked for."""

    name: str


@contextlib.contextmanager
def sdk_servers() -> Iterator[tuple[str, str]]:
    """A server of the official SDK and one of fastmcp, which ask the user."""
    server, shop = MCPServer("asker"), FastMCP("shop")

    @server.tool()
    async def ask(context: Context) -> str:
        """Ask the user."""
        chosen = await context.elicit(f"Name of {MAIL}?", Choice)
        return chosen.data.name if chosen.action == "accept" else "-"

    @shop.tool(name="ask")
    async def ask_too(context: FastContext) -> str:
        """Ask the user."""
        chosen: Any = await context.elicit(f"Name of {MAIL}?", response_type=str)
        return str(chosen.data)

    with tool_server.serving(server.streamable_http_app()) as first, tool_server.serving(shop.http_app()) as second:
        yield first, second


async def test_the_official_sdk_and_fastmcp(tmp_path: Path) -> None:
    """As clients and servers, unmodified, and a process: the callbacks are called as without a gateway."""
    asked: list[str] = []
    (tmp_path / "fast.py").write_text(FAST)

    async def on_elicit(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"name": "Ann", "value": "Ann"})

    async def on_question(message: str, response_type: Any, params: Any, context: Any) -> Any:
        asked.append(message)
        return {"name": "Bea", "value": "Bea"}

    with sdk_servers() as (first, second):
        tools = {
            "sdk": {"mcp": first, "asks": ["elicitation"]},
            "shop": {"mcp": second, "asks": ["elicitation"]},
            "own": {"command": [sys.executable, str(tmp_path / "fast.py")], "asks": ["elicitation"]},
        }
        with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", tools=tools)) as line:
            async with sdk(f"{line.url}/mcp", mode="legacy", elicitation_callback=on_elicit) as client:
                for name in tools:
                    result = await client.call_tool(f"{name}_ask", {})
                    assert result.structured_content == {"result": "Ann"}, name
            transport = StreamableHttpTransport(f"{line.url}/mcp", headers={"Authorization": "Bearer mg-alice"})
            async with FastClient(transport, mode="legacy", elicitation_handler=on_question) as fast:
                for name in tools:
                    assert (await fast.call_tool(f"{name}_ask", {})).structured_content == {"result": "Bea"}, name
    assert asked == ["Name of <EMAIL>?"] * 6
