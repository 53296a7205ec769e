"""Gemini's Interactions, whole and streamed (Gemini API reference: interactions).

`input` is a text, a content, a list of contents or a list of steps; an answer is a list of steps. Thoughts and
signatures are judged and never edited. An interaction that the provider stores has an owner, and may be continued,
retrieved, cancelled and deleted by that team. Refused: agents and environments of the provider, cached
content, and webhooks, which would send answers elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from gateway.bodies import Json, Named, State, Step, Usage
from gateway.dialects import (
    NO_VALUES,
    Intent,
    checks,
    gemini_answer,
    hosted,
    interactions_forms,
    media,
    openai_ceilings,
    openai_models,
    openai_tools,
    responses_items,
    states,
    tree,
)
from gateway.dialects.base import TRACEPARENT, Plain
from gateway.dialects.cited import OF_GEMINI
from gateway.dialects.field_table import table
from gateway.dialects.fields import Run, gather
from gateway.dialects.interactions_stream import InteractionsStream
from gateway.dialects.interactions_tables import ANSWER, CALL, SHAPE, calls_a_tool, tier, usage
from gateway.dialects.openai_forms import pieces
from gateway.dialects.parts import Joined, joined
from gateway.errors import Refusal
from gateway.texts import Slot

PATH: Final = "/v1beta/interactions"
_REFUSED: Final = {
    "agent": "names an agent of the provider, which this gateway does not serve: give a model",
    "agent_config": "configures an agent of the provider, which this gateway does not serve",
    "environment": "names an environment of the provider, which this gateway does not serve",
    "webhook_config": "would send the answer to another place: retrieve the interaction instead",
    "cached_content": "names content that the provider stores, whose owner is unknown here",
    "continuation_token": "continues an answer that broke off, whose owner is unknown here",
}
_FIELDS: Final = table(
    "model background previous_interaction_id response_mime_type response_modalities service_tier store stream "
    "system_instruction",
    input=None,
    generation_config=None,
    labels=None,
    response_format=None,
    safety_settings=None,
    tools=None,
)
_CONTINUES: Final = frozenset({"previous_interaction_id"})
_CEILING: Final = "max_output_tokens"
_RUNNING: Final = frozenset({"in_progress", "queued", "requires_processing"})


def _said(body: Json) -> list[Json]:
    """The contents or steps of a checked request; a text is a step of the user."""
    said = body.get("input")
    if type(said) is list:
        return said
    return [said] if type(said) is dict else [{"type": "user_input", "content": [{"type": "text", "text": said or ""}]}]


def _items(body: Json) -> list[Json]:
    """The same as items of the Responses dialect, for what they have in common: turns, calls, results."""
    items: list[Json] = []
    for one in _said(body):
        kind = one.get("type")
        if kind == "function_result":
            items.append({"type": "function_call_output", "call_id": one.get("call_id"), "output": one.get("result")})
        elif type(kind) is str and kind.endswith("_call"):
            items.append({**one, "call_id": one.get("id")})
        elif kind in ("model_output", "thought"):
            items.append({"role": "assistant", "content": one.get("content") or []})
        else:
            items.append({"role": "user", "content": one["content"] if kind == "user_input" else [one]})
    return items


class GeminiInteractions(Plain):
    """The codec of `/v1beta/interactions`."""

    name = "gemini_interactions"
    noun = "an interaction"
    formats = frozenset({"gemini", "demo"})
    path = PATH
    stores = "interaction"
    cites = OF_GEMINI
    shape = SHAPE
    fields = _FIELDS
    answer = ANSWER
    passes: Mapping[bytes, re.Pattern[bytes]] = MappingProxyType({b"traceparent": TRACEPARENT})
    main = frozenset({"text", "content[]"})
    words = frozenset({"interaction", "model_output", "thought", "function_call", "text", "completed", "in_progress"})

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """Model, tools and output limit. Raises Refusal(invalid_request), which names the parameter."""
        for name, problem in _REFUSED.items():
            if body.get(name) is not None:
                raise checks.wrong(name, problem)
        states.check(body, _CONTINUES)
        model = checks.model(body)
        stream = checks.stream(body)
        said = body.get("input")
        if type(said) not in (str, dict, list) or not said:
            raise checks.wrong("input", "must be a string, a content, or a list of contents or steps")
        for one in said if type(said) is list else [said] if type(said) is dict else ():
            if type(one) is not dict or type(one.get("type")) is not str:
                raise checks.wrong("input", "must hold objects with a type")
            if one["type"] == "user_input" and type(one.get("content")) is not list:
                raise checks.wrong("input", "must hold steps whose content is a list")
        if body.get("background") is True and body.get("store") is False:
            raise checks.wrong("store", "must not be false with `background`")
        if body.get("background") is True and stream:
            raise checks.wrong("background", "must be left out with `stream`: retrieve the interaction instead")
        config = body.get("generation_config")
        if type(config) not in (dict, type(None)):
            raise checks.wrong("generation_config", "must be an object")
        openai_models.check({key: value for key, value in body.items() if key not in ("input", "system_instruction")})
        most = (config or {}).get(_CEILING)
        if most is not None and (type(most) is not int or not 0 <= most <= checks.MAX_CEILING):
            raise checks.wrong(_CEILING, f"must be an integer from 0 to {checks.MAX_CEILING}")
        return Intent(model, stream, self.tools(body), most or None)

    def refers(self, body: Json) -> Sequence[Named]:
        """`previous_interaction_id`."""
        id = body.get("previous_interaction_id")
        if id is None:
            return ()
        if type(id) is not str or not responses_items.ID.fullmatch(id):
            raise checks.wrong("previous_interaction_id", "must be the id of an interaction")
        return (Named("interaction", id, "previous_interaction_id"),)

    def defers(self, body: Json) -> bool:
        """With `background`."""
        return body.get("background") is True

    def pending(self, answer: Json) -> bool:
        """Until its status says that it has ended."""
        return answer.get("status") in _RUNNING

    def ended(self, answer: Json) -> bool:
        """If it has a status, and is not running."""
        return checks.text(answer.get("status")) != "" and not self.pending(answer)

    def keeps(self, body: Json) -> bool:
        """Unless `store` is false."""
        return body.get("store") is not False

    def unstore(self, body: Json) -> bool:
        """Set `store` to false. Raises Refusal for answers in the background."""
        if body.get("background") is True:
            raise checks.must_store("`background`")
        changed = body.get("store") is not False
        body["store"] = False
        return changed

    def state(self, answer: Json) -> State | None:
        """The interaction."""
        id = checks.text(answer.get("id"))
        uses = responses_items.state({"id": id, "output": _items({"input": self._steps(answer)})})
        return uses and State(id, uses.uses)

    def _steps(self, answer: Json) -> list[Json]:
        steps = answer.get("steps")
        return [step for step in steps if type(step) is dict] if type(steps) is list else []

    def elsewhere(self, body: Json) -> int:
        """The largest output ceiling in fields that the dialect does not have."""
        others = {key: value for key, value in body.items() if key not in _FIELDS.keys}
        return openai_ceilings.elsewhere(others)

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Lower the output limit to a policy's limit."""
        most, config = checks.most_tokens(limits, "interactions"), body.get("generation_config") or {}
        if 0 < (config.get(_CEILING) or 0) <= most:
            return False
        body["generation_config"] = {**config, _CEILING: most}
        return True

    def items(self, body: Json) -> dict[str, int]:
        """The number of steps, parts, tools and tool calls of a request."""
        tools = body.get("tools")
        return responses_items.counts({"input": _items(body), "tools": tools if type(tools) is list else []})

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """The number of steps and tool calls of an answer."""
        return {"parts": len(self._steps(answer)), "tool_calls": len(self.calls(answer))}

    def unscannable(self, body: Json) -> dict[str, int]:
        """Contents that are no text and in no step; those in steps are counted by the walk."""
        kinds: dict[str, int] = {}
        for one in _said(body):
            if "content" not in one and (kind := media.kind(one)):
                kinds[kind] = kinds.get(kind, 0) + 1
        return kinds

    def joined(self, body: Json, slots: Sequence[Slot]) -> list[Joined]:
        """The joined texts of each step."""
        held = [{"content": one["content"]} for one in _said(body) if type(one.get("content")) is list]
        return joined({"messages": held}, slots)

    def steps(self, body: Json, earlier: Sequence[Step] = ()) -> list[Step]:
        """Prompts, the model's turns and tool results, in order."""
        return responses_items.steps(_items(body), earlier)

    def overhead(self, body: Json) -> int:
        """The tokens around steps: an estimate."""
        return 4 * len(_said(body)) + 3

    def tier(self, body: Json) -> str:
        """`service_tier`."""
        return openai_ceilings.tier(body)

    def served_in(self, answer: Json) -> str:
        """`service_tier`."""
        return tier(answer)

    def _offered(self, body: Json) -> Json:
        settings = {key: value for key, value in body.items() if key not in ("input", "system_instruction", "labels")}
        return {"messages": [], **settings}

    def tools(self, body: Json) -> tuple[str, ...]:
        """Every name of a tool in the request. Raises Refusal(invalid_request)."""
        return tuple(openai_tools.names(self._offered(body)))

    def hosted(self, body: Json) -> list[Json]:
        """The tools among them that the provider runs."""
        return hosted.of(self._offered(body))

    def strip_tools(self, body: Json, names: frozenset[str]) -> bool:
        """Remove tools from those offered."""
        offered = self._offered(body)
        if not openai_tools.strip(offered, names):
            return False
        body.pop("tools", None)
        body.update({key: value for key, value in offered.items() if key != "messages"})
        return True

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is an interaction."""
        steps = answer.get("steps", [])
        if type(answer.get("status")) is not str:
            raise ValueError("it holds no status")
        if type(steps) is not list or not all(type(step) is dict for step in steps):
            raise ValueError("it holds no steps")

    def runs(self, answer: Json, survey: tree.Survey) -> list[Run]:
        """The running texts: the contents of all outputs of the model, and other strings of lists at one path."""
        if survey.lists < 2:
            return []
        texts: list[Any] = []
        for step in self._steps(answer):
            if step.get("type") == "model_output" and type(step.get("content")) is list:
                texts += step["content"]
        return gather(survey, [(0, "content", texts)], frozenset({"content"}))

    def calls(self, answer: Json) -> list[Json]:
        """The steps that call a tool, also one that the provider runs."""
        return [step for step in self._steps(answer) if calls_a_tool(step)]

    def tool(self, call: Json) -> str:
        """The name of a function, else that of the tool of the provider."""
        kind = checks.text(call.get("type"))
        return checks.text(call.get("name")) if kind == "function_call" else kind.removesuffix("_call")

    def arguments(self, call: Json) -> tree.Survey:
        """Every text of one tool call."""
        survey = tree.Survey(CALL if type(call.get("arguments")) is str else ANSWER)
        survey.walk(call)
        return survey

    def is_whole(self, said: Json) -> bool:
        """An interaction, not an event of one."""
        return "event_type" not in said

    def drop_nulls(self, answer: Json) -> bool:
        """Of steps."""
        steps = answer.get("steps")
        if type(steps) is not list or None not in steps:
            return False
        answer["steps"] = [step for step in steps if step is not None]
        return True

    def stream(self, *, keep_usage: bool = True, choices: int = 1) -> InteractionsStream:
        """A reader for one streamed answer."""
        return InteractionsStream()

    def assemble(self, raw: bytes) -> bytes:
        """The whole answer with the content of a stream."""
        return interactions_forms.assemble(raw)

    def unfold(self, answer: Json, cut: Callable[[str], Sequence[str]] = pieces) -> Iterator[bytes]:
        """The stream with the content of a whole answer."""
        return interactions_forms.unfold(answer, cut)

    def refuse_in_text(self, refusal: Refusal, request_id: str, model: str, answers: int, reason: str) -> Json | None:
        """An interaction that failed, whose text is the reason."""
        error = {"code": refusal.status, "message": refusal.message}
        step = {"type": "model_output", "content": [{"type": "text", "text": reason}]}
        return {"id": f"v1_{request_id}", "status": "failed", "model": model, "steps": [step], "errors": [error]}

    def usage(self, answer: Json) -> Usage | None:
        """The usage that the provider reported; thoughts are output, results of tools input."""
        return usage(answer)

    def credentials(self, key: str) -> dict[str, str]:
        """`x-goog-api-key`."""
        return {"x-goog-api-key": key} if key else {}

    def error(self, said: Json) -> Json | None:
        """The object under `error`."""
        return gemini_answer.error(said)

    def demo(self, body: Json) -> Json:
        """The user's last text."""
        parts = [part for one in _said(body) for part in one.get("content") or [one] if type(part) is dict]
        text = " ".join(str(part["text"]) for part in parts if part.get("text"))
        step = {"type": "model_output", "content": [{"type": "text", "text": f"You said: {text}"}]}
        usage = {"total_input_tokens": len(text.split()), "total_output_tokens": len(text.split())}
        head = {"id": "v1_demo", "object": "interaction", "status": "completed", "model": body["model"]}
        return {**head, "steps": [step], "usage": usage}

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {code, message, status, details}}`."""
        return gemini_answer.refused(refusal, request_id)


class InteractionDeleted(GeminiInteractions):
    """The codec of the proof of a deletion, which may say nothing."""

    name = "gemini_interaction_deleted"
    noun = "the proof of a deletion"

    def check(self, answer: Json, choices: int) -> None:
        """Nothing."""

    def usage(self, answer: Json) -> Usage | None:
        """None."""
        return None

    def state(self, answer: Json) -> State | None:
        """None."""
        return None


GEMINI_INTERACTIONS = GeminiInteractions()
INTERACTION_DELETED = InteractionDeleted()
