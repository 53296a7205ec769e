"""The `demo` provider: a model that answers in-process, so that the gateway can be tried with no key and no network.

It repeats what it received, streams word by word, and calls the first tool it is offered when asked to ("call").
Whatever it repeats is what a real provider would have seen: masked and redacted values show as their placeholders
until the gateway restores those it may restore.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import orjson

from gateway.call import Json
from gateway.dialects import sse

_WORDS = re.compile(r"\s*\S+|\s+$")


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


def _head(body: Json, kind: str) -> Json:
    return {"id": "chatcmpl-demo", "object": kind, "created": int(time.time()), "model": body["model"]}


def whole(body: Json) -> bytes:
    """A whole chat completion."""
    text, call = _answer(body)
    message: Json = {"role": "assistant", "content": text or None}
    if call:
        message["tool_calls"] = [call]
    reason = "tool_calls" if call else "stop"
    choices = [{"index": i, "message": message, "finish_reason": reason} for i in range(body.get("n") or 1)]
    return orjson.dumps({**_head(body, "chat.completion"), "choices": choices, "usage": _usage(body, text)})


def streamed(body: Json) -> Iterator[bytes]:
    """The same answer as server-sent events, a word each."""
    text, call = _answer(body)
    head = _head(body, "chat.completion.chunk")
    answers = range(body.get("n") or 1)

    def event(delta: Json, reason: str | None = None) -> bytes:
        choices = [{"index": i, "delta": delta, "finish_reason": reason} for i in answers]
        return sse.encode(orjson.dumps({**head, "choices": choices}))

    yield event({"role": "assistant", "content": ""})
    if call:
        yield event({"tool_calls": [{"index": 0, **call}]})
    for word in _WORDS.findall(text):
        yield event({"content": word})
    yield event({}, "tool_calls" if call else "stop")
    if (body.get("stream_options") or {}).get("include_usage"):
        yield sse.encode(orjson.dumps({**head, "choices": [], "usage": _usage(body, text)}))
    yield sse.encode(b"[DONE]")
