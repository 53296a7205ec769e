"""The fields of a request that the dialect has (OpenAI API reference: chat/create), and those that it has not.

What is not in the table is told to policies by name. It passes, unless a provider or a policy is strict: then it is
taken out, or the call refused by the name of the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from gateway.call import Json


class Table(NamedTuple):
    """The keys of an object, each with those of what lies below; None: the caller's own, whatever it is."""

    keys: Mapping[str, Table | None]


def _table(names: str, **below: Table | None) -> Table:
    return Table({**dict.fromkeys(names.split()), **below})


_FUNCTION: Final = _table("name description parameters strict")
_CUSTOM: Final = _table("name description", format=_table("type", grammar=_table("definition syntax")))
_CALLED: Final = _table("name arguments")
_PART: Final = _table(
    "type text refusal",
    image_url=_table("url detail"),
    input_audio=_table("data format"),
    file=_table("file_data file_id filename"),
)
_MESSAGE: Final = _table(
    "role name refusal tool_call_id",
    content=_PART,
    audio=_table("id"),
    function_call=_CALLED,
    tool_calls=_table("id type index", function=_CALLED, custom=_table("name input")),
)
_PLACE: Final = _table("type", approximate=_table("city country region timezone"))
CHAT: Final = _table(
    "best_of frequency_penalty logit_bias logprobs max_completion_tokens max_tokens metadata modalities model n "
    "parallel_tool_calls presence_penalty prompt_cache_key prompt_cache_retention reasoning_effort safety_identifier "
    "seed service_tier stop store stream temperature top_logprobs top_p user verbosity",
    audio=_table("voice format"),
    function_call=_table("name"),
    functions=_FUNCTION,
    messages=_MESSAGE,
    prediction=_table("type", content=_PART),
    response_format=_table("type", json_schema=_table("name description schema strict")),
    stream_options=_table("include_usage include_obfuscation"),
    tool_choice=_table(
        "type mode tools",
        function=_table("name"),
        custom=_table("name"),
        allowed_tools=_table("mode tools"),
    ),
    tools=_table("type", function=_FUNCTION, custom=_CUSTOM),
    web_search_options=_table("search_context_size", user_location=_PLACE),
)
KNOWN: Final = frozenset(CHAT.keys)
EMBEDDINGS: Final = _table("dimensions encoding_format input model user")
"""The fields of an embeddings request (OpenAI API reference: embeddings/create)."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def unknown(body: Json, table: Table = CHAT) -> list[str]:
    """Fields at the top that the table does not have, sorted; `?` stands for what is no name."""
    if body.keys() <= table.keys.keys():
        return []
    return sorted({_shown(key) for key in body.keys() - table.keys.keys()})


def foreign(body: Json, table: Table = CHAT) -> list[str]:
    """Every field that the table does not have, as a path such as `messages[].cache_control`; each once, in order."""
    return list(dict.fromkeys(path for _, _, path in _foreign(body, table, "")))


def drop_foreign(body: Json, table: Table = CHAT) -> bool:
    """Take those fields out; True if there were any."""
    found = [(holder, key) for holder, key, _ in _foreign(body, table, "")]
    for holder, key in found:
        del holder[key]
    return bool(found)


def _foreign(value: Any, table: Table, path: str) -> Iterator[tuple[Json, str, str]]:
    if type(value) is list:
        for inner in value:
            yield from _foreign(inner, table, f"{path}[]")
    elif type(value) is dict:
        for key, inner in value.items():
            at = f"{path}.{_shown(key)}" if path else _shown(key)
            if key not in table.keys:
                yield value, key, at
            elif (below := table.keys[key]) is not None:
                yield from _foreign(inner, below, at)


def _shown(key: str) -> str:
    return key if _NAME.fullmatch(key) else "?"
