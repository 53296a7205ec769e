"""Parts of messages that are not text are recognized in the form of any provider, in requests and answers."""

from __future__ import annotations

import itertools
import json
from typing import Any

import orjson
import pytest

from gateway.dialects import tree
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_tables import SHAPE

URL = "https://x.org/a"
TYPES = {
    "image": ("image", "input_image", "output_image", "Image", "IMAGE_URL", "imageUrl", "screenshot"),
    "audio": ("audio", "output_audio", "voice"),
    "video": ("video", "input_video", "VideoUrl"),
    "file": ("document", "input_file", "File", "pdf", "media", "resource", "attachment"),
}
HOLDERS: dict[str, Any] = {
    "source by URL": {"source": {"type": "url", "url": URL}},
    "source with short data": {"source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
    "source as a string": {"source": URL},
    "an id": {"file_id": "file-1"},
    "an address in camel case": {"fileUri": "gs://a/b"},
    "data": {"data": "AAAA", "mimeType": "application/octet-stream"},
    "a blob": {"resource": {"uri": "file:///x", "blob": "AAAA"}},
    "beside a key of the dialect": {"file": "a.txt", "source": {"type": "url", "url": URL}},
}
UNTYPED: dict[str, tuple[Any, str]] = {
    "inline data": ({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, "image"),
    "inline data, other case": ({"inline_data": {"mime_type": "audio/wav", "data": "AAAA"}}, "audio"),
    "file data": ({"fileData": {"mimeType": "application/pdf", "fileUri": "gs://a/b"}}, "file"),
    "beside a text": ({"type": "text", "text": "see", "inline_data": {"mime_type": "video/mp4", "data": "A"}}, "video"),
}
TEXTS: dict[str, Any] = {
    "a text": {"type": "text", "text": "see https://x.org/a.png"},
    "a document of text": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
    "a document of parts": {
        "type": "document",
        "source": {"type": "content", "content": [{"type": "text", "text": "a"}]},
    },
    "base64 of text": {"type": "document", "source": {"type": "base64", "media_type": "text/csv", "data": "YSxi"}},
    "an embedded text": {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "a"}},
    "a result of a search": {
        "type": "search_result",
        "source": URL,
        "title": "t",
        "content": [{"type": "text", "text": "a"}],
    },
    "no content": {"type": "image"},
    "a tool call": {
        "type": "tool_use",
        "id": "a",
        "name": "f",
        "input": {"content": [{"type": "file", "file_id": "b"}]},
    },
}


def counted(part: Any, role: str) -> dict[str, int]:
    """The unscannable parts of a request with this part in a message."""
    body = {"messages": [{"role": role, "content": [{"type": "text", "text": "x"}, part]}]}
    return tree.parse(orjson.dumps(body), SHAPE, 64)[1].kinds


def answered(part: Any) -> dict[str, int]:
    """The unscannable parts of a whole answer with this part."""
    return OPENAI_CHAT.whole({"choices": [{"message": {"role": "assistant", "content": [part]}}]}).kinds


CASES = [(kind, name, how) for kind, names in TYPES.items() for name, how in itertools.product(names, HOLDERS)]


@pytest.mark.parametrize(("kind", "name", "how"), CASES)
def test_a_part_is_told_by_its_type(kind: str, name: str, how: str) -> None:
    """Any spelling of the type, any form of data or address; from a user, as a tool's result, in an answer."""
    part = {"type": name, **HOLDERS[how]}
    assert counted(part, "user") == counted(part, "tool") == answered(part) == {kind: 1}


@pytest.mark.parametrize("how", UNTYPED)
def test_a_part_is_told_by_its_media_type(how: str) -> None:
    """Without a type, or with that of a text."""
    part, kind = UNTYPED[how]
    assert counted(part, "user") == answered(part) == {kind: 1}


@pytest.mark.parametrize("name", TEXTS)
def test_what_says_text_is_text(name: str) -> None:
    """It is judged as text; only unscannable content counts."""
    assert counted(TEXTS[name], "user") == answered(TEXTS[name]) == {}


def test_a_result_inside_a_part_is_looked_into() -> None:
    """Anthropic's form of a tool's result."""
    part = {"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": URL}}]}
    assert counted(part, "user") == {"image": 1}


def test_what_a_text_holds_is_no_part() -> None:
    """A listing of files, as JSON in a tool's result."""
    text = json.dumps({"content": [{"type": "file", "url": URL}]})
    body = {"messages": [{"role": "tool", "content": text}]}
    assert tree.parse(orjson.dumps(body), SHAPE, 64)[1].kinds == {}
