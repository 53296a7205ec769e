"""Postal addresses of many countries: found with the whole block, also in streams; similar text is not found."""

from __future__ import annotations

import random

import pytest

from benchmarks.streets import THINGS, cases, covered
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner

CASES = cases("tune")


@pytest.mark.parametrize("country", sorted({country for country, _, _ in CASES}))
def test_a_street_grows_over_its_block(pii: PiiScanner, country: str) -> None:
    """Street, number, unit, postcode, town and country are one finding, on one line or on several."""
    for of, text, address in CASES:
        if of == country:
            assert covered(pii, text, address) >= 0.6, text


@pytest.mark.parametrize("text", THINGS)
def test_a_thing_with_a_number_is_no_street(pii: PiiScanner, text: str) -> None:
    """Tickets, courses, seasons, versions and scores."""
    assert not [one for one in pii.scan(text) if one.entity == "STREET_ADDRESS"]


def test_a_postcode_within_an_address_does_not_name_it(pii: PiiScanner) -> None:
    """The whole block is found, not only the postcode."""
    [found] = pii.scan("Address: 290 Bremner Boulevard, Toronto, ON M5V 3L9")
    assert found.entity == "STREET_ADDRESS"


def test_addresses_in_streams(pii: PiiScanner) -> None:
    """An address block in pieces is found as in the whole text."""
    stream = StreamScanner(pii, None, {})
    chance = random.Random(3)
    for _, text, _ in CASES[::3]:
        said = f"Some words before. {text} And some after, to be judged with it."
        window = stream.window(512)
        at = low = 0
        found = []
        while low < len(said):
            high = low + chance.randint(1, 9)
            segment = window.feed(said[low:high])
            found += [(one.start + at, one.end + at, one.entity) for one in segment.findings]
            at += len(segment.text)
            low = high
        found += [(one.start + at, one.end + at, one.entity) for one in window.close().findings]
        assert found == [one[:3] for one in stream.scan(said)], text
