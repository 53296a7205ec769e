"""What the caller wrote comes back as it was, also where a value was found only once the model repeats it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

import upstream
from gateway.redaction import known
from gateway.redaction.known import Known
from gateway.texts import Slot
from line import Line, config, running

VALUES = ["4111 1111 1111 1111", "212-555-0123", "219-09-9999", "203.0.113.7", "00:1B:44:11:3A:B7", "12 Main Street"]
SEPARATORS = [" ", ",", "/", "-", ":", "\t"]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that masks requests, in front of a model that repeats what it is told; `claude` speaks Messages."""
    folder = tmp_path_factory.mktemp("beside")
    with upstream.running() as up:
        settings = config(folder, up.url, pii={"default": "mask"}, output={"pii": "redact"})
        settings["providers"]["claude"] = {"format": "anthropic", "base_url": up.url.removesuffix("/v1")}
        settings["models"]["claude"] = {"targets": ["claude/echo"]}
        with running(folder, settings) as made:
            yield made


def repeated(line: Line, text: str, dialect: str, *, streamed: bool) -> str:
    """What the caller reads."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "stream": streamed}
    if dialect == "chat":
        answer = line.client.post("/v1/chat/completions", json={"model": "echo", **body})
    else:
        answer = line.client.post("/v1/messages", json={"model": "claude", "max_tokens": 999, **body})
    assert answer.status_code == 200, answer.text
    if not streamed:
        told = answer.json()
        return str(told["choices"][0]["message"]["content"] if dialect == "chat" else told["content"][0]["text"])
    events = [json.loads(one[6:]) for one in answer.text.splitlines() if one.startswith("data: {")]
    if dialect == "chat":
        return "".join(choice["delta"].get("content") or "" for one in events for choice in one["choices"])
    return "".join(one["delta"].get("text", "") for one in events if one["type"] == "content_block_delta")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize("between", SEPARATORS)
def test_two_values_side_by_side(line: Line, between: str, dialect: str, streamed: bool) -> None:
    """In both orders: one of them may not be told from the digits beside it in the request."""
    for one, other in itertools.permutations(VALUES, 2):
        text = f"{one}{between}{other}"
        assert repeated(line, text, dialect, streamed=streamed) == text


def test_a_value_that_only_the_answer_names() -> None:
    """Digits of the request, beside a word in the answer; half of a word of the request is another value."""
    told = Known(frozenset(), [Slot({}, "content", "rows 1 219099999 7, 2125550123x, 99", "user", None)])
    assert "219099999" in told
    assert "2125550123" not in told
    assert "19099999" not in told


def test_looking_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests too long to be searched for all that is new in an answer: what is left counts as new."""
    monkeypatch.setattr(known, "_LOOKED", 10_000)
    told = Known(frozenset(), [Slot({}, "content", "212-555-0123 " * 100, "user", None)])
    looked = [f"212-555-{at:04d}" in told for at in range(124)]
    assert not any(looked)
    assert "212-555-0123" not in told
