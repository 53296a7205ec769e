"""Two gateways that share Redis: what they measure of other agents, and the notifications that they deliver."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_hook import Hook, notice, placed, post, tell
from agent_server import SENDS, Scripted, interface, scripted
from line import Line, config, running
from servers import redis_server
from waiting import eventually

VAULT = {"vault_key": base64.b64encode(b"k" * 32).decode()}


@pytest.fixture
def up() -> Iterator[Scripted]:
    """A scripted agent."""
    with scripted() as made:
        made.card = {
            "name": "Planner",
            "capabilities": {"pushNotifications": True},
            "supportedInterfaces": [interface(made.url, "JSONRPC")],
        }
        yield made


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A client's server."""
    made = Hook()
    yield made
    made.close()


@pytest.fixture
def places(up: Scripted, tmp_path: Path) -> Iterator[list[tuple[Path, dict[str, Any]]]]:
    """The folders and settings of two gateways."""
    with redis_server() as url:
        made = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            row = {"url": up.url, "price": 0.5, "push": {"url": "http://gateway.example", "hosts": ["127.0.0.1"]}}
            audit = {"path": str(tmp_path / name / "audit.db")}
            fields: dict[str, Any] = {"state": url, "pii": VAULT, "audit": audit, "a2a": {"planner": row}}
            made.append((tmp_path / name, config(tmp_path / name, "http://127.0.0.1:9/v1", **fields)))
        yield made


def measured(line: Line) -> Any:
    """The figures of the agent."""
    return line.client.get("/mesh/agents/planner").json()["measured"]


def send(line: Line, **configuration: Any) -> Any:
    """The answer to a message."""
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
    return post(line, "1.0", SENDS["1.0"], {"message": message, "configuration": configuration})


def test_figures_are_those_of_all(up: Scripted, places: list[tuple[Path, dict[str, Any]]]) -> None:
    """Of both gateways, and of one that was started later."""
    with running(*places[0]) as first:
        with running(*places[1]) as second:
            for line in (first, second, second):
                assert "result" in send(line)
            up.raw = b"garbage"
            send(second)
            up.raw = None
            eventually(lambda: measured(first).get("calls") == 4)
            eventually(lambda: measured(second) == measured(first))
            assert (measured(first)["success"], measured(first)["cost_usd"]) == (0.75, 0.5)
        with running(*places[1]) as third:
            eventually(lambda: measured(third) == measured(first))


def test_another_gateway_delivers(up: Scripted, hook: Hook, places: list[tuple[Path, dict[str, Any]]]) -> None:
    """What the gateway that was told could not, because it has ended; each notification once."""
    hook.refusals = [503] * 1000
    with running(*places[0]) as first:
        id = send(first, taskPushNotificationConfig={"url": hook.url})["result"]["task"]["id"]
        assert tell(first, placed(up)["url"], notice("1.0", id, "one", "working")).status_code == 202
        eventually(lambda: len(hook.refusals) < 1000)
        hook.refusals = [503] * 1000
    hook.refusals = []
    with running(*places[1]) as second:
        assert hook.next()[1] == notice("1.0", id, "one", "working")
        assert tell(second, placed(up)["url"], notice("1.0", id, "two", "working")).status_code == 202
        assert hook.next()[1] == notice("1.0", id, "two", "working")
        eventually(lambda: second.metric("meshgate_push_notifications_total", outcome="delivered") == 2)
    assert hook.got.empty()
