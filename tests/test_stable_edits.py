"""Edits are stable: what leaves for turn N of a conversation is the beginning of what leaves for turn N+1.

On each store, with and without a correlation id, for any texts and any spellings of placeholders.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import calls
from budgets import examples
from gateway.call import Call, Subject
from gateway.config.sections import Output, Pii
from gateway.detect.core.window import StreamScanner
from gateway.detect.personal import placeholders
from gateway.detect.personal.scanner import PiiScanner, canonical
from gateway.detect.secrets.scanner import SecretScanner
from gateway.detect.unscannable import Beside
from gateway.dialects import tree
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.dialects.openai_tables import SHAPE
from gateway.dialects.parts import merged
from gateway.output.invisible import Invisible
from gateway.output.screen import Screen
from gateway.redaction.redact import Replacer
from gateway.redaction.spellings import Spellings
from gateway.redaction.vault import Seal
from gateway.stores import Store
from gateway.texts import Finding
from store_harness import Backend

VALUES = ["ann@example.org", "bob@example.org", "212-555-0123", "+49 30 1234567", "4111 1111 1111 1111"]
LIKES = ["<EMAIL_1>", "[email 1]", "PHONE_2", "{{CREDIT_CARD_1}}", "<LITERAL_1>", "[literal 2]", "&lt;EMAIL_9&gt;"]
PLAIN = ["see", "Grüße,", "[Figure 2]", '"quoted"', "a\\b", "\n", "<h1>", "{}"]
SPELLINGS: list[Callable[[str], str]] = [
    lambda name: f"<{name}>",
    lambda name: f"<{name.lower()}>",
    lambda name: f"[{name.replace('_', ' ')}]",
    lambda name: f"{{{{{name}}}}}",
    lambda name: f"&lt;{name}&gt;",
    lambda name: f"**{name}**",
    lambda name: f"x<{name}>y",
    lambda name: f"%3C{name}%3E",
    lambda name: f"\u200b<{name}>\u200b",  # invisible characters are taken out of answers
]

# What a model says: the number of a placeholder that it has seen and a way to spell it, or words of its own.
marks = st.tuples(st.integers(0, 7), st.integers(0, len(SPELLINGS) - 1))
said = st.tuples(
    st.one_of(marks, marks, st.sampled_from([*LIKES, *PLAIN])),
    st.lists(st.one_of(marks, st.sampled_from([*LIKES, *PLAIN])), max_size=2),
).map(lambda parts: [parts[0], *parts[1]])
words = st.lists(st.sampled_from([*VALUES, *LIKES, *PLAIN]), min_size=1, max_size=4).map(" ".join)
turns = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.one_of(words, st.lists(words, min_size=1, max_size=2)),
            "answer": said,
            "arguments": st.lists(said, max_size=2),
            "ascii": st.booleans(),
            "streamed": st.booleans(),
            "replica": st.booleans(),
            "result": words,
        }
    ),
    min_size=1,
    max_size=4,
)
few_shot = st.lists(st.tuples(words, words), max_size=2)
described = st.none() | words


@pytest.fixture(scope="module")
def screen(pii: PiiScanner) -> Screen:
    """The filter as the gateway builds it."""
    mine = {placeholders.PLACEHOLDER: placeholders.WRITTEN}
    others = {placeholders.LIKE: placeholders.SPELLINGS}
    scanner = StreamScanner(pii, SecretScanner(), mine, weak=others)
    return Screen(Output(tools="any"), scanner, lambda _: False, [Invisible("remove")])


@pytest.fixture(scope="module")
def look(pii: PiiScanner) -> Callable[[str], Sequence[Finding]]:
    """The findings in a text of a request."""
    return Beside(pii.scan).scan


class Gateway:
    """The editing stages of the line, with one store."""

    def __init__(self, store: Store, screen: Screen, look: Callable[[str], Sequence[Finding]]) -> None:
        seal = Seal(b"k" * 32)
        self.spellings = Spellings(store, seal, 3600)
        self.replacer = Replacer(Pii(), store, seal, canonical, 3600, spellings=self.spellings)
        self.screen = screen
        self.look = look

    async def request(self, body: dict[str, Any], workflow: str) -> tuple[dict[str, Any], Call]:
        """The request as it leaves."""
        call = calls.call(subject=Subject("a", "red"))
        call.request.correlation_id, call.request.alone = workflow or uuid.uuid4().hex, not workflow
        call.request.body, survey = tree.parse(orjson.dumps(body), SHAPE, 64)
        call.request.slots, call.request.nested = survey.slots, survey.nested
        call.request.found = [(slot, found) for slot in call.request.slots if (found := self.look(slot.text))]
        joined = [(one, self.look(one.slot.text)) for one in OPENAI_CHAT.joined(call.request.body, call.request.slots)]
        call.request.found = merged(call.request.found, joined, call.request.slots)
        await self.replacer.redact(call)
        return call.request.body, call

    async def whole(self, call: Call, message: dict[str, Any]) -> dict[str, Any]:
        """A message as the caller gets it."""
        answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        if call.redaction.restore:
            self.screen.filter(call).whole(answer)
        await self.kept(call)
        got: dict[str, Any] = answer["choices"][0]["message"]  # type: ignore[assignment]
        return got

    async def streamed(self, call: Call, message: dict[str, Any]) -> dict[str, Any]:
        """The same, assembled from a stream of single characters."""
        if not call.redaction.restore:
            return message
        codec, answer = OPENAI_CHAT.stream(keep_usage=False), self.screen.filter(call)
        deltas = [{"content": char} for char in message["content"]]
        for at, one in enumerate(message.get("tool_calls", ())):
            deltas.append({"tool_calls": [{**one, "index": at, "function": {**one["function"], "arguments": ""}}]})
            deltas += [
                {"tool_calls": [{"index": at, "function": {"arguments": char}}]}
                for char in one["function"]["arguments"]
            ]
        ends: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        ends.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        out: list[bytes] = []
        for end in ends:
            for chunk in codec.feed(b"data: " + json.dumps({"id": "c", "choices": [end]}).encode() + b"\n\n"):
                out += answer.feed(chunk, codec)
        out += answer.close(codec)
        await self.kept(call)
        content = ""
        calls: dict[int, dict[str, Any]] = {}
        for event in b"".join(out).decode().split("\n\n"):
            if not event.startswith("data: {"):
                continue
            for choice in json.loads(event[6:])["choices"]:
                content += choice["delta"].get("content") or ""
                for one in choice["delta"].get("tool_calls") or ():
                    told = calls.setdefault(
                        one["index"], {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
                    )
                    told["id"] = one.get("id") or told["id"]
                    for key in ("name", "arguments"):
                        told["function"][key] += one.get("function", {}).get(key) or ""
        made = {"role": "assistant", "content": content}
        return {**made, "tool_calls": list(calls.values())} if calls else made

    async def kept(self, call: Call) -> None:
        if call.redaction.spoken:
            await self.spellings.keep(call)


def spoken(parts: Sequence[str | tuple[int, int]], call: Call, ways: int = len(SPELLINGS)) -> str:
    """An answer of a model that has seen the placeholders of a request."""
    seen = sorted(call.redaction.restore)
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif seen:
            out.append(SPELLINGS[part[1] % ways](seen[part[0] % len(seen)][1:-1]))
    return " ".join(out)


def answered(turn: dict[str, Any], call: Call, number: int) -> dict[str, Any]:
    """The model's message."""
    message: dict[str, Any] = {"role": "assistant", "content": spoken(turn["answer"], call)}
    if turn["arguments"]:
        held = {f"field{at}": spoken(parts, call, 8) for at, parts in enumerate(turn["arguments"])}
        whole = {"deep": [held], "cc": [*held.values()], "n": 1.50}
        text = json.dumps(whole, ensure_ascii=turn["ascii"], indent=1 if turn["ascii"] else None)
        if turn["ascii"]:
            text = text.replace("<", "\\u003c")
        message["tool_calls"] = [
            {"id": f"c{number}", "type": "function", "function": {"name": "send", "arguments": text}}
        ]
    return message


