"""Unusual answers and errors of providers and their proxies, in each dialect of chats."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import upstream as scripted
from gateway.dialects import Codec, items, sse
from gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.serving import shares
from gateway.upstream import refusals
from line import Line, config, running
from raw_provider import Raw, chunk

CHAT, MESSAGES = "raw", "claude"
DIALECTS = [CHAT, MESSAGES]
USAGE = {"input_tokens": 40, "output_tokens": 30}
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def line(provider: Raw, up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("odd")
    settings = config(folder, up.url, output={"secrets": "block", "pii": "redact"})
    settings["providers"]["raw"] = {"format": "openai", "base_url": provider.url, "idle_timeout": "600s"}
    settings["providers"]["claude"] = {"format": "anthropic", "base_url": provider.url, "idle_timeout": "600s"}
    settings["models"]["raw"] = {"targets": ["raw/m"]}
    settings["models"]["claude"] = {"targets": ["claude/m"]}
    with running(folder, settings) as started:
        yield started


def ask(line: Line, dialect: str, stream: bool = False, cid: str = "") -> httpx.Response:
    """One call."""
    if dialect == CHAT:
        return line.chat("hi", CHAT, stream=stream, cid=cid)
    body = {"model": dialect, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    headers = {"x-correlation-id": cid} if cid else {}
    return line.client.post("/v1/messages", json=body, headers=headers)


def whole(dialect: str, text: str = "hello") -> dict[str, Any]:
    """An answer."""
    if dialect == CHAT:
        return {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    content = [{"type": "text", "text": text}]
    ends = {"stop_reason": "end_turn", "stop_sequence": None}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content, **ends} | {
        "usage": USAGE
    }


def said(kind: str, **data: Any) -> bytes:
    """An event of a message."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def events(dialect: str, *texts: str, usage: Any = USAGE) -> list[bytes]:
    """A stream; its last event says that it has ended."""
    if dialect == CHAT:
        return [*(chunk(text) for text in texts), chunk(None, "stop"), DONE]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    begun = said("content_block_start", index=0, content_block={"type": "text", "text": ""})
    deltas = [said("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts]
    ends = said("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 30})
    start = said("message_start", message={**head, "stop_reason": None, "usage": usage})
    return [start, begun, *deltas, said("content_block_stop", index=0), ends, said("message_stop")]


def heard(dialect: str, answer: httpx.Response, stream: bool) -> str:
    """The text that a client reads if it parses every event as JSON."""
    assert answer.status_code == 200, answer.text
    if not stream:
        body = answer.json()
        return str(body["choices"][0]["message"]["content"] if dialect == CHAT else body["content"][0]["text"])
    found = ""
    for event in answer.text.removesuffix("\n\n").split("\n\n"):
        lines = [one for one in event.split("\n") if not one.startswith(":")]
        if not lines or lines == ["data: [DONE]"]:
            continue
        data = json.loads("".join(one.removeprefix("data:") for one in lines if one.startswith("data:")))
        if dialect == CHAT:
            found += "".join(choice["delta"].get("content") or "" for choice in data["choices"])
        elif data["type"] == "content_block_delta":
            found += data["delta"]["text"]
    return found


# Errors

WORDS = "temperature: bad value"
FORMS: dict[str, tuple[str, bytes]] = {
    "object": ("application/json", json.dumps({"error": {"message": WORDS, "code": "bad_value"}}).encode()),
    "words alone": ("application/json", json.dumps({"error": WORDS}).encode()),
    "list of one": ("application/json", json.dumps([{"error": {"code": 400, "message": WORDS}}]).encode()),
    "list of errors": ("application/json", json.dumps({"errors": [{"message": WORDS}]}).encode()),
    "detail": ("application/json", json.dumps({"detail": WORDS}).encode()),
    "details": ("application/json", json.dumps({"detail": [{"loc": ["body", "x"], "msg": WORDS}]}).encode()),
    "the error itself": ("application/json", json.dumps({"object": "error", "message": WORDS, "code": 400}).encode()),
    "message": ("application/json", json.dumps({"message": WORDS}).encode()),
    "event": (
        "text/event-stream",
        b"event: error\ndata: " + json.dumps({"error": {"message": WORDS}}).encode() + b"\n\n",
    ),
    "byte order mark": ("application/json", b"\xef\xbb\xbf" + json.dumps({"error": {"message": WORDS}}).encode()),
    "plain text": ("text/plain", WORDS.encode()),
    "compressed": ("application/json\r\ncontent-encoding: gzip", gzip.compress(json.dumps({"error": WORDS}).encode())),
}


@pytest.mark.parametrize("pieces", [1, 5])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("form", FORMS)
def test_a_providers_words_reach_the_caller(line: Line, raw: Raw, form: str, dialect: str, pieces: int) -> None:
    """For any form of the error, in any kind of response."""
    kind, body = FORMS[form]
    raw.answer, raw.status, raw.pieces = (f"content-type: {kind}\r\n", body), "422 Bad", pieces
    answer = ask(line, dialect)
    assert answer.status_code == 400
    assert WORDS in answer.json()["error"]["message"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "body", [b"<html>no</html>", b"\x00\x01no", b"\xffno", b"[]", b"{}", b"{oh no", b"[[[[[1]]]]]", b""]
)
def test_what_says_nothing_is_left_out(line: Line, raw: Raw, dialect: str, body: bytes) -> None:
    """Pages, bytes, JSON without words."""
    raw.answer, raw.status = ("content-type: text/html\r\n", body), "422 Bad"
    answer = ask(line, dialect)
    assert answer.status_code == 400
    assert "It said" not in answer.text


def test_an_error_in_pieces_is_read_whole(line: Line, raw: Raw) -> None:
    """An error that names `stream_options` in its last piece: the call is sent again without that field."""
    raw.answer, raw.close, raw.pieces = ("", b"".join(events(CHAT, "hello"))), "no options", 4
    answer = line.chat("hi", CHAT, stream=True)
    assert heard(CHAT, answer, stream=True) == "hello"


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after-ms": "soon", "retry-after": "9"}, {}, 9),
        ({"retry-after-ms": "1500", "retry-after": "9"}, {}, 1.5),
        ({"retry-after": "5s"}, {}, 5),
        ({"retry-after": "9, 20"}, {}, 9),
        ({"retry-after": "-3"}, {}, 0),
        ({"retry-after": "Thu, 26 Nov 1981 10:00:00 GMT"}, {}, 0),
        ({"retry-after": "nan"}, {"details": [{"retryDelay": "34.5s"}]}, 34.5),
        ({}, {"details": [None, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]}, 34),
        ({"retry-after": "soon"}, {"details": "later"}, None),
        ({"retry-after": "1e99"}, {}, None),
        ({"retry-after": "Thu, 99 Nov"}, {}, None),
    ],
)
def test_when_to_try_again(headers: dict[str, str], body: dict[str, Any], seconds: float | None) -> None:
    """An invalid hint does not hide the next hint."""
    for form in ({"error": body}, [{"error": body}]):
        assert refusals.retry_after(headers, json.dumps(form).encode()) == seconds


def test_hints_of_another_form_are_not_repeated() -> None:
    """Clients would read them as numbers."""
    told = {"Retry-After-Ms": "soon", "X-Should-Retry": "maybe", "X-RateLimit-Reset-Tokens": " 6m0s"}
    assert refusals.hints(told) == {"x-ratelimit-reset-tokens": "6m0s"}


# Heads


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "head",
    [
        f"content-security-policy: {'a' * 30_000}\r\n",
        "".join(f"x-trace-{at}: b\r\n" for at in range(300)),
        "content-encoding: utf-8\r\n",
        "content-encoding: none\r\n",
        "content-encoding: identity, \r\n",
    ],
    ids=["a long header", "many headers", "utf-8", "none", "identity"],
)
def test_odd_heads(line: Line, raw: Raw, dialect: str, head: str) -> None:
    """Proxies in front of a provider send long policy headers, and some declare the text encoding."""
    raw.answer = (f"content-type: application/json\r\n{head}", json.dumps(whole(dialect)).encode())
    assert heard(dialect, ask(line, dialect), stream=False) == "hello"


