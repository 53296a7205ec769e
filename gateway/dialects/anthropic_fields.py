"""The fields of a request in the Messages dialect (Claude API reference: Messages, beta fields included).

One table serves blocks of all types, and one serves tools of all types. Left out on purpose, so that strict providers
do not get them: fields that name another model (`fallbacks`, `tools[].model`) or continue a state that is not in the
request (`thread`).
"""

from __future__ import annotations

from typing import Final

from gateway.dialects.field_table import Table, table

_CACHE: Final = table("type ttl scope")
_SWITCH: Final = table("type value")
_EFFORT: Final = table("effort")
_CITATIONS: Final = table(
    "enabled type cited_text document_index document_title start_char_index end_char_index start_page_number "
    "end_page_number start_block_index end_block_index encrypted_index search_result_index source title url file_id"
)
_PLACE: Final = table("type city country region timezone")
_SOURCES: Final = table("type", tools=table("type name"))

_TOOL: Final = table(
    "type name description strict defer_loading eager_input_streaming allowed_callers max_uses "
    "max_content_tokens max_characters allowed_domains blocked_domains use_cache response_inclusion display_width_px "
    "display_height_px display_number enable_zoom mcp_server_name",
    cache_control=_CACHE,
    citations=table("enabled"),
    configs=None,  # by the names of tools
    default_config=table("enabled defer_loading"),
    input_examples=None,
    input_schema=None,
    tools=table("name description", input_schema=None),
    url_sources=table(user_input=_SOURCES, client_tool_results=_SOURCES, server_tool_results=_SOURCES),
    user_location=_PLACE,
)
_CHANGE: Final = table("type", cache_control=_CACHE, tool=table("type name server_name", definition=_TOOL))


def _source(content: Table | None) -> Table:
    return table("type media_type data url file_id", content=content)


def _blocks(content: Table | None) -> Table:
    return table(
        "type text id name is_error tool_use_id title context thinking signature data file_id url encrypted_content "
        "page_age error_code error_message server_name toolset_name tool_name retrieved_at stdout stderr return_code "
        "encrypted_stdout file_type num_lines start_line total_lines is_file_update lines new_lines new_start "
        "old_lines old_start stop_reason mcp_server_name",
        cache_control=_CACHE,
        caller=table("type tool_id"),
        citations=_CITATIONS,
        content=content,
        input=None,
        output_config=_EFFORT,
        source=_source(content),
        state_changes=table("type tab_id download_id url path size_bytes error"),
        tabs=table("tab_id title url active"),
        to=table("model"),  # a past fallback, which selects nothing
        tool=table("type name server_name", definition=_TOOL),
        tool_changes=_CHANGE,
        tool_references=table("type tool_name", cache_control=_CACHE),
        tools=table("name description", input_schema=None),
        transformations=table("oversized_image"),
        trigger=None,
    )


_TEXT: Final = table("type text", cache_control=_CACHE, citations=_CITATIONS)
_BLOCK: Final = _blocks(_blocks(_blocks(_blocks(_TEXT))))
BODY: Final = table(
    "model max_tokens stream temperature top_k top_p stop_sequences service_tier inference_geo speed user_profile_id "
    "workspace_id prefill",
    cache_control=_CACHE,
    compaction=table("type instructions"),
    container=table("id", skills=table("type skill_id version")),
    context_management=table(
        edits=table(
            "type clear_tool_inputs exclude_tools instructions pause_after_compaction",
            clear_at_least=_SWITCH,
            keep=_SWITCH,
            trigger=_SWITCH,
        )
    ),
    diagnostics=table("previous_message_id"),
    mcp_servers=table("type name url authorization_token", tool_configuration=table("enabled allowed_tools")),
    messages=table("role", content=_BLOCK, output_config=_EFFORT),
    metadata=table("user_id"),
    output_config=table("effort", format=table("type name", schema=None), task_budget=table("type total remaining")),
    output_format=table("type name", schema=None),
    system=_BLOCK,
    thinking=table("type budget_tokens display", block_binding=table("prefix_mismatch_behavior")),
    tool_choice=table("type name disable_parallel_tool_use"),
    tools=_TOOL,
)
