"""What a scripted provider answers to text completions and moderations."""

from __future__ import annotations

import json
from typing import Any

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def prompts(body: dict[str, Any]) -> list[Any]:
    """The prompts of a request."""
    said = body["prompt"]
    return [said] if isinstance(said, str) or isinstance(said[0], int) else said


def texts(body: dict[str, Any]) -> list[str]:
    """The text of each choice: the prompt if it is echoed, and the same in words of the model."""
    said = [f"{one if body.get('echo') else ''} then {one}{body.get('suffix') or ''}" for one in prompts(body)]
    return [text for text in said for _ in range(body.get("n") or 1)]


def logprobs(body: dict[str, Any], text: str) -> dict[str, Any] | None:
    """Tables of log probabilities, with tokens of three characters."""
    if body.get("logprobs") is None:
        return None
    tokens = [text[at : at + 3] for at in range(0, len(text), 3)]
    return {
        "tokens": tokens,
        "token_logprobs": [None, *[-0.5] * (len(tokens) - 1)],
        "top_logprobs": [None, *({token: -0.5, " a": -2} for token in tokens[1:])],
        "text_offset": [3 * at for at in range(len(tokens))],
    }


def _head(body: dict[str, Any]) -> dict[str, Any]:
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}


def whole(body: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """A completion."""
    choices = [
        {"index": at, "text": text, "logprobs": logprobs(body, text), "finish_reason": "stop"}
        for at, text in enumerate(texts(body))
    ]
    return {**_head(body), "choices": choices, **extra}


def events(body: dict[str, Any], size: int = 3) -> list[bytes]:
    """A streamed completion, whose choices take turns."""

    def event(**said: Any) -> bytes:
        return b"data: " + json.dumps({**_head(body), **said}).encode() + b"\n\n"

    def choice(at: int, text: str, reason: str | None = None) -> dict[str, Any]:
        told = logprobs(body, text) if text else None
        return {"index": at, "text": text, "logprobs": told, "finish_reason": reason}

    said = texts(body)
    longest = max(map(len, said))
    out = [
        event(choices=[choice(at, text[low : low + size])])
        for low in range(0, longest, size)
        for at, text in enumerate(said)
        if low < len(text)
    ]
    out += [event(choices=[choice(at, "", "stop")]) for at in range(len(said))]
    if (body.get("stream_options") or {}).get("include_usage") and "nousage" not in body["model"]:
        out.append(event(choices=[], usage=USAGE))
    return [*out, b"data: [DONE]\n\n"]


def moderation(body: dict[str, Any]) -> dict[str, Any]:
    """A moderation: an input is flagged if it holds the word `hate`."""
    said = body["input"]
    inputs = said if isinstance(said, list) and isinstance(said[0], str) else [said]
    results = [
        {
            "flagged": "hate" in str(one),
            "categories": {"hate": "hate" in str(one)},
            "category_scores": {"hate": 0.9 if "hate" in str(one) else 0.1},
            "category_applied_input_types": {"hate": ["text"]},
        }
        for one in inputs
    ]
    return {"id": "modr-1", "model": body["model"], "results": results}
