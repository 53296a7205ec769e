"""Anthropic Messages, whole and streamed, and the counting of their tokens (Anthropic API reference: messages).

Rules: `system` is a field next to the messages; a message is a text or a list of blocks; tools are called by blocks
of type `tool_use` and answered by `tool_result` blocks of the user. Blocks that a provider signed (`thinking`) or
encrypted are judged and never edited: the provider refuses them after any change.
Unclear cases: blocks of unknown types are text throughout; `usage` of a stream is cumulative, and the last one counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.bodies import Json, Step, Usage
from gateway.dialects import (
    NO_VALUES,
    Intent,
    anthropic_answer,
    anthropic_demo,
    anthropic_forms,
    checks,
    count,
    hosted,
    nulls,
    openai_ceilings,
    openai_models,
    openai_tools,
    states,
    tree,
)
from gateway.dialects.anthropic_fields import BODY
from gateway.dialects.anthropic_steps import steps
from gateway.dialects.anthropic_stream import AnthropicStream
from gateway.dialects.anthropic_tables import ANSWER, CALL, SHAPE, VERSION, WORDS, calls_a_tool
from gateway.dialects.base import TRACEPARENT, Plain, Ungenerated
from gateway.dialects.cited import made_by_messages
from gateway.dialects.fields import Run, gather
from gateway.dialects.openai_forms import pieces
from gateway.dialects.openai_strays import fields, in_blocks
from gateway.dialects.parts import Joined, joined
from gateway.errors import Refusal
from gateway.texts import Slot

_MESSAGE: Final = 4  # tokens around a message: an estimate
_ANSWER: Final = 3
_CEILING: Final = frozenset({"max_tokens"})
_KNOWN: Final = frozenset({"content", "usage"})  # fields of an answer without stray tool calls
# The name of a beta and its date, such as context-1m-2025-08-07 or claude-code-20250219. At most four digits precede
# the date: enough for a version, and too few for personal data.
_BETA: Final = (
    rb"(?=[a-z]{2,24}(?:-[a-z0-9]{1,24}){0,7}-20)(?:[a-z-]*[0-9]){0,4}[a-z-]*"
    rb"-20[0-9]{2}(?:-[01][0-9]-[0-3][0-9]|[01][0-9][0-3][0-9])"
)
_PASSES: Final[Mapping[bytes, re.Pattern[bytes]]] = {
    b"anthropic-version": re.compile(rb"20[0-9]{2}-[01][0-9]-[0-3][0-9]"),
    b"anthropic-beta": re.compile(rb"%s(?: ?, ?%s){0,31}" % (_BETA, _BETA)),
    b"traceparent": TRACEPARENT,
}


def _blocks(content: list[Any]) -> int:
    """The number of blocks in a list, including blocks in blocks at any depth."""
    count, waiting = 0, [content]
    while waiting:
        blocks = waiting.pop()
        count += len(blocks)
        waiting += [it["content"] for it in blocks if type(it) is dict and type(it.get("content")) is list]
    return count


class AnthropicMessages(Plain):
    """The codec of `/v1/messages`."""

    name = "anthropic_messages"
    noun = "a message"
    formats = frozenset({"anthropic", "demo"})
    path = "/v1/messages"
    shape = SHAPE
    history = "messages"
    fields = BODY
    answer = ANSWER
    passes = _PASSES
    main = frozenset({"text", "content[]"})
    words = WORDS
    needs_ceiling = True
    cites: tuple[bytes, ...] = (b"container", b"file_id")
    marker = b"container"

    def makes(self, answer: Json) -> Sequence[tuple[str, str]]:
        """The container of the answer, and the files that code wrote there."""
        return made_by_messages(answer)

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """Model, stream, tools and output limit. Raises Refusal(invalid_request), which names the parameter."""
        model = checks.model(body)
        for message in checks.messages(body):
            content = message.get("content")
            if type(content) is not str and (type(content) is not list or not all(type(it) is dict for it in content)):
                raise checks.wrong("messages", "must have a content that is a string or a list of blocks")
        system = body.get("system")
        if system is not None and type(system) is not str and type(system) is not list:
            raise checks.wrong("system", "must be a string or a list of blocks")
        stream = checks.stream(body)
        openai_models.check(body)
        states.check(body)
        return Intent(model, self._streams(stream), self.tools(body), self._ceiling(body))

    def _streams(self, stream: bool) -> bool:
        return stream

    def _ceiling(self, body: Json) -> int | None:
        most = body.get("max_tokens")
        if most is None and not self.needs_ceiling:
            return None
        if type(most) is not int or not 0 <= most <= checks.MAX_CEILING:
            raise checks.wrong("max_tokens", f"must be an integer from 0 to {checks.MAX_CEILING}")
        if openai_ceilings.is_endless(body, _CEILING):
            return None
        return max(most, self.elsewhere(body)) * self.answers(body)

    def answers(self, body: Json) -> int:
        """One; a server that knows another dialect's `n` may generate more."""
        return openai_ceilings.answers(body)

    def elsewhere(self, body: Json) -> int:
        """The largest output ceiling or budget of thinking in fields other than `max_tokens`."""
        return openai_ceilings.elsewhere(body, _CEILING)

    def items(self, body: Json) -> dict[str, int]:
        """The number of messages, blocks, tools and tool calls of a request."""
        parts = calls = 0
        for message in body["messages"]:
            blocks = message["content"]
            if type(blocks) is not list:
                continue
            parts += _blocks(blocks)
            calls = max(calls, sum(map(calls_a_tool, blocks)))
        system, tools = body.get("system"), body.get("tools")
        parts += len(system) if type(system) is list else 0
        tools = len(tools) if type(tools) is list else 0
        return {"messages": len(body["messages"]), "tools": tools, "parts": parts, "tool_calls": calls}

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """The number of blocks and tool calls of an answer."""
        return {"parts": len(answer["content"]), "tool_calls": len(self.calls(answer))}

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined text blocks of each message, of the system prompt, and of each tool result."""
        return joined({"messages": self.holders(body)}, slots)

    def holders(self, body: Json) -> list[Json]:
        """What has texts in `content` that are one text."""
        found: list[Json] = [*body["messages"], {"content": body.get("system")}]
        for message in body["messages"]:
            content = message["content"]
            if type(content) is list:
                found += [block for block in content if type(block.get("content")) is list]
        return found

    def steps(self, body: Json, earlier: Sequence[Step] = ()) -> list[Step]:
        """Prompts, the model's turns and tool results, in order."""
        return steps(body["messages"], earlier)

    def credentials(self, key: str) -> dict[str, str]:
        """`x-api-key`, and the version of the API if the caller names none."""
        return {**({"x-api-key": key} if key else {}), "anthropic-version": VERSION}

    def overhead(self, body: Json) -> int:
        """The tokens around messages."""
        return _MESSAGE * len(body["messages"]) + _ANSWER

    def tier(self, body: Json) -> str:
        """`service_tier`, or `speed` if that is not standard, because such a speed has a different price."""
        speed = body.get("speed")
        said = speed if speed not in (None, "standard") else body.get("service_tier")
        return checks.tier(said, "auto or standard_only")

    def tools(self, body: Json) -> tuple[str, ...]:
        """Every name of a tool in the request, in any field. Raises Refusal(invalid_request)."""
        return openai_tools.names(body)

    def hosted(self, body: Json) -> list[Json]:
        """The tools among them that the provider runs."""
        return hosted.of(body)

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """Remove tools from those offered, and a `tool_choice` that names one of them."""
        return openai_tools.strip(body, names)

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Lower `max_tokens`, and other fields with names of ceilings, to a policy's limit."""
        most = checks.most_tokens(limits, "messages")
        changed = openai_ceilings.lower_elsewhere(body, most, _CEILING)
        if body.get("max_tokens", 0) <= most:
            return changed
        body["max_tokens"] = most
        thinking = body.get("thinking")
        if type(thinking) is dict and thinking.get("budget_tokens") == most > 1:  # it must be below max_tokens
            thinking["budget_tokens"] = most - 1
        return True

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a message."""
        content = answer.get("content")
        if type(content) is not list or not all(type(block) is dict for block in content):
            raise ValueError("it holds no content")

    def is_whole(self, said: Json) -> bool:
        """A message, not an event of a message."""
        return said.get("type") == "message"

    def runs(self, answer: Json, survey: tree.Survey) -> list[Run]:
        """The running texts: text blocks, and other strings of lists at the same path."""
        if survey.lists < 1:
            return []
        spoken = [block for block in answer["content"] if not calls_a_tool(block)]
        roots: list[tuple[int, str, Any]] = [(0, "content", spoken)]
        roots += [(0, f"chunk:{key}", value) for key, value in answer.items() if key != "content"]
        return gather(survey, roots, frozenset({"content"}))

    def calls(self, answer: Json) -> list[Json]:
        """The blocks with tool calls."""
        return [block for block in answer["content"] if calls_a_tool(block)]

    def tool(self, call: Json) -> str:
        """The name of the tool; for a tool that the provider calls at an MCP server, the name of the server."""
        name = call.get("server_name") if call.get("type") == "mcp_tool_use" else call.get("name")
        if type(inner := call.get("function")) is dict:  # in the shape of another dialect
            other = inner.get("name")
            name = other if name is None or other == name else None  # two names, of which a client may read either
        return name if type(name) is str else ""

    def writes_json(self, body: Json) -> bool:
        """`output_config.format` or the older `output_format`, of type json_schema."""
        config = body.get("output_config")
        wanted = (config.get("format") if type(config) is dict else None) or body.get("output_format")
        return type(wanted) is dict and wanted.get("type") == "json_schema"

    def arguments(self, call: Json) -> tree.Survey:
        """Every text of one tool call; arguments may be JSON in a string."""
        survey = tree.Survey(CALL)
        survey.walk(call)
        return survey

    def drop_nulls(self, answer: Json) -> bool:
        """Of blocks, and of their citations and contents."""
        return nulls.of_blocks(answer)

    def strays(self, answer: Json) -> list[Json]:
        """Blocks that have the form of a call under another type, and calls in the shapes of other dialects."""
        found = list(in_blocks([block for block in answer["content"] if not calls_a_tool(block)]))
        return [*found, *fields(answer, _KNOWN)]

    def usage(self, answer: Json) -> Usage | None:
        """The usage that the provider reported."""
        reported = answer.get("usage")
        return anthropic_answer.usage(reported) if anthropic_answer.tells_input(reported) else None

    def served_in(self, answer: Json) -> str:
        """`usage.service_tier`."""
        return anthropic_answer.tier(answer.get("usage"))

    def stream(self, *, keep_usage: bool = True, choices: int = 1) -> AnthropicStream:
        """A reader for one streamed answer."""
        return AnthropicStream()

    def error(self, said: Json) -> Json | None:
        """The object under `error`."""
        return anthropic_answer.error(said)

    def assemble(self, raw: bytes) -> bytes:
        """The whole message with the content of a stream."""
        return anthropic_forms.assemble(raw)

    def unfold(self, answer: Json, cut: Callable[[str], Sequence[str]] = pieces) -> Iterator[bytes]:
        """The stream with the content of a whole message."""
        return anthropic_forms.unfold(answer, cut)

    def demo(self, body: Json) -> Json:
        """The user's last text, or a call of the first tool."""
        return anthropic_demo.answer(body)

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"type": "error", "error": {type, message}}`."""
        return anthropic_answer.refused(refusal, request_id)

    def refuse_in_text(self, refusal: Refusal, request_id: str, model: str, answers: int, reason: str) -> Json | None:
        """A message with stop reason `refusal`, whose text is the reason."""
        details = {"type": "refusal", "category": None, "explanation": refusal.message}
        return {
            "id": f"msg_{request_id}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": reason}],
            "stop_reason": "refusal",
            "stop_sequence": None,
            "stop_details": details,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }


class AnthropicCount(Ungenerated, AnthropicMessages):
    """The codec of `/v1/messages/count_tokens`: the same request, answered with a number. Nothing is charged."""

    name = "anthropic_count"
    noun = "a count of tokens"
    path = "/v1/messages/count_tokens"
    needs_ceiling = False

    answer_items = Plain.answer_items

    def _streams(self, stream: bool) -> bool:
        if stream:
            raise checks.wrong("stream", "must be left out: tokens are counted in one answer")
        return False

    def _ceiling(self, body: Json) -> int | None:
        return None

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Nothing is generated, so nothing exceeds a limit."""
        return False

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a count."""
        if count(answer.get("input_tokens")) is None:
            raise ValueError("it holds no count")

    def usage(self, answer: Json) -> Usage | None:
        """No usage: counting is free of charge."""
        return Usage()

    def demo(self, body: Json) -> Json:
        """The number of words, in place of tokens."""
        return {"input_tokens": anthropic_demo.answer(body)["usage"]["input_tokens"]}


ANTHROPIC_MESSAGES = AnthropicMessages()
ANTHROPIC_COUNT = AnthropicCount()
