"""Logs of MCP servers that the gateway runs, and the resources that clients watch there."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.dialects import mcp_names
from gateway.tools import watches
from line import Line, config, running
from mcp_streaming import CHANGED, SUBSCRIPTION, UPDATED, listening_to, subscribed
from telling_processes import SCRIPT, SDK
from tool_client import Client, failed, sdk, text
from waiting import eventually

SCREENED = {"level": "error", "data": "no order of <EMAIL>"}
AFTERWARDS = {"level": "error", "data": "afterwards"}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that runs both servers, and one without a log."""
    folder = tmp_path_factory.mktemp("news")
    (folder / "notes.py").write_text(SCRIPT)
    (folder / "sdk.py").write_text(SDK)
    (folder / "mute.py").write_text(
        SCRIPT.replace(', "logging": {}', "").replace(', "resources": {"subscribe": True}', "")
    )
    tools = {name: {"command": [sys.executable, str(folder / f"{name}.py")]} for name in ("notes", "sdk", "mute")}
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=tools)) as started:
        yield started


def opened(line: Line, level: str = "", path: str = "/mcp/notes", agent: str = "alice") -> tuple[Client, str]:
    """A session whose client wants the log from a level, "" for none."""
    client = Client(line, path, agent)
    id = client.open()
    if level:
        assert client.send("logging/setLevel", {"level": level}, mcp_session_id=id).json()["result"] == {}
    return client, id


def heard(client: Client, what: str, **headers: str) -> list[Any]:
    """The events of a call before its answer: their parameters."""
    name = "do" if client.path != "/mcp" else "notes_do"
    answer = client.send("tools/call", {"name": name, "arguments": {"what": what}}, **headers)
    if answer.headers["content-type"] == "application/json":
        return []
    return [json.loads(event.partition("data: ")[2])["params"] for event in answer.text.split("\n\n")[:-2]]


def said(client: Client, what: str, **headers: str) -> Any:
    """What the process says of itself."""
    return json.loads(text(client.call("do", {"what": what}, **headers)))


@pytest.mark.parametrize("path", ["/mcp/notes", "/mcp"])
def test_the_log_of_a_session(line: Line, path: str) -> None:
    """From its level on: during a call in the stream of the call, else in that of the session; each screened."""
    client, id = opened(line, "error", path)
    other, theirs = opened(line, "debug", path)
    logger = {"logger": "notes"} if path == "/mcp" else {}
    with listening_to(line, id, path=path) as stream, listening_to(line, theirs, path=path) as others:
        assert heard(client, "log", mcp_session_id=id) == [SCREENED]
        assert stream.next()["params"] == {**AFTERWARDS, **logger}
        assert heard(other, "none", mcp_session_id=theirs) == []
        assert heard(Client(line, path), "write") == []  # of the process of all
        assert others.next()["method"] == CHANGED["method"]  # and nothing of the log before


def test_a_level_that_changes(line: Line) -> None:
    """Is that of the next call; the process, which is the same, has been told."""
    client, id = opened(line, "error")
    pid = said(client, "pid", mcp_session_id=id)
    assert said(client, "level", mcp_session_id=id) == "error"
    client.send("logging/setLevel", {"level": "info"}, mcp_session_id=id)
    assert [one["level"] for one in heard(client, "log", mcp_session_id=id)] == ["info", "error"]
    assert said(client, "pid", mcp_session_id=id) == pid
    assert said(client, "level", mcp_session_id=id) == "info"


def test_who_gets_no_log(line: Line) -> None:
    """A client that has chosen no level: all without one share a process, whose log is nobody's."""
    client, id = opened(line)
    bob, theirs = opened(line, agent="bob")
    assert said(client, "pid", mcp_session_id=id) == said(bob, "pid", mcp_session_id=theirs)
    with listening_to(line, id, path="/mcp/notes") as stream:
        assert heard(client, "log", mcp_session_id=id) == []
        assert heard(client, "write", mcp_session_id=id) == []
        assert stream.next()["method"] == CHANGED["method"]
    assert failed(client.send("logging/setLevel", {"level": "info"}).json())[0] == -32601  # without a session
    mute, silent = opened(line, path="/mcp/mute")
    for method, params in (("logging/setLevel", {"level": "info"}), ("resources/unsubscribe", {"uri": 7})):
        assert "error" in mute.send(method, params, mcp_session_id=silent).json()


