"""Usage, errors, texts and log probabilities of answers of the Responses dialect, whole or streamed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from gateway.bodies import Json, Usage
from gateway.dialects import count, hosted_runs, integer, openai_answer, terms, tree
from gateway.dialects.responses_tables import kind
from gateway.errors import Refusal

# Fields of an answer that repeat the request, and others without tool calls: see `strays`.
QUIET: Final = frozenset(
    {"output", "usage", "tools", "tool_choice", "instructions", "text", "reasoning", "metadata", "prompt", "error"}
    | {"incomplete_details", "conversation", "prompt_cache_options", "moderation", "tool_usage", "id", "object"}
    | {"status", "model", "created_at", "completed_at", "background", "store", "temperature", "top_p", "top_logprobs"}
    | {"max_output_tokens", "max_tool_calls", "parallel_tool_calls", "previous_response_id", "truncation"}
    | {"service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "user"}
)
PART: Final = frozenset({"type", "text", "refusal", "annotations", "logprobs"})
_MESSAGE: Final = frozenset({"id", "type", "status", "role", "phase"})
_ITEM: Final = frozenset({"id", "type", "status", "role", "content"})
_AUTHORS: Final = ("assistant", None)
_STATES: Final = ("completed", "incomplete", "in_progress", None)
_SAID: Final = {
    "output_text": ("text", frozenset({"type", "text", "annotations", "logprobs"})),
    "refusal": ("refusal", frozenset({"type", "refusal"})),
}


def usage(answer: Json) -> Usage | None:
    """The usage that the provider reported; None without a plausible report."""
    told = answer.get("usage")
    if type(told) is not dict:
        return None
    total_in, total_out = count(told.get("input_tokens")), count(told.get("output_tokens"))
    if total_in is None or total_out is None:
        return None
    read, wrote = openai_answer.details(told, "input"), openai_answer.details(told, "output")
    return Usage(
        input=total_in,
        output=total_out,
        cached=integer(read.get("cached_tokens")),
        reasoning=integer(wrote.get("reasoning_tokens")),
        tier=openai_answer.tier(answer),
        cache_write=integer(read.get("cache_write_tokens")),
        runs=hosted_runs.of_response(answer),
    )


def error(said: Json) -> Json | None:
    """The error object of an answer or an event. None for any answer, also one with the status `failed`."""
    if said.get("object") == "response" or type(said.get("response")) is dict:
        return None
    found = said.get("error")
    if said.get("type") == "error":
        found = found or {key: value for key, value in said.items() if key in ("code", "message", "param")}
    return found if type(found) is dict else {"message": found} if found else None


def parts(answer: Json) -> Iterator[Json]:
    """The parts of the messages of an answer."""
    for item in answer["output"]:
        content = item.get("content") if kind(item) == "message" else None
        if type(content) is list:
            yield from (part for part in content if type(part) is dict)


def is_message(item: Json) -> bool:
    """Whether an item is a message of texts in the form of the dialect, with nothing that a client might execute."""
    content = item.get("content")
    if item.get("type") != "message" or type(content) is not list:
        return False
    for key, value in item.items():
        if key != "content" and (key not in _MESSAGE or type(value) is dict or type(value) is list):
            return False
    for part in content:
        if type(part) is not dict or part.get("annotations") or part.get("logprobs"):
            return False
        said, keys = _SAID.get(kind(part), ("", _MESSAGE))
        if type(part.get(said)) is not str or not part.keys() <= keys:
            return False
    return True


def single(answer: Json) -> tree.Single | None:
    """See `Codec.single`: one message with one text."""
    output = answer["output"]
    if len(output) != 1 or not answer.keys() <= QUIET:
        return None
    item = output[0]
    content, id = item.get("content"), item.get("id")
    if type(content) is not list or len(content) != 1 or not item.keys() <= _ITEM:
        return None
    if item.get("type") != "message" or item.get("role") not in _AUTHORS or item.get("status") not in _STATES:
        return None
    part = content[0]
    if type(part) is not dict or part.get("type") != "output_text" or not part.keys() <= _SAID["output_text"][1]:
        return None
    text = part.get("text")
    if part.get("annotations") or part.get("logprobs") or type(text) is not str or not text or text[:5] == "data:":
        return None
    if type(id) is not str or not terms.is_term(id):
        return None
    return tree.Single(output, part, "text", 2, (id,))


def lists_of_one(answer: Json) -> int:
    """The number of lists of one value in an answer, if all lists have one value: no text goes on in these."""
    output = answer["output"]
    content = output[0].get("content") if len(output) == 1 else None
    return 2 if type(content) is list and len(content) == 1 else 1


def echoes(part: Json, text: str) -> bool:
    """Whether the log probabilities of a part or a delta are equal to its text."""
    return openai_answer.echoes({"message": {"content": text}, "logprobs": {"content": part["logprobs"]}})


def spoken(answer: Json) -> list[tuple[int, str, Any]]:
    """The fields of an answer with running texts: (choice, path, value). Parts of all items are one list."""
    texts: list[Any] = []
    other: list[tuple[int, str, Any]] = []
    for item in answer["output"]:
        if kind(item) == "message" and type(item.get("content")) is list:
            texts += item["content"]
        elif kind(item) == "reasoning":
            other += [(0, key, item[key]) for key in ("summary", "content") if type(item.get(key)) is list]
    reasons: dict[str, list[Any]] = {}
    for _, key, value in other:
        reasons.setdefault(key, []).extend(value)
    roots = [(0, "content", texts), *((0, f"reasoning.{key}", value) for key, value in reasons.items())]
    return [*roots, *((0, f"chunk:{key}", value) for key, value in answer.items() if key != "output")]


def refused(refusal: Refusal, request_id: str, response: Json, reason: str = "") -> Json:
    """A response that the gateway ended: incomplete for `content_filter`, with the refusal as its last item."""
    item = refusal_item(refusal, request_id, reason)
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": int(time.time()),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **response,
        "status": "incomplete",
        "incomplete_details": {"reason": "content_filter"},
        "error": {"code": refusal.code, "message": refusal.message},
        "output": [*response.get("output", ()), item],
    }


def refusal_item(refusal: Refusal, request_id: str, reason: str) -> Json:
    """The message that says why an answer was stopped."""
    content: list[Json] = [{"type": "output_text", "text": reason, "annotations": [], "logprobs": []}] if reason else []
    content.append({"type": "refusal", "refusal": refusal.message})
    item = {"id": f"msg_{request_id}", "type": "message", "status": "incomplete", "role": "assistant"}
    return {**item, "content": content}
