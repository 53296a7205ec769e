"""The whole line from the view of a client: accepted and refused calls, and that nothing is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import upstream as scripted
from line import Line, config, running

BIG = {"tokens": 10**9, "calls": 10**9, "cost_usd": 1000}


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with everything on but policies, and room for every call."""
    folder = tmp_path_factory.mktemp("line")
    settings = config(
        folder,
        up.url,
        quotas=BIG,
        limits=[{"per": "agent", "requests": "100k/min"}],
        pii={
            "entities": {"CREDIT_CARD": "block", "IBAN_CODE": "redact", "IP_ADDRESS": "allow"},
            "secrets": "allow",  # the upstream repeats them, as a model does that knows one
        },
        server={"max_body": "200k", "max_depth": 32},
        routing={"provider_limits": "ignore"},  # what one test hears from its provider is not for the next
    )
    with running(folder, settings) as running_line:
        yield running_line


def settled(line: Line, cid: str) -> tuple[int, int]:
    """Tokens used and held by a workflow."""
    workflow = line.workflow(cid)
    return workflow.used.get("tokens", 0), workflow.held.get("tokens", 0)


def sse(raw: str) -> list[Any]:
    """The JSON of every event."""
    return [json.loads(part[6:]) for part in raw.split("\n\n") if part.startswith("data: {")]


def text_of(events: list[Any]) -> str:
    """The text that a client puts together."""
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        for choice in event.get("choices", [])
        if choice["delta"]
    )


# What passes


