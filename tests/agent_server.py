"""A scripted agent that speaks A2A, for tests: its answers may be hostile."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import event_stream

SENDS = {"1.0": "SendMessage", "0.3": "message/send"}
GETS = {"1.0": "GetTask", "0.3": "tasks/get"}
CANCELS = {"1.0": "CancelTask", "0.3": "tasks/cancel"}
STREAMS = {"1.0": "SendStreamingMessage", "0.3": "message/stream"}
SUBSCRIBES = {"1.0": "SubscribeToTask", "0.3": "tasks/resubscribe"}
POLICY = """package gateway

import rego.v1

decision := {"allow": allow, "deny": deny, "obligations": labels}

default allow := false

allow if input.action.kind == "llm"

allow if {
	input.action.kind == "agent"
	input.action.name != "secret"
}

deny contains {"code": "word", "message": "No", "class": "safety"} if {
	some part in input.action.args.parts
	part.text == "forbidden"
}

deny contains {"code": "injected", "message": "No", "class": "safety"} if input.content.injection.tool >= 0.9

deny contains {"code": "deep", "message": "No", "class": "safety"} if input.context.hop > 0

labels contains {"code": "p", "labels": ["read:pii"]} if "tool" in input.content.pii_from
"""


ID = "[A-Za-z0-9_.:-]+"
PATHS = [
    ("POST", "/message:send", "SendMessage"),
    ("POST", "/message:stream", "SendStreamingMessage"),
    ("POST", f"/tasks/(?P<id>{ID}):cancel", "CancelTask"),
    ("GET", f"/tasks/(?P<id>{ID}):subscribe", "SubscribeToTask"),
    ("GET", f"/tasks/(?P<id>{ID})", "GetTask"),
    ("GET", "/tasks", "ListTasks"),
    ("POST", f"/tasks/(?P<taskId>{ID})/pushNotificationConfigs", "CreateTaskPushNotificationConfig"),
    ("GET", f"/tasks/(?P<taskId>{ID})/pushNotificationConfigs", "ListTaskPushNotificationConfigs"),
    ("GET", f"/tasks/(?P<taskId>{ID})/pushNotificationConfigs/(?P<id>{ID})", "GetTaskPushNotificationConfig"),
    ("DELETE", f"/tasks/(?P<taskId>{ID})/pushNotificationConfigs/(?P<id>{ID})", "DeleteTaskPushNotificationConfig"),
    ("GET", "/extendedAgentCard", "GetExtendedAgentCard"),
]
"""Requests of HTTP+JSON: method, pattern of the path, method of the protocol (1.0, section 11.3)."""


def interface(url: str, binding: str) -> dict[str, str]:
    """The interface of a scripted agent in 1.0."""
    path = "rest/" if binding == "HTTP+JSON" else "rpc"
    return {"url": f"{url}/{path}", "protocolBinding": binding, "protocolVersion": "1.0"}


def own_code(error: Any) -> str:
    """The gateway's own code in an error over JSON-RPC, which in 1.0 is in a detail (section 9.5)."""
    data = error["data"]
    if type(data) is list:
        (detail,) = data
        assert (detail["@type"], detail["domain"]) == ("type.googleapis.com/google.rpc.ErrorInfo", "a2a-protocol.org")
        assert detail["reason"].isupper()
        data = detail["metadata"]
    return str(data["code"])


@dataclass
class Scripted:
    """An agent with scripted answers, which may be hostile. `answer(method, params)` is the result."""

    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Callable[[str, Any], Any] | None = None
    raw: bytes | None = None
    status: int = 200
    card: dict[str, Any] = field(default_factory=dict)
    stream: Callable[[str, Any], Iterator[bytes]] | None = None
    """The pieces of a streamed body: each is sent at once."""
    breaks: int = 0
    """Connections that end when a request has been read, before any is answered."""
    closed: threading.Event = field(default_factory=threading.Event)
    """The gateway closed the connection of a stream."""

    def result(self, method: str, params: Any) -> Any:
        if self.answer is not None:
            return self.answer(method, params)
        if method in ("SendMessage", "message/send"):
            said = params["message"]
            made = task(said.get("taskId") or f"t-{len(self.seen)}", f"you said {said['parts'][0].get('text')}", method)
            return {"task": made} if method == "SendMessage" else {"kind": "task", **made}
        made = task(params["id"], "done", method)
        return made if method in GETS.values() and "/" not in method else {"kind": "task", **made}


def task(id: str, text: str, method: str = "SendMessage") -> dict[str, Any]:
    """A task with an artifact."""
    new = "/" not in method
    state = "TASK_STATE_COMPLETED" if new else "completed"
    part = {"text": text} if new else {"kind": "text", "text": text}
    artifact = {"artifactId": "a1", "parts": [part]}
    return {"id": id, "contextId": f"c-{id}", "status": {"state": state}, "artifacts": [artifact]}


@contextlib.contextmanager
def scripted() -> Iterator[Scripted]:
    """The agent, on a port of its own."""
    made = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/rest"):
                self.rest()
            else:
                self.send(json.dumps(made.card).encode(), 200)

        def do_POST(self) -> None:
            if self.path.startswith("/rest"):
                self.rest()
                return
            said = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.note(said)
            if self.ends():
                return
            if made.stream is not None:
                self.stream(made.stream(said["method"], said["params"]))
                return
            self.answer(said)

        def do_DELETE(self) -> None:
            self.rest()

        def note(self, said: Any) -> None:
            made.seen.append(said)
            made.headers.append({name.lower(): value for name, value in self.headers.items()})

        def ends(self) -> bool:
            """Whether the connection ends here."""
            if not made.breaks:
                return False
            made.breaks -= 1
            self.close_connection = True
            return True

        def rest(self) -> None:
            """A request of HTTP+JSON, noted as the same one of JSON-RPC; the result is bare."""
            path, _, query = self.path.removeprefix("/rest").partition("?")
            size = int(self.headers["content-length"] or 0)
            params: dict[str, Any] = json.loads(self.rfile.read(size)) if size else {}
            for name, value in parse_qsl(query, strict_parsing=True) if query else []:
                params[name] = int(value) if value.isdecimal() else value
            for verb, pattern, method in PATHS:
                if verb == self.command and (match := re.fullmatch(pattern, path)):
                    said = {"method": method, "params": {**params, **match.groupdict()}}
                    break
            else:
                raise AssertionError(f"{self.command} {self.path}")
            self.note(said)
            if self.ends():
                return
            if made.stream is not None:
                self.stream(made.stream(method, said["params"]))
            elif made.raw is not None:
                self.send(made.raw, made.status)
            else:
                result = made.result(method, said["params"])
                self.send(b"" if result is None else json.dumps(result).encode(), 200 if result is not None else 204)

        def answer(self, said: Any) -> None:
            answer = {"jsonrpc": "2.0", "id": said["id"], "result": {}}
            if made.raw is None:
                answer["result"] = made.result(said["method"], said["params"])
            self.send(json.dumps(answer).encode() if made.raw is None else made.raw, made.status)

        def send(self, body: bytes, status: int) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def stream(self, pieces: Iterator[bytes]) -> None:
            event_stream.begin(self)
            try:
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
            except OSError:
                made.closed.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
