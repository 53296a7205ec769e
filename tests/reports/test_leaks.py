"""Ways past the filter by the shape of JSON: a value in pieces, a repeated text, depth."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
import upstream as scripted
from budgets import examples
from gateway.config.sections import Output
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.placeholders import LIKE, PLACEHOLDER, SPELLINGS, WRITTEN
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.output.screen import AnswerFilter, Screen
from line import Line, config, running

CARD, MAIL = "4539 1488 0343 6467", "bob@example.net"
PLANTED = st.sampled_from([CARD, CARD.replace(" ", ""), MAIL, "DE89 3704 0044 0532 0130 00"])
NAMES = "content refusal annotations audio transcript x title text note tokens summary index extra thinking choices"
KEYS = st.sampled_from([*NAMES.split(), "message", "delta", "detail", "file", "logprobs", "tool_calls"])


@pytest.fixture(scope="module")
def screen(pii: PiiScanner) -> Screen:
    """Redacts personal data and secrets."""
    scanner = StreamScanner(pii, SecretScanner(), {PLACEHOLDER: WRITTEN}, weak={LIKE: SPELLINGS})
    return Screen(Output.model_validate({"secrets": "redact", "tools": "any"}), scanner, lambda _: False)


def judge(screen: Screen) -> AnswerFilter:
    """The filter of one answer."""
    return screen.filter(calls.call())


def sent(screen: Screen, events: list[Any]) -> list[Any]:
    """The events of a stream that leave, as JSON."""
    codec, made = OPENAI_CHAT.stream(keep_usage=False), judge(screen)
    data = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events) + b"data: [DONE]\n\n"
    out = [part for chunk in codec.feed(data) for part in made.feed(chunk, codec)]
    out += made.close(codec)
    return [json.loads(one[6:]) for one in b"".join(out).decode().split("\n\n") if one.startswith("data: {")]


def cut(draw: st.DrawFn, text: str) -> list[str]:
    """A text in one piece or several."""
    marks = sorted({0, len(text), *draw(st.lists(st.integers(1, len(text) - 1), max_size=4))})
    return [text[low:high] for low, high in itertools.pairwise(marks)]


@st.composite
def shapes(draw: st.DrawFn, planted: str, depth: int = 0) -> Any:
    """JSON that holds a value somewhere, in pieces of one list, as a number, as a key, in JSON within a string."""
    way = draw(st.integers(0, 7 if depth < 3 else 2))
    if way == 0:
        return planted
    if way in (1, 2):
        pieces, key, form = cut(draw, planted), draw(KEYS), draw(st.integers(0, 3))
        if form == 0:
            return pieces
        return [[one] if form == 1 else {key: one} if form == 2 else {"o": {key: one}} for one in pieces]
    if way == 3:
        return {planted: draw(st.sampled_from([None, 1, "a"]))}
    if way == 4:
        digits = planted.replace(" ", "")
        return int(digits) if digits.isdecimal() else planted
    inner = draw(shapes(planted, depth + 1))
    if way == 5:
        return [draw(st.sampled_from(["a", 1, None, {"z": "b"}])), inner]
    return {draw(KEYS): draw(st.sampled_from(["a", 1, None])), draw(KEYS): inner}


def runs(value: Any) -> list[str]:
    """Each string, key and number, and the joined strings of each path."""
    singles: list[str] = []
    together: dict[str, list[str]] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict):
            for key, inner in node.items():
                singles.append(key)
                walk(inner, f"{path}.{key}")
        elif isinstance(node, list):
            for inner in node:
                walk(inner, f"{path}[]")
        elif isinstance(node, str | int | float):
            singles.append(str(node))
            together.setdefault(path, []).append(str(node))

    walk(value, "")
    return [*singles, *("".join(texts) for texts in together.values())]


def holds(value: Any, planted: str) -> bool:
    """Whether a reader finds the value."""
    bare = planted.replace(" ", "")
    return any(bare in text.replace(" ", "") for text in runs(value))


@settings(max_examples=examples(100, nightly=3000))
@given(st.data(), PLANTED, st.sampled_from(["message", "choice", "top", "content", "arguments", "JSON arguments"]))
def test_a_value_in_any_shape_does_not_leave(screen: Screen, data: st.DataObject, planted: str, where: str) -> None:
    """Whole and streamed, in any place of the answer."""
    said = data.draw(shapes(planted))
    message: dict[str, Any] = {"content": "hi"}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "stop"}
    answer: dict[str, Any] = {"id": "c", "choices": [choice]}
    if where in ("message", "content"):
        message["content" if where == "content" else data.draw(KEYS)] = said
    elif where == "choice":
        choice["x_field"] = said
    elif where == "top":
        answer["x_field"] = said
    else:
        function = {"name": "f", "arguments": json.dumps({"q": said}) if where == "JSON arguments" else {"q": said}}
        message["tool_calls"] = [{"id": "call_a", "type": "function", "function": function}]
    whole = json.loads(json.dumps(answer))
    with contextlib.suppress(Refusal):
        judge(screen).whole(whole)
        assert not holds(whole, planted)
    top = {key: value for key, value in answer.items() if key != "choices"}
    beside = {key: value for key, value in choice.items() if key != "message"}
    deltas: list[Any] = []
    for key, value in message.items():
        deltas += [{key: [one]} for one in value] if isinstance(value, list) and value else [{key: value}]
    events = [{**top, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    with contextlib.suppress(Refusal, ValueError):
        assert not holds(sent(screen, [*events, {**top, "choices": [{**beside, "delta": {}}]}]), planted)


def test_objects_in_place_of_tool_calls_are_read_together(screen: Screen) -> None:
    """A list of `tool_calls` whose objects have no function: its strings are one text, whole and streamed."""
    pieces: list[Any] = [{"content": "4"}, {"content": "539 1488 0343 6467"}]
    whole: dict[str, Any] = {
        "id": "c",
        "choices": [{"index": 0, "message": {"content": "hi", "tool_calls": pieces}, "finish_reason": "stop"}],
    }
    events = [
        {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [one]}}]} for one in json.loads(json.dumps(pieces))
    ]
    with contextlib.suppress(Refusal):
        judge(screen).whole(whole)
        assert not holds(whole, "4539 1488 0343 6467")
    with contextlib.suppress(Refusal, ValueError):
        assert not holds(sent(screen, events), "4539 1488 0343 6467")


def tokens(*texts: str, others: tuple[str, ...] = ()) -> dict[str, Any]:
    """Log probabilities of tokens, with alternatives at each."""
    ranked = list(zip(texts, others or texts, strict=True))
    said = [{"token": one, "logprob": -1, "bytes": list(one.encode())} for one in texts]
    told = [[{"token": other, "logprob": -2, "bytes": list(other.encode())}] for _, other in ranked]
    return {"content": [{**one, "top_logprobs": other} for one, other in zip(said, told, strict=True)]}


LOGPROBS: dict[str, dict[str, Any]] = {
    "of a text that was changed": {"logprobs": tokens("mail ", "bob@", "example.net")},
    "of another text": {"logprobs": tokens("bob@", "example.net"), "text": "hi"},
    "alternatives": {"logprobs": tokens("a", "b", "c", others=("bob@", "example", ".net")), "text": "abc"},
    "a logprob": {"logprobs": {"content": [{"token": "hi", "logprob": MAIL}]}, "text": "hi"},
    "another field": {"logprobs": {MAIL: None}, "text": "hi"},
    "in the message": {"message": {"logprobs": tokens("bob@", "example.net")}, "text": "hi"},
    "in a part": {"message": {"content": [{"type": "text", "text": "hi", "logprobs": tokens("bob@", "example.net")}]}},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", LOGPROBS)
def test_log_probabilities_tell_nothing(screen: Screen, name: str, stream: bool) -> None:
    """Neither tokens, bytes nor alternative tokens contain the value."""
    one = LOGPROBS[name]
    said = {"content": one.get("text", f"mail {MAIL}"), **one.get("message", {})}
    beside = {"logprobs": one["logprobs"]} if "logprobs" in one else {}
    if stream:
        whole: Any = sent(screen, [{"id": "c", "choices": [{"index": 0, "delta": said, **beside}]}])
    else:
        whole = json.loads(json.dumps({"id": "c", "choices": [{"index": 0, "message": said, **beside}]}))
        judge(screen).whole(whole)
    text = json.dumps(whole)
    assert "bob@" not in text
    assert str(list(b"bob@"))[1:-1] not in text


def test_log_probabilities_of_a_clean_text_stay(screen: Screen) -> None:
    """They are unchanged."""
    told = tokens("4", others=("5",))
    answer = {"id": "c", "choices": [{"index": 0, "message": {"content": "4"}, "logprobs": told}]}
    assert not judge(screen).whole(answer)
    assert answer["choices"][0]["logprobs"] == told  # type: ignore[index]


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("leaks")
    with running(folder, config(folder, up.url)) as running_line:
        yield running_line


def nested(levels: int, kind: str) -> Any:
    """A value so deep."""
    value: Any = "x"
    for _ in range(levels):
        value = [value] if kind == "list" else {"a": value}
    return value


@pytest.mark.parametrize("levels", [150, 260, 400, 600])
@pytest.mark.parametrize("kind", ["list", "object"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_deep_answers_are_errors_and_no_faults(
    line: Line, up: scripted.Upstream, levels: int, kind: str, stream: bool, asked: bool
) -> None:
    """No traceback, and the next call is served; `asked`: the request asks for a stream."""
    up.script["deep"] = (
        [scripted.chunk({"content": "a"}), scripted.chunk({"x": nested(levels, kind)}), b"data: [DONE]\n\n"]
        if stream
        else {**scripted.whole({"model": "m", "messages": [{"content": "a"}]}), "x": nested(levels, kind)}
    )
    faults = line.metric("meshgate_stage_failures_total")
    answer = line.chat("deep", "script", stream=asked)
    if levels < 190:
        assert answer.status_code == 200
        assert "upstream_error" not in answer.text
    elif answer.status_code != 200:
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    else:
        assert asked
        assert "upstream_error" in answer.text
    assert line.metric("meshgate_stage_failures_total") == faults
    assert line.chat("hi").status_code == 200


def test_deep_arguments_are_blocked(line: Line, up: scripted.Upstream) -> None:
    """Deep JSON in a string is not an error of the caller."""
    function = {"name": "send", "arguments": json.dumps(nested(700, "list"))}
    call = {"id": "c", "type": "function", "function": function}
    up.script["args"] = scripted.whole({"model": "m", "messages": [{"content": "a"}]})
    up.script["args"]["choices"][0]["message"] = {"role": "assistant", "tool_calls": [call]}  # type: ignore[call-overload]
    answer = line.chat("args", "script", tools=[{"type": "function", "function": {"name": "send"}}])
    assert answer.json()["error"]["code"] == "output_blocked"


@pytest.mark.parametrize("key", ["index", "type"])
@pytest.mark.parametrize("where", ["message", "content", "choice", "top", "arguments"])
@pytest.mark.parametrize("marks", [(1, 7), (2, 4, 11), (4, 9, 14), (1, 2, 3)])
def test_a_value_split_over_indexes(screen: Screen, where: str, marks: tuple[int, ...], key: str) -> None:
    """Pieces under `index` or `type`, some of them decimal, are one text; they are no positions of other texts."""
    pieces = [CARD[low:high] for low, high in itertools.pairwise((0, *marks, len(CARD)))]
    said = [{key: piece} for piece in pieces]
    message: dict[str, Any] = {"content": "hi"}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "stop"}
    answer: dict[str, Any] = {"id": "c", "choices": [choice]}
    function = {"name": "f", "arguments": {"q": said}}
    calls_ = [{"id": "call_a", "type": "function", "function": function}]
    place: dict[str, dict[str, Any]] = {"message": message, "choice": choice, "top": answer}
    name = {"arguments": "tool_calls", "content": "content"}.get(where, "x_field")
    place.get(where, message)[name] = calls_ if where == "arguments" else said
    whole = json.loads(json.dumps(answer))
    with contextlib.suppress(Refusal):
        judge(screen).whole(whole)
        assert not holds(whole, CARD)
    beside = {key: value for key, value in choice.items() if key != "message"}
    top = {key: value for key, value in answer.items() if key != "choices"}
    if where == "arguments":
        events = [{**top, "choices": [{**beside, "delta": message}]}]
    elif where in ("message", "content"):
        events = [{"choices": [{"index": 0, "delta": {name: [one]}}]} for one in said]
    else:
        events = [{"choices": [{"index": 0, "delta": {}, "x_field": [one]}]} for one in said]
    with contextlib.suppress(Refusal, ValueError):
        assert not holds(sent(screen, events), CARD)
