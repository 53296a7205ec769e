"""The fields of a request in the Responses dialect (OpenAI API reference: responses/create).

One table serves items of all types, and one serves tools of all types. Left out on purpose, so that strict providers
do not get them: fields about background answers that are pushed elsewhere (`background_options`), and an id whose owner
is not asked for (`comparison_response_id`).
"""

from __future__ import annotations

from typing import Final

from gateway.dialects.field_table import Table, table

_MARK: Final = table("mode ttl")
_PLACE: Final = table("type city country region timezone")
_NETWORK: Final = table("type allowed_domains", domain_secrets=table("domain name value"))
_SKILL: Final = table("type name description path skill_id version", source=table("type data media_type"))
_CONTAINER: Final = table("type container_id file_ids memory_limit", network_policy=_NETWORK, skills=_SKILL)
_FILTER: Final = table("tool_names read_only")
_FORMAT: Final = table("type name description strict definition syntax", schema=None)


def _tools(below: Table | None) -> Table:
    return table(
        "type name description strict defer_loading allowed_callers server_label server_url server_description "
        "connector_id tunnel_id authorization vector_store_ids max_num_results search_context_size "
        "search_content_types external_web_access display_width display_height action background complexity "
        "frame_count frame_duration_ms input_fidelity model moderation output_compression output_format "
        "partial_images quality size execution",
        parameters=None,
        output_schema=None,
        format=_FORMAT,
        headers=None,
        filters=None,
        allowed_tools=_FILTER,
        require_approval=table("always never", always=_FILTER, never=_FILTER),
        ranking_options=table("ranker score_threshold", hybrid_search=table("embedding_weight text_weight")),
        container=_CONTAINER,
        environment=_CONTAINER,
        input_image_mask=table("file_id image_url"),
        svg=table("model", reasoning=table("effort")),
        user_location=_PLACE,
        tools=below,
    )


_TOOL: Final = _tools(_tools(None))
_PART: Final = table(
    "type text refusal detail file_id image_url file_data file_url filename",
    prompt_cache_breakpoint=_MARK,
    input_audio=table("data format"),
    annotations=table(
        "type index file_id filename container_id start_index end_index title url",
    ),
    logprobs=None,
)
_ACTION: Final = table(
    "type button x y keys scroll_x scroll_y text query queries url pattern command commands env timeout_ms user "
    "working_directory max_output_length",
    path=table("x y"),
    env=None,
    sources=table("type url"),
)
ITEM: Final = table(
    "type role id call_id status phase name namespace server_label approval_request_id approve reason "
    "encrypted_content code fingerprint result queries container_id max_output_length execution "
    "background output_format quality revised_prompt size",
    content=_PART,
    summary=table("type text"),
    arguments=None,
    input=None,
    output=None,
    outputs=table("type logs url"),
    results=None,
    action=_ACTION,
    actions=_ACTION,
    operation=table("type diff path"),
    caller=table("type caller_id"),
    environment=_CONTAINER,
    acknowledged_safety_checks=table("id code message"),
    pending_safety_checks=table("id code message"),
    error=None,
    svg_usage=None,
    reasoning=table("effort"),
    text=table("", format=_FORMAT),
    tools=_TOOL,
)
"""The fields of an item."""
BODY: Final = table(
    "model instructions stream temperature top_p top_logprobs max_output_tokens max_tool_calls parallel_tool_calls "
    "store background include truncation service_tier user safety_identifier prompt_cache_key prompt_cache_retention "
    "previous_response_id",
    conversation=table("id"),
    input=ITEM,
    prompt=table("id version", variables=None),
    reasoning=table("effort summary generate_summary context mode"),
    text=table("verbosity", format=_FORMAT),
    tools=_TOOL,
    tool_choice=table("type mode name server_label", tools=table("type name server_label")),
    metadata=None,
    stream_options=table("include_obfuscation"),
    context_management=table("type compact_threshold"),
    access_programs=table("cyber"),
    image=table("context_compression"),
    moderation=table("model", policy=table(input=table("mode"), output=table("mode"))),
    prompt_cache_options=table("mode ttl prewarm"),
)
