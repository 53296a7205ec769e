"""Ids of what a provider stores, within requests and answers: files, containers, vector stores, prompts, voices.

All teams share a provider's key, so the provider would open another team's file as well. The walk goes through
everything that a provider may follow; results and arguments of tools, citations and metadata are words, which it does
not follow. What an answer made is read at the places where the provider writes, never where a model does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.bodies import Json, Named
from gateway.dialects.checks import text

_WORDS: Final = frozenset(
    {"annotations", "citations", "results", "outputs", "arguments", "metadata", "args", "response"}
)
_IDS: Final[Mapping[str, str]] = {
    "fileid": "file",
    "fileids": "file",
    "vectorstoreid": "vector_store",
    "vectorstoreids": "vector_store",
    "containerid": "container",
    "container": "container",
    "filesearchstorenames": "file_search_store",
    "ragcorpus": "corpus",
    "ragcorpora": "corpus",
    "datastore": "data_store",
    "engine": "engine",
    "fileuri": "file",
    "uri": "file",
    "audio": "audio",
    "prompt": "prompt",
    "voice": "voice",
}
"""Key, in small letters without `_` -> the kind of state that its value, or each value in its list, is the id of."""
_OBJECTS: Final = frozenset({"audio", "prompt", "voice"})
"""Keys with an id only if their value is an object with one."""
_VOICE: Final = re.compile(r"\s*voice[_-]", re.IGNORECASE)
"""How ids of voices begin that somebody made; other voices are those of the provider."""
MADE_ELSEWHERE: Final = frozenset(
    {"file", "container", "vector_store", "file_search_store", "corpus", "data_store", "engine", "prompt", "voice"}
)
"""Kinds that may have been made without the gateway: the operator can share these with all teams."""
_URIS: Final = frozenset({"fileuri", "uri"})
_NAMED: Final = re.compile(r"\s*(?:https?:|gs:|[/\\]*files[/\\])", re.IGNORECASE)
_PUBLIC: Final = re.compile(
    r"https?://(?!(?:[a-z0-9-]+\.)*(?:googleapis|storage\.cloud\.google)\.com(?:[:/?#]|$))"
    r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?(?:[/?#]|$)",
    re.IGNORECASE,
)
"""Addresses that everybody may read, in their plain spelling. The provider may read any other URI of a file with the
gateway's own credentials."""
_OF_GEMINI: Final = re.compile(
    r"(?:https://generativelanguage\.googleapis\.com/v1(?:beta|alpha)?/)?files/([a-z0-9][a-z0-9-]{0,62})"
)
OF_GEMINI: Final[tuple[bytes, ...]] = (b"ileSearch", b"ile_search", b"etrieval")
"""Parts of the names of tools that search in stores of the provider: see `Codec.cites`."""
RAN: Final = "code_execution_tool_result"
"""The end of the types of blocks with what code wrote."""
_RAN: Final = frozenset({RAN, f"bash_{RAN}", f"text_editor_{RAN}"})
_USE: Final = re.compile(r"(?:^|_)tool_use$")
"""The types of blocks whose `input` are the arguments of a tool."""
_WROTE: Final = frozenset({"code_execution_output", "bash_code_execution_output"})


def cited(body: Json) -> Iterator[Named]:
    """The ids in a request, each with the key that names it."""
    waiting: list[Any] = [body]
    while waiting:
        node = waiting.pop()
        if type(node) is list:
            waiting += [one for one in node if type(one) is dict or type(one) is list]
            continue
        ran = text(node.get("type")) in _RAN and "role" not in node
        asks = "input" in node and "model" not in node and _USE.search(text(node.get("type"))) is not None
        for key, value in node.items():
            if ran and key == "content":  # what the provider's code wrote before
                continue
            plain = key.lower().replace("_", "")
            if plain in _IDS:
                yield from (Named(_IDS[plain], id, key) for id in _values(plain, value))
            follows = type(value) is dict or type(value) is list
            if follows and key not in _WORDS and not (key == "input" and asks):
                waiting.append(value)


def recorded(one: Named) -> tuple[str, str]:
    """Kind and id under which the owner of what a request names is recorded: a file of Gemini by its name alone."""
    found = _OF_GEMINI.fullmatch(one.id) if one.kind == "file" else None
    return (one.kind, one.id) if found is None else ("gemini_file", found[1])


def _values(key: str, value: Any) -> list[str]:
    """The ids under a key: a string, the `id` of an object, or those in a list."""
    if key in _OBJECTS and type(value) is not dict:  # the audio or the prompt itself, or the name of a voice
        return [value] if key == "voice" and type(value) is str and _VOICE.match(value) else []
    held = value if type(value) is list else [value.get("id")] if type(value) is dict else [value]
    ids = [id for id in held if type(id) is str and id]
    if key == "engine":  # of Vertex AI Search; other fields of this name hold the name of a model
        return [id for id in ids if "engines/" in id.lower()]
    return [id for id in ids if _NAMED.match(id) and not _PUBLIC.match(id)] if key in _URIS else ids


def made_by_chat(answer: Json) -> list[tuple[str, str]]:
    """Kind and id of what a chat completion made: the audio that the next request may name."""
    choices = answer.get("choices")
    said = [one.get("message") for one in choices if type(one) is dict] if type(choices) is list else []
    heard = [one.get("audio") for one in said if type(one) is dict]
    return [("audio", id) for one in heard if type(one) is dict and (id := text(one.get("id")))]


def made_by_messages(answer: Json) -> list[tuple[str, str]]:
    """Kind and id of what an answer of Messages made: its container, and the files that code wrote."""
    container, content = answer.get("container"), answer.get("content")
    made = [("container", text(container.get("id")))] if type(container) is dict else []
    for block in content if type(content) is list else ():
        ran = block.get("content") if type(block) is dict and text(block.get("type")).endswith(RAN) else None
        files = ran.get("content") if type(ran) is dict else None
        wrote = [it for it in files if type(it) is dict and it.get("type") in _WROTE] if type(files) is list else []
        made += [("file", text(one.get("file_id"))) for one in wrote]
    return [one for one in made if one[1]]


def made_by_responses(answer: Json) -> list[tuple[str, str]]:
    """Kind and id of what a response made: the containers in which its code ran."""
    output = answer.get("output")
    made = []
    for item in output if type(output) is list else ():
        said = text(item.get("type")) if type(item) is dict else ""
        if said == "code_interpreter_call":
            made.append(("container", text(item.get("container_id"))))
        elif said in ("shell_call", "shell_call_output") and type(place := item.get("environment")) is dict:
            made.append(("container", text(place.get("container_id"))))
    return [one for one in dict.fromkeys(made) if one[1]]
