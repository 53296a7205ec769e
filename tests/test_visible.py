"""Who may see the tool that is called: an engine that memoizes is asked once a minute, any other for each call."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

import calls
from gateway.amounts import History
from gateway.call import Admission, Authorization, Call, Json, Redaction, Request, Resource, Subject, Target
from gateway.config.sections import Policy
from gateway.policy import visible
from gateway.policy.authorize import PolicyCheck
from gateway.policy.inputs import Inputs
from gateway.policy.visible import Visible
from one_answer import Fake

INPUTS = Inputs(SimpleNamespace(model=lambda name: SimpleNamespace(max_output=100)))
ALLOW: Json = {"allow": True, "deny": [], "obligations": {}}
DENY: Json = {"allow": False, "deny": [{"code": "no", "class": "safety", "message": "No"}], "obligations": {}}
ALICE = Subject("alice", "red")


class Engine(Fake):
    """An engine that memoizes, unless said otherwise."""

    def __init__(self, result: Json = ALLOW, *, memoized: bool = True) -> None:
        super().__init__(result)
        self.memoized = memoized


class Log:
    """Notes the calls whose decisions are recorded."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def decided(self, call: Call) -> None:
        self.calls.append(call)


def of(engine: Engine) -> tuple[Visible, Log]:
    log = Log()
    return Visible(PolicyCheck(Policy(), engine, INPUTS), log), log


def call(name: str = "it/get", kind: Any = "tool", subject: Subject = ALICE, *, writes: bool | None = None) -> Call:
    made = calls.call()
    made.subject, made.resource, made.request.writes = subject, Resource(kind, name, {"text": "a"}), writes
    return made


OTHERS = [
    call("it/put"),
    call("other/get"),
    call(writes=True),
    call(writes=False),
    call(kind="agent"),
    call(subject=Subject("alice", "red")),
    call(subject=Subject("bob", "red")),
]


async def test_equal_calls_are_asked_for_once() -> None:
    engine = Engine()
    seen, _ = of(engine)
    for _ in range(3):
        assert await seen.admits(call())
    assert len(engine.asked) == 1
    for other in OTHERS:
        assert await seen.admits(other)
    assert len(engine.asked) == 1 + len(OTHERS)


async def test_an_engine_that_judges_equal_inputs_again_is_asked_each_time() -> None:
    engine = Engine(memoized=False)
    seen, _ = of(engine)
    assert await seen.admits(call())
    engine.result = DENY
    assert not await seen.admits(call())


async def test_each_denial_is_asked_for_and_recorded() -> None:
    engine = Engine(DENY)
    seen, log = of(engine)
    made = [call(), call()]
    assert [await seen.admits(one) for one in made] == [False, False]
    assert log.calls == made
    assert len(engine.asked) == 2


async def test_another_engine_and_the_next_minute_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, _ = of(first := Engine())
    assert await seen.admits(call())
    assert seen._policy is not None
    seen._policy._source = second = Engine(DENY)
    assert not await seen.admits(call())
    second.result = ALLOW
    assert await seen.admits(call())
    assert await seen.admits(call())
    assert (len(first.asked), len(second.asked)) == (1, 2)
    now = time.time()
    monkeypatch.setattr(visible, "time", SimpleNamespace(time=lambda: now + 60))
    second.result = DENY
    assert not await seen.admits(call())


async def test_the_input_of_a_plain_call_depends_on_nothing_else() -> None:
    """Else a caller would be admitted by the verdict on another input."""
    engine = Engine(memoized=False)
    seen, _ = of(engine)
    one, other = call(), call()
    other.id, other.route, other.headers, other.values = "other", "other", [(b"a", b"b")], {"a": "b"}
    other.request = Request(
        "c-1", "given", raw=b"{}", body={"a": 1}, stream=True, tools=("t",), fields=["f"], ceiling=5
    )
    other.request.unscannable, other.request.fields = {"image": 1}, ["f"]
    other.admission = Admission(chain=("a", "b"), history=History(("l",), ("t",)), targets=[Target("a", "b")])
    other.redaction = Redaction(counts={"EMAIL_ADDRESS": 1}, roles=frozenset({"user"}))
    other.authorization = Authorization(served_as="x", of_result=True)
    assert await seen.admits(one)
    assert await seen.admits(other)
    assert engine.asked[0] == engine.asked[1]
