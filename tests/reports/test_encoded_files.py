"""Data of images and files, in any dialect: a text is judged, whether it is plain or in base64."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from gateway.dialects import Codec, positions, tree
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.gemini import GEMINI
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_responses import OPENAI_RESPONSES

SAID = "mail ann.smith@example.org"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode()


def chat(part: Any) -> Any:
    """A chat request with a part."""
    return OPENAI_CHAT, {"model": "m", "messages": [{"role": "user", "content": [part]}]}


def responses(part: Any) -> Any:
    """The same for Responses."""
    return OPENAI_RESPONSES, {"model": "m", "input": [{"role": "user", "content": [part]}]}


def messages(source: Any) -> Any:
    """The same for Messages, with the source of a document."""
    part = {"type": "document", "source": source}
    return ANTHROPIC_MESSAGES, {"model": "m", "messages": [{"role": "user", "content": [part]}]}


def gemini(part: Any) -> Any:
    """The same for Gemini."""
    return GEMINI, {"contents": [{"role": "user", "parts": [part]}]}


PARTS: dict[str, Any] = {
    "a file": lambda data: chat({"type": "file", "file": {"filename": "a.txt", "file_data": data}}),
    "audio": lambda data: chat({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}),
    "audio of an item": lambda data: responses({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}),
    "a source": lambda data: messages({"type": "base64", "media_type": "application/pdf", "data": data}),
    "inline data": lambda data: gemini({"inlineData": {"mimeType": "image/png", "data": data}}),
    "inline data, other name": lambda data: gemini({"inline_data": {"mime_type": "image/png", "data": data}}),
    "inline data in a list": lambda data: gemini({"inlineData": [{"mimeType": "image/png", "data": data}]}),
    "of a result": lambda data: gemini(
        {"functionResponse": {"name": "f", "response": {}, "parts": [{"inlineData": {"data": data}}]}}
    ),
}


def read(asked: tuple[Codec, Any]) -> tree.Survey:
    """The walk over a request."""
    codec, body = asked
    return tree.parse(orjson.dumps(body), codec.shape, 64)[1]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
def test_a_text_in_base64_is_judged(part: str, encode: Any) -> None:
    """And is written back as base64."""
    survey = read(PARTS[part](encode(SAID.encode()).decode()))
    [slot] = [slot for slot in survey.slots if slot.text == SAID]
    positions.write(slot, "mail <EMAIL_1>")
    assert positions.fold(survey.nested)
    assert slot.nested is not None
    assert slot.nested.holder[slot.nested.key] == base64.b64encode(b"mail <EMAIL_1>").decode()


@pytest.mark.parametrize("part", PARTS)
def test_a_plain_text_is_judged(part: str) -> None:
    """In place of data."""
    assert SAID in [slot.text for slot in read(PARTS[part](SAID)).slots]


@pytest.mark.parametrize("part", PARTS)
def test_data_is_no_text(part: str) -> None:
    """It counts as an unscannable part."""
    survey = read(PARTS[part](PNG))
    assert PNG not in [slot.text for slot in survey.slots]
    assert sum(survey.kinds.values()) == 1


TEXTUAL: dict[str, Any] = {
    "inline data": lambda data: gemini({"inlineData": {"mimeType": "text/csv", "data": data}}),
    "a source": lambda data: messages({"type": "base64", "media_type": "text/plain", "data": data}),
}


@pytest.mark.parametrize("part", TEXTUAL)
def test_a_text_under_the_media_type_of_a_text_is_scannable(part: str) -> None:
    """Other data under this type is not."""
    assert read(TEXTUAL[part](base64.b64encode(SAID.encode()).decode())).kinds == {}
    assert read(TEXTUAL[part](PNG)).kinds == {"file": 1}


def test_an_id_of_a_file_has_the_form_of_an_id() -> None:
    """Any other value is a text."""
    for id, texts in (("file-abc123", []), (SAID, [SAID])):
        assert [slot.text for slot in read(chat({"type": "file", "file": {"file_id": id}})).slots] == texts
