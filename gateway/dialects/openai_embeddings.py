"""OpenAI embeddings (OpenAI API reference: embeddings/create).

`input` is a text, a list of texts, a list of token ids or a list of such lists. Every text is judged; token ids are
numbers that no scanner reads, so each list of them counts as an unscannable part of kind `tokens`. There are no
streams, tools or output tokens: a call is charged for its input. The vectors of an answer hold no text and leave
unchanged (`openai_vectors`); everything else in an answer is judged as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.bodies import Json, Usage
from gateway.dialects import (
    NO_VALUES,
    Intent,
    Outline,
    checks,
    count,
    openai_ceilings,
    openai_demo,
    openai_forms,
    openai_inputs,
    openai_models,
    openai_vectors,
    states,
    tree,
)
from gateway.dialects.base import Plain
from gateway.dialects.fields import Run, gather
from gateway.dialects.openai_answer import tier
from gateway.dialects.openai_chat import PASSES
from gateway.dialects.openai_fields import EMBEDDINGS
from gateway.dialects.openai_stream import refused
from gateway.dialects.openai_tables import SHAPE
from gateway.errors import Refusal

_SHAPE: Final = replace(
    SHAPE, opaque=frozenset({"model", "encoding_format", "service_tier"}), json=frozenset(), within=frozenset()
)
_ANSWER: Final = replace(
    SHAPE,
    opaque=frozenset({"model", "object", "id", "service_tier", "system_fingerprint"}),
    json=frozenset(),
    within=frozenset({"data"}),
)
_MOST_DIMENSIONS: Final = 65_536
_LARGEST: Final = 256 * 1024 * 1024  # 2,048 vectors of 3,072 numbers, one per line


class OpenAIEmbeddings(Plain):
    """The codec of `/v1/embeddings`."""

    name = "openai_embeddings"
    noun = "a list of embeddings"
    formats = frozenset({"openai", "demo"})
    path = "/embeddings"
    shape = _SHAPE
    fields = EMBEDDINGS
    answer = _ANSWER
    passes: Mapping[bytes, re.Pattern[bytes]] = PASSES
    words = frozenset({"list", "embedding"})
    max_answer = _LARGEST
    restores = False

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The model. Raises Refusal(invalid_request), which names the parameter."""
        model, said, wanted = checks.model(body), body.get("input"), body.get("dimensions")
        if not openai_inputs.are_inputs(said):
            raise checks.wrong("input", openai_inputs.WANTED)
        if body.get("stream") not in (None, False):
            raise checks.wrong("stream", "must be false or left out: embeddings do not stream")
        if type(body.get("encoding_format")) not in (str, type(None)):
            raise checks.wrong("encoding_format", "must be a string such as float or base64")
        if wanted is not None and not (type(wanted) is int and 0 < wanted <= _MOST_DIMENSIONS):
            raise checks.wrong("dimensions", f"must be an integer from 1 to {_MOST_DIMENSIONS}")
        openai_models.check(body)
        states.check(body)
        return Intent(model, False, (), 0)

    def items(self, body: Json) -> dict[str, int]:
        """Inputs count as parts."""
        return {"parts": self.choices(body)}

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """No counts: the inputs limit the answer."""
        return {"parts": len(answer["data"])}

    def unscannable(self, body: Json) -> dict[str, int]:
        """Lists of token ids."""
        lists = len(openai_inputs.token_lists(body["input"]))
        return {"tokens": lists} if lists else {}

    def answers(self, body: Json) -> int:
        """0: answers have no output tokens."""
        return 0

    def wants_usage(self, body: Json) -> bool:
        """False: there are no streams."""
        return False

    def overhead(self, body: Json) -> int:
        """The number of token ids."""
        return sum(map(len, openai_inputs.token_lists(body["input"])))

    def tier(self, body: Json) -> str:
        """`service_tier`, which some servers have."""
        return openai_ceilings.tier(body)

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """False: no answer exceeds a limit of `max_tokens`, since answers have no output tokens."""
        checks.most_tokens(limits, "embeddings")
        return False

    def choices(self, body: Json) -> int:
        """The number of inputs: one vector for each."""
        return openai_inputs.number(body["input"])

    def outline(self, raw: bytes) -> Outline:
        """The answer without its vectors."""
        return openai_vectors.VECTORS.outline(raw)

    def fill(self, answer: Json, raw: bytes, cuts: Sequence[tuple[int, int]]) -> None:
        """Put the vectors back, byte for byte."""
        openai_vectors.VECTORS.fill(answer, raw, cuts)

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this is a list of at most `choices` embeddings, each with a list or a string."""
        data = answer.get("data")
        if type(data) is not list or not all(type(item) is dict for item in data):
            raise ValueError("it holds no data")
        if not all(type(item.get("embedding")) in (list, str) for item in data):
            raise ValueError("an item holds no embedding")
        if len(data) > choices:
            raise ValueError(f"it holds {len(data)} embeddings where {choices} may be")

    def runs(self, answer: Json, survey: tree.Survey) -> list[Run]:
        """The running texts: strings of lists at the same path of the answer or of one item."""
        return gather(survey, _said(answer)) if survey.lists > 1 else []  # one list is that of the items

    def usage(self, answer: Json) -> Usage | None:
        """`prompt_tokens`, or the total if that is larger: all tokens are input. None without either."""
        return input_usage(answer)

    def served_in(self, answer: Json) -> str:
        """`service_tier`."""
        return tier(answer)

    def error(self, said: Json) -> Json | None:
        """The object under `error`."""
        return openai_forms.error(said)

    def demo(self, body: Json) -> Json:
        """A vector for each input, equal for equal inputs."""
        return openai_demo.embeddings(body)

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {message, type, param, code}}`, with the fields of the refusal's detail."""
        return refused(refusal, request_id)


def input_usage(answer: Json) -> Usage | None:
    """The usage of an answer whose tokens are all input: `prompt_tokens`, or the total if that is larger."""
    told = answer.get("usage")
    if type(told) is not dict:
        return None
    counts = [it for key in ("prompt_tokens", "total_tokens") if (it := count(told.get(key))) is not None]
    return Usage(input=max(counts), tier=tier(answer)) if counts else None


def _said(answer: Json) -> Iterator[tuple[int, str, Any]]:
    """The fields of an answer: item, path, value."""
    for key, value in answer.items():
        if key != "data":
            yield 0, f"answer:{key}", value
    for at, item in enumerate(answer["data"]):
        for key, value in item.items():
            yield at, key, value


OPENAI_EMBEDDINGS = OpenAIEmbeddings()
