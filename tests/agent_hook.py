"""A client that is told of its tasks, and what an agent tells: for tests of push notifications."""

from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from agent_server import SENDS, Scripted, task
from line import Line


class Hook:
    """A client that is told of tasks: `got` has headers and bodies. `refusals`: statuses before the first 200."""

    def __init__(self) -> None:
        self.got: queue.Queue[tuple[dict[str, str], Any]] = queue.Queue()
        self.refusals: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = outer.refusals.pop(0) if outer.refusals else 200
                if status == 200:  # before the answer, which lets the next one come
                    outer.got.put(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def next(self) -> tuple[dict[str, str], Any]:
        """The next notification."""
        return self.got.get(timeout=15)

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def post(line: Line, version: str, method: str, params: Any, *, who: str = "alice", to: str = "planner") -> Any:
    """The answer to one request."""
    headers = {"authorization": f"Bearer mg-{who}", "a2a-version": version, "x-correlation-id": f"push-{who}"}
    body = {"jsonrpc": "2.0", "id": "r1", "method": method, "params": params}
    return line.client.post(f"/a2a/{to}", json=body, headers=headers).json()


def placed(agent: Scripted) -> dict[str, Any]:
    """The configuration that the agent got last."""
    params = agent.seen[-1]["params"]
    params = params.get("configuration", params)
    found = params.get("taskPushNotificationConfig", params.get("pushNotificationConfig", params))
    assert isinstance(found, dict)
    return found


def tell(line: Line, url: str, body: Any) -> httpx.Response:
    """What the agent sends to a URL that it got."""
    assert url.startswith("http://gateway.example/a2a/planner/notifications/")
    path = url.removeprefix("http://gateway.example")
    return httpx.post(f"{line.url}{path}", json=body, timeout=30)


def notice(version: str, id: str, text: str, state: str = "completed") -> dict[str, Any]:
    """A notification of a task."""
    made = task(id, text, SENDS[version])
    made["status"]["state"] = f"TASK_STATE_{state.upper()}" if version == "1.0" else state
    return {"task": made} if version == "1.0" else {"kind": "task", **made}
