"""Two workers of one gateway: a stream at one hears what servers tell the other."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import event_stream
import tool_server
from mcp_streaming import CHANGED, UPDATED, listening_to, subscribed
from mcp_working import Worker, settings_of, working
from telling_processes import SCRIPT
from tool_client import Client, text
from tool_server import Scripted, unknown
from waiting import eventually


@pytest.fixture(scope="module")
def served() -> Iterator[Scripted]:
    """A server of the earlier era, which tells in its answers that its tools have changed."""
    with tool_server.scripted() as made:
        made.answers["server/discover"] = unknown

        def answer(message: dict[str, Any]) -> Any:
            def write(handler: Any) -> None:
                send = event_stream.begin(handler)
                send({"method": CHANGED["method"]})
                send({"id": message["id"], "result": {"content": []}})

            return write

        made.answers["tools/call"] = answer
        yield made


@pytest.fixture(scope="module")
def workers(
    served: Scripted, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Worker, Worker]]:
    """A gateway before a process and the server."""
    folder = tmp_path_factory.mktemp("w")
    (folder / "notes.py").write_text(SCRIPT)
    rows = {
        "notes": {"command": [sys.executable, str(folder / "notes.py")], "timeout": "20s"},
        "old": {"mcp": served.url, "pins": "off", "refresh": "1h"},
    }
    with working(folder, settings_of(folder, redis_url, rows)) as made:
        eventually(lambda: len(list(made[0].door.parent.glob("*.news"))) == 2)
        yield made


def do(worker: Worker, what: str, **headers: str) -> Any:
    """Call the process of a worker; what it says of itself."""
    return json.loads(text(answered(Client(worker.line, "/mcp/notes").send("tools/call", arguments(what), **headers))))


def arguments(what: str) -> dict[str, Any]:
    """The parameters of a call of the process."""
    return {"name": "do", "arguments": {"what": what}}


def answered(response: Any) -> Any:
    """The answer to a call, whole or at the end of a stream."""
    return json.loads(response.text.strip().rpartition("data: ")[2])


def watches(worker: Worker, due: list[str]) -> bool:
    """Whether the process of a worker is told to watch these resources."""
    return bool(do(worker, "watched") == due)


@pytest.mark.parametrize("path", ["/mcp/notes", "/mcp"])
def test_a_session_hears_the_processes_of_all_workers(workers: tuple[Worker, Worker], path: str) -> None:
    """What it watches, changed lists, and its own log."""
    for here, there in (workers, workers[::-1]):
        client = Client(here.line, path)
        id = client.open()
        client.send("logging/setLevel", {"level": "error"}, mcp_session_id=id)
        if path != "/mcp":
            assert "result" in client.send("resources/subscribe", {"uri": "notes://a"}, mcp_session_id=id).json()
        name = "do" if path != "/mcp" else "notes_do"
        with listening_to(there.line, id, path=path) as stream:
            if path != "/mcp":
                eventually(lambda here=here: watches(here, ["notes://a"]))  # type: ignore[misc]
                do(here, "write")
                assert stream.next() == UPDATED
            else:
                do(here, "write")
            assert stream.next() == {**CHANGED, "params": {}}
            client.send("tools/call", {"name": name, "arguments": {"what": "log"}}, mcp_session_id=id)
            assert stream.next()["params"]["data"] == "afterwards"


def test_a_later_client_hears_the_processes_of_all_workers(workers: tuple[Worker, Worker]) -> None:
    """In its subscription."""
    first, second = workers
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["notes://b"]}
    with subscribed(second.line, wanted, path="/mcp/notes") as stream:
        assert stream.next()["params"]["notifications"] == wanted
        eventually(lambda: "notes://b" in do(first, "watched"))
        do(first, "write")
        while (said := stream.next())["params"].get("uri") != "notes://b":
            assert said["method"] in (UPDATED["method"], CHANGED["method"])


def test_a_list_that_changes_is_read_again_by_all_workers(workers: tuple[Worker, Worker], served: Scripted) -> None:
    """Whichever worker the server tells."""
    first, second = (Client(one.line, "/mcp/old") for one in workers)
    assert first.tools() == second.tools()
    served.tools.append(tool_server.tool("more"))
    assert "more" not in second.tools()
    assert first.send("tools/call", {"name": "get_it", "arguments": {}}).status_code == 200
    eventually(lambda: "more" in first.tools() and "more" in second.tools())


def test_a_worker_that_is_killed_watches_nothing(workers: tuple[Worker, Worker]) -> None:
    """And the one in its place takes part."""
    first, second = workers
    folder, before = first.door.parent, {one.name for one in first.door.parent.glob("*.sock")}
    with subscribed(second.line, {"resourceSubscriptions": ["notes://c"]}, path="/mcp/notes") as stream:
        stream.next()
        eventually(lambda: "notes://c" in do(first, "watched"))
        os.kill(second.pid, signal.SIGKILL)
    eventually(lambda: "notes://c" not in do(first, "watched"))
    eventually(lambda: {one.name for one in folder.glob("*.sock")} - before != set(), 120)
    (door,) = [one for one in folder.glob("*.sock") if one.name not in before]
    third = Worker(first.port, Path(door))
    with subscribed(third.line, {"resourceSubscriptions": ["notes://d"]}, path="/mcp/notes") as stream:
        stream.next()
        eventually(lambda: "notes://d" in do(first, "watched"))
        do(first, "write")
        while stream.next()["params"].get("uri") != "notes://d":
            pass
    third.client.close()
