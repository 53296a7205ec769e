"""Conversion of chat completions: events to a whole answer, a whole answer to events, errors in either form.

Some servers stream without being asked, or send a whole answer to a request for a stream. Clients get the form that
they requested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from gateway.bodies import Json
from gateway.dialects import items, nulls, ordinal, sse, surrogates
from gateway.dialects.openai_tables import ENVELOPE
from gateway.dialects.toolcalls import ToolCalls

_PIECE = 64 * 1024  # maximum characters of a text in one event


def error(said: Json) -> Json | None:
    """The error object of an answer or an event; None if there is other content."""
    if any(choice.get("finish_reason") != "error" for choice in _choices(said)):
        return None
    found = said if said.get("object") == "error" else said.get("error")
    return found if type(found) is dict else {"message": found} if found else None


def _choices(said: Json) -> list[Json]:
    choices = said.get("choices")
    return [choice for choice in choices if type(choice) is dict] if type(choices) is list else []


def pieces(text: str) -> Sequence[str]:
    """A text in pieces, one for each event."""
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def chunks(raw: bytes) -> Iterator[Json | None]:
    """The chunks of a whole stream; None for its end. Raises ValueError."""
    for data in sse.datas(raw):
        if data == b"[DONE]":
            yield None
            return
        items.check_event(data, "a chunk")
        chunk, _ = surrogates.with_halves(data)
        if chunk is None:
            continue
        if type(chunk) is not dict or chunk.get("error"):
            raise ValueError("it holds an error")
        yield chunk


class _Text(list[str]):
    """The pieces of a running text, joined after the last piece: joining two at a time would copy earlier pieces."""


_LAST_COUNTS: Final = frozenset({"id", "type", "name", "format", "object", "status"})  # said anew, never continued


def assemble(raw: bytes) -> bytes:
    """The whole answer of a stream. Raises ValueError, also for a stream that broke off before its end."""
    answer: Json = {}
    choices: dict[int, Json] = {}
    calls = ToolCalls()
    ended = False
    for chunk in chunks(raw):
        if chunk is None:
            ended = True
            break
        nulls.of_choices(chunk)
        for choice in chunk.get("choices") or ():
            _join(choices, calls, choice)
        answer |= {key: value for key, value in chunk.items() if key != "choices" and value is not None}
    if not choices:
        raise ValueError("it holds no choices")
    if not ended and not all(choice["finish_reason"] for choice in choices.values()):
        raise ValueError("it broke off before its end")
    for choice in choices.values():
        _close(choice["message"])
    for index in calls.choices:
        for call in calls.take(index):
            call.pop("index", None)
            if "function_call" in call:
                choices[index]["message"] |= call
            else:
                choices[index]["message"].setdefault("tool_calls", []).append(call)
    answer.pop("obfuscation", None)
    answer |= {"object": "chat.completion", "choices": [choices[index] for index in sorted(choices)]}
    return orjson.dumps(surrogates.mend(answer))


def _join(choices: dict[int, Json], calls: ToolCalls, piece: Json) -> None:
    """Add a choice of one chunk."""
    index = max(0, ordinal(piece.get("index")) or 0)
    begun: Json = {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
    choice = choices.setdefault(index, begun)
    delta = dict(piece.get("delta") or piece.get("message") or {})
    for call in delta.pop("tool_calls", None) or ():
        calls.add(index, call)
    if delta.get("function_call"):
        calls.add(index, {"function_call": delta.pop("function_call")})
    delta.pop("role", None)
    _take(choice["message"], delta)
    choice["finish_reason"] = piece.get("finish_reason") or choice["finish_reason"]


def _take(message: Json, delta: Json) -> None:
    """Merge a piece: texts and lists continue, also in objects; other values replace earlier values."""
    for key, value in delta.items():
        before = message.get(key)
        if value is None or (value == "" and before is not None):
            message.setdefault(key, value)
        elif type(value) is dict:
            if type(before) is not dict:
                message[key] = before = {}
            _take(before, value)
        elif type(value) is str and key not in _LAST_COUNTS:
            if type(before) is list:  # of parts, as Mistral's reasoning models send
                before.append({"type": "text", "text": value})
            elif type(before) is _Text:
                before.append(value)
            else:
                message[key] = _Text([value])
        elif type(value) is list:
            if type(before) is _Text:
                before = message[key] = [{"type": "text", "text": "".join(before)}]
            if type(before) is list:
                before += value
            else:
                message[key] = list(value)
        else:
            message[key] = value


def _close(message: Json) -> None:
    """Join the pieces of each text."""
    for key, value in message.items():
        if type(value) is _Text:
            message[key] = "".join(value)
        elif type(value) is dict:
            _close(value)


def unfold(answer: Json, cut: Callable[[str], Sequence[str]] = pieces) -> Iterator[bytes]:
    """The stream with the content of a whole answer; `cut` divides texts. Raises ValueError."""
    choices = answer.get("choices")
    if type(choices) is not list or not all(type(choice) is dict for choice in choices):
        raise ValueError("it holds no choices")
    head = {key: value for key, value in answer.items() if key in ENVELOPE} | {"object": "chat.completion.chunk"}
    once = {key: value for key, value in answer.items() if key not in ENVELOPE and key not in ("choices", "usage")}

    def event(choice: Json, delta: Json, reason: Any = None) -> bytes:
        said = {"index": choice.get("index", 0), "delta": delta, "finish_reason": reason}
        data = orjson.dumps({**head, **once, "choices": [said]})
        once.clear()
        return sse.encode(data)

    for choice in choices:
        message = choice.get("message")
        message = dict(message) if type(message) is dict else {}
        text = message.pop("content", None)
        calls = message.get("tool_calls")
        if type(calls) is list:
            message["tool_calls"] = [{"index": at, **call} for at, call in enumerate(calls) if type(call) is dict]
        yield event(choice, message)
        for piece in cut(text) if type(text) is str else [text] if text is not None else []:
            yield event(choice, {"content": piece})
        yield event(choice, {}, choice.get("finish_reason") or "stop")
    if answer.get("usage") is not None:
        yield sse.encode(orjson.dumps({**head, **once, "choices": [], "usage": answer["usage"]}))
    yield sse.encode(b"[DONE]")
