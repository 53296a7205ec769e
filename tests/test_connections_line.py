"""Accounts of users at tool servers: the code flow that the gateway runs, refresh, revocation, and attacks on them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

import authorization_server
import tool_server
from authorization_server import Issuer
from gateway.cli import main
from line import Line, config, running
from tool_client import Client
from tool_server import Scripted

SECRET = "client-secret-1"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An authorization server."""
    with authorization_server.issuing() as made:
        yield made


@pytest.fixture
def server(issuer: Issuer) -> Iterator[Scripted]:
    """A tool server that takes tokens of users only."""
    with tool_server.scripted() as made:
        made.tools = [tool_server.tool("get_it")]
        made.accepts = lambda header: header.removeprefix("Bearer ") in issuer.living
        yield made


@pytest.fixture
def line(issuer: Issuer, server: Scripted, tmp_path: Path) -> Iterator[Line]:
    """A gateway. Its public URL is a name that only the tests' browser knows."""
    auth = {"type": "user", "issuer": issuer.url, "client_id": "gateway", "client_secret": SECRET, "scopes": ["mail"]}
    rows = {
        "mail": {"mcp": server.url, "auth": auth},
        "web": {"http": server.url.removesuffix("/mcp"), "auth": auth},
    }
    settings = config(tmp_path, "http://127.0.0.1:9/v1", tools=rows, server={"public_url": "http://gw.example"})
    with running(tmp_path, settings) as started:
        yield started


_OPEN: list[httpx.Client] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """Close the browsers of a test."""
    yield
    while _OPEN:
        _OPEN.pop().close()


