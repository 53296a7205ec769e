"""Provider data and client readings for each dialect, for tests that apply to every dialect."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from gateway.dialects import Codec
from gateway.dialects.anthropic_batches import MESSAGE_BATCHES
from gateway.dialects.anthropic_messages import ANTHROPIC_COUNT, ANTHROPIC_MESSAGES
from gateway.dialects.gemini import GEMINI, GEMINI_COUNT, GEMINI_STREAMING
from gateway.dialects.gemini_embeddings import GEMINI_EMBEDDING, GEMINI_EMBEDDINGS
from gateway.dialects.gemini_interactions import GEMINI_INTERACTIONS
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_completions import OPENAI_COMPLETIONS
from gateway.dialects.openai_conversations import CONVERSATIONS
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.dialects.openai_files import BATCHES, FILES
from gateway.dialects.openai_media import IMAGE_EDITS, IMAGE_VARIATIONS, IMAGES, SPEECH, TRANSCRIPTIONS, TRANSLATIONS
from gateway.dialects.openai_moderations import OPENAI_MODERATIONS
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.dialects.openai_stores import CONTAINERS, STORES
from gateway.dialects.responses_counts import RESPONSES_COMPACTION, RESPONSES_COUNT


class Heard(NamedTuple):
    """An answer as a client reads it: text, tool calls (name, arguments), and the finish reason."""

    text: str
    tools: list[tuple[str, Any]]
    reason: str


class Whole(Protocol):
    """One dialect, as seen by providers and clients."""

    name: str
    codec: Codec
    says: bool
    """An answer has a text."""
    model: str
    """The model of every request: `m`, or the path if requests name no model."""
    talks: bool
    """A request holds a conversation; else it is one text, whose author no field names."""

    @property
    def offer(self) -> Mapping[str, Any] | None:
        """The tool `send` as a request offers it in `tools`; None: the dialect has no tools."""
        ...

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request with turns of (role, text); where the dialect does not talk, the text of the last turn."""
        ...

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer; with `tool`, the JSON arguments of a call of `send`. Text and tool are left out where an answer
        of the dialect has neither."""
        ...


class Wire(Whole, Protocol):
    """One dialect with streams, whose answers have a text."""

    blocked: str
    """Why an answer has ended that the gateway blocked."""
    alike: bool
    """Each event has the form of a whole answer."""
    closes: bool
    """The last event of a stream says only that the stream ends; an answer without that event is whole, too."""

    def events(self, texts: Sequence[str], tool: Sequence[str] = ()) -> list[bytes]:
        """A streamed answer: pieces of its text, and of the arguments of a call of `send`."""
        ...

    def hear(self, answer: dict[str, Any]) -> Heard:
        """What a client reads of a whole answer."""
        ...

    def listen(self, data: bytes) -> Heard:
        """What a client reads of a stream."""
        ...


USED = (11, 7)
"""Tokens of input and output that every answer reports. No other number of an answer is one of these."""


def datas(data: bytes) -> list[Any]:
    """The JSON of events."""
    lines = [line for line in data.decode().split("\n") if line.startswith("data: {")]
    return [json.loads(line[6:]) for line in lines]


class Chat:
    """OpenAI chat completions."""

    name = "chat"
    codec: Codec = OPENAI_CHAT
    offer: Mapping[str, Any] | None = MappingProxyType({"type": "function", "function": {"name": "send"}})
    model = "m"
    talks = True
    says = True
    blocked = "content_filter"
    closes = True
    alike = False

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request with turns of (role, text)."""
        return {"model": "m", "messages": [{"role": role, "content": text} for role, text in turns], **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if tool is not None:
            function = {"name": "send", "arguments": tool}
            message["tool_calls"] = [{"id": "call_a", "type": "function", "function": function}]
        usage = {"prompt_tokens": USED[0], "completion_tokens": USED[1]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage, **fields}

    def _event(self, delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
        body = {"id": "c", "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    def events(self, texts: Sequence[str], tool: Sequence[str] = ()) -> list[bytes]:
        """A streamed answer."""
        out = [self._event({"role": "assistant"}), *(self._event({"content": text}) for text in texts)]
        if tool:
            head = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "send", "arguments": ""}}
            out.append(self._event({"tool_calls": [head]}))
            out += [self._event({"tool_calls": [{"index": 0, "function": {"arguments": it}}]}) for it in tool]
        usage = {"prompt_tokens": USED[0], "completion_tokens": USED[1]}
        return [*out, self._event({}, "stop", usage=usage), b"data: [DONE]\n\n"]

    def hear(self, answer: dict[str, Any]) -> Heard:
        """What a client reads of a whole answer."""
        choice = answer["choices"][0]
        calls = [call["function"] for call in choice["message"].get("tool_calls") or ()]
        return Heard(
            choice["message"].get("content") or "",
            [(call["name"], _arguments(call["arguments"])) for call in calls],
            choice["finish_reason"],
        )

    def listen(self, data: bytes) -> Heard:
        """What a client reads of a stream."""
        text, reason, calls = "", "", dict[int, list[str]]()
        for chunk in datas(data):
            for choice in chunk["choices"]:
                text += choice["delta"].get("content") or ""
                reason = choice.get("finish_reason") or reason
                for call in choice["delta"].get("tool_calls") or ():
                    parts = calls.setdefault(call["index"], ["", ""])
                    parts[0] += call["function"].get("name") or ""
                    parts[1] += call["function"].get("arguments") or ""
        return Heard(text, [(name, _arguments(said)) for name, said in calls.values()], reason)


class Messages:
    """Anthropic Messages."""

    name = "messages"
    codec: Codec = ANTHROPIC_MESSAGES
    offer: Mapping[str, Any] | None = MappingProxyType({"name": "send", "input_schema": {}})
    model = "m"
    talks = True
    says = True
    blocked = "refusal"
    closes = True
    alike = False

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request with turns of (role, text), and a separate system message."""
        messages = [{"role": role, "content": text} for role, text in turns if role != "system"]
        system = dict(turn for turn in turns if turn[0] == "system")
        return {"model": "m", "max_tokens": 100, **system, "messages": messages, **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if tool is not None:
            content.append({"type": "tool_use", "id": "toolu_a", "name": "send", "input": json.loads(tool)})
        head = {"id": "msg_a", "type": "message", "role": "assistant", "model": "m", "content": content}
        usage = {"input_tokens": USED[0], "output_tokens": USED[1]}
        return {**head, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage, **fields}

    def event(self, kind: str, **data: Any) -> bytes:
        """One event."""
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()

    def block(self, index: int, block: dict[str, Any], deltas: Sequence[dict[str, Any]]) -> list[bytes]:
        """The events of one block."""
        return [
            self.event("content_block_start", index=index, content_block=block),
            *(self.event("content_block_delta", index=index, delta=delta) for delta in deltas),
            self.event("content_block_stop", index=index),
        ]

    def message(self, blocks: Sequence[bytes], reason: str = "end_turn") -> list[bytes]:
        """The events of a message around those of its blocks."""
        usage = {"input_tokens": USED[0], "output_tokens": 1}
        head = {"id": "msg_a", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
        delta = {"stop_reason": reason, "stop_sequence": None}
        return [
            self.event("message_start", message={**head, "stop_reason": None, "stop_sequence": None}),
            self.event("ping"),
            *blocks,
            self.event("message_delta", delta=delta, usage={"output_tokens": USED[1]}),
            self.event("message_stop"),
        ]

    def events(self, texts: Sequence[str], tool: Sequence[str] = ()) -> list[bytes]:
        """A streamed answer."""
        deltas = [{"type": "text_delta", "text": text} for text in texts]
        blocks = self.block(0, {"type": "text", "text": ""}, deltas)
        if tool:
            use = {"type": "tool_use", "id": "toolu_a", "name": "send", "input": {}}
            blocks += self.block(1, use, [{"type": "input_json_delta", "partial_json": it} for it in tool])
        return self.message(blocks)

    def hear(self, answer: dict[str, Any]) -> Heard:
        """What a client reads of a whole answer."""
        blocks = answer["content"]
        return Heard(
            "".join(block["text"] for block in blocks if block["type"] == "text"),
            [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
            answer["stop_reason"],
        )

    def listen(self, data: bytes) -> Heard:
        """What a client reads of a stream; fails for events in an order that the API does not allow."""
        blocks: dict[int, dict[str, Any]] = {}
        open_, reason = None, ""
        for raw in data.decode().split("\n\n"):
            if "data: {" not in raw:
                continue
            said = json.loads(raw[raw.index("data: {") + 6 :])
            kind = said["type"]
            assert raw.startswith(f"event: {kind}\n"), raw
            if kind == "content_block_start":
                assert open_ is None
                open_ = said["index"]
                blocks[open_] = {**said["content_block"], "said": ""}
            elif kind == "content_block_delta":
                assert open_ == said["index"]
                delta = said["delta"]
                blocks[open_]["said"] += delta.get("text") or delta.get("partial_json") or ""
            elif kind == "content_block_stop":
                assert open_ == said["index"]
                open_ = None
            elif kind == "message_delta":
                assert open_ is None
                reason = said["delta"]["stop_reason"]
        texts = [block["text"] + block["said"] for block in blocks.values() if block["type"] == "text"]
        uses = [block for block in blocks.values() if block["type"] == "tool_use"]
        return Heard("".join(texts), [(use["name"], _arguments(use["said"])) for use in uses], reason)


class Responses:
    """OpenAI Responses."""

    name = "responses"
    codec: Codec = OPENAI_RESPONSES
    offer: Mapping[str, Any] | None = MappingProxyType({"type": "function", "name": "send", "parameters": {}})
    model = "m"
    talks = True
    says = True
    blocked = "content_filter"
    closes = False
    alike = False

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request with turns of (role, text)."""
        return {"model": "m", "input": [{"role": role, "content": text} for role, text in turns], **fields}

    def message(self, text: str, index: int = 0) -> dict[str, Any]:
        """An item with one text."""
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        head = {"id": f"msg_{index}", "type": "message", "status": "completed", "role": "assistant"}
        return {**head, "content": [part]}

    def call(self, arguments: str, kind: str = "function_call", key: str = "arguments") -> dict[str, Any]:
        """An item with a call of `send`."""
        return {"id": "fc_a", "type": kind, "status": "completed", "call_id": "call_a", "name": "send", key: arguments}

    def response(self, *items: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A response with these items."""
        usage = {"input_tokens": USED[0], "output_tokens": USED[1]}
        head = {"id": "resp_a", "object": "response", "created_at": 1, "status": "completed", "error": None}
        more: dict[str, Any] = {
            "incomplete_details": None,
            "instructions": "Be nice.",
            "tools": [],
            "tool_choice": "auto",
        }
        return {**head, **more, "model": "m", "output": [*items], "usage": usage, **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        return self.response(self.message(text), *([self.call(tool)] if tool is not None else ()), **fields)

    def event(self, kind: str, **data: Any) -> bytes:
        """One event, without its number."""
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()

    def numbered(self, events: Sequence[bytes]) -> list[bytes]:
        """The events of a stream with their numbers."""
        old = b'{"type": '
        return [raw.replace(old, b'{"sequence_number": %d, "type": ' % at, 1) for at, raw in enumerate(events)]

    def text_events(self, texts: Sequence[str], index: int = 0, **more: Any) -> list[bytes]:
        """The events of a message."""
        item = self.message("".join(texts), index)
        place = {"output_index": index, "item_id": item["id"], "content_index": 0}
        part = item["content"][0]
        begun = {**item, "status": "in_progress", "content": []}
        return [
            self.event("response.output_item.added", output_index=index, item=begun),
            self.event("response.content_part.added", **place, part={**part, "text": ""}),
            *(self.event("response.output_text.delta", **place, delta=it, logprobs=[], **more) for it in texts),
            self.event("response.output_text.done", **place, text="".join(texts), logprobs=[]),
            self.event("response.content_part.done", **place, part=part),
            self.event("response.output_item.done", output_index=index, item=item),
        ]

    def call_events(
        self, pieces: Sequence[str], index: int = 1, kind: str = "function_call", key: str = "arguments"
    ) -> list[bytes]:
        """The events of a call of `send`."""
        item = self.call("".join(pieces), kind, key)
        place = {"output_index": index, "item_id": item["id"]}
        name = "function_call_arguments" if kind == "function_call" else f"{kind}_{key}"
        return [
            self.event("response.output_item.added", output_index=index, item={**item, key: ""}),
            *(self.event(f"response.{name}.delta", **place, delta=it, obfuscation="aB3") for it in pieces),
            self.event(f"response.{name}.done", **place, **{key: "".join(pieces)}),
            self.event("response.output_item.done", output_index=index, item=item),
        ]

    def stream(self, inner: Sequence[bytes], *items: dict[str, Any], end: str = "completed") -> list[bytes]:
        """The events of a response around those of its items."""
        begun = self.response(status="in_progress", usage=None)
        first = [self.event(f"response.{kind}", response=begun) for kind in ("created", "in_progress")]
        last = self.event(f"response.{end}", response=self.response(*items, status=end))
        return self.numbered([*first, *inner, last])

    def events(self, texts: Sequence[str], tool: Sequence[str] = ()) -> list[bytes]:
        """A streamed answer."""
        items, inner = [self.message("".join(texts))], self.text_events(texts)
        if tool:
            items.append(self.call("".join(tool)))
            inner += self.call_events(tool)
        return self.stream(inner, *items)

    def hear(self, answer: dict[str, Any]) -> Heard:
        """What a client reads of a whole answer."""
        texts, tools = [], []
        for item in answer["output"]:
            if item["type"] == "message":
                texts += [part["text"] for part in item["content"] if part["type"] == "output_text"]
            elif item["type"] == "function_call":
                tools.append((item["name"], _arguments(item["arguments"])))
        details = answer.get("incomplete_details") or {}
        return Heard("".join(texts), tools, details.get("reason") or answer["status"])

    def listen(self, data: bytes) -> Heard:
        """What a client reads of a stream; fails unless the repeats agree and the events are numbered."""
        said: dict[tuple[Any, ...], str] = {}
        done: dict[int, dict[str, Any]] = {}
        begun: dict[int, dict[str, Any]] = {}
        last, answer = -1, None
        for raw in data.decode().split("\n\n"):
            if "data: {" not in raw:
                continue
            event = json.loads(raw[raw.index("data: {") + 6 :])
            kind = event["type"]
            assert raw.startswith(f"event: {kind}\n"), raw
            assert event["sequence_number"] == last + 1, "events are numbered without gaps"
            last = event["sequence_number"]
            name, _, what = kind.removeprefix("response.").rpartition(".")
            place = (name, event.get("output_index"), event.get("content_index"), event.get("summary_index"))
            if what == "delta":
                said[place] = said.get(place, "") + event["delta"]
            elif kind == "response.output_item.added":
                assert event["output_index"] not in begun
                begun[event["output_index"]] = event["item"]
            elif kind == "response.output_item.done":
                done[event["output_index"]] = event["item"]
            elif what == "done" and "part" not in event:
                keys = {"text", "arguments", "refusal", "input", "code"} & event.keys()
                assert {event[key] for key in keys} == {said.get(place, "")}, kind
            elif what == "done":
                key = "refusal" if event["part"]["type"] == "refusal" else "text"
                texts = [text for it, text in said.items() if it[1:] == place[1:]]
                assert event["part"][key] == "".join(texts)
            elif name == "" and kind in ("response.completed", "response.incomplete", "response.failed"):
                answer = event["response"]
        assert answer is not None
        assert answer["output"] == [done[index] for index in sorted(done)]
        heard = self.hear(answer)
        assert heard.text == "".join(text for place, text in said.items() if place[0] == "output_text")
        for index, item in done.items():
            for key in ("name", "id"):
                assert begun[index].get(key) == item.get(key)
        return heard


class ResponsesCounted(Responses):
    """OpenAI's count of input tokens: the request of a response, answered with a number."""

    name = "responses_count"
    codec: Codec = RESPONSES_COUNT
    says = False

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        return {"object": "response.input_tokens", "input_tokens": USED[0], **fields}


class Compaction(Responses):
    """OpenAI's compaction of items: fewer items, with a text that is not an answer."""

    name = "responses_compaction"
    codec: Codec = RESPONSES_COMPACTION
    says = False

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        items = [self.message(text), {"id": "cmp_a", "type": "compaction", "encrypted_content": "gAAAAABo-9_x7Yc0" * 6}]
        usage = {"input_tokens": USED[0], "output_tokens": USED[1]}
        head = {"id": "resp_a", "object": "response.compaction", "created_at": 1}
        return {**head, "output": items, "usage": usage, **fields}


class Conversations(Responses):
    """OpenAI's conversations: items that are stored, and an answer with an id."""

    name = "conversations"
    codec: Codec = CONVERSATIONS
    offer: Mapping[str, Any] | None = None
    model = "/v1/conversations"
    says = False

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request with turns of (role, text)."""
        return {"items": [{"role": role, "content": text} for role, text in turns], **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        return {"id": "conv_a", "object": "conversation", "created_at": 1, "metadata": {}, **fields}


class Gemini:
    """Gemini."""

    name = "gemini"
    codec: Codec = GEMINI_STREAMING
    offer: Mapping[str, Any] | None = MappingProxyType({"functionDeclarations": [{"name": "send"}]})
    model = "m"
    talks = True
    says = True
    blocked = "SAFETY"
    closes = False
    alike = True

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request with turns of (role, text), and a separate system message; it repeats the model of the path."""
        roles = {"assistant": "model"}
        contents = [self.said(text, roles.get(role, role)) for role, text in turns if role != "system"]
        system = [{"systemInstruction": {"parts": [{"text": text}]}} for role, text in turns if role == "system"]
        return {"model": "m", **(system[0] if system else {}), "contents": contents, **fields}

    def said(self, text: str, role: str = "model") -> dict[str, Any]:
        """A message with one text."""
        return {"role": role, "parts": [{"text": text}]}

    def call(self, arguments: str, **more: Any) -> dict[str, Any]:
        """A part with a call of `send`."""
        return {"functionCall": {"name": "send", "args": _arguments(arguments)}, **more}

    def answer(self, *parts: dict[str, Any], reason: str | None = "STOP", **fields: Any) -> dict[str, Any]:
        """An answer, or an event of a stream, with these parts."""
        ends = {"finishReason": reason} if reason else {}
        candidate = {"index": 0, "content": {"parts": [*parts], "role": "model"}, **ends}
        usage = {"promptTokenCount": USED[0], "candidatesTokenCount": USED[1], "totalTokenCount": sum(USED)}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r_a", **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        return self.answer({"text": text}, *([self.call(tool)] if tool is not None else ()), **fields)

    def event(self, *parts: dict[str, Any], reason: str | None = None, **fields: Any) -> bytes:
        """One event."""
        return b"data: " + json.dumps(self.answer(*parts, reason=reason, **fields)).encode() + b"\n\n"

    def events(self, texts: Sequence[str], tool: Sequence[str] = ()) -> list[bytes]:
        """A streamed answer; a tool call arrives complete, as the provider laid it out."""
        out = [self.event({"text": text}) for text in texts]
        if tool:
            said = "".join(tool)
            event = self.event(self.call("0"))
            out.append(event.replace(b'"args": 0', b'"args": ' + _json(said).encode()))
        return [*out, self.event({"text": ""}, reason="STOP")]

    def hear(self, answer: dict[str, Any]) -> Heard:
        """What a client reads of a whole answer."""
        [candidate] = answer["candidates"]
        parts = candidate["content"]["parts"]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        texts = [part["text"] for part in parts if "text" in part and not part.get("thought")]
        return Heard(
            "".join(texts), [(call["name"], call["args"]) for call in calls], candidate.get("finishReason", "")
        )

    def listen(self, data: bytes) -> Heard:
        """What a client reads of a stream."""
        heard = [self.hear(event) for event in datas(data)]
        tools = [tool for one in heard for tool in one.tools]
        return Heard("".join(one.text for one in heard), tools, "".join(one.reason for one in heard))


def _json(said: str) -> str:
    """The text itself if it is JSON, else a JSON string with it."""
    return json.dumps(said) if _arguments(said) == said else said


def _arguments(said: str) -> Any:
    try:
        return json.loads(said)
    except json.JSONDecodeError:
        return said


class Completions:
    """OpenAI text completions."""

    name = "completions"
    codec: Codec = OPENAI_COMPLETIONS
    offer: Mapping[str, Any] | None = None
    model = "m"
    talks = False
    says = True
    blocked = "content_filter"
    closes = True
    alike = True

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request to complete the last turn's text."""
        return {"model": "m", "prompt": turns[-1][1], **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": USED[0], "completion_tokens": USED[1]}
        return {"id": "c", "object": "text_completion", "choices": [choice], "usage": usage, **fields}

    def _event(self, text: str, reason: str | None = None, **more: Any) -> bytes:
        choices = [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}]
        return (
            b"data: "
            + json.dumps({"id": "c", "object": "text_completion", "choices": choices, **more}).encode()
            + b"\n\n"
        )

    def events(self, texts: Sequence[str], tool: Sequence[str] = ()) -> list[bytes]:
        """A streamed answer."""
        usage = {"prompt_tokens": USED[0], "completion_tokens": USED[1]}
        return [*map(self._event, texts), self._event("", "stop", usage=usage), b"data: [DONE]\n\n"]

    def hear(self, answer: dict[str, Any]) -> Heard:
        """What a client reads of a whole answer."""
        choice = answer["choices"][0]
        return Heard(choice["text"], [], choice["finish_reason"])

    def listen(self, data: bytes) -> Heard:
        """What a client reads of a stream."""
        said = [choice for chunk in datas(data) for choice in chunk["choices"]]
        reasons = [choice["finish_reason"] for choice in said if choice.get("finish_reason")]
        return Heard("".join(choice["text"] for choice in said), [], reasons[-1] if reasons else "")


class Embeddings:
    """OpenAI embeddings: one text, and an answer of numbers."""

    name = "embeddings"
    codec: Codec = OPENAI_EMBEDDINGS
    offer: Mapping[str, Any] | None = None
    model = "m"
    talks = False
    says = False

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request for the vector of the last turn's text."""
        return {"model": "m", "input": turns[-1][1], **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        item = {"object": "embedding", "index": 0, "embedding": [0.5, -1.5]}
        return {"object": "list", "data": [item], "model": "m", "usage": {"prompt_tokens": USED[0]}, **fields}


class Moderations:
    """OpenAI moderations: one text, and an answer of verdicts."""

    name = "moderations"
    codec: Codec = OPENAI_MODERATIONS
    offer: Mapping[str, Any] | None = None
    model = "m"
    talks = False
    says = False

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request for a verdict on the last turn's text."""
        return {"model": "m", "input": turns[-1][1], **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        result = {"flagged": True, "categories": {"hate": True}, "category_scores": {"hate": 0.9}}
        return {"id": "modr-a", "model": "m", "results": [result], **fields}


class Count(Messages):
    """Anthropic's count of tokens: the request of a message, answered with a number."""

    name = "count"
    codec: Codec = ANTHROPIC_COUNT
    says = False

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        return {"input_tokens": USED[0], **fields}


class GeminiWhole(Gemini):
    """Gemini, whole: another path than that of a stream."""

    name = "gemini_whole"
    codec: Codec = GEMINI


class GeminiCount(Gemini):
    """Gemini's count of tokens: a request, answered with a number."""

    name = "gemini_count"
    codec: Codec = GEMINI_COUNT
    says = False

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        return {"totalTokens": USED[0], **fields}


class GeminiEmbedded:
    """Gemini's embedding: one text, and an answer of numbers."""

    name = "gemini_embedding"
    codec: Codec = GEMINI_EMBEDDING
    offer: Mapping[str, Any] | None = None
    model = "m"
    talks = False
    says = False

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request for the vector of the last turn's text."""
        return {"model": "m", "content": {"parts": [{"text": turns[-1][1]}]}, **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        return {"embedding": {"values": [0.5, -1.5]}, "usageMetadata": {"promptTokenCount": USED[0]}, **fields}


class GeminiEmbeddedBatch(GeminiEmbedded):
    """The same in a batch."""

    name = "gemini_embeddings"
    codec: Codec = GEMINI_EMBEDDINGS

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request for the vector of the last turn's text."""
        return {"model": "m", "requests": [super().request(*turns)], **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        return {"embeddings": [{"values": [0.5, -1.5]}], "usageMetadata": {"promptTokenCount": USED[0]}, **fields}


class Interactions:
    """Gemini's Interactions."""

    name = "interactions"
    codec: Codec = GEMINI_INTERACTIONS
    offer: Mapping[str, Any] | None = MappingProxyType({"type": "function", "name": "send", "parameters": {}})
    model = "m"
    talks = True
    says = True
    blocked = "failed"
    closes = False
    alike = False

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request with turns of (role, text), and a separate system instruction."""
        kinds = {"assistant": "model_output", "user": "user_input"}
        said = [(kinds[role], text) for role, text in turns if role != "system"]
        steps = [{"type": kind, "content": [{"type": "text", "text": text}]} for kind, text in said]
        system = [{"system_instruction": text} for role, text in turns if role == "system"]
        return {"model": "m", **(system[0] if system else {}), "input": steps, **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        steps: list[dict[str, Any]] = [{"type": "model_output", "content": [{"type": "text", "text": text}]}]
        if tool is not None:
            steps.append({"type": "function_call", "id": "c", "name": "send", "arguments": _arguments(tool)})
        usage = {"total_input_tokens": USED[0], "total_output_tokens": USED[1]}
        return {"id": "v1_a", "status": "completed", "model": "m", "steps": steps, "usage": usage, **fields}

    def event(self, kind: str, **data: Any) -> bytes:
        """One event."""
        return f"event: {kind}\ndata: {json.dumps({'event_type': kind, **data})}\n\n".encode()

    def step(self, index: int, step: dict[str, Any], deltas: Sequence[dict[str, Any]]) -> list[bytes]:
        """The events of one step."""
        return [
            self.event("step.start", index=index, step=step),
            *(self.event("step.delta", index=index, delta=delta) for delta in deltas),
            self.event("step.stop", index=index),
        ]

    def events(self, texts: Sequence[str], tool: Sequence[str] = ()) -> list[bytes]:
        """A streamed answer."""
        steps = self.step(0, {"type": "model_output"}, [{"type": "text", "text": it} for it in texts])
        if tool:
            call = {"type": "function_call", "id": "c", "name": "send", "arguments": {}}
            steps += self.step(1, call, [{"type": "arguments_delta", "arguments": it} for it in tool])
        head = {"id": "v1_a", "model": "m"}
        usage = {"total_input_tokens": USED[0], "total_output_tokens": USED[1]}
        return [
            self.event("interaction.created", interaction={**head, "status": "in_progress"}),
            *steps,
            self.event("interaction.completed", interaction={**head, "status": "completed", "usage": usage}),
        ]

    def hear(self, answer: dict[str, Any]) -> Heard:
        """What a client reads of a whole answer."""
        texts = [one["text"] for step in answer["steps"] for one in step.get("content") or () if one["type"] == "text"]
        calls = [(step["name"], step["arguments"]) for step in answer["steps"] if step["type"] == "function_call"]
        return Heard("".join(texts), calls, answer["status"])

    def listen(self, data: bytes) -> Heard:
        """What a client reads of a stream; fails for events in an order that the API does not allow."""
        texts, calls, said, reason, open_ = [], dict[int, str](), dict[int, list[str]](), "", None
        for event in datas(data):
            kind = event["event_type"]
            if kind == "step.start":
                assert open_ is None
                open_ = event["index"]
                texts += [one["text"] for one in event["step"].get("content") or ()]
                if event["step"]["type"] == "function_call":
                    calls[open_] = event["step"]["name"]
            elif kind == "step.delta":
                assert open_ == event["index"]
                texts += [event["delta"]["text"]] if event["delta"]["type"] == "text" else []
                said.setdefault(open_, []).append(event["delta"].get("arguments") or "")
            elif kind == "step.stop":
                assert open_ == event["index"]
                open_ = None
            elif kind == "interaction.completed":
                reason = event["interaction"]["status"]
        return Heard("".join(texts), [(name, _arguments("".join(said[at]))) for at, name in calls.items()], reason)


class Through:
    """A path that is passed through. `asked`: the request for a text; `said`: an answer, if it is JSON."""

    offer: Mapping[str, Any] | None = None
    talks = False
    says = False

    def __init__(self, codec: Codec, model: str, asked: Callable[[str], dict[str, Any]], **said: Any) -> None:
        self.name, self.codec, self.model = codec.name, codec, model
        self._asked, self._said = asked, said

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A request with the last turn's text."""
        return {**({"model": "m"} if self.model == "m" else {}), **self._asked(turns[-1][1]), **fields}

    def whole(self, text: str, tool: str | None = None, **fields: Any) -> dict[str, Any]:
        """An answer."""
        return {**self._said, **fields}


class ThroughBatches(Through):
    """Message batches, whose model stands in each request."""

    def request(self, *turns: tuple[str, str], **fields: Any) -> dict[str, Any]:
        """A batch of one request."""
        return {**self._asked(turns[-1][1]), **fields}


def _messages(text: str) -> dict[str, Any]:
    params = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    return {"requests": [{"custom_id": "a", "params": params}]}


_FILE: dict[str, Any] = {"filename": "", "type": "", "text": ""}
THROUGH: list[Whole] = [
    Through(IMAGES, "m", lambda text: {"prompt": text}, created=1, data=[{"url": "https://x.example/a.png"}]),
    Through(IMAGE_EDITS, "m", lambda text: {"image": _FILE, "prompt": text}, created=1, data=[]),
    Through(IMAGE_VARIATIONS, "m", lambda text: {"image": _FILE, "user": text}, created=1, data=[]),
    Through(SPEECH, "m", lambda text: {"input": text, "voice": "alloy"}, text="ok"),
    Through(TRANSCRIPTIONS, "m", lambda text: {"file": _FILE, "prompt": text}, text="ok"),
    Through(TRANSLATIONS, "m", lambda text: {"file": _FILE, "prompt": text}, text="ok"),
    Through(FILES, "/v1/files", lambda text: {"purpose": "user_data", "file": {**_FILE, "text": text}}, id="file-a"),
    Through(
        BATCHES, "/v1/batches", lambda text: {"input_file_id": "file_a", "metadata": {"topic": text}}, id="batch_a"
    ),
    Through(STORES, "/v1/vector_stores", lambda text: {"name": text}, id="vs_a"),
    Through(CONTAINERS, "/v1/containers", lambda text: {"name": text}, id="cntr_a"),
    ThroughBatches(MESSAGE_BATCHES, "m", _messages, id="msgbatch_a", processing_status="in_progress"),
]
WIRES: list[Wire] = [Chat(), Messages(), Responses(), Gemini(), Completions(), Interactions()]
WHOLES: list[Whole] = [
    *WIRES,
    GeminiWhole(),
    ResponsesCounted(),
    Compaction(),
    Conversations(),
    Embeddings(),
    Moderations(),
    Count(),
    GeminiCount(),
    GeminiEmbedded(),
    GeminiEmbeddedBatch(),
    *THROUGH,
]
WITH_TOOLS: list[Wire] = [wire for wire in WIRES if wire.offer is not None]
