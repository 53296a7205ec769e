"""What is personal data, however it is written and whatever stands beside it."""

from __future__ import annotations

import pytest

from gateway.call import Finding
from gateway.scan.pii import PiiScanner
from gateway.scan.rules import resolve


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
        ("I live at 44 Victoria Road, London", "44 Victoria Road, London", "STREET_ADDRESS"),
        (
            "It is 6750 Koskikatu 25 Apt. 864\nOulu\n Finland 64677",
            "6750 Koskikatu 25 Apt. 864\nOulu\n Finland 64677",
            "STREET_ADDRESS",
        ),
    ],
)
def test_found(pii: PiiScanner, text: str, value: str, entity: str) -> None:
    """Tabs, line ends and letters beside a value hide nothing; a street is found with its block."""
    start = text.index(value)
    assert [one[:3] for one in pii.scan(text)] == [(start, start + len(value or text), entity)]


def test_overlaps_are_united() -> None:
    """Findings that overlap become one over all of them, of the type that is surest; none is left in part."""
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
    """What stands directly before a number is not part of it, and no reason to pass it by."""
    text = around.format(number)
    assert [(one.entity, text[one.start : one.end]) for one in pii.scan(text)] == [("PHONE", number)]
