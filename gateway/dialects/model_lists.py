"""The list of models, in the form of the client that asks (OpenAI `GET /v1/models`, Anthropic `GET /v1/models`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.bodies import Headers, Json
from gateway.dialects import Codec
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.openai_chat import OPENAI_CHAT

_MARK: Final = b"anthropic-version"  # a header that every client of Anthropic's sends, and no other
_GOOGLE: Final = frozenset({b"x-goog-api-key", b"x-goog-api-client"})
_NEVER: Final = "1970-01-01T00:00:00Z"


class ModelForm(NamedTuple):
    """One form: of a model, of a list of models, and of an error (`codec`)."""

    codec: Codec
    one: Callable[[str], Json]
    all: Callable[[Sequence[str]], Json]


def _openai(name: str) -> Json:
    return {"id": name, "object": "model", "created": 0, "owned_by": "meshgate"}


def _anthropic(name: str) -> Json:
    return {"type": "model", "id": name, "display_name": name, "created_at": _NEVER}


def _openai_list(names: Sequence[str]) -> Json:
    return {"object": "list", "data": list(map(_openai, names))}


def _anthropic_list(names: Sequence[str]) -> Json:
    first, last = (names[0], names[-1]) if names else (None, None)
    return {"data": list(map(_anthropic, names)), "has_more": False, "first_id": first, "last_id": last}


_OPENAI: Final = ModelForm(OPENAI_CHAT, _openai, _openai_list)
_ANTHROPIC: Final = ModelForm(ANTHROPIC_MESSAGES, _anthropic, _anthropic_list)


def form(headers: Headers) -> ModelForm:
    """The form that a client reads."""
    return _ANTHROPIC if is_anthropic(headers) else _OPENAI


def is_anthropic(headers: Headers) -> bool:
    """Whether a client of Anthropic's sent these headers."""
    return any(name == _MARK for name, _ in headers)


def is_google(headers: Headers) -> bool:
    """Whether a client of Gemini's API sent these headers."""
    return any(name in _GOOGLE for name, _ in headers)
