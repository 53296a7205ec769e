"""Gemini, whole and streamed, and the counting of tokens (Gemini API reference: models.generateContent).

Rules: the model is in the path; a message has a list of parts; an answer has candidates. Parts with what a model
thought are judged and never edited, and so are signatures (`thoughtSignature`). The text or the call beside a
signature is edited as any other: the provider gets its own values back, because edits are stable. What the provider
would store (`cachedContent`) is refused, because its owner is unknown. Both names of each field are read.
Unclear cases: kinds of parts that the dialect does not have are text throughout; usage is cumulative, and the last
report counts; a count that is missing is 0 (proto3). Log probabilities are removed from answers that are judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from gateway.bodies import Json, Step, Usage
from gateway.dialects import (
    NO_VALUES,
    Intent,
    checks,
    count,
    gemini_answer,
    gemini_demo,
    gemini_forms,
    gemini_tools,
    nulls,
    openai_ceilings,
    openai_models,
    states,
    tree,
)
from gateway.dialects.base import TRACEPARENT, Plain, Ungenerated
from gateway.dialects.cited import OF_GEMINI
from gateway.dialects.field_table import Table
from gateway.dialects.fields import Run, gather
from gateway.dialects.gemini_fields import BODY
from gateway.dialects.gemini_steps import steps
from gateway.dialects.gemini_strays import strays
from gateway.dialects.gemini_stream import GeminiStream
from gateway.dialects.gemini_tables import (
    ANSWER,
    CALLS,
    SHAPE,
    WORDS,
    called,
    calls_a_tool,
    candidates,
    check_twins,
    each_part,
    field,
    is_thought,
    listed,
    parts,
    snake,
    spelled,
)
from gateway.dialects.openai_forms import pieces
from gateway.dialects.parts import Joined, joined
from gateway.errors import Refusal
from gateway.texts import Slot

_MESSAGE: Final = 4  # tokens around a message: an estimate
_CEILING: Final = "maxOutputTokens"
_NONE: Final[frozenset[str]] = frozenset()
_OWN: Final = frozenset({_CEILING, snake(_CEILING)})
# Settings with names of their own below them; a budget of thinking is part of the output limit.
_APART: Final = frozenset(
    {"responseSchema", "responseJsonSchema", "responseFormat", "thinkingConfig", "speechConfig", "imageConfig"}
)
_SETTINGS: Final = _APART | frozenset(map(snake, _APART))
_STATES: Final = ("cachedContent", "previousInteractionId")
_PASSES: Final[Mapping[bytes, re.Pattern[bytes]]] = {b"traceparent": TRACEPARENT}
_COUNTED: Final = "generateContentRequest"
_PREFIXES: Final = ("models/", "tunedModels/")


class Gemini(Plain):
    """The codec of `:generateContent`."""

    name = "gemini"
    noun = "a Gemini answer"
    formats = frozenset({"gemini", "demo"})
    path = "/v1beta/models/{model}:generateContent"
    verb = "generateContent"
    query = ""
    shape = SHAPE
    history = "contents"
    fields = BODY
    answer = ANSWER
    passes = _PASSES
    main = frozenset({"text", "content[]"})
    words = WORDS
    cites = OF_GEMINI
    streams = False

    def at(self, model: str, values: Mapping[str, str]) -> str:
        """The path for a model, in the version of the API that the caller uses."""
        place = model if model.startswith(_PREFIXES) else f"models/{model}"
        return f"/{values['version']}/{quote(place, safe='/')}:{self.verb}{self.query}"

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """Model, stream, tools and output limit. Raises Refusal(invalid_request), which names the parameter."""
        model = model_of(body, values)
        for name in _STATES:
            if field(body, name):
                raise checks.wrong(name, "names content that the provider stores, whose owner is unknown here")
        if field(body, _COUNTED) is not None:
            raise checks.wrong(_COUNTED, "is a field of countTokens")
        states.check(body)
        self._check_contents(body)
        config = field(body, "generationConfig")
        if config is not None and type(config) is not dict:
            raise checks.wrong("generationConfig", "must be an object")
        openai_models.check({**strange(body), **_settings(body), "tools": _hosted(body), "model": model})
        return Intent(model, self.streams, self.tools(body), self._ceiling(body))

    def unstore(self, body: Json) -> bool:
        """Set `store` to false if it is there."""
        return checks.unstore(body)

    def _check_contents(self, body: Json) -> None:
        check_twins(body)
        contents = body.get("contents")
        if type(contents) is not list or not contents or not all(type(one) is dict for one in contents):
            raise checks.wrong("contents", "must be a list of at least one message")
        for message in contents:
            check_parts("contents", message)
        system = field(body, "systemInstruction")
        if system is not None and type(system) is not str:
            check_parts("systemInstruction", system)

    def _ceiling(self, body: Json) -> int | None:
        settings = _settings(body)
        most = field(settings, _CEILING)
        answers, elsewhere = openai_ceilings.answers(settings), self.elsewhere(body)
        if most is None:
            return None
        if type(most) is not int or not 0 <= most <= checks.MAX_CEILING:
            raise checks.wrong(_CEILING, f"must be an integer from 0 to {checks.MAX_CEILING}")
        endless = openai_ceilings.is_endless(settings, _OWN) or openai_ceilings.is_endless(strange(body), _NONE)
        if not most or endless:
            return None
        return max(most, elsewhere) * answers

    def answers(self, body: Json) -> int:
        """`candidateCount`."""
        return openai_ceilings.answers(_settings(body))

    def choices(self, body: Json) -> int:
        """`candidateCount`."""
        return openai_ceilings.choices(_settings(body))

    def elsewhere(self, body: Json) -> int:
        """The largest output ceiling in fields other than `maxOutputTokens`."""
        return max(openai_ceilings.elsewhere(_settings(body), _OWN), openai_ceilings.elsewhere(strange(body), _NONE))

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Lower `maxOutputTokens`, and other fields with names of ceilings, to a policy's limit."""
        most = checks.most_tokens(limits, "Gemini")
        others, settings = strange(body), _settings(body)
        changed = openai_ceilings.lower_elsewhere(others, most, _NONE)
        changed |= openai_ceilings.lower_elsewhere(settings, most, _OWN)
        if not 0 < (field(settings, _CEILING) or 0) <= most:
            settings[spelled(settings, _CEILING)] = most
            changed = True
        if changed:
            key = spelled(body, "generationConfig")
            body |= {**others, key: {**(body.get(key) or {}), **settings}}
        return changed

    def items(self, body: Json) -> dict[str, int]:
        """The number of messages, parts, tools and tool calls of a request."""
        messages = body["contents"]
        found = [each_part(message) for message in messages]
        return {
            "messages": len(messages),
            "tools": len(self.tools(body)),
            "parts": sum(map(len, found)),
            "tool_calls": max(sum(map(calls_a_tool, one)) for one in found),
        }

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """The number of parts and tool calls of an answer."""
        found = [parts(candidate) for candidate in candidates(answer)]
        most = max((sum(map(calls_a_tool, one)) for one in found), default=0)
        return {"parts": sum(map(len, found)), "tool_calls": most}

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined text parts of each message and of the system prompt."""
        system = field(body, "systemInstruction")
        holders = [*body["contents"], *([system] if type(system) is dict else [])]
        return joined({"messages": [{"content": holder.get("parts")} for holder in holders]}, slots)

    def steps(self, body: Json, earlier: Sequence[Step] = ()) -> list[Step]:
        """Prompts, the model's turns and tool results, in order."""
        return steps(body["contents"], earlier)

    def overhead(self, body: Json) -> int:
        """The tokens around messages."""
        return _MESSAGE * len(body["contents"])

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Set the model of the upstream where the body repeats it; the path has it already."""
        said = body.get("model")
        if type(said) is not str:
            return False
        body["model"] = f"models/{model}" if said.startswith(_PREFIXES) and "/" not in model else model
        return bool(body["model"] != said)

    def credentials(self, key: str) -> dict[str, str]:
        """`x-goog-api-key`."""
        return {"x-goog-api-key": key} if key else {}

    def tier(self, body: Json) -> str:
        """`serviceTier`."""
        said = field(body, "serviceTier")
        return checks.tier(said.lower() if type(said) is str else said, "standard, flex or priority")

    def served_in(self, answer: Json) -> str:
        """`usageMetadata.serviceTier`."""
        return gemini_answer.tier(answer)

    def tools(self, body: Json) -> tuple[str, ...]:
        """Every name of a tool in the request, in any field. Raises Refusal(invalid_request)."""
        return gemini_tools.names(body)

    def hosted(self, body: Json) -> list[Json]:
        """The tools among them that the provider runs."""
        return gemini_tools.hosted(body)

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """Remove tools from those offered, and a choice that names one of them."""
        return gemini_tools.strip(body, names)

    def writes_json(self, body: Json) -> bool:
        """`responseMimeType: application/json`, or a schema."""
        config = field(body, "generationConfig")
        if type(config) is not dict:
            return False
        schema = any(config.get(name) for key in ("responseSchema", "responseJsonSchema") for name in (key, snake(key)))
        return schema or "application/json" in (config.get("responseMimeType"), config.get("response_mime_type"))

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is an answer: candidates, or feedback on the prompt."""
        found = candidates(answer)
        if not found and type(answer.get("promptFeedback")) is not dict:
            raise ValueError("it holds no candidates")
        if len(found) > choices:
            raise ValueError("it holds more candidates than asked for")
        for candidate in found:
            for part in parts(candidate):
                if any(type(part[key]) is not dict for key in CALLS & part.keys()):
                    raise ValueError("a call of a tool is no object")

    def is_whole(self, said: Json) -> bool:
        """An answer whose candidates have all ended. The last event of a stream may look the same."""
        try:
            return gemini_forms.is_complete(said)
        except ValueError:
            return False

    def runs(self, answer: Json, survey: tree.Survey) -> list[Run]:
        """The running texts: text parts and thoughts of each candidate, and other strings of lists at the same path."""
        if survey.lists <= gemini_answer.lists_of_one(answer):
            return []
        roots: list[tuple[int, str, Any]] = []
        for number, candidate in enumerate(candidates(answer)):
            said = [part for part in parts(candidate) if not calls_a_tool(part)]
            roots.append((number, "content", [part for part in said if not is_thought(part)]))
            roots.append((number, "thought", [part for part in said if is_thought(part)]))
            roots += [(number, f"choice:{key}", value) for key, value in candidate.items() if key != "content"]
        roots += [(0, f"chunk:{key}", value) for key, value in answer.items() if key != "candidates"]
        return gather(survey, roots, frozenset({"content", "thought"}))

    def calls(self, answer: Json) -> list[Json]:
        """The parts with tool calls."""
        return [part for candidate in candidates(answer) for part in parts(candidate) if calls_a_tool(part)]

    def tool(self, call: Json) -> str:
        """The name of the function, or of the tool that the provider runs; a stray call has it at its top."""
        return called(call) if calls_a_tool(call) else checks.text(call.get("name"))

    def strays(self, answer: Json) -> list[Json]:
        """Calls in the shapes of other dialects."""
        return strays(answer)

    def drop_repeats(self, answer: Json) -> bool:
        """Remove log probabilities."""
        return gemini_forms.drop_probabilities(answer)

    def drop_nulls(self, answer: Json) -> bool:
        """Of candidates and their parts."""
        return nulls.of_candidates(answer)

    def usage(self, answer: Json) -> Usage | None:
        """The usage that the provider reported."""
        return gemini_answer.usage(answer)

    def stream(self, *, keep_usage: bool = True, choices: int = 1) -> GeminiStream:
        """A reader for one streamed answer."""
        return GeminiStream(choices)

    def error(self, said: Json) -> Json | None:
        """The object under `error`."""
        return gemini_answer.error(said)

    def assemble(self, raw: bytes) -> bytes:
        """The whole answer with the content of a stream."""
        return gemini_forms.assemble(raw)

    def unfold(self, answer: Json, cut: Callable[[str], Sequence[str]] = pieces) -> Iterator[bytes]:
        """The stream with the content of a whole answer."""
        return gemini_forms.unfold(answer, cut)

    def demo(self, body: Json) -> Json:
        """The user's last text, or a call of the first function."""
        return gemini_demo.answer(body)

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {code, message, status, details}}`."""
        return gemini_answer.refused(refusal, request_id)

    def refuse_in_text(self, refusal: Refusal, request_id: str, model: str, answers: int, reason: str) -> Json | None:
        """An answer whose candidates end with the reason as their text."""
        found = [gemini_answer.ended(refusal, index, reason) for index in range(answers)]
        usage = {"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0}
        return {"candidates": found, "usageMetadata": usage, "modelVersion": model, "responseId": request_id}


class GeminiStreaming(Gemini):
    """The codec of `:streamGenerateContent`, which asks for server-sent events; see `ingress.arrays`."""

    name = "gemini_stream"
    path = "/v1beta/models/{model}:streamGenerateContent"
    verb = "streamGenerateContent"
    query = "?alt=sse"
    streams = True


class GeminiCount(Ungenerated, Gemini):
    """The codec of `:countTokens`: a request, or its contents alone, answered with a number. Nothing is charged."""

    name = "gemini_count"
    noun = "a count of tokens"
    path = "/v1beta/models/{model}:countTokens"
    verb = "countTokens"

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The same; the request may be in `generateContentRequest`."""
        inner = field(body, _COUNTED)
        if inner is None:
            return super().parse(body, values)
        if type(inner) is not dict or "contents" in body:
            raise checks.wrong(_COUNTED, "must be an object, in place of `contents`")
        model = model_of(body, values)
        super().parse(inner, {"model": model})
        return Intent(model, False, self.tools(body), None)

    def _ceiling(self, body: Json) -> int | None:
        return None

    def items(self, body: Json) -> dict[str, int]:
        """Of the request to count."""
        return super().items(_counted(body))

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """Of the request to count."""
        return super().joined(_counted(body), slots)

    def steps(self, body: Json, earlier: Sequence[Step] = ()) -> list[Step]:
        """Of the request to count."""
        return super().steps(_counted(body), earlier)

    def overhead(self, body: Json) -> int:
        """Of the request to count."""
        return super().overhead(_counted(body))

    def tools(self, body: Json) -> tuple[str, ...]:
        """Of the request to count."""
        return super().tools(_counted(body))

    def hosted(self, body: Json) -> list[Json]:
        """Of the request to count."""
        return super().hosted(_counted(body))

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """Of the request to count."""
        return super().strip_tools(_counted(body), names)

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """The same, for the request to count too."""
        inner = _counted(body)
        changed = super().request(body, model, stream)
        return super().request(inner, model, stream) or changed if inner is not body else changed

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Nothing is generated, so nothing exceeds a limit."""
        return False

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a count."""
        if count(answer.get("totalTokens", 0)) is None or "candidates" in answer:
            raise ValueError("it holds no count")

    def usage(self, answer: Json) -> Usage | None:
        """No usage: counting is free of charge."""
        return Usage()

    def demo(self, body: Json) -> Json:
        """The number of words, in place of tokens."""
        return {"totalTokens": gemini_demo.answer(_counted(body))["usageMetadata"]["promptTokenCount"]}


def _counted(body: Json) -> Json:
    """The request whose tokens are counted."""
    inner = field(body, _COUNTED)
    return inner if type(inner) is dict else body


def model_of(body: Json, values: Mapping[str, str]) -> str:
    """The model in the path, which a body may repeat. Raises Refusal(invalid_request)."""
    named = values.get("model") or checks.model(body)
    said = body.get("model")
    if said is not None and (type(said) is not str or said.removeprefix("models/") != named.removeprefix("models/")):
        raise checks.wrong("model", "must be the model in the path, or be left out")
    return named.removeprefix("models/")


def check_parts(param: str, message: Any) -> None:
    """Raise Refusal(invalid_request) unless a message has parts that are objects."""
    held = message.get("parts") if type(message) is dict else None
    if not (held is None and type(message) is dict) and not (
        type(held) in (dict, list) and all(type(part) is dict for part in listed(held))
    ):
        raise checks.wrong(param, "must have parts that are objects")


def strange(body: Json, known: Table = BODY) -> Json:
    """The top-level fields that the dialect does not have."""
    return {key: value for key, value in body.items() if key not in known.keys}


def _settings(body: Json) -> Json:
    """The settings of `generationConfig`, without schemas."""
    config = field(body, "generationConfig")
    return {key: value for key, value in config.items() if key not in _SETTINGS} if type(config) is dict else {}


def _hosted(body: Json) -> list[Json]:
    """The tools that the provider runs."""
    entries = body.get("tools")
    entries = [entries] if type(entries) is dict else entries if type(entries) is list else []
    named = ("functionDeclarations", "function_declarations", "mcpServers", "mcp_servers")
    return [{k: v for k, v in entry.items() if k not in named} for entry in entries if type(entry) is dict]


GEMINI = Gemini()
GEMINI_STREAMING = GeminiStreaming()
GEMINI_COUNT = GeminiCount()
