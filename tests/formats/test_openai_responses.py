"""The Responses dialect: items of every kind, repeats in streams, tools of the provider, sealed content."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import responding
from budgets import examples
from formats.screens import CARD, JSON, SECRET, in_pieces, judge, scanner_of, streamed
from formats.wires import Responses, datas
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects import openai_strays, positions, responses_answer, tree
from gateway.dialects.openai_responses import OPENAI_RESPONSES
from gateway.errors import Refusal
from gateway.exchange.whole import repeats
from gateway.output.screen import AnswerFilter
from gateway.texts import Signed

WIRE = Responses()
SEAL = responding.SEAL
CALLS = {
    "function_call": ("arguments", "function_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
    "mcp_call": ("arguments", "mcp_call_arguments"),
    "code_interpreter_call": ("code", "code_interpreter_call_code"),
}
TOOLS = [
    {"type": "function", "name": "send", "parameters": {}},
    {"type": "mcp", "server_label": "wiki", "server_url": "https://wiki.example/mcp", "allowed_tools": ["ask"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "web_search_preview_2025_03_11", "user_location": {"type": "approximate", "city": "Oslo"}},
    {"type": "computer_use_preview", "display_width": 8, "display_height": 8, "environment": "browser"},
    {"type": "image_generation"},
    {"type": "namespace", "name": "crm", "description": "d", "tools": [{"type": "function", "name": "find"}]},
]
NAMES = (
    *("send", "mcp", "wiki", "ask", "code_interpreter", "web_search_preview_2025_03_11", "computer_use_preview"),
    *("image_generation", "namespace", "crm", "find", "web_search", "computer"),
)


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    """Finds everything that answers are searched for."""
    return scanner_of(pii)


def request(*items: Any, **fields: Any) -> dict[str, Any]:
    """A request with these items."""
    return {"model": "m", "input": [*items], **fields}


def screen(scanner: StreamScanner) -> AnswerFilter:
    """The filter of an answer to a request that offers every tool."""
    return judge(WIRE, scanner, tools=copy.deepcopy(TOOLS))


def call_item(kind: str, arguments: str) -> dict[str, Any]:
    """A call, as the last event of its item has it."""
    item = {**WIRE.call(arguments, kind, CALLS[kind][0]), "id": "it_a"}
    more = {"mcp_call": {"server_label": "wiki", "output": None, "name": "ask"}}
    if kind == "code_interpreter_call":
        more[kind] = {"container_id": "cntr_1", "outputs": None}
        del item["name"], item["call_id"]
    return {**item, **more.get(kind, {})}


def call_events(kind: str, pieces: list[str], index: int = 0, **done: Any) -> list[bytes]:
    """The events of a call."""
    key, name = CALLS[kind]
    item = call_item(kind, "".join(pieces))
    place = {"output_index": index, "item_id": "it_a"}
    begun = {**item, key: "", "status": "in_progress"}
    return [
        WIRE.event("response.output_item.added", output_index=index, item=begun),
        *(WIRE.event(f"response.{name}.delta", **place, delta=piece, obfuscation="aB3dE") for piece in pieces),
        WIRE.event(f"response.{name}.done", **place, **{key: "".join(pieces)}),
        WIRE.event("response.output_item.done", output_index=index, item={**item, **done}),
    ]


@pytest.mark.parametrize("kind", CALLS)
@settings(max_examples=20, deadline=None)
@given(places=st.lists(st.integers(0, 300), max_size=20))
def test_calls_of_every_kind(scanner: StreamScanner, kind: str, places: list[int]) -> None:
    """Arguments are judged as a whole; all their repeats agree, and every event leaves with its number."""
    said = '{"to": "<EMAIL_1>", "note": "bob@example.net", "n": 2.50}'
    pieces = in_pieces(said, places)
    events = WIRE.stream(call_events(kind, pieces), call_item(kind, said))
    sent = streamed(WIRE, screen(scanner), events)
    WIRE.listen(sent)
    assert b"bob@" not in sent
    key = CALLS[kind][0]
    answer = WIRE.response(call_item(kind, said))
    screen(scanner).whole(answer)
    last = datas(sent)[-1]["response"]["output"][0]
    assert last == answer["output"][0]
    assert last[key] == said.replace("<EMAIL_1>", "ann@example.org").replace("bob@example.net", "<EMAIL>")


@pytest.mark.parametrize("kind", CALLS)
def test_a_call_without_events_of_its_arguments(scanner: StreamScanner, kind: str) -> None:
    """Some servers send the arguments with the item only."""
    said = '{"to": "<EMAIL_1>"}'
    events = call_events(kind, [said])
    for inner in ([events[0], events[-1]], [events[-1]], [events[0], *events[-2:]]):
        sent = streamed(WIRE, screen(scanner), WIRE.stream(inner, call_item(kind, said)))
        assert all("<EMAIL_1>" not in json.dumps(event) for event in datas(sent))
        assert sent.count(b"ann@example.org") >= 2


def test_a_call_whose_item_says_something_else(scanner: StreamScanner) -> None:
    """Each is judged, and a name that was not offered is refused wherever it is."""
    pieces = ['{"a": "', 'b"}']
    other = call_events("function_call", pieces, arguments=f'{{"a": "{CARD}"}}')
    sent = streamed(WIRE, screen(scanner), WIRE.stream(other, call_item("function_call", "{}")))
    assert b"0343" not in sent
    named = call_events("function_call", pieces, name="wipe")
    with pytest.raises(Refusal, match="did not offer"):
        streamed(WIRE, screen(scanner), WIRE.stream(named))
    last = call_item("function_call", "{}")
    with pytest.raises(Refusal, match="did not offer"):
        streamed(WIRE, screen(scanner), WIRE.stream([], {**last, "name": "wipe"}))


def test_no_part_of_a_call_leaves_before_its_arguments(scanner: StreamScanner) -> None:
    """Events that arrive in the meantime keep their place behind it."""
    codec, made = WIRE.codec.stream(keep_usage=True), screen(scanner)
    call, text = call_events("function_call", ['{"a": ', "1}"]), WIRE.text_events(["fine."], 1)
    inner = [*call[:2], *text[:3], call[2], *text[3:], *call[3:]]
    events = WIRE.stream(inner, call_item("function_call", '{"a": 1}'), WIRE.message("fine.", 1))
    sent = b""
    for number, raw in enumerate(events):
        sent += b"".join(part for chunk in codec.feed(raw) for part in made.feed(chunk, codec))
        if 2 <= number < 11:
            assert b"fine" not in sent
            assert b"output_item.added" not in sent
    assert sent == b"".join(events)
    assert WIRE.listen(sent).text == "fine."


HOSTED: dict[str, dict[str, Any]] = {
    "web_search_call": {"action": {"type": "search", "query": f"who has {CARD}", "sources": []}},
    "computer_call": {"call_id": "c", "action": {"type": "type", "text": f"it is {CARD}"}, "pending_safety_checks": []},
    "mcp_call": {"name": "ask", "server_label": "wiki", "arguments": "{}", "output": f"they say {CARD}"},
    "code_interpreter_call": {"code": "1", "container_id": "c", "outputs": [{"type": "logs", "logs": CARD}]},
    "mcp_list_tools": {"server_label": "wiki", "tools": [{"name": "ask", "description": CARD, "input_schema": {}}]},
    "message": {"role": "assistant", "content": [{"type": "refusal", "refusal": f"not {CARD}"}]},
    "reasoning": {"summary": [{"type": "summary_text", "text": f"they gave {CARD}"}]},
    "new_item": {"x": {"y": [CARD]}},
}


@pytest.mark.parametrize("kind", HOSTED)
def test_items_of_every_kind_are_judged(scanner: StreamScanner, kind: str) -> None:
    """Whole, and with any of their events."""
    item = {"id": "it_a", "type": kind, "status": "completed", **HOSTED[kind]}
    answer = WIRE.response(item)
    assert screen(scanner).whole(answer)
    assert "0343" not in json.dumps(answer)
    added = WIRE.event("response.output_item.added", output_index=0, item=item)
    done = WIRE.event("response.output_item.done", output_index=0, item=item)
    for inner in ([added, done], [done], [added], []):
        sent = streamed(WIRE, screen(scanner), WIRE.stream(inner, item))
        assert b"0343" not in sent
        assert datas(sent)[-1]["response"]["output"] == answer["output"]


@pytest.mark.parametrize(
    "kind", ["web_search_call", "computer_call", "image_generation_call", "shell_call", "new_call", "mcp_call"]
)
def test_a_hosted_tool_must_be_offered(scanner: StreamScanner, kind: str) -> None:
    """In whole answers and in streams, by type or by the label of the server."""
    offered = kind in ("web_search_call", "computer_call", "image_generation_call")
    item = {"id": "it_a", "type": kind, "status": "completed", "server_label": "other"}
    events = WIRE.stream([WIRE.event("response.output_item.added", output_index=0, item=item)], item)
    if offered:
        screen(scanner).whole(WIRE.response(item))
        streamed(WIRE, screen(scanner), events)
        return
    with pytest.raises(Refusal, match="did not offer"):
        screen(scanner).whole(WIRE.response(item))
    with pytest.raises(Refusal, match="did not offer"):
        streamed(WIRE, screen(scanner), events)


@settings(max_examples=30, deadline=None)
@given(places=st.lists(st.integers(0, 200), max_size=12), cuts=st.lists(st.integers(0, 6000), max_size=12))
def test_reasoning_is_restored_and_its_seal_is_kept(scanner: StreamScanner, places: list[int], cuts: list[int]) -> None:
    """A summary is text; encrypted content keeps its bytes, and so does what nobody edits."""
    text = "The user <EMAIL_1> wants [phone 2]."
    item = responding.reasoning(text)
    inner = responding.reasoning_events(item, in_pieces(text, places))
    data = b"".join(WIRE.stream(inner, item))
    marks = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    sent = streamed(WIRE, judge(WIRE, scanner), [data[low:high] for low, high in pairwise(marks)])
    WIRE.listen(sent)
    last = datas(sent)[-1]["response"]["output"][0]
    assert last["summary"][0]["text"] == 'The user ann@example.org wants say "hi" \\ 0.'
    assert last["encrypted_content"] == SEAL
    answer = WIRE.response(item)
    judge(WIRE, scanner).whole(answer)
    assert answer["output"][0] == last


@pytest.mark.parametrize("value", [CARD, SECRET, "bob@example.net"])
def test_what_may_not_leave_as_sealed_content(scanner: StreamScanner, value: str) -> None:
    """A value in the place of a seal cannot be removed, so the answer is stopped."""
    item = {**responding.reasoning("fine"), "encrypted_content": value}
    with pytest.raises(Refusal, match="signed"):
        judge(WIRE, scanner).whole(WIRE.response(item))
    added = WIRE.event("response.output_item.added", output_index=0, item=item)
    for inner in ([added], []):
        with pytest.raises(Refusal, match="signed"):
            streamed(WIRE, judge(WIRE, scanner), WIRE.stream(inner, item))


def test_text_parts_are_one_text(scanner: StreamScanner) -> None:
    """Clients join the texts of all messages: a card over two of them does not leave, and the repeats agree."""
    inner = [*WIRE.text_events(["it is 4539", " 1488 "], 0), *WIRE.text_events(["0343 ", "6467."], 1)]
    items = [WIRE.message("it is 4539 1488 ", 0), WIRE.message("0343 6467.", 1)]
    sent = streamed(WIRE, judge(WIRE, scanner), WIRE.stream(inner, *items))
    assert WIRE.listen(sent).text == "it is <CREDIT_CARD>."
    answer = WIRE.response(*copy.deepcopy(items))
    judge(WIRE, scanner).whole(answer)
    assert WIRE.hear(answer).text == "it is <CREDIT_CARD>."
    sent = streamed(WIRE, judge(WIRE, scanner), WIRE.stream([], *items))
    assert WIRE.hear(datas(sent)[-1]["response"]).text == "it is <CREDIT_CARD>."


def test_padding_hides_the_length_of_an_edited_piece(scanner: StreamScanner) -> None:
    """A piece with its padding is as long as before, or as long as a multiple of 16; other values are removed."""
    for text, obfuscation in (("<EMAIL_9> or bob@example.net", "Zz9"), ("<EMAIL_1>", "Zz9"), ("fine", "Zz9")):
        sent = streamed(WIRE, judge(WIRE, scanner), WIRE.stream(WIRE.text_events([text], obfuscation=obfuscation)))
        [delta] = [event for event in datas(sent) if event["type"].endswith(".delta")]
        size = len(delta["delta"]) + len(delta["obfuscation"])
        assert size in (len(text) + len(obfuscation), 16)
        assert delta["obfuscation"] == obfuscation or delta["delta"] != text
    sent = streamed(WIRE, judge(WIRE, scanner), WIRE.stream(WIRE.text_events(["a"], obfuscation=CARD)))
    assert b"0343" not in sent


SERIES = [
    "<EMAIL_1>",
    "bob@exa",
    "mple.net",
    "4539",
    " 1488 0343",
    " 6467",
    "the order",
    "Größe",
    "\u2028",
    '"',
    "",
    "\n",
    "7",
]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_series_of_deltas_are_read_as_single_events(scanner: StreamScanner, data: st.DataObject) -> None:
    """Events that were not parsed leave as parsed events do, however they arrive, for texts of every kind."""
    texts = data.draw(st.lists(st.sampled_from(SERIES), min_size=1, max_size=14))
    kind = data.draw(st.sampled_from(["text", "summary"]))
    item: Any = WIRE.message("".join(texts)) if kind == "text" else responding.reasoning("".join(texts))
    inner = WIRE.text_events(texts) if kind == "text" else responding.reasoning_events(item, texts)
    events, odd = [], data.draw(st.sampled_from([b"", b' "x": 1,', b' "item_id": "other",']))
    for raw in WIRE.stream(inner, item):
        padding = data.draw(st.sampled_from([b"", b"aB3", b"4539148803436467", b"Zz9" * 9]))
        new = raw.replace(b', "obfuscation": "Qx7"', b"")
        if b".delta" in raw and padding:
            new = new.removesuffix(b"}\n\n") + b', "obfuscation": "' + padding + b'"}\n\n'
        if b".delta" in raw and data.draw(st.integers(0, 5)) == 0:
            new = new.replace(b'{"sequence_number": ', b"{" + odd + b'"sequence_number":  ')
        events.append(new)
    whole = b"".join(events)
    places = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=9))})
    sent = [
        streamed(WIRE, judge(WIRE, scanner), some)
        for some in (events, [whole], [whole[low:high] for low, high in pairwise(places)])
    ]
    assert sent[0] == sent[1] == sent[2]
    assert b"4539148803436467" not in sent[0]
    heard = WIRE.listen(sent[0])
    answer = WIRE.response(item)
    judge(WIRE, scanner).whole(answer)
    assert datas(sent[0])[-1]["response"]["output"] == answer["output"]
    assert heard.text == WIRE.hear(answer).text


def tokens(*texts: str, **more: Any) -> list[dict[str, Any]]:
    """Log probabilities of tokens."""
    return [{"token": text, "logprob": -0.5, "bytes": [*text.encode()], "top_logprobs": [], **more} for text in texts]


def test_log_probabilities(scanner: StreamScanner) -> None:
    """They leave with a text that they repeat and nobody edited, without alternatives; anything else is removed."""
    kept = tokens("fi", "ne")
    other = tokens("x", top_logprobs=[{"token": "yes", "logprob": -1}])
    for text, told, left in (
        ("fine", kept, kept),
        ("fine", tokens("other"), []),
        ("bob@example.net", tokens("bob", "@", "example.net"), []),
        ("x", other, tokens("x")),
    ):
        events = [
            raw.replace(b'"logprobs": []', b'"logprobs": ' + json.dumps(told).encode())
            for raw in WIRE.stream(WIRE.text_events([text]), WIRE.message(text))
        ]
        sent = datas(streamed(WIRE, judge(WIRE, scanner), events))
        assert b"bob@" not in json.dumps(sent).encode()
        assert [event["logprobs"] for event in sent if event["type"] == "response.output_text.delta"] == [left]
        answer = WIRE.response(WIRE.message(text))
        answer["output"][0]["content"][0]["logprobs"] = copy.deepcopy(told)
        answer["x"] = {"logprobs": tokens(CARD)}
        judge(WIRE, scanner).whole(answer)
        assert "bob@" not in json.dumps(answer)
        assert "0343" not in json.dumps(answer)


ITEMS: list[tuple[dict[str, Any], str]] = [
    ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "SAID"}]}, "user"),
    ({"role": "developer", "content": "SAID"}, "developer"),
    ({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "SAID"}]}, "assistant"),
    ({"type": "function_call", "call_id": "c", "name": "send", "arguments": '{"a": "SAID"}'}, "assistant"),
    ({"type": "custom_tool_call", "call_id": "c", "name": "send", "input": "SAID"}, "assistant"),
    ({"type": "function_call_output", "call_id": "c", "output": "SAID"}, "tool"),
    ({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "SAID"}]}, "tool"),
    ({"type": "function_call_output", "call_id": "c", "output": [{"type": "reasoning", "text": "SAID"}]}, "tool"),
    ({"type": "custom_tool_call_output", "call_id": "c", "output": "SAID"}, "tool"),
    ({"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "SAID", "stderr": ""}]}, "tool"),
    ({"type": "new_call_output", "call_id": "c", "output": "SAID"}, "tool"),
    ({"type": "local_shell_call", "action": {"type": "exec", "command": ["SAID"], "env": {}}}, "assistant"),
    ({"type": "mcp_call", "server_label": "w", "name": "a", "arguments": "{}", "output": "SAID"}, "tool"),
    ({"type": "web_search_call", "action": {"type": "search", "query": "SAID"}}, "tool"),
    ({"type": "file_search_call", "queries": [], "results": [{"text": "SAID"}]}, "tool"),
    ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "SAID"}]}, "assistant"),
    ({"type": "compaction", "encrypted_content": "SAID that"}, "assistant"),
    ({"type": "program", "code": "SAID", "fingerprint": SEAL}, "assistant"),
    ({"type": "new_item", "text": "SAID"}, "tool"),
]


@pytest.mark.parametrize(("item", "role"), ITEMS)
def test_who_wrote_an_item(item: dict[str, Any], role: str) -> None:
    """Results of tools are texts of a tool; what is inside them is not the model's, whatever its type is."""
    raw = orjson.dumps(request(item, instructions="SAID by the operator"))
    body, survey = tree.parse(raw, WIRE.codec.shape, 100)
    WIRE.codec.parse(body)
    roles = [slot.role for slot in survey.slots if slot.text.startswith("SAID")]
    assert roles == ["system", role]
    signed = [slot.text for slot in survey.slots if type(slot) is Signed]
    assert all(slot.text != SEAL for slot in survey.slots)
    assert bool(signed) == (item.get("type") in ("compaction", "program"))


