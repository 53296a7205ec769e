"""A scripted server that takes calls as tasks, clients of it, and a policy over both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tool_server
from line import Line
from tool_client import Client
from tool_server import MAIL, Scripted

POLICY = """package gateway

import rego.v1

decision := {"allow": allow, "deny": deny, "obligations": labels}

default allow := false

allow if input.action.name != "hidden"

deny contains {"code": "injected", "message": "No", "class": "safety"} if input.content.injection.tool >= 0.9

labels contains {"code": "l", "labels": ["untrusted"]} if input.content.injection.tool >= 0.5

labels contains {"code": "r", "labels": ["read:it"]} if {
	input.action.of_result
	input.action.name == "may"
}
"""
SUPPORT: dict[str, Any] = {
    "plain": None,
    "odd": "required",
    "empty": {},
    "never": {"taskSupport": "forbidden"},
    "may": {"taskSupport": "optional"},
    "must": {"taskSupport": "required"},
    "hidden": {"taskSupport": "required"},
}
SERVED = ["plain", "odd", "empty", "never", "may"]
SHOWN = {
    "status": "working",
    "createdAt": "2026-01-01T00:00:00Z",
    "lastUpdatedAt": "2026-01-01T00:00:00Z",
    "ttl": 60000,
    "pollInterval": 5,
}


@contextmanager
def offering() -> Iterator[Scripted]:
    """A server with a tool of each kind of `SUPPORT`."""
    with tool_server.scripted() as made:
        fields = {name: {} if said is None else {"execution": said} for name, said in SUPPORT.items()}
        made.tools = [tool_server.tool(name, **more) for name, more in fields.items()]
        yield made


class Tasks:
    """A server that takes calls as tasks, and what it says of them."""

    def __init__(self, server: Scripted) -> None:
        self.server = server
        self.state: dict[str, Any] = {
            "taskId": "t-1",
            "status": "working",
            "createdAt": "2026-01-01T00:00:00Z",
            "lastUpdatedAt": "2026-01-01T00:00:00Z",
            "ttl": 60000,
            "pollInterval": 5,
            "x": MAIL,
        }
        self.words = f"for {MAIL}"
        related = {"io.modelcontextprotocol/related-task": {"taskId": "t-1"}}
        self.result: Any = {"content": [{"type": "text", "text": f"done for {MAIL}"}], "_meta": related}
        server.about = {"tools": {}, "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}
        for method in ("tools/call", "tasks/get", "tasks/cancel", "tasks/result"):
            server.answers[method] = self.answer

    def answer(self, message: dict[str, Any]) -> Any:
        """The response to a request."""
        made = {"jsonrpc": "2.0", "id": message["id"]}
        params = message["params"]
        match message["method"]:
            case "tools/call" if "task" in params:
                return {**made, "result": {"task": {**self.state, "statusMessage": self.words}}}
            case "tools/call":
                return {**made, "result": {"content": [{"type": "text", "text": "no task"}]}}
            case _ if params != {"taskId": self.state["taskId"]}:
                return {**made, "error": {"code": -32602, "message": f"no {params}"}}
            case "tasks/result":
                return {**made, "result": self.result}
            case "tasks/cancel":
                return {**made, "result": {**self.state, "status": "cancelled", "statusMessage": self.words}}
        return {**made, "result": {**self.state, "statusMessage": self.words}}


class User:
    """A client with a session."""

    def __init__(self, line: Line, agent: str = "alice", path: str = "/mcp/it", key: str = "") -> None:
        self.client = Client(line, path, agent)
        if key:
            self.client.headers["authorization"] = f"Bearer {key}"
        self.session = self.client.open()

    def send(self, method: str, params: Any, **headers: str) -> Any:
        """The response to a request."""
        return self.client.send(method, params, mcp_session_id=self.session, **headers).json()

    def begin(self, tool: str = "may", **task: Any) -> dict[str, Any]:
        """Call a tool as a task."""
        answer = self.send("tools/call", {"name": tool, "arguments": {}, "task": task})
        made: dict[str, Any] = answer["result"]["task"]
        return made

    def about(self, method: str, id: Any) -> Any:
        """Ask about a task."""
        return self.send(method, {"taskId": id})


def mailed_as_task(server: Scripted, line: Line) -> tuple[Client, str, str]:
    """Have a task mail to an address that only the tool has; returns the client, its session, and the id of the task.

    The result of the task names the address.
    """
    made = {"status": "working", "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z"}
    server.about = {"tools": {}, "tasks": {"requests": {"tools": {"call": {}}}, "cancel": {}}}

    def called(message: dict[str, Any]) -> Any:
        result = {"task": {**made, "taskId": "r-1", "ttl": None}}
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}

    def ended(message: dict[str, Any]) -> Any:
        result = {"content": [{"type": "text", "text": f"sent to {MAIL}"}]}
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}

    server.answers |= {"tools/call": called, "tasks/result": ended}
    Client(line, "/mcp/plain").call("get_it", {"to": MAIL}, x_correlation_id="tasked")
    client = Client(line, "/mcp/mailer")
    session = client.open()
    params = {"name": "task_it", "arguments": {"to": "<EMAIL_1>"}, "task": {}}
    answer = client.send("tools/call", params, mcp_session_id=session, x_correlation_id="tasked").json()
    assert server.seen[-1][1]["params"]["arguments"] == {"to": MAIL}
    id: str = answer["result"]["task"]["taskId"]
    return client, session, id
