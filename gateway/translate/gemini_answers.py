"""Gemini's answers, whole and streamed, to and from the neutral model (Gemini API: GenerateContentResponse)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway.call import Json, Usage
from gateway.dialects import sse
from gateway.dialects.gemini_answer import usage as reported
from gateway.translate import words
from gateway.translate.gemini_requests import bytes64
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

_REFUSALS: Final = words.names(
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT "
    "IMAGE_RECITATION MODEL_ARMOR"
)
_FAULTS: Final = words.names(
    "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL MISSING_THOUGHT_SIGNATURE TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE"
)
WRITTEN: Final[Mapping[Stop, str]] = {
    "end": "STOP",
    "sequence": "STOP",
    "tools": "STOP",
    "length": "MAX_TOKENS",
    "refusal": "SAFETY",
    "pause": "STOP",
}


def stop_of(reason: Any, calls: bool) -> Stop:
    """Why an answer ended. Raises ValueError if the model failed to write a call."""
    if reason in _FAULTS:
        raise ValueError("its model failed to write a call of a tool")
    if reason == "MAX_TOKENS":
        return "length"
    if reason in _REFUSALS:
        return "refusal"
    return "tools" if calls else "end"


def _counts(usage: Usage) -> Json:
    return {
        "promptTokenCount": usage.input,
        "cachedContentTokenCount": usage.cached,
        "candidatesTokenCount": max(0, usage.output - usage.reasoning),
        "thoughtsTokenCount": min(usage.reasoning, usage.output),
        "totalTokenCount": usage.input + usage.output,
    }


class _Parts:
    """Reads parts, whole or in pieces: a signature beside a text is none of a call, and left out."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.calls = 0

    def read(self, part: Json) -> Iterator[Said | Thinks | ToolUse]:
        """What one part says. Raises ValueError for a kind that was not asked for."""
        signature = part.get("thoughtSignature") or ""
        origin = self._context.origin if signature else ""
        if (call := part.get("functionCall")) is not None:
            id = call.get("id") or f"call_{self._context.id}_{self.calls}"
            self.calls += 1
            yield ToolUse(id, call["name"], words.dumped(call.get("args") or {}), signature, origin)
        elif part.get("thought") is True:
            yield Thinks(part.get("text") or "", signature, self._context.origin)
        elif type(part.get("text")) is str:
            if part["text"]:
                yield Said(part["text"])
        elif not part.keys() <= {"thoughtSignature"}:
            raise ValueError("it has a part of a kind that was not asked for")


def read(answer: Json, context: Context) -> Answer:
    """The neutral answer. Raises ValueError, KeyError, TypeError for what is no answer of Gemini."""
    model = str(answer.get("modelVersion") or "")
    id = str(answer.get("responseId") or "")
    if not answer.get("candidates"):
        if not (answer.get("promptFeedback") or {}).get("blockReason"):
            raise ValueError("it has no candidate")
        return Answer(id, model, (), "refusal", reported(answer))
    candidate = answer["candidates"][0]
    reader = _Parts(context)
    parts: list[Text | Thought | ToolUse] = []
    for part in (candidate.get("content") or {}).get("parts") or ():
        for said in reader.read(part):
            last = parts[-1] if parts else None
            if isinstance(said, ToolUse):
                parts.append(said)
            elif isinstance(said, Thinks):
                parts.append(Thought(said.text, said.signature, said.origin))
            elif type(last) is Text:
                parts[-1] = Text(last.text + said.text)
            else:
                parts.append(Text(said.text))
    stop = stop_of(candidate["finishReason"], reader.calls > 0)
    return Answer(id, model, tuple(parts), stop, reported(answer))


def _thought(text: str, origin: str, signature: str, kind: str) -> Json:
    sealed = words.sealed(kind, origin, signature)
    return {"text": text, "thought": True, **({"thoughtSignature": bytes64(sealed)} if sealed else {})}


def _call(id: str, name: str, args: Any, origin: str, signature: str) -> Json:
    sealed = words.sealed("c", origin, signature)
    said: Json = {"functionCall": {"id": id, "name": name, "args": args}}
    return {**said, "thoughtSignature": bytes64(sealed)} if sealed else said