def test_a_text_as_input() -> None:
    """Is a prompt of the user, not the argument of a tool, although the field is called so."""
    body, survey = tree.parse(b'{"model": "m", "input": "SELECT 1"}', WIRE.codec.shape, 100)
    [slot] = [slot for slot in survey.slots if slot.text == "SELECT 1"]
    assert (slot.role, positions.is_argument(slot)) == ("user", False)
    assert [step.kind for step in WIRE.codec.steps(body)] == ["prompt"]


PARTS: list[tuple[dict[str, Any], dict[str, int]]] = [
    ({"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}, {"image": 1}),
    ({"type": "input_image", "image_url": "https://example.org/a.png"}, {"image": 1}),
    ({"type": "input_image", "file_id": "file-1"}, {"image": 1}),
    ({"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0xLjQKJeLjz9M="}, {"file": 1}),
    ({"type": "input_file", "file_url": "https://example.org/a.pdf"}, {"file": 1}),
    ({"type": "input_audio", "input_audio": {"data": "UklGR", "format": "wav"}}, {"audio": 1}),
    ({"type": "input_text", "text": "fine"}, {}),
]


@pytest.mark.parametrize(("part", "kinds"), PARTS)
@pytest.mark.parametrize("key", ["content", "output"])
def test_what_no_scanner_reads(part: dict[str, Any], kinds: dict[str, int], key: str) -> None:
    """Images, files and audio, in messages and in results of tools."""
    kind = {"content": {"role": "user"}, "output": {"type": "function_call_output", "call_id": "c"}}[key]
    _, survey = tree.parse(orjson.dumps(request({**kind, key: [part]})), WIRE.codec.shape, 100)
    assert survey.kinds == kinds
    assert not [slot for slot in survey.slots if slot.text.startswith("data:")]


def test_screenshots_and_generated_images() -> None:
    """A screenshot counts as data, address or file; an image in an item counts."""
    shot = {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "file_id": "f"}}
    body = request(shot)
    assert WIRE.codec.unscannable(body) == {"image": 1}
    picture = {"type": "image_generation_call", "id": "i", "result": "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAF" * 4}
    _, survey = tree.parse(orjson.dumps(request(picture)), WIRE.codec.shape, 100)
    assert survey.kinds == {"image": 1}
    survey = WIRE.codec.whole(WIRE.response(picture))
    assert survey.kinds == {"image": 1}


def test_the_tools_of_a_request() -> None:
    """Functions, tools of the provider by type and plain name, MCP servers by label, tools in items."""
    body = request({"role": "user", "content": "hi"}, tools=copy.deepcopy(TOOLS))
    assert OPENAI_RESPONSES.parse(body).tools == NAMES
    more = {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "late"}]}
    found = {"type": "tool_search_output", "call_id": "c", "tools": [{"type": "function", "name": "found"}]}
    assert OPENAI_RESPONSES.tools(request(more, found)) == ("late", "found")