class Browser:
    """The browser of a user, which reaches the gateway under its public name."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.client = httpx.Client()
        _OPEN.append(self.client)

    def get(self, url: str) -> httpx.Response:
        """A page; redirects are not followed."""
        at = urlsplit(url)
        if at.netloc == "gw.example" or not at.netloc:
            url = f"{self.line.url}{at.path}?{at.query}"
        return self.client.get(url)

    def agree(self, link: str) -> httpx.Response:
        """Walk through all pages; returns the last."""
        return self.get(self.to_callback(link))

    def to_callback(self, link: str) -> str:
        """Walk up to the authorization server; returns where that sends the browser."""
        started = self.submit(self.get(link))
        assert started.status_code == 303
        return self.get(started.headers["location"]).headers["location"]

    def submit(self, page: httpx.Response, **changed: str) -> httpx.Response:
        """Send the form of the page of consent."""
        form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
        return self.client.post(f"{self.line.url}/connect", data={**form, **changed})


def link(line: Line, agent: str = "alice") -> str:
    """The link that a call without a connection gets."""
    error = Client(line, "/mcp/mail", agent).call("get_it")["error"]
    assert error["code"] == -32042
    assert error["data"]["code"] == "approval_required"
    asked = error["data"]["elicitations"][0]
    assert asked["mode"] == "url"
    assert asked["url"] in error["message"]
    return str(asked["url"])


def test_a_user_connects_an_account(line: Line, issuer: Issuer, server: Scripted) -> None:
    """Once, for the agent that the page names; the code flow has PKCE, resource and scopes."""
    browser = Browser(line)
    url = link(line)
    page = browser.get(url)
    assert page.status_code == 200
    for words in ("alice", "red", "mail"):
        assert words in page.text
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    cookie = page.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    done = browser.agree(url)
    assert done.status_code == 200, done.text
    assert "result" in Client(line, "/mcp/mail").call("get_it")
    assert Client(line, "/mcp/mail").tools() == ["get_it"]
    (token,) = issuer.living
    assert issuer.living[token] == {"subject": "user", "scope": "mail", "resource": server.url}
    assert token not in done.text
    assert "mg-alice" not in json.dumps(server.seen)
    link(line, "bob")  # another agent of the team has no account
    assert line.client.get("/tools/web/it").status_code == 403, "another server"


def test_http_tools_ask_for_accounts_too(line: Line, server: Scripted) -> None:
    """The refusal has the URL."""
    answer = line.client.get("/tools/web/it")
    assert answer.status_code == 403
    url = answer.json()["error"]["url"]
    assert Browser(line).agree(url).status_code == 200
    assert line.client.get("/tools/web/it").json() == {"got": "/it"}


def test_tokens_are_refreshed_by_one_call_at_a_time(line: Line, issuer: Issuer) -> None:
    """Many calls at the end of a token; the refresh token is valid once."""
    assert Browser(line).agree(link(line)).status_code == 200
    client = Client(line, "/mcp/mail")
    assert "result" in client.call("get_it")
    issuer.asked.clear()
    issuer.living.clear()  # the server refuses the token
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.call("get_it"), range(16)))
    assert all("result" in answer for answer in answers), answers
    assert [form["grant_type"] for form in issuer.asked] == ["refresh_token"]


def test_an_expired_token_is_refreshed_before_the_call(line: Line, issuer: Issuer) -> None:
    """Without a call that the server refuses."""
    issuer.lifetime = 0
    assert Browser(line).agree(link(line)).status_code == 200
    issuer.lifetime = 300
    assert "result" in Client(line, "/mcp/mail").call("get_it")
    assert [form["grant_type"] for form in issuer.asked] == ["authorization_code", "refresh_token"]


def test_an_account_that_the_issuer_withdrew(line: Line, issuer: Issuer) -> None:
    """The user is asked again; a fault of the issuer takes nothing away."""
    assert Browser(line).agree(link(line)).status_code == 200
    client = Client(line, "/mcp/mail")
    issuer.living.clear()
    issuer.broken = (503, b"")
    assert client.call("get_it")["error"]["data"]["code"] == "upstream_error"
    issuer.broken = None
    assert "result" in client.call("get_it")
    issuer.living.clear()
    issuer.refreshable.clear()
    assert Browser(line).agree(link(line)).status_code == 200
    assert "result" in client.call("get_it")


def test_connections_are_listed_and_revoked(line: Line, issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    """From the next call on, and at the issuer; no token is printed."""
    assert Browser(line).agree(link(line)).status_code == 200
    assert Browser(line).agree(link(line, "bob")).status_code == 200
    where = ["--config", str(line.path)]
    assert main(["connections", "list", *where]) == 0
    said = capsys.readouterr().out
    assert "mail  red  alice" in said
    assert "mail  red  bob" in said
    assert main(["connections", "list", "--json", *where]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert main(["connections", "revoke", "mail", "--agent", "alice", *where]) == 0
    assert "revoked at its issuer" in capsys.readouterr().out
    link(line)
    assert "result" in Client(line, "/mcp/mail", "bob").call("get_it")
    assert len(issuer.refreshable) == 1
    assert main(["connections", "revoke", "mail", "--agent", "alice", *where]) != 0
    for secret in (*issuer.living, *issuer.refreshable, SECRET):
        assert secret not in said


def test_tokens_are_sealed_in_the_store(line: Line, issuer: Issuer) -> None:
    """No token, name of an agent or server is readable there; a record moved to another agent is none."""
    assert Browser(line).agree(link(line)).status_code == 200
    ((id, record),) = line.rows("SELECT id, record FROM grants")
    for words in (*issuer.living, *issuer.refreshable, "alice", "mail"):
        assert words.encode() not in record
        assert words not in id
    connections = line.gateway.shared.servers.credentials.connections  # type: ignore[union-attr]
    assert connections is not None
    from gateway.tools.connections import Party

    other = Party("mail", "red", "bob")
    store = line.gateway.shared.store
    moved = store.put_grant(connections.id(other), record, None)
    assert asyncio.run_coroutine_threadsafe(moved, line.loop).result()
    link(line, "bob")


def test_clients_open_sessions_and_lists_before_there_is_an_account(line: Line, server: Scripted) -> None:
    """What needs the account asks for it, and the session goes on with it afterwards."""
    server.about = {"tools": {}, "prompts": {}}
    server.answers["prompts/list"] = lambda message: {
        "jsonrpc": "2.0",
        "id": message["id"],
        "result": {"prompts": [{"name": "greet"}]},
    }
    client = Client(line, "/mcp/mail")
    client.headers["mcp-session-id"] = client.open()
    assert client.tools() == []
    assert client.send("prompts/list").json()["result"] == {"prompts": []}
    assert client.send("resources/list").json()["result"] == {"resources": []}
    assert Browser(line).agree(client.call("get_it")["error"]["data"]["elicitations"][0]["url"]).status_code == 200
    assert client.tools() == ["get_it"]
    assert client.send("prompts/list").json()["result"] == {"prompts": [{"name": "greet"}]}
    assert "result" in client.call("get_it")
    assert line.client.delete("/mcp/mail", headers=client.headers).status_code == 200


@pytest.mark.parametrize("path", ["/mcp/mail", "/mcp"])
def test_tools_of_others_are_listed_before_there_is_an_account(line: Line, server: Scripted, path: str) -> None:
    """As they were accepted; without what the server told another user."""
    assert Browser(line).agree(link(line)).status_code == 200
    assert Client(line, "/mcp/mail").tools() == ["get_it"]
    server.tools[0]["description"] = "What another user's list says"
    stranger, prefix = Client(line, path, "bob"), "" if path == "/mcp/mail" else "mail_"
    (tool,) = stranger.send("tools/list").json()["result"]["tools"]
    assert (tool["name"], tool["description"]) == (f"{prefix}get_it", "A tool")
    assert stranger.call(f"{prefix}get_it")["error"]["data"]["code"] == "approval_required"
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    assert "instructions" not in stranger.send("initialize", params).json()["result"]


@pytest.mark.parametrize("path", ["/mcp/mail", "/mcp"])
def test_the_later_era_before_there_is_an_account(line: Line, path: str) -> None:
    """Discovery and lists."""
    said = {"protocolVersion": "2026-07-28", "clientInfo": {"name": "t", "version": "1"}, "clientCapabilities": {}}
    meta = {f"io.modelcontextprotocol/{name}": value for name, value in said.items()}
    for method in ("server/discover", "tools/list"):
        headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": method}
        answer = Client(line, path).send(method, {"_meta": meta}, **headers).json()
        assert answer["result"]["resultType"] == "complete", answer


# Attacks


def test_a_forged_or_old_ticket(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """No page of consent."""
    browser, url = Browser(line), link(line)
    assert browser.get(url[:-4] + "AAAA").status_code == 400
    assert browser.get("/connect?ticket=").status_code == 400
    assert browser.get(f"/connect?ticket={'A' * 9000}").status_code == 400
    connections = line.gateway.shared.servers.credentials.connections  # type: ignore[union-attr]
    now = connections._clock()  # type: ignore[union-attr]
    monkeypatch.setattr(connections, "_clock", lambda: now + 601)
    assert browser.get(url).status_code == 400


def test_consent_is_given_on_the_page_alone(line: Line) -> None:
    """Another site cannot send the form, with a ticket of its own or without the cookie."""
    browser, url = Browser(line), link(line)
    page = browser.get(url)
    assert browser.submit(page, proof="0" * 32).status_code == 403
    other = urlsplit(link(line, "mallory")).query.partition("=")[2]
    assert browser.submit(page, ticket=other).status_code == 403
    browser.client.cookies.clear()
    assert browser.submit(page).status_code == 403


def test_the_flow_ends_in_the_browser_in_which_it_began(line: Line, issuer: Issuer) -> None:
    """An attacker's callback in the browser of a victim, or the other way round, connects nothing."""
    attacker, victim = Browser(line), Browser(line)
    at = attacker.to_callback(link(line, "mallory"))
    assert victim.get(at).status_code == 403
    victim.get(link(line))
    assert victim.get(at).status_code == 403
    assert not issuer.living


