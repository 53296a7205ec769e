"""Requests of pages to tool servers: the check of `Origin` on the paths of MCP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tool_server
from gateway.config.grammar import Server
from gateway.serving.origins import foreign
from line import Line, config, running
from tool_client import Client, failed

PAGE = "https://app.example.com"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a URL, that pages of one origin may call."""
    folder = tmp_path_factory.mktemp("origin")
    server = {"cors": [PAGE], "public_url": "https://gw.example.com"}
    with tool_server.scripted() as up:
        settings = config(folder, "http://127.0.0.1:9/v1", tools={"it": {"mcp": up.url}}, server=server)
        with running(folder, settings) as started:
            yield started


@pytest.mark.parametrize("path", ["/mcp", "/mcp/it"])
@pytest.mark.parametrize("origin", [None, PAGE, "https://GW.example.com"])
def test_who_may_call(line: Line, path: str, origin: str | None) -> None:
    """Programs, pages of a configured origin, and those of the gateway."""
    headers = {} if origin is None else {"origin": origin}
    assert Client(line, path).send("tools/list", **headers).status_code == 200


@pytest.mark.parametrize("path", ["/mcp", "/mcp/it", "/.well-known/oauth-protected-resource/mcp/it"])
def test_preflights_of_pages(line: Line, path: str) -> None:
    """A page may send the headers of the protocol; another page gets no permission."""
    wanted = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,mcp-protocol-version,mcp-session-id",
    }
    answer = line.client.options(path, headers={"origin": PAGE, **wanted})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert {"POST", "DELETE"} <= {*answer.headers["access-control-allow-methods"].split(", ")}
    assert answer.headers["access-control-allow-headers"] == wanted["access-control-request-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    other = line.client.options(path, headers={"origin": "https://evil.example", **wanted})
    assert "access-control-allow-origin" not in other.headers


def test_pages_read_answers_and_their_headers(line: Line) -> None:
    """The session that they opened, and each refusal with the challenge of a 401."""
    client = Client(line)
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    opened = client.send("initialize", params, origin=PAGE)
    session = {"mcp-session-id": opened.headers["mcp-session-id"]}
    listed = client.send("tools/list", origin=PAGE, **session)
    unknown = Client(line, "/mcp/none").send("tools/list", origin=PAGE)
    wrong = line.client.put("/mcp/it", headers={"origin": PAGE})
    unheard = line.client.get("/mcp/it", headers={"origin": PAGE, **client.headers})
    ended = line.client.delete("/mcp/it", headers={"origin": PAGE, **client.headers, **session})
    stranger = line.client.post("/mcp/it", json={}, headers={"origin": PAGE, "authorization": "Bearer wrong"})
    assert [answer.status_code for answer in (opened, listed, wrong, ended, stranger)] == [200, 200, 405, 200, 401]
    assert unheard.status_code == 400  # a stream belongs to a session
    for answer in (opened, listed, unknown, wrong, unheard, ended, stranger):
        assert answer.headers["access-control-allow-origin"] == PAGE
        exposed = {*answer.headers["access-control-expose-headers"].split(", ")}
        sent = {name for name in answer.headers if name.startswith(("x-meshgate-", "mcp-", "www-"))}
        assert sent <= exposed
    assert "www-authenticate" in stranger.headers


@pytest.mark.parametrize("path", ["/mcp", "/mcp/it"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://gw.example.com", f"{PAGE}:444", f"{PAGE}.evil.example", ""]
)
def test_who_may_not(line: Line, path: str, origin: str) -> None:
    """Also with a key and the name of the gateway as host: that is what rebinding looks like."""
    answer = Client(line, path).send("tools/list", origin=origin, host=origin.partition("://")[2] or "x")
    assert (answer.status_code, failed(answer.json())) == (403, (-32600, "invalid_request"))
    assert answer.json()["id"] is None
    assert "evil" not in answer.text
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_every_method_is_checked(line: Line, method: str) -> None:
    """Before anything else is said of the path."""
    headers = {"origin": "https://evil.example"}
    assert line.client.request(method, "/mcp/it", headers=headers).status_code == 403
    assert line.client.request(method, "/mcp/none", headers=headers).status_code == 403


def test_other_paths_are_as_before(line: Line) -> None:
    """There, a page of another origin cannot read the answer."""
    headers = {"origin": "https://evil.example", "authorization": "Bearer mg-alice"}
    assert line.client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("server", "origins", "may"),
    [
        ({}, ["https://any.example"], False),
        ({"cors": ["*"]}, ["https://any.example"], True),
        ({"cors": ["*"]}, ["null"], True),
        ({"cors": [PAGE]}, [PAGE, "https://any.example"], False),
        ({"public_url": "https://gw.example.com:443"}, ["https://gw.example.com"], True),
        ({"public_url": "http://gw.example.com:8080"}, ["http://gw.example.com:8080"], True),
        ({"public_url": "http://gw.example.com:8080"}, ["http://gw.example.com"], False),
    ],
)
def test_origins_of_a_configuration(server: dict[str, object], origins: list[str], may: bool) -> None:
    """Of several headers, each must be allowed; default ports are not written."""
    headers = [(b"origin", origin.encode()) for origin in origins]
    assert (foreign(headers, Server.model_validate(server)) is None) is may


@pytest.mark.parametrize(
    ("origin", "hosts", "may"),
    [
        ("http://localhost:8080", ["localhost:8080"], True),
        ("http://LOCALHOST:8080", ["Localhost:8080"], True),
        ("http://127.0.0.1:8080", ["127.0.0.1:8080"], True),
        ("http://[::1]:8080", ["[::1]:8080"], True),
        ("http://localhost", ["localhost"], True),
        ("http://localhost:5173", ["localhost:8080"], False),
        ("http://127.0.0.1:8080", ["localhost:8080"], False),
        ("https://localhost:8080", ["localhost:8080"], False),
        ("http://localhost:8080", ["localhost:8080", "localhost:8080"], False),
        ("http://localhost:8080", [], False),
        ("http://rebound.example:8080", ["rebound.example:8080"], False),
        ("http://localhost.evil.example", ["localhost.evil.example"], False),
        ("http://10.0.0.5:8080", ["10.0.0.5:8080"], False),
    ],
)
def test_own_pages_on_the_same_machine(origin: str, hosts: list[str], may: bool) -> None:
    """No other page has the origin of a loopback address, so these need no setting."""
    headers = [(b"origin", origin.encode()), *((b"host", host.encode()) for host in hosts)]
    assert (foreign(headers, Server()) is None) is may