CHOICES: list[tuple[Any, tuple[str, ...]]] = [
    ("auto", ()),
    ({"type": "function", "name": "send"}, ("send",)),
    ({"type": "custom", "name": "send"}, ("send",)),
    ({"type": "mcp", "server_label": "wiki", "name": "ask"}, ("mcp", "wiki", "ask")),
    ({"type": "web_search_preview"}, ("web_search_preview", "web_search")),
    ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "send"}]}, ("send",)),
    ({"type": "shell"}, ("shell",)),
]


@pytest.mark.parametrize(("choice", "names"), CHOICES)
def test_the_choice_of_a_tool_names_it(choice: Any, names: tuple[str, ...]) -> None:
    """Policies see it as an offered one, and can remove it."""
    body = request({"role": "user", "content": "hi"}, tool_choice=choice)
    assert OPENAI_RESPONSES.tools(body) == names
    if names:
        assert OPENAI_RESPONSES.strip_tools(body, frozenset(names[:1]))
        assert "tool_choice" not in body


@pytest.mark.parametrize("name", ["send", "wiki", "web_search", "computer", "image_generation", "late"])
def test_a_tool_is_stripped_wherever_it_is_offered(name: str) -> None:
    """By its plain name, too; what remains is as it was, and an item without tools goes."""
    late = {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "late"}]}
    body = request(late, {"role": "user", "content": "hi"}, tools=copy.deepcopy(TOOLS), tool_choice="auto")
    assert OPENAI_RESPONSES.strip_tools(body, frozenset({name}))
    assert name not in OPENAI_RESPONSES.tools(body)
    assert len(OPENAI_RESPONSES.tools(body)) < len(NAMES) + 1
    assert body["input"][-1] == {"role": "user", "content": "hi"}
    assert (len(body["input"]) == 1) == (name == "late")
    assert not OPENAI_RESPONSES.strip_tools(body, frozenset({name}))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input": 7}, "input"),
    ({"input": None}, "input"),
    ({"input": ["hi"]}, "input"),
    ({"input": [{"role": "user"}]}, "input"),
    ({"input": [{"role": " ", "content": "a"}]}, "input"),
    ({"input": [{"type": 7}]}, "input"),
    ({"input": [{"id": "msg 1"}]}, "input"),
    ({"input": [{"type": "item_reference", "id": 7}]}, "input"),
    ({"instructions": ["a"]}, "instructions"),
    ({"background": 1}, "background"),
    ({"background": True, "stream": True}, "background"),
    ({"background": True, "store": False}, "store"),
    ({"background_options": {"continuation_id": "x"}}, "background_options"),
    ({"max_output_tokens": "7"}, "max_output_tokens"),
    ({"max_output_tokens": -1}, "max_output_tokens"),
    ({"text": "json"}, "text"),
    ({"stream": 1}, "stream"),
    ({"service_tier": 7}, "service_tier"),
    ({"tools": [{"type": "image_generation", "model": "gpt-image-1"}]}, "tools"),
    ({"fallbacks": ["other"]}, "fallbacks"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG)
