"""The route table: path -> codec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.bodies import Json
from gateway.dialects import Codec, a2a_rest, listed
from gateway.dialects.a2a import A2a
from gateway.dialects.anthropic_batches import (
    ANTHROPIC_FILE,
    ANTHROPIC_FILES,
    MESSAGE_BATCH,
    MESSAGE_BATCHES,
    MESSAGE_RESULTS,
    has_results,
)
from gateway.dialects.anthropic_messages import ANTHROPIC_COUNT, ANTHROPIC_MESSAGES
from gateway.dialects.gemini import GEMINI, GEMINI_COUNT, GEMINI_STREAMING
from gateway.dialects.gemini_embeddings import GEMINI_EMBEDDING, GEMINI_EMBEDDINGS
from gateway.dialects.gemini_files import FILE_OF_GEMINI, PIECE, START, UPLOAD, Resumable
from gateway.dialects.gemini_files import PATH as GEMINI_FILES
from gateway.dialects.gemini_interactions import GEMINI_INTERACTIONS, INTERACTION_DELETED
from gateway.dialects.gemini_interactions import PATH as INTERACTIONS
from gateway.dialects.mcp import Mcp
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_completions import OPENAI_COMPLETIONS
from gateway.dialects.openai_conversations import CONVERSATION_ITEM, CONVERSATION_ITEMS
from gateway.dialects.openai_conversations import CONVERSATIONS as OPENAI_CONVERSATIONS
from gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from gateway.dialects.openai_files import BATCHES, FILE_PROOF, FILES
from gateway.dialects.openai_media import IMAGE_EDITS, IMAGE_VARIATIONS, IMAGES, SPEECH, TRANSCRIPTIONS, TRANSLATIONS
from gateway.dialects.openai_moderations import OPENAI_MODERATIONS
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.dialects.openai_stores import (
    CONTAINER,
    CONTAINER_FILES,
    CONTAINERS,
    SEARCH,
    STORE,
    STORE_FILES,
    STORES,
)
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
_STORE: Final = "/v1/vector_stores/{id}"
_CONTAINER: Final = "/v1/containers/{id}"
MODELS: Final = "/v1/models"
MESSAGES: Final = "/v1/messages"
_RESPONDING: Final = (RESPONSES, f"{RESPONSES}/input_tokens", f"{RESPONSES}/compact", CONVERSATIONS)
OPENAI: Final = (CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, *_RESPONDING)
"""The paths of OpenAI's API with calls, which Azure's API has too."""
_PASSED: Final = (
    *(IMAGES, IMAGE_EDITS, IMAGE_VARIATIONS, SPEECH, TRANSCRIPTIONS, TRANSLATIONS),
    *(FILES, BATCHES, STORES, CONTAINERS),
)
_INTERACTIONS: Final = (INTERACTIONS, INTERACTIONS.replace("v1beta", "v1"))
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
    **{f"/v1{codec.path}": codec for codec in _PASSED},
    **dict.fromkeys(_INTERACTIONS, GEMINI_INTERACTIONS),
    MESSAGES: ANTHROPIC_MESSAGES,
    f"{MESSAGES}/count_tokens": ANTHROPIC_COUNT,
    MESSAGE_BATCHES.path: MESSAGE_BATCHES,
    **{f"{path}:{codec.verb}": codec for path in _GEMINI for codec in _GEMINI_CODECS},
}
REFERENCES: Final[Mapping[str, Mapping[str, Codec]]] = {
    RESPONSE: {"GET": OPENAI_RESPONSES, "DELETE": RESPONSE_DELETED},
    f"{RESPONSE}/cancel": {"POST": OPENAI_RESPONSES},
    f"{RESPONSE}/input_items": {"GET": RESPONSE_ITEMS},
    CONVERSATION: dict.fromkeys(("GET", "POST", "DELETE"), OPENAI_CONVERSATIONS),
    f"{CONVERSATION}/items": dict.fromkeys(("GET", "POST"), CONVERSATION_ITEMS),
    f"{MESSAGE_BATCHES.path}/{{id}}": {"GET": MESSAGE_BATCH, "DELETE": MESSAGE_BATCH},
    f"{MESSAGE_BATCHES.path}/{{id}}/cancel": {"POST": MESSAGE_BATCH},
    f"{MESSAGE_BATCHES.path}/{{id}}/results": {"GET": MESSAGE_RESULTS},
    **{f"{path}/{{id}}": {"GET": GEMINI_INTERACTIONS, "DELETE": INTERACTION_DELETED} for path in _INTERACTIONS},
    **{f"{path}/{{id}}/cancel": {"POST": GEMINI_INTERACTIONS} for path in _INTERACTIONS},
    f"{GEMINI_FILES}/{{id}}": {"GET": FILE_OF_GEMINI, "DELETE": FILE_OF_GEMINI},
    "/v1/files/{id}": {"GET": FILE_PROOF, "DELETE": FILE_PROOF},
    "/v1/files/{id}/content": {"GET": FILE_PROOF},
    "/v1/batches/{id}": {"GET": BATCHES},
    "/v1/batches/{id}/cancel": {"POST": BATCHES},
    _STORE: dict.fromkeys(("GET", "POST", "DELETE"), STORE),
    f"{_STORE}/search": {"POST": SEARCH},
    f"{_STORE}/files": {"GET": STORE, "POST": STORE_FILES},
    f"{_STORE}/files/{{file}}": {"GET": STORE, "POST": STORE_FILES, "DELETE": STORE},
    f"{_STORE}/files/{{file}}/content": {"GET": STORE},
    f"{_STORE}/file_batches": {"POST": STORE_FILES},
    f"{_STORE}/file_batches/{{batch}}": {"GET": STORE},
    f"{_STORE}/file_batches/{{batch}}/cancel": {"POST": STORE},
    f"{_STORE}/file_batches/{{batch}}/files": {"GET": STORE},
    _CONTAINER: dict.fromkeys(("GET", "DELETE"), CONTAINER),
    f"{_CONTAINER}/files": {"GET": CONTAINER, "POST": CONTAINER_FILES},
    f"{_CONTAINER}/files/{{file}}": dict.fromkeys(("GET", "DELETE"), CONTAINER),
    f"{_CONTAINER}/files/{{file}}/content": {"GET": CONTAINER},
    f"{CONVERSATION}/items/{{item}}": {"GET": CONVERSATION_ITEM, "DELETE": OPENAI_CONVERSATIONS},
}
"""Path template of a state that a provider stores -> the methods that it takes, with the codec of each answer."""

ENDS: Final[Mapping[str, tuple[str, Codec]]] = {
    OPENAI_RESPONSES.stores: (RESPONSE, OPENAI_RESPONSES),
    GEMINI_INTERACTIONS.stores: (f"{INTERACTIONS}/{{id}}", GEMINI_INTERACTIONS),
    BATCHES.stores: ("/v1/batches/{id}", BATCHES),
    MESSAGE_BATCH.stores: (f"{MESSAGE_BATCHES.path}/{{id}}", MESSAGE_BATCH),
}
"""Kind of a state that is made in the background -> the path template and the codec of its end."""
RESULTS: Final[Mapping[Codec, tuple[Callable[[Json], bool], str, Codec]]] = {
    MESSAGE_BATCH: (has_results, "/results", MESSAGE_RESULTS),
}
"""Codec of a state that reports no usage -> whether it has ended, and where its results report the usage."""

LISTED: Final[Mapping[str, listed.Listed]] = {
    "/v1/files": listed.FILES,
    GEMINI_FILES: listed.GEMINI_FILES,
    "/v1/batches": listed.BATCHES,
    "/v1/vector_stores": listed.VECTOR_STORES,
    "/v1/containers": listed.CONTAINERS,
    MESSAGE_BATCHES.path: listed.MESSAGE_BATCHES,
}
"""Path -> the codec of the list of what is stored there (GET)."""
UPLOADS: Final[Mapping[str, Resumable]] = {
    UPLOAD: START,
    UPLOAD.replace("v1beta", "v1"): START,
    f"{UPLOAD}/{{upload}}": PIECE,
}
"""Path template of the beginning of an upload, and of its pieces -> codec."""
VERSIONED_LISTS: Final = {"/v1/files": listed.ANTHROPIC_FILES}
"""The same of calls with the header `anthropic-version`."""

GOOGLE: Final[Mapping[str, Codec]] = {"/v1/files/{id}": FILE_OF_GEMINI}
"""Path -> codec of calls of Gemini's clients, of paths that OpenAI's and Anthropic's APIs have too."""
GOOGLE_LISTS: Final[Mapping[str, str]] = {"/v1/files": GEMINI_FILES}
"""The same of lists: path -> the path of Gemini's API alone with the same list."""