def write(answer: Answer, context: Context) -> Json:
    """An answer of Gemini."""
    parts: list[Json] = []
    for part in answer.parts:
        if type(part) is Text:
            parts.append({"text": part.text})
        elif type(part) is Thought:
            parts.append(_thought(part.text, part.origin, part.signature, "h" if part.hidden else "t"))
        elif type(part) is ToolUse:
            parts.append(_call(part.id, part.name, words.exact(part.arguments), part.origin, part.signature))
    return _whole(parts, WRITTEN[answer.stop], answer.id or context.id, answer.model, answer.usage)


def _whole(parts: list[Json], reason: str | None, id: str, model: str, usage: Usage | None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    said: Json = {"candidates": [candidate]}
    if usage is not None:
        said["usageMetadata"] = _counts(usage)
    return {**said, "modelVersion": model, "responseId": id}


class Reader:
    """Reads a stream of answers."""

    def __init__(self, context: Context) -> None:
        self._parts = _Parts(context)
        self._begun = False
        self._reason: Any = None
        self._blocked = False
        self.ended = False

    def feed(self, event: sse.SSE) -> Iterator[Event]:
        """The neutral events of one event. Raises ValueError, KeyError, TypeError for what is no answer."""
        if self.ended or event.data is None:
            return
        data = orjson.loads(event.data)
        if data.get("error"):
            raise words.Erred("it holds an error")
        if not self._begun:
            self._begun = True
            yield Begun(str(data.get("responseId") or ""), str(data.get("modelVersion") or ""))
        if (data.get("promptFeedback") or {}).get("blockReason"):
            self._blocked = True
        for candidate in data.get("candidates") or ():
            if candidate.get("index"):
                raise ValueError("it has a candidate that was not asked for")
            for part in (candidate.get("content") or {}).get("parts") or ():
                for said in self._parts.read(part):
                    if isinstance(said, ToolUse):
                        yield Calls(said.id, said.name, said.signature, said.origin)
                        yield Argues(said.arguments)
                    else:
                        yield said
            self._reason = candidate.get("finishReason") or self._reason
        if data.get("usageMetadata") and (usage := reported(data)) is not None:
            yield Counted(usage)
            if self._reason is not None or self._blocked:  # the last event; some servers leave the body open
                yield from self.close()

    def close(self) -> Iterator[Event]:
        """The upstream ended, and with it the answer. Raises ValueError if it has no finish reason."""
        if self.ended:
            return
        if self._reason is None and not self._blocked:
            raise ValueError("it broke off before its end")
        self.ended = True
        yield Ended("refusal" if self._blocked else stop_of(self._reason, self._parts.calls > 0))


class Writer:
    """Writes a stream of answers: a call of a tool leaves when its arguments are complete."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._id = self._model = ""
        self._usage: Usage | None = None
        self._call: Calls | None = None
        self._arguments: list[str] = []

    def write(self, events: Iterator[Event]) -> Iterator[bytes]:
        """The events of neutral events."""
        for event in events:
            if isinstance(event, Argues):
                self._arguments.append(event.text)
                continue
            if isinstance(event, Counted):
                self._usage = event.usage.joined(self._usage)
                continue
            if self._call is not None:
                yield self._called(self._call)
            if isinstance(event, Said):
                yield self._event([{"text": event.text}])
            elif isinstance(event, Thinks):
                kind = "h" if event.hidden else "t"
                yield self._event([_thought(event.text, event.origin, event.signature, kind)])
            elif isinstance(event, Calls):
                self._call = event
            elif isinstance(event, Begun):
                self._id, self._model, self._usage = event.id or self._context.id, event.model, event.usage
            else:
                yield self._event([], WRITTEN[event.stop], self._usage or words.NO_USAGE)

    def _called(self, call: Calls) -> bytes:
        self._call, arguments = None, "".join(self._arguments)
        self._arguments.clear()
        return self._event([_call(call.id, call.name, words.exact(arguments), call.origin, call.signature)])

    def _event(self, parts: list[Json], reason: str | None = None, usage: Usage | None = None) -> bytes:
        return sse.encode(orjson.dumps(_whole(parts, reason, self._id, self._model, usage)))
