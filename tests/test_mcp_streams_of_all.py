"""What servers tell without a request, at the path of all servers and where client and server are of different eras."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp.client.client import Client as SdkClient
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ToolsListChanged
from mcp.server.mcpserver import Context, MCPServer

import tool_server
from gateway.dialects import mcp_names
from gateway.tools import sources
from line import Line, config, running
from mcp_asking import POLICY
from mcp_streaming import CHANGED, END, SUBSCRIPTION, UPDATED, Streams, listening_to, log, session, subscribed
from tool_client import Client, failed
from tool_server import INJECTION, MAIL, Scripted, unknown
from waiting import eventually

# A process that tells, during each call and outside of any request, that its tools have changed.
TELLER = """
import json, sys

def put(**said):
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)

for line in sys.stdin:
    said = json.loads(line)
    if said.get("method") == "initialize":
        put(id=said["id"], result={"protocolVersion": said["params"]["protocolVersion"],
            "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
            "serverInfo": {"name": "plain", "version": "1"}})
    elif said.get("method") == "tools/list":
        put(id=said["id"], result={"tools": [{"name": "change", "inputSchema": {"type": "object"}}]})
    elif said.get("method", "").startswith("resources/"):
        put(id=said["id"], result={})
    elif said.get("method") == "tools/call":
        put(id=said["id"], result={"content": []})
        put(method="notifications/message", params={"level": "info", "data": "of another caller"})
        put(method="notifications/tools/list_changed")
"""
TOLD = {**CHANGED, "params": {}}
META = {"_meta": {SUBSCRIPTION: "l1"}}
ACKNOWLEDGED = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"}
ABOUT: dict[str, Any] = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "prompts": {},
    "logging": {},
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Scripted, Scripted]]:
    """A server of the earlier era, and one of the later."""
    with tool_server.scripted() as old, tool_server.scripted() as new:
        old.about = new.about = ABOUT
        yield old, new


@pytest.fixture
def old(served: tuple[Scripted, Scripted]) -> Iterator[Streams]:
    """The streams of the server of the earlier era, as new."""
    made = served[0]
    made.answers.clear()
    made.seen.clear()
    made.answers["server/discover"] = unknown
    done = {"jsonrpc": "2.0", "result": {}}
    made.answers["logging/setLevel"] = made.answers["resources/subscribe"] = lambda said: {**done, "id": said["id"]}
    streams = Streams(made)
    made.answers["subscriptions/listen"] = unknown
    yield streams
    streams.says.put(END)


@pytest.fixture
def new(served: tuple[Scripted, Scripted]) -> Iterator[Streams]:
    """The streams of the server of the later era, as new."""
    made = served[1]
    made.answers.clear()
    made.seen.clear()
    made.answers["initialize"] = unknown
    result = {"supportedVersions": [mcp_names.MODERN], "capabilities": ABOUT, "resultType": "complete"}
    made.answers["server/discover"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": result}
    streams = Streams(made)
    del made.answers["GET"]
    yield streams
    streams.says.put(END)


@pytest.fixture(scope="module")
def line(served: tuple[Scripted, Scripted], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before both, before a process, a server that is down, and one that policy lets nobody listen to."""
    folder = tmp_path_factory.mktemp("all")
    (folder / "teller.py").write_text(TELLER)
    (folder / "policies").mkdir()
    named = '{"server": input.action.server, "name": input.action.name}'
    rules = POLICY.replace("not input.action.name in", f"not {named} in").replace(
        '{"answer_roots"}', '{{"server": "quiet", "name": "listen"}}'
    )
    (folder / "policies" / "gateway.rego").write_text(rules)
    old, new = ({"mcp": one.url, "timeout": "5s"} for one in served)
    tools = {
        "old": old,
        "new": new,
        "process": {"command": [sys.executable, str(folder / "teller.py")]},
        "dead": {"mcp": "http://127.0.0.1:9/mcp", "timeout": "1s"},
        "quiet": {**old, "auth": {"type": "static", "token": "quiet-1234567890"}},
    }
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools=tools,
        policy={"path": str(folder / "policies")},
        pii={"vault_key": "A" * 43 + "="},
        server={"drain": "20s"},
    )
    with running(folder, settings) as started:
        yield started


