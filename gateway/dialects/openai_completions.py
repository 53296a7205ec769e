"""OpenAI text completions, whole and streamed (OpenAI API reference: completions/create).

`prompt` is a text, a list of texts, a list of token ids or a list of such lists; every prompt has `n` choices. Where a
completion does not differ from a chat completion, the codec is that of chat. There is no conversation, so a prompt has
no author. With `echo`, an answer begins with its prompt, which is judged as the rest.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from gateway.bodies import Json
from gateway.dialects import (
    NO_VALUES,
    Intent,
    Profile,
    checks,
    completions_stream,
    openai_ceilings,
    openai_demo,
    openai_fields,
    openai_forms,
    openai_inputs,
    openai_models,
    ordinal,
    sse,
    states,
    surrogates,
    tree,
)
from gateway.dialects.base import Plain
from gateway.dialects.completions_stream import OpenAICompletionsStream
from gateway.dialects.fields import Run, gather
from gateway.dialects.openai_chat import PASSES, OpenAIChat
from gateway.dialects.openai_tables import ANSWER, ENVELOPE, MAX_CHOICES, SHAPE, WORDS
from gateway.errors import Refusal

_SHAPE: Final = replace(
    SHAPE,
    opaque=frozenset({"model", "service_tier"}),
    json=frozenset(),
    blobs=frozenset(),
    within=frozenset(),
    turns=frozenset(),
    ahead=frozenset(),
    blocks={},
)
_MOST_ANSWERS: Final = 2048
_TOKENS_OF: Final = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


def _prompts(body: Json) -> int:
    """The number of prompts of a checked request."""
    said = body.get("prompt")
    return 1 if said is None else openai_inputs.number(said)


def _token_lists(body: Json) -> list[list[int]]:
    said = body.get("prompt")
    return [] if said is None else openai_inputs.token_lists(said)


class OpenAICompletions(OpenAIChat):
    """The codec of `/v1/completions`."""

    name = "openai_completions"
    noun = "a completion"
    formats = frozenset({"openai", "demo"})
    path = "/completions"
    shape = _SHAPE
    history = ""
    fields = openai_fields.COMPLETIONS
    answer = ANSWER
    passes: Mapping[bytes, re.Pattern[bytes]] = PASSES
    main = frozenset({"text"})
    words = WORDS | {"text_completion"}

    joined = Plain.joined
    steps = Plain.steps
    calls = Plain.calls
    writes_json = Plain.writes_json

    def parse(self, body: Json, values: Mapping[str, str] = NO_VALUES) -> Intent:
        """Model, stream and output limit of all answers. Raises Refusal(invalid_request), which names the parameter."""
        model, said = checks.model(body), body.get("prompt")
        if said is not None and not openai_inputs.are_inputs(said):
            raise checks.wrong("prompt", openai_inputs.WANTED)
        stream, options = checks.stream(body), body.get("stream_options")
        if options is not None and type(options) is not dict:
            raise checks.wrong("stream_options", "must be an object")
        openai_models.check(body)
        states.check(body)
        answers, ceiling = self.answers(body), openai_ceilings.ceiling(body)
        if answers > (most := MAX_CHOICES if stream else _MOST_ANSWERS):
            words = (
                f"asks for {answers} answers ({_prompts(body)} prompts, times `n` or `best_of`), and at most {most} "
            )
            raise checks.wrong("prompt", f"{words}are allowed in one {'stream' if stream else 'call'}")
        return Intent(model, stream, self.tools(body), ceiling and ceiling * answers)

    def items(self, body: Json) -> dict[str, int]:
        """Prompts count as parts."""
        return {"parts": _prompts(body)}

    def answer_items(self, answer: Json) -> Mapping[str, int]:
        """No counts: the prompts limit the answer."""
        return {"parts": len(answer["choices"])}

    def unscannable(self, body: Json) -> dict[str, int]:
        """Lists of token ids."""
        lists = len(_token_lists(body))
        return {"tokens": lists} if lists else {}

    def answers(self, body: Json) -> int:
        """The number of answers that are generated for all prompts."""
        return openai_ceilings.answers(body) * _prompts(body)

    def choices(self, body: Json) -> int:
        """`n` for each prompt."""
        return openai_ceilings.choices(body) * _prompts(body)

    def fitting(self, body: Json, profile: Profile) -> dict[str, Any]:
        """The output limit is `max_tokens` at every provider."""
        return openai_ceilings.named(body, "max_tokens")

    def overhead(self, body: Json) -> int:
        """The number of token ids."""
        return sum(map(len, _token_lists(body)))

    def limit(self, body: Json, limits: Mapping[str, int]) -> bool:
        """Lower the output limit to a policy's limit."""
        return openai_ceilings.lower(body, checks.most_tokens(limits, "completions"), "max_tokens")

    def is_whole(self, said: Json) -> bool:
        """Whether a choice has ended: an event has the form of a whole answer."""
        choices = said.get("choices")
        told = [choice for choice in choices if type(choice) is dict] if type(choices) is list else []
        return any(choice.get("finish_reason") for choice in told)

    def runs(self, answer: Json, survey: tree.Survey) -> list[Run]:
        """The running texts: strings of lists at the same path of a choice."""
        return gather(survey, _said(answer)) if survey.lists > 1 else []  # one list is that of the choices

    def echoes(self, answer: Json) -> bool:
        """Whether the log probabilities are equal to the text, and so were judged with it."""
        told = [choice for choice in answer["choices"] if choice.get("logprobs") is not None]
        return all(map(completions_stream.echoes, told))

    def asides(self, answer: Json) -> list[str]:
        """The joined texts of alternative tokens."""
        told = [choice["logprobs"] for choice in answer["choices"] if choice.get("logprobs") is not None]
        return [text for one in told for _, text in completions_stream.alternatives(one)]

    def stream(self, *, keep_usage: bool, choices: int = MAX_CHOICES) -> OpenAICompletionsStream:
        """A reader for one streamed answer."""
        return OpenAICompletionsStream(keep_usage, choices)

    def assemble(self, raw: bytes) -> bytes:
        """The whole answer with the content of a stream."""
        return _assemble(raw)

    def unfold(self, answer: Json, cut: Callable[[str], Sequence[str]] = openai_forms.pieces) -> Iterator[bytes]:
        """The stream with the content of a whole answer."""
        return _unfold(answer, cut)

    def demo(self, body: Json) -> Json:
        """Each prompt, repeated."""
        return openai_demo.completion(body)

    def refuse_in_text(self, refusal: Refusal, request_id: str, model: str, answers: int, reason: str) -> Json:
        """A completion with `finish_reason: content_filter`, whose text is the reason."""
        choices = [completions_stream.refused(index, refusal, reason) for index in range(answers)]
        head = {"id": f"cmpl-{request_id}", "object": "text_completion", "created": int(time.time())}
        return {**head, "model": model, "choices": choices}


