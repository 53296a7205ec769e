"""Tool calls of an answer in shapes that Gemini's dialect does not have, but that a client might execute."""

from __future__ import annotations

from gateway.bodies import Json
from gateway.dialects.gemini_tables import CALLS, DATA, SIGNATURE, candidates, parts
from gateway.dialects.openai_strays import fields, in_blocks

_TOP = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "promptFeedback"})
_CANDIDATE = frozenset({"content", "finishReason", "index", "safetyRatings"})
_CONTENT = frozenset({"parts", "role"})
_USUAL = DATA | SIGNATURE | {"thought"}


def strays(answer: Json) -> list[Json]:
    """The stray calls of an answer or an event."""
    found = [] if answer.keys() <= _TOP else list(fields(answer, _TOP))
    for candidate in candidates(answer):
        if not candidate.keys() <= _CANDIDATE:
            found += fields(candidate, _CANDIDATE)
        content = candidate.get("content")
        if type(content) is dict and not content.keys() <= _CONTENT:
            found += fields(content, _CONTENT)
        for part in parts(candidate):
            if not part.keys() <= _USUAL:
                found += in_blocks([{key: value for key, value in part.items() if key not in CALLS}])
    return found
