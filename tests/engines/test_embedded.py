"""The engine in this process: results, what makes it refuse to judge, what it remembers."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.conftest import Write
from gateway.engines import outline as rego
from gateway.engines.adapt import Names, adapted
from gateway.engines.base import PolicyUnavailable
from gateway.engines.bundle import load
from gateway.engines.embedded import AT_ONCE, LARGEST, MOST_GIVEN_UP, Embedded
from gateway.engines.program import Machine, Program, TooLong
from gateway.errors import ConfigError


def engine(write: Write, body: str, **options: Any) -> Embedded:
    return Embedded(load(write({"p.rego": f"package gateway\n{body}"})), **options)


async def test_the_result_as_it_is(write: Write) -> None:
    """Objects, sets as lists, numbers, text of any kind."""
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
ECHO = Program([rego.read("e.rego", "package gateway\ndecision := [input]")], {}, ["gateway/decision"])


@given(json_values)
def test_the_input_arrives_as_it_was_sent(value: Any) -> None:
    """No text, number or nesting changes on its way through the interpreter."""
    assert Machine(ECHO).evaluate(orjson.dumps(value)) == [value]


@pytest.mark.parametrize(
    ("body", "document", "words"),
    [
        ("decision := {} if input.x", {}, "undefined or no object"),
        ("decision := 3 if input.x\ndecision := {} if not input.x", {"x": 1}, "undefined or no object"),
        ("decision := {} if not input.x\ndecision := {1: input.y} if input.x", {"x": 1}, "undefined"),
        ("decision := {}\ndecision := input.x if input.x", {"x": {"a": 1}}, "the policy failed"),
        ('decision := {} if not lower(input.x) == "a"', {"x": "É"}, "outside ASCII"),
        ("decision := {} if not count(input.x) == 1", {"x": '"'}, "a quote"),
        ('decision := {} if not glob.match("a*", null, input.x)', {"x": "a" * 300}, "longer than 256 bytes"),
        ('decision := {} if not glob.match("a*", null, input.x)', {"x": "*a*a*"}, "has wildcards"),
        ("decision := {} if not input.x == 1", {"x": "a" * LARGEST}, "larger than 65536 bytes"),
        ("decision := {} if not input.x == 1", {"x": object()}, "no JSON"),
        ("decision := {} if not input.x == 1", {"x": "\ud800"}, "no JSON"),
        ("decision := {} if not input.x == 1", {"x": 2**70}, "no JSON"),
    ],
)
async def test_without_a_verdict_it_says_so(body: str, document: dict[str, Any], words: str, write: Write) -> None:
    """Errors, undefined results and inputs that it cannot judge raise; none of them is an allow, none is remembered."""
    judge = engine(write, body)
    for _ in range(2):
        with pytest.raises(PolicyUnavailable, match=words):
            await judge.decide(document)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("decision := {", r"p\.rego:2: "),
        ("x := 1", "no rule `decision` in `package gateway`"),
        ("decision := {} if p\np if q\nq if p", "cannot be evaluated"),
        ("decision := {}\np if data.lib.none(1)", r"p\.rego:3: no function data\.lib\.none in this bundle"),
        ("decision := {}\ndecision := 1", "cannot be evaluated"),
    ],
)
def test_a_bundle_that_cannot_judge_is_refused(body: str, words: str, write: Write) -> None:
    """At load, in words, with the line where the compiler gives one."""
    with pytest.raises(ConfigError, match=words):
        engine(write, body)


async def test_equal_inputs_are_judged_once(write: Write) -> None:
    """The very same object comes back; what the policy does not read makes no difference."""
    judge = engine(write, 'decision := {"m": input.action.model}')
    first = await judge.decide({"action": {"model": "a"}, "context": {"correlation_id": "1"}})
    assert await judge.decide({"action": {"model": "a"}, "context": {"correlation_id": "2"}}) is first
    assert await judge.decide({"action": {"model": "b"}}) == {"m": "b"}


async def test_a_policy_that_reads_the_clock_is_judged_each_time(write: Write) -> None:
    """Its answer may change although the input does not."""
    judge = engine(write, 'decision := {"t": time.now_ns(), "x": input.x}')
    assert not judge.memoized
    assert (await judge.decide({"x": 1}))["t"] != (await judge.decide({"x": 1}))["t"]


async def test_a_policy_that_reads_all_of_the_input(write: Write) -> None:
    """Then everything is part of the key."""
    judge = engine(write, 'decision := {"x": object.get(input, ["a", "b"], 0)}')
    assert [await judge.decide({"a": {"b": n}}) for n in (1, 2)] == [{"x": 1}, {"x": 2}]


async def test_a_large_input_is_judged_off_the_event_loop(write: Write) -> None:
    """The loop goes on; the result is the same."""
    judge = engine(write, 'decision := {"n": count(input.l)}', timeout=10)
    assert await judge.decide({"l": ["x" * 10] * AT_ONCE}) == {"n": AT_ONCE}
    await judge.close()


async def test_an_evaluation_that_takes_too_long_is_no_verdict(write: Write) -> None:
    """The call is let go while the thread is still at it, and other calls are judged meanwhile."""
    body = 'decision := {"n": 1} if { some a in input.l; some b in input.l; some c in input.l; a + b + c == -1 }'
    judge = engine(write, body + '\nelse := {"n": 2}', timeout=0.01)
    with pytest.raises(PolicyUnavailable, match=r"longer than 0\.01 s"):
        await judge.decide({"l": list(range(1000, 1000 + AT_ONCE // 4))})
    assert await judge.decide({"l": []}) == {"n": 2}
    await judge.close()


NESTED = "{ some a in input.l; some b in input.l; some c in input.l; some d in input.l; a + b + c + d == -1 }"


async def test_a_slow_policy_on_a_small_input_holds_nobody_up(write: Write) -> None:
    """The event loop goes on, the call is denied, and the next one is judged on the loop again."""
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


async def test_more_statements_than_the_loop_takes_are_judged_aside(write: Write) -> None:
    """With the same result."""
    judge = engine(write, f'decision := {{"n": 1}} if {NESTED}\nelse := {{"n": 2}}', timeout=20)
    assert await judge.decide({"l": list(range(15))}) == {"n": 2}
    assert judge._thread is not None
    await judge.close()


async def test_slow_statements_move_a_bundle_aside(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few statements may take long; after one such evaluation the loop is spared the others."""
    judge = engine(write, 'decision := {"n": input.n}', timeout=20)
    await judge.decide({"n": 1})
    assert judge._thread is None
    monkeypatch.setattr("gateway.engines.embedded.SLOW", 0)
    await judge.decide({"n": 2})
    assert [(await judge.decide({"n": n}))["n"] for n in (3, 4)] == [3, 4]
    assert judge._thread is not None
    await judge.close()


