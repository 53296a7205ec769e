"""Which repetitions count as loops: tool calls, prompts, turns, agents."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.amounts import Debit, Look
from gateway.call import Step, ToolUse
from gateway.config.limits import Quotas
from gateway.config.sections import Loops as Settings
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.errors import Refusal
from gateway.limits.loops import Loops, canonical, cycle

WORKFLOW = ("team", "workflow")


def digest(kind: str, text: str) -> bytes:
    return hmac.digest(b"key", f"{kind}\0{text}".encode(), "sha256")[:16]


def loops(hops: int | None = None, repeats: int | None = None, **settings: int) -> Loops:
    return Loops(Quotas(hops=hops, repeats=repeats), Settings(**settings), digest)


def use(arguments: Any = '{"city": "Oslo"}', id: str = "c1", tool: str = "weather") -> ToolUse:
    return ToolUse(id, tool, arguments)


def round_of(*uses: ToolUse, text: str = "rain") -> list[Step]:
    """The model asks, the tools answer."""
    return [Step("turn", "", uses), *(Step("result", text, (it,)) for it in uses)]


def look(judge: Loops, steps: list[Step], agent: str = "bot", offered: bool = True) -> Look:
    return judge.look(WORKFLOW, agent, steps, offered)


def only(found: Look) -> Debit:
    (debit,) = found.debits
    return debit


# Arguments


@pytest.mark.parametrize(
    "other",
    [
        '{"b":[1.0,2e0],"a":"x"}',
        ' {\n"a" : "\\u0078", "b": [1, 2]} ',
        {"b": [1, 2.0], "a": "x"},
    ],
)
def test_equal_arguments_have_one_form(other: Any) -> None:
    """Order, whitespace, escapes and the spelling of numbers make no difference; an object is as good as its JSON."""
    assert canonical('{"a": "x", "b": [1, 2]}') == canonical(other)


def test_different_arguments_stay_different() -> None:
    """Types, order in lists and the last digit of a long id count; other text than JSON is compared as a string."""
    different = ['{"a":1}', '{"a":"1"}', '{"a":[1,2]}', '{"a":[2,1]}', '{"a":true}', '{"a":null}', '{"a":1.5}']
    different += ['{"a":12345678901234567890123}', '{"a":12345678901234567890124}', "{oh", "{oh ", '{"a":NaN}']
    assert len({canonical(text) for text in different}) == len(different)
    assert canonical("") == canonical("{}") == canonical({})
    assert canonical("[" * 100_000) == "[" * 100_000


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
def test_the_form_does_not_depend_on_who_wrote_it(arguments: dict[str, Any]) -> None:
    """Any order of keys, any layout, escaped or not: one text."""
    backwards = dict(reversed(arguments.items()))
    assert canonical(json.dumps(arguments, indent=3)) == canonical(json.dumps(backwards, ensure_ascii=False))


# The same tool call


def test_a_tool_result_takes_one_repeat() -> None:
    """One debit for each call with a new result, by agent, tool and arguments, without showing them."""
    judge = loops(repeats=3)
    debit = only(look(judge, round_of(use())))
    assert (debit.unit, debit.amount, debit.limit) == ("repeats", 1, 3)
    assert debit.name == "the tool weather with the same arguments (quotas.repeats)"
    assert "Oslo" not in str(debit)
    assert only(look(judge, round_of(use('{"city":"Oslo" }', "c2")))).key == debit.key
    others = [use('{"city": "Rome"}'), use(tool="news")]
    keys = {only(look(judge, round_of(it))).key for it in others} | {only(look(judge, round_of(use()), "other")).key}
    assert len(keys) == 3
    assert debit.key not in keys


def test_a_key_is_needed_to_find_out_what_was_repeated() -> None:
    """Names are keyed digests: without the key, a guess cannot be checked against what is stored."""
    other = Loops(Quotas(repeats=3), Settings(), lambda kind, text: hmac.digest(b"other", text.encode(), "sha256"))
    assert only(look(loops(repeats=3), round_of(use()))).key != only(look(other, round_of(use()))).key


def test_only_what_is_brought_back_counts() -> None:
    """Calls of earlier turns were counted before; a later prompt counts nothing; a result among prompts does."""
    judge = loops(repeats=3)
    first, second = round_of(use()), round_of(use("{}", "c2", "news"))
    assert "news" in only(look(judge, [*first, *second])).name
    assert look(judge, [*first, Step("turn"), Step("prompt", "thanks")]).debits == ()
    assert len(look(judge, [*first, Step("prompt", "go on")]).debits) == 1
    assert len(look(judge, round_of(use(), use("{}", "c2", "news"))).debits) == 2


def test_a_result_sent_again_counts_once() -> None:
    """Counted by its call id, once its request was answered; a failed request gives its debits back."""
    judge = loops(repeats=3)
    found = look(judge, round_of(use()))
    assert judge.ended(found, finished=False) == {only(found).key: 0}
    again = look(judge, round_of(use()))
    assert only(again).amount == 1
    assert judge.ended(again, finished=True) == {}
    assert only(look(judge, round_of(use()))).amount == 0
    assert only(look(judge, round_of(use(id="c2")))).amount == 1
    assert only(judge.look(("team", "other"), "bot", round_of(use()), True)).amount == 1


@pytest.mark.parametrize("id", ["", "same"])
def test_ids_that_are_no_ids(id: str) -> None:
    """If a server gives all calls the same id, or none, calls in the history are distinguished by their number."""
    judge = loops(repeats=9)
    steps: list[Step] = []
    for _ in range(3):
        steps += round_of(use(id=id))
        found = look(judge, steps)
        assert only(found).amount == 1
        judge.ended(found, finished=True)
        assert only(look(judge, steps)).amount == 0
    found = look(judge, round_of(use(id=id), use(id=id)))
    assert len(set(found.marks)) == 2


def test_a_long_history_shows_its_repeats_by_itself() -> None:
    """Without the store: more repeats in the history than allowed are refused, with their number."""
    judge = loops(repeats=3)
    steps = [step for number in range(3) for step in round_of(use(id=f"c{number}"))]
    assert len(look(judge, steps).debits) == 1
    with pytest.raises(Refusal) as refused:
        look(judge, [*steps, *round_of(use('{"city":"Oslo"}', "c9"))])
    assert refused.value.code == "loop_detected"
    assert "the tool weather with the same arguments 4 times; quotas.repeats allows 3" in refused.value.message
    assert "Oslo" not in refused.value.message
    assert look(judge, [*steps, *round_of(use("{}", "c9"))]).debits  # another call: the circle is left
    assert look(judge, [*steps, *round_of(use(id="c9")), Step("turn"), Step("prompt", "hello")]).debits == ()


def test_a_name_that_is_no_name_is_not_shown() -> None:
    """The value in the place of a tool's name may be anything."""
    debit = only(look(loops(repeats=1), round_of(use(tool="ann@example.org, 47 Elm Street"))))
    assert debit.name == "a tool with the same arguments (quotas.repeats)"


