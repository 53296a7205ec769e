"""gateway.output.runs: when guards remove characters from texts in fields, each text keeps its own."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import calls
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.placeholders import PLACEHOLDER, WRITTEN
from gateway.dialects import Field, Piece
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.output.acting import NOTHING
from gateway.output.invisible import Invisible
from gateway.output.judges import FieldJudge
from gateway.output.runs import Edit, Runs, judge_whole
from gateway.output.screen import Screen
from gateway.texts import Finding

DROPPED = re.compile("[~^]")
FOUND = re.compile("##")
INVISIBLE = re.compile("[\u200b\u202e]")
TEXTS = st.lists(st.text("ab~^#", max_size=9), min_size=1, max_size=6)
HOLD = st.integers(0, 7)


class Judged(NamedTuple):
    """The text that a window releases."""

    text: str
    findings: Sequence[Finding]


class Window:
    """Finds `##`, and holds the last characters until more arrive; a `#` at the end always."""

    def __init__(self, hold: int) -> None:
        self.pending = ""
        self._hold = hold

    def feed(self, text: str) -> Judged:
        self.pending += text
        size = max(0, len(self.pending) - self._hold)
        for match in re.finditer("#+", self.pending):
            size = match.start() if match.start() < size <= match.end() else size
        return self._let_go(size)

    def fork(self) -> Window:
        return copy(self)

    def close(self) -> Judged:
        return self._let_go(len(self.pending))

    def _let_go(self, size: int) -> Judged:
        text, self.pending = self.pending[:size], self.pending[size:]
        return Judged(text, [Finding(*match.span(), "X", 1.0) for match in FOUND.finditer(text)])


class Dropper:
    """A guard that drops some characters, and holds the last characters until more arrive."""

    def __init__(self, hold: int) -> None:
        self._hold = hold
        self._held = ""

    def feed(self, text: str) -> str:
        self._held += text
        size = max(0, len(self._held) - self._hold)
        out, self._held = self._held[:size], self._held[size:]
        return DROPPED.sub("", out)

    def close(self) -> str:
        out, self._held = self._held, ""
        return DROPPED.sub("", out)


def edits(text: str, findings: Sequence[Finding], _: object) -> list[Edit]:
    return [(one.start, one.end, "<X>") for one in findings]


def a_judge(window: int, guards: Sequence[int]) -> FieldJudge:
    return FieldJudge(
        lambda: Window(window), lambda: [Dropper(hold) for hold in guards], edits, lambda text: (), NOTHING
    )


def a_field(texts: list[str]) -> Field:
    """A field that is a list, each element of which is a piece."""
    field = Field("delta", 0, {"notes": texts}, "notes")
    field.pieces = [Piece((0, "notes[]"), field, texts, at) for at in range(len(texts))]
    return field


def expected(texts: Sequence[str]) -> list[str]:
    """Each text with its findings replaced, and without the characters that guards drop."""
    whole = "".join(texts)
    owners = [at for at, text in enumerate(texts) for _ in text]
    out, at = [""] * len(texts), 0
    for match in FOUND.finditer(whole):
        for place in range(at, match.start()):
            out[owners[place]] += whole[place]
        out[owners[match.start()]] += "<X>"
        at = match.end()
    for place in range(at, len(whole)):
        out[owners[place]] += whole[place]
    return [DROPPED.sub("", text) for text in out]


@given(TEXTS, HOLD, st.lists(HOLD, max_size=2))
def test_the_elements_of_a_whole_list_keep_what_is_theirs(texts: list[str], window: int, guards: list[int]) -> None:
    """For any findings, dropped characters and held characters."""
    out = list(texts)
    judge_whole(a_field(out), a_judge(window, guards))
    assert out == (expected(texts) if guards else expected_unguarded(texts))


def expected_unguarded(texts: Sequence[str]) -> list[str]:
    """The same where no guard drops anything."""
    hidden = str.maketrans("~^", "cd")
    back = str.maketrans("cd", "~^")
    return [text.translate(back) for text in expected([text.translate(hidden) for text in texts])]


@given(st.lists(TEXTS, min_size=1, max_size=5), HOLD, st.lists(HOLD, min_size=1, max_size=2))
def test_streamed_fields_keep_what_is_theirs(chunks: list[list[str]], window: int, guards: list[int]) -> None:
    """Fields of several chunks that make one text leave in their order, each with its own characters."""
    runs, out, left = Runs(), [list(texts) for texts in chunks], []
    for texts in out:
        field = a_field(texts)
        if runs.take(field, lambda piece: a_judge(window, guards)):
            left.append(texts)
        left += [one.holder["notes"] for one in runs.released()]
    left += [one.holder["notes"] for one in runs.close()]
    flat = expected([text for texts in chunks for text in texts])
    assert [text for texts in out for text in texts] == flat
    assert [id(texts) for texts in left] == [id(texts) for texts in out]


@pytest.fixture(scope="module")
def screen() -> Screen:
    """A screen that only removes invisible characters."""
    return Screen(
        Output(), StreamScanner(None, None, {PLACEHOLDER: WRITTEN}), lambda _: False, gates=(Invisible("remove"),)
    )


@given(st.lists(st.text("aé\u200b\u202e@.", min_size=1, max_size=12), min_size=1, max_size=5))
def test_what_is_seen_stays_in_its_element(screen: Screen, texts: list[str]) -> None:
    """For whole answers and streams, with the real guard."""
    seen = [INVISIBLE.sub("", text) for text in texts]
    answer: dict[str, Any] = {
        "id": "c",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "", "notes": list(texts)}}],
    }
    screen.filter(calls.call()).whole(answer)
    assert [INVISIBLE.sub("", text) for text in answer["choices"][0]["message"]["notes"]] == seen

    codec, made, got = OPENAI_CHAT.stream(keep_usage=False), screen.filter(calls.call()), list[str]()
    sent = b""
    for text in texts:
        data = json.dumps({"id": "c", "choices": [{"index": 0, "delta": {"notes": [text]}, "finish_reason": None}]})
        for chunk in codec.feed(f"data: {data}\n\n".encode()):
            sent += b"".join(made.feed(chunk, codec))
    sent += b"".join(made.close(codec))
    for line in sent.split(b"\n\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                got += choice["delta"].get("notes", [])
    assert [INVISIBLE.sub("", text) for text in got] == seen


def test_an_address_does_not_lose_its_beginning(screen: Screen) -> None:
    """Removing characters from the first element moved the ends of all following elements."""
    answer = {"choices": [{"index": 0, "message": {"notes": ["ann@example.\u202eorg", "ann@example.org"]}}]}
    screen.filter(calls.call()).whole(answer)
    assert answer["choices"][0]["message"] == {"notes": ["ann@example.org", "ann@example.org"]}
