"""No pattern tries the ways to split a text one by one: rows, columns and runs of anything are read at once."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
import regex

import gateway.detect
import gateway.dialects
import gateway.output
import gateway.redaction
from gateway.detect.personal.scanner import PiiScanner

SECONDS = 5.0  # of CPU time for a text of 500 characters, which takes microseconds; else a fault would never end
UNITS = (
    *("1", "12 ", "12\n", "1.", "12/", "212-555-0123\n", "4539 1488\t", "12:34\r\n", "1,2 ", "7-", "٣ ", "1e5,"),
    *("a", "a ", "ab_", "a.b.", "A-", "Ab ", "a, ", "a = ", "a:", "a\\n", "a'", '"a" ', "é", "电1", "a@b.", "a\n"),
    *("'", '"', "\\", "(", "[", "](", "<a ", "<A_1>", "/* ", "--", "%41", "&#65;", "QUJD", "http://a", "\t", "{a.b "),
    *("select a ", "drop table x ", "DE89 3704 ", "00:1B:", "12 Main ", "$a.", "0x41, "),
)


def patterns() -> Iterator[Any]:
    """Every pattern that a module of the scanners and readers has, with the name of its place."""
    seen = set()
    for package in (gateway.detect, gateway.dialects, gateway.output, gateway.redaction):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(module.name)).items():
                for number, one in enumerate(_within(value)):
                    if isinstance(one.pattern, str) and (one.pattern, one.flags) not in seen:
                        seen.add((one.pattern, one.flags))
                        yield pytest.param(one, id=f"{module.name.removeprefix('gateway.')}.{name}-{number}")


def _within(value: Any) -> Iterator[Any]:
    if isinstance(value, (re.Pattern, regex.Pattern)):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _within(one)
    elif isinstance(value, dict):
        yield from _within([*value.values()])


@pytest.mark.parametrize("pattern", [*patterns()])
def test_rows_and_columns(pattern: Any) -> None:
    """Whatever stands behind them."""
    compiled = regex.compile(pattern.pattern, pattern.flags)
    for unit in UNITS:
        for end in ("", "!", "x", "1"):
            text = unit * (500 // len(unit)) + end
            compiled.search(text, timeout=SECONDS)
            compiled.fullmatch(text, timeout=SECONDS)
            compiled.search(text, len(unit) + 1, timeout=SECONDS)


@pytest.mark.parametrize("end", ["", " ", " x", "x", "1234"])
@pytest.mark.parametrize("unit", ["41 ", "0x41, ", "101 ", "01000001 ", "01000001", "61:", "a ", "a.b.", "\\"])
@pytest.mark.parametrize("pattern", [one for one in patterns() if "detect.unmask" in str(one.id)])
def test_long_runs(pattern: Any, unit: str, end: str) -> None:
    """A run that fails at its end is not read anew from each of its places: 60,000 characters would take a minute."""
    compiled = regex.compile(pattern.pattern, pattern.flags)
    assert sum(1 for _ in compiled.finditer(unit * (60_000 // len(unit)) + end, timeout=SECONDS)) <= 61_000


@pytest.mark.parametrize("value", ["212-555-{:04d}", "+1 212 555 {:04d}", "(212) 555-{:04d}"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_column_of_phone_numbers(pii: PiiScanner, value: str, end: str) -> None:
    """Each is found, in a column of any length."""
    column = [value.format(at) for at in range(100, 160)]
    text = f"phone{end}{end.join(column)}"
    assert [text[one.start : one.end] for one in pii.scan(text)] == column