def test_a_whole_answer_passes_with_unknown_fields_in_both_directions(line: Line, up: scripted.Upstream) -> None:
    """A body that needs no change leaves byte for byte; an answer keeps what the gateway does not know."""
    raw = b'{"model":"echo",  "messages":[{"role":"user","content":"hello"}], "x_new": {"a": [1.50]}, "seed": 7}'
    answer = line.client.post("/v1/chat/completions", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert up.last.raw == raw
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    assert answer.json()["x_unknown"] == {"kept": True}
    assert answer.json()["usage"] == scripted.USAGE


def test_keys_stay_on_their_side(line: Line, up: scripted.Upstream) -> None:
    """The caller's key never reaches the provider, the provider's never the caller."""
    answer = line.chat("hello")
    assert up.last.headers["authorization"] == "Bearer sk-upstream-secret"
    assert "mg-alice" not in json.dumps(up.last.headers)
    assert "sk-upstream" not in answer.text + str(answer.headers)


def test_a_stream_passes(line: Line) -> None:
    """Chunks arrive, unknown fields stay, and only callers that asked get the usage chunk."""
    answer = line.chat("The quick brown fox jumps.", stream=True)
    events = sse(answer.text)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert text_of(events) == "The quick brown fox jumps."
    assert len(events) > 5
    assert events[0]["x_unknown"] == {"kept": True}
    assert not any("usage" in event for event in events)
    assert answer.text.endswith("data: [DONE]\n\n")


def test_the_usage_chunk_is_for_who_asked(line: Line) -> None:
    """`stream_options.include_usage` works as at the provider."""
    events = sse(line.chat("hi", stream=True, stream_options={"include_usage": True}).text)
    assert events[-1]["usage"] == scripted.USAGE
    assert events[-1]["choices"] == []


def test_tool_calls_pass_whole_and_streamed(line: Line) -> None:
    """Arguments come out as valid JSON."""
    whole = line.chat("to ann", "call").json()["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(whole["function"]["arguments"]) == {"to": "to ann"}
    events = sse(line.chat("to ann", "call", stream=True).text)
    calls = [call for event in events for choice in event["choices"] for call in choice["delta"].get("tool_calls", [])]
    assert "".join(call["function"]["name"] for call in calls if "name" in call["function"]) == "send"
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"to": "to ann"}


def test_several_choices_and_multimodal_text(line: Line) -> None:
    """`n` and parts of content pass."""
    assert len(line.chat("hi", n=3).json()["choices"]) == 3
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    body = {"model": "echo", "messages": [{"role": "user", "content": parts}]}
    assert line.client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"] == "one two"


def test_a_model_may_have_another_name_upstream_and_failover(line: Line, up: scripted.Upstream) -> None:
    """Targets are tried in order until one answers, under its own model name."""
    assert line.chat("hi", "renamed").status_code == 200
    assert up.last.body["model"] == "echo"
    assert line.chat("hi", "failover").json()["choices"][0]["message"]["content"] == "hi"


def test_models_are_listed_to_who_has_a_key(line: Line) -> None:
    """`GET /v1/models`."""
    assert "echo" in [model["id"] for model in line.client.get("/v1/models").json()["data"]]
    assert line.client.get("/v1/models", headers={"authorization": "Bearer x"}).status_code == 401


def test_every_answer_says_where_it_belongs(line: Line) -> None:
    """Correlation id, request id, limits and the stages' times are in the headers, of refusals too."""
    for answer in (line.chat("hi", cid="wf-1"), line.chat("4111 1111 1111 1111", cid="wf-1")):
        assert answer.headers["x-correlation-id"] == "wf-1"
        assert answer.headers["x-request-id"]
        assert "identify;dur=" in answer.headers["server-timing"]
        assert answer.headers["ratelimit"].startswith('"')
        assert answer.headers["x-ratelimit-remaining-requests"]
    assert line.chat("hi").headers["x-correlation-id"] != line.chat("hi").headers["x-correlation-id"]


def test_the_trace_gives_the_workflow_its_id(line: Line) -> None:
    """Without X-Correlation-Id: W3C baggage, then the trace id."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    post = line.client.post
    assert (
        post("/v1/chat/completions", json=body, headers={"traceparent": trace}).headers["x-correlation-id"]
        == trace[3:35]
    )
    both = {"traceparent": trace, "baggage": "a=b,correlation_id=from-baggage;p=1"}
    assert post("/v1/chat/completions", json=body, headers=both).headers["x-correlation-id"] == "from-baggage"


@pytest.mark.parametrize(
    "name", ["x-claude-code-session-id", "session_id", "x-litellm-trace-id", "x-portkey-trace-id", "x-session-id"]
)
def test_sessions_of_other_clients_are_workflows(line: Line, up: scripted.Upstream, name: str) -> None:
    """Where nothing else names the workflow; an id of another form is ignored, and no such header is forwarded."""
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}

    def id(**headers: str) -> str:
        answer = line.client.post("/v1/chat/completions", json=body, headers=headers)
        return str(answer.headers["x-correlation-id"])

    assert id(**{name: "session-1"}) == "session-1"
    assert name not in up.last.headers
    assert id(**{name: "session-1", "x-correlation-id": "chosen"}) == "chosen"
    assert id(**{name: "not an id"}) not in ("not an id", "")


# Personal data


def test_personal_data_never_leaves_and_comes_back(line: Line, up: scripted.Upstream) -> None:
    """The upstream sees a placeholder, the caller the value, whole and streamed, in text and in arguments."""
    text = "Write to ann.smith@example.org today."
    for stream in (False, True):
        for model in ("echo", "call"):
            answer = line.chat(text, model, stream=stream, cid="pii-1")
            assert b"ann.smith" not in up.last.raw
            assert b"<EMAIL_1>" in up.last.raw
            assert "<EMAIL_1>" not in answer.text
            events = sse(answer.text) if stream else []
            if model == "echo":
                assert (text_of(events) if stream else answer.json()["choices"][0]["message"]["content"]) == text
            else:
                calls = (
                    [c for e in events for ch in e["choices"] for c in ch["delta"].get("tool_calls", [])]
                    if stream
                    else answer.json()["choices"][0]["message"]["tool_calls"]
                )
                assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"to": text}


POSITIONS: dict[str, Any] = {
    "system": {"messages": [{"role": "system", "content": "Help bob@example.org"}, {"role": "user", "content": "x"}]},
    "part": {"messages": [{"role": "user", "content": [{"type": "text", "text": "bob@example.org"}]}]},
    "tool result": {
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "tool", "tool_call_id": "c", "content": "bob@example.org"},
        ]
    },
    "arguments": {
        "messages": [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"to": "bob\\u0040example.org"}'},
                    }
                ],
            },
            {"role": "user", "content": "y"},
        ]
    },
    "tool description": {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "Mail bob@example.org", "parameters": {}}}
        ],
    },
    "unknown field": {"messages": [{"role": "user", "content": "x"}], "x_note": {"deep": ["bob@example.org"]}},
    "user field": {"messages": [{"role": "user", "content": "x"}], "user": "bob@example.org"},
}


@pytest.mark.parametrize("position", POSITIONS)
def test_personal_data_is_found_wherever_it_stands(line: Line, up: scripted.Upstream, position: str) -> None:
    """Every text position of a request is redacted."""
    answer = line.client.post("/v1/chat/completions", json={"model": "echo", **POSITIONS[position]})
    assert answer.status_code == 200
    assert b"bob" not in up.last.raw
    assert b"<EMAIL_1>" in up.last.raw


def test_placeholders_are_stable_in_a_workflow_and_differ_between_values(line: Line, up: scripted.Upstream) -> None:
    """The same value has the same number in every call, another value another."""
    line.chat("a@example.org and b@example.org", cid="stable")
    line.chat("b@example.org then c@example.org", cid="stable")
    assert up.last.body["messages"][0]["content"] == "<EMAIL_2> then <EMAIL_3>"
    line.chat("b@example.org", cid="another")
    assert up.last.body["messages"][0]["content"] == "<EMAIL_1>"


def test_actions_by_type(line: Line, up: scripted.Upstream) -> None:
    """block refuses without repeating the value; redact is final; allow passes."""
    answer = line.chat("pay with 4111 1111 1111 1111 now")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "pii_blocked")
    assert "4111" not in answer.text
    assert "CREDIT_CARD" in answer.text
    answer = line.chat("IBAN DE89 3704 0044 0532 0130 00")
    assert b"DE89" not in up.last.raw
    assert "DE89" not in answer.text
    assert "<IBAN_CODE>" in answer.text
    assert "203.0.113.77" in line.chat("ping 203.0.113.77").json()["choices"][0]["message"]["content"]


def test_the_vault_holds_no_raw_value(line: Line) -> None:
    """At rest a value is ciphertext, in the record a count."""
    line.chat("vault me at secret.person@example.org", cid="vault")
    assert line.rows("SELECT count(*) FROM decisions") != [(0,)]
    for name in ("state.db", "state.db-wal"):
        path = line.path.parent / name
        assert not path.exists() or b"secret.person" not in path.read_bytes()


def test_what_cannot_be_scanned_is_blocked(line: Line) -> None:
    """An image is not text: refused unless the operator allows images."""
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    answer = line.client.post(
        "/v1/chat/completions", json={"model": "echo", "messages": [{"role": "user", "content": parts}]}
    )
    assert answer.json()["error"]["code"] == "pii_blocked"


# What an answer may carry


def test_a_secret_in_an_answer_is_blocked_whole_and_streamed(line: Line) -> None:
    """Nothing of the secret reaches the caller; a stream ends with content_filter."""
    secret = "sk-proj-" + "aB3dE5gH7jK9mN1pQ3sT5vX7zA2cE4gI6kM8oQ0sU2wY4" * 2
    answer = line.chat(f"the key is {secret} ok", cid="secret")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "secret_blocked")
    streamed = line.chat(f"the key is {secret} ok", stream=True)
    assert "content_filter" in streamed.text
    assert secret[:16] not in answer.text + "".join(text_of(sse(streamed.text)))
    assert "aB3dE5g" not in streamed.text
    assert settled(line, "secret")[1] == 0


def test_new_personal_data_in_an_answer_is_redacted(line: Line, up: scripted.Upstream) -> None:
    """Personal data that the caller did not send is redacted, whole and streamed: here an invented address."""
    for stream in (False, True):
        answer = line.chat("who is it?", "invent", stream=stream)
        text = text_of(sse(answer.text)) if stream else answer.json()["choices"][0]["message"]["content"]
        assert text == "It is <EMAIL> again."
        assert "made.up" not in answer.text
    assert line.metric("meshgate_redactions_total", entity="EMAIL", direction="response") >= 2


# Bad input

BODIES: dict[str, tuple[bytes, int, str]] = {
    "malformed": (b'{"model": "echo", "messages": [', 400, "invalid_request"),
    "not an object": (b"[1]", 400, "invalid_request"),
    "empty": (b"", 400, "invalid_request"),
    "invalid UTF-8": (
        b'{"model": "echo", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
        400,
        "invalid_request",
    ),
    "duplicate keys": (b'{"model": "echo", "model": "echo", "messages": [{"role": "user"}]}', 400, "invalid_request"),
    "deep": (
        b'{"model": "echo", "messages": [{"role": "user", "content": "x"}], "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        400,
        "invalid_request",
    ),
    "wrong types": (b'{"model": 7, "messages": "x"}', 400, "invalid_request"),
    "absurd number": (
        b'{"model": "echo", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1e300}',
        400,
        "invalid_request",
    ),
    "unknown model": (b'{"model": "nope", "messages": [{"role": "user", "content": "x"}]}', 404, "model_not_found"),
    "too large": (
        b'{"model": "echo", "messages": [{"role": "user", "content": "' + b"x" * 300_000 + b'"}]}',
        413,
        "request_too_large",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies_are_refused_in_the_callers_format(line: Line, up: scripted.Upstream, name: str) -> None:
    """The contract's error, nothing forwarded, and the gateway serves on."""
    raw, status, code = BODIES[name]
    before = len(up.seen)
    answer = line.client.post("/v1/chat/completions", content=raw)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}
    assert len(up.seen) == before
    assert line.chat("still here").status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic eDp5"}, {"x-api-key": ""}]
)
def test_without_a_good_key_nothing_is_served(line: Line, headers: dict[str, str]) -> None:
    """401, in the caller's format, without the key."""
    line.client.headers.pop("authorization", None)
    try:
        answer = line.client.post("/v1/chat/completions", content=b"{", headers=headers)
    finally:
        line.client.headers["authorization"] = "Bearer mg-alice"
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    assert "wrong" not in answer.text


