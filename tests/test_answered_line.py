"""What the gateway answers itself fails in one way, whatever is asked for: cards, models, the end of a session ..."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent_server import interface, scripted
from gateway.agents.desk import AgentDesk
from gateway.agents.registry import Registry
from gateway.policy.models import Models
from gateway.reserve.reserve import Reserve
from gateway.stores import StoreUnavailable
from gateway.tools.desk import Desk
from line import Line, config, running

ASKED: dict[str, tuple[str, str, type, str]] = {
    "card": ("GET", "/a2a/planner/.well-known/agent-card.json", AgentDesk, "shows"),
    "models": ("GET", "/v1/models", Models, "visible"),
    "model": ("GET", "/v1/models/echo", Models, "may_ask_for"),
    "session": ("DELETE", "/mcp/orders", Desk, "end"),
    "registry": ("GET", "/mesh/agents", Registry, "find"),
    "delegation": ("POST", "/v1/delegations", Reserve, "delegate"),
}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with an agent, and a tool server that is not there."""
    folder = tmp_path_factory.mktemp("answered")
    with scripted() as up:
        up.card = {"name": "P", "supportedInterfaces": [interface(up.url, "JSONRPC")]}
        fields: dict[str, Any] = {
            "a2a": {"planner": {"url": up.url}},
            "tools": {"orders": {"mcp": "http://127.0.0.1:9/"}},
        }
        with running(folder, config(folder, "http://127.0.0.1:9/v1", delegations={}, **fields)) as started:
            yield started


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (StoreUnavailable("redis at secret.example: gone"), 503, "state_unavailable"),
        (RuntimeError("4111 1111 1111 1111"), 503, "overloaded"),
    ],
)
def test_faults(
    line: Line, monkeypatch: pytest.MonkeyPatch, name: str, fault: Exception, status: int, code: str
) -> None:
    """Are answered with a code and without their words, and the next request is served."""
    method, path, owner, part = ASKED[name]

    async def breaks(*_: Any, **__: Any) -> Any:
        raise fault

    headers = {"x-correlation-id": f"w-{name}", "mcp-session-id": "s"}
    body = {"agent": "sub"} if method == "POST" else None
    with monkeypatch.context() as patch:
        patch.setattr(owner, part, breaks)
        answer = line.client.request(method, path, headers=headers, json=body)
    assert (answer.status_code, answer.headers["x-meshgate-code"]) == (status, code)
    assert ("retry-after" in answer.headers) is (code == "state_unavailable")
    assert "secret.example" not in answer.text
    assert "1111" not in answer.text
    again = line.client.request(method, path, headers=headers, json=body)
    assert again.headers.get("x-meshgate-code") not in ("state_unavailable", "overloaded")


@pytest.mark.parametrize("name", ASKED)
def test_strangers(line: Line, name: str) -> None:
    """Get nothing, and hold no place."""
    method, path, *_ = ASKED[name]
    for _ in range(3):
        assert line.client.request(method, path, headers={"authorization": "Bearer no"}).status_code == 401
    assert line.metric("meshgate_calls_in_flight") == 0
