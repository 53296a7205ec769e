"""What providers do to connections, media types and events, at a real port: see `upstream`."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import upstream as scripted
from line import Line, config, running

WHOLE = {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def chunk(text: str | None, reason: str | None = None, **more: Any) -> bytes:
    """One event."""
    delta = {} if text is None else {"content": text}
    said = {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **more}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


STREAM = chunk("hel") + chunk("lo") + chunk(None, "stop")


class Raw:
    """A provider of raw bytes: each answer is (head, body); its connection is closed as `close` says."""

    def __init__(self) -> None:
        self.answer: tuple[str, bytes] = ("", b"")
        self.close = ""
        self.calls = 0
        self.bodies: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        served = 0
        while head := b"".join(iter(reader.readline, b"\r\n")):
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self.bodies.append(reader.read(length))
            self.calls += 1
            if self.close == "on the second call" and served:
                break
            served += 1
            if self.close == "in the head":
                connection.sendall(b"HTTP/1.1 200 O")
                break
            lines, body = self.answer
            status = "400 Bad" if b"stream_options" in self.bodies[-1] and self.close == "no options" else "200 OK"
            if status != "200 OK":
                body = b'{"error": {"message": "Unrecognized request argument supplied: stream_options"}}'
            said = f"HTTP/1.1 {status}\r\n{lines}content-length: {len(body)}\r\n\r\n"
            connection.sendall(said.encode() + body)
            if self.close == "after each answer":
                break
        reader.close()
        connection.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Raw]:
    made = Raw()
    yield made
    made.listener.close()


@pytest.fixture
def raw(provider: Raw) -> Raw:
    provider.close, provider.calls = "", 0
    return provider


@pytest.fixture(scope="module")
def line(provider: Raw, up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    tmp_path = tmp_path_factory.mktemp("wire")
    settings = config(tmp_path, up.url)
    settings["providers"]["raw"] = {"format": "openai", "base_url": provider.url}
    settings["models"]["raw"] = {"targets": ["raw/m"]}
    settings["models"]["raw-or-up"] = {"targets": ["raw/m", "up/echo"]}
    with running(tmp_path, settings) as started:
        yield started


@pytest.mark.parametrize("close", ["on the second call", "after each answer"])
def test_a_dead_connection_is_tried_afresh(line: Line, raw: Raw, close: str) -> None:
    """A provider that closes idle connections costs no call."""
    raw.answer, raw.close = ("content-type: application/json\r\n", json.dumps(WHOLE).encode()), close
    assert [line.chat("hi", "raw").status_code for _ in range(6)] == [200] * 6


def test_nothing_is_sent_twice_once_bytes_came(line: Line, raw: Raw) -> None:
    """Half a head is the beginning of an answer."""
    raw.answer = ("content-type: application/json\r\n", json.dumps(WHOLE).encode())
    assert line.chat("hi", "raw").status_code == 200
    raw.close = "in the head"
    assert line.chat("hi", "raw").status_code == 502
    assert raw.calls == 2


@pytest.mark.parametrize("kind", ["Text/Event-Stream", "text/plain", "application/json"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_stream_is_one_by_what_it_says(line: Line, raw: Raw, kind: str, stream: bool) -> None:
    """Whatever its media type says, with a byte order mark, and assembled for who asked for a whole answer."""
    raw.answer = (f"content-type: {kind}\r\n", b"\xef\xbb\xbf" + STREAM + b"data: [DONE]")
    answer = line.chat("hi", "raw", stream=stream)
    assert answer.status_code == 200
    if not stream:
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        return
    said = [json.loads(one[6:]) for one in answer.text.split("\n\n") if one.startswith("data: {")]
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in said) == "hello"
    assert answer.text.endswith("data: [DONE]\n\n")


ODD = {
    "no choices": b'data: {"id": "x"}\n\n' + STREAM,
    "null choices": b'data: {"id": "x", "choices": null}\n\n' + STREAM,
    "padding in the usage": STREAM
    + b'data: {"id": "x", "choices": [], "obfuscation": "abc", "usage": %s}\n\n' % json.dumps(USAGE).encode(),
    "more in the usage": STREAM
    + b'data: {"id": "x", "choices": [], "x_note": "abc", "usage": %s}\n\n' % json.dumps(USAGE).encode(),
    "unterminated": STREAM + b'data: {"id": "x", "choices": [], "usage": %s}' % json.dumps(USAGE).encode(),
    "half a pair": chunk("hello ")
    + b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'
    + STREAM,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_events_are_read(line: Line, raw: Raw, name: str) -> None:
    """The answer comes through, and every chunk has a choice for who did not ask for usage."""
    raw.answer = ("content-type: text/event-stream\r\n", ODD[name])
    answer = line.chat("hi", "raw", cid=f"odd-{name.replace(' ', '-')}", stream=True)
    said = [json.loads(one[6:]) for one in answer.text.split("\n\n") if one.startswith("data: {")]
    assert all(one["choices"] for one in said)
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in said).endswith("hello")


def test_an_error_as_first_event_fails_over(line: Line, raw: Raw) -> None:
    """As its status would, for streams and whole answers."""
    for body in (b'data: {"error": {"message": "busy", "code": 503}}\n\n', b'{"error": {"message": "busy"}}'):
        raw.answer = ("content-type: text/event-stream\r\n", body)
        for stream in (True, False):
            assert "error" not in line.chat("hi", "raw-or-up", stream=stream).text


def test_an_upstreams_429_keeps_its_hints(line: Line, raw: Raw) -> None:
    """Status and hints reach the caller."""
    raw.answer = (
        "retry-after-ms: 1500\r\nx-ratelimit-reset-requests: 2s\r\ncontent-type: text/event-stream\r\n",
        b'data: {"error": {"code": 429}}\n\n',
    )
    answer = line.chat("hi", "raw", stream=True)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["retry-after-ms"] == "1500"
    assert answer.headers["x-upstream-ratelimit-reset-requests"] == "2s"


def test_refused_stream_options_are_left_out(line: Line, raw: Raw) -> None:
    """Sent again without them, and never again with them."""
    raw.answer, raw.close = ("content-type: text/event-stream\r\n", STREAM), "no options"
    assert [line.chat("hi", "raw", stream=True).status_code for _ in range(2)] == [200, 200]
    assert raw.calls == 3


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [], "x": ' + b"[" * 400 + b"]" * 400 + b', "y": "bob@example.net"}',
        b'{"exp": 1' + b"0" * 400 + b', "choices": []}',
    ],
)
def test_answers_that_cannot_be_read_are_errors(line: Line, raw: Raw, body: bytes) -> None:
    """An error for the caller; the call is settled."""
    raw.answer = ("content-type: application/json\r\n", body)
    answer = line.chat("hi", "raw", cid="deep")
    assert answer.json()["error"]["code"] in ("upstream_error", "output_blocked")
