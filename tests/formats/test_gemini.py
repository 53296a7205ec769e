"""Features of Gemini's dialect alone; the contract of all codecs is in `test_codec_contract.py`."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.screens import CARD, JSON, SECRET, in_pieces, judge, scanner_of, streamed
from formats.wires import Gemini, datas
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects import tree
from gateway.dialects.gemini import GEMINI, GEMINI_COUNT, GEMINI_STREAMING
from gateway.dialects.sse import encode
from gateway.errors import Refusal
from gateway.ingress.arrays import Array

WIRE = Gemini()
SEAL = "CiQB0e2Kb3x7Yc0mZq_-" * 5


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    """Finds everything that answers are searched for."""
    return scanner_of(pii)


def slots(body: dict[str, Any]) -> list[Any]:
    """The texts of a request."""
    return tree.parse(orjson.dumps(body), WIRE.codec.shape, 100)[1].slots


@settings(max_examples=40, deadline=None)
@given(places=st.lists(st.integers(0, 200), max_size=20), sealed=st.booleans())
def test_thoughts_and_signatures_keep_their_bytes(scanner: StreamScanner, places: list[int], sealed: bool) -> None:
    """They are judged and never edited, whole and streamed; the text beside a signature is restored."""
    thought = "The user <EMAIL_1> wants [phone 2], so I write to them."
    marks: dict[str, Any] = {"thoughtSignature": SEAL} if sealed else {}
    parts: list[dict[str, Any]] = [{"text": thought, "thought": True, **marks}, {"text": "To <EMAIL_1>.", **marks}]
    answer = WIRE.answer(*parts)
    judge(WIRE, scanner).whole(answer)
    said = answer["candidates"][0]["content"]["parts"]
    assert said == [parts[0], {"text": "To ann@example.org.", **marks}]
    events = [WIRE.event({"text": piece, "thought": True}) for piece in in_pieces(thought, places)]
    events += [WIRE.event({"text": "", "thought": True, **marks}), WIRE.event({"text": "To <EMA"})]
    events += [WIRE.event({"text": "IL_1>.", **marks}, reason="STOP")]
    sent = streamed(WIRE, judge(WIRE, scanner), events)
    assert sent.startswith(b"".join(events[:-2]))
    assert WIRE.listen(sent).text == "To ann@example.org."
    assert sent.count(SEAL.encode()) == 2 * sealed


@pytest.mark.parametrize("value", [CARD, SECRET, "bob@example.net"])
def test_what_is_in_a_thought_or_a_signature_and_may_not_leave(scanner: StreamScanner, value: str) -> None:
    """The value cannot be removed, so the answer is blocked before any part of the value has left."""
    half = len(value) // 2
    for part in ({"text": f"it is {value}", "thought": True}, {"text": "a", "thoughtSignature": f"it is {value}"}):
        with pytest.raises(Refusal, match="signed"):
            judge(WIRE, scanner).whole(WIRE.answer(part))
        with pytest.raises(Refusal, match="signed"):
            streamed(WIRE, judge(WIRE, scanner), [WIRE.event(part, reason="STOP")])
    pieces = [WIRE.event({"text": it, "thought": True}) for it in ("it is ", value[:half], value[half:], " so")]
    with pytest.raises(Refusal, match="signed"):
        streamed(WIRE, judge(WIRE, scanner), [*pieces, WIRE.event({"text": ""}, reason="STOP")])


def test_a_call_that_is_called_a_thought_is_a_call(scanner: StreamScanner) -> None:
    """Its arguments are judged as those of any other, because clients run it."""
    part = WIRE.call('{"q": "drop table users"}', thought=True)
    with pytest.raises(Refusal) as caught:
        judge(WIRE, scanner, gates=True).whole(WIRE.answer(part))
    assert caught.value.code == "sql_blocked"
    with pytest.raises(Refusal) as caught:
        streamed(WIRE, judge(WIRE, scanner, gates=True), [WIRE.event(part, reason="STOP")])
    assert caught.value.code == "sql_blocked"
    part = WIRE.call('{"to": "<EMAIL_1>"}', thought=True)
    sent = streamed(WIRE, judge(WIRE, scanner), [WIRE.event(part, reason="STOP")])
    assert WIRE.listen(sent).tools == [("send", {"to": "ann@example.org"})]


PLACES: list[dict[str, Any]] = [
    {"executableCode": {"language": "PYTHON", "code": f"a = '{CARD}'"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": CARD}},
    {"functionResponse": {"name": "send", "response": {"a": [CARD]}}},
    {"functionCall": {"name": "send", "args": {"a": {"b": [CARD]}}}},
    {"fileData": {"fileUri": f"https://e.example/{CARD}", "mimeType": "text/plain"}},
    {"inlineData": {"mimeType": "image/png", "data": "aGVsbG8=", "displayName": CARD}},
    {"x_new": CARD},
    {"x_new": {"a": [{"b": CARD}]}},
    {"text": "a", "videoMetadata": {"a": CARD}},
    {CARD: {"a": 1}},
]


@pytest.mark.parametrize("part", PLACES, ids=range(len(PLACES)))
def test_parts_of_every_kind_are_judged(scanner: StreamScanner, part: dict[str, Any]) -> None:
    """Whole and streamed, and all else stays."""
    tools: list[Any] = [{"codeExecution": {}}, {"functionDeclarations": [{"name": "send"}]}]
    answer = json.loads(json.dumps(WIRE.answer(part)))
    made: dict[str, Any] = {"tools": tools, "unscannable": "allow"}
    judge(WIRE, scanner, **made).whole(answer)
    sent = streamed(WIRE, judge(WIRE, scanner, **made), [WIRE.event(part, reason="STOP")])
    assert b"0343" not in sent
    assert "0343" not in json.dumps(answer)
    assert datas(sent)[0]["candidates"][0]["content"] == answer["candidates"][0]["content"]


def test_what_stands_beside_the_parts_is_judged(scanner: StreamScanner) -> None:
    """Grounding, citations, feedback, messages; log probabilities are removed."""
    answer = WIRE.answer({"text": "fine"}, promptFeedback={"blockReasonMessage": CARD})
    answer["candidates"][0] |= {
        "finishMessage": CARD,
        "groundingMetadata": {"webSearchQueries": [CARD], "groundingChunks": [{"web": {"title": CARD}}]},
        "citationMetadata": {"citations": [{"title": CARD, "uri": f"https://e.example/?a={CARD}"}]},
        "logprobsResult": {"chosenCandidates": [{"token": "4539"}, {"token": "0343"}]},
    }
    event = encode(json.dumps(answer).encode())
    sent = streamed(WIRE, judge(WIRE, scanner), [event])
    judge(WIRE, scanner).whole(answer)
    assert b"0343" not in sent
    assert "0343" not in json.dumps(answer)
    assert datas(sent) == [answer]


def test_a_value_over_candidates_and_parts(scanner: StreamScanner) -> None:
    """Clients join the texts of a candidate, not those of two."""
    parts = [{"text": "it is 4539 1488 "}, WIRE.call("{}"), {"text": "0343 6467."}]
    answer = WIRE.answer(*parts)
    judge(WIRE, scanner).whole(answer)
    sent = streamed(WIRE, judge(WIRE, scanner), [*map(WIRE.event, parts), WIRE.event({"text": ""}, reason="STOP")])
    assert WIRE.hear(answer).text == WIRE.listen(sent).text == "it is <CREDIT_CARD>."


def test_line_ends_and_layout_stay(scanner: StreamScanner) -> None:
    """Events with the line ends that Google writes; of an edited event, all but the strings."""
    events = [WIRE.event({"text": "fine. "}).replace(b"\n\n", b"\r\n\r\n") for _ in range(3)]
    events.append(WIRE.event({"text": ""}, reason="STOP").replace(b"\n\n", b"\r\n\r\n"))
    assert streamed(WIRE, judge(WIRE, scanner), events) == b"".join(events)
    odd = b'data: {"candidates":[{"content":{"parts":[{"text":"<EMAIL_1>"}]},  "finishReason":"STOP"}], "x":1.50}\n\n'
    assert streamed(WIRE, judge(WIRE, scanner), [odd]) == odd.replace(b"<EMAIL_1>", b"ann@example.org")


def test_a_character_cut_in_two(scanner: StreamScanner) -> None:
    """Halves in two events are joined."""
    pieces = [WIRE.event({"text": "X"}).replace(b"X", half) for half in (b"a\\ud83d", b"\\ude00b")]
    sent = streamed(WIRE, judge(WIRE, scanner), [*pieces, WIRE.event({"text": ""}, reason="STOP")])
    assert WIRE.listen(sent).text == "a\U0001f600b"


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ({"functionCall": {"name": "send", "partialArgs": [{"stringValue": "a"}]}}, Refusal),
        ({"functionCall": {"name": "send", "willContinue": True}}, Refusal),
        ({"functionCall": "send"}, ValueError),
        ({"functionCall": {"name": "send"}, "text": "a"}, ValueError),
    ],
)
def test_calls_that_are_not_whole(scanner: StreamScanner, part: dict[str, Any], fault: type[Exception]) -> None:
    """Are refused."""
    with pytest.raises(fault):
        streamed(WIRE, judge(WIRE, scanner), [WIRE.event(part, reason="STOP")])


@settings(max_examples=60, deadline=None)
@given(said=st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=3), max_size=6), data=st.data())
def test_an_array_has_the_events(said: list[dict[str, Any]], data: st.DataObject) -> None:
    """Whatever they are and however they are cut; comments leave no trace but blanks."""
    raw = b": wait\n\n".join([b"", *(encode(json.dumps(one).encode()) for one in said)])
    cuts = sorted({0, len(raw), *data.draw(st.lists(st.integers(0, len(raw)), max_size=8))})
    array = Array()
    out = b"".join([array.feed(raw[low:high]) for low, high in pairwise(cuts)]) + array.end()
    assert json.loads(out) == said


def test_authors() -> None:
    """Of parts, whatever the name of the field; a message without a role is the user's."""
    body = {
        "system_instruction": {"parts": {"text": "s"}},
        "contents": [
            {"parts": [{"text": "u"}, {"functionResponse": {"name": "n", "response": {"a": "t1"}}}]},
            {"role": "model", "parts": [{"text": "m"}, {"code_execution_result": {"output": "t2"}}]},
            {"role": "model", "parts": [{"text": "h", "thought": True}]},
        ],
    }
    found = {slot.text: (slot.role, type(slot).__name__) for slot in slots(body)}
    assert found["s"] == ("system", "Slot")
    assert found["u"] == ("user", "Slot")
    assert found["t1"] == found["t2"] == ("tool", "Slot")
    assert found["m"] == ("assistant", "Slot")
    assert found["h"] == ("assistant", "Signed")


