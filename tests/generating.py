"""The scripted provider's answers in Gemini's dialect, selected by the name of the model."""

from __future__ import annotations

import json
from typing import Any

from formats.wires import Gemini

WIRE = Gemini()
SEAL = "CiQB0e2Kb3x7Yc0mZq" * 6
"""What stands for a signature of thoughts."""
USAGE = {
    "promptTokenCount": 11,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 4,
    "thoughtsTokenCount": 3,
    "totalTokenCount": 18,
}


def last_text(body: dict[str, Any]) -> str:
    """The last text of a request."""
    said = body["contents"][-1]["parts"]
    return " ".join(part.get("text", "") for part in said)


def _parts(body: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """The parts of an answer: the last text, also as a thought and in a tool call if the model's name says so."""
    text = last_text(body)
    thoughts = [{"text": f"They said: {text}", "thought": True}] if "think" in model else []
    seal = {"thoughtSignature": SEAL} if "think" in model else {}
    if "call" in model:
        return [*thoughts, WIRE.call(json.dumps({"to": text}), **seal)]
    return [*thoughts, {"text": text, **seal}]


def whole(body: dict[str, Any], model: str) -> dict[str, Any]:
    """An answer."""
    answer = WIRE.answer(*_parts(body, model), modelVersion=model, usageMetadata=USAGE)
    if "nousage" in model:
        del answer["usageMetadata"]
    return answer


def events(body: dict[str, Any], model: str, size: int = 3) -> list[bytes]:
    """A streamed answer in pieces of `size` characters, with the line ends that Google writes."""
    cut = WIRE.codec.unfold(whole(body, model), lambda text: [text[at : at + size] for at in range(0, len(text), size)])
    return [event.replace(b"\n\n", b"\r\n\r\n") for event in cut]


VECTOR = [0.25, -1.5e-05, 0.0012345678901234567]


def embedded(body: dict[str, Any]) -> dict[str, Any]:
    """The vector of a content, or those of a batch."""
    if "requests" in body:
        return {"embeddings": [{"values": VECTOR} for _ in body["requests"]]}
    return {"embedding": {"values": VECTOR}, "usageMetadata": {"promptTokenCount": 9}}
