"""The answer of the `demo` provider in the Responses dialect: the user's last text, or a call of the first tool."""

from __future__ import annotations

import time
from typing import Any

from gateway.bodies import Json
from gateway.dialects import openai_demo
from gateway.dialects.responses_items import items
from gateway.dialects.responses_tables import kind


def answer(body: Json) -> Json:
    """A whole response."""
    said = openai_demo.answer(_as_chat(body))
    message, usage = said["choices"][0]["message"], said["usage"]
    output: list[Json] = []
    for call in message.get("tool_calls") or ():
        head = {"id": "fc_demo_1", "type": "function_call", "status": "completed", "call_id": call["id"]}
        output.append({**head, **call["function"]})
    if message["content"]:
        part = {"type": "output_text", "text": message["content"], "annotations": [], "logprobs": []}
        head = {"id": "msg_demo_1", "type": "message", "status": "completed", "role": "assistant"}
        output.append({**head, "content": [part]})
    return {
        "id": "resp_demo",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _as_chat(body: Json) -> Json:
    """The messages and functions of a request, in the shape of a chat."""
    messages: list[Json] = []
    for item in items(body):
        if kind(item).endswith("_output"):
            messages.append({"role": "tool", "content": ""})
        elif "role" in item:
            messages.append({"role": item["role"], "content": _texts(item.get("content"))})
    tools = body.get("tools")
    functions = [
        {"function": tool} for tool in (tools if type(tools) is list else ()) if tool.get("type") == "function"
    ]
    return {"model": body["model"], "messages": messages or [{"role": "user", "content": ""}], "tools": functions}


def _texts(content: Any) -> str:
    if type(content) is not list:
        return content if type(content) is str else ""
    return " ".join(part["text"] for part in content if type(part) is dict and type(part.get("text")) is str)
