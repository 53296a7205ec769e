"""Digits of change logs, standards and formulas are no phone numbers; numbers of the same form after a word are."""

from __future__ import annotations

import pytest

from gateway.detect.personal.scanner import PiiScanner


@pytest.mark.parametrize(
    "text",
    [
        "1.30.0 / 2017-08-27\n===================\n\n* Add types",
        "1.1.0 / 09.03.2018\n==================\n\n* Fixes",
        "2.1.9/2016-01-06",
        '"%d.%m.%y %H.%M",  # 25.10.06 14.30',
        "| P       | 04/29/1453 |",
        "adds the Kana set of JIS X 0201-1976, 0208-1978 and 0213-2004.",
        "Adds esc seq for 0212-1990.",
        "rgb(0.0719453 * x - 0.2289914 * y + 1.4052427 * z)",
        "f*(52.82-f*(131.46-f*(176.58-67.37*f)))",
    ],
)
def test_not_phones(pii: PiiScanner, text: str) -> None:
    """In any text around them."""
    for said in (text, f"see {text}", f"{text} and more"):
        assert [one for one in pii.scan(said) if one.entity == "PHONE"] == []


@pytest.mark.parametrize("value", ["0201-1976", "+1.4155551234", "+49.3012345678", "01.02.03.04.05"])
def test_named_numbers(pii: PiiScanner, value: str) -> None:
    """A word for a phone number before them."""
    text = f"Tel. {value} ok"
    assert [text[one.start : one.end] for one in pii.scan(text)] == [value]
