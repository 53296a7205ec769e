"""Translation between dialects, with values alone: each dialect to and from the neutral model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dialect_page
import strict
import upstream
from gateway.call import Usage
from gateway.errors import Refusal
from gateway.translate import seals, translation, words
from gateway.translate.model import (
    Answer,
    Argues,
    Begun,
    Calls,
    Choice,
    Counted,
    Ended,
    Event,
    Form,
    Media,
    Request,
    Said,
    Text,
    Thinking,
    Thinks,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    joined,
)
from gateway.translate.translation import CALLERS, TARGETS, Dialect
from gateway.translate.words import Context, Notes, Target
from reference import DIALECTS as PAGE

DIALECTS = list({dialect.title: dialect for dialect in CALLERS.values()}.values())
SIDES = {side.dialect.title: side for side in TARGETS.values()}
FORMATS = list(TARGETS)
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "gemini": "/v1beta/models/m:generateContent"}
ORIGIN = words.origin("p", "m")
CONTEXT = Context("0f" * 16, 1_700_000_000, ORIGIN)
SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"], "additionalProperties": False}

KEYS = sorted(
    words.names(
        "messages contents parts role content type text input output tools tool_choice function name arguments id "
        "tool_calls call_id summary generationConfig thinkingConfig systemInstruction functionCall functionResponse "
        "response args response_format json_schema schema format reasoning thinking output_config metadata choices "
        "message delta candidates finishReason finish_reason usage content_block index stop_reason image_url source"
    )
)

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
names = st.sampled_from(["send", "read_file", "x"])
ids = st.sampled_from(["call_1", "toolu_01Ab", "c-2"])
arguments = st.dictionaries(names, texts | st.integers(-(2**40), 2**40) | st.booleans(), max_size=3).map(words.dumped)
usages = st.builds(Usage, st.integers(0, 999), st.integers(0, 999))


def title(dialect: Dialect) -> str:
    """The name of a test's parameter."""
    return dialect.title


def notes(format: str = "openai") -> Notes:
    return Notes(format, {})