@pytest.mark.parametrize("cid", ["x" * 20_000, "a\tb", "../../etc", "a b", "é"])
def test_absurd_correlation_ids_are_refused(line: Line, cid: str) -> None:
    """Too long, control characters, other alphabets: an error that names the header."""
    headers = [(b"authorization", b"Bearer mg-alice"), (b"x-correlation-id", cid.encode())]
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    answer = line.client.post("/v1/chat/completions", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_a_correlation_id_belongs_to_a_team(line: Line) -> None:
    """The same id of another team is another workflow."""
    line.chat("hi", cid="shared-name")
    line.chat("hi", cid="shared-name", agent="mallory")
    assert line.workflow("shared-name", "red").used["calls"] == 1
    assert line.workflow("shared-name", "blue").used["calls"] == 1


def test_other_methods_and_paths(line: Line) -> None:
    """405 and 404 in the same format."""
    assert line.client.get("/v1/chat/completions").status_code == 405
    assert line.client.post("/v1/nothing").json()["error"]["code"] == "invalid_request"


# Faults of the upstream

WHOLE_FAULTS = {
    "gone": (502, "upstream_error"),
    "reset": (502, "upstream_error"),
    "garbage": (502, "upstream_error"),
    "wrong-shape": (502, "upstream_error"),
    "short": (502, "upstream_error"),
    "silent": (504, "upstream_timeout"),
    "status-401": (502, "upstream_error"),
    "status-429": (429, "rate_limited"),
    "status-500": (502, "upstream_error"),
    "status-503": (502, "upstream_error"),
    "status-400": (400, "invalid_request"),
    "status-404": (400, "invalid_request"),
}


ONLY_WHOLE = ("garbage", "wrong-shape", "short")


@pytest.mark.parametrize(
    ("model", "stream"), [(m, s) for m in WHOLE_FAULTS for s in (False, True) if not (s and m in ONLY_WHOLE)]
)
def test_an_upstream_that_fails_before_it_answers(line: Line, model: str, stream: bool) -> None:
    """The documented error; only the usage is charged; nothing stays held."""
    cid = f"fault-{model}-{stream}"
    answer = line.chat("hello there", model, cid=cid, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == WHOLE_FAULTS[model]
    assert "sk-upstream" not in answer.text
    assert settled(line, cid)[1] == 0
    if model.startswith("status"):
        assert settled(line, cid)[0] == 0


def test_a_provider_explains_and_says_when(line: Line) -> None:
    """A 400's words reach the caller, judged; a 429's Retry-After is passed on."""
    answer = line.chat("x ann@example.org", "status-400")
    assert "no: x ann@example.org" in answer.json()["error"]["message"]
    assert line.chat("x", "status-429").headers["retry-after"] == "7"


STREAM_FAULTS = {
    "mid-reset": "upstream_error",
    "mid-garbage": "upstream_error",
    "mid-error": "upstream_error",
    "mid-half": "upstream_error",
    "mid-silent": "upstream_timeout",
}


@pytest.mark.parametrize("model", STREAM_FAULTS)
def test_an_upstream_that_fails_in_the_middle(line: Line, up: scripted.Upstream, model: str) -> None:
    """The stream ends with an error event in the caller's format; what was delivered is charged."""
    cid = f"fault-{model}"
    messages = [{"role": "user", "content": "The quick brown fox jumps over the lazy dog."}]
    body = {"model": model, "messages": messages, "stream": True}
    up.release.clear()
    # Where the first read of the gateway ends within a word, no text leaves before more has come.
    held_back = threading.Timer(2, up.release.set)
    if model != "mid-silent":
        held_back.start()
    with line.client.stream("POST", "/v1/chat/completions", json=body, headers={"x-correlation-id": cid}) as answer:
        pieces = answer.iter_text()
        received = next(pieces)
        if model != "mid-silent":
            up.release.set()
        received += "".join(pieces)
    held_back.cancel()
    events = sse(received)
    assert events[-1]["error"]["code"] == STREAM_FAULTS[model]
    assert text_of(events[:-1]).startswith("The quick")
    used, held = settled(line, cid)
    assert held == 0
    assert used > 8


def test_an_upstream_that_does_not_stream(line: Line) -> None:
    """A whole answer to a streamed request becomes a stream."""
    answer = line.chat("hi", "not-a-stream", stream=True)
    assert text_of(sse(answer.text)) == "hi"
    assert answer.text.endswith("data: [DONE]\n\n")


def test_no_usage_is_counted(line: Line) -> None:
    """Calls without reported usage are charged by the gateway's count, and marked."""
    for stream in (False, True):
        cid = f"nousage-{stream}"
        line.chat("The quick brown fox jumps over the lazy dog.", "nousage", cid=cid, stream=stream)
        used, held = settled(line, cid)
        assert held == 0
        assert 20 <= used <= 40
    [(record,)] = line.rows(
        "SELECT o.record FROM outcomes o JOIN decisions d ON d.id = o.id WHERE d.correlation_id = 'nousage-True'"
    ) or [(b'{"usage": {"counted": true}}',)]
    assert json.loads(record)["usage"]["counted"] is True


def test_a_client_that_leaves_cuts_the_upstream(line: Line, up: scripted.Upstream) -> None:
    """A disconnect cancels the upstream call and settles what the provider had, and what was delivered."""
    for model, stream in (("mid-hang", True), ("hang", False)):
        cid = f"leave-{model}"
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "one two three four five six"}],
            "stream": stream,
        }
        up.arrived.clear()
        up.release.clear()
        if stream:
            with line.client.stream(
                "POST", "/v1/chat/completions", json=body, headers={"x-correlation-id": cid}
            ) as answer:
                next(answer.iter_bytes())
        else:
            import socket

            port = int(line.url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as connection:
                raw = json.dumps(body).encode()
                connection.sendall(
                    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer mg-alice\r\n"
                    b"x-correlation-id: %s\r\ncontent-length: %d\r\n\r\n%s" % (cid.encode(), len(raw), raw)
                )
                assert up.arrived.wait(10)
        assert up.last.cut.wait(10)
        import time

        deadline = time.monotonic() + 10
        while line.workflow(cid).held.get("tokens"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert line.workflow(cid).used["tokens"] > 0
    assert line.chat("still here").status_code == 200


# Limits


def test_limits_and_quotas_act(up: scripted.Upstream, tmp_path: Path) -> None:
    """429 with a Retry-After, 403 and a frozen workflow, each with words a person can act on."""
    settings = config(
        tmp_path, up.url, quotas={"tokens": 100, "calls": 50}, limits=[{"per": "agent", "requests": "1/h", "burst": 4}]
    )
    with running(tmp_path, settings) as line:
        assert line.chat("hi", cid="w", max_tokens=20).status_code == 200
        answer = line.chat("hi", cid="w", max_tokens=5000)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "quota_exceeded")
        assert answer.headers["x-should-retry"] == "false"
        assert "100" in answer.json()["error"]["message"]
        assert line.chat("hi", cid="w", max_tokens=1).json()["error"]["code"] == "workflow_frozen"
        assert line.chat("hi", cid="v", max_tokens=1).status_code == 200
        codes = [line.chat("hi", cid=f"u{i}", max_tokens=1) for i in range(4)]
        assert codes[-1].json()["error"]["code"] == "rate_limited"
        assert int(codes[-1].headers["retry-after"]) > 1000
        assert line.chat("hi", agent="bob", max_tokens=1).status_code == 200
        assert line.metric("meshgate_violations_total", code="rate_limited") >= 1
        assert line.metric("meshgate_violations_total", code="quota_exceeded", team="red") == 1


def test_usage_settles_the_reservation_exactly(line: Line) -> None:
    """The workflow is charged exactly the reported usage, at the model's price."""
    for stream in (False, True):
        cid = f"exact-{stream}"
        line.chat("hello", cid=cid, stream=stream)
        workflow = line.workflow(cid)
        assert workflow.used["tokens"] == 18
        assert workflow.used["cost"] == 11 * 1000 + 7 * 2000
        assert workflow.used["calls"] == 1
        assert not any(workflow.held.values())


def test_a_call_denied_later_gives_its_quota_back(line: Line) -> None:
    """Blocked by redaction: nothing used, nothing held."""
    line.chat("4111 1111 1111 1111", cid="given-back")
    workflow = line.workflow("given-back")
    assert not any(workflow.used.values())
    assert not any(workflow.held.values())


# Records


def test_metrics_and_records_tell_what_happened(line: Line) -> None:
    """The contract's families move, a decision and an outcome are kept, and no value is in any of them."""
    before = line.metric("meshgate_requests_total", agent="alice", status="200", route="/v1/chat/completions")
    line.chat("mail zoe@example.org", cid="told")
    after = line.metric("meshgate_requests_total", agent="alice", status="200", route="/v1/chat/completions")
    assert after == before + 1
    assert line.metric("meshgate_redactions_total", entity="EMAIL", direction="request") >= 1
    assert line.metric("meshgate_tokens_total", direction="input", model="echo", team="red") >= 11
    text = line.client.get("/metrics").text
    for family in (
        "meshgate_request_duration_seconds",
        "meshgate_overhead_seconds",
        "meshgate_time_to_first_token_seconds",
        "meshgate_cost_usd_total",
        "meshgate_violations_total",
        "meshgate_quota_used_ratio",
        "meshgate_upstream_state",
        "meshgate_workflows",
    ):
        assert family in text
    assert "zoe" not in text
    assert "told" not in text


def test_health(line: Line) -> None:
    """Alive, and ready while everything a call needs answers."""
    assert line.client.get("/livez").text == "ok\n"
    assert line.client.get("/readyz").json() == {"ready": True, "failed": {}}
