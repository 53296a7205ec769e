"""The embedded engine: results, failures, and memoization."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.bundles import Write
from gateway.errors import ConfigError
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.bundle import load
from gateway.policy.engines.embedded import Embedded
from gateway.policy.engines.rego import EvaluationError, Program, TooLong, compile_bundle
from gateway.policy.engines.rego.values import to_json


def engine(write: Write, body: str, **options: Any) -> Embedded:
    return Embedded(load(write({"p.rego": f"package gateway\n{body}"})), **options)


async def test_the_result_as_it_is(write: Write) -> None:
    """Objects, sets as lists, numbers and any text are returned."""
    judge = engine(write, 'decision := {"a": input.a, "s": {x | some x in input.a.l}, "n": [1, 2.5, null, true]}')
    texts = ["x", 'q"uo\te', "\\n", "é\u2028漢😀", "a\0b", "\\u0041"]
    value = {"l": texts, "i": 2**53 + 1, "f": 0.1234567890123}
    result = await judge.decide({"a": value})
    assert {**result, "s": set(result["s"])} == {"a": value, "s": set(texts), "n": [1, 2.5, None, True]}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)
ECHO = compile_bundle({"e.rego": "package gateway\n\ndecision := [input]"})
DECISION = ("data", "gateway", "decision")


def evaluated(program: Program, document: Any, **options: Any) -> Any:
    return to_json(program.evaluate(DECISION, program.env(document, **options)))


@given(json_values)
def test_the_input_arrives_as_it_was_sent(value: Any) -> None:
    """Text, numbers and nesting reach the policy unchanged."""
    assert evaluated(ECHO, orjson.loads(orjson.dumps(value))) == [value]


@pytest.mark.parametrize(
    ("body", "document", "words"),
    [
        ("decision := {} if input.x", {}, "undefined or not an object"),
        ("decision := 3 if input.x\ndecision := {} if not input.x", {"x": 1}, "undefined or not an object"),
        ("decision := {}\ndecision := input.x if input.x", {"x": {"a": 1}}, "the policy failed"),
        ("decision := {} if not input.x == 1", {"x": object()}, "not JSON"),
        ("decision := {} if not input.x == 1", {"x": "\ud800"}, "not JSON"),
        ("decision := {} if not input.x == 1", {"x": 2**70}, "not JSON"),
    ],
)
async def test_without_a_verdict_it_says_so(body: str, document: dict[str, Any], words: str, write: Write) -> None:
    """Errors, undefined results and invalid inputs raise; none of them allows, and none is remembered."""
    judge = engine(write, body)
    for _ in range(2):
        with pytest.raises(PolicyUnavailable, match=words):
            await judge.decide(document)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("decision := {", r"p\.rego:2: "),
        ("x := 1", "no rule `decision` in `package gateway`"),
        ("decision := {} if p\np if q\nq if p", r"p\.rego:\d: rule data\.gateway\.p is recursive"),
        ("decision := {}\np if data.lib.none(1)", r"p\.rego:3: undefined function data\.lib\.none \(rego_type_error\)"),
        ("decision := {}\ndecision := 1", "cannot be evaluated"),
    ],
)
def test_a_bundle_that_cannot_judge_is_refused(body: str, words: str, write: Write) -> None:
    """The bundle is refused at load, with a message and, if known, the line."""
    with pytest.raises(ConfigError, match=words):
        engine(write, body)


async def test_equal_inputs_are_judged_once(write: Write) -> None:
    """The same result object is returned, regardless of fields that the policy does not read."""
    judge = engine(write, 'decision := {"m": input.action.model}')
    first = await judge.decide({"action": {"model": "a"}, "context": {"correlation_id": "1"}})
    assert await judge.decide({"action": {"model": "a"}, "context": {"correlation_id": "2"}}) is first
    assert await judge.decide({"action": {"model": "b"}}) == {"m": "b"}


async def test_a_policy_that_reads_the_clock_is_judged_each_time(write: Write) -> None:
    """The result may change although the input does not."""
    judge = engine(write, 'decision := {"t": time.now_ns(), "x": input.x}')
    assert not judge.memoized
    assert (await judge.decide({"x": 1}))["t"] != (await judge.decide({"x": 1}))["t"]


async def test_a_policy_that_reads_all_of_the_input(write: Write) -> None:
    """Every field of the input is then part of the key."""
    judge = engine(write, 'decision := {"x": object.get(input, ["a", "b"], 0)}')
    assert [await judge.decide({"a": {"b": n}}) for n in (1, 2)] == [{"x": 1}, {"x": 2}]


async def test_a_large_input_is_judged_off_the_event_loop(write: Write) -> None:
    """The event loop continues; the result is the same."""
    judge = engine(write, 'decision := {"n": count(input.l)}', timeout=10)
    assert await judge.decide({"l": ["x" * 10] * 10_000}) == {"n": 10_000}
    assert judge._thread is not None
    await judge.close()


async def test_an_evaluation_that_takes_too_long_is_no_verdict(write: Write) -> None:
    """The call ends while the thread still runs, and other calls are evaluated meanwhile."""
    body = 'decision := {"n": 1} if { some a in input.l; some b in input.l; some c in input.l; a + b + c == -1 }'
    judge = engine(write, body + '\nelse := {"n": 2}', timeout=0.01)
    with pytest.raises(PolicyUnavailable, match=r"longer than 0\.01 s"):
        await judge.decide({"l": list(range(1000, 1500))})
    assert await judge.decide({"l": []}) == {"n": 2}
    await judge.close()


NESTED = "{ some a in input.l; some b in input.l; some c in input.l; some d in input.l; a + b + c + d == -1 }"


async def test_a_slow_policy_on_a_small_input_holds_nobody_up(write: Write) -> None:
    """The event loop continues, the call is denied, and the next call runs on the loop again."""
    judge = engine(write, f'decision := {{"n": 1}} if {NESTED}\nelse := {{"n": 2}}', timeout=0.3)
    small = {"l": list(range(40))}
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(PolicyUnavailable, match=r"longer than 0\.3 s"):
        await judge.decide(small)
    ticking.cancel()
    assert ticks > 10
    assert await judge.decide({"l": [1]}) == {"n": 2}
    await judge.close()


async def test_more_steps_than_the_loop_takes_are_judged_aside(write: Write) -> None:
    """The result on a thread is the same."""
    judge = engine(write, f'decision := {{"n": 1}} if {NESTED}\nelse := {{"n": 2}}', timeout=20)
    assert await judge.decide({"l": list(range(20))}) == {"n": 2}
    assert judge._thread is not None
    await judge.close()


def test_a_policy_that_is_slow_without_any_input_is_refused(write: Write) -> None:
    """Such a policy would deny every call."""
    body = f'decision := {{"n": 1}} if {NESTED.replace("input", "data")}\nelse := {{"n": 2}}'
    folder = write({"p.rego": f"package gateway\n{body}", "data.json": orjson.dumps({"l": list(range(60))}).decode()})
    with pytest.raises(ConfigError, match=r"longer than 0\.01 s even without input"):
        Embedded(load(folder), timeout=0.01)


LIMITED = """package gateway
decision := {"every": every_one, "not": none, "set": pairs, "count": count(pairs), "f": f(input.l)}
default every_one := false
every_one if { every x in input.l { x < 5 } }
default none := false
none if not big
big if { some x in input.l; some y in input.l; x + y > 7 }
pairs contains [x, y] if { some x in input.l; some y in input.l; x < y }
default f(_) := "none"
f(l) := "some" if { some x in l; x > 3 } else := "few" if count(l) < 3
"""
CUT = compile_bundle({"l.rego": LIMITED})


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=6), st.integers(1, 200))
def test_an_evaluation_that_is_cut_short_has_no_result(numbers: list[int], limit: int) -> None:
    """At any step there is no partial result, and no `not` that holds because the time is over."""
    document = {"l": numbers}
    try:
        value = evaluated(CUT, document, steps=limit)
    except TooLong:
        return
    assert value == evaluated(CUT, document)


ONE = "package rules.one\ndeny contains 1\nallowed := 5"
TWO = "package rules.two\ndeny contains 2 if input.x\nother if input.y"
ITERATED = "package gateway\ndecision contains found if some found in data.rules[_].deny"


@pytest.mark.parametrize(
    ("others", "data", "result"),
    [
        ([ONE, TWO], {}, [1, 2]),
        ([ONE, TWO, "package rules.two\ndeny contains 3"], {}, [1, 2, 3]),
        ([ONE, TWO, "package rules.three\nx := 1"], {}, [1, 2]),
        ([ONE, TWO, "package rules.three.deep\ndeny contains 4"], {}, [1, 2]),
        ([ONE, TWO, "package rules.three\ndeny := {5}"], {}, [1, 2, 5]),
        ([ONE, TWO, "package rules.three.deny\nx := 8"], {}, [1, 2, 8]),
        ([ONE, TWO, "package rules\nthree.deny contains 9"], {}, [1, 2, 9]),
        ([ONE, TWO, 'package rules["t-t"]\ndeny contains 4'], {}, [1, 2, 4]),
        ([ONE, TWO], {"rules": {"three": {"deny": [10]}}}, [1, 2, 10]),
        ([ONE, "package rules.two\nx := {y | some y in data.rules.one.deny}"], {}, [1]),
    ],
)
def test_rules_of_packages_are_found(others: list[str], data: dict[str, Any], result: list[int]) -> None:
    """Rules and data of all packages below a name are found."""
    program = compile_bundle({f"{index}.rego": source for index, source in enumerate([ITERATED, *others])}, data)
    assert sorted(evaluated(program, {"x": 1})) == result


async def test_many_threads_share_a_program() -> None:
    """Concurrent evaluations of one program do not affect each other."""
    source = 'package gateway\ndecision := {"m": sprintf("%v-%v", [input.t, input.n]), "c": count(input.l)}'
    program = compile_bundle({"m.rego": source})
    wrong: list[object] = []
    barrier = threading.Barrier(4)

    def work(thread: int) -> None:
        barrier.wait()
        for n in range(200):
            value = evaluated(program, {"t": thread, "n": n, "l": [1] * (n % 7)})
            if value != {"m": f"{thread}-{n}", "c": n % 7}:
                wrong.append(value)

    await asyncio.gather(*(asyncio.to_thread(work, thread) for thread in range(4)))
    assert wrong == []


def test_an_error_says_where() -> None:
    """The error has code, file and line."""
    program = compile_bundle({"c.rego": "package gateway\n\ndecision := 1 if input.x\n\ndecision := 2 if input.y"})
    with pytest.raises(EvaluationError, match=r"c\.rego:5: eval_conflict_error: rule data\.gateway\.decision"):
        evaluated(program, {"x": 1, "y": 1})
