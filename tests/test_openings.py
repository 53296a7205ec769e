"""Openings of conversations: where messages end, what is remembered, for how long, and for whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
from budgets import examples
from gateway.call import Call, Subject
from gateway.config.grammar import Server
from gateway.dialects import Codec, cuts
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.gemini import GEMINI, GEMINI_STREAMING
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.dialects.routes import ROUTES
from gateway.ingress.request import understand
from gateway.ingress.resume import resume, summed
from gateway.redaction import openings, trimmed
from gateway.redaction.edits import NO_EDIT
from gateway.redaction.openings import Opening, Openings, Passage, Reading
from gateway.texts import Slot

Json = dict[str, Any]
TEXT = "a text of some length, " * 20
CODECS = (OPENAI_CHAT, ANTHROPIC_MESSAGES, OPENAI_RESPONSES, GEMINI)
HISTORIES = sorted({codec.history for codec in CODECS})
each = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)

said = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from('ab"\\{}[]:,\u00e4'), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*HISTORIES, "a", '"', "]"]), inner),
    max_leaves=6,
)
bodies = st.fixed_dictionaries(
    {"": st.lists(st.dictionaries(st.text('ab"\\{', max_size=3), said, max_size=3), min_size=1, max_size=5)},
    optional={"model": st.sampled_from([*HISTORIES, "m"]), "tools": said, "a": said},
)


@settings(max_examples=examples(200, 4000))
@given(
    history=st.sampled_from(HISTORIES),
    body=bodies,
    indent=st.sampled_from([None, 1]),
    order=st.randoms(use_true_random=False),
)
def test_ends_of_messages(history: str, body: Json, indent: int | None, order: Any) -> None:
    """From each end of a message on, the rest of the messages, and the bracket after them."""
    fields = [(key or history, value) for key, value in body.items()]
    order.shuffle(fields)
    body = dict(fields)
    raw = json.dumps(body, indent=indent).encode()
    found = cuts.ends(raw, history)
    assert found is not None
    assert raw[found.close : found.close + 1] == b"]"
    assert len(found.messages) == len(body[history])
    for number, end in enumerate(found.messages):
        part = b"[0" + raw[end : found.close] + b"]"
        assert orjson.loads(part)[1:] == body[history][number + 1 :]
        assert cuts.ends(raw, history, end) == (found.messages[number + 1 :], found.close, 0)
    assert orjson.loads(b"[" + raw[found.begin : found.close] + b"]") == body[history]


@given(one=st.binary(max_size=4000), other=st.binary(max_size=4000), cut=st.integers(0, 4000))
def test_common_beginning(one: bytes, other: bytes, cut: int) -> None:
    """The number of equal bytes, from a known number of them on."""
    other = one[:cut] + other
    size = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    assert cuts.common(one, other) == cuts.common(one, other, size // 2) == size


uses = st.sampled_from(["c1", "c2", ""])
chats = st.lists(
    st.one_of(
        st.just({"role": "user", "content": "hi"}),
        st.lists(uses, max_size=3).map(
            lambda ids: {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": id, "name": "send", "input": {"n": 1}} for id in ids],
                "tool_calls": [{"id": id, "type": "function", "function": {"name": "send"}} for id in ids],
            }
        ),
        uses.map(
            lambda id: {
                "role": "tool",
                "tool_call_id": id,
                "content": [{"type": "tool_result", "tool_use_id": id, "content": "done"}],
            }
        ),
        uses.map(lambda id: {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "x"}]}),
    ),
    max_size=8,
)


items = st.lists(
    st.one_of(
        st.just({"role": "user", "content": "hi"}),
        st.just({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}),
        st.just({"type": "reasoning", "summary": []}),
        uses.map(lambda id: {"type": "function_call", "call_id": id, "name": "send", "arguments": '{"n": 1}'}),
        uses.map(lambda id: {"type": "function_call", "role": "user", "call_id": id, "name": "send"}),
        uses.map(lambda id: {"type": "function_call_output", "call_id": id, "output": "done"}),
    ),
    max_size=8,
)
contents = st.lists(
    st.one_of(
        st.just({"role": "user", "parts": [{"text": "hi"}]}),
        st.lists(uses, max_size=3).map(
            lambda ids: {"role": "model", "parts": [{"functionCall": {"id": id, "name": "send"}} for id in ids]}
        ),
        uses.map(
            lambda id: {
                "role": "user",
                "parts": [{"functionResponse": {"id": id, "name": "send", "response": {"output": "x"}}}],
            }
        ),
    ),
    max_size=8,
)
HISTORY: Mapping[Codec, st.SearchStrategy[list[Json]]] = {
    OPENAI_CHAT: chats,
    ANTHROPIC_MESSAGES: chats,
    OPENAI_RESPONSES: items,
    GEMINI: contents,
}


@each
@given(data=st.data())
def test_what_composes(codec: Codec, data: st.DataObject) -> None:
    """The steps and the counts of a conversation, of its beginning and then of its rest."""
    messages = data.draw(HISTORY[codec])
    for cut in range(1, len(messages)):
        if not codec.ends_turn(messages[cut - 1], messages[cut]):
            continue
        parts = [{codec.history: messages[:cut]}, {codec.history: messages[cut:]}]
        first = codec.steps(parts[0])
        assert first + codec.steps(parts[1], first) == codec.steps({codec.history: messages})
        counts = [codec.items(part) for part in parts]
        assert summed(*counts) == codec.items({codec.history: messages})


def test_the_list_that_grows() -> None:
    """A codec names the list whose messages are counted when a body is walked, or none."""
    for codec in ROUTES.values():
        assert not codec.history or codec.shape.turns == {codec.history}
    assert {codec.history for codec in ROUTES.values()} == {"", *HISTORIES}


def said_by(codec: Codec, role: str, text: str) -> Json:
    """One message of a dialect."""
    if codec.history == "contents":
        return {"role": {"assistant": "model"}.get(role, role), "parts": [{"text": text}]}
    return {"role": role, "content": text}


def made(
    messages: list[str],
    *,
    team: str = "red",
    workflow: str = "w",
    tail: str = "",
    codec: Codec = OPENAI_CHAT,
    values: Mapping[str, str] = MappingProxyType({}),
    role: str = "user",
) -> Call:
    """A call whose body was read."""
    body = {"model": "m", codec.history: [said_by(codec, role, text) for text in messages], "user": tail}
    call = calls.call(
        raw=orjson.dumps(body), body=body, subject=Subject("alice", team), correlation_id=workflow, codec=codec
    )
    call.values = values
    return call


def read(memory: Openings, call: Call) -> Opening | None:
    """Take a call through the memory; what was known of it."""
    known = memory.find(call) or trimmed.follow(memory, call)
    start = known.opening.number if known is not None else 0
    learned = memory.learn(call, known, call.request.body[call.codec.history][start:])
    opening = known.opening if known is not None else None
    if learned is not None:
        number, close, begin, ends, conversation = learned
        conversation = known.conversation if known else conversation
        body = call.request.body
        slots = [Slot(one, "content", str(one), "user", None) for one in body[call.codec.history]]
        first, empty = Passage(slots[start:number]), Passage(())
        call.request.reading = Reading(
            *(opening, conversation, number, 0, ends[-1], close, first, empty, empty),
            asked={**body, call.codec.history: []},
            edit=NO_EDIT,
            begin=begin,
            ends=ends,
            starts=range(start, number),
        )
    memory.keep(call)
    return opening


@each
def test_an_opening_is_learned_from_the_second_call(codec: Codec) -> None:
    """A conversation that grows, and a history with other last messages."""
    memory = Openings()
    texts = [f"{number} {TEXT}" for number in range(20)]
    known = [read(memory, made(texts[:size], codec=codec)) for size in range(8, 14)]
    assert [len(one.body[codec.history]) if one else 0 for one in known] == [0, 0, 8, 9, 10, 11]
    again = [read(memory, made([*texts[:10], f"{number}"], codec=codec)) for number in range(3)]
    assert [one.number for one in again if one] == [10, 10, 10]


def test_shorter_openings_share_the_bytes_of_the_longest() -> None:
    """A conversation with several openings has its messages once as received and once as they leave."""
    memory = Openings()
    texts = [f"{number} {TEXT}" for number in range(20)]
    for size in range(8, 14):
        read(memory, made(texts[:size]))
    (held,) = [one for kept in memory._teams.values() for several in kept.values() for one in several]
    assert [one.number for one in held.openings] == [12, 11, 10]
    assert {(id(one.raw), id(one.sent)) for one in held.openings} == {
        (id(held.openings[0].raw), id(held.openings[0].sent))
    }
    for one in held.openings:
        assert orjson.loads(b"[" + one.written + b"]") == one.body["messages"]


def test_an_opening_ends_with_a_turn() -> None:
    """Items of the model that follow each other are one turn: an opening ends with the last of them."""
    memory, texts = Openings(), [f"{number} {TEXT}" for number in range(20)]
    for size in (8, 9, 10):
        assert read(memory, made(texts[:size], codec=OPENAI_RESPONSES, role="assistant")) is None
    said = [said_by(OPENAI_RESPONSES, "assistant", text) for text in texts[:8]]
    for number in range(3):
        call = made([], codec=OPENAI_RESPONSES)
        body = {**call.request.body, "input": [*said, said_by(OPENAI_RESPONSES, "user", f"{number}")]}
        call.request.body, call.request.raw = body, orjson.dumps(body)
        known = read(memory, call)
    assert known is not None
    assert known.number == 8
    for role, alone in (("user", True), ("assistant", False)):  # the other item would belong to the known turn
        body = {**call.request.body, "input": [*said, *(said_by(OPENAI_RESPONSES, role, it) for it in texts[8:10])]}
        call = made([], codec=OPENAI_RESPONSES)
        call.request.body, call.request.raw = body, orjson.dumps(body)
        found = memory.find(call)
        assert found is not None
        assert (resume(call, Server(), memory, found) is not None) == alone


def test_the_path_counts_as_the_body_does() -> None:
    """An opening is used for the model and the dialect of the path; never if the path writes into the body."""
    memory, texts = Openings(), [f"{number} {TEXT}" for number in range(20)]
    path = {"model": "gemini", "version": "v1beta"}
    for size in (8, 9, 10):
        read(memory, made(texts[:size], codec=GEMINI, values=path))
    assert memory.find(made(texts[:11], codec=GEMINI, values=path)) is not None
    assert memory.find(made(texts[:11], codec=GEMINI, values={**path, "model": "other"})) is None
    assert memory.find(made(texts[:11], codec=GEMINI_STREAMING, values=path)) is None
    for size in (8, 9, 10):
        assert read(memory, made(texts[:size], values={"deployment": "m"})) is None


@pytest.mark.parametrize("head", [0, 1, 2])
@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_history_of_bounded_size(head: int, step: int) -> None:
    """The first messages stay, the oldest of the others go: what is left of an opening is known."""
    memory = Openings()
    texts = [f"{number} {TEXT}" for number in range(80)]
    first = [f"head {number} {TEXT}" for number in range(head)]
    for turn in range(10):
        call = made([*first, *texts[turn * step : turn * step + 20]])
        opening = read(memory, call)
        assert (opening is not None) is (turn > 1)
        if opening is None:
            continue
        left = opening.number
        assert left == len(opening.body["messages"]) == head + 20 - 2 * step
        said = [said_by(OPENAI_CHAT, "user", text) for text in [*first, *texts[turn * step :]][:left]]
        assert [slot.text for slot in opening.before.slots] == list(map(str, said))
        assert opening.body["messages"] == call.request.body["messages"][:left]
        assert orjson.loads(b"[" + opening.written + b"]") == opening.body["messages"]
        assert opening.raw[: opening.end] == call.request.raw[: opening.end]
        assert cuts.ends(call.request.raw, "messages").messages[:left] == list(opening.ends)  # type: ignore[union-attr]
        held = [one for kept in memory._teams.values() for several in kept.values() for one in several]
        assert len(held) == 1
        assert memory._size == held[0].weight


def test_other_histories_are_not_what_is_left() -> None:
    """Dropped messages with another text after them, in another order, or with other bytes between."""
    memory = Openings()
    texts = [f"{number} {TEXT}" for number in range(20)]
    for size in (12, 13):
        read(memory, made(texts[:size]))
    last = ["and this"]
    assert trimmed.follow(memory, made([*texts[:3], "x", *texts[6:12], *last])) is None
    assert trimmed.follow(memory, made([*texts[:3], *texts[6:11], *last])) is None
    assert trimmed.follow(memory, made([*texts[:3], *reversed(texts[6:12]), *last])) is None
    assert trimmed.follow(memory, made([*texts[:3], *texts[6:12]])) is None  # nothing new
    call = made([*texts[:3], *texts[6:12], *last])
    call.request.raw = call.request.raw.replace(b'},{"role":"user","content":"6 ', b'} {"role":"user","content":"6 ')
    assert trimmed.follow(memory, call) is None
    assert trimmed.follow(memory, made([*texts[:3], *texts[6:12], *last], team="blue")) is None
    assert trimmed.follow(memory, made([*texts[:3], *texts[6:12], *last])) is not None


def test_other_teams_workflows_and_fields_know_nothing() -> None:
    """An opening is used for one workflow of one team, and for a body with the same fields."""
    memory = Openings()
    texts = [f"{number} {TEXT}" for number in range(20)]
    for size in (8, 9, 10):
        read(memory, made(texts[:size]))
    assert memory.find(made(texts[:11])) is not None
    assert memory.find(made(texts[:11], team="blue")) is None
    assert memory.find(made(texts[:11], workflow="v")) is None
    assert memory.find(made(texts[:11], tail="x")) is None
    assert memory.find(made(["other", *texts[1:11]])) is None


@settings(max_examples=examples(30, 400))
@given(st.lists(st.tuples(st.sampled_from(["red", "blue"]), st.integers(0, 30), st.integers(1, 30)), max_size=60))
def test_the_memory_is_bounded(turns: list[tuple[str, int, int]]) -> None:
    """However many conversations there are, they take at most the size of the memory."""
    memory = Openings(200_000)
    for team, workflow, size in turns:
        call = made([f"{workflow} {number} {TEXT}" for number in range(size)], team=team, workflow=f"{workflow}")
        read(memory, call)
        held = [one for kept in memory._teams.values() for several in kept.values() for one in several]
        assert memory._size == sum(one.weight for one in held) <= 200_000
        assert memory._sizes.keys() == memory._teams.keys()


def test_a_team_with_much_takes_nothing_from_others() -> None:
    """The oldest conversation of the team that has most is forgotten first."""
    memory = Openings(400_000)
    texts = [f"{number} {TEXT}" for number in range(20)]
    for size in (8, 9):
        read(memory, made(texts[:size], team="blue"))
    for workflow in range(200):
        for size in (8, 9):
            read(memory, made([f"{workflow}", *texts[:size]], workflow=f"{workflow}"))
    assert memory.find(made(texts[:10], team="blue")) is not None


def test_short_bodies_and_repeated_calls_are_read_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short body, and a body with an Idempotency-Key."""
    memory = Openings()
    for _ in range(3):
        assert read(memory, made(["a", "b"])) is None
    monkeypatch.setattr(openings, "LEAST", 1)
    for number in range(3):
        call = made(["a" * 100, f"{number}"])
        call.headers = [(b"idempotency-key", b"k")]
        assert read(memory, call) is None


def test_bodies_that_continue_a_stored_state_are_read_in_full() -> None:
    """What a stored state says is not in the body, so equal bytes are no equal conversation."""
    memory, texts = Openings(), [f"{number} {TEXT}" for number in range(20)]
    for fields, read_in_full in (({}, False), ({"previous_response_id": "resp_1"}, True)):
        for size in (8, 9, 10):
            call = made(texts[:size], codec=OPENAI_RESPONSES)
            call.request.raw = orjson.dumps({**call.request.body, **fields})
            understand(call, Server(), memory, memory.find(call))
            known = openings.of(call)
            assert (known is None) is (read_in_full or size == 8)
            if known is not None:
                known.edit = NO_EDIT
            memory.keep(call)
