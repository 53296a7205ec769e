"""Calls across formats through the whole gateway: every guarantee holds as in the caller's own format."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import strict
import upstream as scripted
from formats import wires
from formats.wires import datas
from gateway.translate.translation import TARGETS
from line import Line, config, running

FORMATS = list(TARGETS)
NAMES = "echo call mid-error script status-400 status-429 status-500"
MAIL = "ann.lee@example.org"
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
TOOL = {"type": "object", "properties": {"to": {"type": "string"}}}
CALLERS: dict[str, tuple[str, Any]] = {
    "chat": ("openai", wires.Chat()),
    "responses": ("openai", wires.Responses()),
    "messages": ("anthropic", wires.Messages()),
    "gemini": ("gemini", wires.Gemini()),
}
PAIRS = [
    *((caller, format) for caller, (own, _) in CALLERS.items() for format in FORMATS if format != own),
    ("responses", "chats"),  # a provider of format openai without /responses
]


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with models of every format, whose providers refuse what the real ones refuse."""
    folder: Path = tmp_path_factory.mktemp("formats")
    quotas = {"tokens": 10**9, "calls": 10**9, "cost_usd": 1000}
    made = config(folder, up.url, output={"secrets": "block"}, quotas=quotas, routing={"breaker": None})
    base = up.url.removesuffix("/v1")
    price = {"input": 1, "output": 2, "cached_input": 0.5, "cache_write": 1.25}
    for format in FORMATS:
        url = up.url if format == "openai" else base
        made["providers"][format] = {"format": format, "base_url": url, "api_key": "sk-up"}
    made["providers"]["chats"] = {"format": "openai", "base_url": up.url, "api_key": "sk-up", "responses": False}
    for format in [*FORMATS, "chats"]:
        for name in NAMES.split():
            made["models"][f"{format}-{name}"] = {"targets": [f"{format}/{name}"], "price": price}
    every = ["anthropic/status-500", "gemini/status-500", "openai/echo"]
    made["models"]["failover"] = {"targets": every, "price": price}
    made["models"]["either"] = {"targets": ["chats/status-500", "openai/echo"], "price": price}
    made["models"]["able"] = {"targets": ["anthropic/echo", "openai/echo"], "price": price}
    up.refuses = strict.reason
    with running(folder, made) as started:
        yield started
    up.refuses = lambda seen: ""


def ask(line: Line, caller: str, model: str, text: str, *, stream: bool = False, cid: str = "", **fields: Any) -> Any:
    """One call in the dialect of a caller."""
    headers = {"authorization": "Bearer mg-alice", **({"x-correlation-id": cid} if cid else {})}
    body: dict[str, Any] = {"model": model, **fields}
    if caller == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        declared = [{"name": "send", "parametersJsonSchema": TOOL}]
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}], **fields}
        body |= {"tools": [{"functionDeclarations": declared}]} if "call" in model else {}
        return line.client.post(f"/v1beta/models/{model}:{verb}", json=body, headers=headers)
    body |= {"stream": True} if stream else {}
    if caller == "responses":
        body |= {"input": text}
        tool: Any = {"type": "function", "name": "send", "parameters": TOOL}
        path = "/v1/responses"
    else:
        body |= {"messages": [{"role": "user", "content": text}]}
        path = "/v1/chat/completions" if caller == "chat" else "/v1/messages"
        tool = {"name": "send", "parameters": TOOL}
        tool = {"type": "function", "function": tool} if caller == "chat" else {"name": "send", "input_schema": TOOL}
        body |= {"max_tokens": 100} if caller == "messages" else {}
    body |= {"tools": [tool]} if "call" in model else {}
    return line.client.post(path, json=body, headers=headers)


def heard(caller: str, answer: Any, stream: bool) -> wires.Heard:
    """What the client reads."""
    wire = CALLERS[caller][1]
    assert answer.status_code == 200, answer.text
    found: wires.Heard = wire.listen(answer.content) if stream else wire.hear(answer.json())
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("caller", "format"), PAIRS)
def test_values_are_masked_and_restored(
    line: Line, up: scripted.Upstream, caller: str, format: str, stream: bool
) -> None:
    """In texts and in arguments of tools; the provider sees placeholders only."""
    for name in ("echo", "call"):
        said = heard(caller, ask(line, caller, f"{format}-{name}", f"write to {MAIL} now", stream=stream), stream)
        assert MAIL.encode() not in up.last.raw
        assert "EMAIL" in up.last.raw.decode()
        if name == "echo":
            assert said.text == f"write to {MAIL} now"
        else:
            assert [tool for tool, _ in said.tools] == ["send"]
            assert MAIL in json.dumps(said.tools[0][1])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("caller", "format"), PAIRS)
