"""Conversion of responses: events to a whole response, and a whole response or an item to events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from gateway.bodies import Json
from gateway.dialects import items, ordinal, sse, surrogates
from gateway.dialects.openai_forms import pieces
from gateway.dialects.responses_tables import CALLING, kind

ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""Types of the events that end an answer. Each holds the whole response."""
_Cut = Callable[[str], Sequence[str]]
# The key of the text of a part, and the name of its events, by the type of the part.
_PARTS: Final = {
    "output_text": ("text", "output_text"),
    "refusal": ("refusal", "refusal"),
    "reasoning_text": ("text", "reasoning_text"),
}


def encode(data: Json) -> bytes:
    """A server-sent event whose name is its type, as clients expect."""
    said = kind(data)
    return sse.encode(orjson.dumps(data), said.encode())


def assemble(raw: bytes) -> bytes:
    """The whole response of a stream. Raises ValueError, also for a stream that broke off before its end."""
    done: dict[int, Any] = {}
    for event in sse.datas(raw):
        if event == b"[DONE]":
            break
        items.check_event(event, "an event")
        data, _ = surrogates.with_halves(event)
        if data is None:
            continue
        if type(data) is not dict or kind(data) == "error" or data.get("error"):
            raise ValueError("it holds an error")
        if kind(data) == "response.output_item.done":
            done[ordinal(data.get("output_index")) or 0] = data.get("item")
        if kind(data) in ENDS:
            response = dict(data["response"])
            if not response.get("output"):  # some servers leave the items out
                response["output"] = [done[index] for index in sorted(done)]
            return orjson.dumps(surrogates.mend(response))
    raise ValueError("it broke off before its end")


def unfold(response: Json, cut: _Cut = pieces) -> Iterator[bytes]:
    """The stream with the content of a whole response. Raises ValueError."""
    output = response.get("output")
    if type(output) is not list or not all(type(item) is dict for item in output):
        raise ValueError("it holds no output")
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "error": None}
    begun["incomplete_details"] = None
    events: list[Json] = [{"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")]
    for index, item in enumerate(output):
        events += of_item(index, item, cut)
    status = response.get("status")
    end = f"response.{status if status in ('incomplete', 'failed') else 'completed'}"
    yield from numbered([*events, {"type": end, "response": response}])


def numbered(events: Sequence[Json], first: int = 0) -> Iterator[bytes]:
    """The events with their numbers, from `first` on."""
    for number, event in enumerate(events, first):
        yield encode({**event, "sequence_number": number})


def of_item(index: int, item: Json, cut: _Cut = pieces) -> Iterator[Json]:
    """The events of a complete item."""
    said, begun = kind(item), dict(item)
    place: Json = {"output_index": index, "item_id": item.get("id")}
    inner: list[Json] = []
    if said in CALLING and type(item.get(CALLING[said][0])) is str:
        key, name = CALLING[said]
        begun[key] = ""
        inner = list(_text(place, name, key, item[key], cut))
    elif said in ("message", "reasoning"):
        if type(item.get("content")) is list:
            begun["content"] = []
            for at, part in enumerate(item["content"]):
                inner += _part({**place, "content_index": at}, "content_part", part, cut)
        if type(item.get("summary")) is list:
            begun["summary"] = []
            for at, part in enumerate(item["summary"]):
                inner += _part({**place, "summary_index": at}, "reasoning_summary_part", part, cut)
    if "status" in item:
        begun["status"] = "in_progress"
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    yield from inner
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part(place: Json, name: str, part: Any, cut: _Cut) -> Iterator[Json]:
    """The events of one part."""
    said = kind(part) if type(part) is dict else ""
    key, text = ("text", "reasoning_summary_text") if said == "summary_text" else _PARTS.get(said, ("", ""))
    begun, inner = part, list[Json]()
    if key and type(part.get(key)) is str:
        begun = {**part, key: ""}
        inner = list(_text(place, text, key, part[key], cut))
    yield {"type": f"response.{name}.added", **place, "part": begun}
    yield from inner
    yield {"type": f"response.{name}.done", **place, "part": part}


def _text(place: Json, name: str, key: str, text: str, cut: _Cut) -> Iterator[Json]:
    """The pieces of a text, and the whole."""
    more: Json = {"logprobs": []} if name == "output_text" else {}
    for piece in cut(text) if text else ():
        yield {"type": f"response.{name}.delta", **place, "delta": piece, **more}
    yield {"type": f"response.{name}.done", **place, key: text, **more}