def target(format: str, **fields: Any) -> Target:
    return Target(format, "m", 1000, ORIGIN, **fields)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Turns in which each call of a tool has a result, and each text is one part."""
    turns: list[Turn] = [Turn("user", (Text(draw(texts)), Media("image/png", "aGk=")))]
    for turn in range(draw(st.integers(0, 2))):
        calls = [ToolUse(f"call_{turn}{at}", draw(names), draw(arguments)) for at in range(draw(st.integers(0, 3)))]
        turns.append(Turn("assistant", (Text(draw(texts)), *calls)))
        results = [ToolResult(call.id, call.name, (Text(draw(texts)),)) for call in calls]
        turns.append(Turn("user", (*results, Text(draw(texts)))))
    return tuple(turns)


tools = st.lists(names, max_size=2, unique=True).map(lambda some: tuple([Tool(name, "", SCHEMA) for name in some]))
requests = st.tuples(
    conversations(),
    st.just("") | texts,
    tools,
    st.none(),
    st.none(),
    st.integers(1, 10**6),
    st.lists(texts, max_size=2).map(tuple),
    st.none() | st.just(Form(SCHEMA)),
    st.none(),
    st.none() | st.sampled_from([0.0, 0.5, 1.0]),
).map(lambda values: Request(*values))
uses = st.tuples(ids, names, arguments).map(lambda values: ToolUse(*values))
others = st.tuples(st.just("call_9"), names, arguments).map(lambda values: ToolUse(*values))
spoken = texts.map(Text)
calling = st.tuples(texts, texts, st.tuples(spoken, uses, others), st.just("tools"), usages)
saying = st.tuples(texts, texts, st.tuples(spoken), st.sampled_from(["end", "length", "refusal"]), usages)
answers = (calling | saying).map(lambda values: Answer(*values))


def plain(request: Request) -> Request:
    """A request without what only one of two dialects says: the name of a form."""
    form = request.form._replace(name="", strict=None) if request.form else None
    return request._replace(form=form)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40)
@given(requests)
def test_requests_come_back(format: str, request: Request) -> None:
    """Neutral, to a dialect, to neutral: the same, for what each dialect can express. No strict provider refuses it."""
    side, said = TARGETS[format], notes(format)
    body = json.loads(json_of(side.write_request(request, target(format), said)))
    assert said.dropped == []
    assert refused(format, body) == ""
    again = side.dialect.read_request(body, notes())
    assert plain(again) == plain(request)


def json_of(body: Any) -> bytes:
    import orjson

    return orjson.dumps(body)


def refused(format: str, body: dict[str, Any]) -> str:
    """Why a strict provider refuses a request."""
    return strict.reason(upstream.Seen({}, b"", body, PATHS[format], "m"))


@pytest.mark.parametrize("dialect", DIALECTS, ids=title)
@settings(max_examples=40)
@given(answers)
def test_answers_come_back(dialect: Dialect, answer: Answer) -> None:
    """The same for whole answers, where the dialect is that of a target too."""
    written = json.loads(json_of(dialect.write_answer(answer, CONTEXT)))
    if side := SIDES.get(dialect.title):
        assert side.read_answer(written, CONTEXT) == answer


def events_of(answer: Answer, cut: int) -> list[Event]:
    """The stream with the content of an answer, in pieces."""
    found: list[Event] = [Begun(answer.id, answer.model)]
    for part in answer.parts:
        if isinstance(part, Text):
            found += [Said(part.text[at : at + cut]) for at in range(0, len(part.text), cut)]
        elif isinstance(part, Thought):
            found.append(Thinks(*part))
        else:
            found.append(Calls(part.id, part.name, part.signature, part.origin))
            found += [Argues(part.arguments[at : at + cut]) for at in range(0, len(part.arguments), cut)]
    if answer.usage is not None:
        found.append(Counted(answer.usage))
    return [*found, Ended(answer.stop, answer.sequence)]


CODECS = {CALLERS[name].title: name for name in CALLERS}


@pytest.mark.parametrize("caller", DIALECTS, ids=title)
@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40)
@given(answers, st.integers(1, 9), st.data())
def test_streams_say_what_whole_answers_say(
    caller: Dialect, format: str, answer: Answer, cut: int, data: st.DataObject
) -> None:
    """A target's stream, in any cut of its bytes, has the same parts, end and usage for the caller as the whole."""
    side = TARGETS[format]
    raw = b"".join(side.dialect.writer(CONTEXT).write(iter(events_of(answer, cut))))
    codec = next(codec for codec in codecs() if CALLERS[codec.name] is caller)
    stream = translation.Stream(codec, format, CONTEXT)
    said, at = b"", 0
    ends = data.draw(st.lists(st.integers(0, len(raw)), max_size=6).map(sorted))
    for end in [*ends, len(raw)]:
        said += stream.feed(raw[at:end])
        at = end
    said += stream.close() if not stream.ended else b""
    assert stream.usage == answer.usage
    assembled = codec.assemble(said)
    if back := SIDES.get(caller.title):
        assert back.read_answer(json.loads(assembled), CONTEXT) == answer
    whole, usage = translation.whole(codec, format, side.whole.assemble(raw), CONTEXT)
    assert usage == answer.usage
    assert comparable(assembled) == comparable(whole)


def comparable(raw: bytes) -> Any:
    """An answer without what a stream says in another form."""

    def of(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: of(one)
                for key, one in value.items()
                if one not in (None, [], "") and key not in ("object", "index", "id", "item_id")
            }
        return [of(one) for one in value] if isinstance(value, list) else value

    return of(json.loads(raw))


def codecs() -> Sequence[Any]:
    """A codec for streams of each dialect."""
    from gateway.dialects.routes import ROUTES

    return [codec for codec in dict.fromkeys(ROUTES.values()) if codec.name in CALLERS and codec.name != "gemini"]


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40)
@given(answers, st.data())
def test_a_broken_stream_has_no_end(format: str, answer: Answer, data: st.DataObject) -> None:
    """A stream that breaks off before its end is never ended for the caller."""
    parts = list(TARGETS[format].dialect.writer(CONTEXT).write(iter(events_of(answer, 4))))
    stop = len(parts) - (3 if format == "openai" else 2)
    raw = b"".join(parts[: data.draw(st.integers(0, max(0, stop)))])
    for codec in codecs():
        stream = translation.Stream(codec, format, CONTEXT)
        stream.feed(raw)
        with pytest.raises(ValueError, match="broke off"):
            stream.close()


# Signed state


SIGNED = (Thought("so", "c2ln", ORIGIN), ToolUse("call_1", "send", "{}", "Y2FsbA==", ORIGIN))


