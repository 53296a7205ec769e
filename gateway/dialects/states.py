"""Names of state that a provider stores, in fields where the gateway would not look for the owner.

All teams share a provider's key, so an id of another team's conversation is as good as one's own. Servers that serve
several dialects read these fields in any of them, and gateways behind this one unpack `extra_body` or ignore case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.bodies import Json
from gateway.budget import once
from gateway.dialects.checks import wrong

_NAMES: Final = frozenset(
    {"previousresponseid", "comparisonresponseid", "previousinteractionid", "cachedcontent"}
    | {"previousresponse", "previousmessageid"}
)
_CONTENT: Final = frozenset(
    {"messages", "input", "contents", "system", "instructions", "metadata", "tools", "functions", "response_format"}
    | {"generationConfig", "generation_config", "labels", "stop", "documents", "prediction"}
)  # fields without state
_ORDINARY: Final = (
    _CONTENT
    | {"model", "stream", "temperature", "max_tokens", "max_completion_tokens", "top_p", "n", "store", "background"}
    | {"max_output_tokens", "parallel_tool_calls", "truncation", "service_tier", "prompt_cache_key", "user"}
)  # fields with one value, besides
_DEPTH: Final = 8


def check(body: Json, own: frozenset[str] = frozenset()) -> None:
    """Raise Refusal(invalid_request) for a field that names stored state, except for `own` at the top level.

    Other spellings of `own`, and the same below the top level, are refused as well.
    """
    if body.keys() <= _ORDINARY:
        return
    mine = {_plain(name) for name in own}
    for key, depth in _keys(body):
        if (_names_state(key) or _plain(key) in mine) and (depth or key not in own):
            words = "names a state at the provider, which this gateway cannot tell the owner of; leave the field out"
            raise wrong(key[:64], words)


def _keys(body: Json) -> Iterator[tuple[str, int]]:
    """The keys of a body and of what is below its settings, with their depth."""
    waiting: list[tuple[Any, int]] = [(body, 0)]
    while waiting:
        node, depth = waiting.pop()
        if type(node) is dict:
            for key, value in node.items():
                if value is not None:
                    yield key, depth
                below = (type(value) is dict or type(value) is list) and depth < _DEPTH
                if below and (depth or key not in _CONTENT):
                    waiting.append((value, depth + 1))
        else:
            waiting += [(one, depth) for one in node if type(one) is dict or type(one) is list]


@once
def _names_state(key: str) -> bool:
    return _plain(key) in _NAMES


def _plain(key: str) -> str:
    return key[:64].lower().replace("_", "").replace("-", "")