# The same prompt


def test_a_prompt_takes_one() -> None:
    """When the request asks it, not while tools work on it."""
    judge = loops(prompts=2)
    ask = [Step("prompt", "why?")]
    debit = only(look(judge, ask))
    assert (debit.unit, debit.amount, debit.limit) == ("repeats", 1, 2)
    assert "why" not in str(debit)
    assert look(judge, [*ask, *round_of(use())]).debits == ()
    assert only(look(judge, [*ask, Step("turn"), Step("prompt", "why not?")])).key != debit.key
    assert only(look(judge, ask, agent="other")).key != debit.key


def test_a_conversation_shows_its_prompts_by_itself() -> None:
    """The same question over and over in one history is refused; the question itself is not repeated."""
    judge = loops(prompts=2)
    steps = [Step("prompt", "why?"), Step("turn")] * 2
    with pytest.raises(Refusal) as refused:
        look(judge, [*steps, Step("prompt", "why?")])
    assert refused.value.code == "loop_detected"
    assert "3 times in this conversation; loops.prompts allows 2" in refused.value.message
    assert "why" not in refused.value.message
    assert look(judge, [*steps, Step("prompt", "what now?")]).debits


# Turns


def test_turns_without_a_new_result() -> None:
    """Counted from the last new result, only while tools are offered."""
    judge = loops(turns=2)
    idle = [Step("prompt", "go"), Step("turn"), Step("prompt", "go on"), Step("turn")]
    assert look(judge, [*idle, Step("prompt", "go on")]) == Look()
    more = [*idle, Step("prompt", "go on"), Step("turn"), Step("prompt", "go on")]
    with pytest.raises(Refusal) as refused:
        look(judge, more)
    assert refused.value.code == "loop_detected"
    assert "3 turns since the last new tool result" in refused.value.message
    assert look(judge, more, offered=False) == Look()
    assert look(judge, [*more, *round_of(use())]) == Look()
    same = [*round_of(use()), *round_of(use(id="c2")), *round_of(use(id="c3")), *round_of(use(id="c4"))]
    with pytest.raises(Refusal):
        look(judge, same)
    other = [step for text in "abcd" for step in round_of(use(), text=text)]
    assert look(judge, other) == Look()


