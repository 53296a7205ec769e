"""What calls of one session have in common is read and written once; nothing of one call is kept for another."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from gateway.call import Subject
from gateway.config.tools import Tool
from gateway.delegation import Delegation
from gateway.dialects.mcp_names import MODERN
from gateway.tools.http import HttpWire
from gateway.tools.sessions import Sessions
from gateway.tools.wire import Session, unheld
from gateway.upstream.client import Destination

ALICE, BOB, OTHERS = Subject("alice", "red"), Subject("bob", "red"), Subject("alice", "blue")


class Answered:
    """The answer of a server."""

    status = 200
    headers: CIMultiDict[str] = CIMultiDict()
    length = 0
    ended = True

    def __init__(self, id: object) -> None:
        self._id = id

    def values(self, name: bytes) -> list[str]:
        return ["application/json"] if name == b"content-type" else []

    async def chunks(self) -> Any:
        yield orjson.dumps({"jsonrpc": "2.0", "id": self._id, "result": {}})

    def release(self) -> None: ...

    def close(self) -> None: ...


class Server:
    """A client that notes where to, and answers."""

    def __init__(self) -> None:
        self.to: list[Destination] = []

    async def post(self, to: Destination, body: bytes, told: object = None) -> Any:
        self.to.append(to)
        return Answered(orjson.loads(body)["id"])

    async def close(self) -> None: ...


def sent(session: Session, method: str, params: Any, bearer: str = "", more: Any = None) -> tuple[Destination, int]:
    """Where two equal requests were sent, and how many destinations are kept afterwards."""
    server = Server()
    wire = HttpWire("it", Tool(mcp="http://127.0.0.1:1/mcp"), server)
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}

    async def ask() -> None:
        for _ in range(2):
            await wire.ask(session, message, unheld, more or {}, bearer)

    asyncio.run(ask())
    assert [*server.to[0].headers.items()] == [*server.to[1].headers.items()]
    return server.to[0], len(wire._having)


CALL = ("tools/call", {"name": "get", "arguments": {}})


@pytest.mark.parametrize(
    ("session", "request_", "bearer", "more", "kept", "headers"),
    [
        (Session("2025-06-18", "s1"), CALL, "", {}, 1, {"Mcp-Session-Id": "s1"}),
        (Session("2025-06-18", "s1"), CALL, "t", {}, 1, {"Authorization": "Bearer t"}),
        (Session(MODERN), CALL, "", {}, 1, {"Mcp-Name": "get"}),
        (Session(MODERN), CALL, "", {"Mcp-Param-City": "Bonn"}, 0, {"Mcp-Param-City": "Bonn"}),
        (Session(MODERN), ("resources/read", {"uri": "notes://ann"}), "", {}, 0, {"Mcp-Name": "notes://ann"}),
    ],
)
def test_headers_with_what_a_caller_asks_for_are_not_kept(
    session: Session, request_: tuple[str, Any], bearer: str, more: Any, kept: int, headers: dict[str, str]
) -> None:
    to, number = sent(session, *request_, bearer, more)
    assert number == kept
    assert {name: to.headers.get(name) for name in headers} == headers
    assert to.headers["MCP-Protocol-Version"] == session.version


def test_kept_headers_are_bounded() -> None:
    server = Server()
    wire = HttpWire("it", Tool(mcp="http://127.0.0.1:1/mcp"), server)

    async def ask() -> None:
        for number in range(600):
            message = {"jsonrpc": "2.0", "id": 1, "method": CALL[0], "params": CALL[1]}
            await wire.ask(Session("2025-06-18", f"s{number}"), message, unheld)

    asyncio.run(ask())
    assert [to.headers["Mcp-Session-Id"] for to in server.to] == [f"s{number}" for number in range(600)]
    assert len(wire._having) <= 256


def test_an_open_session_is_nobody_elses() -> None:
    """Also once it is known as opened."""
    sessions = Sessions(None)
    id = sessions.new(ALICE, "it", Session("2025-06-18", "upstream"), "2025-11-25", {"sampling": {}})
    delegation = Delegation("w", ("alice",), ("helper",), (), (), 9e9)
    helper = Subject("alice", "red", delegation=delegation)
    for _ in range(2):
        opened = sessions.open(ALICE, "it", id)
        assert opened is not None
        assert opened.upstream.id == "upstream"
        assert opened.upstream.holder[:3] == ("red", "alice", "alice")
        acting = sessions.open(helper, "it", id)
        assert acting is not None
        assert acting.upstream.holder[:3] == ("red", "alice", "alice/helper")
        strange = [(BOB, "it", id), (OTHERS, "it", id), (ALICE, "other", id), (ALICE, "it", id[:-1])]
        for subject, server, name in strange:
            assert sessions.open(subject, server, name) is None
    assert Sessions(None).open(ALICE, "it", id) is None


def test_sessions_that_are_known_are_bounded() -> None:
    sessions = Sessions(None)
    ids = [sessions.new(ALICE, "it", Session("2025-06-18", str(at)), "2025-11-25", {}) for at in range(1100)]
    for _ in range(2):
        assert [opened.upstream.id for id in ids if (opened := sessions.open(ALICE, "it", id))] == [
            str(at) for at in range(1100)
        ]
    assert len(sessions._known) <= 1024


def test_long_headers_are_not_kept() -> None:
    """A server that gives long ids of sessions would fill the memory."""
    to, kept = sent(Session("2025-06-18", "s" * 200_000), *CALL)
    assert (len(to.headers["Mcp-Session-Id"]), kept) == (200_000, 0)
    assert sent(Session("2025-06-18", "s" * 2000), *CALL, bearer="t" * 4000)[1] == 1