def test_the_charge_is_the_providers_report(line: Line, caller: str, format: str, stream: bool) -> None:
    """Also counts that the dialect of the caller does not have."""
    cid = f"{caller}-{format}-{stream}"
    heard(caller, ask(line, caller, f"{format}-echo", "hello", stream=stream, cid=cid), stream)
    own = f"{cid}-own"
    native = {"openai": "chat", "chats": "chat", "anthropic": "messages", "gemini": "gemini"}[format]
    heard(native, ask(line, native, f"{format}-echo", "hello", stream=stream, cid=own), stream)
    assert charged(line, cid) == charged(line, own)


def charged(line: Line, cid: str) -> dict[str, int]:
    """The charges of a workflow, once no call is in flight."""
    deadline = time.monotonic() + 20
    while any(line.workflow(cid).held.values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return dict(line.workflow(cid).used)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("caller", "format"), PAIRS)
def test_secrets_do_not_leave_in_answers(
    line: Line, up: scripted.Upstream, caller: str, format: str, stream: bool
) -> None:
    """The output filter reads the translated answer: blocked whole, and in the middle of a stream."""
    text = f"leak {caller} {format} {stream}"
    wire = CALLERS[{"openai": "chat", "chats": "chat", "anthropic": "messages"}.get(format, "gemini")][1]
    said = f"Here is the key {SECRET} for you."
    up.script[text] = wire.events([said[:20], said[20:30], said[30:]]) if stream else wire.whole(said)
    answer = ask(line, caller, f"{format}-script", text, stream=stream)
    assert SECRET not in answer.text
    if stream and answer.status_code == 200:
        assert wires_blocked(caller, answer.content)
    else:
        assert answer.status_code == 403
        assert answer.headers["x-meshgate-code"] == "secret_blocked"


def wires_blocked(caller: str, data: bytes) -> bool:
    """Whether a stream was ended by the gateway."""
    wire = CALLERS[caller][1]
    return bool(wire.listen(data).reason == wire.blocked)


@pytest.mark.parametrize(("caller", "format"), PAIRS)
def test_faults_in_mid_stream(line: Line, up: scripted.Upstream, caller: str, format: str) -> None:
    """An error of the provider ends the stream with an error in the form of the caller, after what came before."""
    up.release.set()
    answer = ask(line, caller, f"{format}-mid-error", "hello there, all of you", stream=True)
    assert "upstream_error" in answer.text
    assert "an error in the middle of its answer" in answer.text
    assert len(datas(answer.content)) > 2


@pytest.mark.parametrize("caller", CALLERS)
def test_failover_among_formats(line: Line, up: scripted.Upstream, caller: str) -> None:
    """Each target gets the request in its own format."""
    for stream in (False, True):
        assert heard(caller, ask(line, caller, "failover", "hi", stream=stream), stream).text == "hi"
        paths = [seen.path.partition("?")[0] for seen in up.seen[-3:]]
        assert paths[0] == "/v1/messages"
        assert paths[1].startswith("/v1beta/models/status-500:")


def test_a_target_that_can_express_the_request(line: Line, up: scripted.Upstream) -> None:
    """Is tried in place of one that cannot; without one, nothing is sent or charged, and the field is named."""
    form = {"type": "json_object"}
    assert line.chat("hi", "able", response_format=form).status_code == 200
    assert up.last.path == "/v1/chat/completions"
    seen = len(up.seen)
    answer = line.chat("hi", "anthropic-echo", cid="nothing", response_format=form)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_request", "response_format")
    assert "format anthropic" in error["message"]
    assert len(up.seen) == seen


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_without_responses_gets_chat_completions(line: Line, up: scripted.Upstream, stream: bool) -> None:
    """And another of the same format gets the request as it came; each of both may be tried after the other."""
    for model, path in [("chats-echo", "/v1/chat/completions"), ("openai-echo", "/v1/responses")]:
        assert heard("responses", ask(line, "responses", model, "hi", stream=stream), stream).text == "hi"
        assert up.last.path == path
    assert heard("responses", ask(line, "responses", "either", "hi", stream=stream), stream).text == "hi"
    assert [seen.path for seen in up.seen[-2:]] == ["/v1/chat/completions", "/v1/responses"]


