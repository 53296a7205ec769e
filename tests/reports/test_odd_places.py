"""Tools, output limits and stored state in fields where a dialect does not have them: seen, or refused by name."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from formats.wires import WIRES, Chat, Gemini, Messages, Responses
from gateway.dialects import Codec
from gateway.errors import Refusal

CHAT, MESSAGES, RESPONSES, GEMINI = Chat(), Messages(), Responses(), Gemini()
OFFER = {"type": "function", "name": "wipe", "parameters": {}}
DECLARED = {"functionDeclarations": [{"name": "wipe"}]}
PART = {"text": "hi"}
Place = tuple[Any, dict[str, Any]]


def said(parts: Any, **fields: Any) -> dict[str, Any]:
    """A Gemini request with one message."""
    return {"contents": [{"role": "user", "parts": parts, **fields}]}


HIDDEN: dict[str, Place] = {
    "of a prompt": (RESPONSES, {"prompt": {"id": "p", "tools": [OFFER]}}),
    "of text": (RESPONSES, {"text": {"verbosity": "low", "tools": [OFFER]}}),
    "of reasoning": (RESPONSES, {"reasoning": {"tools": [OFFER]}}),
    "of an item": (RESPONSES, {"input": [{"role": "user", "content": "hi", "tools": [OFFER]}]}),
    "of settings": (GEMINI, {"generationConfig": {"tools": [DECLARED]}}),
    "of settings, other name": (GEMINI, {"generation_config": {"tools": [DECLARED]}}),
    "of a message": (GEMINI, said([PART], tools=[DECLARED])),
    "of a part": (GEMINI, said([{**PART, "tools": [DECLARED]}])),
    "of a lone part": (GEMINI, said({**PART, "tools": [DECLARED]})),
    "of another field": (GEMINI, {"options": {"tools": [DECLARED]}}),
}


def parsed(place: Place) -> tuple[Codec, dict[str, Any]]:
    """The codec and the request."""
    wire, fields = place
    return wire.codec, copy.deepcopy({**wire.request(("user", "hi")), **fields})


@pytest.mark.parametrize("where", HIDDEN)
def test_a_tool_is_seen_and_removed_wherever_it_stands(where: str) -> None:
    """A policy sees its name, and what a policy removes is not sent."""
    codec, body = parsed(HIDDEN[where])
    values = {"model": "m", "version": "v1beta"}
    assert "wipe" in codec.parse(body, values).tools
    assert codec.strip_tools(body, frozenset({"wipe"}))
    assert "wipe" not in codec.parse(body, values).tools
    assert "'wipe'" not in str(body)


REFUSED: dict[str, Place] = {
    "a list in another case": (GEMINI, {"tools": [{"functiondeclarations": [{"name": "wipe"}]}]}),
    "a list in capitals": (GEMINI, {"tools": [{"FunctionDeclarations": [{"name": "wipe"}]}]}),
    "a request in a request": (GEMINI, {"generateContentRequest": {"tools": [DECLARED]}}),
    "a request in a request, other name": (GEMINI, {"generate_content_request": {"tools": [DECLARED]}}),
    "answers by both names": (GEMINI, {"generationConfig": {"candidateCount": 1, "candidate_count": 8}}),
    "a call by both names": (
        GEMINI,
        said([{"functionCall": {"name": "a", "args": {}}, "function_call": {"name": "b", "args": {}}}]),
    ),
    "data by both names": (GEMINI, said([{"inlineData": {"mimeType": "a/b", "mime_type": "c/d", "data": "AAAA"}}])),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_receivers_read_differently_is_refused(how: str) -> None:
    """Before anything is sent."""
    codec, body = parsed(REFUSED[how])
    with pytest.raises(Refusal, match=r"case-sensitive|is given twice|countTokens"):
        codec.parse(body, {"model": "m", "version": "v1beta"})


def test_the_caller_s_own_keys_may_look_alike() -> None:
    """Arguments, results and schemas have keys of any name."""
    both = {"userId": 1, "user_id": 2}
    parts = [{"functionCall": {"name": "a", "args": both}}, {"functionResponse": {"name": "a", "response": both}}]
    codec, body = parsed((GEMINI, said(parts)))
    assert codec.parse(body, {"model": "m", "version": "v1beta"})


LIMITS: dict[str, Place] = {
    "beside the field": (RESPONSES, {"max_output_tokens": 10, "max_tokens": 900}),
    "alone": (RESPONSES, {"max_tokens": 900}),
    "of text": (RESPONSES, {"text": {"format": {"type": "text"}, "max_tokens": 900}}),
    "of a prompt": (RESPONSES, {"prompt": {"id": "p", "variables": {"max_tokens": "900"}, "max_output_tokens": 900}}),
    "of the body": (GEMINI, {"max_tokens": 900}),
    "of settings": (GEMINI, {"generationConfig": {"max_tokens": 900, "maxOutputTokens": 10}}),
}


@pytest.mark.parametrize("where", LIMITS)
def test_a_limit_counts_wherever_it_stands(where: str) -> None:
    """The largest is reserved, and a policy lowers all; the caller's own content stays."""
    codec, body = parsed(LIMITS[where])
    assert codec.elsewhere(body) == 900
    assert codec.limit(body, {"max_tokens": 50})
    assert ": 900" not in str(body)
    assert codec.elsewhere(body) <= 50
    assert where != "of text" or body["text"]["format"] == {"type": "text"}
    assert where != "of a prompt" or body["prompt"]["variables"] == {"max_tokens": "900"}


STATES: dict[str, dict[str, Any]] = {
    "another case": {"Previous_Response_Id": "resp_a"},
    "camel case": {"previousResponseId": "resp_a"},
    "a wrapper": {"extra_body": {"previous_response_id": "resp_a"}},
    "a wrapper in a wrapper": {"extra_body": {"extra_body": {"previous-response-id": "resp_a"}}},
    "a response to compare with": {"prompt_cache_options": {"comparison_response_id": "resp_a"}},
    "of another dialect": {"previous_interaction_id": "v1_a"},
    "content of another dialect": {"extra_body": {"cachedContent": "cachedContents/a"}},
    "content, other name": {"cached_content": "cachedContents/a"},
}


STATED = [
    pytest.param(wire, how, id=f"{how}-{wire.name}")
    for wire in WIRES
    for how in STATES
    if (wire.name, how) != ("interactions", "of another dialect")  # it is its own
]


@pytest.mark.parametrize(("wire", "how"), STATED)
def test_stored_state_has_one_field(wire: Any, how: str) -> None:
    """In any other it is refused, in each dialect: its owner would not be asked for."""
    codec, body = parsed((wire, STATES[how]))
    with pytest.raises(Refusal, match=r"stores|names a state"):
        codec.parse(body, {"model": "m", "version": "v1beta"})


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_the_caller_s_own_content_may_name_it(wire: Any) -> None:
    """In metadata, and with the value null."""
    codec, body = parsed((wire, {"metadata": {"previous_response_id": "resp_a"}, "cached_content": None}))
    assert codec.parse(body, {"model": "m", "version": "v1beta"})
