"""OpenAI moderations (OpenAI API reference: moderations/create).

`input` is a text, a list of texts, or a list of parts that are texts and images and form one input. There are no
streams, tools or output tokens. OpenAI does not charge for moderations: usage counts if a provider reports any. Without
`model`, the call is one of the model `omni-moderation-latest`, as at OpenAI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.bodies import Json, Usage
from gateway.dialects import NO_VALUES, Intent, checks, openai_demo, openai_forms, openai_models
from gateway.dialects.base import Plain
from gateway.dialects.openai_answer import tier
from gateway.dialects.openai_chat import PASSES
from gateway.dialects.openai_embeddings import input_usage
from gateway.dialects.openai_fields import MODERATIONS
from gateway.dialects.openai_stream import refused
from gateway.dialects.openai_tables import SHAPE
from gateway.errors import Refusal

DEFAULT: Final = "omni-moderation-latest"
_MOST_INPUTS: Final = 2048
_SHAPE: Final = replace(
    SHAPE, opaque=frozenset({"model", "type"}), json=frozenset(), within=frozenset({"input", "image_url"}), blocks={}
)
_ANSWER: Final = replace(
    SHAPE,
    opaque=frozenset({"model", "id", "object", "category_applied_input_types"}),
    json=frozenset(),
    blobs=frozenset(),
    within=frozenset({"results"}),
    blocks={},
)


def _is_part(part: Any) -> bool:
    return type(part) is dict and type(part.get("type")) is str


class OpenAIModerations(Plain):
    """The codec of `/v1/moderations`."""

    name = "openai_moderations"
    noun = "a moderation"
    formats = frozenset({"openai", "demo"})
    path = "/moderations"
    shape = _SHAPE
    fields = MODERATIONS
    answer = _ANSWER
    passes: Mapping[bytes, re.Pattern[bytes]] = PASSES
    words = frozenset({"text", "image"})
    restores = False

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The model. Raises Refusal(invalid_request), which names the parameter."""
        model, said = DEFAULT if body.get("model") is None else checks.model(body), body.get("input")
        if type(said) is not str and not (
            type(said) is list and 0 < len(said) <= _MOST_INPUTS and (set(map(type, said)) == {str} or _are_parts(said))
        ):
            words = f"must be a string, a list of up to {_MOST_INPUTS} strings, or a list of parts with a type"
            raise checks.wrong("input", words)
        if body.get("stream") not in (None, False):
            raise checks.wrong("stream", "must be false or left out: moderations do not stream")
        openai_models.check({**body, "model": model})
        return Intent(model, False, (), 0)

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Set the model of the upstream; True if the body changed."""
        body.setdefault("model", DEFAULT)
        if body["model"] is None:
            body["model"] = DEFAULT
        return super().request(body, model, stream)

    def items(self, body: Json) -> dict[str, int]:
        """Inputs count as parts."""
        return {"parts": len(body["input"]) if type(body["input"]) is list else 1}

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """No counts: the inputs limit the answer."""
        return {"parts": len(answer["results"])}

    def answers(self, body: Json) -> int:
        """0: answers have no output tokens."""
        return 0

    def wants_usage(self, body: Json) -> bool:
        """False: there are no streams."""
        return False

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """False: no answer exceeds a limit of `max_tokens`, since answers have no output tokens."""
        checks.most_tokens(limits, "moderations")
        return False

    def choices(self, body: Json) -> int:
        """The number of inputs: one result for each."""
        said = body["input"]
        return len(said) if type(said) is list and type(said[0]) is str else 1

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a list of at most `choices` results, each with a verdict."""
        results = answer.get("results")
        if type(results) is not list or not all(type(one) is dict for one in results):
            raise ValueError("it holds no results")
        if not all(type(one.get("flagged", one.get("categories"))) in (bool, dict) for one in results):
            raise ValueError("a result holds no verdict")
        if len(results) > choices:
            raise ValueError(f"it holds {len(results)} results where {choices} may be")

    def usage(self, answer: Json) -> Usage:
        """All tokens are input; no usage if the provider reports none."""
        return input_usage(answer) or Usage(tier=tier(answer))

    def error(self, said: Json) -> Json | None:
        """The object under `error`."""
        return openai_forms.error(said)

    def demo(self, body: Json) -> Json:
        """A result for each input, none of which is flagged."""
        return openai_demo.moderation(body, self.choices(body))

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {message, type, param, code}}`, with the fields of the refusal's detail."""
        return refused(refusal, request_id)


def _are_parts(said: list[Any]) -> bool:
    return all(map(_is_part, said))


OPENAI_MODERATIONS = OpenAIModerations()
