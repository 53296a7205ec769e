"""Calls of plain HTTP tools that are repeated: by their callers, under an `Idempotency-Key`, and by the gateway."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from line import Line, config, running


@dataclass
class Api:
    """An HTTP server that counts requests, and breaks off as many as it is told."""

    url: str = ""
    seen: list[str] = field(default_factory=list)
    answer: tuple[int, str, bytes] = (200, "application/json", b"{}")
    breaks: int = 0


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    """The server, in a thread."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            api.seen.append(self.command)
            if api.breaks:
                api.breaks -= 1
                self.close_connection = True
                return
            status, kind, body = api.answer
            self.send_response(status)
            if kind:
                self.send_header("content-type", kind)
            if status != 204:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = reply

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield api
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def api(served: Api) -> Api:
    """The same, as new."""
    served.seen.clear()
    served.answer, served.breaks = (200, "application/json", b"{}"), 0
    return served


@pytest.fixture(scope="module")
def line(served: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway in front of the server."""
    folder = tmp_path_factory.mktemp("repeats")
    row = {
        "http": served.url,
        "methods": ["GET", "POST", "PUT", "DELETE"],
        "paths": ["/same/*", "/*"],
        "idempotent": ["POST /same/[*]"],
        "write": ["GET /fire"],
    }
    rows = {"crm": row, "odd": {"http": served.url, "write": ["GET *"]}}
    settings = config(folder, "http://127.0.0.1:9/v1", tools=rows, routing={"breaker": None})
    with running(folder, settings) as started:
        yield started


def ask(line: Line, method: str, path: str, tool: str = "crm", **headers: str) -> httpx.Response:
    """One request."""
    body = {"a": 1} if method in ("POST", "PUT") else None
    return line.client.request(method, f"/tools/{tool}{path}", headers=headers, json=body)


@pytest.mark.parametrize(
    "answer",
    [
        (200, "application/json", b'{"id": 7}'),
        (201, "application/json", b'{"id": 7}'),
        (202, "text/plain", b"later"),
        (200, "text/csv; charset=utf-8", b"a,b"),
        (204, "", b""),
    ],
)
def test_a_success_is_kept_under_its_key(line: Line, api: Api, answer: tuple[int, str, bytes]) -> None:
    """Whatever its status and type: what was created once is not created again."""
    api.answer = answer
    key = {"idempotency-key": f"{answer[0]}{answer[1]}"}
    first, again = ask(line, "POST", "/orders", **key), ask(line, "POST", "/orders", **key)
    assert (again.status_code, again.content) == (first.status_code, first.content) == (answer[0], answer[2])
    assert again.headers.get("content-type") == first.headers.get("content-type")
    assert again.headers["idempotent-replayed"] == "true"
    assert api.seen == ["POST"]


@pytest.mark.parametrize("status", [400, 409, 500])
def test_an_error_is_not_kept(line: Line, api: Api, status: int) -> None:
    """A retry runs."""
    api.answer = (status, "application/json", b"{}")
    answers = [ask(line, "POST", "/orders", **{"idempotency-key": f"e{status}"}) for _ in range(2)]
    assert [it.status_code for it in answers] == [status, status]
    assert api.seen == ["POST", "POST"]


@pytest.mark.parametrize(
    ("method", "path", "tool", "sent"),
    [
        ("GET", "/x", "crm", 2),
        ("PUT", "/x", "crm", 2),
        ("DELETE", "/x", "crm", 2),
        ("POST", "/x", "crm", 1),
        ("POST", "/same/x", "crm", 2),
        ("GET", "/x", "odd", 1),
    ],
)
def test_a_fault_is_tried_again_where_that_is_safe(
    line: Line, api: Api, method: str, path: str, tool: str, sent: int
) -> None:
    """By the method, or by the row of the tool; what the operator says to write is sent once."""
    api.breaks = 1
    answer = ask(line, method, path, tool)
    assert answer.status_code == (200 if sent == 2 else 502)
    assert api.seen == [method] * sent


def test_it_is_tried_again_once(line: Line, api: Api) -> None:
    """Not without end: once, and once more if a connection that was idle ends at once."""
    api.breaks = 9
    assert ask(line, "GET", "/x").json()["error"]["code"] == "upstream_error"
    assert len(api.seen) in (2, 3)


def test_an_idle_connection_that_ends_is_no_reason_to_write_twice(line: Line, api: Api) -> None:
    """The server may have read the request before it closed the connection."""
    assert ask(line, "POST", "/x").status_code == 200
    api.breaks = 1
    assert ask(line, "POST", "/x").status_code == 502
    assert api.seen == ["POST", "POST"]