def test_the_log_for_a_client_of_the_later_era(line: Line) -> None:
    """From the level that its request names."""

    def call(meta: Any) -> list[Any]:
        params = {"name": "do", "arguments": {"what": "log"}}
        params["_meta"] = {mcp_names.VERSION: mcp_names.MODERN, mcp_names.CAPABILITIES: {}, **meta}
        headers = {"mcp_protocol_version": mcp_names.MODERN, "mcp_method": "tools/call", "mcp_name": "do"}
        answer = Client(line, "/mcp/notes").send("tools/call", params, **headers)
        events = [json.loads(one.partition("data: ")[2]) for one in answer.text.split("\n\n") if "data: " in one]
        return [one["params"] for one in events[:-1]]

    assert call({mcp_names.LOG_LEVEL: "warning"}) == [SCREENED]
    assert call({}) == []


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody watches any more is given up soon."""
    monkeypatch.setattr(watches, "LINGER", 0.2)


def watched(line: Line) -> list[str]:
    """What the process of all is told to watch."""
    found: list[str] = said(Client(line, "/mcp/notes"), "watched")
    return found


def write(line: Line) -> None:
    """Have the process of all tell of a change of each note that anybody watches."""
    assert "result" in Client(line, "/mcp/notes", "bob").call("do", {"what": "write"})


@pytest.mark.usefixtures("brief")
def test_a_session_watches_resources_of_a_process(line: Line) -> None:
    """Each hears of its own; the process is told once, and as long as anybody has a stream."""
    client, id = opened(line)
    bob, theirs = opened(line, agent="bob")
    for one, session, uri in ((client, id, "notes://a"), (bob, theirs, "notes://a"), (bob, theirs, "notes://b")):
        assert one.send("resources/subscribe", {"uri": uri}, mcp_session_id=session).json()["result"] == {}
    refused = client.send("resources/subscribe", {"uri": "other://a"}, mcp_session_id=id).json()
    assert refused["error"] == {"code": -32002, "message": "No such note"}
    assert failed(client.send("resources/subscribe", {"uri": "notes://a"}).json())[0] == -32601
    with listening_to(line, theirs, path="/mcp/notes", agent="bob") as others:
        with listening_to(line, id, path="/mcp/notes") as stream:
            eventually(lambda: watched(line) == ["notes://a", "notes://b"])
            write(line)
            assert [stream.next() for _ in range(2)] == [UPDATED, {**CHANGED, "params": {}}]
            assert [others.next()["params"] for _ in range(3)] == [{"uri": "notes://a"}, {"uri": "notes://b"}, {}]
            bob.send("resources/unsubscribe", {"uri": "notes://a"}, mcp_session_id=theirs)
            write(line)
            assert stream.next() == UPDATED
        eventually(lambda: watched(line) == ["notes://b"])
    eventually(lambda: watched(line) == [])


@pytest.mark.usefixtures("brief")
def test_a_later_client_watches_resources_of_a_process(line: Line) -> None:
    """The process is of the earlier era, and is told."""
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["notes://a"]}
    meta = {"_meta": {SUBSCRIPTION: "l1"}}
    with subscribed(line, wanted, path="/mcp/notes") as stream:
        assert stream.next()["params"]["notifications"] == wanted
        assert watched(line) == ["notes://a"]
        write(line)
        assert stream.next()["params"] == {"uri": "notes://a", **meta}
        assert stream.next()["params"] == meta
    eventually(lambda: watched(line) == [])
    with subscribed(line, wanted, path="/mcp/mute") as stream:  # whose capabilities do not say so
        assert stream.next()["params"]["notifications"] == {"toolsListChanged": True}


def test_a_process_that_ends_while_it_is_watched(line: Line) -> None:
    """Is started again for those who watch, who hear that what they watch may have changed."""
    pid = said(Client(line, "/mcp/notes"), "pid")
    with subscribed(line, {"resourceSubscriptions": ["notes://a"]}, path="/mcp/notes") as stream:
        stream.next()
        assert "error" in Client(line, "/mcp/notes").call("do", {"what": "die"})
        assert stream.next()["params"]["uri"] == "notes://a"
        assert said(Client(line, "/mcp/notes"), "pid") != pid
        assert watched(line) == ["notes://a"]


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_sdk(line: Line, mode: Any) -> None:
    """Client and server: the log, and what is watched."""
    logged: list[Any] = []
    updated = asyncio.Event()

    async def on_log(params: Any) -> None:
        logged.append((params.level, params.data))

    async def on_message(message: Any) -> None:
        if getattr(message, "method", "") == UPDATED["method"] and str(message.params.uri) == "notes://a":
            updated.set()

    options: dict[str, Any] = {"log_level": "info"} if mode == "auto" else {}
    async with sdk(
        f"{line.url}/mcp/sdk", mode=mode, logging_callback=on_log, message_handler=on_message, **options
    ) as client:
        if mode == "auto":
            async with client.listen(resource_subscriptions=["notes://a"]) as stream:
                await client.call_tool("write", {})
                async for _ in stream:
                    break
        else:
            await client.set_logging_level("info")
            await client.subscribe_resource("notes://a")
            await client.call_tool("write", {})
            await asyncio.wait_for(updated.wait(), 20)
    assert logged == [("warning", "written by <EMAIL>")]
