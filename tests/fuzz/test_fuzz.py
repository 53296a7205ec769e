"""Every parser of external data with unusual input: it terminates, and its result or exception is as documented.

`make fuzz` gives each target its share of MESHGATE_FUZZ_SECONDS (600), with fresh chance in every round; without it
each runs one short round that is the same every time. What fails is printed with the smallest input that does.
"""

from __future__ import annotations

import base64
import json
import os
import random
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest
import regex
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import calls
from gateway.config.sections import Sql
from gateway.detect.core import rewrite
from gateway.detect.core.projection import projected
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal import placeholders
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.detect.sql.read import Reader
from gateway.detect.unmask import disguise
from gateway.detect.urls.find import Links
from gateway.detect.urls.judge import carries, parse
from gateway.dialects import positions, sse, tree
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_tables import SHAPE
from gateway.errors import Refusal
from gateway.output.sqlgate import SqlGate
from scan_samples import PIECES, texts

TOTAL = float(os.environ.get("MESHGATE_FUZZ_SECONDS", "0"))
TARGETS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {}

SIGNS = list(
    "a1 Z@.%&#;\\/ux64=20-+_<>[](){}\"'`|:,!?\n\r\tеа中で。\u200b\ufe0f\u00a0\u2013\u0336①４ａ\U000e0041é👩\ud83d\0"
)
WORDS = (
    *(
        "maria@example.com",
        "4111 1111 1111 1111",
        "<EMAIL_1>",
        "[phone 2]",
        "%3CEMAIL_1%3E",
        "&lt;EMAIL_1&gt;",
        "&#64;",
    ),
    *(
        "\\u0040",
        "%2540",
        "sk-ant-api03-",
        "-----BEGIN PRIVATE KEY-----",
        "password = ",
        "```sql\n",
        "```",
        "DROP TABLE",
    ),
    *(
        "SELECT * FROM a",
        "; --",
        "/*",
        "*/",
        "'",
        '"',
        "WITH x AS (",
        "UNION",
        "![x](",
        "https://evil.example/",
        "<img src=",
    ),
    *(
        base64.b64encode(b"write to maria@example.com").decode(),
        "[at]",
        " dot ",
        "data: ",
        "\n\n",
        ": ping\n\n",
        "[DONE]",
    ),
)
TEXT = st.lists(
    st.one_of(st.sampled_from(WORDS), st.text(st.sampled_from(SIGNS), max_size=6), PIECES, st.text(max_size=4)),
    max_size=12,
).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("choices", "delta", "content", "index", "arguments", "x")) | TEXT, inner, max_size=4
        )
    ),
    max_leaves=20,
)
PLACES = st.lists(st.integers(0, 400), max_size=10)


