"""Credentials for tool servers: client credentials and token exchange, against an authorization server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import authorization_server
import tool_server
from authorization_server import EXCHANGE, Issuer
from gateway.config.tools import Tool
from gateway.dialects import mcp_names
from gateway.errors import Refusal
from gateway.tools.credentials import Caller, Credential, check_echo
from gateway.tools.registry import Credentials
from gateway.upstream.direct import DirectClient
from gateway.upstream.public import leads_outside
from line import Line, config, running
from tool_client import Client, text
from tool_server import Scripted

SECRET = "client-secret-1"
ANN = Caller("red", "ann", b"jwt.of.ann")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An authorization server."""
    with authorization_server.issuing() as made:
        yield made


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Free:
    """Nobody else refreshes."""

    async def probe(self, name: str, seconds: float) -> bool:
        return bool(name) and seconds > 0

    async def reopen(self, name: str) -> None:
        """Nothing."""


@contextlib.asynccontextmanager
async def credential(issuer: Issuer, clock: Clock | None = None, **auth: Any) -> AsyncIterator[Credential]:
    """The credential of a row."""
    client = DirectClient()
    fields = {"type": "client_credentials", "client_id": "gateway", "client_secret": SECRET, **auth}
    if "token_url" not in fields:
        fields.setdefault("issuer", issuer.url)
    row = Tool.model_validate({"mcp": "https://tool.example/mcp", "auth": fields})
    try:
        yield Credentials(client, Free(), clock or Clock()).of("orders", row)
    finally:
        await client.close()


async def refused(made: Credential, caller: Caller = ANN) -> str:
    """The message of a refusal, which holds nothing secret."""
    with pytest.raises(Refusal) as caught:
        await made.bearer(caller)
    assert "orders" in caught.value.message
    assert SECRET not in str(caught.value.__dict__)
    assert "jwt.of.ann" not in str(caught.value.__dict__)
    return caught.value.message


@pytest.mark.parametrize("auth", [{}, {"client_auth": "post"}, {"scopes": ["a", "b"], "audience": "x"}])
async def test_client_credentials_are_asked_for_once(issuer: Issuer, auth: Any) -> None:
    """One token for all callers, with scopes and the URL of the tool as resource."""
    async with credential(issuer, **auth) as made:
        first = await made.bearer(ANN)
        assert first in issuer.living
        assert await made.bearer(Caller("blue", "bob")) == first
    asked = issuer.asked[0]
    assert asked["grant_type"] == "client_credentials"
    assert asked["resource"] == "https://tool.example/mcp"
    assert asked.get("scope") == (" ".join(auth["scopes"]) if "scopes" in auth else None)
    assert ("client_secret" in asked) == (auth.get("client_auth") == "post")
    assert len(issuer.asked) == 1


async def test_a_token_is_replaced_before_it_ends(issuer: Issuer) -> None:
    """Thirty seconds before, or a tenth of its life if that is shorter."""
    clock = Clock()
    async with credential(issuer, clock) as made:
        first = await made.bearer(ANN)
        clock.now += 269
        assert await made.bearer(ANN) == first
        clock.now += 2
        assert await made.bearer(ANN) != first
        issuer.lifetime = 10
        clock.now += 300
        brief = await made.bearer(ANN)
        clock.now += 8.9
        assert await made.bearer(ANN) == brief
        clock.now += 0.2
        assert await made.bearer(ANN) != brief


async def test_many_calls_ask_once(issuer: Issuer) -> None:
    """Calls that arrive while a token is asked for wait for that one, also if the one that asks is cancelled."""
    issuer.gate.clear()
    async with credential(issuer, token_url=f"{issuer.url}/token") as made:
        calls = [asyncio.ensure_future(made.bearer(ANN)) for _ in range(50)]
        await asyncio.to_thread(issuer.arrived.acquire)
        issuer.gate.set()
        assert len(set(await asyncio.gather(*calls))) == 1
        assert len(issuer.asked) == 1
        issuer.gate.clear()
        made.forget(ANN, await made.bearer(ANN))
        calls = [asyncio.ensure_future(made.bearer(ANN)) for _ in range(3)]
        await asyncio.to_thread(issuer.arrived.acquire)
        calls[0].cancel()
        issuer.gate.set()
        assert len(set(await asyncio.gather(*calls[1:]))) == 1


