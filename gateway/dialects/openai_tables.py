"""The tables of the chat completions dialect: structural keys, and the known fields of a chunk.

Fields that they do not name pass, and are judged as text.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.dialects import tree

SHAPE = tree.Shape(
    opaque=frozenset(
        {"model", "role", "type", "id", "tool_call_id", "object", "finish_reason", "detail", "format"}
        | {"encoding_format", "service_tier", "system_fingerprint", "reasoning_effort", "verbosity", "syntax"}
    ),
    json=frozenset({"arguments"}),
    blobs=frozenset({"image_url", "video_url", "input_audio", "file", "audio"}),
    within=frozenset({"messages", "content", "tool_calls", "function", "function_call", "tools", "tool_choice"})
    | frozenset({"response_format", "json_schema", "schema", "parameters", "properties", "items", "audio"})
    | frozenset({"choices", "message", "delta", "image_url", "video_url", "input_audio", "file", "custom"}),
    turns=frozenset({"messages"}),
    ahead=frozenset({"tools", "functions", "response_format"}),
    # Parts of other dialects that some providers read in a user's message.
    blocks=dict.fromkeys(("tool_result", "function_call_output", "custom_tool_call_output", "mcp_call_output"), "tool"),
)
CHUNKS = replace(
    SHAPE,
    opaque=frozenset({"model", "role", "type", "id", "tool_call_id", "object", "finish_reason"})
    | frozenset({"service_tier", "system_fingerprint", "format"}),
    turns=frozenset(),
    blocks={},
)
ANSWER = replace(CHUNKS, repeats=frozenset({"logprobs"}))
# The most frequent values of structural keys in answers: words of the dialect, which cannot hide data.
WORDS = frozenset({"chat.completion", "chat.completion.chunk", "assistant", "function", "default", "url_citation"}) | (
    frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
)
# Fields of a delta whose pieces are one running text.
TEXTS = ("content", "refusal", "reasoning_content", "reasoning", "thinking")
ENVELOPE = frozenset({"id", "object", "created", "model", "system_fingerprint", "service_tier"})
CHUNK = ENVELOPE | {"choices", "usage", "obfuscation"}
CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
MAX_CHOICES = 128
