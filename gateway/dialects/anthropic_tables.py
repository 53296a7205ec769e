"""The tables of the Messages dialect: structural keys and types of blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.bodies import Json
from gateway.dialects import tree
from gateway.dialects.checks import text

VERSION: Final = "2023-06-01"
"""The value of `anthropic-version` if the caller sends none."""
USES: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
"""Types of blocks that call a tool."""
SIGNED: Final = frozenset({"thinking", "redacted_thinking", "compaction"})
"""Types of blocks that a provider signs or encrypts, and refuses after any change."""


def kind(block: Json) -> str:
    """The type of a block; "" if there is none."""
    return text(block.get("type"))


def calls_a_tool(block: Json) -> bool:
    """Whether a block is a tool call."""
    return kind(block) in USES


_RESULTS: Final = (
    *("tool_result", "mcp_tool_result", "web_search_tool_result", "web_fetch_tool_result"),
    *("code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result"),
    *("tool_search_tool_result", "search_result", "document"),
)
SHAPE: Final = tree.Shape(
    opaque=frozenset(
        {"model", "role", "type", "id", "tool_use_id", "stop_reason", "media_type", "service_tier", "effort", "ttl"}
        | {"file_id", "inference_geo", "speed", "display", "toolset_name"}
    ),
    json=frozenset(),
    blobs=frozenset({tree.SOURCE}),
    within=frozenset({"messages", "content", "system", "tools", "tool_choice", "source", "cache_control", "caller"})
    | frozenset({"thinking", "output_config", "format", "input_schema", "properties", "items", "message", "delta"})
    | frozenset({"content_block", "usage", "citations", "citation", "stop_details"}),
    turns=frozenset({"messages"}),
    ahead=frozenset({"tools", "system"}),
    seals=frozenset({"encrypted_content", "encrypted_index", "encrypted_stdout"}),
    roles={"system": "system"},
    blocks={**dict.fromkeys(_RESULTS, "tool"), **dict.fromkeys(SIGNED, tree.SIGNED)},
)
ANSWER: Final = replace(SHAPE, roles={}, turns=frozenset(), ahead=frozenset())
CALL: Final = replace(ANSWER, json=frozenset({"input"}))
"""The shape of one tool call of a stream, whose arguments are JSON in a string."""
WORDS: Final = frozenset(
    {"message", "assistant", "text", "thinking", "tool_use", "server_tool_use", "end_turn", "max_tokens"}
    | {"message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta", "ping", "error"}
    | {"content_block_stop", "text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta"}
    | {"stop_sequence", "pause_turn", "refusal", "standard", "priority", "batch", "direct"}
)
