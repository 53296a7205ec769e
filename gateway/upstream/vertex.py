"""Vertex AI: the paths of models by publisher, and the body of Claude there.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference,
https://platform.claude.com/docs/en/api/claude-on-vertex-ai
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from gateway.dialects import GONE, Codec

KINDS: Final = frozenset({"vertex", "vertex-anthropic"})
_VERSION: Final = "vertex-2023-10-16"  # the only one that there is
_COUNTED: Final = "anthropic_count"


def path(kind: str, codec: Codec, at: str, model: str, *, stream: bool) -> str:
    """The path below the base URL, for the path `at` of the dialect."""
    if kind == "vertex":
        return f"/publishers/google/{at.lstrip('/').partition('/')[2]}"
    name = "count-tokens" if codec.name == _COUNTED else quote(model, safe="@")
    return f"/publishers/anthropic/models/{name}:{'streamRawPredict' if stream else 'rawPredict'}"


def fields(codec: Codec) -> dict[str, Any]:
    """The fields of a request of Claude that differ: the version, and the model, which the path names."""
    return {"anthropic_version": _VERSION} if codec.name == _COUNTED else {"anthropic_version": _VERSION, "model": GONE}