async def test_what_takes_too_long_holds_back_no_other(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call has another thread; and where too many evaluations still run, none is begun beside the loop."""
    judge = engine(write, 'decision := {"n": input.n}', timeout=0.2)
    go, begun = threading.Event(), 0
    evaluate = Machine.evaluate

    def slow(self: Machine, term: bytes) -> object:
        nonlocal begun
        begun += 1
        if b"slow" in term:
            go.wait()
        return evaluate(self, term)

    judge._at_once = False
    monkeypatch.setattr(Machine, "evaluate", slow)
    for number in range(MOST_GIVEN_UP - 1):
        with pytest.raises(PolicyUnavailable, match=r"longer than 0\.2 s"):
            await judge.decide({"n": f"slow {number}"})
    judge._timeout = 20
    assert await judge.decide({"n": 1}) == {"n": 1}
    judge._timeout = 0.2
    with pytest.raises(PolicyUnavailable, match=r"longer than 0\.2 s"):
        await judge.decide({"n": "slow"})
    before = begun
    with pytest.raises(PolicyUnavailable, match="still run"):
        await judge.decide({"n": 2})
    assert begun == before
    go.set()
    while not all(one.done() for one in judge._given_up):  # noqa: ASYNC110  threads tell no loop
        await asyncio.sleep(0)
    judge._timeout = 20
    assert await judge.decide({"n": 3}) == {"n": 3}
    await judge.close()


def test_a_policy_that_is_slow_without_any_input_is_refused(write: Write) -> None:
    """It would deny every call."""
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
CUT = Program([rego.read("l.rego", LIMITED)], {}, ["gateway/decision"])


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=6), st.integers(1, 400))
def test_an_evaluation_that_is_cut_short_has_no_result(numbers: list[int], limit: int) -> None:
    """At whatever statement it ends: never half a result, never a `not` that holds for want of time."""
    term = orjson.dumps({"l": numbers})
    machine = Machine(CUT, limit)
    assert machine.limited
    try:
        value = machine.evaluate(term)
    except TooLong:
        return
    assert value == Machine(CUT).evaluate(term)


ONE = "package rules.one\ndeny contains 1\nallowed := 5"
TWO = "package rules.two\ndeny contains 2 if input.x\nother if input.y"
ITERATED = "package gateway\ndecision contains found if some found in data.rules[_].deny"


@pytest.mark.parametrize(
    ("others", "data", "listed", "result"),
    [
        ([ONE, TWO], {}, True, [1, 2]),
        ([ONE, TWO, "package rules.two\ndeny contains 3"], {}, True, [1, 2, 3]),
        ([ONE, TWO, "package rules.three\nx := 1"], {}, True, [1, 2]),
        ([ONE, TWO, "package rules.three.deep\ndeny contains 4"], {}, False, [1, 2]),
        ([ONE, TWO, "package rules.three\ndeny := {5}"], {}, False, [1, 2, 5]),
        ([ONE, TWO, "package rules.three\ndeny contains 6 if input.z\ndeny.more contains 7"], {}, False, None),
        ([ONE, TWO, "package rules.three.deny\nx := 8"], {}, False, [1, 2, 8]),
        ([ONE, TWO, "package rules\nthree.deny contains 9"], {}, False, [1, 2, 9]),
        ([ONE, TWO, 'package rules["t-t"]\ndeny contains 4'], {}, False, [1, 2, 4]),
        ([ONE, TWO, "package rules.three\nx if rules.one with data.rules as {}"], {}, False, [1, 2]),
        ([ONE, TWO], {"rules": {"three": {"deny": [10]}}}, False, [1, 2, 10]),
        ([ONE, "package rules.two\nx if deny\ndeny contains 2"], {}, True, [1, 2]),
        ([ONE, "package rules.two\nx := {y | some y in data.rules.one.deny}"], {}, True, [1]),
    ],
)
def test_sets_of_packages_are_listed(
    others: list[str], data: dict[str, Any], listed: bool, result: list[int] | None
) -> None:
    """Where every part is a set that a package has; else it is left as it is, and the values are the same."""
    modules = [rego.read(f"{index}.rego", source) for index, source in enumerate([ITERATED, *others])]
    assert ("[data.rules.one.deny" in adapted(modules[0], Names(modules, data))) is listed
    if result is not None:
        value = Machine(Program(modules, data, ["gateway/decision"])).evaluate(b'{"x": 1}')
        assert isinstance(value, list)
        assert sorted(value) == result


async def test_many_threads_share_a_program() -> None:
    """Machines of one program do not disturb each other."""
    source = 'package gateway\ndecision := {"m": sprintf("%v-%v", [input.t, input.n]), "c": count(input.l)}'
    program = Program([rego.read("m.rego", source)], {}, ["gateway/decision"])
    wrong: list[object] = []
    barrier = threading.Barrier(4)

    def work(thread: int) -> None:
        machine = Machine(program)
        barrier.wait()
        for n in range(200):
            term = b'{"t":%d,"n":%d,"l":[%s]}' % (thread, n, b",".join([b"1"] * (n % 7)))
            if (value := machine.evaluate(term)) != {"m": f"{thread}-{n}", "c": n % 7}:
                wrong.append(value)

    await asyncio.gather(*(asyncio.to_thread(work, thread) for thread in range(4)))
    assert wrong == []
