"""Personal data in any notation and next to any text."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.core.rules import resolve
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.texts import Finding


@pytest.mark.parametrize(
    ("text", "value", "entity"),
    [
        ("4539\t1488\t0343\t6467", "", "CREDIT_CARD"),
        ("4539\n1488\n0343\n6467", "", "CREDIT_CARD"),
        ("DE89\t3704\t0044\t0532\t0130\t00", "", "IBAN_CODE"),
        ("GB82\nWEST\n1234\n5698\n7654\n32", "", "IBAN_CODE"),
        ("Straße203.0.113.7", "203.0.113.7", "IP_ADDRESS"),
        ("alice.w@example.comé", "alice.w@example.com", "EMAIL"),
        ("Hívjon a 06 1 234 5678 számon", "06 1 234 5678", "PHONE"),
        ("Zadzwoń pod 512 345 678", "512 345 678", "PHONE"),
        ("Tel. 030/901820", "030/901820", "PHONE"),
        ("Calle Mayor 5, 2º B, 28013 Madrid", "", "STREET_ADDRESS"),
        ("Mannerheimintie 12 A 3, 00100 Helsinki", "", "STREET_ADDRESS"),
        ("1234 County Road 12, Austin, TX 78701", "", "STREET_ADDRESS"),
        ("I live at 44 Victoria Road, London", "44 Victoria Road, London", "STREET_ADDRESS"),
        (
            "It is 6750 Koskikatu 25 Apt. 864\nOulu\n Finland 64677",
            "6750 Koskikatu 25 Apt. 864\nOulu\n Finland 64677",
            "STREET_ADDRESS",
        ),
    ],
)
def test_found(pii: PiiScanner, text: str, value: str, entity: str) -> None:
    """Tabs, line ends and letters next to a value hide nothing; a street is found with its address block."""
    start = text.index(value)
    assert [one[:3] for one in pii.scan(text)] == [(start, start + len(value or text), entity)]


NUMBERS = {
    "SSN": "536-90-4399", "card": "4539 1488 0343 6467", "IBAN": "DE89 3704 0044 0532 0130 00",
    "Telefon": "030 9018 2201", "phone": "212 736 5000", "CPF": "529.982.247-25", "NIR": "2 55 08 14 168 025 38",
    "Aadhaar": "2345 6789 0124",
    "NHS number": "943 476 5919", "SIRET": "732 829 320 00074", "ABN": "51 824 753 556", "SIN": "130 692 544",
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("gap", ["\t", "\n", "\r\n", "\u00a0", "\u2009"])
def test_gaps_hide_nothing(pii: PiiScanner, name: str, gap: str) -> None:
    """Tabs, line ends and other blanks between the groups of any number that is named."""
    value = re.sub("[ .-]", gap, NUMBERS[name])
    text = f"{name}: {value} ok"
    at = text.index(value)
    assert [one[:2] for one in pii.scan(text)] == [(at, at + len(value))]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("around", ["é{}", "{}é", "ñ{}ß", "тел{}о", "中{}号"])
def test_letters_hide_nothing(pii: PiiScanner, name: str, around: str) -> None:
    """Non-ASCII letters next to any number with a context word."""
    value = NUMBERS[name]
    text = f"{name}: {around.format(value)} ok"
    at = text.index(value)
    assert [one[:2] for one in pii.scan(text)] == [(at, at + len(value))]


@given(
    parts=st.lists(
        st.sampled_from([*NUMBERS.values(), "Straße", "é", "тел", "о", "SSN: ", "2ème ", "7", "x", "\n", "\t"]),
        max_size=6,
    ),
    cuts=st.lists(st.integers(0, 90), max_size=12),
)
def test_streams_find_the_same(pii: PiiScanner, parts: list[str], cuts: list[int]) -> None:
    """For any cut of the letters and digits of an answer."""
    text, streams = "".join(parts), _streams(pii)
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    window, at, found = streams.window(), 0, []
    for segment in [*(window.feed(text[low:high]) for low, high in pairwise(edges)), window.close()]:
        found += [(at + one.start, at + one.end, one.entity) for one in segment.findings]
        at += len(segment.text)
    assert found == [one[:3] for one in streams.scan(text)]


@cache
def _streams(pii: PiiScanner) -> StreamScanner:
    return StreamScanner(pii, None, {})


def test_overlaps_are_united() -> None:
    """Overlapping findings become one that covers all of them, with the type of the best score."""
    street, name = Finding(0, 16, "STREET_ADDRESS", 0.6), Finding(3, 11, "LOCATION", 0.85)
    assert resolve([street, name]) == [Finding(0, 16, "LOCATION", 0.85)]
    assert resolve([Finding(0, 5, "A", 0.5), Finding(4, 9, "B", 0.9)]) == [Finding(0, 9, "B", 0.9)]
    assert resolve([Finding(0, 5, "A", 0.5), Finding(5, 9, "B", 0.9)]) == [
        Finding(0, 5, "A", 0.5),
        Finding(5, 9, "B", 0.9),
    ]


@pytest.mark.parametrize("number", ["+12125550123", "+49 30 901820", "212-555-0123"])
@pytest.mark.parametrize("around", ["({})", "[{}]", "see ({}) or [x]", "<{}>", "({}, home)", "[{}](tel:x)"])
def test_a_bracket_before_a_number_hides_nothing(pii: PiiScanner, number: str, around: str) -> None:
    """A character directly before a number is not part of it, and does not hide it."""
    text = around.format(number)
    assert [(one.entity, text[one.start : one.end]) for one in pii.scan(text)] == [("PHONE", number)]
