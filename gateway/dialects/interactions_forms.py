"""Conversion of interactions: events to a whole answer, a whole answer to events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from gateway.bodies import Json
from gateway.dialects import items, sse, surrogates
from gateway.dialects.checks import text
from gateway.dialects.interactions_stream import encode, spoken
from gateway.dialects.interactions_tables import calls_a_tool


def assemble(raw: bytes) -> bytes:
    """The whole answer of a stream. Raises ValueError, also for a stream that broke off before its end."""
    steps: dict[Any, Json] = {}
    arguments: dict[Any, list[str]] = {}
    answer: Json | None = None
    for data in sse.datas(raw):
        if data.strip() == b"[DONE]":
            continue
        items.check_event(data, "an event")
        event, _ = surrogates.with_halves(data)
        if event is None:
            continue
        if type(event) is not dict or event.get("error"):
            raise ValueError("it holds an error")
        kind, index = event.get("event_type"), event.get("index")
        if kind == "step.start":
            steps[index] = dict(event["step"])
        elif kind == "step.delta":
            _add(steps[index], event["delta"], arguments.setdefault(index, []))
        elif kind == "interaction.completed":
            answer = dict(event["interaction"])
    if answer is None:
        raise ValueError("it broke off before its end")
    for index, said in arguments.items():
        if said:
            steps[index]["arguments"] = orjson.loads("".join(said))
    return orjson.dumps(surrogates.mend({**answer, "steps": [*steps.values()]}))


def _add(step: Json, delta: Json, arguments: list[str]) -> None:
    """Add a piece to a step."""
    kind = delta.get("type")
    if kind == "arguments_delta":
        arguments.append(text(delta.get("arguments")))
    elif kind == "text":
        content = step.setdefault("content", [])
        if content and content[-1].get("type") == "text":
            content[-1]["text"] += delta["text"]
        else:
            content.append({"type": "text", "text": delta["text"]})
    elif kind == "thought_summary":
        step.setdefault("summary", []).append(delta.get("content"))
    elif kind == "thought_signature":
        step["signature"] = step.get("signature", "") + text(delta.get("signature"))


def unfold(answer: Json, cut: Callable[[str], Sequence[str]]) -> Iterator[bytes]:
    """The stream with the content of a whole answer; `cut` divides texts. Raises ValueError."""
    steps = answer.get("steps") or []
    if type(steps) is not list or not all(type(step) is dict for step in steps):
        raise ValueError("it holds no steps")
    head = {key: value for key, value in answer.items() if key != "steps"}
    begun = {key: value for key, value in head.items() if key != "usage"}
    yield encode({"event_type": "interaction.created", "interaction": {**begun, "status": "in_progress"}})
    for index, step in enumerate(steps):
        for event in spoken(index, *_divided(step, cut)):
            yield encode(event)
    yield encode({"event_type": "interaction.completed", "interaction": head})


def _divided(step: Json, cut: Callable[[str], Sequence[str]]) -> tuple[Json, list[Json]]:
    """A step as it begins, and its deltas; contents other than text stay where they are."""
    content = step.get("content")
    if step.get("type") == "model_output" and type(content) is list:
        texts = [text(one.get("text")) for one in content if type(one) is dict and one.get("type") == "text"]
        if len(texts) == len(content):
            said = [{"type": "text", "text": piece} for one in texts for piece in cut(one)]
            return {key: value for key, value in step.items() if key != "content"}, said
    if calls_a_tool(step) and type(step.get("arguments")) is dict:
        written = orjson.dumps(step["arguments"]).decode()
        return {**step, "arguments": {}}, [{"type": "arguments_delta", "arguments": written}]
    return step, []