def test_two_codings_one_of_which_is_none(line: Line, raw: Raw) -> None:
    """`identity, gzip` is gzip."""
    body = gzip.compress(json.dumps(whole(CHAT)).encode())
    raw.answer = ("content-encoding: identity, gzip\r\n", body)
    assert heard(CHAT, ask(line, CHAT), stream=False) == "hello"


def test_what_is_no_http_is_called_so(line: Line, raw: Raw) -> None:
    """The provider was reached."""
    raw.answer = ("x y: z\r\n", b"")
    assert "sent what is no HTTP/1.1" in ask(line, CHAT).json()["error"]["message"]


# Events


SILENT = [
    b"data:\n\n",
    b"data: \n\n",
    b"id: 1\n\n",
    b"retry: 3000\n\n",
    b"event: ping\n\n",
    b": one\nid: 7\n\n",
    b":\r\n\r\n",
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("silent", SILENT)
def test_events_without_data(line: Line, raw: Raw, dialect: str, stream: bool, silent: bytes) -> None:
    """Clients would parse them as JSON and raise: they are sent as comments, which keep connections alive."""
    raw.answer = ("content-type: text/event-stream\r\n", silent + silent.join(events(dialect, "hel", "lo")))
    assert heard(dialect, ask(line, dialect, stream), stream) == "hello"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_follows_the_end(line: Line, raw: Raw, dialect: str) -> None:
    """Data after the last event is neither sent nor charged."""
    more = events(dialect, *["more"] * 30)
    raw.answer = ("content-type: text/event-stream\r\n", b"".join([*events(dialect, "hel", "lo"), *more]))
    answer = ask(line, dialect, stream=True)
    assert heard(dialect, answer, stream=True) == "hello"
    assert answer.text.endswith("[DONE]\n\n" if dialect == CHAT else '"message_stop"}\n\n')


@pytest.mark.parametrize("nothing", [None, {}, ""])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_that_says_nothing_is_none(line: Line, raw: Raw, dialect: str, stream: bool, nothing: Any) -> None:
    """In whole answers and in events."""
    raw.answer = ("content-type: application/json\r\n", json.dumps({**whole(dialect), "error": nothing}).encode())
    assert heard(dialect, ask(line, dialect, stream), stream) == "hello"
    odd = events(dialect, "hel", "lo")
    odd[1] = odd[1].replace(b"}\n\n", b', "error": %s}\n\n' % json.dumps(nothing).encode())
    raw.answer = ("content-type: text/event-stream\r\n", b"".join(odd))
    assert heard(dialect, ask(line, dialect, stream), stream) == "hello"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_bytes_that_are_no_utf_8(line: Line, raw: Raw, dialect: str, stream: bool) -> None:
    """Servers that cut characters in two: undecodable bytes become U+FFFD, and the rest arrives."""
    for body in (json.dumps(whole(dialect, "hel!lo")).encode(), b"".join(events(dialect, "hel!", "lo"))):
        raw.answer = ("content-type: application/json\r\n", body.replace(b"!", b"\xf0\x9f"))
        assert heard(dialect, ask(line, dialect, stream), stream) == "hel\ufffdlo"


# Streams where a whole answer was asked for


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_that_breaks_off_is_no_whole_answer(line: Line, raw: Raw, dialect: str) -> None:
    """At any event: half an answer is not reported as complete."""
    stream = events(dialect, "hel", "lo")
    enough = len(stream) - 1  # the last event only says what the one before it said
    for end in range(1, enough):
        raw.answer = ("content-type: text/event-stream\r\n", b"".join(stream[:end]))
        assert ask(line, dialect).status_code == 502
    raw.answer = ("content-type: text/event-stream\r\n", b"".join(stream[:enough]))
    assert heard(dialect, ask(line, dialect), stream=False) == "hello"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_body_that_stays_open_ends_with_its_last_event(line: Line, raw: Raw, dialect: str, stream: bool) -> None:
    """The caller does not wait for a provider that says nothing more; the connection serves no other call."""
    raw.answer, raw.close = (
        ("content-type: text/event-stream\r\n", b"".join(events(dialect, "hel", "lo"))),
        "when the caller does",
    )
    assert heard(dialect, ask(line, dialect, stream), stream) == "hello"
    raw.close = ""
    assert heard(dialect, ask(line, dialect, stream), stream) == "hello"
    assert raw.calls == 2


@pytest.mark.parametrize("lost", range(3))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_broken_stream_costs_the_same_however_it_was_asked_for(line: Line, raw: Raw, dialect: str, lost: int) -> None:
    """The tokens of its texts are charged, not those of its events."""
    stream = events(dialect, "one two three", " four", " five six", usage={"input_tokens": 40, "output_tokens": 1})
    raw.answer = (
        "content-type: text/event-stream\r\n",
        b"".join(stream[: len(stream) - (2 if dialect == CHAT else 3) - lost]),
    )
    for close in ("in the body", ""):
        raw.close = close
        used = []
        for streamed in (True, False):
            cid = f"broken-{dialect}-{lost}-{close and 'cut'}-{streamed}"
            assert ask(line, dialect, streamed, cid).status_code == (200 if streamed else 502)
            ((record,),) = line.rows(f"select record from outcomes where correlation_id = '{cid}'")
            used.append(json.loads(record)["usage"])
        assert used[0] == used[1]
        assert 0 < used[0]["output"] <= 6


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_text_that_repeats_itself(line: Line, raw: Raw, dialect: str) -> None:
    """Two pieces that are the same are two."""
    raw.answer = ("content-type: text/event-stream\r\n", b"".join(events(dialect, "ha", "ha", "ha", "", "!")))
    assert heard(dialect, ask(line, dialect), stream=False) == "hahaha!"


def delta(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"id": "x", "choices": [{"index": 0, "delta": fields}]}).encode() + b"\n\n"


