"""Clients, servers and conformance tests of MCP from npm, unmodified, with the gateway between them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import node
from line import Line, config, running
from tool_client import Client

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which programs run."""
    return node.prepare(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[str]:
    """The URL of a server that passes all conformance tests."""
    with node.serving("conformance_server.mjs", home) as url:
        yield f"{url}/mcp"


@pytest.fixture(scope="module")
def line(server: str, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before that server, and before two that it runs itself."""
    folder = tmp_path_factory.mktemp("mcp")
    tools = {
        "conformance": {"mcp": server, "asks": ["sampling", "elicitation"]},
        "everything": {"command": [*node.command("mcp-server-everything"), "stdio"], "timeout": "30s"},
        "files": {"command": [*node.command("mcp-server-filesystem"), str(home)], "timeout": "30s"},
    }
    pii, output = {"entities": {"CREDIT_CARD": "block"}}, {"unscannable": "allow"}
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=tools, pii=pii, output=output)) as started:
        yield started


def failures(url: str, home: Path) -> dict[str, int]:
    """The scenarios of the conformance tests that fail at a server, and how many checks."""
    tests = [*node.program("conformance"), "server", "--suite", "all", "--spec-version", "2025-11-25"]
    ended = node.run([*tests, "--url", url], home)
    found = re.findall(r"^. ([a-z0-9-]+): \d+ passed, (\d+) failed", ended.stdout, re.MULTILINE)
    assert len(found) > 30, ended.stdout + ended.stderr
    return {name: int(number) for name, number in found if number != "0"}


def test_conformance(line: Line, server: str, home: Path) -> None:
    """What the server passes, it passes through the gateway."""
    assert failures(server, home) == {}
    with node.serving("keyed.mjs", home, f"{line.url}/mcp/conformance", "mg-alice") as url:
        assert failures(f"{url}/mcp", home) == {}


def test_clients(line: Line, home: Path) -> None:
    """The old client, and the new one in both eras, at the servers that the gateway runs."""
    note = home / "note.txt"
    note.write_text("A note.")
    said = node.script("mcp.mjs", home, {"URL": line.url, "KEY": "mg-alice", "NOTE": str(note)})
    for name in ("old", "legacy", "modern"):
        found = said[name]
        assert {"echo", "get-sum", "get-structured-content", "get-env"} <= {*found["tools"]}
        assert (found["sum"], found["echo"]) == ("The sum of 2 and 3 is 5.", "Echo: Tell bob.jones@example.org.")
        assert {*found["weather"]} == {"temperature", "conditions", "humidity"}
        assert "simple-prompt" in found["prompts"]
        assert found["resources"]
        errors = [(found[what]["class"], found[what]["code"]) for what in ("unknown", "blocked")]
        kind = "McpError" if name == "old" else "ProtocolError"
        assert errors == [(kind, -32602), (kind, -32000)]
        assert said[f"{name} files"] == "A note."
        assert said[f"{name} all"] > len(found["tools"])


def test_files_outside_stay_there(line: Line, home: Path) -> None:
    """A refusal of the server itself is a result with an error."""
    answer = Client(line, "/mcp/files").call("read_text_file", {"path": "/etc/passwd"})["result"]
    assert answer["isError"]
    assert "outside allowed directories" in answer["content"][0]["text"]


def test_the_inspector(line: Line, home: Path) -> None:
    """Its command line."""
    options = [f"{line.url}/mcp/everything", "--transport", "http", "--header", "Authorization: Bearer mg-alice"]

    def inspect(*words: str) -> Any:
        ended = node.run([*node.program("inspector"), "--cli", *options, "--method", *words], home)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    assert "get-sum" in {tool["name"] for tool in inspect("tools/list")["tools"]}
    called = inspect("tools/call", "--tool-name", "get-sum", "--tool-arg", "a=2", "b=3")
    assert called["content"] == [{"type": "text", "text": "The sum of 2 and 3 is 5."}]
