"""A verdict that is found by what an evaluation read is the verdict of a fresh evaluation, for the same team only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.opa_cases import ordered
from gateway.policy.engines import outline
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.bundle import Bundle, load
from gateway.policy.engines.embedded import Embedded
from gateway.policy.engines.memo import LONGEST, SETS, ReadSets, sort
from gateway.policy.engines.rego import EvaluationError, compile_bundle
from gateway.policy.engines.rego.runtime import MISSING
from gateway.policy.engines.rego.values import to_json

POLICIES = Path(__file__).parents[2] / "policies"
# What a rule reads depends on what it has read: by a condition, an index, a key, a function, `with`, a loop.
MODULE = """package gateway

decision := {"p": p, "q": q, "r": r, "s": s, "t": t, "u": u, "v": v}

default q := 9
default r := 9
default s := 9
default u := 9
default v := 9

p contains x if { input.action.kind == "tool"; some x in input.action.args }
p contains "b" if { input.action.n > 1; input.subject.b }
p contains "c" if input.action.args.a.a == 1
p contains "d" if { input.action.n == 1; input.action.args.b }

q := {"n": input.subject.b} if input.action.args
r := x if { input.action.kind == "agent"; x := p with input.action.kind as "tool" }
s := x if x := q with data.d as 2
t := data.d + count(p)

u := input.context[input.action.kind]
v := f(input.action.kind)