def test_what_pieces_of_a_delta_make() -> None:
    """Texts continue, also in objects; names and ids are repeated; parts and texts become parts."""
    pieces = [
        delta(role="assistant", reasoning_content="a", audio={"id": "u", "data": "QUJD"}),
        delta(content=[{"type": "thinking", "thinking": "t"}], audio={"id": "u", "data": "QUJD", "expires_at": 1}),
        delta(content="b", reasoning_content="a", audio={"transcript": "c", "expires_at": 2}),
    ]
    [choice] = json.loads(OPENAI_CHAT.assemble(b"".join([*pieces, DONE])))["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "reasoning_content": "aa",
        "audio": {"id": "u", "data": "QUJDQUJD", "expires_at": 2, "transcript": "c"},
        "content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "b"}],
    }


def test_citations_of_a_block_are_all_there() -> None:
    """One after the other."""
    stream = events(MESSAGES, "a")
    cited = [said("content_block_delta", index=0, delta={"type": "citations_delta", "citation": n}) for n in "xyz"]
    answer = json.loads(ANTHROPIC_MESSAGES.assemble(b"".join([*stream[:2], *cited, *stream[2:]])))
    assert answer["content"] == [{"type": "text", "text": "a", "citations": ["x", "y", "z"]}]


# Usage


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "usage", [{"output_tokens": 5}, {"input_tokens": None, "output_tokens": 5}, {"input_tokens": -1}]
)
def test_a_report_without_the_input_is_none(line: Line, raw: Raw, stream: bool, usage: Any) -> None:
    """The received part is counted, so the call is not free."""
    cid = f"no-input-{stream}-{len(usage)}-{usage.get('input_tokens')}"
    if stream:
        raw.answer = ("content-type: text/event-stream\r\n", b"".join(events(MESSAGES, "hello", usage=usage)))
    else:
        raw.answer = ("content-type: application/json\r\n", json.dumps(whole(MESSAGES) | {"usage": usage}).encode())
    assert heard(MESSAGES, ask(line, MESSAGES, stream, cid), stream) == "hello"
    ((record,),) = line.rows(f"select record from outcomes where correlation_id = '{cid}'")
    assert json.loads(record)["usage"]["counted"]
    assert json.loads(record)["usage"]["input"] > 0


