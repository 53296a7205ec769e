"""Phone numbers without a context word in the notation of the regions, and digits that are not phone numbers."""

from __future__ import annotations

import pytest

from gateway.detect.personal.scanner import PiiScanner


@pytest.mark.parametrize(
    "number",
    [
        "07700/900/461",  # slashes
        "06/12/34/56/78",
        "079/123/45/67",
        "212/555/0187",
        "0043/1/2345678",
        "070-123/45/67",
        "030.901820",  # dots
        "612.34.56.78",
        "0664.1234567",
        "98765 43210",  # blanks, also those that do not break
        "0091-98765-43210",
        "0\u00a0801\u00a082\u00a043\u00a052",
        "1\u00a0(212)\u00a0555-0187",
        "11 91234-5678",  # mixed
        "0049 (0)30 123456",
        "(212)\u00a0555-0187\u00a0x12",  # extensions
        "212-555-0187 ext. 45",
        "030 1234567-89",
    ],
)
@pytest.mark.parametrize("text", ["Ask {} instead.", "{}", "Ann Weber | {} | room", "Ann Weber\n{}\nBerlin"])
def test_a_number_as_its_region_writes_it(pii: PiiScanner, text: str, number: str) -> None:
    """The form and the plan of a region are enough."""
    written = text.format(number)
    [found] = [one for one in pii.scan(written) if one.entity == "PHONE"]
    assert written[found.start : found.end] == number


@pytest.mark.parametrize(
    "text",
    [
        "since 06/12/2024 at noon",
        "done 101/200/300 of them",
        "ratio 123/456/789",
        "ids 70000 80000 90000",
        "sizes 12345 67890",
        "host 192.168.10.12",
        "mask 255.255.255.0",
        "release 612.34.56",
        "| 98765 43210 | 98766 43211 |",
        "2024/555/0187",
        "001/002/003",
    ],
)
def test_digits_in_groups_are_no_number(pii: PiiScanner, text: str) -> None:
    """Dates, fractions, sizes, rows of tables, versions."""
    assert not [one for one in pii.scan(text) if one.entity == "PHONE"]


@pytest.mark.parametrize("count", [2, 3, 20])
@pytest.mark.parametrize("before", ["", "Tel. ", "erreichbar: ", "1, 2, "])
def test_numbers_with_slashes_in_a_row_with_slashes(count: int, before: str) -> None:
    """Each is found; folders of digits are none."""
    scanner = PiiScanner(["DE"], 0.4)
    values = [f"0171/23456{at:02}" for at in range(count - 1)] + ["030/901820"]
    row = "/".join(values)
    text = f"{before}{row} und 0172/2345678"
    assert [text[one.start : one.end] for one in scanner.scan(text)] == [*values, "0172/2345678"]
    assert scanner.scan(f"/data/{row}/x") == []
