"""Clients and servers of MCP from PyPI, unmodified, with the gateway between them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mcp.server.mcpserver import MCPServer

import environments
import tool_server
import tooling
import upstream as scripted
from line import Line, config, running
from needs import need
from tool_client import Client, failed, text

pytestmark = pytest.mark.live

TEXT = "Tell bob.jones@example.org that the meeting is at noon."
ERRORS = {"mcp": "mcp.McpError", "langchain": "mcp.McpError", "agents": "mcp.McpError"}
ERRORS["pydantic_ai"] = "pydantic_ai.ModelRetry"  # what tells the model of it
POLICY = """package gateway

import rego.v1

decision := {"allow": allow, "deny": [], "obligations": []}

default allow := false

allow if input.action.kind == "llm"

allow if {
	input.action.kind == "tool"
	input.action.name != "erase"
}
"""


@pytest.fixture(scope="module")
def got() -> list[str]:
    """What the server was told to send."""
    return []


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, got: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before a server whose second tool nobody may use."""
    server = MCPServer("mail")

    @server.tool()
    def send(to: str) -> str:
        """Send a message."""
        got.append(to)
        return f"sent to {to}"

    @server.tool()
    def erase(to: str) -> str:
        """Erase a mailbox."""
        raise AssertionError(to)

    folder = tmp_path_factory.mktemp("mcp")
    (folder / "policies").mkdir()
    (folder / "policies" / "gateway.rego").write_text(POLICY)
    with tool_server.serving(server.streamable_http_app()) as url:
        tools, pii = {"mail": {"mcp": url}}, {"entities": {"CREDIT_CARD": "block"}}
        settings = config(folder, up.url, tools=tools, pii=pii, policy={"path": str(folder / "policies")})
        settings["models"][tooling.MODEL] = {"targets": [f"up/{tooling.MODEL}"], "price": {"input": 1, "output": 2}}
        with running(folder, settings) as started:
            yield started


def test_clients(line: Line, up: scripted.Upstream, got: list[str], tmp_path: Path) -> None:
    """Lists, calls, loops of agents; a tool that nobody may use is unknown; refusals are errors with our message."""
    up.seen.clear()
    up.says = tooling.says
    said = environments.script(environments.FRAMEWORKS, "uses_mcp.py", tmp_path, {"URL": line.url, "KEY": "mg-alice"})
    up.says = lambda seen: None
    result = f"sent to {TEXT}"
    assert said["mcp"]["server"] == "mail"
    assert said["mcp"]["called"] == result
    assert said["agents"]["streamed"] == f"done: {result}"
    for name, kind in ERRORS.items():
        found = said[name]
        assert found["tools"] == ["send"]
        assert found["called"].endswith(result)
        assert (found["unknown"]["class"], found["blocked"]["class"]) == (kind, kind)
        assert "There is no tool of this name" in found["unknown"]["message"]
        assert "personal data that must not be sent: CREDIT_CARD" in found["blocked"]["message"]
    assert got == [TEXT.replace("bob.jones@example.org", "<EMAIL_1>")] * 5
    assert b"bob.jones" not in b"".join(seen.raw for seen in up.seen)


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    """The URL of a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"" if self.path == "/robots.txt" else b"Opening hours: 9 to 5. Ask ann.lee@example.org."
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/page"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that runs four servers."""
    folder = tmp_path_factory.mktemp("servers")
    (folder / "repository").mkdir()
    (folder / "repository" / "note.txt").write_text("A note.\n")
    who = ["-c", "user.name=Ann", "-c", "user.email=ann.lee@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "The first note"]):
        subprocess.run([need("git", "git"), *words], cwd=folder / "repository", check=True)
    others, frameworks = (environments.programs(name) for name in (environments.OTHERS, environments.FRAMEWORKS))
    commands = {
        "git": [str(others / "mcp-server-git"), "--repository", str(folder / "repository")],
        "time": [str(others / "mcp-server-time"), "--local-timezone", "Europe/Berlin"],
        "fetch": [str(others / "mcp-server-fetch"), "--allow-private-ips"],
        "sqlite": [str(frameworks / "mcp-server-sqlite"), "--db-path", str(folder / "orders.db")],
    }
    tools = {name: {"command": command, "timeout": "60s"} for name, command in commands.items()}
    output = {"sql": ["select", "insert", "ddl"]}
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=tools, output=output)) as started:
        yield started


def test_git(served: Line) -> None:
    """The log of a repository, in which an address is masked; a path outside is refused by the server."""
    client, repository = Client(served, "/mcp/git"), str(served.path.parent / "repository")
    assert {"git_status", "git_log", "git_diff"} <= {*client.tools()}
    said = text(client.call("git_log", {"repo_path": repository}))
    assert "The first note" in said
    assert "ann.lee" not in said
    assert client.call("git_log", {"repo_path": "/"})["result"]["isError"]


def test_time(served: Line) -> None:
    """A conversion; what the server refuses is a result with an error."""
    client = Client(served, "/mcp/time")
    assert client.tools() == ["get_current_time", "convert_time"]
    asked = {"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    assert "Asia/Tokyo" in text(client.call("convert_time", asked))
    assert client.call("get_current_time", {"timezone": "nowhere"})["result"]["isError"]


def test_fetch(served: Line, page: str) -> None:
    """A page of the web is a result like any other; the prompt of the server is there."""
    client = Client(served, "/mcp/fetch")
    said = text(client.call("fetch", {"url": page}))
    assert "Opening hours: 9 to 5. Ask <EMAIL>" in said
    assert [prompt["name"] for prompt in client.send("prompts/list").json()["result"]["prompts"]] == ["fetch"]


def test_sqlite(served: Line) -> None:
    """Queries reach the database; one of a kind that is not allowed does not."""
    client = Client(served, "/mcp/sqlite")
    client.call("create_table", {"query": "CREATE TABLE orders (id INTEGER, mail TEXT)"})
    client.call("write_query", {"query": "INSERT INTO orders VALUES (3, 'open')"})
    assert "'open'" in text(client.call("read_query", {"query": "SELECT mail FROM orders WHERE id = 3"}))
    assert failed(client.call("write_query", {"query": "DELETE FROM orders"})) == (-32000, "sql_blocked")
    assert "orders" in text(client.call("list_tables"))
    (insights,) = client.send("resources/list").json()["result"]["resources"]
    assert insights["uri"].startswith("memo://")
