"""The gateway's own secrets are found by value, and its caches tell one team nothing of another."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Span
from gateway.content import Contents
from gateway.errors import Refusal
from gateway.own import OwnSecrets
from gateway.scan.injection import Score
from gateway.texts import Texts

KEY = "corp.key/of no known form 7"
CALL: Any = None


@given(st.lists(st.integers(0, 80), max_size=12), st.sampled_from([KEY, base64.b64encode(KEY.encode()).decode()]))
def test_a_key_leaves_in_no_piece_however_it_is_cut(cuts: list[int], said: str) -> None:
    """What left before the refusal holds nothing of the key."""
    text = f"c co {said} after"
    guard, out, at = OwnSecrets([KEY]).guard(CALL), "", 0
    with pytest.raises(Refusal) as refused:  # noqa: PT012  (any of the pieces may be the one)
        for cut in [*sorted(cuts), len(text)]:
            out += guard.feed(text[at:cut])
            at = max(at, min(cut, len(text)))
    assert refused.value.code == "secret_blocked"
    assert KEY not in refused.value.message
    assert len(out) <= 5


@given(st.lists(st.sampled_from(["c", "corp", ".key", "/of no", " known", "x", ""]), max_size=20))
def test_other_text_leaves_as_it_was(pieces: list[str]) -> None:
    """Beginnings of a key are held back and given in the end."""
    guard = OwnSecrets([KEY]).guard(CALL)
    assert "".join(map(guard.feed, pieces)) + guard.close() == "".join(pieces)


def test_a_text_of_another_team_is_a_miss() -> None:
    """Counted: each team's first sight of a text is worked out, its second is not."""
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return 1

    def score(text: str) -> Score:
        asked.append(text)
        return Score(0.9, 0.9)

    spans = [Span({}, "content", "a text of one team", "tool", None)]
    for read in (Texts(count, None).survey, Contents(score).read):
        asked.clear()
        for team in ("red", "red", "blue", "blue"):
            read(spans, team)
        assert len(asked) == 2


@pytest.mark.parametrize("role", ["Tool", "tool ", "ipython", "FUNCTION", "whatever"])
def test_unusual_roles_count_as_a_tool(role: str) -> None:
    """Nobody escapes the score by a role of their own."""
    spans = [Span({}, "content", "a text of some length", role, None)]
    assert Contents(lambda _: Score(0.9, 0.1)).read(spans).injection == {"tool": 0.9}


def test_a_key_in_a_request_is_a_secret() -> None:
    """An agent that got hold of one cannot send it on."""
    scan = OwnSecrets([KEY]).scanning(lambda _: [])
    assert [tuple(one) for one in scan(f"use {KEY}!")] == [(4, 4 + len(KEY), "SECRET_MESHGATE_KEY", 1.0)]
    assert scan("use no key") == []
