"""Conversion of messages: events to a whole message, and a whole message to events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from gateway.bodies import Json
from gateway.dialects import items, ordinal, sse, surrogates
from gateway.dialects.anthropic_tables import kind as kind_of
from gateway.dialects.openai_forms import pieces

_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def encode(data: Json) -> bytes:
    """A server-sent event whose name is its type, as clients expect."""
    kind = data.get("type")
    return sse.encode(orjson.dumps(data), kind.encode() if type(kind) is str else b"")


def use_events(data: Json) -> bytes:
    """The events of a complete tool call."""
    index, block = data.get("index"), data["content_block"]
    arguments = block["input"] if type(block["input"]) is str else orjson.dumps(block["input"]).decode()
    delta = {"type": "input_json_delta", "partial_json": arguments}
    return b"".join(
        map(
            encode,
            (
                {**data, "content_block": {**block, "input": {}}},
                {"type": "content_block_delta", "index": index, "delta": delta},
                {"type": "content_block_stop", "index": index},
            ),
        )
    )


def assemble(raw: bytes) -> bytes:
    """The whole message of a stream. Raises ValueError, also for a stream that broke off before its end."""
    message: Json = {}
    blocks: dict[int, Json] = {}
    texts: dict[tuple[int, str], list[str]] = {}  # by block and field; joined once at the end
    ended = False
    for event in sse.datas(raw):
        items.check_event(event, "an event")
        data, _ = surrogates.with_halves(event)
        if data is None:
            continue
        kind = data.get("type") if type(data) is dict else None
        if kind == "error" or type(data) is not dict:
            raise ValueError("it holds an error")
        if kind == "message_start":
            message = dict(data["message"])
        elif kind == "content_block_start":
            blocks[ordinal(data.get("index")) or 0] = data["content_block"]
        elif kind == "content_block_delta":
            _join(ordinal(data.get("index")) or 0, data["delta"], blocks, texts)
        elif kind == "message_delta":
            message |= data["delta"]
            message["usage"] = {**(message.get("usage") or {}), **_reported(data.get("usage"))}
        elif kind == "message_stop":
            ended = True
            break
    if not message:
        raise ValueError("it holds no message")
    if not ended and message.get("stop_reason") is None:
        raise ValueError("it broke off before its end")
    for (index, field), parts in texts.items():
        said = surrogates.mend("".join(parts))
        blocks[index][field] = surrogates.loads(said.encode() or b"{}")[0] if field == "input" else said
    message["content"] = [*(message.get("content") or ()), *(blocks[index] for index in sorted(blocks))]
    return orjson.dumps(surrogates.mend(message))


def _reported(usage: Any) -> Json:
    return {key: value for key, value in usage.items() if value is not None} if type(usage) is dict else {}


def _join(index: int, delta: Json, blocks: dict[int, Json], texts: dict[tuple[int, str], list[str]]) -> None:
    """Add a delta to its block. Raises ValueError if the block has not begun."""
    block = blocks.get(index)
    if block is None:
        raise ValueError("it goes on with a block that has not begun")
    kind = kind_of(delta)
    if kind == "input_json_delta":
        texts.setdefault((index, "input"), []).append(delta["partial_json"])
    elif kind == "citations_delta":
        if type(block.get("citations")) is not list:
            block["citations"] = []
        block["citations"].append(delta["citation"])
    elif kind in _TEXTS:
        field = _TEXTS[kind]
        texts.setdefault((index, field), [block.get(field) or ""]).append(delta[field])
    else:
        raise ValueError("it holds a delta of a kind that cannot be put together")


def unfold(message: Json, cut: Callable[[str], Sequence[str]] = pieces) -> Iterator[bytes]:
    """The stream with the content of a whole message. Raises ValueError."""
    content = message.get("content")
    if type(content) is not list or not all(type(block) is dict for block in content):
        raise ValueError("it holds no content")
    ends = {key: message.get(key) for key in ("stop_reason", "stop_sequence", "stop_details") if key in message}
    usage = message.get("usage")
    usage = usage if type(usage) is dict else {}
    begun: Json = {**message, "content": [], "usage": {**usage, "output_tokens": 0}, **dict.fromkeys(ends)}
    yield encode({"type": "message_start", "message": begun})
    for index, block in enumerate(content):
        yield from _block(index, block, cut)
    yield encode({"type": "message_delta", "delta": ends, "usage": {"output_tokens": 0, **usage}})
    yield encode({"type": "message_stop"})


def _block(index: int, block: Json, cut: Callable[[str], Sequence[str]]) -> Iterator[bytes]:
    """The events of one block."""
    begun, deltas = dict(block), list[Json]()
    for kind, field in _TEXTS.items():
        text = block.get(field)
        if type(text) is str and text and f"{block.get('type')}_delta" in (kind, "thinking_delta"):
            begun[field] = ""
            split = cut(text) if field != "signature" else [text]
            deltas += [{"type": kind, field: piece} for piece in split]
    if "input" in block:
        begun["input"] = {}
        deltas.append({"type": "input_json_delta", "partial_json": orjson.dumps(block["input"]).decode()})
    yield encode({"type": "content_block_start", "index": index, "content_block": begun})
    for delta in deltas:
        yield encode({"type": "content_block_delta", "index": index, "delta": delta})
    yield encode({"type": "content_block_stop", "index": index})