async def test_a_refused_token_is_forgotten_once(issuer: Issuer) -> None:
    """A late refusal of the token before does not cost the token of now."""
    async with credential(issuer) as made:
        first = await made.bearer(ANN)
        assert made.forget(ANN, first)
        second = await made.bearer(ANN)
        assert second != first
        assert made.forget(ANN, first)
        assert await made.bearer(ANN) == second


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ((400, b'{"error": "invalid_scope", "error_description": "client-secret-1"}'), "invalid_scope"),
        ((401, b'{"error": "invalid_client"}'), "invalid_client"),
        ((400, b'{"error": "client-secret-1 jwt.of.ann"}'), "HTTP 400"),
        ((500, b"client-secret-1"), "HTTP 500"),
        ((302, b""), "HTTP 302"),
        ((200, b"[]"), "without a token"),
        ((200, b'{"access_token": "a b", "token_type": "Bearer"}'), "without a token"),
        ((200, b'{"access_token": "a\\r\\nX: y", "token_type": "Bearer"}'), "without a token"),
        ((200, b'{"access_token": "abc", "token_type": "DPoP"}'), "bearer"),
        ((200, b'{"access_token": "abc"}'), "bearer"),
        ((200, b'{"access_token": "' + b"a" * 70_000 + b'"}'), "more than"),
    ],
)
async def test_faults_name_the_server_and_nothing_secret(issuer: Issuer, broken: Any, words: str) -> None:
    """Neither tokens nor words of the authorization server reach a caller."""
    issuer.broken = broken
    async with credential(issuer) as made:
        assert words in await refused(made)


async def test_after_a_fault_there_is_a_pause(issuer: Issuer) -> None:
    """A dead authorization server is not asked by each of many calls."""
    clock = Clock()
    issuer.broken = (500, b"")
    async with credential(issuer, clock) as made:
        for _ in range(3):
            await refused(made)
        assert len(issuer.asked) == 1
        issuer.broken = None
        clock.now += 1.1
        assert await made.bearer(ANN) in issuer.living


async def test_a_denied_caller_stops_no_other(issuer: Issuer) -> None:
    """Only the denied caller has to wait."""
    clock = Clock()
    ann, ben = (Caller("red", name, issuer.token("meshgate", sub=name).encode()) for name in ("ann", "ben"))
    async with credential(issuer, clock, type="token_exchange", audience="orders") as made:
        issuer.broken = (400, b'{"error": "invalid_grant"}')
        for _ in range(3):
            await refused(made, ann)
        assert len(issuer.asked) == 1
        issuer.broken = None
        assert await made.bearer(ben) in issuer.living
        await refused(made, ann)
        clock.now += 1.1
        assert await made.bearer(ann) in issuer.living


async def test_an_authorization_server_that_is_gone(issuer: Issuer) -> None:
    """Refused as a fault of the tool server."""
    async with credential(issuer, token_url="http://127.0.0.1:9/token") as made:
        assert "could not be reached" in await refused(made)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://169.254.169.254/latest/meta-data"},
        {"token_endpoint": "http://127.0.0.1:9/token"},
        {"token_endpoint": "https://127.0.0.1:9/token"},
        {"token_endpoint": "https://[::1]/token"},
        {"token_endpoint": "https://[::ffff:10.0.0.1]/token"},
        {"token_endpoint": "https://localhost/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"token_endpoint": "http://a:b@127.0.0.1:{port}/token"},
        {"token_endpoint": ["x"]},
        {"token_endpoint": None},
    ],
)
async def test_metadata_do_not_lead_elsewhere(issuer: Issuer, changes: Any) -> None:
    """An address inside the network is not called, unless it is that of the issuer."""
    port = issuer.url.rpartition(":")[2]
    issuer.changes = {
        name: value.replace("{port}", port) if isinstance(value, str) else value for name, value in changes.items()
    }
    async with credential(issuer) as made:
        await refused(made)
    assert not issuer.asked


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "100.64.0.1", "0.0.0.0", "224.0.0.1"]
)
async def test_private_addresses_are_not_public(host: str) -> None:
    """Of either version."""
    assert not await leads_outside(host, 443)


