"""The shipped rules on arguments: values that a role allows, and the budget of calls that scale something."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import tool_server
from line import KEYS, Line, config, running
from tool_client import Client, failed
from tool_server import Scripted, tool

ROOT = Path(__file__).parents[1]
GOOD = {"cost_usd": 1.5, "justification": "the queue is above 10,000", "service": "search"}


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A server with a tool that scales and a tool that reads; the answers are empty."""
    with tool_server.scripted() as scripted:
        scripted.tools = [tool("scale_service"), tool("get_service")]
        yield scripted


@pytest.fixture(scope="module")
def line(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies; each call of `scale_service` is charged half a dollar."""
    folder = tmp_path_factory.mktemp("scaling")
    data = yaml.safe_load((ROOT / "policies" / "data.yaml").read_text())
    data["scaling"] |= {"tools": ["cluster/scale_*"], "decommissioned": ["billing-v1"]}
    data["roles"]["reader"] |= {"tools": ["get_*"], "arguments": {"get_service": {"region": ["eu-*"]}}}
    copied = folder / "policies"
    copied.mkdir()
    for path in (ROOT / "policies").glob("*.rego"):
        (copied / path.name).write_text(path.read_text())
    (copied / "data.yaml").write_text(yaml.safe_dump(data))
    agents = {
        name: {"key_sha256": hashlib.sha256(KEYS[name].encode()).hexdigest(), "team": "red", "roles": [role]}
        for name, role in {"alice": "developer", "bob": "reader"}.items()
    }
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools={"cluster": {"mcp": server.url, "price": {"scale_*": 0.5}}},
        agents=agents,
        policy={"path": str(copied)},
        quotas={"cost_usd": 3, "calls": 50},
    )
    with running(folder, settings) as started:
        yield started


def rule(answer: dict[str, Any]) -> str | None:
    """The rule that denied a call."""
    rule = answer.get("error", {}).get("data", {}).get("rule")
    return rule if isinstance(rule, str) else None


def called(server: Scripted) -> list[Any]:
    """The calls of tools that reached the server."""
    return [message for _, message in server.seen if message["method"] == "tools/call"]


def test_the_cost_stays_below_what_is_left(line: Line) -> None:
    """The charges of earlier calls count; a cheaper call passes where the first would not."""
    client, cid = Client(line, "/mcp/cluster"), {"x_correlation_id": "scale"}
    assert "result" in client.call("scale_service", {**GOOD, "cost_usd": 2.5}, **cid)
    assert rule(client.call("scale_service", {**GOOD, "cost_usd": 2.5}, **cid)) == "scaling_over_budget"
    assert "result" in client.call("scale_service", {**GOOD, "cost_usd": 2}, **cid)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({**GOOD, "justification": ""}, "scaling_unjustified"),
        ({**GOOD, "service": "billing-v1"}, "service_decommissioned"),
        ({**GOOD, "cost_usd": "free"}, "scaling_cost_missing"),
    ],
)
def test_what_a_call_must_say(line: Line, server: Scripted, arguments: dict[str, Any], expected: str) -> None:
    """The server never sees a call that is refused."""
    before = called(server)
    assert rule(Client(line, "/mcp/cluster").call("scale_service", arguments, x_correlation_id="says")) == expected
    assert called(server) == before


def test_arguments_of_a_role(line: Line) -> None:
    """The tool is listed, and called with the allowed values only."""
    reader = Client(line, "/mcp/cluster", "bob")
    assert reader.tools() == ["get_service"]
    assert "result" in reader.call("get_service", {"region": "eu-1"})
    refused = reader.call("get_service", {"region": "us-1"})
    assert (failed(refused), rule(refused)) == ((-32000, "policy_denied"), "argument_not_allowed")
    assert "us-1" not in str(refused)
    assert rule(reader.call("get_service")) == "argument_not_allowed"
    assert "result" in Client(line, "/mcp/cluster").call("get_service")


def test_a_call_without_a_price_reads_what_is_left(line: Line) -> None:
    """The balance is read, and nothing is charged."""
    client, cid = Client(line, "/mcp/cluster"), {"x_correlation_id": "reads"}
    client.call("scale_service", GOOD, **cid)
    client.call("get_service", {}, **cid)
    assert line.workflow("reads").used["cost"] == 500_000_000
