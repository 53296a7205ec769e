"""A model that uses what it is offered, in four dialects: a tool, then its result; or it answers in a given form."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import generating
import responding
import upstream as scripted
from gateway.dialects import Codec
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.gemini import GEMINI_STREAMING
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_responses import OPENAI_RESPONSES

MODEL = "tooling"
"""The model that answers so."""
NUMBER = 3
LEAK = "Leak."
"""To this text, the model says `SECRET`."""
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
USAGE = {"input_tokens": 11, "output_tokens": 7}


def says(seen: scripted.Seen) -> dict[str, Any] | list[bytes] | None:
    """The answer of `Upstream.says`.

    If the last message is a tool's result, the answer is its text; if the tool `send` is offered, a call with the
    user's text; if another tool or a schema is, an object with the user's text and `NUMBER`; else the text.
    """
    if MODEL not in seen.model or seen.path.endswith(("count_tokens", "embeddings")):
        return None
    for dialect in (_Chat, _Messages, _Responses, _Gemini):
        if (made := dialect(seen)).is_meant:
            answer = made.answer()
            return list(made.codec.unfold(answer, _cut)) if made.streams else answer
    return None


def _cut(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]


class _Dialect:
    """One request, and what answers are made of."""

    codec: Codec
    path: str

    def __init__(self, seen: scripted.Seen) -> None:
        self.body = seen.body
        self.is_meant = self.path in seen.path
        self.streams = bool(self.body.get("stream")) or "streamGenerate" in seen.path

    def answer(self) -> dict[str, Any]:
        tools, text = list(self.tools()), self.user()
        if text == LEAK:
            return self.said(f"Take {SECRET} now.")
        form = json.dumps({"who": text, "number": NUMBER})
        other = [name for name in tools if name != "send"]
        if (result := self.result()) is not None and not other:
            return self.said(f"done: {result}")
        if "send" in tools and result is None:
            return self.called("send", {"to": text})
        if other:
            return self.called(other[0], {"who": text, "number": NUMBER})
        return self.said(form if self.wants_form() else text)

    def tools(self) -> Iterator[str]:
        """The names of tools that are offered."""
        raise NotImplementedError

    def user(self) -> str:
        """The last text of the user."""
        raise NotImplementedError

    def result(self) -> str | None:
        """The result of a tool, if the last message is one."""
        raise NotImplementedError

    def wants_form(self) -> bool:
        """Whether the answer is to follow a schema."""
        raise NotImplementedError

    def said(self, text: str) -> dict[str, Any]:
        """An answer with a text."""
        raise NotImplementedError

    def called(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """An answer with a call."""
        raise NotImplementedError


class _Chat(_Dialect):
    codec: Codec = OPENAI_CHAT
    path = "/chat/completions"

    def tools(self) -> Iterator[str]:
        return (tool["function"]["name"] for tool in self.body.get("tools") or ())

    def user(self) -> str:
        return _text([one for one in self.body["messages"] if one["role"] == "user"][-1]["content"])

    def result(self) -> str | None:
        last = self.body["messages"][-1]
        return _text(last["content"]) if last["role"] == "tool" else None

    def wants_form(self) -> bool:
        return "response_format" in self.body

    def _whole(self, reason: str, **message: Any) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason, "logprobs": None}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": self.body["model"]}
        return {**head, "choices": [choice], "usage": scripted.USAGE}

    def said(self, text: str) -> dict[str, Any]:
        return self._whole("stop", content=text)

    def called(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"id": "call_1", "type": "function", "function": function}
        return self._whole("tool_calls", content=None, tool_calls=[call])


class _Messages(_Dialect):
    codec: Codec = ANTHROPIC_MESSAGES
    path = "/messages"

    def tools(self) -> Iterator[str]:
        return (tool["name"] for tool in self.body.get("tools") or ())

    def _blocks(self, kind: str, message: dict[str, Any]) -> list[dict[str, Any]]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        return [block for block in blocks if block["type"] == kind]

    def user(self) -> str:
        said = [one for one in self.body["messages"] if one["role"] == "user" and self._blocks("text", one)]
        return _text(said[-1]["content"])

    def result(self) -> str | None:
        results = self._blocks("tool_result", self.body["messages"][-1])
        return _text(results[0]["content"]) if results else None

    def wants_form(self) -> bool:
        return "format" in (self.body.get("output_config") or {}) or "output_format" in self.body

    def _whole(self, reason: str, block: dict[str, Any]) -> dict[str, Any]:
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": self.body["model"], "content": [block]}
        return {**head, "stop_reason": reason, "stop_sequence": None, "usage": USAGE}

    def said(self, text: str) -> dict[str, Any]:
        return self._whole("end_turn", {"type": "text", "text": text})

    def called(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._whole("tool_use", {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments})


class _Responses(_Dialect):
    codec: Codec = OPENAI_RESPONSES
    path = "/responses"

    def tools(self) -> Iterator[str]:
        return (tool["name"] for tool in self.body.get("tools") or ())

    def user(self) -> str:
        said = self.body["input"]
        if isinstance(said, str):
            return said
        return _text([one for one in said if one.get("role") == "user"][-1]["content"])

    def result(self) -> str | None:
        last = {} if isinstance(self.body["input"], str) else self.body["input"][-1]
        return _text(last["output"]) if last.get("type") == "function_call_output" else None

    def wants_form(self) -> bool:
        asked: dict[str, Any] = self.body.get("text") or {}
        return "json_schema" in str(asked.get("format"))

    def said(self, text: str) -> dict[str, Any]:
        return self._whole(responding.WIRE.message(text))

    def called(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._whole({**responding.WIRE.call(json.dumps(arguments)), "name": name})

    def _whole(self, item: dict[str, Any]) -> dict[str, Any]:
        """A response with an id of its own, by which LangGraph tells messages apart."""
        fields = {"id": f"resp_{secrets.token_hex(8)}", "model": self.body["model"], "usage": responding.USAGE}
        return responding.WIRE.response(item, **fields)


class _Gemini(_Dialect):
    codec: Codec = GEMINI_STREAMING
    path = "enerateContent"

    def _parts(self) -> Iterator[dict[str, Any]]:
        return (part for one in self.body["contents"] if one.get("role", "user") != "model" for part in one["parts"])

    def tools(self) -> Iterator[str]:
        for tool in self.body.get("tools") or ():
            for one in tool.get("functionDeclarations") or tool.get("function_declarations") or ():
                yield one["name"]

    def user(self) -> str:
        return str([part["text"] for part in self._parts() if "text" in part][-1])

    def result(self) -> str | None:
        last: dict[str, Any] = self.body["contents"][-1]["parts"][-1]
        found = last.get("functionResponse") or last.get("function_response")
        return " ".join(map(str, found["response"].values())) if found else None

    def wants_form(self) -> bool:
        asked = self.body.get("generationConfig") or {}
        return any(
            key in asked for key in ("responseSchema", "responseJsonSchema", "response_schema", "response_json_schema")
        )

    def said(self, text: str) -> dict[str, Any]:
        return generating.WIRE.answer({"text": text}, usageMetadata=generating.USAGE)

    def called(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return generating.WIRE.answer({"functionCall": {"name": name, "args": arguments}})


def _text(content: Any) -> str:
    """The text of a message, or of its parts."""
    return content if isinstance(content, str) else " ".join(part["text"] for part in content if "text" in part)