def target(strategy: st.SearchStrategy[Any]) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Registers a target: a function of an input."""

    def register(check: Callable[[Any], None]) -> Callable[[Any], None]:
        TARGETS[check.__name__] = (strategy, check)
        return check

    return register


def cut(text: Any, places: list[int]) -> list[Any]:
    """The text in pieces."""
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[low:high] for low, high in pairwise(marks)]


@pytest.fixture(scope="module", autouse=True)
def scanner(pii: PiiScanner) -> StreamScanner:
    """Everything an answer is searched for."""
    global SCANNER
    SCANNER = StreamScanner(pii, SecretScanner(), {placeholders.PLACEHOLDER: placeholders.WRITTEN})
    return SCANNER


SCANNER: StreamScanner


@target(st.tuples(st.one_of(st.binary(max_size=80), TEXT.map(lambda text: text.encode("utf-8", "replace"))), PLACES))
def events(given_: tuple[bytes, list[int]]) -> None:
    """Server-sent events: the same in any pieces, and together what was read."""
    data, places = given_
    whole = sse.Reader().feed(data)
    reader = sse.Reader()
    pieces = [event for piece in cut(data, places) for event in reader.feed(piece)]
    if b"\r" not in data:
        assert pieces == whole
    assert all(event.raw in data for event in pieces)


@target(st.tuples(st.lists(VALUES | st.binary(max_size=20), max_size=5), PLACES))
def streams(given_: tuple[list[Any], list[int]]) -> None:
    """A streamed answer: chunks, or ValueError."""
    parts, places = given_
    raw = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in parts]
    codec = OPENAI_CHAT.stream(keep_usage=False)
    try:
        for piece in cut(b"".join(b"data: " + one + b"\n\n" for one in raw), places):
            list(codec.feed(piece))
        codec.close()
    except ValueError:
        pass


@target(VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def bodies(raw: bytes) -> None:
    """A body: read as the parser reads it, every text in it found, or refused."""
    try:
        body, survey = tree.parse(raw, SHAPE, 64)
    except Refusal as refusal:
        assert refusal.code == "invalid_request"  # noqa: PT017  (most inputs are refused, some are not)
        return
    assert survey.inexact or body == orjson.loads(raw)  # a number that no float holds stays as it was written
    assert all(isinstance(span.text, str) for span in survey.slots)
    for span in survey.slots:
        if type(span.holder[span.key]) is str:
            positions.write(span, span.text)
    assert survey.inexact or survey.nested or body == orjson.loads(raw)


@target(st.tuples(TEXT, PLACES))
def windows(given_: tuple[str, list[int]]) -> None:
    """The window: any cut gives the findings of the whole, and the text."""
    text, places = given_
    window, out, found = SCANNER.window(8192), "", []
    for piece in [*cut(text, places), None]:
        segment = window.close() if piece is None else window.feed(piece)
        found += [one._replace(start=one.start + len(out), end=one.end + len(out)) for one in segment.findings]
        out += segment.text
    assert (out, found) == (text, SCANNER.scan(text))


@target(st.tuples(texts(PIECES), st.integers(8, 80)))
def small_windows(given_: tuple[str, int]) -> None:
    """With a limit that matches exceed the text comes out whole, and little is held."""
    text, limit = given_
    window, out = SCANNER.window(limit), 0
    for fed, char in enumerate(text, 1):
        out += len(window.feed(char).text)
        assert fed - out <= limit
    assert out + len(window.close().text) == len(text)


@target(TEXT)
def disguises(text: str) -> None:
    """Disguises: every character has its place in the text, in order; encoded parts are in the reported places."""
    known = disguise.kinds(text)
    plain = disguise.undo(text, known)
    if plain is not None:
        places = [plain.place(at, at + 1) for at in range(len(plain.text))]
        assert all(low[1] <= high[0] or low == high for low, high in pairwise(places))
    for blob in disguise.blobs(text, known):
        low, high = blob.placer()(0, len(blob.text))
        assert blob.start <= low <= high <= blob.end <= len(text)
    assert disguise.settled(text, 0) <= len(text) if text else True
    assert len(projected(text)) == len(text)


ATOMS = st.sampled_from((r"\d", r"\w", "[a-f]", "[^@ ]", "x", r"\b", "(?!1)", r"\s?", "(?:ab|c)", "é", r"\.", "."))
PATTERNS = st.lists(st.tuples(ATOMS, st.sampled_from(("", "?", "+", "*", "{2,3}"))), min_size=1, max_size=6)


@target(st.tuples(PATTERNS, st.text(st.sampled_from(list("01abcfx@ .é中٣")), max_size=16)))
def patterns(given_: tuple[list[tuple[str, str]], str]) -> None:
    """A pattern rewritten for projections matches wherever the pattern does, and so do its beginnings."""
    parts, text = given_
    source = "".join(atom + (times if not atom.startswith(("(?!", r"\b", r"\s?")) else "") for atom, times in parts)
    superset, begun = (regex.compile(make(source), regex.ASCII) for make in (rewrite.superset, rewrite.prefixes))
    data = projected(text).decode()
    for match in regex.finditer(source, text):
        low, high = match.span()
        if (
            low == high or not data[high - 1].isalnum()
        ):  # where the text is cut for `fullmatch`, `\\b` would see another edge
            continue
        assert superset.fullmatch(data, low, high)
        assert all(begun.fullmatch(data[:end], low) for end in range(low + 1, high + 1))


@target(TEXT)
def spellings(text: str) -> None:
    """Placeholders: everything that counts as a spelling has a name and a notation."""
    for match in placeholders.SPELLED.finditer(text):
        assert placeholders.name(match.group())
        placeholders.notation(match.group())("value \"'<&")


READER = Reader()


@target(TEXT)
def statements(text: str) -> None:
    """SQL: statements, none of which is allowed by accident because it could not be read."""
    for statement in READER.read(text):
        assert isinstance(statement.writes, bool)


@target(st.tuples(TEXT, PLACES))
def sql_in_texts(given_: tuple[str, list[int]]) -> None:
    """SQL in a text, whole and in pieces: passed unchanged, or refused, with the same result for both."""
    text, places = given_
    gate = SqlGate(Sql(allow=("select",)))
    guard = gate.guard(calls.call())
    try:
        assert "".join(map(guard.feed, cut(text, places))) + guard.close() == text
    except Refusal as refusal:
        assert refusal.code == "sql_blocked"  # noqa: PT017


@target(st.tuples(TEXT, PLACES))
def links(given_: tuple[str, list[int]]) -> None:
    """URLs in a text: the same ones in any pieces, and the text as it was."""
    text, places = given_
    whole: list[Any] = []
    pieces: list[Any] = []

    def judge(into: list[Any]) -> Any:
        return lambda *url: into.append(url)

    one, other = Links(judge(whole)), Links(judge(pieces))
    assert one.feed(text) + one.close() == text
    assert "".join(map(other.feed, cut(text, places))) + other.close() == text
    assert whole == pieces


@target(TEXT)
def addresses(text: str) -> None:
    """One URL: read and judged."""
    assert isinstance(carries(parse(text), image=True), str)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str) -> None:
    """One target, during its share of the time."""
    strategy, check = TARGETS[name]
    ends = time.monotonic() + TOTAL / len(TARGETS)
    rounds = 0
    while rounds == 0 or time.monotonic() < ends:
        run = given(strategy)(lambda value: check(value))
        run = settings(
            max_examples=400 if TOTAL else 25,
            deadline=None,
            database=None,
            derandomize=not TOTAL,
            suppress_health_check=list(HealthCheck),
        )(run)
        (seed(random.getrandbits(64))(run) if TOTAL else run)()
        rounds += 1
