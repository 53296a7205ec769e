"""The official clients of npm, unmodified: only the base URL and the key differ. The scripts are in tests/npm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import node
import upstream as scripted
from line import Line, config, running

pytestmark = pytest.mark.live

TEXT = "Tell bob.jones@example.org that the meeting is at noon."
KINDS = "echo call think mid-error"


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies, that blocks cards and lets a workflow make two calls."""
    folder = tmp_path_factory.mktemp("npm")
    settings = config(
        folder,
        up.url,
        policy={"path": "policies"},
        pii={"entities": {"CREDIT_CARD": "block"}},
        quotas={"calls": 2},
        server={"websockets": True},
    )
    base = up.url.removesuffix("/v1")
    settings["providers"]["claude"] = {"format": "anthropic", "base_url": base, "api_key": "sk-ant-upstream"}
    settings["providers"]["gemini"] = {"format": "gemini", "base_url": base, "api_key": "AIza-upstream"}
    price = {"input": 1, "output": 2}
    for kind in KINDS.split():
        settings["models"][kind] = {"targets": [f"up/{kind}"], "price": price}
        for provider in ("claude", "gemini"):
            settings["models"][f"{provider}-{kind}"] = {"targets": [f"{provider}/{kind}"], "price": price}
    with running(folder, settings) as started:
        yield started


@pytest.fixture
def ran(line: Line, up: scripted.Upstream, tmp_path: Path) -> Iterator[Any]:
    """Runs a script; afterwards, no value has left."""
    up.seen.clear()
    up.says = looped
    up.release.set()
    yield lambda name: node.script(name, tmp_path, {"URL": line.url, "KEY": "mg-alice"})
    up.says = lambda seen: None
    raw = b"".join(seen.raw for seen in up.seen)
    assert b"bob.jones" not in raw
    assert b"4111" not in raw


def looped(seen: scripted.Seen) -> dict[str, Any] | None:
    """The model `script` has a tool called with the text, and then repeats its result."""
    if seen.body.get("model") != "script":
        return None
    last = seen.body["messages"][-1]
    message: dict[str, Any] = {"role": "assistant", "content": last["content"]}
    if last["role"] == "user":
        function = {"name": "send", "arguments": json.dumps({"to": last["content"]})}
        message |= {"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    return scripted.whole(seen.body, usage=scripted.USAGE, choices=[{"index": 0, "message": message}])


def errors(said: dict[str, Any], *names: str) -> list[tuple[str, int | None, str | None]]:
    """Class, status and code of the errors under these names."""
    return [(said[name]["class"], said[name]["status"], said[name]["code"]) for name in names]


def test_openai(ran: Any) -> None:
    """Chat, Responses, embeddings, models, over HTTP and WebSocket, whole and streamed."""
    said = ran("openai.mjs")
    for name in ("chat", "chat stream", "responses", "responses stream", "websocket"):
        assert said[name] == TEXT
    assert said["chat tool"] == said["responses tool"] == {"to": TEXT}
    assert said["chat loop"] == f"sent to {TEXT}"
    assert said["embeddings"] == 3
    assert said["models"]
    refused = ("PermissionDeniedError", 403, "pii_blocked")
    assert errors(said, "chat blocked", "responses blocked") == [refused] * 2
    assert errors(said, "websocket blocked") == [("WebSocketError", None, "pii_blocked")]
    assert errors(said, "chat fault", "responses fault") == [("APIError", None, "upstream_error")] * 2
    assert errors(said, "quota", "key") == [
        ("PermissionDeniedError", 403, "quota_exceeded"),
        ("AuthenticationError", 401, "unauthenticated"),
    ]


def test_anthropic(ran: Any) -> None:
    """Messages, whole and streamed, and the count of their tokens."""
    said = ran("anthropic.mjs")
    assert said["message"] == said["stream"] == TEXT
    assert said["thinking"] == ["thinking", "text"]
    assert said["tool"] == {"to": TEXT}
    assert said["count"] == 42
    assert errors(said, "blocked", "quota", "key", "fault") == [
        ("PermissionDeniedError", 403, "pii_blocked"),
        ("PermissionDeniedError", 403, "quota_exceeded"),
        ("AuthenticationError", 401, "unauthenticated"),
        ("APIError", None, "upstream_error"),
    ]


def test_the_ai_sdk(ran: Any) -> None:
    """Each of its providers, whole and streamed."""
    said = ran("ai.mjs")
    for name in ("chat", "responses", "messages"):
        assert said[name] == said[f"{name} stream"] == said[f"{name} tool"] == TEXT
        assert said[f"{name} fault"] == 1
        assert errors(said, f"{name} blocked", f"{name} quota") == [
            ("APICallError", 403, "pii_blocked"),
            ("APICallError", 403, "quota_exceeded"),
        ]


def test_genai(ran: Any) -> None:
    """Contents, whole and streamed, counts and embeddings; the code is the reason in the details."""
    said = ran("genai.mjs")
    assert said["content"] == said["stream"] == TEXT
    assert said["tool"] == {"to": TEXT}
    assert (said["count"], said["embedding"]) == (42, 3)
    codes = {"blocked": "pii_blocked", "quota": "quota_exceeded", "key": "unauthenticated", "fault": "upstream_error"}
    assert [said[name]["class"] for name in codes] == ["ApiError"] * 4
    assert [said[name]["status"] for name in codes] == [403, 403, 401, 502]
    for name, code in codes.items():
        assert f'"reason":"{code}"' in said[name]["message"]
