"""The words before a place: the same whether the text is split once for many places, or at each place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.core import neighbours
from gateway.detect.core.context import REACH
from gateway.detect.core.neighbours import Near
from gateway.detect.unmask.escapes import without_letters

NEAR = Near({"order": ("order", "order number"), "tax": ("tax id", "número fiscal", "税号"), "id": ("id",)})
WORDS = (
    *("order", "orders", "Order", "number", "tax", "id", "ids", "IDs", "número", "fiscal", "税号", "我的税号", "of"),
    *("a", "don't", "l’id", "x" * 40, "x" * 200, "<EMAIL_1> ", "12", "3.5", "\n", " ", "  ", "-", "(", ", ", "_"),
)


def fresh(text: str) -> str:
    """Another string with the same text: nothing is known of it."""
    return "".join([text, " "])[: len(text)]


@settings(max_examples=400, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=120),
    glue=st.sampled_from(["", " ", " ", "."]),
    places=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    block=st.sampled_from([64, 161, 500, 2048]),
)
def test_one_split_says_what_each_place_says(words: list[str], glue: str, places: list[float], block: int) -> None:
    """Any text, any places, in any order."""
    text = glue.join(words)
    if "<" in text:  # no number stands in a placeholder
        places = [place for place in places if text.rfind("<", 0, int(place * len(text))) < 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_BLOCK", block)
        patch.setattr(neighbours, "_FEW", 2)
        many = fresh(text)
        starts = [int(place * len(text)) for place in places] * 5
        said = [NEAR.keys(many, start) for start in starts]
    assert said == [NEAR._keys(text, start) for start in starts]


@pytest.mark.parametrize("size", [neighbours._BLOCK - 1, neighbours._BLOCK, neighbours._BLOCK + 80])
def test_over_the_seam_of_two_blocks(size: int) -> None:
    """A word in one block, the number in the next."""
    text = "x" * (size - 14) + " order number 4711"
    for _ in range(6):
        assert NEAR.keys(text, text.index("4711")) == {"order": 0}


@given(st.text(st.sampled_from("aB'9é ._-<>\\n1"), max_size=200), st.integers(0, 200))
def test_the_words_are_those_of_the_pattern(text: str, start: int) -> None:
    """However a text is split into words, they are what the pattern for any script finds."""
    start = min(start, len(text))
    low = max(0, start - REACH)
    before = neighbours._PLACEHOLDER.sub(" ", without_letters(text[low:start]))
    words = [word.lower() for word in neighbours._TOKENS.findall(before)]
    cut = low and words and not (text[low - 1].isspace() or text[low:][:1].isspace())
    words = words[1:] if cut else words
    if start < len(text):
        assert neighbours._words_before(text, start)[0] == words[: -neighbours.WORDS - 1 : -1]


@given(
    text=st.lists(st.sampled_from([*WORDS, *"aB'9é ._-<>\\n1"]), max_size=120).map("".join),
    starts=st.lists(st.integers(0, 600), min_size=1, max_size=8),
    block=st.sampled_from([64, 161, 500, 2048]),
)
def test_the_words_of_a_block_are_those_of_each_place(text: str, starts: list[int], block: int) -> None:
    """However a block is read, the words before a place in it are those of the text before the place alone."""
    reading = neighbours._Reading()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_BLOCK", block)
        for start in starts:
            if start < len(text):
                assert reading.before(text, start)[0] == neighbours._words_before(text, start)[0]


@given(
    words=st.lists(st.sampled_from(WORDS), max_size=60),
    low=st.integers(0, 400),
    size=st.integers(1, 60),
)
def test_what_lacks_a_word_has_none_at_any_place(words: list[str], low: int, size: int) -> None:
    """`lack` is sure: there is no word before any place of the stretch."""
    text = " ".join(words)
    high = min(len(text), low + size)
    if low < high and NEAR.lack(text, low, high):
        assert not any(NEAR.keys(text, place) for place in range(low, high) if not text[place - 1 : place].isalnum())


def test_another_text_at_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of one text is not said of the next."""
    monkeypatch.setattr(neighbours, "_FEW", 0)
    assert [NEAR.keys(f"{word} 4711", len(word) + 1) for word in ("order", "id", "of")] == [{"order": 0}, {"id": 0}, {}]


@pytest.mark.parametrize(("said", "way"), [("order 4711 ", "_blanked"), ("order l'a'b 4711 ", "_Words")])
def test_many_places_take_one_split(said: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work grows with the text, not with text times places."""
    split: list[object] = []
    read = getattr(neighbours, way)

    def counted(*arguments: object) -> object:
        split.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(neighbours, way, counted)
    text = said * 1000
    for start in range(said.index("4711"), len(text), len(said)):
        assert NEAR.keys(text, start)
    assert len(split) == len(text) // neighbours._BLOCK + 1