async def test_addresses_of_the_internet_are_public() -> None:
    """Written as numbers, so that nothing is looked up."""
    assert await leads_outside("1.1.1.1", 443)


async def test_the_token_of_a_caller_is_exchanged(issuer: Issuer) -> None:
    """Each caller has its own, kept while the caller sends the same; a key cannot be exchanged."""
    ann, bob = (Caller("red", name, issuer.token("meshgate", sub=name).encode()) for name in ("ann", "bob"))
    async with credential(issuer, type="token_exchange", audience="orders") as made:
        first = await made.bearer(ann)
        assert issuer.living[first]["subject"] == "ann"
        assert issuer.living[await made.bearer(bob)]["subject"] == "bob"
        assert await made.bearer(ann) == first
        with pytest.raises(Refusal, match="gateway key") as caught:
            await made.bearer(Caller("red", "ann"))
        assert caught.value.status == 403
        assert "invalid_request" in await refused(made)
    asked = issuer.asked[0]
    assert (asked["grant_type"], asked["audience"]) == (EXCHANGE, "orders")
    assert asked["subject_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert len(issuer.asked) == 3


def test_an_answer_with_the_token_is_not_passed_on() -> None:
    """Plain, or with the slashes that JSON may escape."""
    check_echo("orders", "abc/def/ghi", b"nothing")
    check_echo("orders", "", b"nothing")
    for raw in (b'"abc/def/ghi"', b'"abc\\/def\\/ghi"'):
        with pytest.raises(Refusal, match="orders") as caught:
            check_echo("orders", "abc/def/ghi", raw)
        assert "abc" not in caught.value.message


# Through the whole gateway


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Issuer, Scripted]]:
    """An authorization server, and a tool server that takes its tokens only."""
    with authorization_server.issuing() as issuer, tool_server.scripted() as server:
        server.tools = [tool_server.tool("get_it")]
        server.accepts = lambda header: header.removeprefix("Bearer ") in issuer.living
        yield issuer, server


@pytest.fixture(scope="module")
def line(served: tuple[Issuer, Scripted], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a server of each kind of credential."""
    issuer, server = served
    folder = tmp_path_factory.mktemp("credentials")
    auth = {"issuer": issuer.url, "client_id": "gateway", "client_secret": SECRET}
    document = folder / "api.json"
    operation = {"operationId": "get_it", "responses": {}}
    document.write_text(json.dumps({"openapi": "3.1.0", "info": {}, "paths": {"/it": {"get": operation}}}))
    client = {**auth, "type": "client_credentials"}
    rows = {
        "own": {"mcp": server.url, "auth": client, "refresh": "1h"},
        "each": {"mcp": server.url, "auth": {**auth, "type": "token_exchange"}, "refresh": "1h"},
        "none": {"mcp": server.url},
        "static": {"mcp": server.url, "auth": {"token": "wrong-static-token"}},
        "plain": {"http": server.url.removesuffix("/mcp"), "auth": client, "openapi": str(document)},
    }
    jwt = {"jwks_url": f"{issuer.url}/jwks", "issuer": issuer.url, "audience": "meshgate"}
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=rows, jwt=jwt)) as started:
        yield started


def test_calls_reach_a_server_that_wants_a_token(line: Line, served: tuple[Issuer, Scripted]) -> None:
    """In the session of the gateway and in that of a client; after the token is revoked, with another one."""
    issuer, server = served
    client = Client(line, "/mcp/own")
    assert client.tools() == ["get_it"]
    assert "result" in client.call("get_it")
    session = client.open()
    assert "result" in client.call("get_it", mcp_session_id=session)
    issuer.living.clear()
    assert "result" in client.call("get_it")
    issuer.living.clear()
    assert "result" in client.call("get_it", mcp_session_id=session)
    issuer.living.clear()
    assert line.client.delete("/mcp/own", headers={"mcp-session-id": session}).status_code == 200
    assert "mg-alice" not in json.dumps(server.seen)


def test_each_caller_is_known_at_the_server(line: Line, served: tuple[Issuer, Scripted]) -> None:
    """A token of the caller's own, never the one that the call came with; a key gets an error."""
    issuer, server = served
    token = issuer.token("meshgate", sub="ann")
    client = Client(line, "/mcp/each")
    client.headers["authorization"] = f"Bearer {token}"
    assert client.tools() == ["get_it"]
    assert "result" in client.call("get_it")
    sent = server.seen[-1][0]["authorization"].removeprefix("Bearer ")
    assert issuer.living[sent]["subject"] == "ann"
    assert token not in json.dumps(server.seen)
    answer = Client(line, "/mcp/each").call("get_it")
    assert "gateway key" in answer["error"]["message"]


def test_each_caller_hears_its_own_instructions(line: Line, served: tuple[Issuer, Scripted]) -> None:
    """A server that knows the caller may tell the caller's name; the gateway has one session for each of them."""
    issuer, server = served
    names = iter(("for the first", "for the second"))
    server.answers["initialize"] = lambda message: {
        "jsonrpc": "2.0",
        "id": message["id"],
        "result": {**server.result(message), "instructions": next(names)},
    }
    unknown = {"code": -32601, "message": "x"}
    server.answers["server/discover"] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "error": unknown}
    headers = {"mcp_protocol_version": mcp_names.MODERN, "mcp_method": "server/discover"}
    params = {"_meta": {mcp_names.VERSION: mcp_names.MODERN, mcp_names.CAPABILITIES: {}}}

    def heard(who: str) -> Any:
        client = Client(line, "/mcp/each")
        client.headers["authorization"] = f"Bearer {issuer.token('meshgate', sub=who)}"
        return client.send("server/discover", params, **headers).json()["result"]["instructions"]

    assert [heard(who) for who in ("one", "two", "one")] == ["for the first", "for the second", "for the first"]
    server.answers.clear()


