"""Values after an escaped end of a line or tab, whose letter is no part of it; keys that are glued to a name."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner

VALUES = {
    "phone": ("212-555-0123", "PHONE"),
    "telephone": ("+1 212 555 0123", "PHONE"),
    "card": ("4539 1488 0343 6467", "CREDIT_CARD"),
    "IBAN": ("DE89 3704 0044 0532 0130 00", "IBAN_CODE"),
    "SSN": ("219-09-9999", "US_SSN"),
    "mail": ("alice@example.com", "EMAIL"),
    "host": ("203.0.113.7", "IP_ADDRESS"),
    "address": ("2001:db8::8a2e:370:7334", "IP_ADDRESS"),
    "MAC": ("AC:1B:44:11:3A:B7", "MAC_ADDRESS"),
    "born": ("1984-03-12", "DATE_OF_BIRTH"),
    "street": ("12 Main Street", "STREET_ADDRESS"),
    "lives in": ("Hauptstraße 12, 10115 Berlin", "STREET_ADDRESS"),
    "token": ("ghp_1234567890abcdefghijABCDEFGHIJ123456", "SECRET_GITHUB_TOKEN"),
    "id": ("AKIAIOSFODNN7EXAMPL2", "SECRET_AWS_KEY_ID"),
    "key": ("sk-ant-api03-a8Fj3kL9sQ2xZ7mNbV5cR1tY", "SECRET_ANTHROPIC_KEY"),
    "npm": ("npm_a8Fj3kL9sQ2xZ7mNbV5cR1tYa8Fj3kL9sQ2x", "SECRET_NPM_TOKEN"),
}
ENDS = ("\\n", "\\t", "\\r\\n", "\\\\n", "\\\\\\\\t", "\\x0a", "\\u000a", "%0A")
HARMLESS = (
    r"C:\new\table\r2\notes1.txt and D:\tools\node18\readme, E:\temp\report2024.csv",
    r"re.compile(r'^\t\d+\n12 \n13') and '\n'.join(lines) + '\r\n' + b'\x0a1\x0d2'",
    r"\\nas01\reports\2024\n12 \tau_1 + \rho_2 = \nu_3, \textbf{12} \newline \ref{4}",
    r'{"source": "import os\n\nVERSION = 1.2\n@decorator\nclass A1:\n    x = 12\n\treturn y1\n"}',
)


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    return StreamScanner(pii, SecretScanner(), {})


def streamed(scanner: StreamScanner, pieces: list[str]) -> list[tuple[int, int, str]]:
    """The findings of a window, with places in the whole text."""
    window, found, at = scanner.window(4096), list[tuple[int, int, str]](), 0
    for piece in [*pieces, None]:
        segment = window.close() if piece is None else window.feed(piece)
        found += [(one.start + at, one.end + at, one.entity) for one in segment.findings]
        at += len(segment.text)
    return found


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("text", ["{name}:{end}{value}{end}and", "a line.{end}{name}{end}{value}"])
def test_the_letter_is_not_part_of_the_value(scanner: StreamScanner, text: str, name: str, end: str) -> None:
    """The value is found without the escape, in a whole text and character by character."""
    value, entity = VALUES[name]
    written = text.format(name=name, end=end, value=value)
    at = written.index(value)
    found = [one[:3] for one in scanner.scan(written)]
    if end == "%0A" and name in ("mail", "key"):  # `%`, digits and letters may be part of an address or of a token
        ((low, high, *_),) = found
        assert low <= at < at + len(value) <= high
    else:
        assert found == [(at, at + len(value), entity)]
    assert streamed(scanner, list(written)) == found


@pytest.mark.parametrize("text", HARMLESS)
def test_paths_and_code(scanner: StreamScanner, text: str) -> None:
    """Folders and escapes in code are no values."""
    assert scanner.scan(text) == []
    assert streamed(scanner, list(text)) == []


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_json_within_json(scanner: StreamScanner, depth: int) -> None:
    """Each value of a text that was encoded several times, after the words of its line."""
    text = "Customer:\nphone\t212-555-0123\nssn\t219099999\nalice@example.com\n"
    for _ in range(depth):
        text = json.dumps(text)
    found = [(text[one.start : one.end], one.entity) for one in scanner.scan(text)]
    assert found == [("212-555-0123", "PHONE"), ("219099999", "US_SSN"), ("alice@example.com", "EMAIL")]


@given(
    parts=st.lists(
        st.sampled_from(
            [*(one for one, _ in VALUES.values()), *ENDS, "phone ", "\\", "n", "t", "x", " ", "7", "@b.co"]
        ),
        max_size=8,
    ),
    data=st.data(),
)
def test_any_cut(scanner: StreamScanner, parts: list[str], data: st.DataObject) -> None:
    """The findings do not depend on how the text is cut."""
    text = "".join(parts)
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pieces = [text[low:high] for low, high in pairwise([0, *places, len(text)])]
    assert streamed(scanner, pieces) == [one[:3] for one in scanner.scan(text)]


@pytest.mark.parametrize("glued", ["x-", "user_", "MY-", "a_b-", "--", "_"])
@pytest.mark.parametrize(
    "key",
    [
        *(VALUES[name][0] for name in ("token", "id", "key", "npm")),
        "github_pat_11ABCDEFG0a1b2c3d4e5f6g7h8",
        "xoxb-123456789012-abcdEFGHijkl",
        "glpat-a8Fj3kL9sQ2xZ7mNbV5c",
        "AIzaSyA8Fj3kL9sQ2xZ7mNbV5cR1tYa8Fj3kL9s",
        "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",
        "sk-proj-a8Fj3kL9sQ2xZ7mNbV5cR1tY",
        "sk_live_a8Fj3kL9sQ2xZ7mNbV5cR1tY",
        "shpat_0123456789abcdef0123456789abcdee",
    ],
)
def test_a_name_before_a_key(scanner: StreamScanner, key: str, glued: str) -> None:
    """A key whose beginning tells its issuer is found after a name; the name may go with it."""
    text = f"see {glued}{key} ok"
    ((low, high, entity),) = [one[:3] for one in scanner.scan(text)]
    assert entity.startswith("SECRET_")
    assert low <= text.index(key)
    assert high == text.index(key) + len(key)
    assert streamed(scanner, list(text)) == [(low, high, entity)]


@pytest.mark.parametrize(
    "text", ["task_sk-learn-and-other-words", "the risk-proj-abcdef", "XAKIAIOSFODNN7EXAMPL2", "mask-antenna_array-01"]
)
def test_words_that_hold_a_beginning(scanner: StreamScanner, text: str) -> None:
    """Letters before a beginning make it part of a word."""
    assert scanner.scan(text) == []