# Work


@pytest.mark.parametrize("head", [b'{"a":"', b'"', b'{"a":"b","c":"'])
def test_a_string_that_does_not_end_is_one(head: bytes) -> None:
    """Its quotes do not begin strings: the search for strings reads the text once."""
    assert len(items._STRING.findall(head + b'[,{\\"' * 99)) <= 4
    assert not items.is_deep(b"[" * 150 + head + b'\\"[' * 99)
    assert not items.has_more_values(b"," * 50 + head + b'\\",' * 99, 100)


@pytest.mark.parametrize("stream", [True, False])
def test_a_large_first_event(line: Line, raw: Raw, stream: bool) -> None:
    """The text is searched once, and not again from each byte, which would take forever."""
    text = "word " * 200_000
    raw.answer = ("content-type: text/event-stream\r\n", b"".join(events(CHAT, text)))
    assert heard(CHAT, ask(line, CHAT, stream), stream) == text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_another_form_is_made_elsewhere(
    line: Line, raw: Raw, monkeypatch: pytest.MonkeyPatch, dialect: str, stream: bool
) -> None:
    """A long answer in the other form is not read on the event loop."""
    codec: Codec = OPENAI_CHAT if dialect == CHAT else ANTHROPIC_MESSAGES
    threads = set()
    patched = (
        "gateway.exchange.stream._object" if stream else f"{type(codec).__module__}.{type(codec).__name__}.assemble"
    )
    module, _, name = patched.rpartition(".")
    owner: Any = type(codec) if not stream else __import__(module, fromlist=["_"])
    before = getattr(owner, name)

    def noted(*args: Any) -> Any:
        threads.add(threading.current_thread().name)
        return before(*args)

    monkeypatch.setattr(owner, name, noted)
    text = "word " * 20_000
    body = json.dumps(whole(dialect, text)).encode() if stream else b"".join(events(dialect, text))
    raw.answer = ("", body)
    assert heard(dialect, ask(line, dialect, stream), stream) == text
    assert threads
    assert all(one.startswith("judge") for one in threads)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_long_event_is_read_elsewhere(line: Line, raw: Raw, monkeypatch: pytest.MonkeyPatch, dialect: str) -> None:
    """Not on the event loop; a fault in it ends the stream as ever."""
    threads = set()
    before = items.check_event

    def noted(data: bytes, what: str) -> None:
        if len(data) > 200_000:
            threads.add(threading.current_thread().name)
        before(data, what)

    monkeypatch.setattr(items, "check_event", noted)
    text = "word " * 100_000
    raw.answer = ("", b"".join(events(dialect, "hel", text, "lo")))
    assert heard(dialect, ask(line, dialect, stream=True), stream=True) == f"hel{text}lo"
    assert threads
    assert all(one.startswith("judge") for one in threads)
    broken = events(dialect, "first", text)[:-3]
    raw.answer = ("", b"".join([*broken, b"data: {" + b"x" * 300_000 + b"\n\n"]))
    assert "is not JSON" in ask(line, dialect, stream=True).text