def test_dropped_parameters_are_named(line: Line) -> None:
    """In the header of the answer, whole and streamed."""
    for stream in (False, True):
        answer = line.chat("hi", "anthropic-echo", seed=1, stream=stream)
        assert answer.headers["x-meshgate-dropped"] == "seed"
    assert "x-meshgate-dropped" not in line.chat("hi", "anthropic-echo").headers


def test_nothing_is_stored(line: Line) -> None:
    """A translated response says so, and nobody can continue it."""
    first = ask(line, "responses", "anthropic-echo", "hi").json()
    assert first["store"] is False
    again = ask(line, "responses", "anthropic-echo", "hi", previous_response_id=first["id"])
    assert again.status_code in (400, 404)


def test_the_reserved_ceiling_is_the_limit(line: Line, up: scripted.Upstream) -> None:
    """A format that needs a limit gets the limit of the caller, or what was reserved."""
    line.chat("hi", "anthropic-echo", max_completion_tokens=33)
    assert up.last.body["max_tokens"] == 33
    line.chat("hi", "anthropic-echo")
    assert up.last.body["max_tokens"] > 33


def test_seals_of_another_target_stay_here(line: Line, up: scripted.Upstream) -> None:
    """A provider of the caller's own format gets the history without them; the header names them."""
    seal = f"mg1.t.{'0f' * 8}.c2ln"
    blocks = [{"type": "thinking", "thinking": "so", "signature": seal}, {"type": "text", "text": "hello"}]
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": blocks}]
    messages.append({"role": "user", "content": "b"})
    body = {"model": "anthropic-echo", "max_tokens": 9, "messages": messages}
    answer = line.client.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-meshgate-dropped"] == "signature"
    assert up.last.body["messages"][1]["content"] == blocks[1:]


PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


def converse(line: Line, caller: str, model: str, said: list[tuple[str, Any]]) -> Any:
    """One call with a history: who said it, and what."""
    if caller == "gemini":
        parts = [{"role": role.replace("assistant", "model"), "parts": [{"text": text}]} for role, text in said]
        return line.client.post(f"/v1beta/models/{model}:generateContent", json={"contents": parts})
    messages = [{"role": role, "content": content} for role, content in said]
    key = "input" if caller == "responses" else "messages"
    limit = {"max_tokens": 9} if caller == "messages" else {}
    return line.client.post(PATHS[caller], json={"model": model, key: messages, **limit})


@pytest.mark.parametrize(("caller", "format"), PAIRS)
def test_texts_that_were_judged_apart_stay_apart(line: Line, up: scripted.Upstream, caller: str, format: str) -> None:
    """Messages of one side in a row become one; their texts do not, or a value would be made that nobody judged."""
    said = [("assistant", "ann.lee@exam"), ("assistant", "ple.org"), ("user", "go")]
    answer = converse(line, caller, f"{format}-echo", said)
    assert answer.status_code == 200, answer.text
    assert b"ann.lee@exam" in up.last.raw
    assert b"ple.org" in up.last.raw
    assert MAIL.encode() not in up.last.raw


@pytest.mark.parametrize("format", ["openai", "gemini"])
def test_a_document_of_text_stays_apart(line: Line, up: scripted.Upstream, format: str) -> None:
    """Among the texts of a result, which has one text in other formats."""
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "lee@exam"}}
    texts = [{"type": "text", "text": "ann."}, document, {"type": "text", "text": "ple.org"}]
    used = {"type": "tool_use", "id": "c1", "name": "send", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": texts}
    answer = converse(line, "messages", f"{format}-echo", [("user", "go"), ("assistant", [used]), ("user", [result])])
    assert answer.status_code == 200, answer.text
    assert b"ann.\\n\\nlee@exam\\n\\nple.org" in up.last.raw


@pytest.mark.parametrize("caller", ["chat", "responses", "gemini"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_report_without_input_is_none(line: Line, up: scripted.Upstream, caller: str, stream: bool) -> None:
    """As in the own format: the charge is the estimate, not a part of the report."""
    text = f"no input {caller} {stream}"
    wire = wires.Messages()
    whole = wire.whole("hello")
    whole["usage"] = {"output_tokens": 1}
    events = [b"".join(wire.events(["hello"])).replace(b'"input_tokens"', b'"inputs"')]
    up.script[text] = events if stream else whole
    cid = f"estimate-{caller}-{stream}"
    heard(caller, ask(line, caller, "anthropic-script", text, stream=stream, cid=cid), stream)
    assert charged(line, cid)["tokens"] > 8
