"""Values where structure or a number is expected, both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

import upstream as scripted
from gateway.formats import terms, tree
from gateway.formats.openai_tables import SHAPE
from line import Line, config, running

CARD = "4539148803436467"
STRUCTURE = ["tool_call_id", "id", "type", "model", "system_fingerprint"]


def texts(body: object) -> list[str]:
    """The texts that a survey finds."""
    return [span.text for span in tree.parse(orjson.dumps(body), SHAPE, 64)[1].spans]


@pytest.mark.parametrize("key", STRUCTURE)
@pytest.mark.parametrize(
    "value", [f"call_{CARD}", "c-4539-1488-0343-6467", "ann+x", "DE89370400440532013000", "ghp_abc", "ip:203.0.113.7"]
)
def test_what_has_not_the_form_of_a_term_is_a_text(key: str, value: str) -> None:
    """Wherever the dialect has structure."""
    assert value in texts({key: value})


@pytest.mark.parametrize(
    "value", ["claude-opus-4-1-20250805", "gpt-4o-2024-08-06", "chatcmpl-B9MHDbslfkBeAs8l4b", "fp_44709d6fcb", "tool"]
)
def test_terms_are_no_texts(value: str) -> None:
    """Models, ids and fingerprints as providers write them."""
    assert terms.is_term(value)


NUMBERS: dict[str, tuple[Any, str]] = {
    "ssn": ({"ssn": 219099999}, "ssn 219099999"),
    "zero": ({"ssn": 78051120}, "ssn 078051120"),
    "camel": ({"bankAccount": 12345678}, "bank Account 12345678"),
    "list": ({"ssns": [219099999]}, "ssns 219099999"),
    "negative": ({"n": -int(CARD)}, CARD),
    "groups": ({"card": [4539, 1488, 343, 6467]}, "4539 1488 0343 6467"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_are_values_are_texts(name: str) -> None:
    """With their key for context; what is written in their place has no key before it."""
    body, text = NUMBERS[name]
    parsed, survey = tree.parse(orjson.dumps({"x": body}), SHAPE, 64)
    [span] = survey.spans
    assert span.text == text
    lead = len(text) - len(text.lstrip("abcdefghijklmnopqrstuvwxyzA "))
    tree.write(span, f"{text[:lead]}<X>")
    assert json.dumps(parsed).count("<X>") == 1
    assert text[: lead or 99] not in json.dumps(parsed)


@pytest.mark.parametrize("body", [{"created": 1763749399}, {"seed": 219099999}, {"order_id": 123456789}, {"ssn": 5}])
def test_counters_and_times_are_numbers(body: Any) -> None:
    """Nothing to judge."""
    assert texts(body) == []


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("fields")
    with running(folder, config(folder, up.url)) as running_line:
        yield running_line


@pytest.mark.parametrize("value", [219099999, -219099999])
def test_a_number_does_not_leave(line: Line, up: scripted.Upstream, value: int) -> None:
    """Its place is taken by a placeholder, in fields that nobody knows too."""
    assert line.chat("hi", x_data={"ssn": value}).status_code == 200
    assert b"219099999" not in up.last.raw
    assert up.last.body["x_data"] == {"ssn": "<US_SSN_1>"}


def test_free_text_of_traces_does_not_leave(line: Line, up: scripted.Upstream) -> None:
    """Headers go on in a strict form only."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"tracestate": "a=ann@example.org", "baggage": "b=1", "openai-beta": "mg-alice", "traceparent": trace}
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    line.client.post("/v1/chat/completions", json=body, headers=headers)
    assert {"tracestate", "baggage", "openai-beta", "api-key"}.isdisjoint(up.last.headers)
    assert up.last.headers["traceparent"] == trace
    line.client.post("/v1/chat/completions", json=body, headers={"openai-beta": "assistants=v2"})
    assert up.last.headers["openai-beta"] == "assistants=v2"
