"""The route table: path -> codec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.dialects import Codec
from gateway.dialects.a2a import A2a
from gateway.dialects.anthropic_messages import ANTHROPIC_COUNT, ANTHROPIC_MESSAGES
from gateway.dialects.gemini import GEMINI, GEMINI_COUNT, GEMINI_STREAMING
from gateway.dialects.gemini_embeddings import GEMINI_EMBEDDING, GEMINI_EMBEDDINGS
from gateway.dialects.mcp import Mcp
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_completions import OPENAI_COMPLETIONS
from gateway.dialects.openai_conversations import CONVERSATION_ITEM, CONVERSATION_ITEMS
from gateway.dialects.openai_conversations import CONVERSATIONS as OPENAI_CONVERSATIONS
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.dialects.openai_moderations import OPENAI_MODERATIONS
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.dialects.responses_counts import RESPONSES_COMPACTION, RESPONSES_COUNT
from gateway.dialects.responses_lists import RESPONSE_DELETED, RESPONSE_ITEMS

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
EMBEDDINGS: Final = "/v1/embeddings"
MODERATIONS: Final = "/v1/moderations"
RESPONSES: Final = "/v1/responses"
RESPONSE: Final = f"{RESPONSES}/{{id}}"
CONVERSATIONS: Final = "/v1/conversations"
CONVERSATION: Final = f"{CONVERSATIONS}/{{id}}"
MODELS: Final = "/v1/models"
MESSAGES: Final = "/v1/messages"
_RESPONDING: Final = (RESPONSES, f"{RESPONSES}/input_tokens", f"{RESPONSES}/compact", CONVERSATIONS)
OPENAI: Final = (CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, *_RESPONDING)
"""The paths of OpenAI's API with calls, which Azure's API has too."""
_GEMINI_CODECS: Final = (GEMINI, GEMINI_STREAMING, GEMINI_COUNT, GEMINI_EMBEDDING, GEMINI_EMBEDDINGS)
_GEMINI: Final = ("/v1beta/models/{model:path}", "/v1/models/{model:path}")
ROUTES: Final[Mapping[str, Codec]] = {
    CHAT: OPENAI_CHAT,
    COMPLETIONS: OPENAI_COMPLETIONS,
    EMBEDDINGS: OPENAI_EMBEDDINGS,
    MODERATIONS: OPENAI_MODERATIONS,
    RESPONSES: OPENAI_RESPONSES,
    f"{RESPONSES}/input_tokens": RESPONSES_COUNT,
    f"{RESPONSES}/compact": RESPONSES_COMPACTION,
    CONVERSATIONS: OPENAI_CONVERSATIONS,
    MESSAGES: ANTHROPIC_MESSAGES,
    f"{MESSAGES}/count_tokens": ANTHROPIC_COUNT,
    **{f"{path}:{codec.verb}": codec for path in _GEMINI for codec in _GEMINI_CODECS},
}
REFERENCES: Final[Mapping[str, Mapping[str, Codec]]] = {
    RESPONSE: {"GET": OPENAI_RESPONSES, "DELETE": RESPONSE_DELETED},
    f"{RESPONSE}/cancel": {"POST": OPENAI_RESPONSES},
    f"{RESPONSE}/input_items": {"GET": RESPONSE_ITEMS},
    CONVERSATION: dict.fromkeys(("GET", "POST", "DELETE"), OPENAI_CONVERSATIONS),
    f"{CONVERSATION}/items": dict.fromkeys(("GET", "POST"), CONVERSATION_ITEMS),
    f"{CONVERSATION}/items/{{item}}": {"GET": CONVERSATION_ITEM, "DELETE": OPENAI_CONVERSATIONS},
}
"""Path template of a state that a provider stores -> the methods that it takes, with the codec of each answer."""


def _versions(path: str) -> str:
    """The path of Azure's API that has the same requests: `/openai/v1/...`."""
    return f"/openai{path}"


def _plainly(path: str) -> str:
    """The path of Azure's API with `api-version`: `/openai/...`."""
    return f"/openai{path.removeprefix('/v1')}"


DEPLOYMENT: Final = "/openai/deployments/{deployment}"
AZURE: Final[Mapping[str, Codec]] = {
    **{_versions(path): ROUTES[path] for path in OPENAI},
    **{_plainly(path): ROUTES[path] for path in _RESPONDING},
    **{f"{DEPLOYMENT}{path.removeprefix('/v1')}": ROUTES[path] for path in OPENAI if path != CONVERSATIONS},
}
"""Path -> codec, as Azure's API has them; a deployment is a model. The key is in `api-key`, as in any call."""
AZURE_REFERENCES: Final[Mapping[str, Mapping[str, Codec]]] = {
    alias(path): codecs for alias in (_versions, _plainly) for path, codecs in REFERENCES.items()
}
LISTS: Final = tuple(
    f"{base}{rest}" for base in ("/v1", "/openai/v1", "/openai") for rest in ("/models", "/models/{model:path}")
)
"""The paths of the list of models, and of one model."""
TOOLS: Final[Mapping[str, type[Mcp]]] = {"/mcp": Mcp, "/mcp/{server}": Mcp}
"""Path template of tool servers -> their codec, which is made anew for each call."""
AGENTS: Final[Mapping[str, type[A2a]]] = {"/a2a/{agent}": A2a}
"""Path template of other agents -> their codec, which is made anew for each call."""
CARDS: Final = ("/a2a/{agent}/.well-known/agent-card.json", "/a2a/{agent}/.well-known/agent.json")
"""The paths of an agent's card, in the versions of the protocol."""
DELEGATIONS: Final = "/v1/delegations"
HTTP_TOOLS: Final = ("/tools/{server}", "/tools/{server}/", "/tools/{server}/{path:path}")
"""Path templates of plain HTTP tools."""
METHODS: Final[Mapping[str, str]] = {
    **dict.fromkeys(HTTP_TOOLS, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    **dict.fromkeys(TOOLS, "POST, DELETE, OPTIONS"),
    **dict.fromkeys(AGENTS, "POST, OPTIONS"),
    **dict.fromkeys(CARDS, "GET, HEAD, OPTIONS"),
    DELEGATIONS: "POST, OPTIONS",
    **dict.fromkeys([*ROUTES, *AZURE], "POST, OPTIONS"),
    **{path: ", ".join([*codecs, "OPTIONS"]) for path, codecs in {**REFERENCES, **AZURE_REFERENCES}.items()},
    **dict.fromkeys(LISTS, "GET, HEAD, OPTIONS"),
}
"""Path template -> the methods that it takes, for `Allow`."""


def shown(template: str) -> str:
    """A template of a path as users read it."""
    return template.replace(":path}", "}")
