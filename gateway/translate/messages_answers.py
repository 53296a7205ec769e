"""Messages, whole and streamed, to and from the neutral model (Anthropic API reference: messages, streaming)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway.call import Json, Usage
from gateway.dialects import sse
from gateway.dialects.anthropic_answer import tells_input
from gateway.dialects.anthropic_answer import usage as reported
from gateway.translate import words
from gateway.translate.model import (
    Answer,
    Argues,
    Begun,
    Calls,
    Counted,
    Ended,
    Event,
    Said,
    Stop,
    Text,
    Thinks,
    Thought,
    ToolUse,
)
from gateway.translate.words import Context

STOPS: Final[Mapping[str, Stop]] = {
    "end_turn": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "sequence",
    "tool_use": "tools",
    "refusal": "refusal",
    "pause_turn": "pause",
}
WRITTEN: Final[Mapping[Stop, str]] = {
    "end": "end_turn",
    "length": "max_tokens",
    "sequence": "stop_sequence",
    "tools": "tool_use",
    "refusal": "refusal",
    "pause": "pause_turn",
}


def stop_of(reason: Any) -> Stop:
    """Why an answer ended."""
    return STOPS.get(reason, "end") if type(reason) is str else "end"


def _counts(usage: Usage) -> Json:
    """The usage; tokens of the cache are counts of their own."""
    counts = {
        "input_tokens": max(0, usage.input - usage.cached - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    return {**counts, "output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else counts


def read(answer: Json, context: Context) -> Answer:
    """The neutral answer. Raises ValueError, KeyError, TypeError for what is no message."""
    parts: list[Text | Thought | ToolUse] = []
    for block in answer["content"]:
        kind = block["type"]
        if kind == "text":
            parts.append(Text(block["text"]))
        elif kind == "thinking":
            parts.append(Thought(block["thinking"], block.get("signature") or "", context.origin))
        elif kind == "redacted_thinking":
            parts.append(Thought("", block["data"], context.origin, hidden=True))
        elif kind == "tool_use":
            parts.append(ToolUse(block["id"], block["name"], words.dumped(block["input"])))
        else:
            raise ValueError("it has a block of a kind that was not asked for")
    id, model = str(answer.get("id") or ""), str(answer.get("model") or "")
    sequence = answer.get("stop_sequence") or ""
    told = answer.get("usage")
    usage = reported(told) if tells_input(told) else None
    return Answer(id, model, tuple(parts), stop_of(answer["stop_reason"]), usage, sequence)


def write(answer: Answer, context: Context) -> Json:
    """A message."""
    blocks: list[Json] = []
    for part in answer.parts:
        if type(part) is Text:
            blocks.append({"type": "text", "text": part.text})
        elif type(part) is Thought:
            blocks.append(_thought(part))
        elif type(part) is ToolUse:
            if sealed := words.sealed("c", part.origin, part.signature):
                blocks.append({"type": "thinking", "thinking": "", "signature": sealed})
            blocks.append({"type": "tool_use", "id": part.id, "name": part.name, "input": words.exact(part.arguments)})
    return {
        "id": answer.id or f"msg_{context.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": blocks,
        "stop_reason": WRITTEN[answer.stop],
        "stop_sequence": answer.sequence or None,
        "usage": _counts(answer.usage or words.NO_USAGE),
    }


def _thought(part: Thought) -> Json:
    if part.hidden:
        return {"type": "redacted_thinking", "data": words.sealed("h", part.origin, part.signature)}
    return {"type": "thinking", "thinking": part.text, "signature": words.sealed("t", part.origin, part.signature)}


class Reader:
    """Reads a stream of a message."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stop: Ended | None = None
        self._given = ""  # the arguments that a block began with, if no piece follows
        self._told = False  # a usage report contained the input tokens; until then the usage is unknown
        self.ended = False

    def feed(self, event: sse.SSE) -> Iterator[Event]:
        """The neutral events of one event. Raises ValueError, KeyError, TypeError for what belongs to no message."""
        if self.ended or event.data is None:
            return
        data = orjson.loads(event.data)
        kind = data.get("type")
        if kind == "content_block_delta":
            yield from self._delta(data["delta"])
        elif kind == "content_block_start":
            yield from self._start(data["content_block"])
        elif kind == "content_block_stop":
            yield from self._rest()
        elif kind == "message_start":
            message = data["message"]
            yield Begun(str(message.get("id") or ""), str(message.get("model") or ""), self._used(message.get("usage")))
        elif kind == "message_delta":
            delta = data["delta"]
            if delta.get("stop_reason"):
                self._stop = Ended(stop_of(delta["stop_reason"]), delta.get("stop_sequence") or "")
            if (usage := self._used(data.get("usage"))) is not None:
                yield Counted(usage)
        elif kind == "message_stop":
            yield from self.close()
        elif kind == "error" or data.get("error"):
            raise words.Erred("it holds an error")

    def _used(self, said: object) -> Usage | None:
        """A report of the usage; None without one, and before the input tokens are reported."""
        self._told |= tells_input(said)
        return reported(said) if self._told else None

    def _rest(self) -> Iterator[Event]:
        """The arguments that the open block began with."""
        if self._given:
            yield Argues(self._given)
        self._given = ""

    def _start(self, block: Json) -> Iterator[Event]:
        kind, origin = block["type"], self._context.origin
        yield from self._rest()
        if kind == "text":
            if block.get("text"):
                yield Said(block["text"])
        elif kind == "thinking":
            if block.get("thinking") or block.get("signature"):
                yield Thinks(block.get("thinking") or "", block.get("signature") or "", origin)
        elif kind == "redacted_thinking":
            yield Thinks("", block["data"], origin, hidden=True)
        elif kind == "tool_use":
            yield Calls(block["id"], block["name"])
            self._given = words.dumped(block["input"]) if block.get("input") else ""
        else:
            raise ValueError("it has a block of a kind that was not asked for")

    def _delta(self, delta: Json) -> Iterator[Event]:
        kind = delta["type"]
        if kind == "text_delta":
            yield Said(delta["text"])
        elif kind == "input_json_delta":
            if delta["partial_json"]:
                self._given = ""
                yield Argues(delta["partial_json"])
        elif kind == "thinking_delta":
            yield Thinks(delta["thinking"], "", self._context.origin)
        elif kind == "signature_delta":
            yield Thinks("", delta["signature"], self._context.origin)

    def close(self) -> Iterator[Event]:
        """The upstream ended. Raises ValueError if the answer has no end."""
        if self.ended:
            return
        if self._stop is None:
            raise ValueError("it broke off before its end")
        self.ended = True
        yield from self._rest()
        yield self._stop


