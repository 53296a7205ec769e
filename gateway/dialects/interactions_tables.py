"""The tables of Interactions: structural keys, authors of steps, calls of tools, usage."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.bodies import Json, Usage
from gateway.dialects import count, hosted_runs, integer, tree
from gateway.dialects.checks import text

_OPAQUE: Final = frozenset(
    {"model", "type", "id", "call_id", "role", "status", "mime_type", "service_tier", "object", "mode", "category"}
    | {"threshold", "language", "created", "updated", "previous_interaction_id", "modality", "response_mime_type"}
)
SHAPE: Final = tree.Shape(
    opaque=_OPAQUE,
    json=frozenset(),
    blobs=frozenset(),
    within=frozenset({"input", "content", "steps", "summary", "result", "tools", "generation_config", "usage", "items"})
    | frozenset({"parameters", "properties", "response_format", "schema", "safety_settings", "annotations"}),
    turns=frozenset({"input"}),
    ahead=frozenset({"tools", "system_instruction"}),
    roles={"system_instruction": "system", "input": "user"},
    blocks={
        "user_input": "user",
        "thought": tree.SIGNED,
        "model_output": tree.SPEAKER,
        "function_call": tree.SPEAKER,
        "function_result": "tool",
    },
    seals=frozenset({"signature"}),
)
ANSWER: Final = replace(SHAPE, roles={}, turns=frozenset(), ahead=frozenset(), blocks={"thought": tree.SIGNED})
CALL: Final = replace(ANSWER, json=frozenset({"arguments"}))
"""The shape of a call whose arguments arrived in pieces: JSON in a string."""


def calls_a_tool(step: Json) -> bool:
    """Whether a step is a call of a tool, also one that the provider runs."""
    return text(step.get("type")).endswith("_call")


def tier(answer: Json) -> str:
    """`service_tier`."""
    return text(answer.get("service_tier"))[:64]


def usage(answer: Json) -> Usage | None:
    """The usage that the provider reported; thoughts are output, results of tools input. None without any."""
    told = answer.get("usage")
    if type(told) is not dict:
        return None
    total_in, total_out = count(told.get("total_input_tokens")), count(told.get("total_output_tokens"))
    if total_in is None or total_out is None:
        return None
    thoughts = integer(told.get("total_thought_tokens"))
    return Usage(
        input=total_in + integer(told.get("total_tool_use_tokens")),
        output=total_out + thoughts,
        cached=integer(told.get("total_cached_tokens")),
        reasoning=thoughts,
        tier=tier(answer),
        runs=hosted_runs.of_items(answer.get("steps")),
    )
