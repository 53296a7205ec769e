"""Fields that name another model, or a server, in any dialect, under any name and at any depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import upstream as scripted
from gateway.dialects import Codec
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from line import config, running

CODECS = pytest.mark.parametrize("codec", [OPENAI_CHAT, ANTHROPIC_MESSAGES], ids=lambda codec: codec.name)
NAMES = (
    *("models", "fallbacks", "fallback_model", "context_window_fallback_dict", "default_fallbacks", "model_fallbacks"),
    *("engine", "deployment_id", "azure_deployment", "modelName", "model_list", "backup_models", "overrideModel"),
    *(
        "base_model",
        "allowed_models",
        "draft_model",
        "analysis_models",
        "MODEL",
        "model_alias",
        "judge-model",
        "preset",
    ),
)
VALUES: tuple[Any, ...] = ("other", ["other"], {"model": "other"}, {"m": ["other"]}, [{"model": "other"}], [["other"]])
WHERE = ("top", "extra_body", "extra_body.extra_body")
SETTINGS = (
    *("litellm_params", "options", "provider", "model_kwargs", "router_settings_override", "user_config", "routing"),
)
SPAWN = {
    "type": "function",
    "name": "spawn",
    "parameters": {"type": "object", "properties": {"model": {"type": "string"}}},
}
"""A tool of Codex that starts an agent: the model in its schema is an argument of the tool."""


def body(**fields: Any) -> dict[str, Any]:
    """A request of any dialect with these fields."""
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields}


def at(where: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields at the top, or in wrappers."""
    for wrapper in reversed(where.split(".")):
        fields = fields if wrapper == "top" else {wrapper: fields}
    return fields


@CODECS
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", WHERE)
def test_a_field_that_names_another_model_is_refused(codec: Codec, name: str, where: str) -> None:
    """As a name, a list, an object or a map; the message names the field."""
    for value in VALUES:
        with pytest.raises(Refusal, match="another model") as caught:
            codec.parse(body(**at(where, {name: value})))
        assert caught.value.param == name


@CODECS
@pytest.mark.parametrize("holder", SETTINGS)
def test_so_is_one_in_settings(codec: Codec, holder: str) -> None:
    """At any depth."""
    for name in ("model", "models", "fallbacks", "model_name"):
        for inside in ({name: "other"}, {"x": [{"y": {name: ["other"]}}]}):
            with pytest.raises(Refusal, match="another model"):
                codec.parse(body(**{holder: inside}))


@CODECS
@pytest.mark.parametrize(
    "tool",
    [
        {"type": "image_generation", "model": "other"},
        {"type": "fusion", "parameters": {"model": "other"}},
        {"type": "fusion", "parameters": {"analysis_models": ["other"]}},
        {"type": "function", "function": {"name": "f"}, "model": "other"},
        {"type": "namespace", "name": "n", "model": "other", "tools": []},
        {"type": "namespace", "name": "n", "tools": [{"type": "image_generation", "model": "other"}]},
        {
            "type": "namespace",
            "name": "n",
            "tools": [{"type": "namespace", "tools": [{"type": "x", "model": "other"}]}],
        },
    ],
    ids=str,
)
def test_so_is_one_of_a_tool(codec: Codec, tool: dict[str, Any]) -> None:
    """A tool that the provider runs has settings of its own."""
    with pytest.raises(Refusal, match="another model"):
        codec.parse(body(tools=[tool]))
    with pytest.raises(Refusal, match="another model"):
        codec.parse(body(plugins=[{"id": "x", **tool.get("parameters", {"model": "other"})}]))


@CODECS
@pytest.mark.parametrize("name", ["api_base", "base_url", "apiBase", "custom_llm_provider"])
def test_a_field_that_names_a_server_is_refused(codec: Codec, name: str) -> None:
    """LiteLLM's fields: the operator chooses servers."""
    for fields in ({name: "https://x.example"}, {"litellm_params": {name: "https://x.example"}}):
        with pytest.raises(Refusal, match="names a server"):
            codec.parse(body(**fields))


@CODECS
@pytest.mark.parametrize(
    "fields",
    [
        {"provider": {"order": ["a"], "allow_fallbacks": True, "only": ["b"]}},
        {"disable_fallbacks": True, "max_fallbacks": 3, "fallbacks": [], "models": None, "engine": ""},
        {"plugins": [{"id": "web", "engine": "exa"}], "tools": [{"type": "web_search", "engine": "exa"}]},
        {"voice": {"preset": "calm"}, "telemetry": {"deployment": "prod"}, "search": {"engine": "exa"}},
        {"web_search": {"search_engine": "pro"}, "model_max_length": 9, "model_kwargs": {"top_k": 1}},
        {"chat_template_kwargs": {"model_identity": "You are a poet."}, "x": {"car_model": "T"}},
        {"metadata": {"model": "other"}, "documents": [{"model": "T", "text": "a car"}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"model": {}}}}}]},
        {"tools": [{"name": "f", "input_schema": {"properties": {"model": {"const": "T"}}}}]},
        {"tools": [{"type": "namespace", "name": "n", "tools": [SPAWN, {"type": "namespace", "tools": [SPAWN]}]}]},
        {"data_sources": [{"parameters": {"embedding_dependency": {"deployment_name": "e"}}}]},
        {"moderation": {"model": "omni"}},
    ],
    ids=str,
)
def test_what_names_no_other_model_passes(codec: Codec, fields: dict[str, Any]) -> None:
    """Switches, counts, schemas, the content of the caller."""
    codec.parse(body(**fields))


@CODECS
@pytest.mark.parametrize("where", WHERE)
def test_the_models_own_name_follows_the_model(codec: Codec, where: str) -> None:
    """Served under another name, no field keeps the old name, which may be that of another model there."""
    fields = {"models": ["m"], "fallback": {"model": "m"}, "options": {"model": "m"}, "engine": "m"}
    request = body(tools=[{"type": "x", "model": "m"}], **at(where, fields))
    codec.parse(request)
    for name in ("first", "second", "second"):  # a failover
        codec.request(request, name, False)
        assert '"m"' not in json.dumps(request)
        assert json.dumps(request).count(f'"{name}"') == 6


def test_a_route_cannot_be_undone(up: scripted.Upstream, tmp_path: Path) -> None:
    """A call that goes to another target names that target's model everywhere."""
    settings = config(tmp_path, up.url)
    settings["models"]["dear"] = {"targets": ["up/cheap"]}
    with running(tmp_path, settings) as line:
        answer = line.chat(model="dear", models=["dear"], extra_body={"model": "dear"})
    assert answer.status_code == 200
    assert "dear" not in json.dumps(up.last.body)
