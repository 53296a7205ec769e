"""An answer has at most the requested choices: clients that ignore the index would join them to an unjudged text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import upstream as scripted
from gateway.dialects.openai_chat import OPENAI_CHAT
from line import config, running

CARD = ("Your card is 4539 1488", " 0343 6467, as you know.")


def whole(parts: tuple[str, ...]) -> dict[str, Any]:
    """A completion with a choice for each part."""
    choices = [
        {"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for at, text in enumerate(parts)
    ]
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "script", "choices": choices}


def events(parts: tuple[str, ...]) -> list[bytes]:
    """The same as a stream."""
    chunks = [
        {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "script", "choices": [choice]}
        for at, text in enumerate(parts)
        for choice in ({"index": at, "delta": {"content": text}}, {"index": at, "delta": {}, "finish_reason": "stop"})
    ]
    return [*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks), b"data: [DONE]\n\n"]


@pytest.mark.parametrize("asked", [1, 2])
@pytest.mark.parametrize("stream", [False, True])
def test_more_choices_than_were_asked_for_are_refused(
    up: scripted.Upstream, tmp_path: Path, asked: int, stream: bool
) -> None:
    """A card that is split over choices does not arrive: only the requested number of choices does."""
    up.script["go"] = events(CARD) if stream else whole(CARD)
    with running(tmp_path, config(tmp_path, up.url)) as line:
        answer = line.chat("go", "script", stream=stream, n=asked)
    if asked == 1:
        assert "upstream_error" in answer.text
        assert "6467" not in answer.text
    else:
        assert "upstream_error" not in answer.text
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "most"),
    [
        *(({}, 1), ({"n": None}, 1), ({"n": 3}, 3), ({"best_of": 9}, 1), ({"n": 2, "best_of": 9}, 2)),
        *(({"extra_body": {"n": 4}}, 4), ({"candidate_count": 5}, 5)),
    ],
)
def test_how_many_choices_there_may_be(body: dict[str, Any], most: int) -> None:
    """As many as any field requests; `best_of` only generates more."""
    assert OPENAI_CHAT.choices(body) == most