# A text of a list that is judged to its end before the list is.
ENDED = [
    {
        "user": "ann@example.org",
        "answer": answer,
        "arguments": arguments,
        "ascii": False,
        "streamed": False,
        "replica": False,
        "result": "ann@example.org",
    }
    for answer, arguments in (([(0, 0)], [[(0, 0)], [(0, 1), "\n"]]), (["<EMAIL_1>"], []))
]


@pytest.mark.parametrize("workflow", ["named", "alone"])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(few=few_shot, rounds=turns, tool=described)
@example(few=[], rounds=ENDED, tool=None)
async def test_what_left_stays_what_it_was(
    store: Store,
    screen: Screen,
    look: Callable[[str], Sequence[Finding]],
    workflow: str,
    few: list[tuple[str, str]],
    rounds: list[dict[str, Any]],
    tool: str | None,
) -> None:
    """Message by message; and with a correlation id past answers leave as the model wrote them."""
    gateway = Gateway(store, screen, look)
    name = uuid.uuid4().hex if workflow == "named" else ""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Help."}]
    for asked, told in few:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
    before: dict[str, Any] = {}
    wrote: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}  # what the model said and the caller got, by place
    for number, turn in enumerate(rounds):
        parts = turn["user"]
        content = parts if isinstance(parts, str) else [{"type": "text", "text": part} for part in parts]
        messages.append({"role": "user", "content": content})
        body: dict[str, Any] = {"messages": messages, "model": "m"}
        if tool is not None:
            body["tools"] = [{"type": "function", "function": {"name": "send", "description": tool}}]
        if turn["replica"]:
            gateway = Gateway(store, screen, look)
        sent, call = await gateway.request(json.loads(json.dumps(body)), name)
        if before:
            assert sent["messages"][: len(before["messages"])] == before["messages"]
            assert sent.get("tools") == before.get("tools")
        for place, (raw, got) in wrote.items() if name else ():
            as_written(sent["messages"][place], raw, got)
        before = sent
        message = answered(turn, call, number)
        raw = json.loads(json.dumps(message))
        got = await (gateway.streamed if turn["streamed"] else gateway.whole)(call, message)
        wrote[len(messages)] = raw, got
        messages.append(got)
        for one in got.get("tool_calls", ()):
            messages.append({"role": "tool", "tool_call_id": one["id"], "content": turn["result"]})