@pytest.mark.parametrize("name", ["none", "static"])
def test_a_server_that_refuses_the_credentials(line: Line, name: str) -> None:
    """The error names the server, not the token."""
    answer = Client(line, f"/mcp/{name}").call("get_it")
    assert answer["error"]["data"]["code"] == "upstream_error"
    assert f"tool server {name} refused the credentials" in answer["error"]["message"]
    assert "wrong-static" not in json.dumps(answer)


def test_a_server_that_repeats_the_token(line: Line, served: tuple[Issuer, Scripted]) -> None:
    """The answer does not reach the caller."""
    server = served[1]
    client = Client(line, "/mcp/own")
    assert "result" in client.call("get_it")
    sent = server.seen[-1][0]["authorization"]
    content = [{"type": "text", "text": sent}]
    server.answers["tools/call"] = lambda message: {
        "jsonrpc": "2.0",
        "id": message["id"],
        "result": {"content": content},
    }
    answer = client.call("get_it")
    del server.answers["tools/call"]
    assert answer["error"]["data"]["code"] == "upstream_error"
    assert sent.removeprefix("Bearer ") not in json.dumps(answer)


def test_http_tools_have_the_same_credentials(line: Line, served: tuple[Issuer, Scripted]) -> None:
    """Called as they are, and as operations; after the token is revoked, with another one."""
    issuer = served[0]
    for _ in range(2):
        assert line.client.get("/tools/plain/it").json() == {"got": "/it"}
        issuer.living.clear()
        assert json.loads(text(Client(line, "/mcp/plain").call("get_it"))) == {"got": "/it"}
        issuer.living.clear()


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ({"type": "client_credentials", "client_id": "x"}, "authorization server"),
        (
            {"type": "client_credentials", "issuer": "https://a.b", "token_url": "https://a.b/t", "client_id": "x"},
            "one",
        ),
        ({"type": "token_exchange", "issuer": "https://a.b"}, "client_id"),
        ({"type": "token_exchange", "issuer": "https://a.b", "client_id": "x", "token": "t"}, "has a token"),
        ({"token": "t", "client_id": "x"}, "type static"),
    ],
)
def test_mistakes_in_the_section(auth: Any, words: str) -> None:
    """Each is said."""
    with pytest.raises(ValueError, match=words):
        Tool.model_validate({"mcp": "https://tool.example", "auth": auth})


def test_a_program_has_no_authorization_header() -> None:
    """Its credentials are in its environment."""
    with pytest.raises(ValueError, match="env"):
        Tool.model_validate({"command": ["x"], "auth": {"token": "t"}})
