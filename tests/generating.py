"""The scripted provider's answers in Gemini's dialect, selected by the name of the model."""

from __future__ import annotations

import json
import secrets
from typing import Any

from formats.wires import Gemini, Interactions

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


INTERACTIONS: dict[str, dict[str, Any]] = {}
"""The interactions that are stored, by id."""
RUNNING: set[str] = set()
"""The ids of those that are made in the background, and not complete."""


def interaction(method: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """What the provider answers about interactions; None if there is none."""
    id, _, below = path.partition("?")[0].partition("/interactions")[2].strip("/").partition("/")
    if id:
        if id not in INTERACTIONS:
            return None
        if method == "DELETE":
            del INTERACTIONS[id]
            return {}
        found = INTERACTIONS[id]
        return _running(found, "cancelled" if below else "in_progress") if id in RUNNING else found
    before = body.get("previous_interaction_id")
    if before and before not in INTERACTIONS:
        return None
    said = body["input"]
    text = said if isinstance(said, str) else said[-1].get("text") or said[-1]["content"][-1]["text"]
    if before:
        text = f"{INTERACTIONS[before]['steps'][0]['content'][0]['text']} + {text}"
    id = f"v1_{secrets.token_hex(12)}"
    usage = {"total_input_tokens": 11, "total_output_tokens": 5, "total_thought_tokens": 2, "total_tokens": 18}
    steps = [{"type": "model_output", "content": [{"type": "text", "text": text}]}]
    made = {"id": id, "status": "completed", "model": body["model"], "steps": steps, "usage": usage}
    if body.get("store") is not False:
        INTERACTIONS[id] = made
    if body.get("background"):
        RUNNING.add(id)
        return _running(made, "in_progress")
    return made


def _running(made: dict[str, Any], status: str) -> dict[str, Any]:
    return {"id": made["id"], "status": status, "model": made["model"]}


def interaction_events(said: dict[str, Any], size: int = 3) -> list[bytes]:
    """A streamed interaction in pieces of `size` characters."""
    text = said["steps"][0]["content"][0]["text"]
    raw = Interactions().events([text[at : at + size] for at in range(0, len(text), size)])
    usage = json.dumps(said["usage"]).encode()
    old = json.dumps({"total_input_tokens": 11, "total_output_tokens": 7}).encode()
    return [event.replace(b'"v1_a"', json.dumps(said["id"]).encode()).replace(old, usage) for event in raw]
