"""A text that a set of rules and a part of the set are given is searched once; both find what they would find alone."""

from __future__ import annotations

import random
from sys import getsizeof

import pytest

from gateway.detect.core.rules import RuleSet
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal import placeholders
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner

PARTS = [
    "ann.lee@example.org",
    "<EMAIL_ADDRESS_1>",
    "EMAIL_ADDRESS_1",
    "4111 1111 1111 1111",
    "AKIAIOSFODNN7EXAMPLE",
    "call 212-555-0123",
    "ann%2Elee%40example.org",
    "YW5uLmxlZUBleGFtcGxlLm9yZw==",
    "The order was sent on Monday.",
    "\\u0061nn@example.org",
    "zero\u200bwidth",
    "192.168.17.4",
    "",
]


@pytest.fixture(scope="module")
def sets(pii: PiiScanner) -> tuple[RuleSet, RuleSet]:
    """The rules for answers, and those of them that are for requests."""
    secrets = SecretScanner()
    answers = StreamScanner(
        pii, secrets, {placeholders.PLACEHOLDER: placeholders.WRITTEN}, weak={placeholders.LIKE: placeholders.SPELLINGS}
    )
    part = answers.rules.part([*pii.rules, *secrets.rules])
    assert part is not None
    return answers.rules, part


def same(text: str) -> str:
    """The same text as another object, which no set has seen."""
    return "".join([*text, " "])[:-1]


def test_both_find_what_they_find_alone_in_any_order(sets: tuple[RuleSet, RuleSet]) -> None:
    drawn = random.Random(7)
    differs = 0
    for _ in range(400):
        text = " ".join(drawn.choices(PARTS, k=drawn.randint(0, 4)))
        alone = [one.scan(same(text)) for one in sets]
        differs += alone[0] != alone[1]
        order = [0, 1, 1, 0, 1, 0][drawn.randint(0, 3) :]
        assert [sets[at].scan(text) for at in order] == [alone[at] for at in order], text
    assert differs > 50


def test_what_a_caller_does_with_the_findings_changes_nothing(sets: tuple[RuleSet, RuleSet]) -> None:
    text = same("Write to ann.lee@example.org.")
    first = sets[1].scan(text)
    assert first
    found = [*first]
    first.clear()
    sets[1].scan(text).clear()
    assert sets[1].scan(text) == sets[0].scan(text) == found


def test_a_text_is_searched_once_for_a_set_and_its_part(
    sets: tuple[RuleSet, RuleSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    index = sets[0]._index
    look = index.look

    def counted(text: str) -> object:
        searched.append(text)
        return look(text)

    monkeypatch.setattr(index, "look", counted)
    text = same("A plain line with 17 words.")
    for one in (*sets, *sets):
        one.scan(text)
    assert searched == [text]
    sets[0].scan(same(text))  # of another caller, perhaps
    assert searched == [text, text]


def test_long_texts_are_not_remembered(sets: tuple[RuleSet, RuleSet]) -> None:
    text = "ann.lee@example.org " * 20_000
    assert [*sets[0].scan(text)] == [*sets[1].scan(text)]
    assert sets[0]._last._size < 1 << 18
    assert id(text) not in sets[0]._last._known


def test_remembered_texts_are_bounded_in_bytes(sets: tuple[RuleSet, RuleSet]) -> None:
    """A character takes up to four."""
    for number in range(80):
        sets[0].scan(chr(0x1F600) * 2000 + f" {number}")
    known = sets[0]._last._known.values()
    assert 0 < sum(getsizeof(one.text) for one in known) <= 1 << 18