@pytest.mark.parametrize("dialect", [d for d in DIALECTS if d.title != "Chat completions"], ids=title)
def test_signatures_come_back_to_their_target_alone(dialect: Dialect) -> None:
    """A caller keeps the signatures of a target; they return to that target, and to no other."""
    kept = returned(dialect, Answer("x", "m", SIGNED, "tools"))
    assert kept == SIGNED
    request = Request(
        (
            Turn("user", (Text("a"),)),
            Turn("assistant", kept),
            Turn("user", (ToolResult("call_1", "send", (Text("b"),)),)),
        )
    )
    said = notes("gemini")
    body = TARGETS["gemini"].write_request(request, target("gemini"), said)
    assert [part.get("thoughtSignature") for part in body["contents"][1]["parts"]] == ["c2ln", "Y2FsbA=="]
    assert said.dropped == []
    for format in FORMATS:
        said = notes(format)
        other = Target(format, "m", 1000, words.origin("other", "m"))
        body = TARGETS[format].write_request(request, other, said)
        assert b"c2ln" not in json_of(body)
        assert b"Y2FsbA" not in json_of(body)
        assert said.dropped == ["thought", "signature"]
        assert refused(format, json.loads(json_of(body))) == ""


def returned(dialect: Dialect, answer: Answer) -> tuple[Any, ...]:
    """The parts of an answer as they come back in the next request of a caller."""
    written = json.loads(json_of(dialect.write_answer(answer, CONTEXT)))
    if dialect.title == "Messages":
        body: Any = {"messages": [{"role": "assistant", "content": written["content"]}], "max_tokens": 9}
    elif dialect.title == "Gemini":
        body = {"contents": [written["candidates"][0]["content"]]}
    elif dialect.title == "Responses":
        body = {"input": written["output"]}
    else:
        body = {"messages": [written["choices"][0]["message"]]}
    return dialect.read_request(body, notes()).turns[0].parts


@pytest.mark.parametrize("dialect", DIALECTS, ids=title)
def test_the_callers_own_format_never_gets_them(dialect: Dialect) -> None:
    """The same history, sent to a provider of the caller's format: without them, and otherwise as it came."""
    written = dialect.write_answer(Answer("x", "m", (*SIGNED, ToolUse("call_2", "send", "{}")), "tools"), CONTEXT)
    body, names = seals.without(json_of({"history": written, "text": "mg1.t.said"}))
    assert names
    assert seals.may_hold(json_of(written))
    assert ORIGIN.encode() not in body
    assert json.loads(body)["text"] == "mg1.t.said"
    assert b"call_1" in body
    assert b"call_2" in body
    plain = json_of({"content": "mg1. a", "type": "thinking", "signature": "EqQBCg"})
    assert seals.without(plain) == (plain, [])


def test_chat_keeps_the_signature_of_a_call() -> None:
    """At the place that Gemini's own OpenAI-compatible API has; a thought comes back as text alone."""
    kept = returned(CALLERS["openai_chat"], Answer("x", "m", SIGNED, "tools"))
    assert kept == (Thought("so"), SIGNED[1])


def test_joined_is_the_whole() -> None:
    """Events of a stream and the whole answer are one model."""
    answer = Answer("x", "m", (Thought("a", "s", "o"), Text("b"), ToolUse("c", "d", "{}")), "tools", Usage(1, 2))
    assert joined(events_of(answer, 2)) == answer
    with pytest.raises(ValueError, match="broke off"):
        joined([Begun("x", "m")])


# What a target cannot express

