"""Pieces of a file of Gemini: a text is never judged in parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.gemini_files import COMMAND, MEDIA, OFFSET, PIECE, file_of, is_textual, media
from gateway.errors import Refusal


def _values(command: str, offset: int, kind: str) -> dict[str, str]:
    return {COMMAND: command, OFFSET: str(offset), MEDIA: kind}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.data())
def test_every_beginning_of_a_text_is_refused(text: str, data: st.DataObject) -> None:
    """Wherever it is cut, also within a character; the whole text is read."""
    raw = text.encode()
    values = _values("upload", 0, "application/pdf")
    first = raw[: data.draw(st.integers(1, len(raw)))]
    with pytest.raises(Refusal, match="judged as a whole"):
        PIECE.parse(file_of(first, values), values)
    whole = _values("upload, finalize", 0, "application/pdf")
    assert PIECE.parse(file_of(raw, whole), whole).model == "/v1beta/files"


@given(st.binary(), st.integers(0, 10**9), st.sampled_from(["upload", "upload, finalize", "finalize"]))
def test_no_piece_of_a_file_is_said_to_be_text(raw: bytes, offset: int, command: str) -> None:
    """A textual file comes whole; of any other, what follows the first piece is no text, whatever it holds."""
    whole = offset == 0 and command == "upload, finalize"
    values = _values(command, offset, "text/csv")
    if not whole:
        with pytest.raises(Refusal, match="judged as a whole"):
            PIECE.parse(file_of(raw, values), values)
    values = _values(command, offset, "image/png")
    if offset:
        body = file_of(raw, values)
        PIECE.parse(body, values)
        assert PIECE.unscannable(body) == {"image": 1}


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "IMAGE/SVG+XML", "video/3gpp", "application/x-ndjson"])
def test_media_types(kind: str) -> None:
    """Without their parameters, in small letters."""
    assert media(kind) == kind.lower().partition(";")[0]


@pytest.mark.parametrize("kind", ["", "text", "text/", "text/ann@example.org", "a/4111-1111-1111-1111", "a/b/c"])
def test_what_is_no_media_type(kind: str) -> None:
    """It may be a value."""
    with pytest.raises(Refusal, match="media type"):
        media(kind)


def test_textual_types() -> None:
    """By name and by suffix."""
    assert all(map(is_textual, ("text/html", "application/json", "image/svg+xml", "application/ld+json")))
    assert not any(map(is_textual, ("application/pdf", "image/png", "application/octet-stream")))
