"""The answers of the `demo` provider: to a chat, the user's last text or a call of the first tool offered; to an
embeddings request, vectors derived from a hash; to a text completion, its prompts; to a moderation, no objection.
"""

from __future__ import annotations

import array
import base64
import hashlib
import math
import sys
import time
from typing import Any, Final

import orjson

from gateway.bodies import Json
from gateway.errors import Refusal

_DIMENSIONS: Final = 256
_MOST_NUMBERS: Final = 1 << 18  # maximum numbers in all vectors of an answer, which are computed on the event loop


def _last_user_text(body: Json) -> str:
    for message in reversed(body["messages"]):
        if message.get("role") == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return ""


def _tool_call(body: Json, text: str) -> Json | None:
    """A call of the first function offered, with every string parameter set to the user's text."""
    tools = [tool["function"] for tool in body.get("tools") or [] if isinstance(tool.get("function"), dict)]
    if not tools or "call" not in text.lower() or body["messages"][-1].get("role") == "tool":
        return None
    fields = (tools[0].get("parameters") or {}).get("properties") or {}
    arguments = {name: text for name, kind in fields.items() if (kind or {}).get("type") == "string"}
    return {
        "id": "call_demo_1",
        "type": "function",
        "function": {"name": tools[0]["name"], "arguments": orjson.dumps(arguments).decode()},
    }


def _usage(body: Json, text: str) -> Json:
    prompt = sum(len(str(message.get("content") or "").split()) for message in body["messages"])
    answer = len(text.split())
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _answer(body: Json) -> tuple[str, Json | None]:
    text = _last_user_text(body)
    call = _tool_call(body, text)
    return ("", call) if call else (f"You said: {text}", None)


def answer(body: Json) -> Json:
    """A whole chat completion."""
    text, call = _answer(body)
    message: Json = {"role": "assistant", "content": text or None}
    if call:
        message["tool_calls"] = [call]
    reason = "tool_calls" if call else "stop"
    choices = [{"index": i, "message": message, "finish_reason": reason} for i in range(body.get("n") or 1)]
    head = {"id": "chatcmpl-demo", "object": "chat.completion", "created": int(time.time()), "model": body["model"]}
    return {**head, "choices": choices, "usage": _usage(body, text)}


def completion(body: Json) -> Json:
    """A whole text completion: each prompt, repeated."""
    said = body.get("prompt") or ""
    prompts = [said] if type(said) is str or type(said[0]) is int else said
    texts = [f"You said: {one if type(one) is str else f'{len(one)} tokens'}" for one in prompts]
    texts = [text for text in texts for _ in range(body.get("n") or 1)]
    choices = [{"index": at, "text": text, "logprobs": None, "finish_reason": "stop"} for at, text in enumerate(texts)]
    prompt, answer = (
        sum(len(one.split()) if type(one) is str else len(one) for one in many) for many in (prompts, texts)
    )
    usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    head = {"id": "cmpl-demo", "object": "text_completion", "created": int(time.time()), "model": body["model"]}
    return {**head, "choices": choices, "usage": usage}


def moderation(body: Json, number: int) -> Json:
    """A moderation that flags nothing; the demo does not read what it moderates."""
    categories = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
    result = {
        "flagged": False,
        "categories": dict.fromkeys(categories, False),
        "category_scores": dict.fromkeys(categories, 0.0),
        "category_applied_input_types": {name: ["text"] for name in categories},
    }
    return {"id": "modr-demo", "model": body.get("model") or "demo", "results": [result] * number}


def embeddings(body: Json) -> Json:
    """A list of embeddings. Equal inputs have equal vectors; distances between other vectors have no meaning.

    Raises Refusal(invalid_request) for too many numbers.
    """
    said, wanted = body["input"], body.get("dimensions") or _DIMENSIONS
    inputs = [said] if type(said) is str or type(said[0]) is int else said
    if len(inputs) * wanted > _MOST_NUMBERS:
        words = f"The demo model makes up to {_MOST_NUMBERS} numbers in one answer. Send fewer inputs or dimensions."
        raise Refusal("invalid_request", words, param="input", stage="upstream")
    data = [
        {"object": "embedding", "index": at, "embedding": _written(_vector(one, wanted), body)}
        for at, one in enumerate(inputs)
    ]
    used = sum(len(one.split()) if type(one) is str else len(one) for one in inputs)
    return {
        "object": "list",
        "data": data,
        "model": body["model"],
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _vector(said: Any, dimensions: int) -> array.array[float]:
    """A vector of length 1 from the numbers of a hash (FIPS 202, SHAKE256)."""
    numbers = array.array("H", hashlib.shake_256(orjson.dumps(said)).digest(2 * dimensions))
    centred = [number - 32767.5 for number in numbers]  # never 0, so that the length is positive
    length = math.hypot(*centred)
    return array.array("f", [number / length for number in centred])


def _written(vector: array.array[float], body: Json) -> str | list[float]:
    """A vector in the requested encoding."""
    if body.get("encoding_format") != "base64":
        return vector.tolist()
    if sys.byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()
