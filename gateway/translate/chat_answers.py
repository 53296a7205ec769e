"""Chat completions, whole and streamed, to and from the neutral model (OpenAI API reference: chat/object)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway.call import Json, Usage
from gateway.dialects import ordinal, sse
from gateway.dialects.openai_answer import usage as reported
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
    "stop": "end",
    "length": "length",
    "tool_calls": "tools",
    "function_call": "tools",
    "content_filter": "refusal",
}
WRITTEN: Final[Mapping[Stop, str]] = {
    "end": "stop",
    "sequence": "stop",
    "length": "length",
    "tools": "tool_calls",
    "refusal": "content_filter",
    "pause": "stop",
}


def stop_of(reason: Any, calls: bool) -> Stop:
    """Why an answer ended. Some servers say `stop` of an answer that calls tools."""
    found = STOPS.get(reason, "end") if type(reason) is str else "end"
    return "tools" if calls and found == "end" else found


def _counts(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": usage.audio_input},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio},
    }


def _signature(call: Json) -> str:
    extra = call.get("extra_content")
    google = extra.get("google") if type(extra) is dict else None
    said = google.get("thought_signature") if type(google) is dict else None
    return said if type(said) is str else ""


def _thought(said: Json) -> str:
    found = said.get("reasoning_content") or said.get("reasoning")
    return found if type(found) is str else ""


def _text(value: Any) -> str:
    """The text of a content that is a string, or a list of parts."""
    if type(value) is list:
        return "".join([part.get("text") or "" for part in value if type(part) is dict])
    return value if type(value) is str else ""


def read(answer: Json, context: Context) -> Answer:
    """The neutral answer. Raises ValueError, KeyError, TypeError for what is no chat completion."""
    choice = answer["choices"][0]
    message = choice["message"]
    parts: list[Text | Thought | ToolUse] = []
    if thought := _thought(message):
        parts.append(Thought(thought, "", context.origin))
    if text := _text(message.get("content")) or _text(message.get("refusal")):
        parts.append(Text(text))
    for at, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        id = call.get("id") or f"call_{context.id}_{at}"
        signature = _signature(call)
        arguments = function.get("arguments") or ""
        arguments = arguments if type(arguments) is str else words.dumped(arguments)
        parts.append(ToolUse(id, function["name"], arguments, signature, context.origin if signature else ""))
    stop = stop_of(choice.get("finish_reason"), bool(message.get("tool_calls")))
    if message.get("refusal"):
        stop = "refusal"
    return Answer(str(answer.get("id") or ""), str(answer.get("model") or ""), tuple(parts), stop, reported(answer))


def write(answer: Answer, context: Context) -> Json:
    """A chat completion."""
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    texts = [part.text for part in answer.parts if type(part) is Text]
    if texts or not any(type(part) is ToolUse for part in answer.parts):
        message["content"] = "".join(texts)
    if thoughts := [part.text for part in answer.parts if type(part) is Thought and part.text]:
        message["reasoning_content"] = "".join(thoughts)
    if calls := [part for part in answer.parts if type(part) is ToolUse]:
        message["tool_calls"] = [_called(part) for part in calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": WRITTEN[answer.stop]}
    id = answer.id or f"chatcmpl-{context.id}"
    said: Json = {"id": id, "object": "chat.completion", "created": context.created, "model": answer.model}
    said["choices"] = [choice]
    if answer.usage is not None:
        said["usage"] = _counts(answer.usage)
    return said


def _called(use: ToolUse) -> Json:
    call: Json = {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments or "{}"}}
    if sealed := words.sealed("c", use.origin, use.signature):
        call["extra_content"] = {"google": {"thought_signature": sealed}}
    return call


class Reader:
    """Reads a stream of chat completion chunks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._begun = False
        self._open: int | None = None  # the call whose arguments arrive
        self._closed: set[int] = set()
        self._reason: str | None = None
        self._refused = False
        self.ended = False

    def feed(self, event: sse.SSE) -> Iterator[Event]:
        """The neutral events of one event. Raises ValueError, KeyError, TypeError for what is no chunk."""
        if self.ended or event.data is None:
            return
        if event.data.strip() == b"[DONE]":
            yield from self.close()
            return
        data = orjson.loads(event.data)
        if data.get("error"):
            raise words.Erred("it holds an error")
        if not self._begun:
            self._begun = True
            yield Begun(str(data.get("id") or ""), str(data.get("model") or ""))
        for choice in data.get("choices") or ():
            if ordinal(choice.get("index") or 0) != 0:
                raise ValueError("it has a choice that was not asked for")
            yield from self._delta(choice.get("delta") or {})
            if reason := choice.get("finish_reason"):
                self._reason = reason
        if data.get("usage") and (usage := reported(data)) is not None:
            yield Counted(usage)

    def _delta(self, delta: Json) -> Iterator[Event]:
        if thought := _thought(delta):
            yield Thinks(thought, "", self._context.origin)
        if text := delta.get("content"):
            yield Said(_text(text))
        if refusal := delta.get("refusal"):
            self._refused = True
            yield Said(_text(refusal))
        for at, call in enumerate(delta.get("tool_calls") or ()):
            index = ordinal(call.get("index"))
            index = at if index is None else index
            function = call.get("function") or {}
            if index != self._open:
                if index in self._closed:
                    raise ValueError("it goes on with a tool call after the next has begun")
                self._open = index
                self._closed.add(index)
                signature = _signature(call)
                id = call.get("id") or f"call_{self._context.id}_{index}"
                yield Calls(id, function["name"], signature, self._context.origin if signature else "")
            if arguments := function.get("arguments"):
                yield Argues(arguments if type(arguments) is str else words.dumped(arguments))

    def close(self) -> Iterator[Event]:
        """The upstream ended. Raises ValueError if the answer has no end."""
        if self.ended:
            return
        if self._reason is None:
            raise ValueError("it broke off before its end")
        self.ended = True
        yield Ended("refusal" if self._refused else stop_of(self._reason, bool(self._closed)))