def listened(streams: Streams) -> list[dict[str, str]]:
    """The headers of the requests for streams at a server."""
    return [said for said, body in streams.server.seen if body.get("method") in ("GET", "subscriptions/listen")]


def told_by_process(line: Line, stream: Any) -> Any:
    """The next message of a stream, when the process has told something."""
    assert "result" in Client(line, "/mcp/process").call("change")
    return stream.next()


def test_a_session_hears_all_servers(line: Line, old: Streams, new: Streams) -> None:
    """Changes of tools, and logs under the name of the server, each judged; nothing of what the path does not list."""
    with listening_to(line, session(line, "/mcp"), path="/mcp", x_correlation_id="all") as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        eventually(lambda: listened(old) and listened(new))
        new.says.put(CHANGED)
        assert stream.next() == TOLD
        assert told_by_process(line, stream) == TOLD
        for one in (UPDATED, {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}, log(INJECTION)):
            old.says.put(one)
        old.says.put(log(f"of {MAIL}"))
        said = log("of <EMAIL>")
        assert stream.next() == {**said, "params": {**said["params"], "logger": "old"}}
        old.says.put({**said, "params": {**said["params"], "logger": "db"}})
        assert stream.next()["params"]["logger"] == "old/db"
        old.says.put({"jsonrpc": "2.0", "id": "p", "method": "ping"})
        assert old.server.told.get(timeout=10) == {"jsonrpc": "2.0", "id": "p", "result": {}}
        old.says.put({"jsonrpc": "2.0", "id": "r", "method": "roots/list"})
        assert old.server.told.get(timeout=10)["error"]["code"] == -32601
    assert line.workflow("all").history.labels == ("untrusted",)
    assert "Bearer quiet-1234567890" not in {one.get("authorization") for one in listened(old)}


def test_each_server_is_told_of_the_level_of_the_log(line: Line, old: Streams, new: Streams) -> None:
    """And messages below are left out, whatever the server does."""
    client, id = Client(line, "/mcp"), session(line, "/mcp")
    assert client.send("logging/setLevel", {"level": "warning"}, mcp_session_id=id).json()["result"] == {}
    with listening_to(line, id, path="/mcp") as stream:
        eventually(lambda: listened(old))
        levels = [body["params"] for _, body in old.server.seen if body["method"] == "logging/setLevel"]
        assert levels == [{"level": "warning"}]
        old.says.put(log("too low"))
        old.says.put({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": "x"}})
        assert stream.next()["params"] == {"level": "error", "data": "x", "logger": "old"}
    assert failed(client.send("logging/setLevel", {"level": "warning"}).json()) == (-32601, "invalid_request")


def test_a_server_that_ends_its_stream_is_asked_again(
    line: Line, old: Streams, new: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are heard meanwhile."""
    monkeypatch.setattr(sources, "_FIRST_WAIT", 0.01)
    with listening_to(line, session(line, "/mcp"), path="/mcp") as stream:
        eventually(lambda: listened(old) and listened(new))
        old.says.put(END)
        eventually(lambda: len(listened(old)) == 2)
        old.says.put(CHANGED)
        assert stream.next() == TOLD
        new.says.put(CHANGED)
        assert stream.next() == TOLD


def test_a_server_that_floods(line: Line, old: Streams, new: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is heard no more, in this stream; the others are."""
    monkeypatch.setattr("gateway.tools.listening._NOTICES", 3)
    with listening_to(line, session(line, "/mcp"), path="/mcp") as stream:
        for _ in range(5):
            old.says.put(CHANGED)
        assert [stream.next() for _ in range(3)] == [TOLD] * 3
        new.says.put(log("the log of a later server"))
        new.says.put(CHANGED)
        assert stream.next()["params"]["logger"] == "new"
        assert stream.next() == TOLD


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"mcp_session_id": ""}, 400),
        ({"mcp_session_id": "made up"}, 404),
        ({"agent": "bob"}, 404),
        ({"accept": "application/json"}, 406),
        ({"last_event_id": "x"}, 400),
        ({"mcp_protocol_version": mcp_names.MODERN}, 405),
    ],
)
def test_who_gets_no_stream(line: Line, old: Streams, new: Streams, headers: dict[str, str], status: int) -> None:
    """As at the path of one server."""
    with listening_to(line, session(line, "/mcp"), path="/mcp", **headers) as stream:
        assert stream.response.status_code == status
    assert listened(old) == []


