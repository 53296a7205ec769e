"""Parts of a message that are not text, for any provider: images, audio, video, files, as data or addresses.

A part is recognized by its type, and by its content (a media type with data or an address). The parts of the dialect
(`image_url`, `input_audio`, `file`, ...) are counted by the walk, by their keys. A part with text content
(`{"type": "document", "source": {"type": "text", ...}}`, an embedded text of MCP) is text, and judged as text.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.bodies import Json

_KIND: Final = re.compile(
    r"(image|img|picture|photo|screenshot)|(audio|voice|speech|sound)|(video|film|movie)"
    r"|(file|document|pdf|media|attachment|resource|blob|binary)"
)
_KINDS: Final = ("image", "audio", "video", "file")
_OTHER: Final = re.compile(r"[^a-z0-9]+")
# Fields, in lower case without underscores, with data or an address.
_HELD: Final = frozenset(
    {"data", "url", "uri", "fileuri", "fileurl", "fileid", "filedata", "blob", "bytes", "base64", "b64json"}
    | {"image", "imageurl", "imageuri", "audio", "audiourl", "video", "videourl", "document", "documenturl", "file"}
    | {"media", "mediaurl", "mediaid", "source", "assetid", "s3location", "gcsuri"}
)
_MEDIA_TYPES: Final = frozenset({"mimetype", "mediatype", "contenttype"})
_TEXTUAL: Final = re.compile(r"text/|application/(?:json|xml|yaml|sql|x-ndjson|javascript)|[^/]+\+(?:json|xml)")
_DEPTH: Final = 3


def _plain(name: str) -> str:
    return _OTHER.sub("", name[:64].lower())


def kind(part: Json) -> str:
    """The medium of a part: image, audio, video or file; "" for text, and for a part without content."""
    said = part.get("type")
    named = _KIND.search(_plain(said)) if type(said) is str else None
    if named is not None:
        return _KINDS[(named.lastindex or 1) - 1] if _holds(part, _DEPTH) else ""
    return _typed(part, _DEPTH)


def is_textual(medium: Any) -> bool:
    """Whether a media type is that of a text."""
    return type(medium) is str and _TEXTUAL.match(medium.lower()) is not None


def _says_text(node: Json) -> bool:
    """Whether the content of an object is text: a text source, an embedded text, data with a text type."""
    if node.get("type") in ("text", "content") or type(node.get("text")) is str:
        return True
    typed = [value for key, value in node.items() if type(value) is str and _plain(key) in _MEDIA_TYPES]
    return len(typed) > 0 and all(map(is_textual, typed)) and node.get("type") != "url"


def _holds(node: Json, depth: int) -> bool:
    """Whether a part has data or an address of data."""
    for key, value in node.items():
        if type(value) is str:
            if value and _plain(key) in _HELD:
                return True
        elif type(value) is dict and depth and not _says_text(value) and _holds(value, depth - 1):
            return True
    return False


def _typed(node: Json, depth: int) -> str:
    """The medium of a part by its media type, if its `type` does not show it: `{"inlineData": {"mimeType": ...}}`."""
    for key, value in node.items():
        if type(value) is str:
            if _plain(key) in _MEDIA_TYPES and value and not is_textual(value) and _holds(node, 0):
                first = _KIND.match(value.partition("/")[0].lower())
                return _KINDS[(first.lastindex or 1) - 1] if first is not None else "file"
        elif type(value) is dict and depth and (found := _typed(value, depth - 1)):
            return found
    return ""


def kinds(parts: list[Any], known: frozenset[str]) -> list[str]:
    """The media of the parts of one message, except under `known` keys."""
    found = []
    for part in parts:
        if type(part) is dict and not (len(part) == 2 and part.get("type") == "text" and "text" in part):
            rest = part if known.isdisjoint(part) else {key: part[key] for key in part if key not in known}
            if one := kind(rest):
                found.append(one)
    return found
