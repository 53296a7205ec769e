"""The tables of fields: all that a dialect has passes, and nothing else does, at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gateway.dialects import Codec
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS

CALLERS = {"parameters", "schema", "input_schema", "metadata", "logit_bias", "arguments", "input", "configs", "trigger"}
"""Keys whose content belongs to the caller."""

_CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": "s", "name": "n"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi", "prompt_cache_breakpoint": {"mode": "m", "ttl": "1h"}},
                {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "f", "filename": "n", "file_data": "data:"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "audio": {"id": "a"},
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "d", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"x": {"y": 1}}, "strict": True}},
        {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}}},
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
    },
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"any": {"x": 1}}}},
    "audio": {"voice": {"id": "v"}, "format": "mp3"},
    "prediction": {"type": "content", "content": [{"type": "text", "text": "t"}]},
    "web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "Bonn"}}},
    "moderation": {"model": "omni-moderation", "policy": {"input": {"mode": "block"}, "output": {"mode": "score"}}},
    "prompt_cache_options": {"mode": "implicit", "ttl": "30m"},
    "stream_options": {"include_usage": True},
    "metadata": {"any": {"x": 1}},
    "logit_bias": {"1": 2},
    "stop": ["a"],
    "user": "u",
}
_TEXT = {"type": "text", "text": "t", "citations": [{"type": "char_location", "cited_text": "c", "document_index": 0}]}
_FETCHED = {
    "type": "web_fetch_result",
    "url": "https://x.example",
    "retrieved_at": "2026-11-20",
    "content": {"type": "document", "source": {"type": "text", "data": "d", "media_type": "text/plain"}},
}
_RAN = {
    "type": "bash_code_execution_result",
    "stdout": "o",
    "stderr": "",
    "return_code": 0,
    "content": [{"type": "bash_code_execution_output", "file_id": "f"}],
}
_FOUND = {"type": "search_result", "source": "https://x.example", "title": "t", "content": [_TEXT]}
_MESSAGES: dict[str, Any] = {
    "model": "m",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                _TEXT,
                {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
                {"type": "document", "source": {"type": "content", "content": [_TEXT]}, "citations": {"enabled": True}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "server_tool_use", "id": "1", "name": "web_fetch", "input": {"url": {"any": 1}}},
                {"type": "web_fetch_tool_result", "tool_use_id": "1", "content": _FETCHED},
                {"type": "bash_code_execution_tool_result", "tool_use_id": "2", "content": _RAN},
                {
                    "type": "tool_search_tool_result",
                    "tool_use_id": "3",
                    "content": {
                        "type": "tool_search_tool_search_result",
                        "tool_references": [{"type": "tool_reference", "tool_name": "f"}],
                    },
                },
                {"type": "tool_use", "id": "4", "name": "f", "input": {"x": 1}, "caller": {"type": "direct"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "4", "content": [_FOUND, _TEXT]}]},
    ],
    "tools": [
        {
            "name": "f",
            "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}},
            "strict": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "user_location": {"type": "approximate"}},
        {"type": "web_fetch_20260318", "name": "web_fetch", "url_sources": {"user_input": {"type": "all"}}},
        {"type": "computer_20251124", "name": "computer", "display_width_px": 1, "display_height_px": 1},
        {
            "type": "mcp_toolset",
            "mcp_server_name": "s",
            "default_config": {"enabled": True},
            "configs": {"f": {"a": 1}},
        },
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "adaptive", "display": "omitted", "block_binding": {"prefix_mismatch_behavior": "drop"}},
    "context_management": {
        "edits": [
            {"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 3}, "keep": {"type": "x"}}
        ]
    },
    "mcp_servers": [{"type": "url", "url": "https://x.example", "name": "s", "tool_configuration": {"enabled": True}}],
    "container": {"id": "c", "skills": [{"type": "anthropic", "skill_id": "s", "version": "1"}]},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"any": {"x": 1}}}},
    "metadata": {"user_id": "u"},
}
_EMBEDDINGS: dict[str, Any] = {
    "model": "m",
    "input": ["a", "b"],
    "dimensions": 3,
    "encoding_format": "float",
    "user": "u",
}
BODIES: list[tuple[Codec, dict[str, Any]]] = [
    (OPENAI_CHAT, _CHAT),
    (ANTHROPIC_MESSAGES, _MESSAGES),
    (OPENAI_EMBEDDINGS, _EMBEDDINGS),
]


def objects(value: Any, key: str = "") -> Iterator[dict[str, Any]]:
    """Every object of a body that is the dialect's."""
    if isinstance(value, dict):
        yield value
        for name, inner in value.items():
            if name not in CALLERS or (name == "metadata" and "user_id" in inner) or type(inner) is list:
                yield from objects(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner, key)


@pytest.mark.parametrize(("codec", "body"), BODIES, ids=[codec.name for codec, _ in BODIES])
def test_what_the_dialect_has_is_known(codec: Codec, body: dict[str, Any]) -> None:
    """In requests, and in the blocks of answers that clients send back."""
    assert codec.foreign(body) == []
    assert not codec.drop_foreign(body)


@pytest.mark.parametrize(("codec", "body"), BODIES, ids=[codec.name for codec, _ in BODIES])
def test_a_field_in_any_object_is_found(codec: Codec, body: dict[str, Any]) -> None:
    """And taken out, with nothing else."""
    for number in range(sum(1 for _ in objects(body))):
        changed = orjson.loads(orjson.dumps(body))  # no object twice, as in a parsed request
        list(objects(changed))[number]["x_other"] = {"deep": [1]}
        [path] = codec.foreign(changed)
        assert path.rpartition(".")[2] == "x_other"
        assert codec.drop_foreign(changed)
        assert changed == body


@pytest.mark.parametrize(("codec", "body"), BODIES, ids=[codec.name for codec, _ in BODIES])
def test_an_object_in_place_of_a_plain_value_has_no_known_fields(codec: Codec, body: dict[str, Any]) -> None:
    """`user: {"route": "x"}` hides a field as well as a name of its own does; so does a list of such objects."""
    for hidden in ({"x_other": 1}, [{"x_other": 1}]):
        for key, value in body.items():
            if not isinstance(value, dict | list):
                assert codec.foreign({**body, key: hidden}) in ([f"{key}.x_other"], [f"{key}[].x_other"])
