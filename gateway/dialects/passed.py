"""Calls that are passed through: images, audio, files, batches. Their texts are judged, and nothing is modelled.

A request is JSON or a form (`multipart`); an answer is JSON, a text or bytes. Whatever is no text is an unscannable
part. A path whose requests name no model is a call of the model that is called like the path. There are no streams.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from gateway.bodies import Json, Named, State, Usage
from gateway.dialects import NO_VALUES, Intent, checks, count, multipart, openai_forms, openai_models, tree
from gateway.dialects.base import Plain
from gateway.dialects.field_table import Table
from gateway.dialects.fields import Run, gather
from gateway.dialects.openai_chat import PASSES
from gateway.dialects.openai_stream import refused
from gateway.dialects.openai_tables import SHAPE
from gateway.dialects.responses_items import ID
from gateway.errors import Refusal

_WITHIN: Final = frozenset({"image", "image[]", "mask", "file", "data", "expires_after", "lines", "images"})
_SHAPE: Final = replace(
    SHAPE,
    opaque=frozenset({"model", "type", "size", "quality", "response_format", "voice", "purpose", "language", "style"})
    | frozenset({"background", "output_format", "input_fidelity", "moderation", "endpoint", "completion_window"})
    | frozenset({"input_file_id", "output_file_id", "error_file_id", "file_id", "id", "object", "status"}),
    json=frozenset(),
    blobs=frozenset({"image_url"}),
    within=_WITHIN,
    turns=frozenset(),
    ahead=frozenset(),
    blocks={},
)
_ANSWER: Final = replace(_SHAPE, within=_WITHIN | {"usage", "segments", "words"}, pictures=frozenset({"b64_json"}))
_LARGEST: Final = 64 * 1024 * 1024
What = Literal["model", "path"]


class Passed(Plain):
    """One path that is passed through.

    `needs`: the fields that a request must have, apart from a model. `names`: whether requests name a model. `forms`:
    whether a request may be a form. `generates`: whether an answer has output tokens.
    """

    formats = frozenset({"openai", "demo"})
    shape = _SHAPE
    answer = _ANSWER
    fields = Table({})
    passes: Mapping[bytes, re.Pattern[bytes]] = PASSES
    words = frozenset({"list", "text", "transcribe", "file", "batch"})
    max_answer = _LARGEST
    through = True
    cites: tuple[bytes, ...] = (b"file_id", b'"voice"')

    def __init__(
        self,
        name: str,
        noun: str,
        path: str,
        fields: Table,
        *,
        needs: Sequence[str] = (),
        names: What = "model",
        forms: bool = False,
        stores: str = "state",
        says: str = "",
    ) -> None:
        self.name, self.noun, self.path, self.fields = name, noun, path, fields
        self.forms, self.stores = forms, stores
        self._needs, self._names, self._says = needs, names, says

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """The model, or the path as a model. Raises Refusal(invalid_request), which names the parameter."""
        model = checks.model(body) if self._names == "model" else f"/v1{self.path.removeprefix('/v1')}"
        for name in self._needs:
            if body.get(name) in (None, "", []):
                raise checks.wrong(name, "must be given")
        if body.get("stream") not in (None, False, "false"):
            raise checks.wrong("stream", f"must be left out: {self.noun} is not streamed here")
        openai_models.check({**{key: value for key, value in body.items() if key != "file"}, "model": model})
        return Intent(model, False, (), 0)

    def unscannable(self, body: Json) -> dict[str, int]:
        """The files of a form that are no text, by kind."""
        kinds: dict[str, int] = {}
        for file in multipart.files(body):
            if one := multipart.kind(file):
                kinds[one] = kinds.get(one, 0) + 1
        return kinds

    def request(self, body: Json, model: str, stream: bool) -> bool:
        """Set the model of the upstream, if requests name one."""
        return super().request(body, model, stream) if self._names == "model" else False

    def answers(self, body: Json) -> int:
        """0: output tokens have no limit in these requests, and count if the provider reports any."""
        return 0

    def wants_usage(self, body: Json) -> bool:
        """False: there are no streams."""
        return False

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """False: these requests have no limit of output tokens."""
        checks.most_tokens(limits, self.noun)
        return False

    def keeps(self, body: Json) -> bool:
        """Whether the provider stores something, which has an owner."""
        return self.stores != "state"

    def state(self, answer: Json) -> State | None:
        """What is stored, by its id."""
        id = checks.text(answer.get("id"))
        return State(id, ()) if self.stores != "state" and ID.fullmatch(id) else None

    def check(self, answer: Json, choices: int) -> None:
        """Raise ValueError unless the answer has what it must say."""
        if self._says and self._says not in answer:
            raise ValueError(f"it holds no {self._says}")

    def runs(self, answer: Json, survey: tree.Survey) -> list[Run]:
        """The strings of lists at the same path: segments and words of a transcript repeat its text in pieces."""
        if survey.lists < 1 or "lines" in answer:
            return []
        return gather(survey, [(0, key, value) for key, value in answer.items()])

    def usage(self, answer: Json) -> Usage | None:
        """`input_tokens` and `output_tokens`; None if the provider reports none."""
        told = answer.get("usage")
        if type(told) is not dict:
            return None
        counts = count(told.get("input_tokens")), count(told.get("output_tokens", 0))
        return None if counts[0] is None or counts[1] is None else Usage(input=counts[0], output=counts[1])

    def error(self, said: Json) -> Json | None:
        """The object under `error`."""
        return openai_forms.error(said)

    def demo(self, body: Json) -> Json:
        """An answer of the form, without content."""
        said = body.get("prompt") or body.get("input") or ""
        answer: Json = {"id": f"{self.stores}_demo", "object": self.stores, "usage": {"input_tokens": 1}}
        return {**answer, self._says or "text": [] if self._says == "data" else f"You said: {said}"}

    def refuse(self, refusal: Refusal, request_id: str) -> Json:
        """`{"error": {message, type, param, code}}`, with the fields of the refusal's detail."""
        return refused(refusal, request_id)


