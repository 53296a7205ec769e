"""Runs of tools by the provider are counted from whole and streamed answers, and charged where they have a price."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from gateway.call import Json, Usage
from gateway.config.models import Price
from gateway.dialects import Codec
from gateway.dialects.anthropic_batches import MESSAGE_RESULTS
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.gemini import GEMINI, GEMINI_STREAMING
from gateway.dialects.gemini_interactions import GEMINI_INTERACTIONS
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.limits.quota import charge

TOLD = {"web_search_requests": 2, "web_fetch_requests": 0}
ITEMS = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "mcp_call", "id": "mcp_1", "server_label": "crm", "name": "find", "arguments": "{}"},
    {"type": "web_search_call", "id": "ws_2", "status": "completed"},
    {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
]
TOKENS = {"input_tokens": 1, "output_tokens": 1}
RESPONSE: Json = {"id": "resp_1", "object": "response", "status": "completed", "output": ITEMS, "usage": TOKENS}
GROUNDED: Json = {
    "candidates": [
        {
            "index": 0,
            "content": {"role": "model", "parts": [{"text": "Hi"}]},
            "finishReason": "STOP",
            "groundingMetadata": {"webSearchQueries": ["a", "b", "c"]},
        }
    ],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1},
}
SEARCH = {"type": "google_search_call", "id": "1", "arguments": {"queries": ["a"]}}
INTERACTION: Json = {
    "id": "v1_1",
    "status": "completed",
    "steps": [SEARCH],
    "usage": {"total_input_tokens": 1, "total_output_tokens": 1},
}
WHOLE: list[tuple[Codec, Json, Sequence[tuple[str, int]]]] = [
    (
        OPENAI_CHAT,
        {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "server_tool_use": TOLD}},
        (("web_search", 2),),
    ),
    (OPENAI_RESPONSES, RESPONSE, (("mcp", 1), ("web_search", 2))),
    (ANTHROPIC_MESSAGES, {"usage": {**TOKENS, "server_tool_use": TOLD}}, (("web_search", 2),)),
    (GEMINI, GROUNDED, (("google_search", 3),)),
    (GEMINI_INTERACTIONS, INTERACTION, (("google_search", 1),)),
    (ANTHROPIC_MESSAGES, {"usage": {**TOKENS, "server_tool_use": "2"}}, ()),
    (ANTHROPIC_MESSAGES, {"usage": {**TOKENS, "server_tool_use": {"web_search_requests": -1}}}, ()),
]


@pytest.mark.parametrize(("codec", "answer", "runs"), WHOLE)
def test_whole(codec: Codec, answer: Json, runs: Sequence[tuple[str, int]]) -> None:
    usage = codec.usage(answer)
    assert usage is not None
    assert usage.runs == runs


def event(data: Json, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


MESSAGE: list[Json] = [
    {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "usage": TOKENS}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {**TOKENS, "server_tool_use": TOLD}},
    {"type": "message_stop"},
]
CHUNK: Json = {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "server_tool_use": TOLD}}
STEPS: list[Json] = [
    {"event_type": "interaction.created", "interaction": {"id": "v1_1", "status": "in_progress"}},
    {"event_type": "step.start", "index": 0, "step": SEARCH},
    {"event_type": "step.stop", "index": 0},
    {
        "event_type": "interaction.completed",
        "interaction": {key: value for key, value in INTERACTION.items() if key != "steps"},
    },
]
STREAMED: list[tuple[Codec, bytes, Sequence[tuple[str, int]]]] = [
    (OPENAI_CHAT, event(CHUNK), (("web_search", 2),)),
    (ANTHROPIC_MESSAGES, b"".join(event(one, one["type"]) for one in MESSAGE), (("web_search", 2),)),
    (GEMINI_STREAMING, event(GROUNDED), (("google_search", 3),)),
    (GEMINI_INTERACTIONS, b"".join(event(one, one["event_type"]) for one in STEPS), (("google_search", 1),)),
    (OPENAI_RESPONSES, b"".join(OPENAI_RESPONSES.unfold(RESPONSE)), (("mcp", 1), ("web_search", 2))),
]


@pytest.mark.parametrize(("codec", "said", "runs"), STREAMED)
def test_streamed(codec: Codec, said: bytes, runs: Sequence[tuple[str, int]]) -> None:
    reader, usage = codec.stream(keep_usage=True), None
    for chunk in reader.feed(said):
        usage = chunk.usage.joined(usage) if chunk.usage is not None else usage
    assert usage is not None
    assert usage.runs == runs


def test_reports_of_one_answer_are_joined() -> None:
    first, last = Usage(runs=(("a", 2), ("b", 1))), Usage(runs=(("a", 1), ("c", 1)))
    assert last.joined(first).runs == (("a", 2), ("b", 1), ("c", 1))


def test_runs_are_charged_in_addition_to_tokens() -> None:
    """USD per thousand runs; a tool without a price costs nothing."""
    usage = Usage(input=1_000_000, runs=(("mcp", 3), ("web_search", 2)))
    assert charge(Price(input=1, runs={"web_search": 10}), usage, "") == 1_020_000_000
    tiered = Price(input=1, runs={"web_search": 10}, tiers={"batch": Price(input=0.5)})
    assert charge(tiered, Usage(input=1_000_000, runs=usage.runs, tier="batch"), "batch") == 520_000_000


def test_a_batch_has_the_runs_of_all_its_answers() -> None:
    """Summed, as its tokens are; a result without a message has none, and a message without a report counts nothing."""
    searched = {"input_tokens": 10, "output_tokens": 1, "server_tool_use": {"web_search_requests": 2}}
    fetched = {
        "input_tokens": 5,
        "output_tokens": 1,
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 4},
    }
    lines = [{"result": {"type": "succeeded", "message": {"usage": told}}} for told in (searched, fetched, None)]
    lines.append({"result": {"type": "errored", "error": {}}})
    usage = MESSAGE_RESULTS.usage({"lines": lines})
    assert usage == Usage(input=15, output=2, tier="batch", runs=(("web_fetch", 4), ("web_search", 3)))
    assert MESSAGE_RESULTS.usage({"lines": lines[3:]}) == Usage(tier="batch")
    assert MESSAGE_RESULTS.usage({"lines": lines[2:]}) is None


USED: Json = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
BEGUN: list[tuple[Codec, list[Json]]] = [
    (
        OPENAI_RESPONSES,
        [{"type": "response.output_item.added", "output_index": n, "item": ITEMS[2 * n]} for n in (0, 1)],
    ),
    (
        ANTHROPIC_MESSAGES,
        [
            MESSAGE[0],
            *(
                event
                for n in (0, 1)
                for event in (
                    {"type": "content_block_start", "index": n, "content_block": USED},
                    {"type": "content_block_stop", "index": n},
                )
            ),
        ],
    ),
    (
        GEMINI_INTERACTIONS,
        [
            STEPS[0],
            *({"event_type": f"step.{it}", "index": n, "step": SEARCH} for n in (0, 1) for it in ("start", "stop")),
        ],
    ),
]


@pytest.mark.parametrize(("codec", "events"), BEGUN, ids=lambda value: getattr(value, "name", ""))
def test_what_ran_before_a_stream_breaks_off(codec: Codec, events: list[Json]) -> None:
    """It is known from the events that begin the items, since the report of the usage would be at the end."""
    reader = codec.stream(keep_usage=True)
    for one in events:
        for _ in reader.feed(event(one, str(one.get("type", "")))):
            pass
    name = "google_search" if codec is GEMINI_INTERACTIONS else "web_search"
    assert reader.runs == ((name, 2),)
