"""Gemini's embeddings: one content, or a batch of requests (Gemini API reference: models.embedContent).

All texts are judged; images and files are unscannable parts. The vectors of an answer hold no text and leave unchanged
(`openai_vectors`); everything else in an answer is judged as text. There are no streams, tools or output tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.bodies import Json, Usage
from gateway.dialects import NO_VALUES, Intent, Outline, checks, gemini_answer, openai_models
from gateway.dialects.base import Plain, Ungenerated
from gateway.dialects.gemini import Gemini, check_parts, model_of, strange
from gateway.dialects.gemini_fields import EMBEDDING, EMBEDDINGS
from gateway.dialects.gemini_tables import ANSWER, SHAPE, each_part, field
from gateway.dialects.openai_vectors import Vectors, listed

_SHAPE: Final = replace(SHAPE, turns=frozenset(), ahead=frozenset(), roles={}, speakers={}, parts={}, thoughts=False)
_ANSWER: Final = replace(ANSWER, within=ANSWER.within | {"embedding", "embeddings"})
_LARGEST: Final = 256 * 1024 * 1024
_MOST: Final = 2048  # requests of one batch
_DIMENSIONS: Final = 16


def _held(answer: Json) -> Iterator[Json]:
    """The objects that hold the vectors of an answer."""
    one: Any = answer.get("embedding")
    return iter((one,)) if type(one) is dict else listed(answer, "embeddings")


_VECTORS: Final = Vectors("values", _held)


class GeminiEmbedding(Ungenerated, Gemini):
    """The codec of `:embedContent`."""

    name = "gemini_embedding"
    noun = "an embedding"
    path = "/v1beta/models/{model}:embedContent"
    verb = "embedContent"
    shape = _SHAPE
    history = ""
    fields = EMBEDDING
    answer = _ANSWER
    max_answer = _LARGEST
    restores = False

    joined = Plain.joined
    steps = Plain.steps
    overhead = Plain.overhead
    tier = Plain.tier
    tools = Plain.tools
    strip_tools = Plain.strip_tools
    writes_json = Plain.writes_json

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The model. Raises Refusal(invalid_request), which names the parameter."""
        model = model_of(body, values)
        for one in self.requests(body):
            model_of(one, {"model": model})
            content = field(one, "content")
            if type(content) is not str:
                check_parts("content", content)
            openai_models.check({**strange(one, EMBEDDING), "model": model})
        openai_models.check({**strange(body, self.fields), "model": model})
        return Intent(model, False, (), 0)

    def requests(self, body: Json) -> list[Json]:
        """The requests of a body: itself."""
        return [body]

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Set the model of the upstream where the body repeats it."""
        changed = [Gemini.request(self, one, model, stream) for one in self.requests(body)]
        return any(changed)

    def items(self, body: Json) -> dict[str, int]:
        """The number of parts."""
        contents = [field(one, "content") for one in self.requests(body)]
        return {"parts": sum(1 for one in contents if type(one) is dict for _ in each_part(one)) + len(contents)}

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """No counts: the requests limit the answer."""
        return {"parts": sum(1 for _ in _held(answer))}

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """False: no answer exceeds a limit of `max_tokens`, since answers have no output tokens."""
        checks.most_tokens(limits, "embeddings")
        return False

    def choices(self, body: Json) -> int:
        """The number of requests: one vector for each."""
        return len(self.requests(body))

    def outline(self, raw: bytes) -> Outline:
        """The answer without its vectors."""
        return _VECTORS.outline(raw)

    def fill(self, answer: Json, raw: bytes, cuts: Sequence[tuple[int, int]]) -> None:
        """Put the vectors back, byte for byte."""
        _VECTORS.fill(answer, raw, cuts)

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless this holds at most `choices` vectors."""
        held = list(_held(answer))
        if not held or not all(type(one.get("values")) is list for one in held):
            raise ValueError("it holds no vectors")
        if len(held) > choices:
            raise ValueError(f"it holds {len(held)} vectors where {choices} may be")

    def usage(self, answer: Json) -> Usage | None:
        """All tokens are input; None if the provider reports none."""
        told = gemini_answer.usage(answer)
        return told and replace(told, output=0, reasoning=0)

    def demo(self, body: Json) -> Json:
        """A vector for each content, equal for equal contents."""
        vectors = [{"values": _vector(field(one, "content"))} for one in self.requests(body)]
        return {"embedding": vectors[0], "usageMetadata": {"promptTokenCount": 1}}


class GeminiEmbeddings(GeminiEmbedding):
    """The codec of `:batchEmbedContents`."""

    name = "gemini_embeddings"
    noun = "a list of embeddings"
    path = "/v1beta/models/{model}:batchEmbedContents"
    verb = "batchEmbedContents"
    fields = EMBEDDINGS

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The model. Raises Refusal(invalid_request), which names the parameter."""
        said = body.get("requests")
        if type(said) is not list or not 0 < len(said) <= _MOST or not all(type(one) is dict for one in said):
            raise checks.wrong("requests", f"must be a list of 1 to {_MOST} objects")
        return super().parse(body, values)

    def requests(self, body: Json) -> list[Json]:
        """The requests of a batch."""
        said: list[Json] = body["requests"]
        return said

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """The same, for the body too."""
        changed = super().request(body, model, stream)
        return Gemini.request(self, body, model, stream) or changed

    def demo(self, body: Json) -> Json:
        """A vector for each content, equal for equal contents."""
        vectors = [{"values": _vector(field(one, "content"))} for one in self.requests(body)]
        return {"embeddings": vectors, "usageMetadata": {"promptTokenCount": len(vectors)}}


def _vector(content: Any) -> list[float]:
    """Numbers from the hash of a content."""
    digest = hashlib.shake_256(repr(content).encode("utf-8", "surrogatepass")).digest(_DIMENSIONS)
    return [byte / 256 - 0.5 for byte in digest]


GEMINI_EMBEDDING = GeminiEmbedding()
GEMINI_EMBEDDINGS = GeminiEmbeddings()
