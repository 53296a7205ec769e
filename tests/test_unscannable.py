"""Unscannable content in parts and texts, in both directions; and text that only looks like such content."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

import calls
import upstream as scripted
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.unscannable import UNSCANNABLE, Beside
from gateway.dialects import positions, tree
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_tables import SHAPE
from gateway.errors import Refusal
from gateway.output.screen import Screen
from line import Line, config, policies, running

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
CARD = b"my card is 4111 1111 1111 1111, thank you very much"


def b64(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


def mixed(size: int) -> str:
    """Base64 of chance."""
    return b64(b"\xff" + os.urandom(size - 1))


UNREADABLE = {
    "an image": (f"see {b64(PNG)} there", "image"),
    "a data URL": (f"![chart](data:image/png;base64,{b64(PNG)})", "image"),
    "a data URL of nothing known": (f"data:application/octet-stream;base64,{b64(bytes(200))}", "data"),
    "gzip": (b64(gzip.compress(CARD)), "archive"),
    "zlib": (f'{{"blob": "{b64(zlib.compress(CARD))}"}}', "archive"),
    "gzip, URL-safe": (base64.urlsafe_b64encode(gzip.compress(CARD * 3)).decode(), "archive"),
    "gzip in hexadecimal": (gzip.compress(CARD).hex(), "archive"),
    "a PDF in lines": (
        "\n".join(b64(b"%PDF-1.7\n" + bytes(range(256)))[i : i + 76] for i in range(0, 300, 76)),
        "document",
    ),
    "openssl": (b64(b"Salted__" + os.urandom(40)), "ciphertext"),
    "PGP": ("-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----", "ciphertext"),
    "chance": (f"token {mixed(900)} end", "data"),
}
READABLE = {
    "prose": "The quick brown fox jumps over the lazy dog. " * 50,
    "a ruler": "-" * 3000 + "_" * 3000,
    "one letter": "a" * 5000,
    "a sequence": "ACGT" * 1000,
    "text in base64": b64(b"nothing but text, nothing but text. " * 60),
    "a digest": "sha512:" + "0a1b2c3d4e5f6789" * 8,
    "a token": f"session {mixed(200)}",
    "a text URL": "data:text/plain;base64," + b64(b"plain words " * 10),
    "words": "/usr/lib/python3/site-packages/some/long/path/that/goes/on" * 3,
    "armour": "-----BEGIN CERTIFICATE REQUEST-----",
}


@pytest.fixture(scope="module")
def beside() -> Beside:
    """Without personal data."""
    return Beside(lambda _: [])


@pytest.mark.parametrize("name", UNREADABLE)
def test_data_in_a_text_is_seen(beside: Beside, name: str) -> None:
    """By its first bytes, or by its length if they have no known form."""
    text, kind = UNREADABLE[name]
    assert {one.entity for one in beside.scan(text)} == {UNSCANNABLE + kind.upper()}


@pytest.mark.parametrize("around", ["\u4e2d\u6587\u5b57\u7b26", "\uff14\uff11", "\u0430\u0431"])
def test_a_long_text_in_another_script_is_searched_once(beside: Beside, around: str) -> None:
    """Every non-ASCII letter may be a hint; the search continues from the last hint and does not start again."""
    text = around * 100_000
    found = beside.scan(f"{text} {b64(PNG)} {text}")
    assert [(one.entity, one.start) for one in found if one.entity.startswith(UNSCANNABLE)] == [
        (UNSCANNABLE + "IMAGE", len(text) + 1)
    ]


@pytest.mark.parametrize("name", READABLE)
def test_text_is_text(beside: Beside, name: str) -> None:
    """Long runs that are not data, and data that is text."""
    assert [one for one in beside.scan(READABLE[name]) if one.entity.startswith(UNSCANNABLE)] == []


def survey(body: Any) -> tree.Survey:
    """The findings in a body."""
    return tree.parse(orjson.dumps(body), SHAPE, 64)[1]


PARTS: dict[str, tuple[Any, dict[str, int]]] = {
    "image by address": ({"image_url": {"url": "https://x.org/a.png"}}, {"image": 1}),
    "image as a string": ({"image_url": "https://x.org/a.png"}, {"image": 1}),
    "audio": ({"input_audio": {"data": "UklGRg==", "format": "wav"}}, {"audio": 1}),
    "video": ({"video_url": {"url": "https://x.org/a.mp4"}}, {"video": 1}),
    "file": ({"file": {"file_id": "file-1"}}, {"file": 1}),
    "file of text": ({"file": {"file_data": "data:text/csv;base64," + b64(b"a,b"), "filename": "a.csv"}}, {}),
    "two, one of text": ({"file": {"file_data": "data:text/csv,a", "file_id": "file-1"}}, {"file": 1}),
    "how audio is wanted": ({"audio": {"voice": "alloy", "format": "wav"}}, {}),
    "a parameter called file": ({"parameters": {"properties": {"file": {"type": "string"}}}}, {}),
    "a name": ({"file": "report.txt"}, {}),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_counted_by_kind(name: str) -> None:
    """Parts with unscannable data count; not parts that only name data, nor text."""
    part, kinds = PARTS[name]
    assert survey({"messages": [{"role": "user", "content": [part]}]}).kinds == kinds


def test_a_text_in_a_data_url_is_read_and_written_back() -> None:
    """Base64 or percent-encoded, in a part or an unknown field, and in arguments."""
    url = "data:text/plain;charset=utf-8;base64," + b64(b"ann@example.org")
    inner = json.dumps({"deep": "data:,ann%40example.org"})
    body = {"file": {"file_data": url}, "x": {"y": url}, "arguments": inner}
    parsed, found = tree.parse(orjson.dumps(body), SHAPE, 64)
    assert [slot.text for slot in found.slots] == ["ann@example.org"] * 3
    for slot in found.slots:
        positions.write(slot, "<EMAIL_1> ü")
    positions.fold(found.nested)
    assert parsed["x"]["y"] == "data:text/plain;charset=utf-8;base64," + b64("<EMAIL_1> ü".encode())
    assert json.loads(parsed["arguments"]) == {"deep": "data:,%3CEMAIL_1%3E%20%C3%BC"}


# On the line

POLICY = """package gateway
decision := {"allow": allow, "deny": deny}
default allow := true
deny contains {"code": "pictures", "message": "No pictures", "class": "compliance"} if {
	input.content.unscannable_kinds.image > 0
}
"""


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """As shipped."""
    folder = tmp_path_factory.mktemp("blobs")
    with running(folder, config(folder, up.url)) as started:
        yield started


def test_data_in_a_text_is_blocked(line: Line, up: scripted.Upstream) -> None:
    """In a message or an unknown field; opaque data that callers return to providers does not count."""
    before = len(up.seen)
    for fields in ({"text": UNREADABLE["gzip"][0]}, {"text": "x", "x_unknown": {"a": UNREADABLE["an image"][0]}}):
        answer = line.chat(**fields)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "pii_blocked")
        assert "that no scanner can read" in answer.json()["error"]["message"]
    assert len(up.seen) == before
    assert line.chat(extra_content={"google": {"thought_signature": mixed(2000)}}).status_code == 200


def test_a_policy_decides_where_it_may(up: scripted.Upstream, tmp_path: Any) -> None:
    """`unscannable: allow` leaves it to the policy, which sees kinds."""
    settings = config(tmp_path, up.url, pii={"unscannable": "allow"}, policy=policies(tmp_path, POLICY))
    with running(tmp_path, settings) as line:
        assert line.chat(UNREADABLE["gzip"][0]).status_code == 200
        answer = line.chat(UNREADABLE["a data URL"][0])
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "policy_denied")


@pytest.mark.parametrize("allowed", [False, True])
def test_an_answer_with_sound_or_pictures(allowed: bool) -> None:
    """Blocked whole and in a stream, unless the operator allows it."""
    screen = Screen(
        Output(unscannable="allow" if allowed else "block"),
        StreamScanner(None, None, {"X": "never seen"}),
        lambda _: False,
    )
    call = calls.call()
    for part in (
        {"audio": {"id": "a", "data": "AAAA"}},
        {"images": [{"image_url": {"url": "data:image/png;base64,AA"}}]},
    ):
        whole = {"choices": [{"index": 0, "message": {"role": "assistant", **part}}]}
        event = b"data: " + json.dumps({"choices": [{"index": 0, "delta": part}]}).encode() + b"\n\n"
        codec = OPENAI_CHAT.stream(keep_usage=False)
        [chunk] = codec.feed(event)
        if allowed:
            screen.filter(call).whole(whole)
            assert screen.filter(call).feed(chunk, codec)
            continue
        with pytest.raises(Refusal, match="no scanner can read"):
            screen.filter(call).whole(whole)
        with pytest.raises(Refusal, match="no scanner can read"):
            screen.filter(call).feed(chunk, codec)


def test_data_without_a_known_format_counts_from_1024_characters_on() -> None:
    """Shorter base64 is taken for a digest or a token, however random; a known format is data at a fraction of that."""
    random = base64.b64encode(b"".join(hashlib.sha256(bytes([it])).digest() for it in range(40))).decode()
    scan = Beside(lambda _: []).scan
    for size in (200, 1000, 1023, 1024, 1025, 1200):
        found = [one.entity for one in scan(f"see {random[:size]}")]
        assert found == ([f"{UNSCANNABLE}DATA"] if size >= 1024 else []), size
    assert [one.entity for one in scan(base64.b64encode(PNG).decode())] == [f"{UNSCANNABLE}IMAGE"]


def test_a_look_alike_ends_where_its_word_ends(pii: PiiScanner) -> None:
    scan = Beside(pii.scan).scan
    for text, names in (
        ("MY_PHONE_2 PHONE_23 PHONE_2A XPHONE_2", ["MY_PHONE_2", "PHONE_23", "XPHONE_2"]),
        ("LITERAL_1<EMAIL_1>LITERAL_2<EMAIL_1>", ["LITERAL_1", "<EMAIL_1>", "LITERAL_2", "<EMAIL_1>"]),
    ):
        assert [text[one.start : one.end] for one in scan(text)] == names


def test_a_number_beside_a_look_alike_is_found(pii: PiiScanner) -> None:
    """The number of a placeholder is not part of the number next to it, which would be too long for a phone number."""
    scan = Beside(pii.scan).scan
    for text in ("[PHONE_2](tel:PHONE_2)212-555-0123 ", "EMAIL_1 212-555-0123", "<EMAIL_3>4111 1111 1111 1111"):
        found = {text[one.start : one.end]: one.entity for one in scan(text)}
        assert found.get("212-555-0123") == "PHONE" or found.get("4111 1111 1111 1111") == "CREDIT_CARD", found