def test_requests_that_are_refused(fields: dict[str, Any], param: str) -> None:
    """The parameter is named."""
    body = {**request({"role": "user", "content": "hi"}), **fields}
    with pytest.raises(Refusal) as caught:
        (OPENAI_RESPONSES.tier if param == "service_tier" else OPENAI_RESPONSES.parse)(body)
    assert (caught.value.code, caught.value.param) == ("invalid_request", param)


def test_the_ceiling() -> None:
    """Of the output: 0 is no limit, numbers in items are not ceilings, and a policy's limit holds."""
    item = {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"], "max_output_length": 9_000}}
    body = request(item, max_output_tokens=500, metadata={"max_tokens": "9000"})
    assert OPENAI_RESPONSES.parse(body).ceiling == 500
    assert OPENAI_RESPONSES.parse({**body, "max_output_tokens": 0}).ceiling is None
    assert OPENAI_RESPONSES.parse({**body, "reasoning": {"max_tokens": 800}}).ceiling == 800
    assert OPENAI_RESPONSES.limit(body, {"max_tokens": 100})
    assert body["max_output_tokens"] == 100
    assert not OPENAI_RESPONSES.limit(body, {"max_tokens": 100})
    assert body["input"] == [item]
    bare = request(item)
    assert OPENAI_RESPONSES.limit(bare, {"max_tokens": 100})
    assert bare["max_output_tokens"] == 100


def test_steps_of_a_conversation() -> None:
    """Items of the model that follow each other are one turn; results belong to their calls."""
    call = {"type": "function_call", "name": "send", "arguments": "{}"}
    body = request(
        {"role": "user", "content": [{"type": "input_text", "text": "go"}]},
        {"type": "reasoning", "summary": []},
        {**call, "call_id": "a"},
        {**call, "call_id": "b"},
        {"type": "function_call_output", "call_id": "b", "output": "two"},
        {"type": "function_call_output", "call_id": "a", "output": "one"},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "thanks"},
    )
    told = [(step.kind, step.text, [use.id for use in step.uses]) for step in OPENAI_RESPONSES.steps(body)]
    assert told == [
        ("prompt", "go", []),
        ("turn", "", ["a", "b"]),
        ("result", "two", ["b"]),
        ("result", "one", ["a"]),
        ("turn", "", []),
        ("prompt", "thanks", []),
    ]
    assert OPENAI_RESPONSES.items(body) == {"messages": 8, "tools": 0, "parts": 1, "tool_calls": 2}