@pytest.mark.parametrize(
    ("changed", "status"),
    [({"iss": "https://evil.example"}, 403), ({"iss": None}, 403), ({"state": "x"}, 403), ({"code": "x"}, 502)],
)
def test_an_answer_that_was_changed(line: Line, issuer: Issuer, changed: Any, status: int) -> None:
    """Of another issuer, without an issuer, with another state or code."""
    browser = Browser(line)
    at = urlsplit(browser.to_callback(link(line)))
    query = {name: value for name, value in {**dict(parse_qsl(at.query)), **changed}.items() if value is not None}
    answer = browser.client.get(f"{line.url}{at.path}", params=query)
    assert answer.status_code == status
    assert not issuer.living


def test_an_answer_for_another_server(issuer: Issuer, server: Scripted, tmp_path: Path) -> None:
    """A hostile authorization server sends the user on to another one, with its `state`: the code reaches nobody."""
    auth = {"type": "user", "client_id": "gateway", "client_secret": SECRET}
    with authorization_server.issuing() as evil:
        known = {**auth, "authorization_url": f"{issuer.url}/authorize", "token_url": f"{issuer.url}/token"}
        rows = {
            "mail": {"mcp": server.url, "auth": known},
            "evil": {
                "mcp": server.url,
                "auth": {**auth, "authorization_url": f"{evil.url}/authorize", "token_url": f"{evil.url}/token"},
            },
        }
        settings = config(tmp_path, "http://127.0.0.1:9/v1", tools=rows, server={"public_url": "http://gw.example"})
        with running(tmp_path, settings) as line:
            error = Client(line, "/mcp/evil", "alice").call("get_it")["error"]
            browser = Browser(line)
            started = browser.submit(browser.get(error["data"]["elicitations"][0]["url"])).headers["location"]
            query = dict(parse_qsl(urlsplit(started).query))
            assert query["redirect_uri"] == "http://gw.example/connect/callback/evil"
            answer = browser.get(f"/connect/callback/mail?code=stolen&state={query['state']}")
            assert answer.status_code == 403
            assert not evil.asked
            assert not issuer.asked


