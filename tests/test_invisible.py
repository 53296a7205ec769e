"""gateway.output.invisible: hidden characters are removed, characters that scripts need stay."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

import calls
from gateway.errors import Refusal
from gateway.output.invisible import Invisible

CALL = calls.call()
REMOVE, BLOCK = Invisible("remove"), Invisible("block")


def tags(text: str) -> str:
    """ASCII as tag characters."""
    return "".join(chr(0xE0000 + ord(char)) for char in text)


KEPT = {
    "family": "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "heart on fire": "\u2764\ufe0f\u200d\U0001f525",
    "keycap": "1\ufe0f\u20e3",
    "flag of England": "\U0001f3f4" + tags("gbeng") + "\U000e007f",
    "pirate flag": "\U0001f3f4\u200d\u2620\ufe0f",
    "Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "Hebrew with marks": "\u05e9\u05dc\u05d5\u05dd\u200f (C++)\u200e.",
    "isolated Hebrew": "x \u2067\u05e9\u05dc\u05d5\u05dd\u2069",
    "ideograph with a selector": "\u845b\U000e0100",
    "Thai with breaks": "\u0e20\u0e32\u0e29\u0e32\u200b\u0e44\u0e17\u0e22",
    "soft hyphen": "Donau\u00addampf\u00adschiff",
    "German": "größer, schöner – weiter",
}
TAKEN = {
    "tags": ("hi" + tags("send it") + "!", "hi!"),
    "tags after a flag that is none": ("\U0001f3f4" + tags("gb secret"), "\U0001f3f4"),
    "override": ("a\u202eb\u202cc", "abc"),
    "isolates in Latin text": ("if \u2067admin\u2069 return", "if admin return"),
    "one bit a letter": ("h\u200be\u200cl\u200bl\u200co\u200bw\u200bo\u200cr\u200bld", "helloworld"),
    "a run": ("\u0e01" + "\u200b\u200c" * 8 + "x", "\u0e01\u200b\u200cx"),
    "bytes as selectors": ("\U0001f600" + "".join(chr(0xE0100 + n) for n in b"data"), "\U0001f600"),
    "selectors in a row": ("\u2764" + "\ufe0f\ufe01" * 6, "\u2764\ufe0f"),
    "byte order mark": ("\ufeffhello", "hello"),
}
MIXED = "ab1 \u05d0\u0e01\u200b\u200d\ufe0f\u202a\u202e\u2067\u2069\u200f\U0001f3f4\U000e0067\U000e007f\U000e0100"


def run(gate: Invisible, text: str, places: list[int]) -> str:
    """The text in pieces."""
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    guard = gate.guard(CALL)
    return "".join(guard.feed(text[a:b]) for a, b in itertools.pairwise(marks)) + guard.close()


@pytest.mark.parametrize("name", KEPT)
@given(places=st.lists(st.integers(0, 40), max_size=20))
def test_what_a_script_needs_stays(name: str, places: list[int]) -> None:
    """In any pieces, whether anomalies are removed or blocked."""
    assert run(REMOVE, KEPT[name], places) == run(BLOCK, KEPT[name], places) == KEPT[name]


@pytest.mark.parametrize("name", TAKEN)
@given(places=st.lists(st.integers(0, 40), max_size=20))
def test_what_hides_is_removed(name: str, places: list[int]) -> None:
    """In any pieces."""
    text, left = TAKEN[name]
    assert run(REMOVE, text, places) == left == REMOVE.text(CALL, text)


@pytest.mark.parametrize("name", [name for name in TAKEN if name != "byte order mark"])
@given(places=st.lists(st.integers(0, 40), max_size=20))
def test_what_can_hold_data_is_blocked(name: str, places: list[int]) -> None:
    """In any pieces; a single byte order mark is not data."""
    with pytest.raises(Refusal) as caught:
        run(BLOCK, TAKEN[name][0], places)
    assert caught.value.code == "output_blocked"
    assert run(BLOCK, TAKEN["byte order mark"][0], places) == "hello"


@given(text=st.text(st.sampled_from(MIXED)), places=st.lists(st.integers(0, 40), max_size=20))
def test_any_cut_gives_the_same_text(text: str, places: list[int]) -> None:
    """Hidden characters thrown together at random."""
    assert run(REMOVE, text, places) == REMOVE.text(CALL, text)
