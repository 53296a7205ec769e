"""What the `demo` provider answers to a chat: the user's last text, or a call of the first tool that it is offered."""

from __future__ import annotations

import time

import orjson

from gateway.call import Json


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
