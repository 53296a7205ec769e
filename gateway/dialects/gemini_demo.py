"""The answer of the `demo` provider in Gemini's dialect: the user's last text, or a call of the first function."""

from __future__ import annotations

from typing import Any

from gateway.bodies import Json
from gateway.dialects import gemini_tools
from gateway.dialects.gemini_tables import each_part, field


def _text(message: Any) -> str:
    return " ".join(part["text"] for part in each_part(message) if type(part.get("text")) is str)


def answer(body: Json) -> Json:
    """A whole answer."""
    said = [message for message in body["contents"] if message.get("role") in ("user", None)]
    text = _text(said[-1]) if said else ""
    call = _call(body, text)
    part = {"functionCall": call} if call else {"text": f"You said: {text}"}
    prompt, made = sum(len(_text(message).split()) for message in body["contents"]), len(text.split())
    return {
        "candidates": [{"content": {"parts": [part], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": prompt,
            "candidatesTokenCount": made,
            "totalTokenCount": prompt + made,
        },
        "modelVersion": "demo",
        "responseId": "demo",
    }


def _call(body: Json, text: str) -> Json | None:
    """A call of the first function, with every string parameter set to the user's text."""
    functions = gemini_tools.declared(body)
    if not functions or "call" not in text.lower():
        return None
    schema = field(functions[0], "parametersJsonSchema") or functions[0].get("parameters")
    fields = (schema.get("properties") or {}) if type(schema) is dict else {}
    fields = fields if type(fields) is dict else {}
    kinds = {name: kind.get("type") for name, kind in fields.items() if type(kind) is dict}
    given = {name: text for name, kind in kinds.items() if kind in ("string", "STRING")}
    return {"name": functions[0]["name"], "args": given}
