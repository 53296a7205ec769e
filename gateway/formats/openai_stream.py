"""The reader of streamed chat completions.

A stream is `data:` events of JSON chunks, ended by `data: [DONE]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from gateway.call import Json
from gateway.formats import Channel, Chunk, Delta, integer, sse, tree
from gateway.formats.frame import Frame
from gateway.formats.openai_answer import echoes, usage
from gateway.formats.openai_tables import ANSWER, CHOICE, CHUNK, ENVELOPE, MAX_CHOICES, TEXTS

_CHOICES = frozenset({"choices"})  # what of a chunk, of its choices, is not judged as it is
_DELTA = frozenset({"delta", "logprobs"})
_LOGPROBS = frozenset({"logprobs"})


class OpenAIChatStream:
    """Reads the events of one answer. `envelope` is what every chunk of it repeats (id, model, created)."""

    __slots__ = ("_frame", "_head", "_reader", "ended", "finished", "keep_usage", "open")

    def __init__(self, keep_usage: bool) -> None:
        self._reader = sse.Reader()
        self._frame: Frame | None = None
        self.keep_usage = keep_usage
        self._head: Json | None = None  # the first chunk, from which the envelope is taken
        self.open: dict[int, bool] = {}  # choice -> still open
        self.finished = False  # every choice said why it ended
        self.ended = False  # [DONE] came

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Chunks that are complete now. Raises ValueError on what is not a chat stream, after the chunks before it."""
        data = self._reader.take(data)
        at = 0
        while at < len(data):
            run = self._frame and self._frame.take(data, at)
            if run:
                chunk, at = run
            else:
                event, at = self._reader.next(data, at)
                if event is None:
                    return
                chunk = self._chunk(event)
            yield chunk

    @property
    def envelope(self) -> Json:
        """What every chunk repeats, as it was judged."""
        if self._head is None:
            return {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        return {key: value for key, value in self._head.items() if key in ENVELOPE}

    def distrust(self) -> None:
        """Read every event in full again: something that its kind repeats was changed."""
        self._frame = None

    def faithful(self, chunk: Chunk) -> bool:
        """Whether the bytes of a chunk that was parsed say what was read of them, and nothing else.

        A key that stands twice, a line that is no data: a client might read what nobody judged.
        """
        raw = chunk.raw
        if b"\r" in raw:
            raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        one_line = raw.startswith(b"data:") and raw.find(b"\n") == len(raw) - 2
        return one_line and chunk.data is not None and tree.says_once(raw.removeprefix(b"data:"), chunk.data)

    def close(self) -> None:
        """Raise ValueError if the upstream went away before the answer was whole."""
        if not self.ended and not self.finished:
            raise ValueError("the stream broke off before its end")

    def _chunk(self, event: sse.SSE) -> Chunk:
        chunk = Chunk(event.raw)
        if event.data is None:
            return chunk
        if event.data.strip() == b"[DONE]":
            chunk.done = self.ended = True
            return chunk
        try:
            data = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            raise ValueError("a chunk is not JSON") from None
        if type(data) is not dict:
            raise ValueError("a chunk is not an object")
        chunk.data = data
        if data.get("error") is not None:
            chunk.error = True
            return chunk
        self._read(chunk, data)
        return chunk

    def _read(self, chunk: Chunk, data: Json) -> None:
        choices = data.get("choices")
        if type(choices) is not list:
            raise ValueError("a chunk holds no choices")
        for choice in choices:
            self._choice(chunk, choice)
        if choices and self._head is None:
            self._head = data
        chunk.judge_whole(data, _CHOICES, ANSWER)
        if len(choices) == 1 and len(chunk.texts) == 1 and _is_plain(data, choices[0]) and self.faithful(chunk):
            channel, holder, key = chunk.texts[0]
            self._frame = Frame.learn(chunk.raw, holder[key], channel)
        if data.get("usage") is not None:
            chunk.usage = usage(data)
            if not self.keep_usage:
                del data["usage"]
                chunk.edited = True

    def _choice(self, chunk: Chunk, choice: Any) -> None:
        if type(choice) is not dict:
            raise ValueError("a choice is not an object")
        index, delta = integer(choice.get("index")), choice.get("delta")
        self.open.setdefault(index, True)
        if len(self.open) > MAX_CHOICES:
            raise ValueError(f"more than {MAX_CHOICES} choices")
        if choice.get("logprobs") is not None and not echoes(choice):
            choice["logprobs"] = None
            chunk.edited = True
        chunk.judge_whole(choice, _DELTA if type(delta) is dict else _LOGPROBS, ANSWER)
        if type(delta) is dict:
            running = self._texts(chunk, index, delta)
            calls = delta.get("tool_calls")
            if type(calls) is list:
                chunk.calls.extend((index, call) for call in calls if type(call) is dict)
                del delta["tool_calls"]
                chunk.edited = True
            if type(delta.get("function_call")) is dict:
                chunk.calls.append((index, {"index": -1, "function": delta.pop("function_call")}))
                chunk.edited = True
            chunk.judge_whole(delta, running, ANSWER)
        if choice.get("finish_reason") is not None:
            chunk.ends += (index,)
            self.open[index] = False
            self.finished = not any(self.open.values())

    def _texts(self, chunk: Chunk, index: int, delta: Json) -> frozenset[str]:
        """Take in the pieces of running texts; returns the fields that they are in."""
        running = []
        for field in TEXTS:
            value = delta.get(field)
            if type(value) is str:
                running.append(field)
                if value:
                    chunk.texts.append(Delta((index, field), delta, field))
            elif type(value) is list and all(type(part) is dict for part in value):
                for part in value:  # some servers stream parts, as in a request
                    own = frozenset({"text"}) if type(part.get("text")) is str else frozenset()
                    if own and part["text"]:
                        chunk.texts.append(Delta((index, field), part, "text"))
                    chunk.judge_whole(part, own, ANSWER)
                running.append(field)
        return frozenset(running)

    def encode(self, chunk: Chunk) -> bytes:
        """The chunk's bytes: as they came if nothing was edited, none if nothing is left to say."""
        if not chunk.edited:
            return chunk.raw
        if chunk.frame is not None:
            return chunk.frame.encode(chunk.texts[0].holder[chunk.texts[0].key], chunk.sizes)
        data = chunk.data
        if data is None:
            return b""
        says_more = data.get("usage") is not None or not data.keys() <= CHUNK
        if not says_more and not any(_speaks(choice) for choice in data["choices"]):
            return b""
        return sse.encode(orjson.dumps(data))

    def text(self, channel: Channel, text: str) -> bytes:
        """A chunk that carries `text`."""
        return self._event(channel[0], {channel[1]: text})

    def tool_calls(self, choice: int, calls: list[Json]) -> bytes:
        """A chunk that carries whole tool calls (or the older single `function_call`)."""
        if calls[0].get("index") == -1:
            return self._event(choice, {"function_call": calls[0]["function"]})
        return self._event(choice, {"tool_calls": calls})

    def _event(self, choice: int, delta: Json) -> bytes:
        body = {**self.envelope, "choices": [{"index": choice, "delta": delta, "finish_reason": None}]}
        return sse.encode(orjson.dumps(body))


def _is_plain(data: Json, choice: Json) -> bool:
    """Whether a chunk of one choice says nothing but its text."""
    delta = choice["delta"]
    return (
        len(delta) == 1
        and choice.keys() <= CHOICE
        and choice.get("finish_reason") is None
        and choice.get("logprobs") is None
        and data.get("usage") is None
    )


def _speaks(choice: Json) -> bool:
    """Whether a choice of a chunk still says anything: a reason, a role, a text, a field that we do not know."""
    if choice.get("finish_reason") is not None or choice.get("logprobs") is not None or not choice.keys() <= CHOICE:
        return True
    delta = choice.get("delta")
    return type(delta) is not dict or any(value not in ("", None) for value in delta.values())
