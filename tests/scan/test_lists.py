"""Values beside each other without blanks: lists, rows of CSV, strings of JSON. Rows of figures are left alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from gateway.detect.personal.scanner import PiiScanner

VALUES = {
    "PHONE": ("212-555-0123", "(212) 555-0199", "+49 30 901820", "020 7946 0958", "212.555.0123", "+12125550123"),
    "CREDIT_CARD": ("4111 1111 1111 1111", "5500005555555559", "4111-1111-1111-1111"),
    "IBAN_CODE": ("DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19"),
    "US_SSN": ("219-09-9999", "460-89-9847"),
    "EMAIL": ("ann@example.org", "bob@example.com"),
    "IP_ADDRESS": ("203.0.113.7", "2001:db8::8a2e:370:7334"),
    "MAC_ADDRESS": ("00:1A:2B:3C:4D:5E",),
    "BR_CPF": ("529.982.247-25",),
    "TH_TNIN": ("3-7745-88741-17-7",),
    "CH_AHV": ("756.9217.0769.85",),
}
SEPARATORS = (",", ";", "|", "/", "\t", "\n", "\r\n", '","', "','", '";"', ", ")


def written(one: str, other: str) -> Iterator[str]:
    """A list of two values in each of its usual forms."""
    yield from (f"{one}{between}{other}" for between in SEPARATORS)
    yield f"id,a,b,n\n7,{one},{other},12\n8,{other},{one},13"
    yield f'"7","{one}","{other}","12"'
    yield f"7\t{one}\t{other}\t12"
    yield f"7;{one};{other};12,5"
    yield f"|7|{one}|{other}|12|"
    yield f"Ann,{one},10001,2024-01-02,12.50,{other},3.75"
    yield json.dumps({"a": [one, other, one]}, separators=(",", ":"))
    yield ",".join((one, other) * 3)


def missed(pii: PiiScanner, text: str, values: tuple[str, ...]) -> list[str]:
    """The values of which a part is not found."""
    found = [range(one.start, one.end) for one in pii.scan(text)]
    hidden = "".join("x" if any(at in one for one in found) else sign for at, sign in enumerate(text))
    return [value for value in values if any(part in hidden for part in (value, value[:6], value[-6:]))]


@pytest.mark.parametrize("kind", VALUES)
def test_values_of_one_type(pii: PiiScanner, kind: str) -> None:
    """Each value of a list is found, whatever stands between them."""
    for one, other in itertools.product(VALUES[kind], repeat=2):
        for text in written(one, other):
            assert missed(pii, text, (one, other)) == [], text


def test_values_of_two_types(pii: PiiScanner) -> None:
    """A row has several columns; no value hides the one after it. An address may end in a slash and its prefix."""
    for first, second in itertools.permutations(VALUES, 2):
        one, other = VALUES[first][0], VALUES[second][-1]
        for text in written(one, other):
            if ":" in one + other and "/" in text:
                continue
            assert missed(pii, text, (one, other)) == [], text


@pytest.mark.parametrize("word", ["tel ", "phone numbers: ", "Telefon "])
@pytest.mark.parametrize("numbers", [("5551234", "5551235"), ("612 345 678", "612 345 679"), ("555-1234", "555-1235")])
def test_local_numbers_after_a_word(pii: PiiScanner, word: str, numbers: tuple[str, str]) -> None:
    """Digits that are a phone number only after a word are one in a list, too."""
    assert missed(pii, word + ",".join(numbers), numbers) == []


@pytest.mark.parametrize(
    "text",
    [
        "402-118-2260,118-22",
        "part 402-118-2260,118-22-1,402-118-2261",
        "40.712776,-74.005974",
        "40.712776,-74.005974,12.5,3.25",
        "2024-01-15,2024-02-15,2024-03-15",
        "15.01.2024,03.04.2024",
        "1,234,567.89,2,345,678.90",
        "1.234.567,89;2.345.678,90",
        "234.567.890,12",
        "234 567 890,12",
        "0.5,0.25,0.125,0.0625",
        "12345678,90",
        "1705121234567,1705121234568",
        "1001,2002,3003,4004",
        "100 200 300,400 500 600,700 800 900",
        "1.2.3,1.2.4,1.2.5",
        "1-2-3,4-5-6",
        "03/22 08:51:06,123",
        "2019-01-01 12:00:00,345",
        "12-345-678,98-765-432",
        "100-200-3000,400-500-6000",
        "640x480,800x600,1024x768",
        "SKU-12345-67,SKU-12345-68",
        "5551234,5551235",
        "10/12/2020,11/12/2020",
        "10-12/11-12/2020",
        "1000000,2000000,3000000",
        "550e8400-e29b-41d4-a716-446655440000,550e8400-e29b-41d4-a716-446655440001",
        "M1.5,2.25,203.0.113.7",
        "l12.5,203.25.113.7",
    ],
)
def test_rows_of_figures(pii: PiiScanner, text: str) -> None:
    """Part numbers, decimals, amounts, coordinates, dates, times, versions, sizes, paths of drawings."""
    assert [(one.entity, text[one.start : one.end]) for one in pii.scan(text)] == []


@pytest.mark.parametrize("text", ["tel 12345678,90", "call 1234567,5 times", "phone 1,234,567"])
def test_amounts_after_a_word(pii: PiiScanner, text: str) -> None:
    """Decimals and thousands are no phone number even after a word for one."""
    assert pii.scan(text) == []
