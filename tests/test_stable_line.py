"""A running gateway over several turns: earlier turns leave unchanged, whole and streamed, on each store.

The upstream spells placeholders as models do; the caller sends the answers back.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

import upstream as scripted
from line import Line, config, running

VAULT = {"vault_key": base64.b64encode(b"k" * 32).decode()}
TOOLS = [
    {"type": "function", "function": {"name": "send", "description": "or ask help@example.org"}},
    {"type": "function", "function": {"name": "pay"}},
]
FIRST = "I am ann@example.org, 212-555-0123; <EMAIL_1> and [phone 7] are words of mine."
# What the model says to each last message, as it sees it.
ANSWERS: dict[str, dict[str, Any]] = {
    "turn 0": {"content": "Hello [email 2], {{PHONE_1}}; what is <literal_1>? And [EMAIL 9]?"},
    "turn 1": {"content": None, "arguments": '{ "to": "\\u003cemail_2\\u003e",\n "cc": ["[EMAIL 2]"], "n": 1.50 }'},
    "sent": {"content": "x<EMAIL_2>y %3CEMAIL_2%3E"},
    "turn 2": {"content": "[email 2]"},
    "turn 3": {"content": "<email_2>", "arguments": '{"to": "<EMAIL_2>"}'},
    "turn 4": {"content": "EMAIL_2"},
}


@pytest.fixture(params=["sqlite", "redis"])
def lines(request: pytest.FixtureRequest, up: scripted.Upstream, tmp_path: Path) -> Iterator[list[Line]]:
    """A gateway; with Redis two replicas, which take turns."""
    if request.param == "sqlite":
        with running(tmp_path, config(tmp_path, up.url)) as line:
            yield [line]
        return
    url = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(replica(tmp_path / name, up, url)) for name in ("one", "two")]


def replica(folder: Path, up: scripted.Upstream, url: str) -> contextlib.AbstractContextManager[Line]:
    folder.mkdir()
    fields = {"state": url, "audit": {"path": str(folder / "audit.db")}, "pii": VAULT}
    return running(folder, config(folder, up.url, **fields))


def message(said: dict[str, Any]) -> dict[str, Any]:
    """A message of the model's."""
    made: dict[str, Any] = {"role": "assistant", "content": said["content"]}
    if "arguments" in said:
        function = {"name": "send", "arguments": said["arguments"]}
        made["tool_calls"] = [{"id": "c1", "type": "function", "function": function}]
    return made


def events(said: dict[str, Any]) -> list[bytes]:
    """The same as a stream of single characters."""
    out = [scripted.chunk({"role": "assistant", "content": ""})]
    out += [scripted.chunk({"content": char}) for char in said["content"] or ""]
    if "arguments" in said:
        start = {"index": 0, "id": "c1", "type": "function", "function": {"name": "send", "arguments": ""}}
        out.append(scripted.chunk({"tool_calls": [start]}))
        for char in said["arguments"]:
            out.append(scripted.chunk({"tool_calls": [{"index": 0, "function": {"arguments": char}}]}))
    return [*out, scripted.chunk({}, "tool_calls" if "arguments" in said else "stop"), b"data: [DONE]\n\n"]


def script(up: scripted.Upstream, *, stream: bool) -> None:
    """Set the answers of the upstream."""
    for asked, said in ANSWERS.items():
        choice = {"index": 0, "message": message(said), "finish_reason": "stop"}
        whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "script", "choices": [choice]}
        up.script[asked] = events(said) if stream else whole


def got(response: httpx.Response, *, stream: bool) -> dict[str, Any]:
    """The message that a client has in its hands."""
    assert response.status_code == 200, response.text
    if not stream:
        made: dict[str, Any] = response.json()["choices"][0]["message"]
        return made
    content, arguments, called = "", "", False
    for event in response.text.split("\n\n"):
        for choice in json.loads(event[6:])["choices"] if event.startswith("data: {") else ():
            content += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or ():
                called = True
                arguments += call.get("function", {}).get("arguments") or ""
    return message({"content": content or None, **({"arguments": arguments} if called else {})})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("named", [True, False])