def test_usage_has_its_parts() -> None:
    """Cached input, input written to the cache, reasoning, tier."""
    usage = OPENAI_RESPONSES.usage(WIRE.response(usage=responding.USAGE, service_tier="flex"))
    assert usage is not None
    assert (usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning, usage.tier) == (
        *(11, 7, 4, 2, 3),
        "flex",
    )


@pytest.mark.parametrize("status", ["failed", "incomplete"])
def test_other_ends_are_answers(scanner: StreamScanner, status: str) -> None:
    """They pass with their status; the message of the error is judged."""
    fault = {"code": "server_error", "message": f"broke at {CARD}"} if status == "failed" else None
    details = {"reason": "max_output_tokens"} if status == "incomplete" else None
    answer = WIRE.response(status=status, error=fault, incomplete_details=details)
    assert OPENAI_RESPONSES.error(answer) is None
    judge(WIRE, scanner).whole(answer)
    assert "0343" not in json.dumps(answer)
    last = WIRE.event(f"response.{status}", response=WIRE.response(status=status, error=fault))
    sent = streamed(WIRE, judge(WIRE, scanner), WIRE.numbered([*WIRE.stream([])[:1], last]))
    assert b"0343" not in sent
    assert datas(sent)[-1]["type"] == f"response.{status}"
    assert WIRE.hear(json.loads(OPENAI_RESPONSES.assemble(sent))).reason == status