def test_a_client_that_goes_away(line: Line, old: Streams, new: Streams) -> None:
    """Ends the streams of all servers, and their sessions."""
    with listening_to(line, session(line, "/mcp"), path="/mcp"):
        eventually(lambda: listened(old) and listened(new))
    eventually(lambda: [1 for _, body in old.server.seen if body["method"] == "DELETE"])
    for one in (old, new):
        one.says.put(CHANGED)
        one.says.put(CHANGED)
        eventually(one.gone.is_set)


def test_a_subscription_to_all_servers(line: Line, old: Streams, new: Streams) -> None:
    """Of the later era: to changes of tools alone; logs are not part of it."""
    with subscribed(line, {"toolsListChanged": True, "resourceSubscriptions": ["notes://a"]}, path="/mcp") as stream:
        assert stream.next() == {**ACKNOWLEDGED, "params": {"notifications": {"toolsListChanged": True}, **META}}
        eventually(lambda: listened(old) and listened(new))
        old.says.put(log("x"))
        for one in (old, new):
            one.says.put(CHANGED)
            assert stream.next() == {**CHANGED, "params": META}
        assert told_by_process(line, stream) == {**CHANGED, "params": META}


def test_a_later_client_before_an_earlier_server(line: Line, old: Streams) -> None:
    """The server is asked for the resources in a session of its own; the end is a result."""
    wanted = {"toolsListChanged": True, "promptsListChanged": True, "resourceSubscriptions": ["notes://a"]}
    told = Client(line, "/mcp/old").send(
        "server/discover",
        {"_meta": {mcp_names.VERSION: mcp_names.MODERN, mcp_names.CAPABILITIES: {}}},
        mcp_protocol_version=mcp_names.MODERN,
        mcp_method="server/discover",
    )
    assert told.json()["result"]["capabilities"]["resources"] == {"subscribe": True, "listChanged": True}
    with subscribed(line, wanted, path="/mcp/old") as stream:
        agreed = {"toolsListChanged": True, "resourceSubscriptions": ["notes://a"]}
        assert stream.next() == {**ACKNOWLEDGED, "params": {"notifications": agreed, **META}}
        changed = {"jsonrpc": "2.0", "method": "notifications/resources/list_changed"}
        other = {**UPDATED, "params": {"uri": "notes://b"}}
        for one in (changed, other, log("x"), UPDATED, CHANGED, END):
            old.says.put(one)
        assert stream.rest() == [
            {**UPDATED, "params": {"uri": "notes://a", **META}},
            {**CHANGED, "params": META},
            {"jsonrpc": "2.0", "id": "l1", "result": {"resultType": "complete", **META}},
        ]
    asked = [body["params"] for _, body in old.server.seen if body["method"] == "resources/subscribe"]
    assert asked == [{"uri": "notes://a"}]
    eventually(lambda: [1 for _, body in old.server.seen if body["method"] == "DELETE"])
    old.status = 405
    with subscribed(line, wanted, path="/mcp/old") as stream:
        assert stream.response.status_code == 404