f("tool") := input.context.left
f("llm") := input.subject.b.a.a
f("agent") := input.context.chain[0]
f(null) := input.context.chain[input.action.n]
"""
values = st.sampled_from(
    [
        {"a": {"a": 1}},
        {"a": {"a": 2, "b": 1}},
        {"a": [1]},
        {"a": None},
        "a",
        "tool",
        0,
        1,
        1.0,
        2,
        True,
        None,
        [1],
        [True],
        ["1"],
        {"a": 1},
        {"a": True},
        "",
        [],
        {},
    ]
)
kinds = st.sampled_from(["tool", "llm", "agent", None, 1])


def section(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields) | st.sampled_from([None, [], "x"])


documents = st.fixed_dictionaries(
    {},
    optional={
        "action": section(kind=kinds, args=values, n=values, of_result=values, of_list=values),
        "subject": section(team=st.sampled_from(["a", "b"]), b=values),
        "context": section(left=values, chain=values, tool=values),
    },
)


def engine(source: str) -> Embedded:
    return Embedded(Bundle(Path(), "v", (outline.read("p.rego", source),), {"d": 1}, ()), 10)


def decided(asked: Embedded, document: dict[str, Any]) -> Any:
    try:
        return ordered(asyncio.run(asked.decide(document)))
    except PolicyUnavailable as error:
        return str(error)[:10]


def fresh(source: str, document: dict[str, Any]) -> Any:
    program = compile_bundle({"p.rego": source}, {"d": 1})
    try:
        return ordered(to_json(program.evaluate(("data", "gateway", "decision"), program.env(document))))
    except EvaluationError:
        return "the policy"


@settings(deadline=None)  # it compiles policies
@given(st.lists(documents, max_size=12))
def test_found_or_judged_is_the_same(asked: list[dict[str, Any]]) -> None:
    """In any order, what one input leaves behind changes no verdict on another."""
    judge = engine(MODULE)
    for document in [*asked, *asked]:
        assert decided(judge, document) == fresh(MODULE, document)


BRANCHES = """package gateway
decision := {"v": v}
v := input.action.b if input.action.k == 1
v := input.action.z if input.action.k == 2
"""


def test_keys_of_two_read_sets_differ() -> None:
    """Equal values at different paths are no equal inputs."""
    judge, one, two = engine(BRANCHES), {"action": {"k": 1, "b": 2}}, {"action": {"k": 2, "z": 1, "b": 2}}
    for document in (one, two, one, two):
        assert decided(judge, document) == fresh(BRANCHES, document)


def call(**arguments: Any) -> dict[str, Any]:
    return {
        "subject": {"agent": "a", "team": "t", "roles": ["reader"], "claims": {}},
        "action": {"kind": "tool", "args": arguments, "n": 1},
        "context": {"left": {"calls": 5}},
    }


class Counted(Embedded):
    """An engine that counts its evaluations."""

    evaluations = -1  # one is made to try the bundle

    def _evaluate(self, document: Any, steps: int, seconds: float) -> Any:
        self.evaluations += 1
        return super()._evaluate(document, steps, seconds)


READER = """package gateway
decision := {"allow": allow}
default allow := true
allow := false if { input.subject.team == "limited"; input.action.args.region != "eu" }
"""


async def test_arguments_that_no_rule_of_the_caller_reads_do_not_count() -> None:
    """A rule reads the arguments for one team: the calls of others have one verdict, whatever their arguments."""
    judge = Counted(Bundle(Path(), "v", (outline.read("p.rego", READER),), {}, ()), 10)
    for region in ("eu", "us", "in", "eu"):
        assert await judge.decide(call(region=region)) == {"allow": True}
    assert judge.evaluations == 1
    limited = {"team": "limited", "roles": []}
    for region in ("eu", "us", "in", "eu"):
        assert await judge.decide({**call(region=region), "subject": limited}) == {"allow": region == "eu"}
    assert judge.evaluations == 4
    assert await judge.decide({**call(region="us"), "subject": {"team": "other"}}) == {"allow": True}
    assert judge.evaluations == 5  # another team's verdict is not found


def shipped(number: int) -> dict[str, Any]:
    """An input with everything that the shipped policies read."""
    action = {"kind": "tool", "name": "get_it", "model": "", "providers": [], "tools": [], "hosted": []}
    content: dict[str, Any] = {"pii": {}, "pii_from": [], "secrets": {}, "sql": [], "urls": [], "injection": {}}
    history: dict[str, Any] = {"tools": [], "labels": []}
    called = {"args": {"text": f"{number}"}, "writes": None, "of_result": False, "of_list": False, "max_tokens": 0}
    return {
        "subject": {"agent": "a", "team": "t", "roles": ["admin"], "claims": {}},
        "action": {**action, **called},
        "resource": {"type": "tool", "name": "it/get_it"},
        "content": content,
        "context": {"calls": number, "time": 0, "left": {"calls": 100 - number}, "history": history},
    }


async def test_the_shipped_policies_judge_equal_calls_once() -> None:
    """Calls of a tool that differ in arguments, number and what is left are judged once."""
    judge = Counted(load(POLICIES), 10)
    for number in range(5):
        document = shipped(number)
        assert (await judge.decide(document))["deny"] == []
    assert judge.evaluations == 1


def test_read_sets_are_bounded() -> None:
    """The sets of one sort of call, and the size of keys."""
    memo = ReadSets()
    document = {"action": {"kind": "tool", **{f"n{number}": number for number in range(30)}, "long": "x" * 9999}}
    for number in range(30):
        memo.put(sort(document), document, [("action", f"n{number}")], {"n": number})
    (known,) = memo._sorts.values()
    assert len(known.sets) == SETS
    assert memo.get(sort(document), document) == {"n": 29}
    memo = ReadSets()
    for text in ("x", "y"):
        long = {"action": {"kind": "tool", "long": text * 9999}}
        memo.put(sort(long), long, [("action", "long")], {"text": text})
        assert memo.get(sort(long), long) == {"text": text}
    assert all(len(key) <= LONGEST for key in memo._memo._results)


async def test_calls_of_other_teams_change_nothing_in_the_search() -> None:
    """Else response times tell what other teams call: arguments that no verdict of the team needs would be compared."""
    judge = engine(READER)
    assert await judge.decide(call(region="eu")) == {"allow": True}
    for region in ("us", "eu"):
        await judge.decide({**call(region=region), "subject": {"team": "limited"}})
    # What is not JSON would end a search that compares it.
    assert await judge.decide(call(region=object())) == {"allow": True}


class Changing(Embedded):
    """An engine whose inputs change while they are judged."""

    async def _judge(self, document: Any, key: bytes) -> Any:
        verdict = await super()._judge(document, key)
        document["subject"]["team"], document["action"]["kind"] = "other", "llm"
        return verdict


async def test_a_verdict_is_that_of_the_input_that_was_judged() -> None:
    """Also if the input has changed since: it belongs to the team that asked."""
    judge = Changing(Bundle(Path(), "v", (outline.read("p.rego", READER),), {}, ()), 10)
    await judge.decide(call(region="eu"))
    assert judge._memo is not None
    found = [judge._memo.get(sort(one), one) for one in (call(), {**call(), "subject": {"team": "other"}})]
    assert found == [{"allow": True}, None]


async def test_half_a_character_in_the_name_of_a_team() -> None:
    """No error but the one of an engine."""
    source = 'package gateway\ndecision := {"n": input.action.n}\n'
    assert await engine(source).decide({**call(), "subject": {"team": "\ud800"}}) == {"n": 1}


async def test_a_long_input_is_written_once_for_all_read_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search writes the values of an input at most twice, and the result is found behind any number of read sets."""
    memo = ReadSets()
    long = {f"k{n}": [n, {"z": n, "a": None}] for n in range(500)}
    document = {**call(**long), "context": {f"k{n}": 0 for n in range(SETS)}}
    result = {"v": 1}
    sets: list[list[tuple[str, ...]]] = [[("action", "args"), ("context", f"k{n}")] for n in range(SETS)]
    memo.put(sort(document), document, sets[0], result)
    for paths in sets[1:]:
        other = {**document, "action": {"kind": "tool", "args": {}, "n": 1}}
        memo.put(sort(other), other, paths, {"v": 2})
    written = 0

    def dumps(value: object, option: int | None = None) -> bytes:
        nonlocal written
        written += size(value)
        return orjson.dumps(value, option=option)

    here = SimpleNamespace(dumps=dumps, OPT_SORT_KEYS=orjson.OPT_SORT_KEYS, Fragment=orjson.Fragment)
    monkeypatch.setattr("gateway.policy.engines.memo.orjson", here)
    assert memo.get(sort(document), document) is result
    assert size(long) < written < 2.5 * size(long)


def size(value: object) -> int:
    """The values in a value."""
    if isinstance(value, dict):
        return 1 + sum(map(size, value.values()))
    return 1 + sum(map(size, value)) if isinstance(value, list | tuple) else 1


CONSTANT = """package m
p contains x if some x in input.a
r := x if x := p with input.a as [1]
c := sum([x | some x in data.xs])
"""


def test_rules_without_input_are_evaluated_once() -> None:
    """A rule that reads no input keeps its value, except in an evaluation that is strict."""
    asked, path = compile_bundle({"m.rego": CONSTANT}, {"xs": [1, 2, 3]}), ("data", "m", "c")
    (plan,) = [plan for plan in asked.plans if plan.node.path == path]
    assert plan.constant
    assert asked.evaluate(path, asked.env({}, strict=True)) == 6
    assert asked.template[plan.node.number] == MISSING
    assert asked.evaluate(path, asked.env({})) == 6
    assert asked.template[plan.node.number] == 6
