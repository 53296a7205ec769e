"""The served paths: the message of a 404, and the methods for 405 and OPTIONS.

Clients for other dialects or gateways use the same few paths. Each has a row with advice for its user. A message
repeats the requested path only by the name of its row, or if the path is short and plain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.dialects.routes import MODELS, ROUTES, shown

_LIMIT = 80  # maximum length of a path that a message repeats
_AGAIN = ("/v1/models/", "/v1/interactions")  # Gemini's paths in another version
_PLAIN = re.compile(r"(?:/[A-Za-z_]{1,40}){1,4}/?")
_OPENAI = "this gateway serves no such calls"
_ROWS: tuple[tuple[str, str, str], ...] = (
    # a pattern of paths in small letters, how the message names them, what to do
    (
        r"(/v1)?/responses/.*",
        "/v1/responses/...",
        "of stored responses, only `/v1/responses/{id}`, and `/cancel` and `/input_items` below it, are served",
    ),
    (
        r"/messages(/.*)?|/v1/v1/messages(/.*)?",
        "",
        "the base URL of Anthropic's clients ends before /v1, and the path is /v1/messages",
    ),
    (
        r"/v1/messages/batches/.*|(/v1)?/complete",
        "",
        "of Anthropic's API, /v1/messages, /v1/messages/count_tokens, /v1/messages/batches and /v1/files are served",
    ),
    (
        r"/openai/.*|.*/deployments/.*",
        "",
        "of Azure's API, the paths of OpenAI's are served below /openai/v1, and calls below "
        "/openai/deployments/{deployment}; a deployment is a model of this gateway",
    ),
    (
        r".*:(stream)?(generatecontent|counttokens|(batch)?embedcontents?|predict|rawpredict)|/v1(beta|alpha)(/.*)?",
        "",
        "of Gemini's API, generateContent, streamGenerateContent, countTokens, embedContent and batchEmbedContents are "
        "served, below /v1beta/models and /v1/models, and files; the base URL of its clients ends before the version",
    ),
    (
        r"/api/(chat|generate|tags|show|embed|embeddings|version|ps|pull)",
        "/api/chat",
        "this is Ollama's dialect: choose the OpenAI form in the client, with the base URL ending in /v1",
    ),
    (
        r"/model/[^/]+/(invoke|converse)(-.*)?",
        "/model/{model}/converse",
        "this is Bedrock's dialect: use an OpenAI-compatible client, with the base URL ending in /v1",
    ),
    (
        r"(/[^/]+)?/mcp(/.*)?|(/mcp)?/sse",
        "/mcp",
        "MCP servers are at /mcp/{server}, by their name in the section tools of the configuration",
    ),
    (
        r"/a2a(/.*)?|.*/\.well-known/agent(-card)?\.json",
        "/a2a",
        "agents are at /a2a/{agent}, by their name in the section a2a of the configuration",
    ),
    (
        r"(/v1)?/(images|audio|uploads|rerank|realtime/[^/]+|videos|fine_tuning|fine-tunes"
        r"|assistants|threads|evals|organization)(/.*)?",
        "",
        f"{_OPENAI}; ask the provider itself for this",
    ),
    (
        r"/v1/chat/completions/(?!chat/)[^/]+(/messages)?",
        "/v1/chat/completions/{id}",
        "no completions are stored here",
    ),
    (
        r"(/v1/chat/completions|/v1/completions|/v1/embeddings|/v1/v1|/v1|/api/v1)?(/engines/[^/]+)?/(chat/completions|completions|embeddings|moderations"
        r"|responses|models)"
        r"(/.*)?/?",
        "",
        "the base URL of clients ends with /v1, and no slash follows the path",
    ),
    (
        r"(/v1)?/(model_group|model|key|user|team|spend|global|customer|budget|router)/(info|list|generate|logs|new|.*)",
        "",
        "keys and usage are managed with the command meshgate and under /admin/api",
    ),
)
_KNOWN = tuple((re.compile(rf"\A(?:{pattern})\Z"), name, words) for pattern, name, words in _ROWS)


def nothing_at(path: str) -> str:
    """The message of a 404: the requested path, the served paths, and advice for the user of the client."""
    name, words = next(_fitting(path), ("", ""))
    name = name or (path if len(path) <= _LIMIT and _PLAIN.fullmatch(path) else "")
    asked = f"`{name}`" if name else "This path"
    hint = f" ({words})" if words else ""
    served = ", ".join(f"`{path}`" for path in map(shown, ROUTES) if not path.startswith(_AGAIN))
    return f"{asked} is not served; use {served} or `{MODELS}`{hint}."


def _fitting(path: str) -> Iterator[tuple[str, str]]:
    lowered = path[:512].lower()
    for pattern, name, words in _KNOWN:
        if pattern.fullmatch(lowered):
            yield name, words
