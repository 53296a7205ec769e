"""Two values side by side: neither hides the other from the scan of a request."""

from __future__ import annotations

import itertools

import pytest

from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.unscannable import Beside

VALUES = {
    "CREDIT_CARD": "4111 1111 1111 1111",
    "PHONE": "(212) 555-0123",
    "US_SSN": "219-09-9999",
    "IP_ADDRESS": "203.0.113.7",
    "EMAIL": "ann@example.org",
}
SEPARATORS = (", ", ",", "\t", "; ", " / ")


@pytest.fixture(scope="module")
def beside(pii: PiiScanner) -> Beside:
    """The scanner of requests."""
    return Beside(pii.scan)


@pytest.mark.parametrize("between", SEPARATORS)
def test_both_are_found(beside: Beside, between: str) -> None:
    """In both orders."""
    for (first, one), (second, other) in itertools.permutations(VALUES.items(), 2):
        text = f"{one}{between}{other}"
        found = beside.scan(text)
        covered = "".join(text[a.start : a.end] for a in found)
        assert {first, second} <= {a.entity for a in found} or len(covered) >= len(one) + len(other), (text, found)


def test_three_in_a_row(beside: Beside) -> None:
    """What is found second may have hidden a third."""
    text = "219-09-9999,(212) 555-0123,219-09-9998"
    digits = sum(sum(map(str.isdigit, text[one.start : one.end])) for one in beside.scan(text))
    assert digits == sum(map(str.isdigit, text))


def test_a_text_without_numbers_beside_a_value_is_scanned_once(pii: PiiScanner) -> None:
    """An address with a port, a value in a sentence: one scan."""
    scanned: list[str] = []

    def scan(text: str) -> list[object]:
        scanned.append(text)
        return pii.scan(text)  # type: ignore[return-value]

    for text in ("server 192.0.2.13:8080 weight=30;", "Write to ann@example.org by 5 pm.", "no value"):
        scanned.clear()
        Beside(scan).scan(text)  # type: ignore[arg-type]
        assert scanned == [text]
