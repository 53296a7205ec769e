"""Frames: events that are read without parsing give the values of the parser, for any cut of the bytes."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import Chunk
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.anthropic_stream import AnthropicStream
from gateway.dialects.frame import Frame
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_stream import OpenAIChatStream
from gateway.dialects.sse import SSE

PIECES = st.one_of(
    st.sampled_from(
        ["", "word", " a b", "é", "漢字", "😀", 'a"b', "back\\slash", "line\nend", '","x":"', "\x7f", "\u2028"]
    ),
    st.text(max_size=8),
)


def event(piece: str, spaced: bool = False, index: int = 0, **more: Any) -> bytes:
    body = {"id": "c1", "choices": [{"index": index, "delta": {"content": piece}, "finish_reason": None}], **more}
    data = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass") if spaced else orjson.dumps(body)
    return b"data: " + data + b"\n\n"


def end() -> bytes:
    return (
        event("", usage={"prompt_tokens": 1, "completion_tokens": 2}).replace(b"null}", b'"stop"}', 1)
        + b"data: [DONE]\n\n"
    )


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """A stream as servers send it, with the odd event that is not like the others, cut anywhere."""
    spaced = draw(st.booleans())
    events = []
    for piece in draw(st.lists(PIECES.filter(lambda text: text.isascii() or not _surrogate(text)), max_size=12)):
        kind = draw(st.integers(0, 9))
        if kind == 0:
            events.append(b": ping\n\n")
        elif kind == 1:
            events.append(event(piece, spaced, index=1))
        elif kind == 2:
            events.append(event(piece, spaced, obfuscation="xyz"))
        elif kind == 3:
            events.append(event(piece, spaced).replace(b"\n", b"\r\n"))
        else:
            events.append(event(piece, spaced))
    data = b"".join([*events, end()])
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[low:high] for low, high in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _surrogate(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def told(pieces: list[bytes]) -> tuple[dict[Any, str], bytes, Any, dict[int, bool]]:
    """The result of reading a stream: texts, bytes to send, usage, open choices."""
    codec = OpenAIChatStream(keep_usage=True)
    texts: dict[Any, str] = {}
    sent, usage = b"", None
    for data in pieces:
        for chunk in codec.feed(data):
            for channel, holder, key in chunk.texts:
                texts[channel] = texts.get(channel, "") + holder[key]
            sent += codec.encode(chunk)
            usage = chunk.usage or usage
    codec.close()
    return texts, sent, usage, codec.open


@given(streams())
def test_runs_read_as_the_parser_reads(pieces: list[bytes]) -> None:
    quick = told(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Frame, "learn", classmethod(lambda *_, **__: None))
        slow = told(pieces)
    assert quick == slow
    assert quick[1] == b"".join(pieces)


@given(PIECES.filter(lambda text: not _surrogate(text)), st.lists(st.integers(0, 5), max_size=5))
def test_an_edited_run_says_the_new_text_in_as_many_events_at_most(text: str, sizes: list[int]) -> None:
    frame = Frame.learn(event("word"), "word", (0, "content"))
    assert frame is not None
    made = [orjson.loads(one[6:]) for one in frame.encode(text, sizes).split(b"\n\n") if one]
    assert len(made) <= max(1, len(sizes))
    said = [one["choices"][0]["delta"].pop("content") for one in made]
    assert "".join(said) == text
    assert all(said)
    expected = orjson.loads(event("word")[6:])
    del expected["choices"][0]["delta"]["content"]
    assert all(one == expected for one in made)


@given(PIECES.filter(lambda text: not _surrogate(text)), st.lists(st.integers(1, 5), max_size=5))
def test_an_event_that_says_more_leaves_also_without_text(text: str, sizes: list[int]) -> None:
    """A field that the dialect does not know, and every event repeats, is in every event that leaves."""
    codec = OPENAI_CHAT.stream(keep_usage=True)
    list(codec.feed(event("word", x_step="reply") * 2))  # the second one repeats the field
    (run,) = codec.feed(b"".join(event("a" * size, x_step="reply") for size in sizes or [1]))
    run.texts[0].holder["content"], run.edited = text, True
    made = [orjson.loads(one[6:]) for one in codec.encode(run).split(b"\n\n") if one]
    assert [one["x_step"] for one in made] == ["reply"] * len(sizes or [1])
    assert "".join(one["choices"][0]["delta"]["content"] for one in made) == text


@given(
    st.lists(st.text("ab é漢", max_size=4), min_size=1, max_size=6),
    st.text('ab é漢"\\', max_size=4),
    st.integers(0, 8),
    st.booleans(),
)
def test_a_window_moves_text_and_events_between_keep_their_bytes(
    pieces: list[str], before: str, held: int, more: bool
) -> None:
    """The end of the previous text comes first, and the end of this text is held back."""
    codec = OPENAI_CHAT.stream(keep_usage=True)
    extra: dict[str, Any] = {"x_step": "reply"} if more else {}
    list(codec.feed(event("word", **extra) * 2))
    raw = b"".join(event(piece, **extra) for piece in pieces)
    (run,) = codec.feed(raw)
    said = "".join(pieces)
    text = before + said[: max(0, len(said) - held)]
    run.texts[0].holder["content"], run.edited = text, True
    sent = codec.encode(run)
    made = [orjson.loads(one[6:])["choices"][0]["delta"]["content"] for one in sent.split(b"\n\n") if one]
    assert "".join(made) == text
    assert len(made) <= max(1, len(pieces))
    if not before and not held and all(pieces):
        assert sent == raw


def test_many_events_of_one_read_are_one_chunk() -> None:
    codec = OPENAI_CHAT.stream(keep_usage=True)
    chunks = list(codec.feed(b"".join(event(f"w{number} ") for number in range(50))))
    assert chunks[0].raw == event("w0 ")
    assert len(chunks) == 2  # the first is parsed, the others follow its frame
    assert chunks[1].texts[0].holder["content"] == "".join(f"w{number} " for number in range(1, 50))


@pytest.mark.parametrize(
    "raw",
    [
        event("word", content="word"),
        event("word", x_step='wo"rd'),
        event("word").replace(b'"content":"word"', b'"content":  "word"'),
        event("word").rstrip(b"\n"),
    ],
)
def test_what_is_not_plain_has_no_frame(raw: bytes) -> None:
    text = orjson.loads(raw[6:])["choices"][0]["delta"]["content"]
    assert Frame.learn(raw, text, (0, "content")) is None


@pytest.mark.parametrize("before", ["word", "你", 'wo"rd', "\\"])
def test_events_with_escapes_of_one_read_are_one_chunk(before: str) -> None:
    """As servers write them that send ASCII only, and any piece of code."""
    codec = OPENAI_CHAT.stream(keep_usage=True)
    said = ["你好", 'a = "b"\n', "\tc\\", "plain", "\\n"]
    raw = b"".join(b"data: %b\n\n" % json.dumps(orjson.loads(event(one)[6:])).encode() for one in [before, *said])
    chunks = list(codec.feed(raw))
    assert [chunk.texts[0].holder["content"] for chunk in chunks] == [before, "".join(said)]
    assert b"".join(map(codec.encode, chunks)) == raw
    chunks[1].texts[0].holder["content"], chunks[1].edited = "".join(said)[1:], True
    made = [orjson.loads(one[6:]) for one in codec.encode(chunks[1]).split(b"\n\n") if one]
    assert "".join(one["choices"][0]["delta"]["content"] for one in made) == "".join(said)[1:]


@pytest.mark.parametrize("piece", [b'a","b', b'a"', b"a\\", b'\\"},"x":{"', b"\\ud83d", b"\\x41", b"a\x01", b"\\u0001"])
def test_what_is_no_string_or_no_text_is_left_to_the_parser(piece: bytes) -> None:
    frame = Frame.learn(event("word"), "word", (0, "content"))
    assert frame is not None
    made = event("word").replace(b"word", piece)
    assert frame.read(made, 0) is None
    read = frame.read(event('"') + made, 0)
    assert read is not None
    assert read[1] == len(event('"'))


def test_a_broken_character_is_an_error_not_a_repair() -> None:
    codec = OPENAI_CHAT.stream(keep_usage=True)
    list(codec.feed(event("word")))
    with pytest.raises(ValueError, match="not JSON"):
        list(codec.feed(event("word").replace(b"word", b"\xff")))


BLOCKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "text": ({"type": "text", "text": ""}, "text_delta", "text"),
    "thinking": ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking"),
    "tool": ({"type": "tool_use", "id": "t1", "name": "find", "input": {}}, "input_json_delta", "partial_json"),
}
"""How a block begins, and the type and key of its pieces."""


def message(pieces: list[str], kinds: list[int], block: str = "text") -> bytes:
    """A message as servers send it, with the odd event that is not like the others."""
    begins, delta, key = BLOCKS[block]
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "m1", "role": "assistant", "content": [], "model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": begins},
    ]
    index = 0
    for number, piece in enumerate(pieces):
        kind = kinds[number % len(kinds)]
        said: dict[str, Any] = {"type": "content_block_delta", "index": index}
        said["delta"] = {"type": delta, key: piece}
        if kind == 1:
            events.append({"type": "ping"})
        if kind == 2:
            said["x_note"] = "more"
        events.append(said)
        if kind == 3:
            events.append({"type": "content_block_stop", "index": index})
            index += 1
            events.append({"type": "content_block_start", "index": index, "content_block": begins})
    events += [
        {"type": "content_block_stop", "index": index},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    return b"".join(b"event: %s\ndata: %s\n\n" % (one["type"].encode(), orjson.dumps(one)) for one in events)


def read_message(pieces: list[bytes], edit: str) -> tuple[list[tuple[int, Any]], bytes]:
    """The pieces of text by block and the tool calls, and the bytes to send if `edit` is put before each piece."""
    codec = ANTHROPIC_MESSAGES.stream(keep_usage=True)
    said: list[tuple[int, Any]] = []
    sent = b""
    for data in pieces:
        for chunk in codec.feed(data):
            said += [(-1, tool) for tool in chunk.tools]
            for event in chunk.lot.split() if chunk.lot else chunk.events or (chunk,):
                for field in event.fields:
                    for piece in field.pieces:
                        said.append((field.text, piece.holder[piece.key]))
                        if edit:
                            piece.holder[piece.key] = edit + piece.holder[piece.key]
                            event.edited = True
                sent += codec.encode(event)
    codec.close()
    return said, sent


@given(
    st.lists(PIECES.filter(lambda text: not _surrogate(text)), max_size=12),
    st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 3]), min_size=1, max_size=6),
    st.lists(st.integers(0, 3000), max_size=8),
    st.sampled_from(["", "a", '"']),
    st.sampled_from(list(BLOCKS)),
)
def test_series_of_messages_read_as_the_parser_reads(
    pieces: list[str], kinds: list[int], places: list[int], edit: str, block: str
) -> None:
    """Each event of a series keeps its bytes, or says the edited text."""
    kinds = [kind for kind in kinds if block != "tool" or kind != 1] or [0]  # nothing comes between arguments
    data = message(pieces, kinds, block)
    cuts = sorted({place % (len(data) + 1) for place in places})
    parts = [data[low:high] for low, high in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    quick = read_message(parts, edit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Frame, "learn", classmethod(lambda *_, **__: None))
        slow = read_message(parts, edit)
    assert quick == slow
    assert edit or block == "tool" or quick[1] == data


def test_texts_of_one_read_are_one_series() -> None:
    codec = ANTHROPIC_MESSAGES.stream(keep_usage=True)
    chunks = list(codec.feed(message([f"w{number} " for number in range(50)], [0])))
    assert [len(chunk.lot) for chunk in chunks if chunk.lot] == [49]  # the first is parsed


@pytest.mark.parametrize("block", ["thinking", "tool"])
def test_the_pieces_of_every_block_are_read_without_the_parser(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = ANTHROPIC_MESSAGES.stream(keep_usage=True)
    parsed, parse = list[SSE](), AnthropicStream._chunk

    def counted(stream: AnthropicStream, event: SSE) -> Chunk | None:
        parsed.append(event)
        return parse(stream, event)

    monkeypatch.setattr(AnthropicStream, "_chunk", counted)
    list(codec.feed(message([f"w{number} " for number in range(50)], [0], block)))
    assert len(parsed) == 6  # start, block, the first piece, end of the block, reason, end


@pytest.mark.parametrize(
    "raw", [b'data: {"choices":[null]}', b'data: {"choices":[\ndata: null]}', b'data: {"choices":[\rdata: null]}']
)
def test_null_among_choices_says_nothing(raw: bytes) -> None:
    """Also where JSON stands in several lines of one event."""
    codec = OPENAI_CHAT.stream(keep_usage=True)
    (chunk,) = codec.feed(raw + b"\n\n")
    assert (chunk.data, chunk.edited) == ({"choices": []}, True)
