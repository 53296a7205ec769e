"""Calls of the Responses dialect that generate no answer: the count of input tokens, and the compaction of items.

OpenAI API reference: responses/input-tokens, responses/compact.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.bodies import Json, Usage
from gateway.dialects import (
    NO_VALUES,
    Intent,
    checks,
    count,
    openai_models,
    responses_demo,
    responses_items,
    states,
)
from gateway.dialects.base import Plain, Ungenerated
from gateway.dialects.openai_responses import CONTINUES, OpenAIResponses


class ResponsesCount(Ungenerated, OpenAIResponses):
    """The codec of `/v1/responses/input_tokens`: the request of a response, answered with a number, free of charge."""

    name = "openai_responses_count"
    noun = "a count of input tokens"
    path = "/responses/input_tokens"

    keeps = Plain.keeps
    answer_items = Plain.answer_items
    drop_repeats = Plain.drop_repeats

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """Model and tools; the input may be left out. Raises Refusal(invalid_request), which names the parameter."""
        model = checks.model(body)
        responses_items.check(body if body.get("input") is not None else {**body, "input": ""})
        if checks.stream(body):
            raise checks.wrong("stream", "must be left out: tokens are counted in one answer")
        openai_models.check(responses_items.settings(body))
        states.check(responses_items.settings(body), CONTINUES)
        return Intent(model, False, self.tools(body), None)

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Nothing is generated, so nothing exceeds a limit."""
        checks.most_tokens(limits, "counts of tokens")
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
        used = responses_demo.answer({**body, "input": body.get("input") or ""})["usage"]["input_tokens"]
        return {"object": "response.input_tokens", "input_tokens": used}


class ResponsesCompaction(OpenAIResponses):
    """The codec of `/v1/responses/compact`: items, answered with fewer items that stand for them.

    The answer is the conversation for the next request, not a turn: the tool calls in it were made before. Compacted
    items are encrypted: they are passed on unchanged.
    """

    name = "openai_responses_compaction"
    noun = "a compaction"
    path = "/responses/compact"

    keeps = Plain.keeps
    state = Plain.state
    is_whole = Plain.is_whole
    refuse_in_text = Plain.refuse_in_text
    calls = Plain.calls
    strays = Plain.strays

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """Model and tools. Raises Refusal(invalid_request), which names the parameter."""
        if body.get("input") is None and self.refers(body):
            super().parse({**body, "input": ""})
            return Intent(checks.model(body), False, self.tools(body), None)
        intent = super().parse(body)
        if intent.stream:
            raise checks.wrong("stream", "must be left out: items are compacted in one answer")
        return intent

    def demo(self, body: Json) -> Json:
        """The items as they are."""
        said = body.get("input") or ""
        items = said if type(said) is list else [{"type": "message", "role": "user", "content": said}]
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        return {"id": "resp_demo", "object": "response.compaction", "created_at": 1, "output": items, "usage": usage}


RESPONSES_COUNT = ResponsesCount()
RESPONSES_COMPACTION = ResponsesCompaction()
