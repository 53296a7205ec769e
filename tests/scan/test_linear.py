"""Patterns of others in linear time: the matches that `regex` finds, refusals, and how much a hostile text costs."""

from __future__ import annotations

from typing import Any

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from gateway.detect.core.linear import ExplodedError, Linear

PATTERNS = [
    *(r"\b\d{5}(?:-\d{4})?\b", r"\bEMP-[A-Z]{2}\d+\b", r"[^\W\d]+", r"[äöü]+x?", r"\w+@\w+", r"_\w_", r"[^a-c]{2}"),
    *(r"\S+\s\S", r"(?:a|ab)(?:c|bcd)", r"a+?b", r".x.", r"\Bx\B", r"straße", r"\D\d\D", r"k+", r"[à-ÿ]+", r"[\W_]+"),
    *(r"\Aé", r"ß\Z", r"[_é]x", r"\x01", r"(?i)ß|É", r"^\w+", r"(?x) a  b  # a comment", r"[^\S\n]+|[^\D1]"),
]
TEXT = st.text(st.sampled_from(list("abcxkKß_é ÉÄäö12٣\n\x01\x02-@—\u3000\u00a0K ſEMP-AB7straße")), max_size=14)
FLAGS = (0, int(regex.IGNORECASE), int(regex.IGNORECASE | regex.MULTILINE | regex.DOTALL))


@pytest.mark.slow
@settings(max_examples=examples(200, nightly=6000), deadline=None)
@given(st.sampled_from(PATTERNS), st.sampled_from(FLAGS), TEXT)
def test_the_matches_of_regex(source: str, flags: int, text: str) -> None:
    """Words, digits, white space and word boundaries have their meaning in Unicode."""
    expected = [match.span() for match in regex.finditer(source, text, flags) if match.group()]
    found = Linear(source, flags).spans(text, 0, len(text))
    if found != expected:  # matches that overlap count as one where which of them there would be is not known
        overlapping = [match.span() for match in regex.finditer(source, text, flags, overlapped=True)]
        matched = {place for low, high in overlapping for place in range(low, high)}
        assert all(any(low <= start and end <= high for low, high in found) for start, end in expected)
        assert all(place in matched for low, high in found for place in range(low, high))


@settings(max_examples=examples(66, nightly=2000), deadline=None)
@given(st.sampled_from([r"\b\w+\b", r"^.+$", r"\B-\B"]), TEXT, st.integers(0, 14), st.integers(0, 14))
def test_a_stretch_sees_what_stands_beside_it(source: str, text: str, one: int, other: int) -> None:
    """A match in a range is a match of the whole text, unless the whole text has a longer match."""
    low, high = sorted((min(one, len(text)), min(other, len(text))))
    whole = {match.span() for match in regex.finditer(source, text, regex.MULTILINE)}
    found = set(Linear(source, int(regex.MULTILINE)).spans(text, low, high))
    assert {span for span in whole if low <= span[0] and span[1] <= high} <= found


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (r"(?<!\d)\d{5}", "lookahead or lookbehind"),
        (r"\d{5}(?!\d)", "lookahead or lookbehind"),
        (r"([ab])\1", "a back-reference"),
        (r"(a)?(?(1)b|c)", "a conditional group"),
        (r"(?>a+)b", "an atomic group"),
        (r"a++b", "a possessive repeat"),
        (r"(?i:a)b", "flags for a part"),
        (r"a*", "matches nothing at all"),
        (r"(a{1,900}){1,900}", "Hyperscan does not take"),
        (r"\p{L}+", "not a pattern"),
        (r"(a", "not a pattern"),
    ],
)
def test_what_cannot_be_held_is_refused(source: str, reason: str) -> None:
    """With the reason in words."""
    with pytest.raises(ValueError, match=reason):
        Linear(source)


HOSTILE = "a" * 100_000


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of characters that each pass reads, and the number of its matches."""
    passes: list[int] = []
    run = Linear._run

    def counting(self: Linear, database: Any, text: str, low: int, high: int) -> Any:
        hits = run(self, database, text, low, high)
        passes.append(min(high, len(text)) - low + len(hits))
        return hits

    monkeypatch.setattr(Linear, "_run", counting)
    return passes


@pytest.mark.parametrize("source", [r"(a+)+$", r"(a|aa)+$", r"(a*)*b", r"(.*)*x", r"(a|a?)+c", r"a{1,90}b$", r"(a+)+"])
@pytest.mark.parametrize("end", ["", "!", "b"])
def test_what_explodes_elsewhere_does_not_here(monkeypatch: pytest.MonkeyPatch, source: str, end: str) -> None:
    """A run of a hundred thousand characters is read once or twice, with any pattern."""
    pattern, passes, text = Linear(source), counted(monkeypatch), HOSTILE + end
    pattern.spans(text, 0, len(text))
    assert len(passes) <= 2
    assert sum(passes) <= 2 * len(text) + 2


@pytest.mark.parametrize("source", ["a{3}", "a{1,90}", "aa|a[^b]*b"])
def test_many_matches_in_one_stretch(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Passes that look behind a match are as short as what overlaps it."""
    pattern, passes = Linear(source), counted(monkeypatch)
    found = pattern.spans(HOSTILE, 0, len(HOSTILE))
    assert sum(high - low for low, high in found) >= len(HOSTILE) - 2
    assert sum(passes) <= 4 * len(HOSTILE)


def test_reading_over_and_over_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the passes would read the text too often, nothing is decided, which blocks the call."""
    monkeypatch.setattr("gateway.detect.core.linear.WORK", 0)
    with pytest.raises(ExplodedError):
        Linear(r"\d{4,6}").spans("12345678901", 0, 11)


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        (r"\d{4,6}", "12345678901", ["123456", "78901"]),
        (r"\d{3}", "12345678", ["123", "456"]),
        (r"a+?", "aaa", ["aaa"]),
        (r"a.*?c", "a1c a2c", ["a1c a2c"]),
    ],
)
def test_the_longest_match(source: str, text: str, found: list[str]) -> None:
    """The longest match at a place, and then the next without overlap."""
    assert [text[low:high] for low, high in Linear(source).spans(text, 0, len(text))] == found


@pytest.mark.slow
@settings(max_examples=examples(100, nightly=3000), deadline=None)
@given(st.sampled_from([r"[^a]{1,3}[é-ü]*\w", r".{1,3}\D", r"a?[^a]\w", r"\w\D*\d*", r"\d{2,3}-?"]), TEXT)
def test_nothing_is_left_out(source: str, text: str) -> None:
    """If overlapping matches hide each other, everything that `regex` matches is covered, maybe in other pieces."""
    covered = {at for low, high in Linear(source).spans(text, 0, len(text)) for at in range(low, high)}
    assert {at for match in regex.finditer(source, text) for at in range(*match.span())} <= covered


def test_a_value_as_a_whole() -> None:
    """`holds` applies to the whole text."""
    pattern = Linear("EMP-0+", int(regex.IGNORECASE))
    assert pattern.holds("emp-000")
    assert not pattern.holds("EMP-0001")
    assert Linear("é+").holds("éé")


def test_half_a_character() -> None:
    """A lone surrogate is a character that is not a letter."""
    assert Linear(r"a\Wb").spans("xa\ud800b", 0, 4) == [(1, 4)]
