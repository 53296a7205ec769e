"""OpenAI chat completions, whole and streamed (OpenAI API reference: chat/create, chat/streaming).

The tables define the dialect. Fields that they do not name pass unchanged.
Rules: a stream is a series of `data:` events with JSON chunks, ended by `data: [DONE]`; a choice ends with the chunk
with its `finish_reason`; usage is in a last chunk without choices, if `stream_options.include_usage` is set. The
gateway always sets it, and removes the chunk if the caller did not.
Accepted irregularities: usage in the finishing chunk, `content: null` with tool calls, no `[DONE]`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.bodies import Json, Step, Usage
from gateway.dialects import (
    NO_VALUES,
    Intent,
    Profile,
    checks,
    hosted,
    items,
    nulls,
    openai_ceilings,
    openai_demo,
    openai_fields,
    openai_forms,
    openai_models,
    openai_roles,
    openai_tools,
    states,
    tree,
)
from gateway.dialects.base import TRACEPARENT, Plain
from gateway.dialects.cited import made_by_chat
from gateway.dialects.fields import Run, gather
from gateway.dialects.openai_answer import alternatives, drop_nested, echoes, single, tier, usage
from gateway.dialects.openai_steps import steps
from gateway.dialects.openai_strays import strays
from gateway.dialects.openai_stream import OpenAIChatStream, refused
from gateway.dialects.openai_tables import ANSWER, CHUNKS, MAX_CHOICES, SHAPE, TEXTS, WORDS
from gateway.dialects.parts import Joined, joined
from gateway.errors import Refusal
from gateway.texts import Slot

_RUNNING = frozenset(TEXTS)
_CALLED = ("function", "custom", "function_call")
_MESSAGE = 4  # tokens around a message (OpenAI cookbook, counting tokens): role, separators
_ANSWER = 3  # tokens that begin the answer
# Headers of the caller that are forwarded, in forms too short for a text or a key.
PASSES: Mapping[bytes, re.Pattern[bytes]] = {
    b"openai-beta": re.compile(rb"[a-z]{2,24}(?:[_-][a-z]{2,24}){0,4}=v[0-9]{1,2}"),
    b"traceparent": TRACEPARENT,
}


def _spoken(answer: Json) -> Iterator[tuple[int, str, Any]]:
    """The fields of a whole answer except tool calls: choice, path, value."""
    for key, value in answer.items():
        if key != "choices":
            yield 0, f"chunk:{key}", value
    for at, choice in enumerate(answer["choices"]):
        for key, value in choice.items():
            if key == "message" and type(value) is dict:
                for name, inner in value.items():
                    if not _are_calls(name, inner):
                        yield at, name, inner
            elif key != "logprobs":
                yield at, f"choice:{key}", value


def _are_calls(name: str, value: Any) -> bool:
    """Whether a field of a message holds tool calls, which are judged separately."""
    if name == "tool_calls":
        return type(value) is list and all(type(call) is dict and _is_call(call) for call in value)
    return name == "function_call" and type(value) is dict


def _is_call(call: Json) -> bool:
    """Whether an object has the form of a tool call; the strings of other objects are read together."""
    return any(type(call.get(key)) is dict for key in _CALLED)


class OpenAIChat(Plain):
    """The codec of `/v1/chat/completions`."""

    name = "openai_chat"
    noun = "a chat completion"
    formats = frozenset({"openai", "demo"})
    path = "/chat/completions"
    shape = SHAPE
    history = "messages"
    fields = openai_fields.CHAT
    answer = ANSWER
    passes = PASSES
    main = frozenset({"content", "content[]"})
    words = WORDS
    marker = b'"audio"'

    def unstore(self, body: Json) -> bool:
        """Set `store` to false if it is there."""
        return checks.unstore(body)

    def makes(self, answer: Json) -> Sequence[tuple[str, str]]:
        """The audio of the answer, which the next request may name."""
        return made_by_chat(answer)

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """Model, stream, tools and output limit. Raises Refusal(invalid_request), which names the parameter."""
        model = checks.model(body)
        for message in checks.messages(body):
            content = message.get("content")
            if content is not None and type(content) is not str and type(content) is not list:
                raise checks.wrong("messages", "must have a content that is a string, a list of parts or null")
        stream = checks.stream(body)
        options = body.get("stream_options")
        if options is not None and type(options) is not dict:
            raise checks.wrong("stream_options", "must be an object")
        openai_models.check(body)
        states.check(body)
        answers, ceiling = openai_ceilings.answers(body), openai_ceilings.ceiling(body)
        return Intent(model, stream, self.tools(body), ceiling and ceiling * answers)

    def items(self, body: Json) -> dict[str, int]:
        """The number of messages, parts, tools and tool calls of a request."""
        return items.of_request(body)

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """The same counts of a whole answer."""
        return items.of_answer(answer)

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined content parts of each message."""
        return joined(body, slots)

    def steps(self, body: Json, earlier: Sequence[Step] = ()) -> list[Step]:
        """Prompts, turns of the model and tool results, in order. A result belongs to a call of the previous turn."""
        return steps(body["messages"], earlier)

    def answers(self, body: Json) -> int:
        """The number of answers that the request asks for."""
        return openai_ceilings.answers(body)

    def elsewhere(self, body: Json) -> int:
        """The largest output limit or thinking budget in fields that the dialect does not have."""
        return openai_ceilings.elsewhere(body)

    def wants_usage(self, body: Json) -> bool:
        """Whether the caller requested the usage chunk of a stream."""
        return bool((body.get("stream_options") or {}).get("include_usage"))

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Set the model of the upstream and request usage; True if the body changed."""
        changed = openai_ceilings.unite(body)
        if body.get("model") != model:
            openai_models.rename(body, model)
            body["model"] = model
            changed = True
        if stream and not self.wants_usage(body):
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
            changed = True
        return changed

    def fitting(self, body: Json, profile: Profile) -> dict[str, Any]:
        """The output limit under the provider's name, and the provider's role of instructions."""
        return openai_ceilings.named(body, profile.ceiling) | openai_roles.named(body, profile.role)

    def relents(self, body: Json, said: bytes | None) -> bool:
        """Remove `stream_options`, which requests usage."""
        if said is not None and b"stream_options" not in said and b"include_usage" not in said:
            return False
        return body.pop("stream_options", None) is not None

    def overhead(self, body: Json) -> int:
        """The tokens around messages."""
        return _MESSAGE * len(body["messages"]) + _ANSWER

    def tier(self, body: Json) -> str:
        """`service_tier`."""
        return openai_ceilings.tier(body)

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
        """Lower the output limit to a policy's limit."""
        return openai_ceilings.lower(body, checks.most_tokens(limits, "chat"))

    def choices(self, body: Json) -> int:
        """`n`, or its name in other servers."""
        return openai_ceilings.choices(body)

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a chat completion.

        Clients that ignore the index join the choices, so additional choices would form a text that was not judged.
        """
        said = answer.get("choices")
        if type(said) is not list or not all(type(choice) is dict for choice in said):
            raise ValueError("it holds no choices")
        if len(said) > choices:
            raise ValueError(f"it holds {len(said)} choices where {choices} may be")

    def is_whole(self, said: Json) -> bool:
        """Whether a choice has a message, not a delta."""
        choices = said.get("choices")
        told = [choice for choice in choices if type(choice) is dict] if type(choices) is list else []
        return any("message" in choice and "delta" not in choice for choice in told)

    def single(self, answer: Json) -> tree.Single | None:
        """One choice, whose message is one text."""
        return single(answer)

    def runs(self, answer: Json, survey: tree.Survey) -> list[Run]:
        """The running texts: content parts, and other strings of lists at the same path of a choice."""
        return gather(survey, _spoken(answer), _RUNNING) if survey.lists > 1 else []  # one list is that of the choices

    def calls(self, answer: Json) -> list[Json]:
        """The tool calls of all choices, including the older single `function_call`."""
        calls: list[Json] = []
        for choice in answer["choices"]:
            message = choice.get("message")
            if type(message) is dict:
                said = message.get("tool_calls")
                calls += [call for call in said if type(call) is dict] if type(said) is list else []
                calls += [message] if type(message.get("function_call")) is dict else []
        return calls

    def tool(self, call: Json) -> str:
        """The name in `function`, `custom` or the older `function_call`; "" if they differ."""
        names = {checks.text(one.get("name")) for one in map(call.get, _CALLED) if type(one) is dict}
        if "content" not in call and "role" not in call:  # no message, which has a name of its own
            others = (one.get("name") for key, one in call.items() if type(one) is dict and key not in _CALLED)
            names.update(name for name in (call.get("name"), *others) if type(name) is str)
        return names.pop() if len(names) == 1 else ""

    def writes_json(self, body: Json) -> bool:
        """`response_format` of type json_object or json_schema."""
        wanted = body.get("response_format")
        return type(wanted) is dict and wanted.get("type") in ("json_object", "json_schema")

    def arguments(self, call: Json) -> tree.Survey:
        """Every text of one tool call."""
        survey = tree.Survey(CHUNKS)
        survey.walk(call)
        return survey

    def conceal(self, answer: Json) -> None:
        """Remove log probabilities after the text was changed."""
        for choice in answer["choices"]:
            if choice.get("logprobs") is not None:
                choice["logprobs"] = None

    def echoes(self, answer: Json) -> bool:
        """Whether the log probabilities are equal to the text, and so were judged with it."""
        return all(echoes(choice) for choice in answer["choices"] if choice.get("logprobs") is not None)

    def drop_repeats(self, answer: Json) -> bool:
        """Remove log probabilities without a text of a choice."""
        return drop_nested(answer)

    def drop_nulls(self, answer: Json) -> bool:
        """Of choices, tool calls, content parts and annotations."""
        return nulls.of_choices(answer)

    def strays(self, answer: Json) -> list[Json]:
        """Tool calls in other shapes or places than those of a message."""
        return strays(answer, "message")

    def asides(self, answer: Json) -> list[str]:
        """The joined texts of alternative tokens."""
        return [text for choice in answer["choices"] for _, text in alternatives(choice.get("logprobs"))]

    def usage(self, answer: Json) -> Usage | None:
        """The usage that the provider reported; None without a plausible report."""
        return usage(answer)

    def served_in(self, answer: Json) -> str:
        """`service_tier`."""
        return tier(answer)

    def stream(self, *, keep_usage: bool, choices: int = MAX_CHOICES) -> OpenAIChatStream:
        """A reader for one streamed answer."""
        return OpenAIChatStream(keep_usage, choices)

    def error(self, said: Json) -> Json | None:
        """The object under `error`, if no choice has content."""
        return openai_forms.error(said)

    def assemble(self, raw: bytes) -> bytes:
        """The whole answer with the content of a stream."""
        return openai_forms.assemble(raw)

    def unfold(self, answer: Json, cut: Callable[[str], Sequence[str]] = openai_forms.pieces) -> Iterator[bytes]:
        """The stream with the content of a whole answer."""
        return openai_forms.unfold(answer, cut)

    def demo(self, body: Json) -> Json:
        """The user's last text, or a call of the first tool."""
        return openai_demo.answer(body)

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {message, type, param, code}}`, with the fields of the refusal's detail."""
        return refused(refusal, request_id)

    def refuse_in_text(self, refusal: Refusal, request_id: str, model: str, answers: int, reason: str) -> Json:
        """A chat completion with `finish_reason: content_filter`, whose text is the reason."""
        message = {"role": "assistant", "content": reason, "refusal": refusal.message}
        choices = [{"index": index, "message": message, "finish_reason": "content_filter"} for index in range(answers)]
        head = {"id": f"chatcmpl-{request_id}", "object": "chat.completion", "created": int(time.time())}
        return {**head, "model": model, "choices": choices}


OPENAI_CHAT = OpenAIChat()
