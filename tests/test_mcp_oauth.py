"""The paths `/mcp` as resources of OAuth: metadata, challenges, audiences and scopes of tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import authorization_server
import tool_server
from authorization_server import Issuer
from line import Line, config, running
from tool_client import Client
from tool_server import Scripted

PUBLIC = "https://gateway.example"
METADATA = f"{PUBLIC}/.well-known/oauth-protected-resource"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An authorization server."""
    with authorization_server.issuing() as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A tool server."""
    with tool_server.scripted() as made:
        made.tools = [tool_server.tool("get_it")]
        yield made


@pytest.fixture(scope="module")
def line(issuer: Issuer, server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a public URL, keys and tokens."""
    folder = tmp_path_factory.mktemp("oauth")
    rows = {"open": {"mcp": server.url}, "closed": {"mcp": server.url, "scopes": ["orders.read", "orders.write"]}}
    jwt = {"jwks_url": f"{issuer.url}/jwks", "issuer": issuer.url, "audience": "meshgate"}
    settings = config(folder, "http://127.0.0.1:9/v1", tools=rows, jwt=jwt, server={"public_url": PUBLIC})
    with running(folder, settings) as started:
        yield started


def bearing(line: Line, token: str, path: str) -> Client:
    """A client with a token."""
    client = Client(line, path)
    client.headers["authorization"] = f"Bearer {token}"
    return client


@pytest.mark.parametrize(
    ("path", "scopes"),
    [
        ("", ["orders.read", "orders.write"]),
        ("/mcp", ["orders.read", "orders.write"]),
        ("/mcp/open", None),
        ("/mcp/closed", ["orders.read", "orders.write"]),
    ],
)
def test_metadata_name_the_issuer_to_anybody(line: Line, issuer: Issuer, path: str, scopes: Any) -> None:
    """The resource is the URL that the client calls, whatever name is in `Host`."""
    answer = line.client.get(f"/.well-known/oauth-protected-resource{path}", headers={"host": "evil.example"})
    assert answer.status_code == 200
    said = answer.json()
    assert said["resource"] == f"{PUBLIC}{path}"
    assert said["authorization_servers"] == [issuer.url]
    assert said.get("scopes_supported") == scopes


def test_there_are_no_metadata_of_what_is_not_there(line: Line) -> None:
    """A server that is not configured has none; the path takes GET only."""
    at = "/.well-known/oauth-protected-resource/mcp"
    assert line.client.get(f"{at}/other").status_code == 404
    assert line.client.post(at).status_code == 405


@pytest.mark.parametrize(
    ("path", "token", "challenge"),
    [
        ("/mcp/open", "", f'Bearer realm="meshgate", resource_metadata="{METADATA}/mcp/open"'),
        (
            "/mcp/closed",
            "mg-wrong",
            'Bearer realm="meshgate", error="invalid_token", scope="orders.read orders.write", '
            f'resource_metadata="{METADATA}/mcp/closed"',
        ),
        (
            "/mcp",
            "a.b.c",
            'Bearer realm="meshgate", error="invalid_token", scope="orders.read orders.write", '
            f'resource_metadata="{METADATA}/mcp"',
        ),
    ],
)
def test_a_call_without_a_valid_token_learns_where_tokens_come_from(
    line: Line, path: str, token: str, challenge: str
) -> None:
    """401 with one challenge, which names metadata and scopes."""
    client = bearing(line, token, path)
    if not token:
        del client.headers["authorization"]
        line.client.headers.pop("authorization", None)
    try:
        answer = client.send("tools/list")
    finally:
        line.client.headers["authorization"] = "Bearer mg-alice"
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == [challenge]


def test_other_paths_keep_their_challenge(line: Line) -> None:
    """A model has no metadata."""
    answer = line.client.get("/v1/models", headers={"authorization": "Bearer mg-wrong"})
    assert answer.headers.get_list("www-authenticate") == ['Bearer realm="meshgate"']


