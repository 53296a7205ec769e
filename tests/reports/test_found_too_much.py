"""Harmless text in code, logs and documents: answers with it are not changed."""

from __future__ import annotations

import pytest

from gateway.detect.personal.scanner import PiiScanner


@pytest.mark.parametrize(
    "text",
    [
        "claude-opus-4-1-20250805",
        "03/22 08:51:06",
        "01.02.2024 - 03.04.2024",
        "2024-01-15 12 times",
        "1920 1080 60",
        "part 402-118-2260",
        "loss 0.8437638274 at step 54589",
        "lat 48.8583701, lon -2.2944813",
        "Boston, MA 02110-1301"[11:],
        "0x0061: 0x0061,  # GRAVE",
        '{"id": 1903001150704521953, "ts": 1686612577894}',
        "version 1.2.3.4",
        "Guile 3.0.5.130",
        "a::b and std::abc::c",
        "127.0.0.1, ::1 and 0.0.0.0",
        "netmask 255.255.255.0",
        "git clone git@github.com:a/b.git",
        "index#pkg-config@0.3.33",
        "See PR 12345",
        "Engineering 101",
        "Ticket ID 48213",
        "Spring 2025",
    ],
)
def test_left_alone(pii: PiiScanner, text: str) -> None:
    """Models, times, ranges, decimals, ids, versions, masks and titles are left alone."""
    assert [(one.entity, text[one.start : one.end]) for one in pii.scan(text)] == []


@pytest.mark.parametrize("year", range(1999, 2030, 5))
@pytest.mark.parametrize("written", ["{0}-03-22 {1}", "22.03.{0} - 05.04.{0}", "{0} - {1}", "03/22/{0} {1}"])
def test_dates_are_no_phone_numbers(pii: PiiScanner, year: int, written: str) -> None:
    """A date in any order, with the text after it, is not a phone number, even next to a context word."""
    assert not [one for one in pii.scan("call " + written.format(year, 12)) if one.entity == "PHONE"]


@pytest.mark.parametrize(
    "text",
    [
        "phone\t12\t345\t6789\t11\t12345\n",
        "SSN\n536\n90\n4399\n17\n",
        "1\t2\t3\n4\t5\t6\n",
        "rows 120\n4500\n6789",
        "12\n34567\n8901",
    ],
)
def test_cells_are_no_numbers(pii: PiiScanner, text: str) -> None:
    """Figures in different cells of a table or a column are not parts of one number."""
    assert not pii.scan(text)


@pytest.mark.slow
def test_a_type_may_need_more() -> None:
    """With a score for the type, digits alone are not a phone number, but digits next to a context word are."""
    text = "Anna, 212-555-0123, Berlin; phone 212-555-0124, ann@example.org"
    loose, strict = (
        PiiScanner(("US",), 0.4, None, ["US"], scores=scores).scan(text) for scores in ({}, {"PHONE": 0.7})
    )
    assert [one.entity for one in loose] == ["PHONE", "PHONE", "EMAIL"]
    assert [text[one.start : one.end] for one in strict] == ["212-555-0124", "ann@example.org"]
