"""The route table: path -> codec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.dialects import Codec
from gateway.dialects.anthropic_messages import ANTHROPIC_COUNT, ANTHROPIC_MESSAGES
from gateway.dialects.gemini import GEMINI, GEMINI_COUNT, GEMINI_STREAMING
from gateway.dialects.mcp import Mcp
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.dialects.responses_lists import RESPONSE_DELETED, RESPONSE_ITEMS

CHAT: Final = "/v1/chat/completions"
EMBEDDINGS: Final = "/v1/embeddings"
RESPONSES: Final = "/v1/responses"
RESPONSE: Final = f"{RESPONSES}/{{id}}"
MODELS: Final = "/v1/models"
MODEL: Final = f"{MODELS}/{{model:path}}"
MESSAGES: Final = "/v1/messages"
_GEMINI: Final = ("/v1beta/models/{model:path}", "/v1/models/{model:path}")
ROUTES: Final[Mapping[str, Codec]] = {
    CHAT: OPENAI_CHAT,
    EMBEDDINGS: OPENAI_EMBEDDINGS,
    RESPONSES: OPENAI_RESPONSES,
    MESSAGES: ANTHROPIC_MESSAGES,
    f"{MESSAGES}/count_tokens": ANTHROPIC_COUNT,
    **{f"{path}:{codec.verb}": codec for path in _GEMINI for codec in (GEMINI, GEMINI_STREAMING, GEMINI_COUNT)},
}
REFERENCES: Final[Mapping[str, Mapping[str, Codec]]] = {
    RESPONSE: {"GET": OPENAI_RESPONSES, "DELETE": RESPONSE_DELETED},
    f"{RESPONSE}/cancel": {"POST": OPENAI_RESPONSES},
    f"{RESPONSE}/input_items": {"GET": RESPONSE_ITEMS},
}
"""Path template of a state that a provider stores -> the methods that it takes, with the codec of each answer."""
TOOLS: Final[Mapping[str, type[Mcp]]] = {"/mcp": Mcp, "/mcp/{server}": Mcp}
"""Path template of tool servers -> their codec, which is made anew for each call."""
METHODS: Final[Mapping[str, str]] = {
    **dict.fromkeys(TOOLS, "POST, DELETE, OPTIONS"),
    **dict.fromkeys(ROUTES, "POST, OPTIONS"),
    **{path: ", ".join([*codecs, "OPTIONS"]) for path, codecs in REFERENCES.items()},
    **dict.fromkeys((MODELS, MODEL), "GET, HEAD, OPTIONS"),
}
"""Path template -> the methods that it takes, for `Allow`."""


def shown(template: str) -> str:
    """A template of a path as users read it."""
    return template.replace(":path}", "}")