def test_fields_of_a_whole_answer_are_told_once() -> None:
    """In the first event of many: they may be as long as the answer."""
    told = {**whole(CHAT, "word " * 60_000), "x_note": "n", "created": 5}
    events = [one for one in OPENAI_CHAT.unfold(told) if b"DONE" not in one]
    assert [b"x_note" in one for one in events] == [True] + [False] * (len(events) - 1)
    assert all(b'"created":5' in one and b"chat.completion.chunk" in one for one in events)
    assert len(events) > 5


def test_a_whole_answer_for_a_stream_is_held(line: Line, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes count like the bytes of any whole answer."""
    held: list[int] = []
    before = shares.Ticket.hold

    def noted(ticket: shares.Ticket, size: int) -> None:
        held.append(size)
        before(ticket, size)

    monkeypatch.setattr(shares.Ticket, "hold", noted)
    body = json.dumps(whole(CHAT, "word " * 60_000)).encode()
    raw.answer = ("", body)
    assert ask(line, CHAT, stream=True).status_code == 200
    assert sum(held) > len(body)


@pytest.mark.parametrize("line_", [b":\n", b"data: \n", b"event: a\n", b"id: 1\r\n", b"\r: x"])
def test_an_event_of_many_lines(line_: bytes) -> None:
    """Each line costs by itself."""
    reader = sse.Reader()
    with pytest.raises(ValueError, match="lines"):
        reader.feed(line_ * (2 * sse.MAX_LINES + 9) + b"data: 1\n\n")


def test_deep_events_are_not_assembled() -> None:
    """Nor crowded ones."""
    for bad in (b"[" * 300 + b"]" * 300, b"[" + b"1," * items.MOST_NESTED + b"1]"):
        with pytest.raises(ValueError, match=r"nested|values"):
            OPENAI_CHAT.assemble(b'data: {"a": ' + bad + b"}\n\n" + DONE)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", [CHAT, pytest.param(MESSAGES, id="messages")])
def test_a_character_in_two_chunks(line: Line, raw: Raw, dialect: str, stream: bool) -> None:
    """Its halves are joined, whole and streamed; half a character that stays alone is U+FFFD."""
    raw.answer = ("content-type: text/event-stream\r\n", b"".join(events(dialect, "a\ud83d", "\ude00b", "c\ud83d")))
    assert heard(dialect, ask(line, dialect, stream), stream) == "a\U0001f600bc\ufffd"