@pytest.mark.parametrize(
    ("audience", "accepted"),
    [
        ("meshgate", {"/mcp", "/mcp/open"}),
        (f"{PUBLIC}/mcp/open", {"/mcp/open"}),
        (f"{PUBLIC}/mcp", {"/mcp"}),
        (PUBLIC, {"/mcp", "/mcp/open"}),
        ([f"{PUBLIC}/mcp/open", "other"], {"/mcp/open"}),
        (f"{PUBLIC}/mcp/closed", set()),
        ("https://evil.example/mcp/open", set()),
        (f"{PUBLIC}/mcp/open/", set()),
    ],
)
def test_a_token_is_accepted_where_its_audience_says(line: Line, issuer: Issuer, audience: Any, accepted: Any) -> None:
    """In any order of paths, also once the token is remembered, and whatever name is in `Host`."""
    token = issuer.token(audience)
    for path in ("/mcp/open", "/mcp", "/mcp/open", "/mcp"):
        answer = bearing(line, token, path).send("tools/list", host="evil.example")
        assert (answer.status_code == 200) == (path in accepted), (path, answer.text)
    models = line.client.get("/v1/models", headers={"authorization": f"Bearer {token}"})
    assert (models.status_code == 200) == (audience == "meshgate")


def test_keys_continue_to_work(line: Line) -> None:
    """A key has no audience and needs no scope."""
    assert Client(line, "/mcp/closed").tools() == ["get_it"]


@pytest.mark.parametrize("claims", [{}, {"scope": "orders.read"}, {"scp": ["orders.read"]}, {"scope": 7}])
def test_a_token_without_the_scopes_is_told_which(line: Line, issuer: Issuer, claims: Any) -> None:
    """403 `insufficient_scope`, for every message to the server; the tool is not called."""
    client = bearing(line, issuer.token("meshgate", **claims), "/mcp/closed")
    for method, params in (("tools/list", None), ("tools/call", {"name": "get_it"}), ("initialize", {})):
        answer = client.send(method, params)
        assert answer.status_code == 403
        assert answer.headers.get_list("www-authenticate") == [
            'Bearer realm="meshgate", error="insufficient_scope", scope="orders.read orders.write", '
            f'resource_metadata="{METADATA}/mcp/closed"'
        ]


@pytest.mark.parametrize("claims", [{"scope": "orders.write x orders.read"}, {"scp": ["orders.read", "orders.write"]}])
def test_a_token_with_the_scopes_is_let_in(line: Line, issuer: Issuer, claims: Any) -> None:
    """In the claim `scope` or `scp`."""
    assert bearing(line, issuer.token("meshgate", **claims), "/mcp/closed").tools() == ["get_it"]


def test_among_all_servers_those_with_other_scopes_are_left_out(line: Line, issuer: Issuer) -> None:
    """The list has the tools that may be called; a call of another is told the scopes of its server."""
    client = bearing(line, issuer.token("meshgate"), "/mcp")
    assert client.tools() == ["open_get_it"]
    assert "result" in client.call("open_get_it")
    answer = client.send("tools/call", {"name": "closed_get_it"})
    assert answer.status_code == 403
    assert (
        'resource_metadata="https://gateway.example/.well-known/oauth-protected-resource/mcp/closed"'
        in (answer.headers["www-authenticate"])
    )


def test_the_token_of_a_caller_is_not_passed_on(line: Line, issuer: Issuer, server: Scripted) -> None:
    """Neither in a header nor in a body."""
    token = issuer.token(f"{PUBLIC}/mcp/open")
    assert "result" in bearing(line, token, "/mcp/open").call("get_it")
    assert token not in json.dumps(server.seen)
    assert token.rpartition(".")[2] not in json.dumps(server.seen)


def test_the_paths_of_metadata_are_those_of_tools() -> None:
    """So that a new path of tools has metadata."""
    from gateway.dialects.routes import PROTECTED, TOOLS
    from gateway.identity.resource import WELL_KNOWN

    assert tuple(f"{WELL_KNOWN}{path}" for path in ("", *TOOLS)) == PROTECTED


@pytest.mark.parametrize(
    ("jwt", "public"), [(None, PUBLIC), ({"jwks_url": "http://127.0.0.1:9", "issuer": "i", "audience": "a"}, "")]
)
def test_without_issuer_or_public_url_there_are_no_metadata(tmp_path: Any, jwt: Any, public: str) -> None:
    """Nor does a challenge name any."""
    server = {"public_url": public} if public else {}
    settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": {"mcp": "http://127.0.0.1:9"}}, jwt=jwt)
    with running(tmp_path, {**settings, "server": server}) as started:
        assert started.client.get("/.well-known/oauth-protected-resource/mcp/it").status_code == 404
        answer = bearing(started, "mg-wrong", "/mcp/it").send("tools/list")
        assert answer.headers["www-authenticate"] == 'Bearer realm="meshgate", error="invalid_token"'
