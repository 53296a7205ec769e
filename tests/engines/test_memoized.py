"""A memoized verdict equals a fresh one, whatever a policy reads, for inputs of every shape."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from engines import opa_server
from engines.bundles import Write
from engines.opa_cases import ordered
from gateway.policy.engines import outline as rego
from gateway.policy.engines.base import PolicyUnavailable
from gateway.policy.engines.bundle import Bundle
from gateway.policy.engines.compiled import compiled
from gateway.policy.engines.embedded import Embedded
from gateway.policy.engines.memo import Projection
from gateway.policy.engines.rego import EvaluationError, compile_bundle
from gateway.policy.engines.rego.values import to_json
from gateway.policy.engines.wasm import Wasm

DATA = {"roles": {"a": ["x"], "b": []}, "limit": 2}
READS = (
    "p contains 1 if input.subject.roles",
    'p contains 2 if "a" in input.subject.roles',
    'p contains 3 if input["subject"].team == "a"',
    'p contains 4 if input["subject"]["team"]',
    "p contains [5, k] if some k, _ in input.content",
    "p contains [6, v] if some v in input.content.pii",
    "p contains [7, n] if n := count(input.context.history.labels)",
    'p contains 8 if "a" in input.context.history.labels',
    "p contains [9, x] if some x in data.roles[input.subject.team]",
    "p contains 10 if input.context.calls > data.limit",
    "p contains 11 if not input.content.pii.b",
    'p contains [12, v] if v := object.get(input, ["context", "calls"], 0)',
    'p contains [13, v] if { some k in ["subject", "context"]; v := input[k] }',
    "p contains 14 if { x := input.content; x.pii }",
    'p contains 15 if q(input.subject)\nq(s) if s.team == "b"',
    'p contains 16 if r with input as {"content": {"pii": {"a": 1}}}\nr if input.content.pii.a == 1',
    "p contains 17 if { every x in input.subject.roles { x in data.roles.a } }",
    "p contains 18 if input.content == input.context",
    "p contains [19, x] if walk(input.context, [_, x])",
    "p contains 20 if input == {}",
    'p contains 21 if not "content" in object.keys(input)',
    "p contains 22 if input.context.history.labels[0] == input.subject.roles[0]",
)
names = st.sampled_from(["a", "b", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | names,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)


def section(*fields: str) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from([*fields, "a"]), values | st.lists(names, max_size=2), max_size=3) | values


documents = st.fixed_dictionaries(
    {},
    optional={
        "subject": section("roles", "team"),
        "content": section("pii"),
        "context": section("calls") | st.fixed_dictionaries({"history": section("labels")}),
        "other": values,
    },
)


def bundle(reads: tuple[str, ...]) -> Bundle:
    source = 'package gateway\ndecision := {"p": p}\n' + "\n".join(reads)
    return Bundle(Path(), "v", (rego.read("p.rego", source),), DATA, ())


def verdict(engine: Embedded | Wasm, document: dict[str, Any]) -> Any:
    try:
        return ordered(asyncio.run(engine.decide(document)))
    except PolicyUnavailable as error:
        return str(error)[:10]


@settings(deadline=None)  # it compiles policies
@given(st.lists(st.sampled_from(READS), min_size=1, max_size=4, unique=True), st.lists(documents, max_size=12))
def test_in_process(reads: list[str], asked: list[dict[str, Any]]) -> None:
    """Repeated verdicts of one engine equal those of a fresh evaluation of the whole input."""
    made = bundle(tuple(reads))
    engine = Embedded(made, 10)
    assert engine.memoized
    fresh = compile_bundle({module.file: module.source for module in made.modules}, dict(made.data))
    for document in [*asked, *asked]:
        try:
            expected = ordered(to_json(fresh.evaluate(("data", "gateway", "decision"), fresh.env(document))))
        except EvaluationError:
            expected = "the policy"
        assert verdict(engine, document) == expected


def test_compiled(write: Write) -> None:
    """The same, with all reads in one bundle that reads only named fields, and in one that reads everything."""
    opa_server.program()
    whole = ("object.get(input", "input[k]", "input == {}", "keys(input)", "with input")
    named = tuple(read for read in READS if not any(part in read for part in whole))
    for reads in (READS, named):
        folder = write({"p.rego": bundle(reads).modules[0].source})
        (folder / "data.json").write_bytes(orjson.dumps(DATA))
        made = compiled(folder)
        engine, fresh = Wasm(made, 30), Wasm(made, 30)
        fresh._memo, fresh._projection = None, Projection([()])

        @settings(deadline=None, max_examples=50)  # each example starts an event loop
        @given(st.lists(documents, max_size=6))
        def agree(asked: list[dict[str, Any]]) -> None:
            for document in [*asked, *asked]:
                assert verdict(engine, document) == verdict(fresh, document)  # noqa: B023  used within the loop

        agree()
        for judge in (engine, fresh):
            asyncio.run(judge.close())
