"""The streaming window: any cut of a text gives the same findings, nothing leaves unjudged, little is held."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from gateway.detect.core.window import StreamScanner, Window
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.texts import Finding
from scan_samples import PIECES, cuts, texts

LONG = "a8Fj3kL9sQ2xZ7mNbV5cR1tY6uW4pE0dGhJ7kS2wQ9zX3vB8nM5lK1jH4gF6"
PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join([LONG] * 30) + "\n-----END PRIVATE KEY-----"
SECRETS = st.sampled_from(
    (
        "<EMAIL_1>",
        "<PHONE_22",
        "sk-ant-api03-" + LONG[:30],
        "password = hunter2Abc!",
        "postgres://u:s3cr3tpw@db/x",
        "api_key: '9sQ2xZ7mNbV5cR1tY6uW'",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
        "-----BEGIN PRIVATE KEY-----\n" + LONG + "\n-----END PRIVATE KEY-----",
        LONG,
    )
)
STREAMS = texts(st.one_of(PIECES, PIECES, SECRETS), most=6)
PROSE = (
    "The gateway judges every answer while it runs. It's meant to stay out of the way; in 2024 we sold 1,200 units, "
    "and none of them held a sentence back for long (we looked).\n\n- A list, with items:\n- another one.\n"
)


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    return StreamScanner(pii, SecretScanner(), {"PLACEHOLDER": r"<[A-Z][A-Z_]*_\d{1,6}>"})


def run(window: Window, pieces: list[str], limit: int) -> tuple[str, list[Finding]]:
    """The output, with findings relative to the whole text; checks the invariants of every segment."""
    text = ""
    findings = []
    fed = 0
    for piece in [*pieces, None]:
        segment = window.close() if piece is None else window.feed(piece)
        fed += len(piece or "")
        for finding in segment.findings:
            assert 0 <= finding.start < finding.end <= len(segment.text)
            findings.append(finding._replace(start=finding.start + len(text), end=finding.end + len(text)))
        text += segment.text
        assert fed - len(text) <= limit
    return text, findings


@settings(max_examples=examples(50, nightly=1500), deadline=None)
@given(st.data())
def test_any_cut_gives_the_findings_of_the_whole(scanner: StreamScanner, data: st.DataObject) -> None:
    """With any cut, a text gives the findings of a scan of the whole, unless a match exceeds the limit."""
    text = data.draw(STREAMS)
    pieces = data.draw(cuts(text))
    assert run(scanner.window(4096), pieces, 4096) == (text, scanner.scan(text))


@settings(max_examples=60, deadline=None)
@given(STREAMS)
def test_character_by_character(scanner: StreamScanner, text: str) -> None:
    """The same for single characters."""
    assert run(scanner.window(4096), list(text), 4096) == (text, scanner.scan(text))


@settings(max_examples=examples(50, nightly=1500), deadline=None)
@given(st.data())
def test_small_limit_loses_nothing(scanner: StreamScanner, data: st.DataObject) -> None:
    """With a limit that matches exceed, the text still comes out whole and little is held."""
    text = data.draw(STREAMS) + data.draw(st.sampled_from(("", PEM, "sk-ant-" + LONG * 4, "x" * 300)))
    limit = data.draw(st.integers(8, 64))
    out, findings = run(scanner.window(limit), data.draw(cuts(text)), limit)
    assert out == text
    assert all(low.end <= high.start for low, high in pairwise(findings))


@pytest.mark.parametrize("size", [1, 3, 7, 10, 64, 1000])
@pytest.mark.parametrize(
    ("secret", "entity"),
    [
        ("sk-ant-" + LONG * 20, "SECRET_ANTHROPIC_KEY"),
        (PEM, "SECRET_PRIVATE_KEY"),
        ("maria@example.com" + ".com" * 90, "EMAIL"),
    ],
)
def test_long_secret_leaks_no_tail(scanner: StreamScanner, secret: str, entity: str, size: int) -> None:
    """A match longer than the limit is reported in pieces that cover exactly the match."""
    text = f"Here it is: {secret}\n(and it's no secret that this is prose)"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    out, findings = run(scanner.window(256), pieces, 256)
    start = text.index(secret)
    covered = {place for finding in findings for place in range(finding.start, finding.end)}
    assert out == text
    assert covered == set(range(start, start + len(secret)))
    assert {finding.entity for finding in findings} == {entity}


@pytest.mark.parametrize(
    "text", [PROSE, "Les élèves étaient là – déjà. " * 4, "# T\n\n| a | b |\n|---|---|\n`x = y[0]`\n"]
)
def test_prose_flows(scanner: StreamScanner, text: str) -> None:
    """Plain text is held by no more than the words at its end."""
    window = scanner.window(256)
    left = 0
    for fed, char in enumerate(text, 1):
        left += len(window.feed(char).text)
        assert fed - left <= 12


def test_word_that_goes_on_after_a_cut(scanner: StreamScanner) -> None:
    """A match that begins in the middle of a word begins there in a stream, too."""
    text = "a.b+c@sub.example.co.uka.b+c@sub.examp0e.co.uk: "
    assert run(scanner.window(), list(text), 256) == (text, scanner.scan(text))


def test_held_text_leaves_at_once(scanner: StreamScanner) -> None:
    """A character that makes a match impossible releases the held text."""
    window = scanner.window(256)
    assert window.feed("4111 1111 1111 111").text == ""
    assert window.feed("q: ").text == "4111 1111 1111 111q: "


def test_context_that_has_left_still_counts(scanner: StreamScanner) -> None:
    """A weak match counts because of a word that left long before."""
    window = scanner.window(256)
    assert window.feed("my passport, the blue one with, ").findings == []
    segment = window.feed("torn cover, is C12345678, ok")
    assert [(segment.text[one.start : one.end], one.entity) for one in segment.findings] == [
        ("C12345678", "US_PASSPORT")
    ]


def test_long_stream_keeps_little(scanner: StreamScanner) -> None:
    """Released text is dropped, except for context."""
    window = scanner.window(256)
    for _ in range(300):
        window.feed(PROSE)
    assert len(window._buffer) < 2000


def test_without_scanners() -> None:
    """If only placeholders are searched, all other text leaves immediately."""
    window = StreamScanner(None, None, {"PLACEHOLDER": r"<[A-Z][A-Z_]*_\d{1,6}>"}).window()
    assert window.feed("maria@example.com <EM") == ("maria@example.com ", [])
    assert window.feed("AIL_1> x") == ("<EMAIL_1> x", [Finding(0, 9, "PLACEHOLDER", 1.0)])
    assert window.close() == ("", [])


def test_what_is_remembered_of_words_changes_nothing(scanner: StreamScanner) -> None:
    """A word that was held before gets the same judgment; a word that may be part of a value is not remembered."""
    for _ in range(3):
        text = "Send the ball to password = hunter2Abc! or maria@example.com, sk-live and so on. "
        assert run(scanner.window(), [text[at : at + 3] for at in range(0, len(text), 3)], 256) == (
            text,
            scanner.scan(text),
        )
