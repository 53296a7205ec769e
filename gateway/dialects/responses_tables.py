"""The tables of the Responses dialect: structural keys, authors of items, and items that call tools."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.bodies import Json
from gateway.dialects import tree
from gateway.dialects.checks import text

_ASKS: Final = frozenset({"program", "mcp_approval_request"})  # items that call a tool under another name
_OUTPUTS: Final = (
    *("function_call_output", "custom_tool_call_output", "computer_call_output", "local_shell_call_output"),
    *("shell_call_output", "apply_patch_call_output", "program_output", "tool_search_output"),
)
# Items of tools that the provider runs, which hold their results, and definitions of tools in the conversation.
_HOSTED: Final = (
    *("mcp_call", "mcp_list_tools", "web_search_call", "file_search_call", "code_interpreter_call"),
    *("additional_tools", "mcp_approval_response"),
)
_MODEL: Final = (
    *("function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"),
    *("tool_search_call", "image_generation_call", "mcp_approval_request", "reasoning", "compaction"),
)
SHAPE: Final = tree.Shape(
    opaque=frozenset(
        {"model", "role", "type", "id", "call_id", "item_id", "object", "status", "service_tier", "detail", "effort"}
        | {"verbosity", "truncation", "phase", "mode", "ttl", "syntax", "format", "reason", "approval_request_id"}
        | {"prompt_cache_retention", "generate_summary", "search_context_size", "file_id", "container_id", "caller_id"}
        | {"previous_response_id", "conversation", "tool_choice"}
    ),
    json=frozenset({"arguments"}),
    blobs=frozenset({"image_url", "input_audio", "file_data", "file_url"}),
    within=frozenset({"input", "content", "output", "outputs", "results", "summary", "action", "actions", "caller"})
    | frozenset({"tools", "tool_choice", "text", "format", "reasoning", "parameters", "properties", "items", "schema"})
    | frozenset({"response", "item", "part", "annotations", "annotation", "error", "incomplete_details", "usage"})
    | frozenset({"environment", "container", "operation", "input_audio", "user_location", "prompt_cache_options"}),
    roles={"instructions": "system", "input": "user"},
    turns=frozenset({"input"}),
    ahead=frozenset({"tools", "text", "instructions"}),
    blocks={
        **dict.fromkeys((*_OUTPUTS, *_HOSTED), "tool"),
        **dict.fromkeys(_MODEL, tree.SPEAKER),
        "program": tree.SIGNED,  # a fingerprint covers its code
    },
    strangers="tool",
    seals=frozenset({"encrypted_content", "fingerprint"}),
    pictures=frozenset({"result", "partial_image_b64"}),
)
ANSWER: Final = replace(
    SHAPE,
    strangers="",
    roles={},
    turns=frozenset(),
    ahead=frozenset(),
    blocks={"program": tree.SIGNED},
    repeats=frozenset({"logprobs"}),
)
CALLING: Final = {
    "function_call": ("arguments", "function_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
    "mcp_call": ("arguments", "mcp_call_arguments"),
    "code_interpreter_call": ("code", "code_interpreter_call_code"),
}
"""Types of calls whose arguments are streamed: the key of the arguments, and the name of their events."""
WORDS: Final = frozenset(
    {"response", "message", "assistant", "output_text", "reasoning", "function_call", "custom_tool_call", "completed"}
    | {
        "in_progress",
        "incomplete",
        "failed",
        "auto",
        "default",
        "disabled",
        "summary_text",
        "reasoning_text",
        "refusal",
    }
    | {"response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"}
    | {"response.output_item.added", "response.output_item.done", "response.content_part.added", "function", "text"}
    | {"response.content_part.done", "response.output_text.delta", "response.output_text.done", "url_citation", "error"}
    | {"response.function_call_arguments.delta", "response.function_call_arguments.done", "keepalive", "medium"}
    | {"response.reasoning_summary_text.delta", "response.reasoning_summary_text.done", "max_output_tokens"}
    | {"response.reasoning_summary_part.added", "response.reasoning_summary_part.done", "content_filter"}
    | {"response.refusal.delta", "response.refusal.done", "response.reasoning_text.delta"}
)


def kind(item: Json) -> str:
    """The type of an item, a part or an event; "" if there is none."""
    return text(item.get("type"))


def calls_a_tool(item: Json) -> bool:
    """Whether an item is a tool call, also one that the provider runs."""
    said = kind(item)
    return said.endswith("_call") or said in _ASKS


def tool(call: Json) -> str:
    """The name of the tool that an item calls: its own, that of its MCP server, or that of a tool of the provider."""
    said = kind(call)
    if said.startswith("mcp_"):
        return text(call.get("server_label"))
    if said in ("function_call", "custom_tool_call") or "name" in call:
        return text(call.get("name"))
    return "programmatic_tool_calling" if said == "program" else said.removesuffix("_call")


def namespaces(item: Json) -> list[Json]:
    """The namespace of a called tool, as a call: it must have been offered too."""
    return [{"name": item["namespace"]}] if item.get("namespace") and calls_a_tool(item) else []


def speaks(item: Json) -> bool:
    """Whether the model wrote an item of the conversation."""
    if "role" in item:
        return text(item["role"]) == "assistant"
    return calls_a_tool(item) or kind(item) == "reasoning"
