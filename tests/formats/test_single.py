"""Answers that are one text: what is read of them is what is read of any answer."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from formats.wires import WHOLES, WIRES, Whole
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.dialects.tree import Survey
from gateway.output.structure import pieces

each = pytest.mark.parametrize("wire", WHOLES, ids=lambda wire: wire.name)
TEXTS = [
    "hi",
    "",
    "my card is 4012 8888 8888 1881",
    "data:text/plain;base64,aGVsbG8=",
    "4012888888881881",
    "219-09-9998",
]
KEYS = ["type", "text", "name", "content", "logprobs", "annotations", "tool_calls", "toolCalls", "phone", "id", "phase"]
KEYS += ["role", "status", "finish_reason", "refusal", "index", "arguments", "object", "output", "choices", "message"]
VALUES: list[Any] = [None, 0, 4012888888881881, 1.5, True, [], {}, ["a"], {"type": "tool_use", "name": "send"}, *TEXTS]
VALUES += ["output_text", "message", "function_call", "stop", "length", "tool_calls", "in_progress", [{}], {"a": "b"}]
VALUES += [[{"type": "output_text", "text": "more"}], [{"token": "a", "logprob": 0}], "rs_1 or 219-09-9998"]


def places(value: Any) -> list[Any]:
    """Every dict and list within a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [place for one in inner for place in places(one)]
    return [value, *found] if isinstance(value, dict | list) else found


def told(survey: Survey) -> list[Any]:
    """The texts of a survey, with their places."""
    slots = [(slot, id(slot.holder)) if slot.nested is None else (slot, slot.holder) for slot in survey.slots]
    return [(type(slot), type(slot.key), slot.key, slot.text, slot.role, place) for slot, place in slots]


@st.composite
def answers(draw: st.DrawFn, wire: Whole) -> Any:
    """An answer of a dialect, mostly with something unusual in some place."""
    answer = copy.deepcopy(wire.whole(draw(st.sampled_from(TEXTS))))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(places(answer)))
        value = copy.deepcopy(draw(st.sampled_from(VALUES)))
        if isinstance(place, dict):
            place[draw(st.sampled_from([*place, *KEYS]))] = value
        elif draw(st.booleans()):
            place.append(value)
        elif place:
            place[draw(st.integers(0, len(place) - 1))] = value
    return answer


@each
@settings(max_examples=examples(200, 4000), deadline=None)
@given(data=st.data())
def test_what_is_read_of_a_single_text(wire: Whole, data: st.DataObject) -> None:
    """The same texts, lists and names; and there is no tool call, no repetition and no alternative text."""
    codec, answer = wire.codec, data.draw(answers(wire))
    try:
        codec.check(answer, 1)
    except (ValueError, TypeError, AttributeError, LookupError):
        return
    single = codec.single(answer)
    if single is None:
        return
    short, full = codec.whole(answer, single), codec.whole(answer)
    assert told(short) == told(full)
    assert (short.lists, short.kinds, short.inexact) == (full.lists, full.kinds, full.inexact)
    for words in (codec.words, frozenset[str]()):
        if words or codec.words == words:
            assert pieces(answer, words, single) == pieces(answer, words)
    assert (codec.calls(answer), codec.strays(answer), codec.asides(answer)) == ([], [], [])
    assert codec.echoes(answer)
    if short.lists <= single.lists:
        assert codec.runs(answer, full) == []
    before = json.dumps(answer)
    codec.conceal(answer)
    assert json.dumps(answer) == before


@pytest.mark.parametrize("wire", [it for it in WIRES if it.codec in (OPENAI_CHAT, OPENAI_RESPONSES)])
def test_an_ordinary_answer_is_a_single_text(wire: Whole) -> None:
    """And with a tool call, it is not."""
    assert wire.codec.single(wire.whole("hello")) is not None
    assert wire.codec.single(wire.whole("hello", "{}")) is None
