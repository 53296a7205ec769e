"""Bounds of work: limits of items, a budget of CPU time, and panics of extensions."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import upstream as scripted
from gateway import budget
from gateway.budget import Abandoned, Budget, Spent
from gateway.call import Call, Json
from gateway.config.grammar import Server
from gateway.detect.personal.scanner import PiiScanner
from gateway.dialects import Codec, items
from gateway.dialects.anthropic_batches import MESSAGE_BATCHES
from gateway.dialects.openai_files import FILES
from gateway.dialects.openai_steps import steps
from gateway.dialects.tree import Survey
from gateway.ingress import read, request
from gateway.limits import tokens
from gateway.limits.tokens import O200k
from gateway.output.screen import AnswerFilter
from gateway.output.whole import WholeFilter
from gateway.scheduling import judging
from gateway.scheduling.lanes import Lanes
from gateway.texts import Slot
from growth import Steps
from line import Line, config, running
from shapes import BODIES, Work, a_call, shape, stream_scanner, text_readers


@pytest.fixture(scope="module")
def readers(pii: PiiScanner) -> dict[str, Work]:
    """All readers of texts, whole or in pieces."""
    return text_readers(stream_scanner(pii), pii)


# What no bound on growth holds: the budget

HOSTILE = ("slashes between digits", "digits apart", "escapes", "percent again", "iban", "vat", "via", "cards", "marks")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_budget_ends_every_scan(readers: dict[str, Work], name: str) -> None:
    """A scan whose budget is spent ends after a step or two, far from the end of a text that takes long to read."""
    counts = []
    for seconds in (3600.0, 0.0):
        text = shape(name, 20_000)  # another object, as what was found in one text is known for a while
        mine = Budget(seconds)
        token = budget.bind(mine)
        mine.begin()
        try:
            if seconds:
                readers["beside"](text)
            else:
                with pytest.raises(Spent):
                    readers["beside"](text)
        finally:
            budget._current.reset(token)
        counts.append(mine.spent)
    # One step of a scanner may be a stretch of the whole text.
    assert counts[1] < counts[0] / 2 or counts[1] < 3 * len(text)


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(0, 59))
def test_an_abandoned_budget_ends_the_work_at_its_next_look(amounts: list[int], at: int) -> None:
    """Whatever the steps cost, the work ends at the next reading of the clock."""
    mine = Budget(3600)
    mine.begin()
    done = 0
    try:
        for number, amount in enumerate(amounts):
            mine.abandoned = number >= at
            mine.spend(amount)
            done += amount if mine.abandoned else 0
    except Abandoned:
        pass
    assert done <= budget.STEP + 400


def test_work_that_is_long_for_the_loop_is_done_in_a_thread() -> None:
    """It begins on the loop, is given up after its slice, and is done again from the start in another thread."""
    places: list[str] = []

    def work() -> int:
        places.append(threading.current_thread().name)
        if len(places) == 1:
            call.budget._slice = -1
            call.budget.spend(budget.STEP + 1)
        return 7

    call = a_call()

    async def main() -> int:
        call.lanes = Lanes(1, slice=10**9)
        try:
            return await judging.judge(call, False, work)
        finally:
            call.lanes.close()

    assert asyncio.run(main()) == 7
    assert places[0] == threading.main_thread().name
    assert places[1].startswith("judge")


MANY: dict[str, dict[str, Any]] = {
    "values": {"x": [True] * 40_000},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 9_000}]},
    "messages": {"messages": [{"role": "user", "content": "a"}] * 9_000},
}


@pytest.mark.parametrize("name", MANY)
def test_many_small_things_are_read_in_a_thread(
    up: scripted.Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Reading a long body, and texts that are known already: each has its own cost."""
    places: dict[str, set[str]] = {"understand": set(), "survey": set()}

    def noted(module: Any, name: str) -> None:
        before = getattr(module, name)

        def work(*args: Any) -> Any:
            places[name].add(threading.current_thread().name.rpartition("_")[0])
            return before(*args)

        monkeypatch.setattr(module, name, work)

    noted(request, "understand")
    noted(read.Ingress, "survey")
    with running(tmp_path, config(tmp_path, up.url)) as line:
        assert [line.chat(model="renamed", **MANY[name]).status_code for _ in range(2)] == [200, 200]
    assert places["understand"] == {"judge"}
    assert name == "values" or places["survey"] == {"judge"}


