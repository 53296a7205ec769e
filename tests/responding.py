"""The scripted provider's answers in the Responses dialect, selected by the name of the model."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

from formats.wires import Responses

WIRE = Responses()
SEAL = "gAAAAABo-9_x7Yc0" * 6
"""What stands for encrypted reasoning."""
USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 18,
}


ANSWERS: dict[str, dict[str, Any]] = {}
"""The responses that models called `keep` store, by id."""


def about(method: str, path: str) -> dict[str, Any] | None:
    """What the provider answers about a stored response; None if the response is not there."""
    id, _, below = path.partition("?")[0].rpartition("/responses/")[2].partition("/")
    if id not in ANSWERS:
        return None
    if method == "DELETE":
        del ANSWERS[id]
        return {"id": id, "object": "response", "deleted": True}
    if below == "input_items":
        text = ANSWERS[id]["output"][0]["content"][0]["text"].rpartition(" + ")[2]
        content = [{"type": "input_text", "text": text}]
        item = {"id": "msg_1", "type": "message", "role": "user", "content": content}
        return {"object": "list", "data": [item], "first_id": "msg_1", "last_id": "msg_1", "has_more": False}
    return {**ANSWERS[id], "status": "cancelled"} if below == "cancel" else ANSWERS[id]


def last_text(body: dict[str, Any]) -> str:
    """The last text of a request."""
    said = body["input"]
    if isinstance(said, str):
        return said
    item = said[-1]
    content = item.get("content", item.get("output"))
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def reasoning(text: str, index: int = 0) -> dict[str, Any]:
    """An item with a summary and encrypted reasoning."""
    return {
        "id": f"rs_{index}",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text}],
        "encrypted_content": SEAL,
    }


def reasoning_events(item: dict[str, Any], pieces: Sequence[str]) -> list[bytes]:
    """The events of such an item."""
    place = {"output_index": 0, "item_id": item["id"], "summary_index": 0}
    part = item["summary"][0]
    name = "response.reasoning_summary"
    return [
        WIRE.event("response.output_item.added", output_index=0, item={**item, "summary": []}),
        WIRE.event(f"{name}_part.added", **place, part={**part, "text": ""}),
        *(WIRE.event(f"{name}_text.delta", **place, delta=piece, obfuscation="Qx7") for piece in pieces),
        WIRE.event(f"{name}_text.done", **place, text=part["text"]),
        WIRE.event(f"{name}_part.done", **place, part=part),
        WIRE.event("response.output_item.done", output_index=0, item=item),
    ]


def events(body: dict[str, Any], size: int = 3) -> list[bytes]:
    """A streamed answer in pieces of `size` characters: what `whole` says."""
    text, model = last_text(body), body["model"]
    items: list[dict[str, Any]] = []
    inner: list[bytes] = []
    if "think" in model:
        said = f"They said: {text}"
        items.append(reasoning(said))
        inner += reasoning_events(items[0], [said[at : at + size] for at in range(0, len(said), size)])
    if "call" in model:
        arguments = json.dumps({"to": text})
        items.append(WIRE.call(arguments))
        pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
        inner += WIRE.call_events(pieces, len(items) - 1)
    else:
        items.append(WIRE.message(text, len(items)))
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        inner += WIRE.text_events(pieces, len(items) - 1, obfuscation="aB3dE")
    begun = WIRE.response(status="in_progress", usage=None, model=model, instructions=body.get("instructions"))
    first = [WIRE.event(f"response.{kind}", response=begun) for kind in ("created", "in_progress")]
    return WIRE.numbered([*first, *inner, WIRE.event("response.completed", response=_response(body, items))])


def _response(body: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    usage = None if "nousage" in body["model"] else USAGE
    return WIRE.response(*items, model=body["model"], instructions=body.get("instructions"), usage=usage)


def kept(past: dict[str, list[str]], body: dict[str, Any]) -> dict[str, Any] | list[bytes] | None:
    """An answer that says all texts of the conversation, and is kept in `past` (texts by id) unless `store` is false.

    None: the conversation that it continues is not there.
    """
    before = body.get("previous_response_id")
    if before is not None and before not in past:
        return None
    texts = [*past.get(before or "", ()), last_text(body)]
    id = f"resp_{secrets.token_hex(24)}"
    said = {**body, "input": " + ".join(texts)}
    if body.get("store") is not False:
        past[id] = texts
        ANSWERS[id] = {**whole(said), "id": id}
    named = json.dumps(id).encode()
    if body.get("stream"):
        return [event.replace(b'"resp_a"', named) for event in events(said)]
    return {**whole(said), "id": id, "previous_response_id": before}


def whole(body: dict[str, Any]) -> dict[str, Any]:
    """An answer: the last text, also in reasoning and a tool call if the model's name says so."""
    text, model = last_text(body), body["model"]
    items = [reasoning(f"They said: {text}")] if "think" in model else []
    call = WIRE.call(json.dumps({"to": text}))
    return _response(body, [*items, call if "call" in model else WIRE.message(text, len(items))])