# Agents


def test_the_depth_of_the_chain() -> None:
    """As many hops as allowed; the refusal names the chain."""
    judge = loops(hops=2)
    judge.follow(["a", "b", "c"], [])
    with pytest.raises(Refusal) as refused:
        judge.follow(["a", "b", "c", "d"], [])
    assert refused.value.code == "hop_limit"
    assert "3 hops deep: a -> b -> c -> d; quotas.hops allows 2" in refused.value.message
    loops().follow(["a", "b", "c", "d"], list("abababababab"))


@pytest.mark.parametrize(
    ("path", "ring", "rounds"),
    [
        ("", "", 0),
        ("ab", "", 0),
        ("aba", "ab", 1),
        ("xabab", "ba", 1),
        ("xababa", "ab", 2),
        ("abcabca", "abc", 2),
        ("abacaba", "", 1),
        ("ababc", "", 0),
    ],
)
def test_a_cycle_is_found_at_the_end_of_the_path(path: str, ring: str, rounds: int) -> None:
    """A round is complete when its first agent calls again."""
    found, times = cycle(path)
    assert times == rounds
    if ring:
        assert "".join(found) == ring


@given(st.lists(st.sampled_from("abcd"), max_size=12))
def test_a_cycle_is_really_there(path: list[str]) -> None:
    """The reported cycle is at the end of the path, as often as reported."""
    ring, rounds = cycle(path)
    if rounds:
        assert path[-len(ring) * rounds - 1 :] == [*list(ring) * rounds, ring[0]]


def test_agents_that_hand_over_in_a_circle() -> None:
    """More rounds than allowed are refused, and named."""
    judge = loops(cycles=2)
    judge.follow(["a"], list("xababa"))
    with pytest.raises(Refusal) as refused:
        judge.follow(["a"], list("xabababa"))
    assert refused.value.code == "loop_detected"
    assert "a -> b -> a have handed over to each other 3 times" in refused.value.message


# OpenAI chat completions


def call(id: str, arguments: str = "{}", name: str = "weather") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_the_steps_of_a_chat() -> None:
    """Prompts, turns and results, each result with the call it answers, also in parallel and in the older form."""
    body = {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": " hi "}]},
            {"role": "assistant", "content": None, "tool_calls": [call("c1"), call("c2", "[]", "news")]},
            {"role": "tool", "tool_call_id": "c2", "content": "none"},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}},
            {"role": "function", "name": "old", "content": "1"},
            {"role": "user", "content": "hi"},
        ]
    }
    one, two, old = ToolUse("c1", "weather", "{}"), ToolUse("c2", "news", "[]"), ToolUse("", "old", "{}")
    assert OPENAI_CHAT.steps(body) == [
        Step("prompt", "hi"),
        Step("turn", "", (one, two)),
        Step("result", "none", (two,)),
        Step("result", "rain", (one,)),
        Step("turn", "", (old,)),
        Step("result", "1", (old,)),
        Step("prompt", "hi"),
    ]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": "nobody", "content": "x"},
        {"role": "tool", "content": None},
        {"role": "assistant", "tool_calls": [1, {}, {"function": 7}, {"type": "odd", "odd": []}]},
        {"role": "assistant", "tool_calls": "none", "function_call": []},
        {"role": "assistant", "tool_calls": [{"id": 5, "function": {"name": [], "arguments": {"a": 1}}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]},
        {"role": "user", "content": None},
        {"role": "", "content": "x"},
    ],
)
def test_odd_messages_are_read_without_a_fault(message: dict[str, Any]) -> None:
    """Callers may send anything; a result without its call does not count."""
    steps = OPENAI_CHAT.steps({"messages": [message, *[{"role": "tool", "tool_call_id": "", "content": "x"}] * 2]})
    counted = look(loops(repeats=3, prompts=3, turns=9), steps).debits
    assert all(debit.unit == "repeats" and debit.amount == 1 for debit in counted)