def _said(answer: Json) -> Iterator[tuple[int, str, Any]]:
    """The fields of an answer: choice, path, value."""
    for key, value in answer.items():
        if key != "choices":
            yield 0, f"chunk:{key}", value
    for at, choice in enumerate(answer["choices"]):
        for key, value in choice.items():
            if key != "logprobs":
                yield at, key if key == "text" else f"choice:{key}", value


def _assemble(raw: bytes) -> bytes:
    """The whole answer of a stream. Raises ValueError, also for a stream that broke off before its end."""
    answer: Json = {}
    choices: dict[int, Json] = {}
    texts: dict[int, list[str]] = {}
    ended = False
    for chunk in openai_forms.chunks(raw):
        if chunk is None:
            ended = True
            break
        for piece in chunk.get("choices") or ():
            if piece is not None:
                index = max(0, ordinal(piece.get("index")) or 0)
                texts.setdefault(index, []).append(piece.get("text") or "")
                choices[index] = _joined(choices.get(index), piece) | {"index": index}
        answer |= {key: value for key, value in chunk.items() if key != "choices" and value is not None}
    if not choices:
        raise ValueError("it holds no choices")
    if not ended and not all(choice.get("finish_reason") for choice in choices.values()):
        raise ValueError("it broke off before its end")
    answer.pop("obfuscation", None)
    said = [{**choices[index], "text": "".join(texts[index])} for index in sorted(choices)]
    return orjson.dumps(surrogates.mend({**answer, "object": "text_completion", "choices": said}))


def _joined(before: Json | None, piece: Json) -> Json:
    """A choice with one more piece, except its text: log probabilities continue, other values are replaced."""
    if before is None:
        return piece
    after = {**before, **{key: value for key, value in piece.items() if value is not None}}
    told, more = before.get("logprobs"), piece.get("logprobs")
    if type(told) is dict and type(more) is dict:
        after["logprobs"] = {key: (told.get(key) or []) + (more.get(key) or []) for key in _TOKENS_OF}
    return after


def _unfold(answer: Json, cut: Callable[[str], Sequence[str]]) -> Iterator[bytes]:
    """The stream with the content of a whole answer. Raises ValueError."""
    choices = answer.get("choices")
    if type(choices) is not list or not all(type(choice) is dict for choice in choices):
        raise ValueError("it holds no choices")
    head = {key: value for key, value in answer.items() if key in ENVELOPE} | {"object": "text_completion"}
    once = {key: value for key, value in answer.items() if key not in ENVELOPE and key not in ("choices", "usage")}
    for choice in choices:
        text, index = choice.get("text"), choice.get("index", 0)
        told = choice.get("logprobs") is not None  # the tables belong to the text as one piece
        for piece in cut(text) if type(text) is str and not told else ():
            said = {"index": index, "text": piece, "logprobs": None, "finish_reason": None}
            yield sse.encode(orjson.dumps({**head, **once, "choices": [said]}))
            once = {}
        last = {**choice, "index": index, "text": text if told else "", "finish_reason": choice.get("finish_reason")}
        last["finish_reason"] = last["finish_reason"] or "stop"
        yield sse.encode(orjson.dumps({**head, **once, "choices": [last]}))
        once = {}
    if answer.get("usage") is not None:
        yield sse.encode(orjson.dumps({**head, "choices": [], "usage": answer["usage"]}))
    yield sse.encode(b"[DONE]")


OPENAI_COMPLETIONS = OpenAICompletions()