def planted() -> Iterator[tuple[str, list[bytes]]]:
    """Streams with a card number in places that are not the pieces of a text."""
    texts, call = WIRE.text_events(["fi", "ne."]), call_events("function_call", ["{", "}"], 1)
    events = WIRE.stream([*texts, *call], WIRE.message("fine."), call_item("function_call", "{}"))
    for number, raw in enumerate(events):
        head, _, data = raw.partition(b"data: ")
        yield f"{number} comment", [*events[:number], head + b": " + CARD.encode() + b"\ndata: " + data]
        yield f"{number} name", [*events[:number], b"event: " + CARD.encode() + b"\ndata: " + data]
        for key in [b"x", b"item_id", b"sequence_number", b"output_index", b"obfuscation", b"logprobs", b"id"]:
            yield (
                f"{number} {key.decode()}",
                [
                    *events[:number],
                    head + b'data: {"%s": "%s", ' % (key, CARD.encode()) + data[1:],
                    *events[number + 1 :],
                ],
            )


PLANTED = dict(planted())


@pytest.mark.parametrize("place", PLANTED)
def test_events_say_no_more_than_is_judged(scanner: StreamScanner, place: str) -> None:
    """Unexpected fields, keys that occur twice, comments and names are judged, or do not leave."""
    codec, made, sent = WIRE.codec.stream(keep_usage=True), screen(scanner), b""
    try:
        for raw in PLANTED[place]:
            for chunk in codec.feed(raw):
                sent += b"".join(made.feed(chunk, codec))
        sent += b"".join(made.close(codec))
    except (Refusal, ValueError):
        pass
    assert b"0343" not in sent


