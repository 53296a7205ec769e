"""Rules over a workflow: what a decision knows, what is recorded before a call leaves, repeated evaluations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import calls
from gateway.amounts import LABELS, TOOLS, History, Marked
from gateway.call import Call, Json, Step, Subject, ToolUse
from gateway.config.sections import Policy
from gateway.errors import Refusal
from gateway.ingress.idempotency import Answer
from gateway.limits import loops
from gateway.policy import flow
from gateway.policy.authorize import PolicyCheck
from gateway.policy.flow import Flow
from gateway.policy.inputs import Inputs
from gateway.stores import Workflows
from gateway.stores.record import Record

Judge = Callable[[Json], Json]


class Engine:
    """Judges by a function of the history."""

    version = "v1"

    def __init__(self, judge: Judge, *, reads: bool = True, sets: bool = True) -> None:
        self.judge = judge
        self.reads_history, self.sets_labels = reads, sets
        self.asked: list[Json] = []

    async def open(self) -> None: ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...

    async def decide(self, document: Json) -> Json:
        self.asked.append(document["context"]["history"])
        await asyncio.sleep(0)
        return self.judge(document["context"]["history"])


class Store:
    """One workflow in memory; `between` happens before each mark."""

    def __init__(self, between: Callable[[Record], None] = lambda _: None) -> None:
        self.record = Record("support", "c-1", 0, 0, 0, 0)
        self.between = between
        self.marks = 0

    async def mark(self, team: str, correlation_id: str, labels: Sequence[str], version: int) -> Marked:
        assert (team, correlation_id) == ("support", "c-1")
        self.marks += 1
        self.between(self.record)
        done = self.record.history.version == version
        if done and labels:
            self.record.set_labels(labels)
        return Marked(done, self.record.history)


def says(*labels: str, deny: bool = False, **obligations: Any) -> Json:
    rules = [{"code": "no", "message": "No", "class": "safety"}] if deny else []
    return {"allow": True, "deny": rules, "obligations": {"labels": list(labels), **obligations}}


def call(store: Store) -> Call:
    made = calls.call()
    made.request.correlation_id, made.subject = "c-1", Subject("bot", "support")
    made.admission.history = store.record.history
    return made


def stage(engine: Engine, store: Store, mode: Any = "enforce") -> Flow:
    inputs = Inputs(SimpleNamespace(model=lambda _: SimpleNamespace(max_output=1)))
    return Flow(PolicyCheck(Policy(mode=mode), engine, inputs), cast("Workflows", store))


async def refused(engine: Engine, store: Store, made: Call | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await stage(engine, store).judge(made or call(store))
    return caught.value


async def test_a_policy_that_keeps_no_history_takes_no_step() -> None:
    """It is judged once and costs nothing more."""
    engine, store = Engine(lambda _: says(), reads=False), Store()
    await stage(engine, store).judge(call(store))
    assert (store.marks, len(engine.asked)) == (0, 1)


async def test_one_that_reads_takes_one_step() -> None:
    """Also without labels: the history that the policy read must still be current."""
    engine, store = Engine(lambda _: says()), Store()
    await stage(engine, store).judge(call(store))
    assert (store.marks, len(engine.asked)) == (1, 1)


async def test_one_that_only_sets_takes_a_step_for_news() -> None:
    """The first call puts the label on record, the next has nothing to add."""
    engine, store = Engine(lambda _: says("seen"), reads=False), Store()
    await stage(engine, store).judge(call(store))
    await stage(engine, store).judge(call(store))
    assert store.record.history.labels == ("seen",)
    assert store.marks == 1


async def test_labels_are_known_to_the_policy_at_once() -> None:
    """The call that sets a label is judged again with it, and a no counts."""
    engine = Engine(lambda known: says("untrusted", deny="untrusted" in known["labels"]))
    store = Store()
    assert (await refused(engine, store)).code == "policy_denied"
    assert [asked["labels"] for asked in engine.asked] == [[], ["untrusted"]]
    assert store.record.history.labels == ()


async def test_labels_that_follow_from_labels() -> None:
    """All labels are recorded in one step."""
    chain = {0: "a", 1: "b", 2: "c"}
    engine, store = Engine(lambda known: says(*filter(None, [chain.get(len(known["labels"]))]))), Store()
    await stage(engine, store).judge(call(store))
    assert store.record.history.labels == ("a", "b", "c")
    assert store.marks == 1


async def test_a_label_that_slips_in_is_judged() -> None:
    """Between verdict and mark another call labeled the workflow: this one is judged again, and refused."""
    engine = Engine(lambda known: says(deny="untrusted" in known["labels"]))
    store = Store(lambda record: record.set_labels(["untrusted"]))
    assert (await refused(engine, store)).code == "policy_denied"
    assert [asked["labels"] for asked in engine.asked] == [[], ["untrusted"]]


async def test_without_end_no_verdict() -> None:
    """If the history changes each time, the call is denied after a number of attempts, with the reason."""
    engine = Engine(lambda _: says())
    store = Store(lambda record: record.show([f"tool-{store.marks}"]))
    refusal = await refused(engine, store)
    assert refusal.code == "policy_unavailable"
    assert "try again" in refusal.message
    assert len(engine.asked) == flow.TRIES


async def test_in_shadow_it_goes_on() -> None:
    """No call is refused, but labels are recorded, so that rules over time can be tried."""
    engine, store = Engine(lambda known: says("untrusted", deny="untrusted" in known["labels"])), Store()
    made = call(store)
    await stage(engine, store, "shadow").judge(made)
    assert made.authorization.decision is not None
    assert not made.authorization.decision.allow
    assert store.record.history.labels == ("untrusted",)


async def test_what_an_operator_took_off_is_not_set_again() -> None:
    """The policy still demands the label, and is not judged by it."""
    engine, store = Engine(lambda known: says("untrusted", deny="untrusted" in known["labels"])), Store()
    store.record.relabel("untrusted", off=False)
    store.record.relabel("untrusted", off=True)
    await stage(engine, store).judge(call(store))
    assert store.record.history.labels == ()


async def test_one_label_too_many_for_the_workflow() -> None:
    """The decision is as malformed as a decision with too many labels of its own."""
    store = Store()
    store.record.set_labels([f"label-{number}" for number in range(LABELS)])
    engine = Engine(lambda _: says("one-more"))
    refusal = await refused(engine, store)
    assert refusal.code == "policy_unavailable"
    assert str(LABELS) in refusal.message


@pytest.mark.parametrize("labels", [["a" * 65], [""], ['a"b'], ["a\nb"], ["é"], [f"l{n}" for n in range(LABELS + 1)]])
async def test_labels_that_are_none(labels: list[str]) -> None:
    """Too long, empty, not printable, too many: the decision is malformed, and the call denied."""
    engine, store = Engine(lambda _: says(*labels)), Store()
    assert (await refused(engine, store)).code == "policy_unavailable"
    assert store.marks == 0


async def test_an_answer_given_again_labels_nothing() -> None:
    """A replayed answer is judged by the history of the workflow."""
    engine, store = Engine(lambda known: says("seen", deny="untrusted" in known["labels"])), Store()
    made = call(store)
    made.replay.kept = Answer(b"{}", False)
    await stage(engine, store).judge(made)
    assert store.marks == 0
    store.record.set_labels(["untrusted"])
    again = call(store)
    again.replay.kept = Answer(b"{}", False)
    assert (await refused(engine, store, again)).code == "policy_denied"


async def test_a_history_that_nobody_read_is_read() -> None:
    """The policy changed after the call was admitted: its decision still knows the history."""
    engine, store = Engine(lambda known: says(deny="untrusted" in known["labels"])), Store()
    store.record.set_labels(["untrusted"])
    made = call(store)
    made.admission.history = None
    assert (await refused(engine, store, made)).code == "policy_denied"


async def test_a_verdict_stands_after_what_took_time() -> None:
    """Where the policy would demand something else by now the call is denied, not sent half changed."""
    engine = Engine(lambda known: says(route="small" if "untrusted" in known["labels"] else "large"))
    store = Store()
    made = call(store)
    await stage(engine, store).judge(made)
    await stage(engine, store).confirm(made)
    store.record.set_labels(["untrusted"])
    with pytest.raises(Refusal, match="now demands something else"):
        await stage(engine, store).confirm(made)


async def test_calls_at_once_know_each_other() -> None:
    """Of concurrent calls that each set a label and tolerate no label, one is allowed."""
    engine = Engine(lambda known: says("mine", deny=bool(known["labels"]) and store.record.history.labels != ()))
    store = Store()
    done = await asyncio.gather(*(stage(engine, store).judge(call(store)) for _ in range(5)), return_exceptions=True)
    assert [type(it) for it in done].count(type(None)) == 1
    assert all(it is None or isinstance(it, Refusal) for it in done)


@given(names=st.lists(st.sampled_from([f"tool_{n}" for n in range(TOOLS + 20)] + ["not a name", "x" * 65, ""])))
def test_tools_of_a_conversation(names: list[str]) -> None:
    """The newest, in order, without duplicates; an invalid name is replaced by a name that no tool has."""
    steps = [Step("turn", "", (ToolUse("", name, "{}"),)) for name in names]
    shown = loops.shown(steps)
    assert len(shown) == len(set(shown)) <= TOOLS
    called = [loops.NAMELESS if " " in name or len(name) > 64 or not name else name for name in names]
    assert shown == tuple(dict.fromkeys(called))[-TOOLS:]


def test_history_is_a_value() -> None:
    """The history of a call does not change during the call."""
    record = Record("t", "w", 0, 0, 0, 0)
    before = record.history
    record.show(["search"])
    record.set_labels(["untrusted"])
    assert before == History()
    assert record.history == History(("untrusted",), ("search",), (), 2)


# The line


def test_shipped_rules_use_paths_that_exist(tmp_path: Path) -> None:
    """The bundle reads the history, so the gateway keeps it."""
    from gateway.policy.engines import load_engine

    engine = load_engine(Policy(path="policies"))
    inputs = Inputs(SimpleNamespace(model=None))
    assert PolicyCheck(Policy(), engine, inputs).reads_history
    (tmp_path / "gateway.rego").write_text('package gateway\n\ndecision := {"allow": input.action.kind == "llm"}\n')
    plain = PolicyCheck(Policy(), load_engine(Policy(path=str(tmp_path))), inputs)
    assert (plain.reads_history, plain.keeps_history) == (False, False)
