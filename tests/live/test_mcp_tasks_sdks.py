"""Tasks of MCP with a server and clients of the official SDKs, unmodified, with the gateway between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import environments
import node
from line import Line, config, running
from servers import free_port

pytestmark = pytest.mark.live

OFFERED: dict[str, Any] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which programs run."""
    return node.prepare(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def port() -> int:
    """The port of the server that a script runs itself."""
    return free_port()


@pytest.fixture(scope="module")
def line(home: Path, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before servers whose tools run as tasks."""
    with node.serving("task_server.mjs", home) as url:
        folder = tmp_path_factory.mktemp("tasks")
        later = {"mcp": f"http://127.0.0.1:{port}/mcp", "asks": ["elicitation"]}
        tools = {"tasks": {"mcp": f"{url}/mcp"}, "later": later}
        with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=tools)) as started:
            yield started


def test_the_client_from_npm(line: Line, home: Path) -> None:
    """States and the end of a task reach its owner, who alone sees the task."""
    said = node.script("tasks.mjs", home, {"URL": line.url, "KEY": "mg-alice"})
    assert said["tools"] == [["report", "required"], ["finish", "forbidden"]]
    assert said["list"] == OFFERED
    assert said["first"] == ["taskCreated", "result"]
    assert said["result"] == "sales: ask <EMAIL>."
    ids = said["ids"]
    assert ids["heard"] == [[ids["id"], "completed"]]
    assert ids["state"] == "completed"
    assert ids["listed"] == [ids["id"]]
    assert ids["of_bob"] == [True]
    assert (said["foreign"]["class"], said["foreign"]["code"]) == ("McpError", -32602)
    assert said["cancelled"] == "cancelled"


def test_the_former_client_from_pypi(line: Line, home: Path) -> None:
    """Its experimental methods."""
    said = environments.script(environments.FRAMEWORKS, "uses_tasks.py", home, {"URL": line.url, "KEY": "mg-alice"})
    assert said["offered"] == OFFERED
    assert (said["begun"], said["state"], said["cancelled"]) == ("working", "completed", "cancelled")
    assert said["result"] == "costs: ask <EMAIL>."
    assert said["listed"] == [True]
    assert said["unknown"]["class"] == "mcp.McpError"


def test_server_and_client_of_fastmcp(line: Line, home: Path, port: int) -> None:
    """Tasks of the later era: a call that waits for its task, the task itself, and a task that asks the user."""
    given = {"URL": line.url, "KEY": "mg-alice", "PORT": str(port)}
    said = environments.script(environments.OTHERS, "uses_later_tasks.py", home, given)
    assert said["result"] == {"said": "sales: ask <EMAIL>."}
    assert said["later"] == {"said": "costs: ask <EMAIL>."}
    assert (said["state"], said["working"], said["cancelled"]) == ("completed", "working", "cancelled")
    assert (said["asked"], said["answer"]) == (["Which address?"], "It is bob.jones@example.org.")
    assert said["foreign"] == {"class": "mcp.MCPError", "message": "You have no task with this id."}