def as_written(sent: dict[str, Any], raw: dict[str, Any], got: dict[str, Any]) -> None:
    """A past message of the model leaves as the model wrote it, except for texts without restored values."""
    triples = [(sent["content"], raw["content"], got["content"])]
    for one, other, third in zip(*(it.get("tool_calls", ()) for it in (sent, raw, got)), strict=True):
        texts = [it["function"]["arguments"] for it in (one, other, third)]
        strings = [[*held["deep"][0].values(), *held["cc"]] for held in map(json.loads, texts)]
        inner = [*zip(*strings, strict=True)]
        if all(is_restored(value) for *_, value in inner):
            triples.append((texts[0], texts[1], texts[2]))
        triples += inner
    for leaves, written, value in triples:
        if is_restored(value):
            assert leaves == written


def is_restored(text: str) -> bool:
    return any(value in text for value in VALUES)


async def test_numbers_start_anew_with_the_workflow(
    place: Backend, screen: Screen, look: Callable[[str], Sequence[Finding]]
) -> None:
    """After the ttl of the workflow, the conversation is numbered and spelled like a new conversation."""
    store = await place.open()
    gateway = Gateway(store, screen, look)
    first = {"role": "user", "content": "bob@example.org"}
    await gateway.request({"messages": [first]}, "w")
    second = {"role": "user", "content": "ann@example.org"}
    sent, call = await gateway.request({"messages": [second]}, "w")
    assert sent["messages"][0]["content"] == "<EMAIL_2>"
    got = await gateway.whole(call, {"role": "assistant", "content": "[email 2]?"})
    assert got["content"] == "ann@example.org?"
    history = {"messages": [second, got]}
    sent, _ = await gateway.request(history, "w")
    assert [one["content"] for one in sent["messages"]] == ["<EMAIL_2>", "[email 2]?"]
    place.clock.advance(3601)
    anew = Gateway(store, screen, look)
    sent, _ = await anew.request(history, "w")
    assert [one["content"] for one in sent["messages"]] == ["<EMAIL_1>", "<EMAIL_1>?"]
    await store.close()


SIGNS = ["\\", "\\\\", '"', "'", "\\n", "\\t", "\\u0061", "\n", " ", "`", "/", "<", "&", "{", "[", ":", "x", "C:\\"]
AROUND = ["\\{} ", '"{}" ', "{} ", "\\\\{}\\ ", "'{}'\\", "{}\\n ", '\\"{}\\" ']
QUOTED = st.lists(
    st.sampled_from([*SIGNS, *(f"{form.replace('{}', value)}and " for form in AROUND for value in VALUES)]),
    min_size=1,
    max_size=6,
).map("".join)


@settings(
    max_examples=examples(60, 2000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=QUOTED, streamed=st.booleans(), ascii_only=st.booleans())
@example(text="C:\\ann@example.org", streamed=False, ascii_only=True)
async def test_a_text_with_backslashes_and_quotes_comes_back(
    store: Store,
    screen: Screen,
    look: Callable[[str], Sequence[Finding]],
    text: str,
    streamed: bool,
    ascii_only: bool,
) -> None:
    """A model that repeats what it was sent tells the caller what the caller sent, also in JSON."""
    gateway = Gateway(store, screen, look)
    held = {"a": text, "b": [text], "c": json.dumps({"d": text})}
    arguments = json.dumps(held, ensure_ascii=ascii_only)
    asked = {"id": "c0", "type": "function", "function": {"name": "send", "arguments": arguments}}
    said = [{"role": "user", "content": text}, {"role": "assistant", "content": "ok", "tool_calls": [asked]}]
    sent, call = await gateway.request({"messages": said, "model": "m"}, uuid.uuid4().hex)
    masked = sent["messages"][1]["tool_calls"]
    message = {"role": "assistant", "content": sent["messages"][0]["content"], "tool_calls": masked}
    got = await (gateway.streamed if streamed else gateway.whole)(call, json.loads(json.dumps(message)))
    assert got["content"] == text
    assert json.loads(got["tool_calls"][0]["function"]["arguments"]) == held
