"""A secret of the gateway's own as the key of an object, in the arguments of a tool call: whole and in pieces."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as settings_
from hypothesis import strategies as st

import upstream as scripted
from formats.wires import Chat, Messages, Wire
from line import Line, config, running

SECRET = "prov/9f3Kp29xW7+of-no-known-form"
CHAT, MESSAGES = Chat(), Messages()


class Provider(BaseHTTPRequestHandler):
    """Answers what it is told to."""

    body = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        kind = "text/event-stream" if self.body.startswith((b"data:", b"event:")) else "application/json"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    folder = tmp_path_factory.mktemp("own-keys")
    url = f"http://127.0.0.1:{server.server_address[1]}"
    raw = config(folder, f"{url}/v1")
    raw["providers"]["up"]["api_key"] = SECRET
    raw["providers"]["claude"] = {"format": "anthropic", "base_url": url, "api_key": SECRET}
    raw["models"]["claude"] = {"targets": ["claude/claude"]}
    with running(folder, raw) as made:
        yield made
    server.shutdown()
    thread.join()
    server.server_close()


def call(line: Line, wire: Wire, body: bytes, *, stream: bool) -> httpx.Response:
    """The answer of a call with a tool, whose provider sends this body."""
    Provider.body = body
    if wire is CHAT:
        return line.chat("hi", tools=[dict(wire.offer or {})], stream=stream)
    asked = wire.request(("user", "hi"), tools=[dict(wire.offer or {})], stream=stream) | {"model": "claude"}
    return line.client.post("/v1/messages", json=asked)


FORMS: dict[str, Callable[[str], str]] = {
    "plain": json.dumps,
    "escaped": lambda value: '"' + "".join(f"\\u{ord(one):04x}" for one in value) + '"',
    "partly escaped": lambda value: f'"\\u0070{value[1:]}"',
    "base64": lambda value: json.dumps(base64.b64encode(value.encode()).decode()),
    "hexadecimal": lambda value: json.dumps(value.encode().hex(":")),
}
SHAPES: dict[str, Callable[[str], str]] = {
    "a key": lambda key: f'{{"a": 1, {key}: "x"}}',
    "a key below": lambda key: f'{{"a": {{"b": [{{{key}: null}}]}}}}',
    "a value": lambda key: f'{{"a": {key}}}',
    "JSON in a string": lambda key: json.dumps({"a": f"{{{key}: 1}}"}),
}


@pytest.mark.parametrize("wire", [CHAT, MESSAGES], ids=["chat", "messages"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
@settings_(
    max_examples=2, phases=[Phase.generate], deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(0, 200), max_size=9))
def test_a_key_of_arguments(line: Line, wire: Wire, form: str, shape: str, cuts: list[int]) -> None:
    """No part of the arguments leaves, however they are cut."""
    arguments = SHAPES[shape](FORMS[form](SECRET))
    marks = sorted({0, len(arguments), *(cut for cut in cuts if cut < len(arguments))})
    pieces = [arguments[low:high] for low, high in pairwise(marks)]
    answers = [
        call(line, wire, json.dumps(wire.whole("t", arguments)).encode(), stream=False),
        call(line, wire, json.dumps(wire.whole("t", arguments)).encode(), stream=True),
        call(line, wire, b"".join(wire.events(["t"], pieces)), stream=True),
        call(line, wire, b"".join(wire.events(["t"], list(arguments))), stream=True),
    ]
    for answer in answers:
        if answer.status_code == 403:
            assert answer.headers["x-meshgate-code"] == "secret_blocked"
            continue
        heard = wire.listen(answer.content)
        assert heard.reason == wire.blocked
        told = "".join(str(arguments) for _, arguments in heard.tools)
        assert len(told) <= len(SHAPES[shape](""))


@pytest.mark.parametrize("field", ["role", "x_note", "refusal", "reasoning_content"])
@pytest.mark.parametrize("size", [2, 5])
def test_a_field_of_several_chunks(line: Line, field: str, size: int) -> None:
    """Clients join the strings of a delta, its role too."""
    pieces = [SECRET[at : at + size] for at in range(0, len(SECRET), size)]
    events = [scripted.chunk({field: piece}) for piece in pieces]
    answer = call(line, CHAT, b"".join([*events, scripted.chunk({}, "stop")]), stream=True)
    lines = [json.loads(one[6:]) for one in answer.text.splitlines() if one.startswith("data: {")]
    deltas = [choice["delta"] for one in lines for choice in one.get("choices", ())]
    joined = "".join(delta.get(field) or "" for delta in deltas)
    assert "own secrets and was stopped" in answer.text
    assert SECRET[:6] not in joined