TOOLS: list[tuple[dict[str, Any], set[str]]] = [
    (
        {"tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}], "google_search": {}}]},
        {"a", "b", "googleSearch"},
    ),
    ({"tools": {"function_declarations": {"name": "a"}}}, {"a"}),
    ({"tools": [{"mcpServers": [{"name": "m", "streamableHttpTransport": {"url": "https://e.example"}}]}]}, {"m"}),
    ({"tools": [{"urlContext": {}, "codeExecution": None}]}, {"urlContext"}),
    ({"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["c"]}}}, {"c"}),
    ({"web_search_options": {}}, {"web_search", "web_search_options"}),
]


@pytest.mark.parametrize(("fields", "names"), TOOLS)
def test_the_names_of_tools(fields: dict[str, Any], names: set[str]) -> None:
    """In every field; each may be stripped."""
    body = WIRE.request(("user", "hi"), **fields)
    assert set(WIRE.codec.tools(body)) == names
    assert WIRE.codec.strip_tools(body, frozenset(names))
    assert not WIRE.codec.tools(body)


def test_functions_of_computer_use() -> None:
    """The provider declares them: they are offered, and excluded to strip them."""
    body = WIRE.request(("user", "hi"), tools=[{"computerUse": {"excludedPredefinedFunctions": ["search"]}}])
    names = WIRE.codec.tools(body)
    assert "click_at" in names
    assert "search" not in names
    assert WIRE.codec.strip_tools(body, frozenset({"click_at"}))
    assert body["tools"] == [{"computerUse": {"excludedPredefinedFunctions": ["search", "click_at"]}}]
    assert "click_at" not in WIRE.codec.tools(body)


def test_paths() -> None:
    """Of the version that the caller uses; the name of a model is escaped."""
    values = {"version": "v1"}
    assert GEMINI.at("gemini-3", values) == "/v1/models/gemini-3:generateContent"
    assert GEMINI_STREAMING.at("tunedModels/a", values) == "/v1/tunedModels/a:streamGenerateContent?alt=sse"
    assert GEMINI_COUNT.at("a?b", values) == "/v1/models/a%3Fb:countTokens"


def test_usage_has_its_parts() -> None:
    """Results of tools are input, thoughts are output; a missing count is 0."""
    told = {"promptTokenCount": 5, "toolUsePromptTokenCount": 2, "thoughtsTokenCount": 3, "cachedContentTokenCount": 1}
    usage = WIRE.codec.usage({"usageMetadata": told})
    assert usage is not None
    assert (usage.input, usage.output, usage.reasoning, usage.cached) == (7, 3, 3, 1)
