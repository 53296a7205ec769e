"""Events that are judged as one piece leave as they would one by one: the same bytes, after the same reads."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from formats.screens import CARD, in_pieces, judge, scanner_of
from formats.wires import Gemini, Messages, Responses, Wire
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects.delta_frame import DeltaFrame
from gateway.dialects.frame import Frame
from gateway.errors import Refusal
from gateway.output.runs import Runs

_SAID = st.sampled_from(
    [
        *(CARD, "4539 1488 ", "0343 6467", "ann@example.org", "ann@", "see https://example.com/?a=b ", " ", "x"),
        *("![x](https://e.com/", "a plain text ", "of some words ", "\u00e4\u00f6 ", "select * from t; ", "<EMAIL_1> "),
    ]
)


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    return scanner_of(pii)


def left(wire: Wire, scanner: StreamScanner, parts: list[bytes], *, gates: bool) -> tuple[list[bytes], bool]:
    """What leaves after each read, and at the end or the refusal; whether the answer is refused."""
    codec, made, sent = (
        wire.codec.stream(keep_usage=True),
        judge(wire, scanner, gates=gates, restores=False, pii="redact"),
        list[bytes](),
    )
    try:
        for part in parts:
            sent.append(b"".join(event for chunk in codec.feed(part) for event in made.feed(chunk, codec)))
        sent.append(b"".join(made.close(codec)))
    except Refusal as refusal:
        return [*sent, codec.refuse(refusal, "id", "blocked")], True
    return sent, False


def values(sent: list[bytes]) -> list[object]:
    """The lines of events, with their JSON read: a frame keeps blanks that an edited event loses."""
    lines = b"".join(sent).splitlines()
    return [orjson.loads(line[6:]) if line.startswith(b"data: ") else line for line in lines]


@pytest.mark.parametrize("wire", [Responses(), Gemini(), Messages()], ids=lambda wire: wire.name)
@settings(max_examples=examples(60, 1000), deadline=None)
@given(data=st.data())
def test_the_same_as_one_by_one(wire: Wire, scanner: StreamScanner, data: st.DataObject) -> None:
    text = "".join(data.draw(st.lists(_SAID, min_size=1, max_size=12)))
    pieces = in_pieces(text, data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    whole = b"".join(wire.events(pieces))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    parts = [whole[low:high] for low, high in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    gates = data.draw(st.booleans())
    lots, refused = left(wire, scanner, parts, gates=gates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runs, "takes", lambda *_: False)
        assert (lots, refused) == left(wire, scanner, parts, gates=gates)
        for frame in (DeltaFrame, Frame):
            patch.setattr(frame, "learn", classmethod(lambda *_, **__: None))
        alone, refused_alone = left(wire, scanner, parts, gates=gates)
        assert refused == refused_alone
        # Before a refusal, events of the same read may have left one by one, but not as a lot.
        assert refused or values(lots) == values(alone)
