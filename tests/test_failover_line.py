"""What begins as no answer is tried elsewhere, in every dialect: other media types, first events, dead connections."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import upstream as scripted
from formats import wires
from line import Line, config, running
from raw_provider import Raw
from waiting import eventually

WIRES: dict[str, wires.Wire] = {
    "chat": wires.Chat(),
    "responses": wires.Responses(),
    "messages": wires.Messages(),
    "gemini": wires.Gemini(),
}
FORMATS = {"chat": "openai", "responses": "openai", "messages": "anthropic", "gemini": "gemini"}
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
EVENTS: dict[str, dict[str, Any]] = {
    "chat": {"error": {"message": "Overloaded", "type": "server_error", "code": "server_error"}},
    "responses": {
        "type": "error",
        "code": "server_error",
        "message": "Overloaded",
        "param": None,
        "sequence_number": 0,
    },
    "messages": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    "gemini": {"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}},
}
HTML = ("content-type: text/html\r\n", b"<html><body>Bad gateway</body></html>")
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
AHEAD = [
    *((caller, ahead) for caller in WIRES for ahead in (b"", b": hold\n\n")),
    *(("messages", ahead) for ahead in (PING, b": hold\n\n" + PING * 2, PING.replace(b"\n", b"\r\n"))),
]


def begins(caller: str, ahead: bytes = b"") -> tuple[str, bytes]:
    """A stream whose first event is an error."""
    event = EVENTS[caller]
    name = f"event: {event['type']}\n" if "type" in event else ""
    return "content-type: text/event-stream\r\n", ahead + f"{name}data: {json.dumps(event)}\n\n".encode()


@contextlib.contextmanager
def gateway(folder: Path, up: scripted.Upstream, raw: Raw) -> Iterator[Line]:
    """Models by the dialect of their first target, which is raw; the next is of the same or of another format."""
    made = config(folder, up.url, routing={"breaker": None, "retries": 0})
    base, own = up.url.removesuffix("/v1"), raw.url.removesuffix("/v1")
    for format in ("openai", "anthropic", "gemini"):
        ends = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta"}[format]
        made["providers"][f"raw-{format}"] = {"format": format, "base_url": own + ends}
        made["providers"][format] = {"format": format, "base_url": base + ends}
    for caller, format in FORMATS.items():
        for other in ("openai", "anthropic", "gemini"):
            targets = [f"raw-{format}/first", f"{other}/echo"]
            made["models"][f"{caller}-{other}"] = {"targets": targets}
    with running(folder, made) as line:
        yield line


@pytest.fixture(scope="module")
def provider() -> Iterator[Raw]:
    made = Raw()
    yield made
    made.listener.close()


@pytest.fixture
def raw(provider: Raw) -> Raw:
    """The provider in its initial state."""
    provider.calls = 0
    return provider


@pytest.fixture(scope="module")
def line(provider: Raw, up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with gateway(tmp_path_factory.mktemp("failover"), up, provider) as started:
        yield started


def ask(line: Line, caller: str, other: str, stream: bool) -> Any:
    """One call."""
    model, body = f"{caller}-{other}", WIRES[caller].request(("user", "hi"))
    headers = {"authorization": "Bearer mg-alice"}
    if caller == "gemini":
        del body["model"]
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return line.client.post(f"/v1beta/models/{model}:{verb}", json=body, headers=headers)
    body |= {"model": model, **({"stream": True} if stream else {})}
    return line.client.post(PATHS[caller], json=body, headers=headers)


def said(caller: str, answer: Any, stream: bool) -> str:
    """The text that the client reads."""
    assert answer.status_code == 200, answer.text
    wire = WIRES[caller]
    return (wire.listen(answer.content) if stream else wire.hear(answer.json())).text


@pytest.mark.parametrize("other", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("caller", WIRES)
def test_a_wrong_media_type(line: Line, raw: Raw, caller: str, stream: bool, other: str) -> None:
    """A page of HTML in place of an answer, with the status 200."""
    raw.answer = HTML
    assert said(caller, ask(line, caller, other, stream), stream) == "hi"
    assert raw.calls == 1


@pytest.mark.parametrize("other", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("caller", "ahead"), AHEAD)
def test_an_error_as_the_first_event(line: Line, raw: Raw, caller: str, stream: bool, other: str, ahead: bytes) -> None:
    """Also after comments; after pings where the dialect has these."""
    raw.answer = begins(caller, ahead)
    assert said(caller, ask(line, caller, other, stream), stream) == "hi"
    assert raw.calls == 1


@pytest.mark.parametrize("close", ["on the second call", "by a reset on the second call"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("caller", WIRES)
def test_a_dead_pooled_connection(tmp_path: Path, up: scripted.Upstream, caller: str, stream: bool, close: str) -> None:
    """The provider is gone when the connection is used again: the next target answers."""
    raw, wire = Raw(), WIRES[caller]
    with gateway(tmp_path, up, raw) as line:
        whole = json.dumps(wire.whole("first")).encode()
        raw.answer = ("content-type: application/json\r\n", whole)
        raw.close = close
        if stream:
            raw.answer = ("content-type: text/event-stream\r\n", b"".join(wire.events(["first"])))
        assert said(caller, ask(line, caller, FORMATS[caller], stream), stream) == "first"
        raw.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        raw.listener.close()
        assert said(caller, ask(line, caller, FORMATS[caller], stream), stream) == "hi"
        assert raw.calls == 2


@pytest.mark.parametrize("most", [5, None])
def test_a_whole_answer_that_breaks_off_costs_no_more_than_was_reserved(tmp_path: Path, most: int | None) -> None:
    """Its JSON is counted, as its text cannot be read; the model has written no more than the caller allows."""
    raw = Raw()
    whole = json.dumps(WIRES["chat"].whole("one two three")).encode()
    raw.answer, raw.close = ("content-type: application/json\r\n", whole), "in the body"
    made = config(tmp_path, raw.url, quotas={"tokens": 10**6})
    asked = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], **({"max_tokens": most} if most else {})}
    with running(tmp_path, made) as line:
        answer = line.client.post("/v1/chat/completions", json=asked, headers={"x-correlation-id": "broken"})
        assert answer.status_code == 502
        eventually(lambda: not line.workflow("broken").held.get("tokens"))
        used = line.workflow("broken").used["cost"]
        assert (used < 40_000) is bool(most)
        assert used > 10_000