@pytest.mark.parametrize("era", ["earlier", "later"])
def test_what_a_process_tells(line: Line, era: str) -> None:
    """Outside of calls: that its tools have changed. Its log is nobody's."""
    with ExitStack() as stack:
        if era == "earlier":
            stream = stack.enter_context(listening_to(line, session(line, "/mcp/process"), path="/mcp/process"))
            assert told_by_process(line, stream) == TOLD
        else:
            wanted = {"toolsListChanged": True, "resourceSubscriptions": ["notes://a"]}
            stream = stack.enter_context(subscribed(line, wanted, path="/mcp/process"))
            assert stream.next()["params"]["notifications"] == wanted
            assert told_by_process(line, stream) == {**CHANGED, "params": META}


def test_an_earlier_client_before_a_later_server(line: Line, new: Streams) -> None:
    """The resources that its session watches are part of a subscription, which is renewed when they change."""
    client, id = Client(line, "/mcp/new"), session(line, "/mcp/new")

    def watched() -> Any:
        said = [body for _, body in new.server.seen if body["method"] == "subscriptions/listen"]
        return said and said[-1]["params"]["notifications"]

    def is_watched(due: Any) -> bool:
        return bool(watched() == due)

    lists = {"toolsListChanged": True, "resourcesListChanged": True}
    with listening_to(line, id, path="/mcp/new") as stream:
        eventually(partial(is_watched, lists))
        for method, uris in (("subscribe", ["notes://a"]), ("subscribe", ["notes://a"]), ("unsubscribe", [])):
            answer = client.send(f"resources/{method}", {"uri": "notes://a"}, mcp_session_id=id)
            assert answer.json()["result"] == {}
            due = {**lists, "resourceSubscriptions": uris} if uris else lists
            eventually(partial(is_watched, due))
            if uris:
                new.says.put(UPDATED)
                assert stream.next() == UPDATED
        new.says.put(UPDATED)
        new.says.put(CHANGED)
        assert stream.next() == TOLD


def test_what_a_session_watches_is_bounded(line: Line, new: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the rest is refused."""
    monkeypatch.setattr("gateway.tools.desk.URIS", 1)
    client, id = Client(line, "/mcp/new"), session(line, "/mcp/new")
    for uri, fits in (("notes://a", True), ("notes://a", True), ("notes://b", False)):
        answer = client.send("resources/subscribe", {"uri": uri}, mcp_session_id=id)
        assert ("result" in answer.json()) == fits


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_sdk(tmp_path: Path, mode: Any) -> None:
    """As client and servers, unmodified: at the path of all, a change of the tools of one is heard."""
    server = MCPServer("teller")

    @server.tool()
    async def change(context: Context) -> str:
        """Tell that tools changed."""
        await context.session.send_tool_list_changed()
        return "done"

    (tmp_path / "teller.py").write_text(TELLER)
    heard: list[Any] = []

    async def on_message(message: Any) -> None:
        heard.append(message)

    with tool_server.serving(server.streamable_http_app()) as url:
        tools = {"it": {"mcp": url}, "process": {"command": [sys.executable, str(tmp_path / "teller.py")]}}
        with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", tools=tools)) as line:
            async with (
                httpx2.AsyncClient(headers={"authorization": "Bearer mg-alice"}, timeout=20) as http,
                SdkClient(
                    streamable_http_client(f"{line.url}/mcp", http_client=http), mode=mode, message_handler=on_message
                ) as client,
            ):
                if mode == "legacy":
                    for _ in range(50):
                        await client.call_tool("process_change", {})
                        if any(isinstance(one, types.ToolListChangedNotification) for one in heard):
                            return
                    raise AssertionError(heard)
                async with client.listen(tools_list_changed=True) as subscription:
                    await client.call_tool("process_change", {})
                    assert isinstance(await anext(aiter(subscription)), ToolsListChanged)