def below(value: Any) -> list[tuple[Any, Any]]:
    """Every place in JSON: holder and key."""
    places: list[tuple[Any, Any]] = []
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        places.append((value, key))
        if isinstance(inner, dict | list):
            places += below(inner)
    return places


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_event_is_judged_or_refused(scanner: StreamScanner, data: st.DataObject) -> None:
    """With any JSON, or a card number, anywhere in an event: no other exception, and the number does not leave."""
    text, call = WIRE.text_events(["fi", "ne."]), call_events("custom_tool_call", ["{", "}"], 1)
    item = responding.reasoning("so", 0)
    said = [
        json.loads(raw[raw.index(b"data: ") + 6 :]) for raw in WIRE.stream([*text, *call], WIRE.message("fine."), item)
    ]
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(below(data.draw(st.sampled_from(said)))))
        other = JSON.filter(lambda value: "0343" not in str(value))
        holder[key] = data.draw(other | st.just(f"it is {CARD} so") | st.just([{"type": "output_text", "text": CARD}]))
        if isinstance(holder, dict) and data.draw(st.booleans()):
            holder[data.draw(st.sampled_from(["part", "item", "response", "delta", "text", "x"]))] = {"a": CARD}
    sent, codec, made = b"", WIRE.codec.stream(keep_usage=True), screen(scanner)
    try:
        for event in said:
            kind = event.get("type") if isinstance(event, dict) else ""
            for chunk in codec.feed(f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode("utf-8", "replace")):
                sent += b"".join(made.feed(chunk, codec))
        sent += b"".join(made.close(codec))
        codec.close()
    except ValueError:
        pass
    except Refusal as refusal:
        sent += codec.refuse(refusal, "id", "blocked")
    assert b"0343" not in sent