class Proof(Passed):
    """What a provider says of a state that it stores: an object, the proof of a deletion, or the content of a file."""

    def check(self, answer: Json, choices: int) -> None:
        """Nothing: the content is of any form."""

    def usage(self, answer: Json) -> Usage | None:
        """No usage: what is stored was charged when it was made."""
        return None


class Batch(Passed):
    """A batch of requests, which the provider answers later: it is charged when its usage is first seen."""

    inherits = True

    def refers(self, body: Json) -> Sequence[Named]:
        """The file with the requests."""
        id = body.get("input_file_id")
        if id is None:
            return ()
        if type(id) is not str or not ID.fullmatch(id):
            raise checks.wrong("input_file_id", "must be the id of a file")
        return (Named("file", id, "input_file_id"),)

    def defers(self, body: Json) -> bool:
        """True."""
        return True

    def pending(self, answer: Json) -> bool:
        """Until it has ended."""
        return answer.get("status") not in ("completed", "failed", "expired", "cancelled")

    def ended(self, answer: Json) -> bool:
        """Once its status says so."""
        return not self.pending(answer)

    def usage(self, answer: Json) -> Usage | None:
        """As reported; none if no request was answered; None if nobody knows."""
        told, counts = super().usage(answer), answer.get("request_counts")
        answered = count(counts.get("completed")) if type(counts) is dict else answer.get("status") != "failed"
        return Usage() if told is None and answered in (0, False) else told

    def state(self, answer: Json) -> State | None:
        """The batch, and the files with its results."""
        id = checks.text(answer.get("id"))
        files = [checks.text(answer.get(name)) for name in ("output_file_id", "error_file_id")]
        return State(id, (), [one for one in files if ID.fullmatch(one)]) if ID.fullmatch(id) else None


def prompted(lines: Sequence[Json], of: Callable[[Json], Any], param: str) -> str:
    """The model of all requests of a batch, which is one. Raises Refusal(invalid_request)."""
    bodies: list[Json] = [it for line in lines if type(line) is dict and type(it := of(line)) is dict]
    if not bodies or len(bodies) != len(lines):
        raise checks.wrong(param, "must hold requests, each with a body")
    models = {checks.text(body.get("model")) for body in bodies}
    if len(models) != 1 or "" in models:
        raise checks.wrong(param, "must hold requests for one model: a batch is judged and priced as one model")
    for body in bodies:
        openai_models.check({key: value for key, value in body.items() if key not in ("input", "messages")})
    return models.pop()
