"""What the dialects have in common: notes of what is dropped, refusals, ids, sealed signatures, reading of fields."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from gateway.call import Json, Usage
from gateway.errors import Refusal
from gateway.translate.model import Media, Part, Request, Text, ToolUse

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_DATA: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.=+-]+)*;base64,", re.ASCII)
_SEAL: Final = "mg1"


class Untranslatable(Refusal):
    """The target cannot express a part of the request. Another target may be able to."""


class Erred(ValueError):
    """The provider ended a stream with an error."""


class Target(NamedTuple):
    """The target of a call, for writers of requests.

    `ceiling`: the reserved output tokens. `reasoning`: the field of a chat message with reasoning; "" for none.
    `usage`: whether the usage of a stream is asked for. `origin`: the mark of the target in signatures.
    """

    format: str
    model: str
    ceiling: int
    origin: str
    reasoning: str = ""
    usage: bool = True


class Context(NamedTuple):
    """The answer to one call. `id`: letters and digits, unique. `created`: Unix seconds. `origin`: as in `Target`."""

    id: str
    created: int
    origin: str


@dataclass(slots=True)
class Notes:
    """What a translation drops, by the caller's names; and refuses. `names`: feature -> field of the caller."""

    format: str
    names: Mapping[str, str]
    dropped: list[str] = field(default_factory=list)

    def drop(self, name: str) -> None:
        """Note that a field of the caller, or a feature, is not sent."""
        shown = self.names.get(name, name)
        if shown not in self.dropped:
            self.dropped.append(shown)

    def refuse(self, name: str, why: str = "cannot express it") -> Untranslatable:
        """The refusal for a field of the caller, or a feature."""
        shown = self.names.get(name, name)
        return Untranslatable(
            "invalid_request",
            f"The model is served by a provider of format {self.format}, for which `{shown}` {why}. Leave that out, or "
            "ask for a model of your own format.",
            param=shown,
            stage="upstream",
        )


def names(said: str) -> frozenset[str]:
    """The names in a string."""
    return frozenset(said.split())


def wrong(name: str, what: str) -> Refusal:
    """The refusal for a field that no reader understands."""
    return Refusal("invalid_request", f"`{name}` {what}.", param=name, stage="upstream")


def origin(provider: str, model: str) -> str:
    """The mark of a target in signatures."""
    return hashlib.sha256(f"{provider}/{model}".encode()).hexdigest()[:16]


def sealed(kind: str, origin: str, signature: str) -> str:
    """A signature as callers of another format keep it. `kind`: t (thought), h (hidden thought), c (call)."""
    return f"{_SEAL}.{kind}.{origin}.{signature}" if signature else ""


def unsealed(text: Any) -> tuple[str, str, str]:
    """Kind, origin and signature of what `sealed` wrote; kind "" and no origin for any other text."""
    if type(text) is not str or not text.startswith(f"{_SEAL}."):
        return "", "", text if type(text) is str else ""
    _, kind, origin, signature = [*text.split(".", 3), "", "", ""][:4]
    return kind, origin, signature


def fitting_id(id: str) -> str:
    """The id of a tool call in a form that all providers accept."""
    return id if _ID.fullmatch(id) else f"call_{hashlib.sha256(id.encode('utf-8', 'replace')).hexdigest()[:24]}"


def string(value: Any, name: str) -> str:
    """A string; "" for null. Raises Refusal."""
    if value is None:
        return ""
    if type(value) is not str:
        raise wrong(name, "must be a string")
    return value


def objects(value: Any, name: str) -> list[Json]:
    """A list of objects; empty for null. Raises Refusal."""
    if value is None:
        return []
    if type(value) is not list or not all(type(one) is dict for one in value):
        raise wrong(name, "must be a list of objects")
    return value


def object_of(value: Any, name: str) -> Json:
    """An object; empty for null. Raises Refusal."""
    if value is None:
        return {}
    if type(value) is not dict:
        raise wrong(name, "must be an object")
    return value


def number(value: Any, name: str) -> float | None:
    """A number or null. Raises Refusal."""
    if value is not None and type(value) not in (int, float):
        raise wrong(name, "must be a number")
    found: float | None = value
    return found


def integer(value: Any, name: str) -> int | None:
    """A whole number or null. Raises Refusal."""
    if value is not None and type(value) is not int:
        raise wrong(name, "must be a whole number")
    found: int | None = value
    return found


def strings(value: Any, name: str) -> tuple[str, ...]:
    """A string, a list of strings or null. Raises Refusal."""
    if type(value) is str:
        return (value,)
    if value is None:
        return ()
    if type(value) is not list or not all(type(one) is str for one in value):
        raise wrong(name, "must be a list of strings")
    return tuple(value)


def media(url: Any, name: str, type_: str, called: str = "") -> Media:
    """What a URL or data URL names. Raises Refusal."""
    said = string(url, name)
    if found := _DATA.match(said):
        return Media(found[1], said[found.end() :], "", called)
    if not said.startswith(("https://", "http://")):
        raise wrong(name, "must be a data URL with base64, or an http URL")
    return Media(type_, "", said, called)


def data_url(one: Media) -> str:
    """The URL of a medium."""
    return one.url or f"data:{one.type};base64,{one.data}"


def is_image(one: Media) -> bool:
    """Whether a medium is an image."""
    return one.type.startswith("image/")


def parsed(arguments: str) -> Json | None:
    """The object of a tool's arguments; None if they are no JSON object."""
    try:
        said = orjson.loads(arguments) if arguments.strip() else {}
    except orjson.JSONDecodeError:
        return None
    return said if type(said) is dict else None


def exact(arguments: str) -> Any:
    """A tool's arguments as an object whose JSON is written as the model wrote it. Raises ValueError."""
    if not arguments.strip():
        return {}
    if parsed(arguments) is None:
        raise ValueError("the arguments of a tool call are not a JSON object")
    return orjson.Fragment(arguments)


def dumped(value: Any) -> str:
    """A JSON value in a string."""
    return orjson.dumps(value).decode()


def used(request: Request) -> dict[str, str]:
    """The names of the called tools, by the id of the call."""
    return {part.id: part.name for turn in request.turns for part in turn.parts if type(part) is ToolUse}


def is_closed(schema: Any) -> bool:
    """Whether every object of a JSON Schema requires all its properties and has no others: OpenAI's strict form."""
    if type(schema) is list:
        return all(map(is_closed, schema))
    if type(schema) is not dict:
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or type(properties) is dict:
        named = properties.keys() if type(properties) is dict else set()
        required = schema.get("required")
        if schema.get("additionalProperties") is not False or not named <= set(required if required else ()):
            return False
    return all(is_closed(value) for key, value in schema.items() if key not in ("enum", "const", "default", "examples"))


def texts(parts: tuple[Part, ...]) -> str:
    """The texts among the parts, joined; those of several messages or documents with a blank line between them."""
    said: list[str] = []
    for part in parts:
        if type(part) is Text:
            said += ("\n\n", part.text) if part.apart and said else (part.text,)
    return "".join(said)


NO_USAGE: Final = Usage()