_HI = [{"role": "user", "content": "hi"}]
_HI_G = [{"role": "user", "parts": [{"text": "hi"}]}]
REFUSALS: list[tuple[str, str, dict[str, Any], str]] = [
    ("openai_chat", "anthropic", {"messages": _HI, "n": 2}, "n"),
    ("openai_chat", "gemini", {"messages": _HI, "logprobs": True}, "logprobs"),
    ("openai_chat", "anthropic", {"messages": _HI, "modalities": ["text", "audio"]}, "modalities"),
    ("openai_chat", "anthropic", {"messages": _HI, "web_search_options": {}}, "web_search_options"),
    (
        "openai_chat",
        "anthropic",
        {"messages": _HI, "tools": [{"type": "custom", "custom": {"name": "a"}}]},
        "tools[].type",
    ),
    ("openai_chat", "anthropic", {"messages": _HI, "response_format": {"type": "json_object"}}, "response_format"),
    (
        "openai_chat",
        "gemini",
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        "messages[].content[].file.file_id",
    ),
    (
        "openai_chat",
        "anthropic",
        {
            "messages": [
                {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]}
            ]
        },
        "messages[].content[]",
    ),
    ("anthropic_messages", "openai", {"messages": _HI, "max_tokens": 0}, "max_tokens"),
    ("anthropic_messages", "openai", {"messages": _HI, "max_tokens": 9, "mcp_servers": [{}]}, "mcp_servers"),
    ("anthropic_messages", "gemini", {"messages": _HI, "container": "c"}, "container"),
    (
        "anthropic_messages",
        "gemini",
        {"messages": _HI, "tools": [{"type": "bash_20250124", "name": "bash"}]},
        "tools[].type",
    ),
    (
        "anthropic_messages",
        "openai",
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
        "messages[].content[].source",
    ),
    (
        "gemini",
        "openai",
        {"contents": _HI_G, "generationConfig": {"candidateCount": 2}},
        "generationConfig.candidateCount",
    ),
    ("gemini", "anthropic", {"contents": _HI_G, "tools": [{"googleSearch": {}}]}, "tools[]"),
    (
        "gemini",
        "anthropic",
        {"contents": _HI_G, "generation_config": {"response_modalities": ["AUDIO"]}},
        "generationConfig.responseModalities",
    ),
    (
        "gemini",
        "openai",
        {
            "contents": [
                {"parts": [{"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}}]}
            ]
        },
        "contents[].parts[].fileData",
    ),
]


@pytest.mark.parametrize(("caller", "format", "body", "param"), REFUSALS)
def test_what_cannot_be_expressed_is_refused(caller: str, format: str, body: dict[str, Any], param: str) -> None:
    """Before the call, with the name of the field and the format of the target."""
    codec = next(codec for codec in all_codecs() if codec.name == caller)
    with pytest.raises(Refusal) as caught:
        translation.request(codec, body, False, target(format))
    assert caught.value.code == "invalid_request"
    assert caught.value.param == param
    assert f"format {format}" in caught.value.message


def all_codecs() -> Sequence[Any]:
    from gateway.dialects.routes import ROUTES

    return list(dict.fromkeys(ROUTES.values()))


DROPS: list[tuple[str, str, dict[str, Any], list[str]]] = [
    (
        "openai_chat",
        "anthropic",
        {"messages": _HI, "seed": 1, "logit_bias": {}, "frequency_penalty": 1},
        ["logit_bias", "seed", "frequency_penalty"],
    ),
    ("openai_chat", "anthropic", {"messages": _HI, "temperature": 1.5, "top_p": 0.5}, ["temperature", "top_p"]),
    ("openai_chat", "anthropic", {"messages": _HI, "reasoning_effort": "low", "temperature": 0.5}, ["temperature"]),
    ("openai_chat", "gemini", {"messages": _HI, "seed": 1, "user": "u", "x_new": 1}, ["x_new", "user"]),
    ("openai_chat", "gemini", {"messages": _HI, "store": False, "service_tier": "auto"}, []),
    ("anthropic_messages", "openai", {"messages": _HI, "max_tokens": 9, "top_k": 5}, ["top_k"]),
    (
        "anthropic_messages",
        "openai",
        {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}],
            "max_tokens": 9,
        },
        ["cache_control"],
    ),
    (
        "gemini",
        "openai",
        {"contents": _HI_G, "safetySettings": [{}], "generationConfig": {"topK": 4}},
        ["safetySettings", "generationConfig.topK"],
    ),
]


@pytest.mark.parametrize(("caller", "format", "body", "dropped"), DROPS)
def test_what_only_tunes_is_dropped_and_named(
    caller: str, format: str, body: dict[str, Any], dropped: list[str]
) -> None:
    """By the name that the caller knows. A strict provider takes the rest."""
    codec = next(codec for codec in all_codecs() if codec.name == caller)
    written, found = translation.request(codec, body, False, target(format))
    assert found == dropped
    assert refused(format, json.loads(json_of(written))) == ""


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("choice", [Choice("auto"), Choice("none"), Choice("any"), Choice("any", ("send",))])
def test_choices_of_tools(format: str, choice: Choice) -> None:
    """Each form, with calls in parallel forbidden where the format has that."""
    request = Request((Turn("user", (Text("a"),)),), tools=(Tool("send", "", SCHEMA),), choice=choice, most=9)
    side = TARGETS[format]
    body = json.loads(json_of(side.write_request(request, target(format), notes(format))))
    assert refused(format, body) == ""
    assert side.dialect.read_request(body, notes()).choice == choice


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "thinking", [Thinking("none"), Thinking("low"), Thinking("high"), Thinking("", 5000), Thinking("", -1)]
)
def test_thinking(format: str, thinking: Thinking) -> None:
    """Efforts and budgets in the form of each format, also in the middle of calls of tools."""
    request = Request((Turn("user", (Text("a"),)),), thinking=thinking, most=9000, temperature=0.5)
    history = (
        *request.turns,
        Turn("assistant", (ToolUse("call_1", "send", "{}"),)),
        Turn("user", (ToolResult("call_1", "send", (Text("b"),)),)),
    )
    for one in (request, request._replace(turns=history, tools=(Tool("send", "", SCHEMA),), choice=Choice("any"))):
        body = json.loads(json_of(TARGETS[format].write_request(one, target(format), notes(format))))
        assert refused(format, body) == ""


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "user", "function", "text", "auto"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150)
@given(st.sampled_from(sorted(CALLERS)), st.sampled_from(FORMATS), st.dictionaries(st.sampled_from(KEYS), values))
def test_any_request_is_translated_or_refused(caller: str, format: str, body: dict[str, Any]) -> None:
    """Whatever the types of the fields are."""
    codec = next(codec for codec in all_codecs() if codec.name == caller)
    with contextlib.suppress(Refusal):
        json_of(translation.request(codec, body, False, target(format))[0])


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60)
@given(st.sampled_from(sorted(CALLERS)), st.dictionaries(st.sampled_from(KEYS), values))
def test_any_answer_is_translated_or_a_fault(format: str, caller: str, answer: dict[str, Any]) -> None:
    """Whole, and as the event of a stream."""
    codec = next(codec for codec in all_codecs() if codec.name == caller)
    with contextlib.suppress(*translation.FAULTS):
        translation.whole(codec, format, json_of(answer), CONTEXT)
    stream = translation.Stream(codec, format, CONTEXT)
    with contextlib.suppress(*translation.FAULTS):
        stream.feed(b"data: %b\n\n" % json_of(answer))
        stream.close()


