"""Irregular reports of providers: incomplete usage, empty events, indexes of choices, unpaid accounts."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calls
import upstream as scripted
from gateway.call import Usage
from gateway.detect.secrets.own import OwnSecrets
from gateway.dialects.openai_answer import usage
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from line import Line, config, running

COUNTS = st.integers(0, 9000)
KEY = "zq-upstream-9f8e/7d6c5b4a39"


@given(asked=COUNTS, said=COUNTS, thought=COUNTS)
def test_thinking_that_only_the_total_tells(asked: int, said: int, thought: int) -> None:
    """Some providers leave thinking out of `completion_tokens`; for others, the charge stays the same."""
    told = {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    for total, output in ((asked + said + thought, said + thought), (asked + said, said), (None, said), (0, said)):
        found = usage({"usage": {**told, "total_tokens": total}})
        assert found is not None
        assert (found.input, found.output) == (asked, output)


@given(st.lists(st.builds(Usage, input=COUNTS, output=COUNTS, cached=COUNTS, reasoning=COUNTS), min_size=1, max_size=5))
def test_several_reports_of_one_answer(reports: list[Usage]) -> None:
    """Values that a later report omits are kept from an earlier report."""
    found: Usage | None = None
    for one in reports:
        found = one.joined(found)
    assert found is not None
    for name in ("input", "output", "cached", "reasoning"):
        assert getattr(found, name) == max(getattr(one, name) for one in reports)


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The shipped configuration, with one provider that is out of credit and one that is not."""
    folder = tmp_path_factory.mktemp("counts")
    setup = config(folder, up.url, output={"secrets": "block", "pii": "redact"}, quotas={"tokens": 10**6})
    prices = {"price": {"input": 1, "output": 2}}
    setup["models"] |= {"unpaid": {"targets": ["up/status-402"], **prices}}
    setup["models"] |= {"unpaid-first": {"targets": ["up/status-402", "up/echo"], **prices}}
    with running(folder, setup) as started:
        yield started


def event(**said: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", **said}).encode() + b"\n\n"


def test_counts_that_grow_and_shrink(line: Line, up: scripted.Upstream) -> None:
    """The last report has lower counts than the first."""
    reports = ({"prompt_tokens": 11, "completion_tokens": 1}, {"prompt_tokens": 0, "completion_tokens": 7})
    said = event(choices=[{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}])
    up.script["grow"] = [said, *(event(choices=[], usage=one) for one in reports), b"data: [DONE]\n\n"]
    assert line.chat("grow", "script", cid="grow", stream=True).status_code == 200
    charged = line.metric("meshgate_tokens_total", model="script")
    assert charged == 18


@pytest.mark.parametrize("empty", [b"data:\n\n", b"data: \n\n", b"event: ping\ndata:\n\n", b"data: \r\n\r\n"])
def test_an_empty_event_says_nothing(line: Line, up: scripted.Upstream, empty: bytes) -> None:
    """It keeps a connection alive."""
    pieces = [event(choices=[{"index": 0, "delta": {"content": one}}]) for one in ("he", "llo")]
    up.script["beat"] = [empty, pieces[0], empty, pieces[1], empty, b"data: [DONE]\n\n"]
    answer = line.chat("beat", "script", stream=True)
    assert answer.status_code == 200
    events = [json.loads(one[6:]) for one in answer.text.splitlines() if one.startswith("data: {")]
    assert "".join(choice["delta"].get("content", "") for one in events for choice in one["choices"]) == "hello"


@pytest.mark.parametrize("index", [-1, "-1", -0.0, None, "x"])
def test_a_place_that_is_none_is_the_first(line: Line, up: scripted.Upstream, index: Any) -> None:
    """A text is judged as a whole, wherever its pieces say they belong."""
    pieces = ("card 4539 ", "1488 0343 ", "6467 ok")
    places = (0, index, 0)
    up.script["place"] = [
        *(event(choices=[{"index": at, "delta": {"content": one}}]) for at, one in zip(places, pieces, strict=True)),
        b"data: [DONE]\n\n",
    ]
    answer = line.chat("place", "script", stream=True)
    assert "<CREDIT_CARD>" in answer.text
    assert "1488" not in answer.text


def test_a_provider_that_is_not_paid(line: Line) -> None:
    """Its bill is the operator's, not the caller's mistake; the next target is tried."""
    answer = line.chat("hi", "unpaid")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert line.chat("hi", "unpaid-first").status_code == 200


@pytest.mark.parametrize("role", ["", " ", "\t"])
def test_a_role_without_a_name_is_refused(role: str) -> None:
    """The author of its text would be unknown."""
    with pytest.raises(Refusal):
        OPENAI_CHAT.parse({"model": "m", "messages": [{"role": role, "content": "hi"}]})


def test_a_key_in_hexadecimal_digits_of_either_case() -> None:
    """As hexdump and databases write them."""
    digits = KEY.encode().hex()
    assert all(_own(KEY).holds(said.encode()) for said in (digits, digits.upper()))


@pytest.mark.parametrize("size", [64, 65, 200, 2000])
@given(cuts=st.lists(st.integers(1, 300), max_size=40), at=st.integers(0, 90))
@settings(max_examples=20, deadline=None)
def test_a_long_key_leaves_in_no_piece(size: int, cuts: list[int], at: int) -> None:
    """A token of two thousand characters is found like a token of twenty: with any cut, no part leaves."""
    key = "".join(hashlib.sha256(str(one).encode()).hexdigest() for one in range(size // 64 + 1))[:size]
    own = _own(key)
    before = f"{key[: min(at, size - 1)]}- the key is "
    said = f"{before}{key}, keep it"
    guard, left, start = own.guard(_CALL), "", 0
    stopped = False
    for cut in [*cuts, len(said)]:
        try:
            left += guard.feed(said[start : start + cut])
        except Refusal:
            stopped = True
            break
        start += cut
    assert stopped
    assert before.startswith(left)


@functools.cache
def _own(key: str) -> OwnSecrets:
    return OwnSecrets([key])


_CALL = calls.call()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("text", "told", "least"), [("a b c d e f", 0, 2), ("", 0, 0), ("a b c d e f", 1, 0)])
def test_no_tokens_for_a_text_are_not_believed(
    line: Line, up: scripted.Upstream, streamed: bool, text: str, told: int, least: int
) -> None:
    """A text whose provider reports no tokens is counted; an empty answer is free, and any other report is believed."""
    reported = {"prompt_tokens": 0, "completion_tokens": told}
    choice = {"index": 0, "finish_reason": "stop"}
    up.script["zero"] = (
        [
            event(choices=[{**choice, "delta": {"content": text}}]),
            event(choices=[], usage=reported),
            b"data: [DONE]\n\n",
        ]
        if streamed
        else {"id": "x", "object": "chat.completion", "usage": reported}
        | {"choices": [{**choice, "message": {"role": "assistant", "content": text}}]}
    )
    before = line.metric("meshgate_tokens_total", model="script")
    assert line.chat("zero", "script", stream=streamed).status_code == 200
    charged = line.metric("meshgate_tokens_total", model="script") - before
    assert charged >= least
    assert least or charged == told