@pytest.mark.parametrize("key", ["content_index", "output_index", "summary_index", "x"])
def test_what_every_event_says_is_judged_in_each(scanner: StreamScanner, key: str) -> None:
    """A value beside the pieces, the same in each event: none of these events teaches a frame."""
    sent, codec, made = b"", WIRE.codec.stream(keep_usage=True), screen(scanner)
    try:
        for raw in WIRE.stream(WIRE.text_events(["fi", "ne", "."]), WIRE.message("fine.")):
            event = json.loads(raw[raw.index(b"data: ") + 6 :])
            if event["type"] == "response.output_text.delta":
                event[key] = f"it is {CARD} so"
            for chunk in codec.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()):
                sent += b"".join(made.feed(chunk, codec))
        sent += b"".join(made.close(codec))
    except (Refusal, ValueError):
        pass
    assert b"0343" not in sent


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_item_is_a_request_or_refused(data: st.DataObject) -> None:
    """With any JSON in the place of any value of items and tools."""
    body = request(*(copy.deepcopy(item) for item, _ in ITEMS), tools=copy.deepcopy(TOOLS), tool_choice={"type": "mcp"})
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(below(body)))
        holder[key] = data.draw(JSON)
    codec = OPENAI_RESPONSES
    body["model"] = "m"
    body, survey = tree.parse(json.dumps(body).encode(), codec.shape, 100)
    try:
        codec.parse(body)
    except Refusal as refusal:
        assert refusal.code == "invalid_request"  # noqa: PT017  (most are no request)
        return
    codec.items(body)
    codec.steps(body)
    codec.joined(body, survey.slots)
    codec.overhead(body)
    codec.unscannable(body)
    codec.drop_foreign(body)
    codec.strip_tools(body, frozenset({"send"}))
    codec.request(body, "up", stream=False)
    assert body["model"] == "up"


@settings(max_examples=examples(200, 2000))
@given(data=st.data())
def test_a_plain_message_holds_no_call(data: st.DataObject) -> None:
    """What is taken for a message of texts has no call of a tool in any shape."""
    item = WIRE.message("fine.")
    for _ in range(data.draw(st.integers(0, 3))):
        holder, key = data.draw(st.sampled_from(below(item)))
        other = {"type": "tool_use", "name": "x", "input": {}}
        holder[key] = data.draw(st.sampled_from([other, [other], "tool_use", "x", None, [], "refusal", "output_text"]))
        if isinstance(holder, dict) and data.draw(st.booleans()):
            holder[data.draw(st.sampled_from(["refusal", "text", "tool_calls", "x", "phase", "type"]))] = other
    if responses_answer.is_message(item):
        parts = [part for part in item["content"] if type(part) is dict]
        assert [*openai_strays.in_blocks([item]), *openai_strays.in_blocks(parts)] == []


@pytest.mark.parametrize(
    ("probabilities", "dropped"), [([], False), (None, False), ([{"token": "fi", "logprob": -1, "bytes": None}], True)]
)
def test_log_probabilities_elsewhere_are_removed(probabilities: Any, dropped: bool, scanner: StreamScanner) -> None:
    """Log probabilities cannot be compared with a text there; none are no reason to walk the answer."""
    answer = {**WIRE.whole("fine."), "top_logprobs": 0, "extra": {"logprobs": probabilities}}
    for indent in (None, 1):
        raw = json.dumps(answer, indent=indent)
        assert repeats(raw.encode()) is dropped
        assert repeats(raw.replace("logprobs", "logprob\\u0073").encode())
    assert screen(scanner).whole(answer) is dropped
    assert answer["extra"] == {"logprobs": None if dropped else probabilities}
