"""Rows of digits by their shape: whatever a pattern finds in a row, its shape has room for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.personal import national, shapes
from gateway.detect.personal.identities import IDENTITIES

SOURCES = sorted(
    {
        kind.source
        for number, identity in enumerate(IDENTITIES)
        for make, kind in national._kinds(str(number), identity)
        if make == "digits"
    }
)
ROWS = st.lists(
    st.sampled_from([*"0123456789-./ ", "0", "1", "2", "756", "784-", "00", "123", "1234", "123456", "1234567"]),
    max_size=12,
).map("".join)
KNOWN = shapes.Shapes([(source, source) for source in SOURCES], list)


@pytest.mark.parametrize("source", SOURCES)
def test_a_pattern_matches_no_more_than_its_outline(source: str) -> None:
    """All patterns of national numbers can be told by shape, and their own digits do not count."""
    outline = shapes.outlined(source)
    assert outline is not None
    assert not regex.search(r"(?<!\\)(?<!\{)(?<!\{\d)(?<!\{\d\d)(?<!,)(?<!,\d)[0-9]", outline)


@given(ROWS)
def test_what_is_found_has_a_fitting_shape(row: str) -> None:
    """Any row: a pattern that matches in it is among those that fit, unless its digits are those of a fraction."""
    fitting = KNOWN.of(row)
    assert fitting is not None
    for source in SOURCES:
        found = [one.start() for one in regex.finditer(source, row)]
        if any(not (row[start - 1 : start] == "." and row[start - 2 : start - 1].isdigit()) for start in found):
            assert source in fitting


def test_only_shapes_are_remembered() -> None:
    """No letters, no other scripts, and no values: rows with the same shape share one result."""
    made: list[int] = []

    def counted(kinds: Sequence[str]) -> int:
        made.append(len(kinds))
        return len(kinds)

    known = shapes.Shapes([("five", r"\d{5}")], counted)
    assert [known.of("12345"), known.of("99999"), known.of("1-2")] == [1, 1, 0]
    assert made == [1, 0]
    assert known.of("12 ext 5") is None
    assert known.of("\u0661\u0662\u0663\u0664\u0665") is None


@pytest.mark.parametrize("source", [r"(?<!1)\d{5}", r"[0-9a-f]{5}", r"[^0-5]\d"])
def test_a_pattern_that_is_no_shape_always_fits(source: str) -> None:
    """What cannot be told from the shape is left to the pattern."""
    assert shapes.outlined(source) is None
    assert shapes.Shapes([("any", source)], list).of("1-2") == ["any"]
