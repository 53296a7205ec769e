"""The fields of a request in this dialect (OpenAI API reference: chat/create, completions/create,
embeddings/create, moderations/create)."""

from __future__ import annotations

from typing import Final

from gateway.dialects.field_table import table

_FUNCTION: Final = table("name description strict", parameters=None)
_CUSTOM: Final = table("name description", format=table("type", grammar=table("definition syntax")))
_CALLED: Final = table("name", arguments=None)
_NAMED: Final = table("type", function=table("name"), custom=table("name"))
_PART: Final = table(
    "type text refusal",
    prompt_cache_breakpoint=table("mode ttl"),
    image_url=table("url detail"),
    input_audio=table("data format"),
    file=table("file_data file_id filename"),
)
_MESSAGE: Final = table(
    "role name refusal tool_call_id",
    content=_PART,
    audio=table("id"),
    function_call=_CALLED,
    tool_calls=table("id type index", function=_CALLED, custom=table("name", input=None)),
)
_PLACE: Final = table("type", approximate=table("city country region timezone"))
CHAT: Final = table(
    "best_of frequency_penalty logprobs max_completion_tokens max_tokens modalities model n "
    "parallel_tool_calls presence_penalty prompt_cache_key prompt_cache_retention reasoning_effort safety_identifier "
    "seed service_tier stop store stream temperature top_logprobs top_p user verbosity",
    audio=table("format", voice=table("id")),
    function_call=table("name"),
    functions=_FUNCTION,
    logit_bias=None,
    messages=_MESSAGE,
    metadata=None,
    moderation=table("model", policy=table(input=table("mode"), output=table("mode"))),
    prediction=table("type", content=_PART),
    prompt_cache_options=table("mode ttl"),
    response_format=table("type", json_schema=table("name description strict", schema=None)),
    stream_options=table("include_usage include_obfuscation"),
    tool_choice=table(
        "type mode",
        function=table("name"),
        custom=table("name"),
        tools=_NAMED,
        allowed_tools=table("mode", tools=_NAMED),
    ),
    tools=table("type", function=_FUNCTION, custom=_CUSTOM),
    web_search_options=table("search_context_size", user_location=_PLACE),
)
KNOWN: Final = frozenset(CHAT.keys)
EMBEDDINGS: Final = table("dimensions encoding_format input model user")
"""The fields of an embeddings request."""
COMPLETIONS: Final = table(
    "best_of echo frequency_penalty logprobs max_tokens model n presence_penalty prompt seed stop stream suffix "
    "temperature top_p user",
    logit_bias=None,
    stream_options=table("include_usage include_obfuscation"),
)
"""The fields of a request for a text completion."""
MODERATIONS: Final = table("model", input=table("type text", image_url=table("url")))
"""The fields of a request for a moderation."""