@pytest.mark.parametrize("format", FORMATS)
def test_histories_that_callers_write(format: str) -> None:
    """Results before texts, several system prompts, messages of one side in a row, empty texts, odd ids."""
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "https://e.example/a.png"}}]},
        {"role": "developer", "content": "and kind"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "call with spaces " * 4, "type": "function", "function": {"name": "send", "arguments": ""}},
            {"id": "c2", "type": "function", "function": {"name": "send", "arguments": '{"to": "x"}'}},
        ]},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "tool", "tool_call_id": "call with spaces " * 4, "content": [{"type": "text", "text": "one"}]},
        {"role": "user", "content": "go on"},
    ]  # fmt: skip
    codec = next(codec for codec in all_codecs() if codec.name == "openai_chat")
    body, dropped = translation.request(codec, {"messages": messages}, False, target(format))
    assert dropped == []
    assert refused(format, json.loads(json_of(body))) == ""
    assert b"be brief\\n\\nand kind" in json_of(body)


def test_the_page_is_what_the_translation_does() -> None:
    """`make reference` writes docs/dialects.md."""
    assert PAGE.read_text("utf-8") == dialect_page.page(), "docs/dialects.md: run `make reference`"


DISORDERED: dict[str, tuple[str, list[bytes]]] = {
    "arguments after a text": ("openai", [
        b'{"id":"x","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"send","arguments":"{}"}}]}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"more"}}]}',
        b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"more"}}]}}]}',
    ]),
    "arguments without a call": ("anthropic", [
        b'{"type":"message_start","message":{"id":"x","model":"m"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}',
    ]),
    "two beginnings": ("anthropic", [b'{"type":"message_start","message":{"id":"x","model":"m"}}'] * 2),
    "an end alone": ("anthropic", [
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}',
        b'{"type":"message_stop"}',
    ]),
}  # fmt: skip


def callers() -> list[Any]:
    """The codecs of dialects that are translated."""
    return [codec for codec in all_codecs() if codec.name in CALLERS]


def fed(stream: translation.Stream, events: list[bytes]) -> bytes:
    """What a stream says to events."""
    return b"".join([stream.feed(b"data: %b\n\n" % event) for event in events])


@pytest.mark.parametrize("codec", callers(), ids=lambda codec: codec.name)
@pytest.mark.parametrize("case", DISORDERED)
def test_events_out_of_their_order_are_a_fault(codec: Any, case: str) -> None:
    """For every caller; else a writer would make an answer of them that the provider did not write."""
    format, events = DISORDERED[case]
    stream = translation.Stream(codec, format, CONTEXT)
    with pytest.raises(ValueError, match=r"begin|arguments"):
        fed(stream, events)


def test_arguments_at_the_beginning_of_a_block() -> None:
    """Are those of the call, also if the block has no end."""
    call = {"type": "tool_use", "id": "c", "name": "send", "input": {"to": "you"}}
    events = [
        {"type": "message_start", "message": {"id": "x", "model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": call},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ]
    for codec in callers():
        said = fed(translation.Stream(codec, "anthropic", CONTEXT), [json_of(event) for event in events])
        assert b"you" in said, codec.name