def test_tokens_go_only_where_they_were_given_for(issuer: Issuer, server: Scripted, tmp_path: Path) -> None:
    """A row that has another address by now asks the user again."""
    auth = {"type": "user", "issuer": issuer.url, "client_id": "gateway", "client_secret": SECRET}
    settings = config(tmp_path, "http://127.0.0.1:9/v1", server={"public_url": "http://gw.example"})
    settings["tools"] = {"mail": {"mcp": server.url, "auth": auth}}
    with running(tmp_path, settings) as line:
        assert Browser(line).agree(link(line)).status_code == 200
        assert "result" in Client(line, "/mcp/mail", "alice").call("get_it")
    with tool_server.scripted() as other:
        other.tools = server.tools
        other.accepts = lambda header: True
        settings["tools"]["mail"]["mcp"] = other.url
        with running(tmp_path, settings) as line:
            link(line)
        settings["tools"]["mail"]["mcp"] = server.url
        with running(tmp_path, settings) as line:
            assert "result" in Client(line, "/mcp/mail", "alice").call("get_it")


def test_a_user_who_does_not_agree(line: Line) -> None:
    """The page says so, without the words of the other side."""
    browser = Browser(line)
    state = dict(parse_qsl(urlsplit(browser.to_callback(link(line))).query))["state"]
    query = {"state": state, "error": "<script>", "iss": line.gateway.runtime.config.tools["mail"].auth.issuer}  # type: ignore[union-attr]
    answer = browser.client.get(f"{line.url}/connect/callback/mail", params=query)
    assert answer.status_code == 400
    assert "did not agree" in answer.text
    assert "script" not in answer.text


def test_names_are_escaped(issuer: Issuer, server: Scripted, tmp_path: Path) -> None:
    """A team may have any name."""
    auth = {"type": "user", "issuer": issuer.url, "client_id": "gateway", "client_secret": SECRET}
    settings = config(tmp_path, "http://127.0.0.1:9/v1", server={"public_url": "http://gw.example"})
    settings["tools"] = {"mail": {"mcp": server.url, "auth": auth}}
    settings["agents"]["alice"]["team"] = "<b>red</b>"
    with running(tmp_path, settings) as line:
        page = Browser(line).get(link(line))
        assert "&lt;b&gt;red&lt;/b&gt;" in page.text
        assert "<b>red" not in page.text


def test_without_a_public_url_the_file_has_a_mistake(tmp_path: Path) -> None:
    """Users must come back somewhere."""
    auth = {"type": "user", "issuer": "https://id.example", "client_id": "gateway"}
    settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"mail": {"mcp": "https://a.example", "auth": auth}})
    with pytest.raises(Exception, match="public_url"), running(tmp_path, settings):
        pass
