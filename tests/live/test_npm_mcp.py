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
SERVERS = {"2025-11-25": "old", "2026-07-28": "modern"}
"""Revision -> the row of a server that speaks it alone."""
UNSCORED = ("tasks-", "http-custom-header")
"""What the tests of a revision run without counting, and the SDK of the server does not do."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which programs run."""
    return node.prepare(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def servers(home: Path) -> Iterator[dict[str, str]]:
    """The URLs of servers that pass what a revision demands, by revision."""
    with (
        node.serving("conformance_server.mjs", home) as old,
        node.serving("conformance_modern.mjs", home) as modern,
    ):
        yield dict(zip(SERVERS, (f"{old}/mcp", f"{modern}/mcp"), strict=True))


@pytest.fixture(scope="module")
def line(servers: dict[str, str], home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before these servers, and before two that it runs itself."""
    folder = tmp_path_factory.mktemp("mcp")
    asks = ["sampling", "elicitation", "roots"]
    tools = {
        **{name: {"mcp": servers[revision], "asks": asks} for revision, name in SERVERS.items()},
        "everything": {"command": [*node.command("mcp-server-everything"), "stdio"], "timeout": "30s"},
        "files": {"command": [*node.command("mcp-server-filesystem"), str(home)], "timeout": "30s"},
    }
    pii, output = {"entities": {"CREDIT_CARD": "block"}}, {"unscannable": "allow"}
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=tools, pii=pii, output=output)) as started:
        yield started


def failures(url: str, home: Path, revision: str) -> dict[str, int]:
    """The scenarios that a revision of the protocol demands and that fail at a server, and how many checks."""
    ended = node.run([*node.program("conformance"), "server", "--requirements", revision, "--url", url], home)
    found = re.findall(r"^. ([a-z0-9-]+): \d+ passed, (\d+) failed", ended.stdout, re.MULTILINE)
    assert len(found) > 30, ended.stdout + ended.stderr
    return {name: int(number) for name, number in found if number != "0"}


@pytest.mark.parametrize("revision", SERVERS)
def test_conformance(line: Line, servers: dict[str, str], home: Path, revision: str) -> None:
    """What the server passes, it passes through the gateway."""
    allowed = failures(servers[revision], home, revision)
    assert {name for name in allowed if not name.startswith(UNSCORED)} == set()
    with node.serving("keyed.mjs", home, f"{line.url}/mcp/{SERVERS[revision]}", "mg-alice") as url:
        found = failures(f"{url}/mcp", home, revision)
    assert {name: many for name, many in found.items() if many > allowed.get(name, 0)} == {}


ACROSS = {
    "2025-11-25": (
        "tools-call-sampling",
        "tools-call-elicitation",
        "elicitation-sep",
        "resources-",
        "server-stateless",
    ),
    "2026-07-28": ("input-required-", "server-stateless", "http-custom-header", "tasks-"),
}
"""What a server of the other era does not have, or docs/tools.md names: watching resources."""


@pytest.mark.parametrize(("revision", "server"), [("2025-11-25", "modern"), ("2026-07-28", "old")])
def test_conformance_across_eras(line: Line, home: Path, revision: str, server: str) -> None:
    """A client of one era has all else of a server of the other era."""
    with node.serving("keyed.mjs", home, f"{line.url}/mcp/{server}", "mg-alice") as url:
        found = failures(f"{url}/mcp", home, revision)
    assert [name for name in found if not name.startswith(ACROSS[revision])] == []


ALL = (
    "resources-",
    "prompts-",
    "input-required-result-non-tool",
    "completion-",
    "logging-",
    "tools-call-with-logging",
    "json-schema",
    "sep-2164",
    "caching",
)
"""What the path of all servers does not have: it has tools alone, under the names of their servers."""


@pytest.mark.parametrize("revision", SERVERS)
def test_conformance_of_the_gateway_itself(home: Path, tmp_path: Path, revision: str) -> None:
    """The path of all servers, as a server of its own."""
    script = {"old": "conformance_server.mjs", "modern": "conformance_modern.mjs"}[SERVERS[revision]]
    with node.serving(script, home, "bare") as up:  # its tools get the prefix `test_` from the gateway
        tools = {"test": {"mcp": f"{up}/mcp", "asks": ["sampling", "elicitation", "roots"]}}
        settings = config(tmp_path, "http://127.0.0.1:9/v1", tools=tools, output={"unscannable": "allow"})
        with running(tmp_path, settings) as line, node.serving("keyed.mjs", home, f"{line.url}/mcp", "mg-alice") as url:
            found = failures(f"{url}/mcp", home, revision)
    assert [name for name in found if not name.startswith((*ALL, *UNSCORED))] == []


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
