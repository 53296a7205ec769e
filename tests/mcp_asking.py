"""What servers ask in tests, what clients answer, and a policy over both."""

from __future__ import annotations

import itertools
import json
import queue
from typing import Any

import event_stream
from gateway.dialects import mcp
from line import Line
from tool_client import Client, text
from tool_server import Scripted

_numbers = itertools.count(100)

POLICY = """package gateway

import rego.v1

decision := {"allow": allow, "deny": deny, "obligations": labels}

default allow := false

allow if not input.action.name in {"answer_roots"}

deny contains {"code": "refused", "message": "No", "class": "safety"} if input.action.args.content.text == "deny"

labels contains {"code": "l", "labels": ["untrusted"]} if input.content.injection.tool >= 0.5

deny contains {"code": "injected", "message": "No", "class": "safety"} if input.content.injection.tool >= 0.9
"""
ABLE: dict[str, Any] = {"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {}}
FORM = {"mode": "form", "message": "Which one?", "requestedSchema": {"type": "object", "properties": {}}}
ACCEPTED = {"action": "accept", "content": {"name": "x"}}
SAMPLED = {"role": "assistant", "model": "echo", "content": {"type": "text", "text": "some words of a model"}}
OWN = "for-the-server-alone-1234567890"


def prompt(said: str, **more: Any) -> dict[str, Any]:
    """The parameters of a question for a text."""
    return {"messages": [{"role": "user", "content": {"type": "text", "text": said}}], "maxTokens": 9, **more}


def asking(server: Scripted, *questions: tuple[str, Any], after: bytes = b"") -> None:
    """The server asks, each question after the answer to the one before, and returns the answers as a text."""

    def answer(message: dict[str, Any]) -> Any:
        def write(handler: Any) -> None:
            send = event_stream.begin(handler)
            said = []
            for method, params in questions:
                send({"id": next(_numbers), "method": method, **({} if params is None else {"params": params})})
                try:
                    said.append(server.told.get(timeout=10))
                except queue.Empty:  # the client has gone
                    return
            handler.wfile.write(after)
            told = [{key: one[key] for key in ("result", "error") if key in one} for one in said]
            send({"id": message["id"], "result": {"content": [{"type": "text", "text": json.dumps(told)}]}})

        return write

    server.answers["tools/call"] = answer


class Asked:
    """A client with a session, which answers questions with what it is told."""

    def __init__(self, line: Line, path: str = "/mcp/it", agent: str = "alice", able: Any = ABLE) -> None:
        self.agent = agent
        self.client = Client(line, path, agent)
        params = {"protocolVersion": "2025-11-25", "capabilities": able, "clientInfo": {"name": "t", "version": "1"}}
        self.session = str(self.client.send("initialize", params).headers["mcp-session-id"])
        self.questions: list[dict[str, Any]] = []
        self.taken: list[Any] = []

    def call(self, *answers: Any, arguments: Any = None, tool: str = "get_it", **headers: str) -> dict[str, Any]:
        """Call a tool; returns the response. `answers`: results, or functions that answer a question themselves."""
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call"}
        message["params"] = {"name": tool, "arguments": arguments or {}}
        sent = {**self.client.headers, "mcp-session-id": self.session, **headers}
        left = list(answers)
        with self.client.line.client.stream("POST", self.client.path, json=message, headers=sent) as stream:
            for one in stream.iter_lines():
                if not one.startswith(("data: ", "{")):
                    continue
                said: dict[str, Any] = json.loads(one.removeprefix("data: "))
                if "method" not in said:
                    return said
                self.questions.append(said)
                answer = left.pop(0)
                if callable(answer):
                    answer(said)
                elif answer is not None:
                    self.taken.append(self.answer(said["id"], result=answer))
        raise AssertionError("the stream ended without a response")

    def answer(self, id: Any, *, path: str = "", agent: str = "", session: str = "", **said: Any) -> Any:
        """Send the answer to a question; the response of HTTP."""
        client = Client(self.client.line, path or self.client.path, agent or self.agent)
        body = json.dumps({"jsonrpc": "2.0", "id": id, **said})
        return client.post(body, mcp_session_id=session or self.session)


def answers(answer: dict[str, Any]) -> Any:
    """What the server got."""
    return json.loads(text(answer))


def rounds(server: Scripted, questions: Any, state: Any = "state of the server, which is nobody's business") -> None:
    """A server of the later era asks in its result, and returns the answers when it has got some."""

    def answer(message: dict[str, Any]) -> Any:
        params = message["params"]
        if "inputResponses" in params:
            told = [params["inputResponses"], params.get("requestState")]
            result: dict[str, Any] = {"resultType": "complete", "content": [{"type": "text", "text": json.dumps(told)}]}
        else:
            result = {"resultType": "input_required", "inputRequests": questions}
            result |= {} if state is None else {"requestState": state}
        return {"jsonrpc": "2.0", "id": message["id"], "result": result}

    server.answers["tools/call"] = server.answers["prompts/get"] = answer


def later(
    line: Line,
    *,
    tool: str = "get_it",
    path: str = "/mcp/it",
    agent: str = "alice",
    able: Any = ABLE,
    cid: str = "",
    arguments: Any = None,
    meta: Any = None,
    **more: Any,
) -> Any:
    """The response of HTTP to a call of the later era."""
    said = {mcp.VERSION: mcp.MODERN, mcp.CAPABILITIES: able, **(meta or {})}
    params = {"name": tool, "arguments": arguments or {}, "_meta": said, **more}
    headers = {"mcp_protocol_version": mcp.MODERN, "mcp_method": "tools/call", "mcp_name": tool}
    return Client(line, path, agent).send("tools/call", params, **headers, **({"x_correlation_id": cid} if cid else {}))


def required(answer: Any) -> tuple[dict[str, Any], str]:
    """The questions and the state of a response of the later era."""
    result = answer.json()["result"]
    assert result["resultType"] == "input_required"
    return result.get("inputRequests"), result["requestState"]
