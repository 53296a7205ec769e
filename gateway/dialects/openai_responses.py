"""OpenAI Responses, whole and streamed (OpenAI API reference: responses/create, responses-streaming).

Rules: `input` is a text or a list of items: messages, tool calls, results of tools, reasoning; an answer is a list of
items under `output`. Encrypted content (`encrypted_content`) and programs with a fingerprint are judged and never
edited. A request may continue a response or a conversation that the provider stores, and refer to items of earlier
answers, of the caller's team; an answer may be made in the background. `store` is sent as the caller wrote it.
Unclear cases: items of unknown types are text throughout: of a tool, or tool calls if their type ends in `_call`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from gateway.bodies import Json, Named, State, Step, Usage
from gateway.dialects import (
    NO_VALUES,
    Intent,
    checks,
    nulls,
    openai_answer,
    openai_ceilings,
    openai_models,
    responses_answer,
    responses_demo,
    responses_forms,
    responses_items,
    states,
    tree,
)
from gateway.dialects.base import Plain
from gateway.dialects.cited import made_by_responses
from gateway.dialects.fields import Run, gather
from gateway.dialects.openai_chat import PASSES
from gateway.dialects.openai_forms import pieces
from gateway.dialects.openai_strays import fields, in_blocks
from gateway.dialects.openai_stream import refused
from gateway.dialects.parts import Joined, joined
from gateway.dialects.responses_fields import BODY
from gateway.dialects.responses_stream import ResponsesStream
from gateway.dialects.responses_tables import ANSWER, SHAPE, WORDS, calls_a_tool, kind, namespaces, speaks, tool
from gateway.errors import Refusal
from gateway.texts import Slot

_ITEM: Final = 4  # tokens around an item: an estimate
_ANSWER: Final = 3
_CEILING: Final = frozenset({"max_output_tokens"})
CONTINUES: Final = frozenset({"previous_response_id", "conversation"})
"""Fields that name the stored state that a request continues."""
_TEXTS: Final = frozenset({"content", "reasoning.summary", "reasoning.content"})


class OpenAIResponses(Plain):
    """The codec of `/v1/responses`."""

    name = "openai_responses"
    stores = "response"
    noun = "a response"
    formats = frozenset({"openai", "demo"})
    path = "/responses"
    shape = SHAPE
    history = "input"
    fields = BODY
    answer = ANSWER
    passes = PASSES
    main = frozenset({"text", "content[]"})
    words = WORDS
    cites: tuple[bytes, ...] = (b"container", b"vector_store", b"file_id", b'"prompt"', b'"voice"')
    marker = b"container"
    recalls = b"reasoning"

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """Model, stream, tools and output limit. Raises Refusal(invalid_request), which names the parameter."""
        model = checks.model(body)
        responses_items.check(body)
        stream = checks.stream(body)
        for field in ("stream_options", "text"):
            if type(body.get(field)) not in (dict, type(None)):
                raise checks.wrong(field, "must be an object")
        settings = responses_items.settings(body)
        openai_models.check(settings)
        states.check(settings, CONTINUES)
        return Intent(model, stream, self.tools(body), self._ceiling(body, settings))

    def refers(self, body: Json) -> Sequence[Named]:
        """`previous_response_id` or `conversation`, and items of earlier answers."""
        return responses_items.refers(body)

    def recalled(self, body: Json, start: int) -> Sequence[Json]:
        """Reasoning in plain words."""
        return responses_items.recalled(body, start)

    def defers(self, body: Json) -> bool:
        """With `background`."""
        return body.get("background") is True

    def pending(self, answer: Json) -> bool:
        """Until its status says that it has ended."""
        return answer.get("status") in ("queued", "in_progress")

    def ended(self, answer: Json) -> bool:
        """If it has a status, and is not running."""
        return checks.text(answer.get("status")) != "" and not self.pending(answer)

    def keeps(self, body: Json) -> bool:
        """Unless `store` is false; a conversation keeps its items."""
        return body.get("store") is not False or body.get("conversation") is not None

    def state(self, answer: Json) -> State | None:
        """The response."""
        return responses_items.state(answer)

    def unstore(self, body: Json) -> bool:
        """Set `store` to false. Raises Refusal for answers in the background, and conversations."""
        if not self.keeps(body):
            return False
        for name in ("background", "conversation"):
            if body.get(name) not in (None, False):
                raise checks.must_store(f"`{name}`")
        changed = body.get("store") is not False
        body["store"] = False
        return changed

    def makes(self, answer: Json) -> Sequence[tuple[str, str]]:
        """The containers in which code ran."""
        return made_by_responses(answer)

    def _ceiling(self, body: Json, settings: Json) -> int | None:
        most = body.get("max_output_tokens")
        answers, elsewhere = openai_ceilings.answers(settings), openai_ceilings.elsewhere(settings, _CEILING)
        if most is None:
            return None
        if type(most) is not int or not 0 <= most <= checks.MAX_CEILING:
            raise checks.wrong("max_output_tokens", f"must be an integer from 0 to {checks.MAX_CEILING}")
        if not most or openai_ceilings.is_endless(settings, _CEILING):  # servers read 0 as no limit
            return None
        return max(most, elsewhere) * answers

    def answers(self, body: Json) -> int:
        """One; a server that knows another dialect's `n` may generate more."""
        return openai_ceilings.answers(responses_items.settings(body))

    def elsewhere(self, body: Json) -> int:
        """The largest output ceiling or budget of reasoning in fields other than `max_output_tokens`."""
        return openai_ceilings.elsewhere(responses_items.settings(body), _CEILING)

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Lower `max_output_tokens`, and other fields with names of ceilings, to a policy's limit."""
        most, settings = checks.most_tokens(limits, "responses"), responses_items.settings(body)
        changed = openai_ceilings.lower_elsewhere(settings, most, _CEILING)
        if not 0 < (settings.get("max_output_tokens") or 0) <= most:
            settings["max_output_tokens"] = most
            changed = True
        responses_items.write_back(body, settings)
        return changed

    def items(self, body: Json) -> dict[str, int]:
        """The number of items, parts, tools and tool calls of a request."""
        return responses_items.counts(body)

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """The number of parts and tool calls of an answer."""
        parts, _ = responses_items.count(answer["output"])
        return {"parts": parts + len(answer["output"]), "tool_calls": len(self.calls(answer))}

    def unscannable(self, body: Json) -> dict[str, int]:
        """Screenshots that are files of the provider; those with an address or data are counted by the walk."""
        shots = [item["output"] for item in responses_items.items(body) if type(item.get("output")) is dict]
        files = sum("file_id" in shot and not shot.get("image_url") for shot in shots)
        return {"image": files} if files else {}

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined text parts of each message, of each result of a tool, and of each summary."""
        return joined({"messages": responses_items.messages(body)}, slots)

    def steps(self, body: Json, earlier: Sequence[Step] = ()) -> list[Step]:
        """Prompts, the model's turns and tool results, in order."""
        return responses_items.steps(responses_items.items(body), earlier)

    def ends_turn(self, message: Json) -> bool:
        """Unless the model wrote the item: items of the model that follow each other are one turn."""
        return not (speaks(message) or calls_a_tool(message))

    def overhead(self, body: Json) -> int:
        """The tokens around items."""
        return _ITEM * len(responses_items.items(body)) + _ANSWER

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Set the model of the upstream; True if the body changed."""
        if body["model"] == model:
            return False
        settings = responses_items.settings(body)
        openai_models.rename(settings, model)
        responses_items.write_back(body, {**settings, "model": model})
        return True

    def tier(self, body: Json) -> str:
        """`service_tier`."""
        return openai_ceilings.tier(body)

    def served_in(self, answer: Json) -> str:
        """`service_tier`."""
        return openai_answer.tier(answer)

    def tools(self, body: Json) -> tuple[str, ...]:
        """Every name of a tool in the request, in any field or item. Raises Refusal(invalid_request)."""
        return responses_items.tools(body)

    def hosted(self, body: Json) -> list[Json]:
        """The tools among them that the provider runs."""
        return responses_items.hosted(body)

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """Remove tools from those offered, and a `tool_choice` that names one of them."""
        return responses_items.strip(body, names)

    def writes_json(self, body: Json) -> bool:
        """`text.format` of type json_object or json_schema."""
        wanted = body.get("text")
        wanted = wanted.get("format") if type(wanted) is dict else None
        return type(wanted) is dict and wanted.get("type") in ("json_object", "json_schema")

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a response."""
        output = answer.get("output")
        if type(output) is not list or not all(type(item) is dict for item in output):
            raise ValueError("it holds no output")

    def is_whole(self, said: Json) -> bool:
        """A response, not an event of a response."""
        return said.get("object") == "response"

    def single(self, answer: Json) -> tree.Single | None:
        """One message with one text."""
        return responses_answer.single(answer)

    def runs(self, answer: Json, survey: tree.Survey) -> list[Run]:
        """The running texts: text parts, summaries, and other strings of lists at the same path."""
        if survey.lists <= responses_answer.lists_of_one(answer):
            return []
        return gather(survey, responses_answer.spoken(answer), _TEXTS)

    def calls(self, answer: Json) -> list[Json]:
        """The items that call a tool."""
        return [item for item in answer["output"] if calls_a_tool(item)]

    def tool(self, call: Json) -> str:
        """The name of the tool; for a tool of the provider, its type; for an MCP server, its label."""
        return tool(call)

    def drop_nulls(self, answer: Json) -> bool:
        """Of items, their parts and annotations."""
        return nulls.of_items(answer)

    def strays(self, answer: Json) -> list[Json]:
        """Items and parts in the form of a call under another type, and calls in the shapes of other dialects."""
        return strays(answer)

    def echoes(self, answer: Json) -> bool:
        """Whether the log probabilities are equal to the text, and so were judged with it."""
        told = [part for part in responses_answer.parts(answer) if part.get("logprobs")]
        return all(responses_answer.echoes(part, checks.text(part.get("text"))) for part in told)

    def conceal(self, answer: Json) -> None:
        """Remove log probabilities after the text was changed."""
        for part in responses_answer.parts(answer):
            if part.get("logprobs"):
                part["logprobs"] = []

    def asides(self, answer: Json) -> list[str]:
        """The joined texts of alternative tokens."""
        told = [{"content": part["logprobs"]} for part in responses_answer.parts(answer) if part.get("logprobs")]
        return [text for one in told for _, text in openai_answer.alternatives(one)]

    def drop_repeats(self, answer: Json) -> bool:
        """Remove log probabilities in other places than the parts of messages."""
        kept = [(part, part.pop("logprobs")) for part in responses_answer.parts(answer) if "logprobs" in part]
        dropped = openai_answer.drop(answer)
        for part, probabilities in kept:
            part["logprobs"] = probabilities
        return dropped

    def usage(self, answer: Json) -> Usage | None:
        """The usage that the provider reported."""
        return responses_answer.usage(answer)

    def stream(self, *, keep_usage: bool = True, choices: int = 1) -> ResponsesStream:
        """A reader for one streamed answer."""
        return ResponsesStream()

    def error(self, said: Json) -> Json | None:
        """The object under `error`, or an event of this type."""
        return responses_answer.error(said)

    def assemble(self, raw: bytes) -> bytes:
        """The whole response with the content of a stream."""
        return responses_forms.assemble(raw)

    def unfold(self, answer: Json, cut: Callable[[str], Sequence[str]] = pieces) -> Iterator[bytes]:
        """The stream with the content of a whole response."""
        return responses_forms.unfold(answer, cut)

    def demo(self, body: Json) -> Json:
        """The user's last text, or a call of the first function."""
        return responses_demo.answer(body)

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {message, type, param, code}}`, with the fields of the refusal's detail."""
        return refused(refusal, request_id)

    def refuse_in_text(self, refusal: Refusal, request_id: str, model: str, answers: int, reason: str) -> Json | None:
        """An incomplete response whose text is the reason."""
        return responses_answer.refused(refusal, request_id, {"model": model, "usage": None}, reason)


def strays(answer: Json) -> list[Json]:
    """The tool calls of a response in shapes that the dialect does not have."""
    found: list[Json] = []
    for item in answer["output"]:
        if responses_answer.is_message(item):
            continue
        found += namespaces(item)
        if not calls_a_tool(item):
            found += in_blocks([item])
        if kind(item) == "message" and type(item.get("content")) is list:
            found += in_blocks([part for part in item["content"] if type(part) is dict])
    return [*found, *fields(answer, responses_answer.QUIET)]


OPENAI_RESPONSES = OpenAIResponses()
