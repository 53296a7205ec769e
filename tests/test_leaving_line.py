"""Callers who disconnect while a provider is silent: they pay for the input that it had, in every dialect."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from line import KEYS, Line, config, running
from waiting import eventually

WORDS = "one two three four five six seven eight nine ten"
CHAT = {"messages": [{"role": "user", "content": WORDS}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": WORDS}]}]}
PAID: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "openai", **CHAT}),
    "chat, streamed": ("/v1/chat/completions", {"model": "openai", "stream": True, **CHAT}),
    "completions": ("/v1/completions", {"model": "openai", "prompt": WORDS}),
    "completions, streamed": ("/v1/completions", {"model": "openai", "prompt": WORDS, "stream": True}),
    "responses": ("/v1/responses", {"model": "openai", "input": WORDS}),
    "responses, streamed": ("/v1/responses", {"model": "openai", "input": WORDS, "stream": True}),
    "messages": ("/v1/messages", {"model": "anthropic", "max_tokens": 99, **CHAT}),
    "messages, streamed": ("/v1/messages", {"model": "anthropic", "max_tokens": 99, "stream": True, **CHAT}),
    "gemini": ("/v1beta/models/gemini:generateContent", CONTENTS),
    "gemini, streamed": ("/v1beta/models/gemini:streamGenerateContent?alt=sse", CONTENTS),
    "interactions": ("/v1beta/interactions", {"model": "gemini", "input": WORDS, "store": False}),
    "embeddings": ("/v1/embeddings", {"model": "openai", "input": WORDS}),
    "translated": ("/v1/chat/completions", {"model": "anthropic", **CHAT}),
    "translated, streamed": ("/v1/messages", {"model": "gemini", "max_tokens": 99, "stream": True, **CHAT}),
}
FREE: dict[str, tuple[str, dict[str, Any]]] = {
    "moderations": ("/v1/moderations", {"model": "openai", "input": WORDS}),
    "count_tokens": ("/v1/messages/count_tokens", {"model": "anthropic", **CHAT}),
    "countTokens": ("/v1beta/models/gemini:countTokens", CONTENTS),
    "input_tokens": ("/v1/responses/input_tokens", {"model": "openai", "input": WORDS}),
}


class Silent:
    """A provider that reads requests, and never answers. `asked`: a request has arrived."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        read = b""
        with connection:
            while data := connection.recv(65536):
                read += data
                if b"seven" in read:
                    self.asked.set()

    def close(self) -> None:
        """End."""
        self._socket.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Silent]:
    """A silent provider."""
    made = Silent()
    yield made
    made.close()


@pytest.fixture(scope="module")
def line(provider: Silent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a silent provider of each format."""
    folder: Path = tmp_path_factory.mktemp("leaving")
    made = config(folder, provider.url, quotas={"tokens": 10**6, "cost_usd": 5})
    base = {"api_key": "sk-of-the-provider", "base_url": provider.url, "idle_timeout": "60s"}
    formats = ("openai", "anthropic", "gemini")
    made["providers"] = {name: {**base, "format": name} for name in formats}
    made["models"] = {name: {"targets": [f"{name}/m"], "price": {"input": 1000, "output": 1000}} for name in formats}
    made["providers"]["short"] = {**base, "format": "openai", "idle_timeout": "200ms"}
    made["models"]["short"] = {"targets": ["short/m"], "price": {"input": 1000}}
    with running(folder, made) as started:
        yield started


def leave(line: Line, provider: Silent, cid: str, path: str, body: dict[str, Any]) -> None:
    """Send a call, and disconnect once the provider has it."""
    raw, port = json.dumps(body).encode(), int(line.url.rpartition(":")[2])
    provider.asked.clear()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEYS['alice']}\r\nx-correlation-id: {cid}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n".encode() + raw)
        assert provider.asked.wait(20), path


@pytest.mark.parametrize("name", PAID)
def test_the_input_is_charged(line: Line, provider: Silent, name: str) -> None:
    """As the gateway counts it, and no output; what was reserved for the output comes back."""
    cid = f"leaves-{list(PAID).index(name)}"
    leave(line, provider, cid, *PAID[name])
    eventually(lambda: line.workflow(cid).used.get("tokens", 0) > 0)
    found = line.workflow(cid)
    assert 8 <= found.used["tokens"] <= 40
    assert found.used["cost"] == found.used["tokens"] * 1_000_000
    assert not found.held.get("tokens")


@pytest.mark.parametrize("name", FREE)
def test_what_is_free_stays_free(line: Line, provider: Silent, name: str) -> None:
    """A count of tokens costs nothing, whether its answer was heard or not."""
    cid = f"free-{list(FREE).index(name)}"
    leave(line, provider, cid, *FREE[name])
    eventually(lambda: line.workflow(cid).used.get("calls", 0) > 0 and not line.workflow(cid).held.get("tokens"))
    assert not line.workflow(cid).used.get("tokens")


def test_a_silent_provider_costs_nothing(line: Line) -> None:
    """A time-out of the gateway is no departure of the caller."""
    answer = line.client.post(
        "/v1/chat/completions", json={"model": "short", **CHAT}, headers={"x-correlation-id": "silent"}
    )
    assert answer.status_code == 504
    eventually(lambda: not line.workflow("silent").held.get("tokens"))
    assert not line.workflow("silent").used.get("tokens")