def test_what_left_stays_what_it_was(lines: list[Line], up: scripted.Upstream, stream: bool, named: bool) -> None:
    """With a correlation id, past answers leave as the model wrote them; without an id, the same in each turn."""
    script(up, stream=stream)
    history: list[dict[str, Any]] = [{"role": "user", "content": FIRST}]
    bodies: list[dict[str, Any]] = []
    wrote: list[dict[str, Any]] = []
    cid = f"stable-{stream}" if named else ""
    for number in range(5):
        history.append({"role": "user", "content": f"turn {number}"})
        while history[-1]["role"] != "assistant":
            line = lines[len(bodies) % len(lines)]
            response = line.chat(model="script", cid=cid, messages=history, stream=stream, tools=TOOLS)
            bodies.append(up.last.body)
            wrote.append(message(ANSWERS[history[-1]["content"]]))
            history.append(got(response, stream=stream))
            if "tool_calls" in history[-1]:
                history.append({"role": "tool", "tool_call_id": "c1", "content": "sent"})
    assert len(bodies) == 7
    for body, after in itertools.pairwise(bodies):
        assert after["messages"][: len(body["messages"])] == body["messages"]
        assert after["tools"] == body["tools"]
    said = [one for one in history if one["role"] == "assistant"]
    assert said[0]["content"] == "Hello ann@example.org, 212-555-0123; what is <EMAIL_1>? And [EMAIL 9]?"
    assert json.loads(said[1]["tool_calls"][0]["function"]["arguments"])["to"] == "ann@example.org"
    assert [said[number]["content"] for number in (3, 4, 6)] == ["ann@example.org"] * 3
    sent = [one for one in bodies[-1]["messages"] if one["role"] == "assistant"]
    if named:
        assert "ann@example.org" not in json.dumps(bodies)
        assert sent == wrote[:-1]
    else:
        assert [sent[number]["content"] for number in (3, 4)] == ["<EMAIL_2>"] * 2


def test_the_numbers_of_a_conversation_do_not_depend_on_what_stands_around_it(
    lines: list[Line], up: scripted.Upstream
) -> None:
    """Without a correlation id: tools come before the conversation, anywhere in the body; other fields after it."""
    asked = [{"role": "user", "content": "ann@example.org"}]
    for who in ("nobody", "carl@example.org"):
        lines[0].chat(messages=asked, metadata={"who": who}, tools=TOOLS, user="z@example.org")
        body = up.last.body
        assert body["messages"][0]["content"] == "<EMAIL_2>"
        assert body["tools"][0]["function"]["description"] == "or ask <EMAIL_1>"


def test_the_parts_of_an_answer(lines: list[Line], up: scripted.Upstream) -> None:
    """The parts of an answer are separate texts; a placeholder that spans two of them gets the gateway's spelling."""
    asked = [{"role": "user", "content": "ann@example.org"}]
    for cid, texts, expected in (
        ("parts", ["[email 1],", "<EMAIL_1>", "or email"], ["[email 1],", "<EMAIL_1>", "or email"]),
        ("halves", ["<EMA", "IL_1>"], ["<EMAIL_1>", ""]),
    ):
        said = {"role": "assistant", "content": [{"type": "text", "text": text} for text in texts]}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        up.script["<EMAIL_1>"] = {"object": "chat.completion", "choices": [choice]}
        answer = got(lines[0].chat(model="script", messages=asked, cid=cid), stream=False)
        assert answer["content"][0]["text"].startswith("ann@example.org")
        lines[-1].chat(messages=[*asked, answer, {"role": "user", "content": "go on"}], cid=cid)
        assert [part["text"] for part in up.last.body["messages"][1]["content"]] == expected


def test_an_answer_that_was_asked_for_twice(lines: list[Line], up: scripted.Upstream) -> None:
    """Two answers to one request are known by their texts; for equal texts, the first spelling counts."""
    asked = [{"role": "user", "content": "ann@example.org"}]
    answers = []
    for said in ("[email 1]", "I know [EMAIL 1]", "{{EMAIL_1}}"):
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        up.script["<EMAIL_1>"] = {"object": "chat.completion", "choices": [choice]}
        answers.append(got(lines[0].chat(model="script", messages=asked, cid="twice"), stream=False))
    for answer, expected in zip(answers, ("[email 1]", "I know [EMAIL 1]", "[email 1]"), strict=True):
        lines[-1].chat(messages=[*asked, answer, {"role": "user", "content": "go on"}], cid="twice")
        assert up.last.body["messages"][1]["content"] == expected


def test_tools_that_were_taken_out_stay_out(up: scripted.Upstream, tmp_path: Path) -> None:
    """A changed bundle offers no stripped tool again in a running workflow; other workflows follow the new bundle."""
    rego = 'package gateway\ndecision := {"allow": true, "obligations": %s}'
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "p.rego").write_text(rego % '{"strip_tools": ["Pay", "never-offered"]}')

    def offered(line: Line, cid: str) -> list[str]:
        assert line.chat("hi", cid=cid, tools=TOOLS).status_code == 200
        return [tool["function"]["name"] for tool in up.last.body["tools"]]

    with running(tmp_path, config(tmp_path, up.url, policy={"path": str(bundle)})) as line:
        assert offered(line, "old") == ["send"]
        version = line.gateway.shared.policies.version  # type: ignore[union-attr]
        (bundle / "p.rego").write_text(rego % "{}")
        deadline = time.monotonic() + 30
        while line.gateway.shared.policies.version == version and time.monotonic() < deadline:  # type: ignore[union-attr]
            line.chat("hi")
        assert offered(line, "old") == ["send"]
        assert offered(line, "new") == ["send", "pay"]
        assert offered(line, "old") == ["send"]
