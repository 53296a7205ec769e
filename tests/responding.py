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
PENDING: set[str] = set()
"""The ids of responses in the background that are not complete."""
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {}
"""The items of conversations, by id."""


def pending(answer: dict[str, Any]) -> dict[str, Any]:
    """A response that is being made in the background."""
    return {**answer, "status": "queued", "output": [], "usage": None}


def conversation(method: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """What the provider answers about conversations; None if there is no such conversation."""
    id, _, below = path.partition("?")[0].partition("/conversations")[2].strip("/").partition("/")
    if not id:
        id = f"conv_{secrets.token_hex(12)}"
        CONVERSATIONS[id] = [_item(one) for one in body.get("items") or ()]
    if id not in CONVERSATIONS:
        return None
    head = {"id": id, "object": "conversation", "created_at": 1, "metadata": body.get("metadata") or {}}
    if not below:
        if method == "DELETE":
            del CONVERSATIONS[id]
            return {"id": id, "object": "conversation.deleted", "deleted": True}
        return head
    items = CONVERSATIONS[id]
    if "/" in below:
        found = next((item for item in items if item["id"] == below.partition("/")[2]), None)
        if method == "DELETE" and found:
            items.remove(found)
            return head
        return found
    if method == "POST":
        items += (added := [_item(one) for one in body["items"]])
        return {"object": "list", "data": added, "has_more": False}
    return {"object": "list", "data": items, "has_more": False}


def _item(said: dict[str, Any]) -> dict[str, Any]:
    content = said["content"]
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    return {**said, "id": f"msg_{secrets.token_hex(12)}", "type": "message", "content": parts}


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
    if below == "cancel":
        return {**(pending(ANSWERS[id]) if id in PENDING else ANSWERS[id]), "status": "cancelled"}
    return pending(ANSWERS[id]) if id in PENDING else ANSWERS[id]


def last_text(body: dict[str, Any]) -> str:
    """The last text of a request."""
    said = body["input"]
    if isinstance(said, str):
        return said
    item = [one for one in said if one.get("type") != "item_reference"][-1]
    content = item.get("content", item.get("output"))
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content or ())


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
    within = body.get("conversation")
    within = within["id"] if isinstance(within, dict) else within
    if within is not None and within not in CONVERSATIONS:
        return None
    texts = [*past.get(before or "", ()), last_text(body)]
    if within is not None:
        CONVERSATIONS[within].append(_item({"role": "user", "content": last_text(body)}))
        texts = [item["content"][0]["text"] for item in CONVERSATIONS[within]]
    id = f"resp_{secrets.token_hex(24)}"
    said = {**body, "input": " + ".join(texts)}
    if body.get("store") is not False:
        past[id] = texts
        ANSWERS[id] = {**_own(whole(said)), "id": id}
    if body.get("background"):
        PENDING.add(id)
        return pending(ANSWERS[id])
    named = json.dumps(id).encode()
    if body.get("stream"):
        return [event.replace(b'"resp_a"', named) for event in events(said)]
    return {**ANSWERS.get(id, whole(said)), "id": id, "previous_response_id": before}


def _own(answer: dict[str, Any]) -> dict[str, Any]:
    """A response whose items have ids of their own."""
    return {**answer, "output": [{**item, "id": f"{item['id']}_{secrets.token_hex(8)}"} for item in answer["output"]]}


def whole(body: dict[str, Any]) -> dict[str, Any]:
    """An answer: the last text, also in reasoning and a tool call if the model's name says so."""
    text, model = last_text(body), body["model"]
    items = [reasoning(f"They said: {text}")] if "think" in model else []
    call = WIRE.call(json.dumps({"to": text}))
    return _response(body, [*items, call if "call" in model else WIRE.message(text, len(items))])


def counted(body: dict[str, Any], path: str) -> dict[str, Any]:
    """The count of input tokens, or the compaction of items."""
    if path.endswith("input_tokens"):
        return {"object": "response.input_tokens", "input_tokens": 42}
    items = [{"id": "cmp_1", "type": "compaction", "encrypted_content": SEAL}, WIRE.message(last_text(body))]
    return {"id": "resp_c", "object": "response.compaction", "created_at": 1, "output": items, "usage": USAGE}