def test_teams_take_turns_in_the_lanes() -> None:
    """With one lane, a team that asks often is served after each other team's turn; cancelled work never begins."""
    order: list[str] = []

    async def main() -> None:
        lanes, gate = Lanes(1), threading.Event()

        def call_of(team: str) -> Call:
            return a_call(subject=SimpleNamespace(team=team))

        def work(name: str) -> None:
            gate.wait()
            order.append(name)

        first = asyncio.ensure_future(lanes.run(call_of("red"), work, "red 1"))
        await asyncio.sleep(0)
        more = [asyncio.ensure_future(lanes.run(call_of("red"), work, f"red {n}")) for n in (2, 3, 4)]
        await asyncio.sleep(0)
        blue = asyncio.ensure_future(lanes.run(call_of("blue"), work, "blue"))
        await asyncio.sleep(0)
        more[1].cancel()
        gate.set()
        await asyncio.gather(first, *more, blue, return_exceptions=True)
        lanes.close()

    asyncio.run(main())
    assert order == ["red 1", "red 2", "blue", "red 4"]


def test_the_end_of_a_call_ends_its_work() -> None:
    """A call that is cancelled while a thread judges it stops the thread, and the lane is free again."""

    async def main() -> None:
        lanes, call, began = Lanes(1), a_call(), threading.Event()

        def work() -> None:
            began.set()
            while True:
                call.budget.spend(budget.STEP)

        running_ = asyncio.ensure_future(lanes.run(call, work))
        await asyncio.to_thread(began.wait)
        running_.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running_
        assert await lanes.run(a_call(), lambda: 7) == 7
        lanes.close()

    asyncio.run(main())


# Tokens


