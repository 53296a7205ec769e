"""Tasks of MCP with a server and clients of the official SDKs, unmodified, with the gateway between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import environments
import node
from line import Line, config, running

pytestmark = pytest.mark.live

OFFERED: dict[str, Any] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which programs run."""
    return node.prepare(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def line(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before a server whose tool runs as a task."""
    with node.serving("task_server.mjs", home) as url:
        folder = tmp_path_factory.mktemp("tasks")
        tools = {"tasks": {"mcp": f"{url}/mcp"}}
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
