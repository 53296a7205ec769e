"""What a text must have before it is searched for a pattern: never more than every match has."""

from __future__ import annotations

import re

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.core import facts, rewrite
from gateway.detect.core.facts import Needs
from gateway.detect.core.index import Expression
from gateway.detect.core.projection import projected
from gateway.detect.personal.patterns import pii_rules
from gateway.detect.secrets.scanner import SecretScanner
from gateway.detect.unmask import disguise


@pytest.mark.parametrize(
    ("pattern", "needs"),
    [
        (r"\d", Needs(digit=True, long=False)),
        (r"[0-9a-f]{32}", Needs(digit=False, long=True)),
        (r"a?b*", Needs(digit=False, long=False)),
        (r"x\d|y\d", Needs(digit=True, long=False)),
        (r"x\d|y", Needs(digit=False, long=False)),
        (r"sk-[A-Za-z]{13}", Needs(digit=False, long=True)),
        (r"sk-[A-Za-z]{12}", Needs(digit=False, long=False)),
        (r"sk- ?[A-Za-z]{13}", Needs(digit=False, long=False)),
        (r"(?:ab|cde){8}", Needs(digit=False, long=True)),
        (r"(?:ab? ?){8}[a-z]{9}", Needs(digit=False, long=False)),
        (r"a{8}[^ ]b{8}", Needs(digit=False, long=False)),
        (r"(?: ?[a-z]{8}){2}", Needs(digit=False, long=False)),
        (r"(?:[a-z]{4}-? ?){4,}", Needs(digit=False, long=False)),
        (r"(?:[a-z]{4}-?){4,}", Needs(digit=False, long=True)),
        (r"\ba{8}-?b{8}\b", Needs(digit=False, long=True)),
        (r"(\d)\1", Needs(digit=True, long=False)),
    ],
)
def test_what_a_pattern_needs(pattern: str, needs: Needs) -> None:
    assert facts.needs(rewrite.superset(pattern)) == needs


@given(st.data())
def test_a_match_has_what_its_pattern_needs(data: st.DataObject) -> None:
    """For each pattern of the scanners, and texts that it matches."""
    expression = data.draw(st.sampled_from(EXPRESSIONS))
    pattern = rewrite.superset(expression.whole or expression.source, expression.flags)
    has = facts.of(data.draw(st.from_regex(re.compile(pattern.encode()), fullmatch=True)))
    needs = facts.needs(pattern)
    assert has.digit >= needs.digit
    assert has.long >= needs.long


EXPRESSIONS = [rule.expression for rule in (*pii_rules(["US", "DE"]), *SecretScanner().rules)]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_alternatives_match_together_what_the_pattern_matches(expression: Expression) -> None:
    source = expression.whole or expression.source
    ways = rewrite.alternatives(source, expression.flags)
    assert ways
    if len(ways) == 1:
        assert ways == [rewrite.superset(source, expression.flags)]


@given(st.text(alphabet="abcxyz0189 -.", max_size=24))
def test_a_split_pattern_matches_where_the_pattern_does(text: str) -> None:
    source = r"\b(?:[a-c]\d|x+y|\d{2}-\d)\b"
    ways = rewrite.alternatives(source)
    assert len(ways) == 3
    data = projected(text)
    one = re.search(rewrite.superset(source).encode(), data)
    assert bool(one) == any(re.search(way.encode(), data) for way in ways)


@given(st.text(max_size=60))
def test_an_encoded_value_is_a_long_word(text: str) -> None:
    """A text without a long word holds nothing that is encoded, and so need not be searched for that."""
    if regex.search(disguise.BLOB[:-5] + f"{{{disguise.SHORTEST}}}", text):
        assert facts.of(projected(text)).long


@pytest.mark.parametrize(
    ("pattern", "fewest"), [(r"\d{3}-?\d{2,4}", 5), (r"x|\d", 0), (r"(?:\d\d ?){3}", 6), (r"(?:\d ?){2,5}", 2)]
)
def test_the_fewest_digits_of_a_match(pattern: str, fewest: int) -> None:
    assert facts.digits(rewrite.superset(pattern)) == fewest


@given(st.text(alphabet="aB3 %&\\\n\t\x00\x7fé\u200b+/=", max_size=40))
def test_a_plain_text_has_no_disguise(text: str) -> None:
    if facts.is_plain(text, facts.of(projected(text))):
        kinds = disguise.kinds(text)
        assert disguise.undo(text, kinds) is None
        assert not [*disguise.blobs(text, kinds)]