class Writer:
    """Writes a stream of a message: its blocks follow each other."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._index = -1
        self._open: type[Event] | None = None  # the kind of the open block, as the event that began it
        self._delta = b""  # the beginning of a delta of the open block
        self._usage = words.NO_USAGE

    def write(self, events: Iterator[Event]) -> Iterator[bytes]:
        """The events of neutral events."""
        for event in events:
            if isinstance(event, Said):
                if self._open is not Said:
                    yield from self._begin(Said, {"type": "text", "text": ""})
                yield self._piece("text_delta", "text", event.text)
            elif isinstance(event, Argues):
                yield self._piece("input_json_delta", "partial_json", event.text)
            elif isinstance(event, Thinks):
                yield from self._think(event)
            elif isinstance(event, Calls):
                if sealed := words.sealed("c", event.origin, event.signature):
                    yield from self._begin(Calls, {"type": "thinking", "thinking": "", "signature": ""})
                    yield self._piece("signature_delta", "signature", sealed)
                block = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
                yield from self._begin(Calls, block)
            elif isinstance(event, Begun):
                self._usage = event.usage or self._usage
                yield self._start(event)
            elif isinstance(event, Counted):
                self._usage = event.usage.joined(self._usage)
            elif isinstance(event, Ended):
                yield from self._end(event)

    def _start(self, event: Begun) -> bytes:
        message: Json = {
            "id": event.id or f"msg_{self._context.id}",
            "type": "message",
            "role": "assistant",
            "model": event.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**_counts(self._usage), "output_tokens": 0},
        }
        return _event({"type": "message_start", "message": message})

    def _begin(self, kind: type[Event], block: Json) -> Iterator[bytes]:
        if self._open is not None:
            yield self._stop()
        self._index += 1
        self._open = kind
        self._delta = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"'
            % self._index
        )
        yield _event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _piece(self, kind: str, key: str, text: str) -> bytes:
        return b'%b%b","%b":%b}}\n\n' % (self._delta, kind.encode(), key.encode(), orjson.dumps(text))

    def _think(self, event: Thinks) -> Iterator[bytes]:
        if event.hidden:
            data = words.sealed("h", event.origin, event.signature)
            yield from self._begin(Calls, {"type": "redacted_thinking", "data": data})
            return
        if self._open is not Thinks:
            yield from self._begin(Thinks, {"type": "thinking", "thinking": "", "signature": ""})
        if event.text:
            yield self._piece("thinking_delta", "thinking", event.text)
        if event.signature:
            yield self._piece("signature_delta", "signature", words.sealed("t", event.origin, event.signature))
            self._open = Calls  # a further thought is another block

    def _stop(self) -> bytes:
        return _event({"type": "content_block_stop", "index": self._index})

    def _end(self, event: Ended) -> Iterator[bytes]:
        if self._open is not None:
            yield self._stop()
        delta = {"stop_reason": WRITTEN[event.stop], "stop_sequence": event.sequence or None}
        yield _event({"type": "message_delta", "delta": delta, "usage": _counts(self._usage)})
        yield _event({"type": "message_stop"})


def _event(data: Json) -> bytes:
    return sse.encode(orjson.dumps(data), data["type"].encode())
