"""Values split over the structural strings of an answer are found, whole and streamed; usual answers pass."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import calls
from gateway.call import Redaction
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.output.screen import AnswerFilter, Screen
from gateway.output.structure import Structure, runs

VALUES = ("4539148803436467", "ghp_1234567890abcdefghijABCDEFGHIJ123456", "bob.smith@example.net")
PLACES = ("id", "model", "system_fingerprint", "service_tier", "choice id", "message name", "call id", "type")
"""In document order."""


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    """A scanner with the rules for answers."""
    return StreamScanner(pii, SecretScanner(), {})


def judge_of(scanner: StreamScanner) -> AnswerFilter:
    """The filter of one answer; findings are redacted where possible."""
    call = calls.call(redaction=Redaction())
    call.request.body = {"model": "m", "messages": [], "tools": [{"type": "function", "function": {"name": "send"}}]}
    return Screen(Output.model_validate({"secrets": "redact", "pii": "redact"}), scanner, lambda _: False).filter(call)


def answer(said: dict[str, str], speaker: str) -> dict[str, Any]:
    """An answer with the given structural strings, otherwise usual strings."""
    message: dict[str, Any] = {"role": "assistant", "content": "hi"}
    if "message name" in said:
        message["name"] = said["message name"]
    if "call id" in said:
        message["tool_call_id"] = said["call id"]
    if "type" in said:
        message["annotations"] = [{"type": said["type"]}]
    choice = {"id": said.get("choice id", ""), "index": 0, speaker: message, "finish_reason": None}
    top: dict[str, Any] = {
        key: said[key] for key in ("id", "model", "system_fingerprint", "service_tier") if key in said
    }
    return {**top, "choices": [choice], "object": "chat.completion"}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), value=st.sampled_from(VALUES), count=st.integers(2, 4), stream=st.booleans())
def test_a_value_in_pieces(
    scanner: StreamScanner, data: st.DataObject, value: str, count: int, *, stream: bool
) -> None:
    """Cut anywhere, over any places in their order: it does not leave."""
    places = sorted(data.draw(st.permutations(range(len(PLACES))))[:count])
    cuts = sorted(data.draw(st.permutations(range(1, len(value))))[: count - 1])
    pieces = [value[low:high] for low, high in itertools.pairwise((0, *cuts, len(value)))]
    assume(not any(scanner.scan(piece) for piece in pieces))  # else it is redacted in its place
    said = {PLACES[place]: piece for place, piece in zip(places, pieces, strict=True)}
    made = judge_of(scanner)
    if not stream:
        with pytest.raises(Refusal, match="several of its ids"):
            made.whole(answer(said, "message"))
        return
    codec = OPENAI_CHAT.stream(keep_usage=False)
    event = b"data: " + json.dumps(answer(said, "delta")).encode() + b"\n\n"
    [chunk] = codec.feed(event)
    with pytest.raises(Refusal, match="several of its ids"):
        made.feed(chunk, codec)


@settings(max_examples=200, deadline=None)
@given(
    tail=st.text("0123456789abcdef", min_size=24, max_size=32),
    mark=st.text("0123456789abcdef", min_size=10, max_size=10),
    call=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", min_size=24, max_size=24),
    model=st.sampled_from(["gpt-4o-2024-08-06", "claude-sonnet-4-5-20250929", "mistral-large-2411", "llama3.3:70b"]),
)
def test_what_providers_send_passes(scanner: StreamScanner, tail: str, mark: str, call: str, model: str) -> None:
    """Ids, models and fingerprints drawn by chance."""
    tools = [{"id": f"call_{call}", "type": "function", "function": {"name": "send", "arguments": "{}"}}]
    message = {"role": "assistant", "content": None, "tool_calls": tools * 2}
    said = {"id": f"chatcmpl-{tail}", "object": "chat.completion", "created": 1754000000, "model": model}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    judge_of(scanner).whole({**said, "choices": choices, "system_fingerprint": f"fp_{mark}", "service_tier": "default"})


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-20240806"])
def test_the_model_asked_for_ends_a_run(name: str) -> None:
    """Nothing is joined over the name of a target, dated or not."""
    assert [*runs(["a", name, "b", "c"], {"gpt-4o"})] == [["a"], ["b", "c"]]


@pytest.mark.parametrize("name", ["gpt-4o-4539", "gpt-4o-20241399", "4539", "gpt-4o2024-08-06", "gpt"])
def test_another_model_does_not_end_a_run(name: str) -> None:
    """A name that the gateway did not ask for may hold a part of a value."""
    assert [*runs(["a", name, "b"], {"gpt-4o"})] == [["a", name, "b"]]


def test_an_answer_with_one_id_and_the_model_asked_for_is_not_scanned() -> None:
    """Most answers: there is nothing to join."""
    scanned: list[str] = []
    structure = Structure((), {"gpt-4o"}, lambda text: scanned.append(text) or [])  # type: ignore[func-returns-value]
    structure.check({"id": "chatcmpl-0123456789", "model": "gpt-4o-2024-08-06"}, lambda entity, value: None)
    assert scanned == []
