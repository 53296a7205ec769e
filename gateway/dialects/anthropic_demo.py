"""The answer of the `demo` provider to a Messages request: the user's last text, or a call of the first tool."""

from __future__ import annotations

from typing import Any

from gateway.bodies import Json


def text_of(content: Any) -> str:
    """The text of a message, without other blocks."""
    if type(content) is str:
        return content
    blocks = content if type(content) is list else ()
    return " ".join(block.get("text", "") for block in blocks if type(block) is dict and block.get("type") == "text")


def answer(body: Json) -> Json:
    """A whole message."""
    said = [message for message in body["messages"] if message.get("role") == "user"]
    text = text_of(said[-1].get("content")) if said else ""
    use = _tool_use(body, text)
    content = [use] if use else [{"type": "text", "text": f"You said: {text}"}]
    words = sum(len(text_of(message.get("content")).split()) for message in body["messages"])
    return {
        "id": "msg_demo",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": "tool_use" if use else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": words, "output_tokens": len(text.split())},
    }


def _tool_use(body: Json, text: str) -> Json | None:
    """A call of the first tool offered, with every string parameter set to the user's text."""
    tools = [tool for tool in body.get("tools") or () if type(tool) is dict and "input_schema" in tool]
    if not tools or "call" not in text.lower():
        return None
    schema = tools[0]["input_schema"]
    fields = (schema.get("properties") or {}) if type(schema) is dict else {}
    given = {name: text for name, kind in fields.items() if type(kind) is dict and kind.get("type") == "string"}
    return {"type": "tool_use", "id": "toolu_demo_1", "name": tools[0]["name"], "input": given}