class Writer:
    """Writes a stream of chat completion chunks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._head = b""
        self._calls = 0
        self._usage: Usage | None = None

    def write(self, events: Iterator[Event]) -> Iterator[bytes]:
        """The events of neutral events."""
        for event in events:
            if isinstance(event, Said):
                yield self._delta({"content": event.text})
            elif isinstance(event, Argues):
                call = {"index": self._calls - 1, "function": {"arguments": event.text}}
                yield self._delta({"tool_calls": [call]})
            elif isinstance(event, Thinks):
                if event.text:
                    yield self._delta({"reasoning_content": event.text})
            elif isinstance(event, Calls):
                function = {"name": event.name, "arguments": ""}
                call = {"index": self._calls, "id": event.id, "type": "function", "function": function}
                if sealed := words.sealed("c", event.origin, event.signature):
                    call["extra_content"] = {"google": {"thought_signature": sealed}}
                self._calls += 1
                yield self._delta({"tool_calls": [call]})
            elif isinstance(event, Begun):
                yield from self._begin(event)
            elif isinstance(event, Counted):
                self._usage = event.usage.joined(self._usage)
            elif isinstance(event, Ended):
                yield from self._end(event)

    def _begin(self, event: Begun) -> Iterator[bytes]:
        head = {
            "id": event.id or f"chatcmpl-{self._context.id}",
            "object": "chat.completion.chunk",
            "created": self._context.created,
            "model": event.model,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1] + b',"choices":['
        self._usage = event.usage
        yield self._delta({"role": "assistant", "content": ""})

    def _delta(self, delta: Json) -> bytes:
        return b'%b{"index":0,"delta":%b,"finish_reason":null}]}\n\n' % (self._head, orjson.dumps(delta))

    def _end(self, event: Ended) -> Iterator[bytes]:
        reason = WRITTEN[event.stop].encode()
        yield b'%b{"index":0,"delta":{},"finish_reason":"%b"}]}\n\n' % (self._head, reason)
        if self._usage is not None:
            yield b'%b],"usage":%b}\n\n' % (self._head, orjson.dumps(_counts(self._usage)))
        yield b"data: [DONE]\n\n"
