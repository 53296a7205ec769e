"""What is served, for whoever asks for something that is not: words for 404, and what a path takes for 405."""

from __future__ import annotations

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"
METHODS = {CHAT: "POST", MODELS: "GET"}
_HINTS = (
    ("/responses", "for openai-agents, call set_default_openai_api('chat_completions')"),
    ("/messages", "send it in OpenAI's form"),
    ("/completions", "the base URL of clients ends with /v1"),
    ("/api/chat", "choose the OpenAI form in the client"),
    ("/deployments/", "use the plain OpenAI client in place of Azure's"),
    ("generatecontent", "use the OpenAI-compatible client"),
)


def nothing_at(path: str) -> str:
    """The message of a 404. The path is repeated only while it is plain and short."""
    plain = path if len(path) <= 80 and path.isascii() and path.replace("/", "").replace("_", "").isalpha() else ""
    shown = "`/v1/responses`" if path == "/v1/responses" else f"`{plain}`" if plain else "This path"
    hint = next((f" ({words})" for part, words in _HINTS if part in path.lower()), "")
    return f"{shown} is not served; ask `{CHAT}` or `{MODELS}`{hint}."
