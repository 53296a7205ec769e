"""What a server tells without a request: the stream of a session, resumption, and subscriptions of both eras."""

from __future__ import annotations

import asyncio
import hashlib
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp.client.subscriptions import ResourceUpdated
from mcp.server.mcpserver import Context, MCPServer

import event_stream
import tool_server
from gateway.dialects import mcp
from gateway.stores import Key
from gateway.tools import listening
from gateway.tools.notices import ACKNOWLEDGED, acknowledged
from line import Line, config, policies, running
from mcp_asking import ABLE, ACCEPTED, FORM, OWN, POLICY
from tool_client import Client, failed, sdk
from tool_server import INJECTION, MAIL, Scripted
from waiting import eventually

END: Any = object()
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
UPDATED = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "notes://a"}}
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def log(data: Any) -> dict[str, Any]:
    """A message of a log."""
    return {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": data}}


class Streams:
    """The streams of a scripted server: what is put into `says` is sent, with an id of the event if it is a pair."""

    def __init__(self, server: Scripted) -> None:
        self.server = server
        self.says: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.status = 200
        self.gone = threading.Event()
        server.answers["GET"] = lambda _: self.write
        server.answers["subscriptions/listen"] = lambda _: self.write

    def write(self, handler: Any) -> None:
        """Answer a request for a stream."""
        if self.status != 200:
            handler.reply(self.status, b"")
            return
        event_stream.begin(handler)
        try:
            while (said := self.says.get(timeout=10)) is not END:
                id, said = said if type(said) is tuple else ("", said)
                named = f"id: {id}\n" if id else ""
                data = said if type(said) is str else json.dumps(said)
                handler.wfile.write(f"{named}data: {data}\n\n".encode())
        except (OSError, queue.Empty):
            self.gone.set()


@pytest.fixture(scope="module")
def served() -> Iterator[Scripted]:
    """A scripted server with both eras."""
    with tool_server.scripted() as made:
        made.about = {
            "tools": {"listChanged": True},
            "resources": {"subscribe": True, "listChanged": True},
            "prompts": {"listChanged": False},
            "logging": {},
        }
        yield made


@pytest.fixture
def server(served: Scripted) -> Scripted:
    """The same, as new."""
    served.answers.clear()
    served.seen.clear()
    served.told = queue.SimpleQueue()
    served.answers["server/discover"] = lambda message: {
        "jsonrpc": "2.0",
        "id": message["id"],
        "result": {"supportedVersions": [mcp.MODERN], "capabilities": {}, "resultType": "complete"},
    }
    return served


@pytest.fixture
def streams(server: Scripted) -> Iterator[Streams]:
    """Its streams, which end with the test."""
    made = Streams(server)
    yield made
    made.says.put(END)


@pytest.fixture(scope="module")
def line(served: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before the server, and one that policy lets nobody listen to."""
    folder = tmp_path_factory.mktemp("streams")
    named = '{"server": input.action.server, "name": input.action.name}'
    hidden = '{{"server": "quiet", "name": "listen"}, {"server": "it", "name": "get_prompt"}}'
    rules = POLICY.replace("not input.action.name in", f"not {named} in").replace('{"answer_roots"}', hidden)
    row = {"mcp": served.url, "timeout": "5s", "auth": {"type": "static", "token": OWN}}
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools={"it": {**row, "asks": ["elicitation"]}, "quiet": row},
        policy=policies(folder, rules),
        pii={"vault_key": "A" * 43 + "="},
        server={"drain": "20s"},
        delegations={"ttl": "1h"},
    )
    with running(folder, settings) as started:
        yield started


class Open:
    """A stream of a client: its messages and the ids of its events."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self._lines = response.iter_lines()
        self.id = ""

    def next(self) -> Any:
        """The next message; None for an event without one; the end raises StopIteration."""
        self.id = ""
        data: str | None = None
        for one in self._lines:
            if one.startswith("id: "):
                self.id = one.removeprefix("id: ")
            elif one.startswith("data: "):
                data = one.removeprefix("data: ")
            elif not one and (data is not None or self.id):
                return json.loads(data) if data else None
        raise StopIteration

    def rest(self) -> list[Any]:
        """All messages until the end."""
        found = []
        try:
            while True:
                found.append(self.next())
        except StopIteration:
            return found


def session(line: Line, path: str = "/mcp/it", agent: str = "alice") -> str:
    """The id of a new session of a client that can be asked."""
    params = {"protocolVersion": "2025-11-25", "capabilities": ABLE, "clientInfo": {"name": "t", "version": "1"}}
    return str(Client(line, path, agent).send("initialize", params).headers["mcp-session-id"])


@contextmanager
def listening_to(line: Line, id: str, *, path: str = "/mcp/it", agent: str = "alice", **headers: str) -> Iterator[Open]:
    """The stream of a session."""
    sent = {"authorization": f"Bearer mg-{agent}", "accept": "text/event-stream", "mcp-session-id": id}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    with line.client.stream("GET", path, headers=sent) as response:
        yield Open(response)


@contextmanager
def subscribed(line: Line, wanted: Any, *, path: str = "/mcp/it", id: Any = "l1") -> Iterator[Open]:
    """A subscription of the later era."""
    meta = {mcp.VERSION: mcp.MODERN, mcp.CAPABILITIES: {}}
    message = {"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen"}
    message["params"] = {"notifications": wanted, "_meta": meta}
    sent = {"accept": "application/json, text/event-stream", "mcp-protocol-version": mcp.MODERN}
    sent["mcp-method"] = "subscriptions/listen"
    with line.client.stream("POST", path, json=message, headers=sent) as response:
        yield Open(response)


def test_a_session_hears_what_the_server_tells(line: Line, server: Scripted, streams: Streams) -> None:
    """Changes, updates and the log, each judged; nothing else, and nothing that a client did not ask for."""
    told = [
        {**CHANGED, "params": {"x": MAIL}},
        UPDATED,
        {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed", "params": "x"},
        log(f"of {MAIL}"),
        log(INJECTION),
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "", "progress": 1}},
        {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": 7}},
        {"jsonrpc": "2.0", "id": 7, "result": {"content": []}},
        ["a batch"],
        {"jsonrpc": "2.0", "method": "notifications/resources/list_changed"},
    ]
    with listening_to(line, session(line), x_correlation_id="heard") as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        for one in told:
            streams.says.put(one)
        streams.says.put(END)
        assert stream.rest() == [
            {**CHANGED, "params": {}},
            UPDATED,
            {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed", "params": {}},
            log("of <EMAIL>"),
            {"jsonrpc": "2.0", "method": "notifications/resources/list_changed", "params": {}},
        ]
    headers, _ = next(one for one in server.seen if one[1]["method"] == "GET")
    assert (headers["mcp-session-id"], headers["authorization"]) == ("s1", f"Bearer {OWN}")
    assert line.workflow("heard").history.labels == ("untrusted",)


def test_a_change_of_tools_is_seen(line: Line, server: Scripted, streams: Streams) -> None:
    """The list of the server is asked for again, at most once a second."""
    id = session(line)
    Client(line).tools()
    before = sum(body["method"] == "tools/list" for _, body in server.seen)
    with listening_to(line, id) as stream:
        streams.says.put(CHANGED)
        stream.next()

        def read_again() -> bool:
            Client(line).tools()
            count = sum(body["method"] == "tools/list" for _, body in server.seen)
            return bool(count == before + 1)

        eventually(read_again)


def test_a_stream_goes_on_after_an_event(line: Line, server: Scripted, streams: Streams) -> None:
    """With the id that the client got, which is sealed for its session; the server gets its own."""
    id = session(line)
    with listening_to(line, id) as stream:
        streams.says.put(("e-1", ""))
        assert stream.next() is None
        streams.says.put(("e-2", UPDATED))
        assert stream.next() == UPDATED
        last = stream.id
        streams.says.put(END)
        stream.rest()
    assert last
    assert "e-2" not in last
    with listening_to(line, id, last_event_id=last) as stream:
        streams.says.put(END)
        stream.rest()
    gets = [headers.get("last-event-id") for headers, body in server.seen if body["method"] == "GET"]
    assert gets == [None, "e-2"]
    for headers in ({"last_event_id": "e-2"}, {"last_event_id": last[:-3] + "AAA"}):
        with listening_to(line, id, **headers) as stream:
            assert stream.response.status_code == 400
    with listening_to(line, session(line), last_event_id=last) as stream:
        assert stream.response.status_code == 400


def test_a_server_may_ask_in_a_stream(line: Line, server: Scripted, streams: Streams) -> None:
    """As it may during a call; pings are answered."""
    id = session(line)
    with listening_to(line, id) as stream:
        streams.says.put({"jsonrpc": "2.0", "id": "p", "method": "ping"})
        assert server.told.get(timeout=10) == {"jsonrpc": "2.0", "id": "p", "result": {}}
        streams.says.put({"jsonrpc": "2.0", "id": "r", "method": "roots/list"})
        assert server.told.get(timeout=10)["error"]["code"] == -32601
        streams.says.put({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": FORM})
        question = stream.next()
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": ACCEPTED}
        assert Client(line).post(json.dumps(answer), mcp_session_id=id).status_code == 202
        assert server.told.get(timeout=10) == {"jsonrpc": "2.0", "id": "q", "result": ACCEPTED}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/mcp", {}, 405),
        ("/mcp/it", {"mcp_protocol_version": mcp.MODERN}, 405),
        ("/mcp/it", {"mcp_session_id": ""}, 400),
        ("/mcp/it", {"mcp_session_id": "made up"}, 404),
        ("/mcp/it", {"agent": "bob"}, 404),
        ("/mcp/it", {"accept": "application/json"}, 406),
        ("/mcp/it", {"agent": "nobody"}, 401),
        ("/mcp/quiet", {}, 404),
        ("/mcp/it", {"origin": "https://evil.example"}, 403),
    ],
)
def test_who_gets_no_stream(line: Line, streams: Streams, path: str, headers: dict[str, str], status: int) -> None:
    """Another caller, another server's session, none, or a client of the later era."""
    with listening_to(line, session(line), path=path, **headers) as stream:
        assert stream.response.status_code == status


def test_policies_say_who_may_listen(line: Line, streams: Streams) -> None:
    """As if it were a call of the tool `listen`."""
    with listening_to(line, session(line, "/mcp/quiet"), path="/mcp/quiet") as stream:
        assert stream.response.status_code == 405
        assert stream.response.headers["allow"] == "POST, DELETE"


@pytest.mark.parametrize(("status", "seen"), [(405, 405), (500, 405), (404, 404), (401, 502)])
def test_servers_without_a_stream(line: Line, streams: Streams, status: int, seen: int) -> None:
    """Clients hear that there is none; the circuit of the server stays closed."""
    streams.status = status
    for _ in range(6):
        with listening_to(line, session(line)) as stream:
            assert stream.response.status_code == seen
    assert "result" in Client(line).call("get_it")


@pytest.mark.parametrize("last", ["x" * 5_000_000, log(f"Bearer {OWN}")], ids=["too long", "our credential"])
def test_streams_that_end_for_what_they_say(line: Line, server: Scripted, streams: Streams, last: Any) -> None:
    """After what was sent, and without it."""
    with listening_to(line, session(line)) as stream:
        streams.says.put(UPDATED)
        streams.says.put(last)
        assert stream.rest() == [UPDATED]


def test_what_is_acknowledged() -> None:
    """Of what was asked for; what is asked for is not compared with each thing that the server says."""
    compared = []

    class Odd:
        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return False

        __hash__ = object.__hash__

    wanted = {"toolsListChanged": True, "resourceSubscriptions": [f"x://{number}" for number in range(1000)]}
    told = [*(Odd() for _ in range(10)), [], "x://7", 7]
    said = {"method": ACKNOWLEDGED, "params": {"notifications": {"resourceSubscriptions": told}}}
    kept = acknowledged(said, wanted)
    assert kept is not None
    assert kept["params"]["notifications"] == {"resourceSubscriptions": ["x://7"]}
    assert compared == []


def test_a_server_that_floods(line: Line, streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends its stream."""
    monkeypatch.setattr(listening, "_NOTICES", 20)
    with listening_to(line, session(line)) as stream:
        for _ in range(30):
            streams.says.put(UPDATED)
        assert len(stream.rest()) == 20


def test_a_stream_ends_in_time(line: Line, streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client opens another one."""
    monkeypatch.setattr(listening, "LISTENING", 0.2)
    with listening_to(line, session(line)) as stream:
        assert stream.rest() == []


def gone(streams: Streams) -> bool:
    """Whether the server has seen the end of a stream, of which it hears when it tells something."""
    streams.says.put(UPDATED)
    return streams.gone.wait(0.05)


def test_a_client_that_goes_away(line: Line, streams: Streams) -> None:
    """Ends the stream of the server."""
    with listening_to(line, session(line)) as stream:
        streams.says.put(UPDATED)
        stream.next()

    eventually(lambda: gone(streams))


@pytest.mark.parametrize("given", ["a key", "a token of a sub-agent"])
def test_a_stream_ends_with_the_key(line: Line, streams: Streams, given: str) -> None:
    """Of the caller, or of the agent that the caller acts for; other streams stay open."""
    store, key = line.gateway.shared.store, f"mg-gone {given}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    record = Key(given, digest, "alice", "red", ("developer",), 1.0)
    asyncio.run_coroutine_threadsafe(store.add_key(record), line.loop).result()
    eventually(lambda: line.gateway.runtime.identity.knows(bytes.fromhex(digest)))
    who = {"authorization": f"Bearer {key}"}
    if given != "a key":
        sent = {**who, "x-correlation-id": "streams"}
        token = line.client.post("/v1/delegations", json={"agent": "h"}, headers=sent).json()["token"]
        who["authorization"] = f"Bearer {token}"
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    client = Client(line, "/mcp/it")
    client.headers |= who
    id = client.send("initialize", params).headers["mcp-session-id"]
    with listening_to(line, id, **who) as stream, listening_to(line, session(line)) as other:
        asyncio.run_coroutine_threadsafe(store.revoke_key(given), line.loop).result()
        assert stream.rest() == []
        eventually(lambda: gone(streams))  # until then, the server may tell the stream that has ended
        streams.says.put(UPDATED)
        assert other.next() is not None


def test_streams_end_when_the_gateway_stops(server: Scripted, streams: Streams, tmp_path: Path) -> None:
    """Nobody waits until calls in flight must have ended."""
    settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": {"mcp": server.url}}, server={"drain": "300s"})
    with running(tmp_path, settings) as line:
        sent = {"authorization": "Bearer mg-alice", "accept": "text/event-stream", "mcp-session-id": session(line)}
        stream = line.client.stream("GET", "/mcp/it", headers=sent)
        assert stream.__enter__().status_code == 200
    stream.__exit__(None, None, None)


@pytest.mark.parametrize("method", ["resources/subscribe", "resources/unsubscribe"])
def test_resources_to_watch(line: Line, server: Scripted, method: str) -> None:
    """Passed on in a session, by the right to read resources."""
    server.answers[method] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": {}}
    client = Client(line)
    answer = client.send(method, {"uri": "notes://a"}, mcp_session_id=session(line))
    assert answer.json() == {"jsonrpc": "2.0", "id": 7, "result": {}}
    headers, body = server.seen[-1]
    assert (headers["mcp-session-id"], body["method"], body["params"]) == ("s1", method, {"uri": "notes://a"})
    assert failed(client.send(method, {"uri": "notes://a"}).json()) == (-32601, "invalid_request")
    assert failed(client.send(method, {"uri": 7}, mcp_session_id=session(line)).json()) == (-32602, "invalid_request")


def test_clients_hear_what_they_can_listen_for(line: Line, server: Scripted) -> None:
    """As the server says."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    told = Client(line).send("initialize", params).json()["result"]["capabilities"]
    assert told == {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {},
        "logging": {},
    }
    assert Client(line, "/mcp").send("initialize", params).json()["result"]["capabilities"] == {"tools": {}}


def test_a_subscription_of_the_later_era(line: Line, server: Scripted, streams: Streams) -> None:
    """What the client may hear is asked for; each message names the subscription, and the end is a result."""
    wanted = {
        "toolsListChanged": True,
        "promptsListChanged": True,
        "resourcesListChanged": "yes",
        "resourceSubscriptions": ["notes://a", "notes://b"],
        "other": True,
    }
    asked = {"toolsListChanged": True, "resourceSubscriptions": ["notes://a", "notes://b"]}
    honored = {"toolsListChanged": True, "promptsListChanged": True, "resourceSubscriptions": ["notes://b", "x://y"]}
    meta = {"_meta": {SUBSCRIPTION: "l1"}}
    acknowledged = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"}
    with subscribed(line, wanted) as stream:
        streams.says.put({**acknowledged, "params": {"notifications": honored, "_meta": {SUBSCRIPTION: "x"}}})
        for one in (UPDATED, CHANGED, log(INJECTION), {"jsonrpc": "2.0", "id": 9, "method": "roots/list"}):
            streams.says.put(one)
        streams.says.put({"jsonrpc": "2.0", "id": "l1", "result": {"_meta": {SUBSCRIPTION: "l1"}, "x": MAIL}})
        kept = {"toolsListChanged": True, "resourceSubscriptions": ["notes://b"]}
        assert stream.rest() == [
            {**acknowledged, "params": {"notifications": kept, **meta}},
            {**UPDATED, "params": {"uri": "notes://a", **meta}},
            {**CHANGED, "params": meta},
            {"jsonrpc": "2.0", "id": "l1", "result": {"resultType": "complete", **meta}},
        ]
    got = next(body for _, body in server.seen if body["method"] == "subscriptions/listen")
    assert got["params"]["notifications"] == asked


@pytest.mark.parametrize(
    ("path", "wanted", "status", "code"),
    [
        ("/mcp", {}, 404, -32601),
        ("/mcp/quiet", {}, 404, -32601),
        ("/mcp/it", [], 400, -32602),
    ],
)
def test_subscriptions_that_are_not_served(
    line: Line, streams: Streams, path: str, wanted: Any, status: int, code: int
) -> None:
    """At the path of all servers, by policy, and without a filter."""
    with subscribed(line, wanted, path=path) as stream:
        assert stream.response.status_code == status
        assert json.loads(stream.response.read())["error"]["code"] == code


def test_a_server_without_subscriptions(line: Line, server: Scripted, streams: Streams) -> None:
    """The client hears so."""
    streams.status = 400
    with subscribed(line, {"toolsListChanged": True}) as stream:
        assert stream.response.status_code == 404


@pytest.mark.filterwarnings("ignore:.*deprecated")
async def test_the_official_sdk(tmp_path: Path) -> None:
    """As client and server, unmodified, in the earlier era: a change of tools reaches the handler of messages."""
    server = MCPServer("teller")

    @server.tool()
    async def change(context: Context) -> str:
        """Tell that tools changed."""
        await context.session.send_tool_list_changed()
        return "done"

    heard: list[Any] = []

    async def on_message(message: Any) -> None:
        heard.append(message)

    with tool_server.serving(server.streamable_http_app()) as url:
        settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": {"mcp": url}})
        with running(tmp_path, settings) as line:
            async with sdk(f"{line.url}/mcp/it", mode="legacy", message_handler=on_message) as client:
                for _ in range(20):
                    await client.call_tool("change", {})
                    if any(isinstance(one, types.ToolListChangedNotification) for one in heard):
                        break
    assert any(isinstance(one, types.ToolListChangedNotification) for one in heard), heard


async def test_the_official_sdk_subscribes(tmp_path: Path) -> None:
    """In the later era."""
    server = MCPServer("teller")

    @server.resource("notes://a")
    def note() -> str:
        """A note."""
        return "x"

    @server.tool()
    async def change(context: Context) -> str:
        """Tell that a note changed."""
        await context.notify_resource_updated("notes://a")
        return "done"

    with tool_server.serving(server.streamable_http_app()) as url:
        settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": {"mcp": url}})
        with running(tmp_path, settings) as line:
            async with (
                sdk(f"{line.url}/mcp/it", mode="auto") as client,
                client.listen(resource_subscriptions=["notes://a"]) as subscription,
            ):
                await client.call_tool("change", {})
                event = await anext(aiter(subscription))
    assert isinstance(event, ResourceUpdated)
    assert event.uri == "notes://a"
