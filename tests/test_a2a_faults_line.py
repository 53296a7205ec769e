"""Agents that fail: what is asked of them again, and when they are not called for a while."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent_server import GETS, SENDS, STREAMS, Scripted, interface, own_code, scripted
from gateway.call import Target
from gateway.upstream.circuit import Circuit
from line import Line, config, running

versions = pytest.mark.parametrize("version", list(SENDS))


@pytest.fixture(scope="module", params=["JSONRPC", "HTTP+JSON"])
def up(request: pytest.FixtureRequest) -> Iterator[Scripted]:
    """A scripted agent, which serves 1.0 in one binding."""
    with scripted() as made:
        made.card = {"name": "P", "url": f"{made.url}/rpc", "supportedInterfaces": [interface(made.url, request.param)]}
        yield made


@pytest.fixture(scope="module")
def started(up: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway; nothing listens at `gone`."""
    folder = tmp_path_factory.mktemp("a2a-faults")
    rows = {"planner": {"url": up.url, "timeout": "5s"}, "gone": {"url": "http://127.0.0.1:9"}}
    breaker = {"failures": 2, "wait": "1h", "max_wait": "1h"}
    with running(folder, config(folder, "http://127.0.0.1:9/v1", a2a=rows, routing={"breaker": breaker})) as line:
        yield line


@pytest.fixture
def line(started: Line, up: Scripted) -> Line:
    """The gateway with closed circuits, and an agent that works."""
    up.answer, up.breaks, up.raw, up.status = None, 0, None, 200
    up.seen.clear()
    for name in ("planner", "gone"):
        circuit(started, name).close()
    return started


def circuit(line: Line, agent: str) -> Circuit:
    """The circuit of an agent."""
    return line.gateway.shared.healths.of(Target(agent, "a2a")).circuit


def post(line: Line, version: str, method: str, params: Any, to: str = "planner") -> Any:
    """One request."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return line.client.post(f"/a2a/{to}", json=message, headers={"a2a-version": version})


def message() -> dict[str, Any]:
    """The parameters of a message."""
    part = {"kind": "text", "text": "hi"}
    return {"message": {"messageId": "m1", "role": "user", "kind": "message", "parts": [part]}}


@versions
def test_reading_a_task_is_tried_again(line: Line, up: Scripted, version: str) -> None:
    """Once: it changes nothing."""
    said = post(line, version, SENDS[version], message()).json()["result"]
    id = said.get("task", said)["id"]
    up.seen.clear()
    up.breaks = 1
    assert post(line, version, GETS[version], {"id": id}).json()["result"]["id"] == id
    assert [one["method"] for one in up.seen] == [GETS[version]] * 2


@versions
@pytest.mark.parametrize("methods", [SENDS, STREAMS])
def test_a_message_is_sent_once(line: Line, up: Scripted, version: str, methods: dict[str, str]) -> None:
    """Also if an idle connection ends at once: the agent may have read the message."""
    assert "result" in post(line, version, SENDS[version], message()).json()
    up.seen.clear()
    up.breaks = 1
    assert "upstream_error" in post(line, version, methods[version], message()).text
    assert [one["method"] for one in up.seen] == [methods[version]]


@versions
def test_an_agent_that_is_gone_is_not_called(line: Line, version: str) -> None:
    """After a few failures callers hear so at once, with the time of the next try."""
    for _ in range(4):
        line.gateway.shared.remotes.of("gone", line.gateway.runtime.config.a2a["gone"])._fault = None  # type: ignore[union-attr]
        answer = post(line, version, SENDS[version], message(), "gone")
        assert own_code(answer.json()["error"]) == "upstream_error"
    assert "The agent gone failed several calls in succession, and is not called" in answer.text
    assert 3500 < int(answer.headers["retry-after"]) <= 3600
    assert line.client.get("/readyz").json()["upstreams"]["gone"] == "open"
    assert line.metric("meshgate_upstream_circuits", provider="gone", state="open") == 1
    assert "result" in post(line, version, SENDS[version], message()).json()


@versions
@pytest.mark.parametrize("methods", [SENDS, STREAMS])
def test_failures_of_an_agent(line: Line, up: Scripted, version: str, methods: dict[str, str]) -> None:
    """A status of 503 without a response is one; the next caller hears of the circuit."""
    up.raw, up.status = b"busy", 503
    for _ in range(2):
        assert "upstream_error" in post(line, version, methods[version], message()).text
    assert not circuit(line, "planner").closed
    count = len(up.seen)
    assert "is not called" in post(line, version, methods[version], message()).text
    assert len(up.seen) == count


@versions
def test_what_a_caller_can_cause_is_no_failure(line: Line, up: Scripted, version: str) -> None:
    """An error of the protocol, and an answer that is no response."""
    for up.raw, up.status in ((b"no", 404), (b"{}", 200)):
        for _ in range(3):
            assert "error" in post(line, version, SENDS[version], message()).json()
    assert circuit(line, "planner").closed
