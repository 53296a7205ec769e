"""The event reader: any cut of the same bytes gives the same events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.sse import MAX_EVENT, SSE, Reader, encode

CASES = {
    "one event": (b"data: a\n\n", [(b"", b"a")]),
    "two data lines join": (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
    "no space after the colon": (b"data:a\n\n", [(b"", b"a")]),
    "named": (b"event: x\ndata: a\n\n", [(b"x", b"a")]),
    "comment": (b": ping\n\ndata: a\n\n", [(b"", None), (b"", b"a")]),
    "CR LF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
    "CR alone": (b"data: a\r\rdata: b\r\rx", [(b"", b"a"), (b"", b"b")]),
    "unknown field": (b"id: 7\nretry: 1\ndata: a\n\n", [(b"", b"a")]),
    "data without value": (b"data\n\n", [(b"", b"")]),
}


def read(pieces: list[bytes]) -> list[SSE]:
    """All events of the pieces, fed one after the other."""
    reader = Reader()
    return [event for piece in pieces for event in reader.feed(piece)]


@pytest.mark.parametrize("name", CASES)
def test_each_form_whole_byte_by_byte_and_with_more_behind(name: str) -> None:
    """Every form of an event is read the same way, in any pieces."""
    raw, expected = CASES[name]
    whole = [(event.event, event.data) for event in read([raw])]
    assert whole == expected
    single = [raw[i : i + 1] for i in range(len(raw))]
    assert [(event.event, event.data) for event in read(single)] == expected
    more = read([raw, b"data: more\n\n"])
    assert [(event.event, event.data) for event in more][: len(expected)] == expected


@given(st.data())
def test_any_cut_gives_the_same_events(data: st.DataObject) -> None:
    """The events do not depend on where the network cut the bytes."""
    lines = st.sampled_from([b"data: x", b"data: {}", b"event: e", b": c", b"", b"\xc3\xa9"])
    end = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    raw = b"".join(line + end for line in data.draw(st.lists(lines, max_size=20))) + end + b"data: end\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert [(e.event, e.data) for e in read(pieces)] == [(e.event, e.data) for e in read([raw])]


def test_the_bytes_of_events_are_kept() -> None:
    """An event without edits leaves unchanged."""
    raw = b": ping\n\nevent: a\ndata: 1\ndata: 2\n\ndata: [DONE]\n\n"
    assert b"".join(event.raw for event in read([raw])) == raw


def test_an_endless_event_is_refused() -> None:
    """An upstream cannot make the gateway keep an event without end."""
    reader = Reader()
    reader.feed(b"x" * MAX_EVENT)
    with pytest.raises(ValueError, match="more than"):
        reader.feed(b"x")


def test_encode_is_read_back() -> None:
    """Written events can be read again."""
    assert read([encode(b"{}", b"e")]) == [SSE(b"event: e\ndata: {}\n\n", b"e", b"{}")]


@pytest.mark.parametrize(
    "line", [b"data: " + b"x" * 20_000, b"data: x\n" * 2_000, b"data: x\r\n" * 2_000, b": x\r" * 4_000]
)
def test_a_long_event_in_small_reads_is_put_together_once(line: bytes) -> None:
    """An incomplete event is not copied with every read, with any line ends."""
    reader, copied, found = Reader(), 0, 0
    data = line + b"\r\n\r\n"
    for at in range(0, len(data), 16):
        read, place = reader.take(data[at : at + 16]), 0
        copied += len(read)
        while place < len(read):
            event, place = reader.next(read, place)
            found += event is not None
    assert found == 1
    assert copied <= 2 * len(data)
