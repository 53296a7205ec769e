"""The fields of a chat request that the dialect has; what is not in the table is told to policies by name."""

from __future__ import annotations

import re
from typing import Final

from gateway.call import Json

KNOWN: Final = frozenset(
    [
        "audio",
        "best_of",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def unknown(body: Json) -> list[str]:
    """Fields that the table does not have, sorted; `?` stands for what is no name."""
    if body.keys() <= KNOWN:
        return []
    return sorted({key if _NAME.fullmatch(key) else "?" for key in body.keys() - KNOWN})
