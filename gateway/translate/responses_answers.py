"""Responses, whole and streamed, from the neutral model (OpenAI API reference: responses/object)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.call import Json, Usage
from gateway.dialects import responses_forms
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
)
from gateway.translate.words import Context

_REASONS: Final = {"length": "max_output_tokens", "refusal": "content_filter"}


def _counts(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _response(context: Context, model: str, output: list[Json], stop: Stop | None, usage: Usage | None) -> Json:
    """A response. Nothing is stored. `stop`: None while it is written."""
    reason = _REASONS.get(stop or "")
    return {
        "id": f"resp_{context.id}",
        "object": "response",
        "created_at": context.created,
        "status": "in_progress" if stop is None else "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "store": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": _counts(usage) if usage is not None and stop is not None else None,
    }


def _message(id: str, text: str, status: str = "completed") -> Json:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"id": id, "type": "message", "status": status, "role": "assistant", "content": content}


def _reasoning(id: str, text: str, sealed: str) -> Json:
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"id": id, "type": "reasoning", "summary": summary, **({"encrypted_content": sealed} if sealed else {})}


def _call(id: str, call_id: str, name: str, arguments: str, status: str = "completed") -> Json:
    call = {"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name}
    return {**call, "arguments": arguments}


def write(answer: Answer, context: Context) -> Json:
    """A response."""
    output: list[Json] = []
    for part in answer.parts:
        id = f"{context.id}{len(output)}"
        if isinstance(part, Text):
            output.append(_message(f"msg_{id}", part.text))
        elif isinstance(part, Thought):
            sealed = words.sealed("h" if part.hidden else "t", part.origin, part.signature)
            output.append(_reasoning(f"rs_{id}", part.text, sealed))
        else:
            if sealed := words.sealed("c", part.origin, part.signature):
                output.append(_reasoning(f"rs_{id}", "", sealed))
            id = f"fc_{context.id}{len(output)}"
            output.append(_call(id, part.id, part.name, part.arguments or "{}"))
    return _response(context, answer.model, output, answer.stop, answer.usage or words.NO_USAGE)


class _Open:
    """The item that is being written. `part`: its key in a message, "" for a call."""

    __slots__ = ("call", "id", "index", "kind", "place", "sealed", "texts")

    def __init__(self, kind: type[Event], id: str, index: int, call: Calls | None = None) -> None:
        self.kind = kind
        self.id = id
        self.index = index
        self.call = call
        self.texts: list[str] = []
        self.sealed = ""
        self.place: Json = {"item_id": id, "output_index": index}


class Writer:
    """Writes a stream of a response: its items follow each other."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._number = 0
        self._model = ""
        self._output: list[Json] = []
        self._open: _Open | None = None
        self._usage: Usage | None = None

    def write(self, events: Iterator[Event]) -> Iterator[bytes]:
        """The events of neutral events."""
        for event in events:
            for said in self._events(event):
                yield responses_forms.encode({**said, "sequence_number": self._number})
                self._number += 1

    def _events(self, event: Event) -> Iterator[Json]:
        if isinstance(event, Said):
            item = yield from self._item(Said, "msg_")
            item.texts.append(event.text)
            yield {"type": "response.output_text.delta", **item.place, "delta": event.text, "logprobs": []}
        elif isinstance(event, Argues):
            item = self._open
            assert item is not None, "arguments follow their call"
            item.texts.append(event.text)
            yield {"type": "response.function_call_arguments.delta", **item.place, "delta": event.text}
        elif isinstance(event, Thinks):
            yield from self._think(event)
        elif isinstance(event, Calls):
            yield from self._close()
            if sealed := words.sealed("c", event.origin, event.signature):
                yield from self._whole(_reasoning(f"rs_{self._context.id}{len(self._output)}", "", sealed))
            item = self._begin(Calls, "fc_", event)
            begun = _call(item.id, event.id, event.name, "", "in_progress")
            yield {"type": "response.output_item.added", "output_index": item.index, "item": begun}
        elif isinstance(event, Begun):
            self._model, self._usage = event.model, event.usage
            for name in ("created", "in_progress"):
                response = _response(self._context, self._model, [], None, None)
                yield {"type": f"response.{name}", "response": response}
        elif isinstance(event, Counted):
            self._usage = event.usage.joined(self._usage)
        else:
            yield from self._end(event)

    def _think(self, event: Thinks) -> Iterator[Json]:
        if event.hidden:
            yield from self._close()
            sealed = words.sealed("h", event.origin, event.signature)
            yield from self._whole(_reasoning(f"rs_{self._context.id}{len(self._output)}", "", sealed))
            return
        item = yield from self._item(Thinks, "rs_")
        if event.text:
            if not item.texts:
                part = {"type": "summary_text", "text": ""}
                yield {"type": "response.reasoning_summary_part.added", **item.place, "part": part}
            item.texts.append(event.text)
            yield {"type": "response.reasoning_summary_text.delta", **item.place, "delta": event.text}
        if event.signature:
            item.sealed = words.sealed("t", event.origin, event.signature)
            yield from self._close()

    def _begin(self, kind: type[Event], prefix: str, call: Calls | None = None) -> _Open:
        index = len(self._output)
        self._open = item = _Open(kind, f"{prefix}{self._context.id}{index}", index, call)
        return item

    def _item(self, kind: type[Event], prefix: str) -> Any:
        """The open item of a kind; a new one begins if there is none."""
        if self._open is not None and self._open.kind is kind:
            return self._open
        yield from self._close()
        item = self._begin(kind, prefix)
        message = {**_message(item.id, "", "in_progress"), "content": []}
        begun = message if kind is Said else _reasoning(item.id, "", "")
        yield {"type": "response.output_item.added", "output_index": item.index, "item": begun}
        item.place = {**item.place, "content_index" if kind is Said else "summary_index": 0}
        if kind is Said:
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield {"type": "response.content_part.added", **item.place, "part": part}
        return item

    def _whole(self, item: Json) -> Iterator[Json]:
        """An item without pieces."""
        yield from responses_forms.of_item(len(self._output), item)
        self._output.append(item)

    def _close(self) -> Iterator[Json]:
        """The events that end the open item."""
        item, self._open = self._open, None
        if item is None:
            return
        text = "".join(item.texts)
        if item.kind is Said:
            done = _message(item.id, text)
            yield {"type": "response.output_text.done", **item.place, "text": text, "logprobs": []}
            yield {"type": "response.content_part.done", **item.place, "part": done["content"][0]}
        elif item.call is not None:
            text = text or "{}"
            done = _call(item.id, item.call.id, item.call.name, text)
            yield {
                "type": "response.function_call_arguments.done",
                **item.place,
                "name": item.call.name,
                "arguments": text,
            }
        else:
            done = _reasoning(item.id, text, item.sealed)
            if text:
                yield {"type": "response.reasoning_summary_text.done", **item.place, "text": text}
                yield {"type": "response.reasoning_summary_part.done", **item.place, "part": done["summary"][0]}
        yield {"type": "response.output_item.done", "output_index": item.index, "item": done}
        self._output.append(done)

    def _end(self, event: Ended) -> Iterator[Json]:
        yield from self._close()
        usage = self._usage or words.NO_USAGE
        response = _response(self._context, self._model, self._output, event.stop, usage)
        yield {"type": f"response.{response['status']}", "response": response}