VERSIONED: Final[Mapping[str, Codec]] = {
    "/v1/files": ANTHROPIC_FILES,
    "/v1/files/{id}": ANTHROPIC_FILE,
    "/v1/files/{id}/content": ANTHROPIC_FILE,
}
"""Path -> codec of calls with the header `anthropic-version`, of paths that OpenAI's API has too."""


def _versions(path: str) -> str:
    """The path of Azure's API that has the same requests: `/openai/v1/...`."""
    return f"/openai{path}"


def _plainly(path: str) -> str:
    """The path of Azure's API with `api-version`: `/openai/...`."""
    return f"/openai{path.removeprefix('/v1')}"


def _is_openai(path: str) -> bool:
    """Whether a path about a state is one of OpenAI's API."""
    return path.startswith("/v1/") and not path.startswith((MESSAGES, *_INTERACTIONS))


DEPLOYMENT: Final = "/openai/deployments/{deployment}"
AZURE: Final[Mapping[str, Codec]] = {
    **{_versions(path): ROUTES[path] for path in OPENAI},
    **{_plainly(path): ROUTES[path] for path in _RESPONDING},
    **{f"{DEPLOYMENT}{path.removeprefix('/v1')}": ROUTES[path] for path in OPENAI if path != CONVERSATIONS},
}
"""Path -> codec, as Azure's API has them; a deployment is a model. The key is in `api-key`, as in any call."""
AZURE_REFERENCES: Final[Mapping[str, Mapping[str, Codec]]] = {
    alias(path): codecs for alias in (_versions, _plainly) for path, codecs in REFERENCES.items() if _is_openai(path)
}
LISTS: Final = tuple(
    f"{base}{rest}" for base in ("/v1", "/openai/v1", "/openai") for rest in ("/models", "/models/{model:path}")
)
"""The paths of the list of models, and of one model."""
TOOLS: Final[Mapping[str, type[Mcp]]] = {"/mcp": Mcp, "/mcp/{server}": Mcp}
"""Path template of tool servers -> their codec, which is made anew for each call."""
AGENTS: Final[Mapping[str, type[A2a]]] = dict.fromkeys(["/a2a/{agent}", "/a2a/{agent}/"], A2a)
"""Path template of other agents -> their codec, which is made anew for each call."""
RESTS: Final = a2a_rest.PATHS
"""Path template of other agents in the HTTP+JSON binding -> method -> the method of the protocol."""
NOTICES: Final = "/a2a/{agent}/notifications/{token}"
"""The path of push notifications of other agents."""
CARDS: Final = ("/a2a/{agent}/.well-known/agent-card.json", "/a2a/{agent}/.well-known/agent.json")
"""The paths of an agent's card, in the versions of the protocol."""
REGISTRY: Final = ("/mesh/agents", "/mesh/agents/{name}")
"""The paths of the registry of agents."""
DELEGATIONS: Final = "/v1/delegations"
PROTECTED: Final = tuple(f"/.well-known/oauth-protected-resource{path}" for path in ("", *TOOLS))
"""The paths of the metadata of tool servers as resources of OAuth (RFC 9728)."""
HTTP_TOOLS: Final = ("/tools/{server}", "/tools/{server}/", "/tools/{server}/{path:path}")
"""Path templates of plain HTTP tools."""
REALTIME: Final = ("/v1/realtime", "/openai/v1/realtime")
"""The paths of realtime connections, which are WebSockets."""
METHODS: Final[Mapping[str, str]] = {
    **dict.fromkeys(HTTP_TOOLS, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    "/mcp": "POST, GET, DELETE, OPTIONS",
    "/mcp/{server}": "POST, GET, DELETE, OPTIONS",
    **dict.fromkeys(AGENTS, "POST, OPTIONS"),
    **{path: ", ".join([*methods, "OPTIONS"]) for path, methods in RESTS.items()},
    **dict.fromkeys([*CARDS, *PROTECTED], "GET, HEAD, OPTIONS"),
    DELEGATIONS: "POST, OPTIONS",
    NOTICES: "POST, OPTIONS",
    REGISTRY[0]: "GET, HEAD, OPTIONS",
    REGISTRY[1]: "GET, HEAD, PUT, DELETE, OPTIONS",
    **dict.fromkeys(REALTIME, "GET, OPTIONS"),
    **dict.fromkeys([*ROUTES, *AZURE], "POST, OPTIONS"),
    **dict.fromkeys(LISTED, "GET, POST, OPTIONS"),
    GEMINI_FILES: "GET, OPTIONS",
    **dict.fromkeys(UPLOADS, "POST, OPTIONS"),
    **{path: ", ".join([*codecs, "OPTIONS"]) for path, codecs in {**REFERENCES, **AZURE_REFERENCES}.items()},
    **dict.fromkeys(LISTS, "GET, HEAD, OPTIONS"),
}
"""Path template -> the methods that it takes, for `Allow`."""

SOCKETS: Final = (RESPONSES, _versions(RESPONSES), _plainly(RESPONSES), *REALTIME)
"""The paths that are served over WebSocket, if `server.websockets` is on."""


def shown(template: str) -> str:
    """A template of a path as users read it."""
    return template.replace(":path}", "}")
