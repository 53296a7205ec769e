"""Values split over the content parts of one message, in requests and answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import upstream as scripted
from gateway.dialects import parts
from gateway.texts import Finding, Share, Slot
from line import Line, config, running

TEXT = "Pay with 4539 1488 0343 6467, or write to ann@example.org. Thanks"
SENT = "Pay with <CREDIT_CARD_1>, or write to <EMAIL_1>. Thanks"


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("parts")
    with running(folder, config(folder, up.url, limits=[])) as running_line:
        yield running_line


def cut(text: str, places: list[int]) -> list[str]:
    """A text in pieces."""
    marks = sorted({0, len(text), *(place % len(text) for place in places)})
    return [text[low:high] for low, high in itertools.pairwise(marks)]


def message(pieces: list[str]) -> list[dict[str, Any]]:
    """A user's message in parts."""
    return [{"role": "user", "content": [{"type": "text", "text": piece} for piece in pieces]}]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.integers(1, len(TEXT) - 1), max_size=8), stream=st.booleans())
def test_a_value_in_parts_is_one(line: Line, up: scripted.Upstream, places: list[int], stream: bool) -> None:
    """With any cut: one part has the placeholder, no part contains any of the value, and the value is restored."""
    pieces = cut(TEXT, places)
    call_id = f"cut-{hash(tuple(pieces)) % 10**12}"
    body = {"model": "echo", "messages": message(pieces), "stream": stream}
    answer = line.client.post("/v1/chat/completions", json=body, headers={"x-correlation-id": call_id})
    assert answer.status_code == 200
    assert "".join(part["text"] for part in up.last.body["messages"][0]["content"]) == SENT
    if not stream:  # the scripted upstream puts a blank between parts
        said = answer.json()["choices"][0]["message"]["content"]
        assert said.replace(" ", "") == TEXT.replace(" ", "")


def test_what_a_part_holds_by_itself_is_found(line: Line, up: scripted.Upstream) -> None:
    """Digits that continue in the next part do not hide a value."""
    line.client.post(
        "/v1/chat/completions", json={"model": "echo", "messages": message(["4539148803436467", "2024 was good"])}
    )
    assert "4539148803436467" not in json.dumps(up.last.body)


def test_long_parts_are_joined_at_their_seams() -> None:
    """Of long texts, only the text around a seam is scanned again."""
    texts = ["a" * parts.MOST + " 4539 1488", " 0343 6467 " + "b" * 99, "c"]
    content = [{"type": "text", "text": text} for text in texts]
    slots = [Slot(part, "text", part["text"], "user", None) for part in content]
    together = parts.joined({"messages": [{"role": "user", "content": content}]}, slots)
    assert [len(one.slot.text) < 5000 for one in together] == [True, True]
    start = together[0].slot.text.index("4539")
    found = parts.merged([], [(together[0], [Finding(start, start + 19, "CREDIT_CARD", 1.0)])], slots)
    shares = [one for _, findings in found for one in findings]
    assert [isinstance(one, Share) and (one.value, one.first) for one in shares] == [
        ("4539 1488 0343 6467", True),
        ("4539 1488 0343 6467", False),
    ]
    assert [slot.text[one.start : one.end] for (slot, _), one in zip(found, shares, strict=True)] == [
        "4539 1488",
        " 0343 6467",
    ]