PIECES = ["word", " ", "\n", "1", "-", "\t", "\u4e2d", "'s", "A"]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join), st.integers(2, 12))
def test_long_texts_are_counted_in_pieces(counter: O200k, text: str, size: int) -> None:
    """If a text can be cut between tokens, the count is exact; otherwise it is never lower and hardly higher."""
    long = text * 40
    patch = pytest.MonkeyPatch()
    patch.setattr(tokens, "_PIECE", 16 * size)
    patch.setattr(tokens, "_SEARCHED", 4 * size)
    try:
        counted = counter.count(long)
    finally:
        patch.undo()
    true = len(counter._load()(long))
    assert true <= counted + 1
    assert counted <= true + 4 * (len(long) // (12 * size) + 1)


@pytest.fixture(scope="module")
def counter() -> O200k:
    return O200k()


@pytest.mark.parametrize("char", [" ", "\t", "\n", "\u3000"])
def test_a_run_of_blanks_without_end_is_counted(counter: O200k, char: str) -> None:
    """The matcher, which recurses over a run of blanks, gets it in pieces."""
    assert counter.count(char * 1_200_000) > 0


# Items


@given(
    st.recursive(st.none() | st.text('a,[{"\\', max_size=6), lambda inner: st.lists(inner, max_size=5), max_leaves=40)
)
def test_values_are_counted_before_they_are_parsed(value: Any) -> None:
    """Commas and brackets in strings are not values; every value but the first follows a comma or a bracket."""

    def count(one: Any) -> int:
        return 1 + sum(map(count, one)) if isinstance(one, list) else 1

    raw = json.dumps(value).encode()
    marks = next(most for most in range(len(raw) + 2) if not items.has_more_values(raw, most))
    assert count(value) // 2 <= marks <= 2 * count(value) + 1


CAPS = {"max_messages": 5, "max_parts": 6, "max_tools": 3, "max_tool_calls": 4, "max_keys": 8, "max_values": 200}
OVER: dict[str, dict[str, Any]] = {
    "max_messages": BODIES["messages"](6),
    "max_parts": BODIES["parts"](7),
    "max_tools": BODIES["tools"](4),
    "max_tool_calls": {"messages": [{"role": "user", "content": "a"}, *BODIES["tool calls"](5)["messages"][1:2]]},
    "max_keys": BODIES["addresses as keys"](9),
    "max_values": BODIES["lists"](200),
}
WITHIN: dict[str, dict[str, Any]] = {
    "max_messages": BODIES["messages"](5),
    "max_parts": BODIES["parts"](6),
    "max_tools": BODIES["tools"](3),
    "max_tool_calls": {"messages": [{"role": "user", "content": "a"}, *BODIES["tool calls"](4)["messages"][1:2]]},
    "max_keys": BODIES["addresses as keys"](8),
    "max_values": BODIES["lists"](180),
}


@pytest.fixture(scope="module")
def small(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with low limits for items and for CPU time."""
    folder = tmp_path_factory.mktemp("small")
    settings = config(
        folder,
        up.url,
        quotas={"tokens": 10**9, "calls": 10**9, "repeats": 1000},
        pii={"default": "mask"},
        output={"pii": "redact"},
        server={**CAPS, "scan_budget": "100ms"},
    )
    with running(folder, settings) as line:
        yield line


def quiet(line: Line) -> None:
    """Return when no call is in flight: all are settled."""
    while line.gateway.shared.shares.calls:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), line.loop).result()


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("name", CAPS)
def test_too_many_items_are_refused_by_name(small: Line, name: str) -> None:
    """A request over a limit is a 413 that names the setting; a request at the limit is served."""
    refused = small.client.post("/v1/chat/completions", json={"model": "echo", **OVER[name]})
    assert code(refused) == (413, "request_too_large")
    assert f"server.{name}" in refused.json()["error"]["message"]
    assert small.client.post("/v1/chat/completions", json={"model": "echo", **WITHIN[name]}).status_code == 200


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": [{"type": "text", "text": "a"}] * 7},
        {"role": "assistant", "content": None, "tool_calls": BODIES["tool calls"](5)["messages"][1]["tool_calls"]},
        {"role": "assistant", "content": "a", "x": [[]] * 200},
    ],
    ids=["parts", "tool calls", "values"],
)
def test_answers_have_caps_too(small: Line, up: scripted.Upstream, message: dict[str, Any]) -> None:
    """An answer over a limit is the provider's fault, and the message names the limit."""
    up.script["much"] = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    refused = small.chat("much", model="script")
    assert code(refused) == (502, "upstream_error")
    assert "server.max_" in refused.json()["error"]["message"]


def test_a_request_that_takes_too_long_to_judge(small: Line, up: scripted.Upstream) -> None:
    """The request is refused with the name of the setting; no part of it leaves, and nothing stays reserved."""
    seen = len(up.seen)
    refused = small.chat(shape("digits apart", 200_000), cid="long")
    assert code(refused) == (413, "request_too_large")
    assert "server.scan_budget" in refused.json()["error"]["message"]
    assert len(up.seen) == seen
    assert small.chat("hello", cid="long").status_code == 200


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_takes_too_long_to_judge(small: Line, up: scripted.Upstream, streamed: bool) -> None:
    """The answer is stopped, whole or streamed, and its usage is settled."""
    text = shape("digits apart", 200_000)
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    events = [scripted.chunk({"content": text[at : at + 4000]}) for at in range(0, len(text), 4000)]
    up.script["dense"] = (
        [*events, scripted.chunk({}, "stop"), b"data: [DONE]\n\n"] if streamed else {**whole, "usage": scripted.USAGE}
    )
    cid = f"dense-{streamed}"
    answer = small.chat("dense", model="script", cid=cid, stream=streamed)
    if streamed:
        assert "server.scan_budget" in answer.text
        assert '"finish_reason":"content_filter"' in answer.text
    else:
        assert code(answer) == (403, "output_blocked")
    quiet(small)
    assert small.workflow(cid).held.get("tokens", 0) == 0
    assert small.workflow(cid).used["tokens"] > 0


# What an extension raises


class PanicException(BaseException):
    """As pyo3 raises it: no Exception."""


@pytest.mark.parametrize(("part", "refusal"), [("_scan", (403, "pii_blocked")), ("count", (503, "overloaded"))])
def test_a_panic_while_a_request_is_judged(
    small: Line, monkeypatch: pytest.MonkeyPatch, part: str, refusal: tuple[int, str]
) -> None:
    """The request is refused and the fault is logged."""

    def panic(*_: object) -> int:
        raise PanicException("called `Result::unwrap()` on an `Err` value")

    monkeypatch.setattr(small.gateway.runtime.line.ingress._texts, part, panic)
    monkeypatch.setattr("gateway.reserve.reserve.all_far", lambda *_: False)  # so that tokens are counted
    assert code(small.chat(f"something new that nobody said before, for {part}")) == refusal
    assert small.metric("meshgate_internal_errors_total") > 0


@pytest.mark.parametrize("streamed", [False, True])
def test_a_panic_while_an_answer_is_judged(
    small: Line, up: scripted.Upstream, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    """The answer is stopped, the call is settled and recorded."""

    def panic(*_: object) -> int:
        raise PanicException("called `Result::unwrap()` on an `Err` value")

    if streamed:
        monkeypatch.setattr(AnswerFilter, "_running", panic)
    else:
        monkeypatch.setattr(WholeFilter, "_survey", panic)
    cid = f"panic-{streamed}"
    answer = small.chat("hello", cid=cid, stream=streamed)
    assert ("output_blocked" in answer.text) or "content_filter" in answer.text
    quiet(small)
    assert small.workflow(cid).held.get("tokens", 0) == 0
    assert small.rows(f"SELECT code FROM outcomes WHERE correlation_id = '{cid}'") == [("output_blocked",)]


# As they were reported


@pytest.fixture(scope="module")
def usual(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the usual bounds."""
    folder = tmp_path_factory.mktemp("usual")
    quotas = {"tokens": 10**9, "calls": 10**9, "repeats": 1000}
    settings = config(folder, up.url, quotas=quotas, pii={"default": "mask"}, server={"scan_budget": "1h"})
    with running(folder, settings) as line:
        yield line


def test_an_assistant_turn_with_20000_tool_calls(usual: Line) -> None:
    """It has more tool calls than a message may."""
    refused = usual.client.post("/v1/chat/completions", json={"model": "echo", **BODIES["tool calls"](20_000)})
    assert code(refused) == (413, "request_too_large")
    with Steps() as taken:
        list(steps(BODIES["tool calls"](20_000)["messages"]))
    assert taken.count < 3_000_000


def test_4000_addresses_as_keys(usual: Line, up: scripted.Upstream) -> None:
    """Each gets a placeholder."""
    body = {"model": "echo", **BODIES["addresses as keys"](4000)}
    assert usual.client.post("/v1/chat/completions", json=body).status_code == 200
    assert len(up.last.body["metadata"]) == 4000
    assert all(key.startswith("<EMAIL_") for key in up.last.body["metadata"])


def test_200000_content_parts(usual: Line) -> None:
    """There are more than there may be."""
    assert code(usual.client.post("/v1/chat/completions", json={"model": "echo", **BODIES["parts"](200_000)}))[0] == 413


def test_the_work_ends_when_the_client_leaves(usual: Line) -> None:
    """A call whose client has disconnected releases its thread, although its text would have taken minutes."""
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": shape("digits apart", 4_000_000)}]})
    lanes = usual.gateway.shared.lanes
    free = lanes._free
    with socket.create_connection(("127.0.0.1", int(usual.url.rpartition(":")[2])), timeout=30) as sock:
        lines = ["POST /v1/chat/completions HTTP/1.1", "host: a", "authorization: Bearer mg-alice"]
        sock.sendall("\r\n".join([*lines, f"content-length: {len(body)}", "", body]).encode())
        while lanes._free == free:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), usual.loop).result()
    quiet(usual)
    assert lanes._free == free


def test_a_megabyte_of_blanks(usual: Line, up: scripted.Upstream) -> None:
    """An ordinary text in requests, and in answers without reported usage."""
    blanks = " " * 1_200_000
    assert usual.chat(blanks, cid="blanks").status_code == 200
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": blanks}, "finish_reason": "stop"}]}
    up.script["blanks"] = answer
    assert usual.chat("blanks", model="script", cid="blanks-2").status_code == 200
    quiet(usual)
    assert usual.workflow("blanks-2").used["tokens"] > 1000


def test_the_defaults_are_generous() -> None:
    """Thousands of messages are an agent at work."""
    assert min(Server().max_messages, Server().max_parts) >= 10_000


class Looked(list[Slot]):
    """Texts that count how often somebody looks at all of them."""

    looks = 0

    def __iter__(self) -> Iterator[Slot]:
        self.looks += 1
        return super().__iter__()


def test_the_texts_of_a_batch_are_looked_at_once() -> None:
    """Not once for each of its requests."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    asked = {"messages": [{"role": "user", "content": parts}]}
    batches: list[tuple[Codec, Json]] = [
        (MESSAGE_BATCHES, {"requests": [{"params": asked}] * 50}),
        (FILES, {"file": {"lines": [{"body": asked}] * 50}}),
    ]
    for codec, body in batches:
        survey = Survey(codec.shape)
        survey.walk(body)
        slots = Looked(survey.slots)
        assert codec.joined(body, slots)
        assert slots.looks == 1
