"""Ids, keys, cursors and states of tasks, with values alone; lists of tasks, however a server cuts them."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Subject
from gateway.dialects.mcp_questions import Task, TaskAsk
from gateway.errors import Refusal
from gateway.tools.sessions import Sessions
from gateway.tools.task_owners import TaskOwners
from gateway.tools.tasks import described, in_later_form

SESSIONS = Sessions(None, lambda: 1000.0)
ALICE, BOB = (Subject(agent, "red") for agent in ("alice", "bob"))
SERVER: Any = SimpleNamespace(name="it", row=SimpleNamespace(restore=False))
TEXTS = st.text(max_size=80)
ASKS = st.builds(TaskAsk, st.sampled_from(["sampling", "elicitation"]), TEXTS, st.integers(0, 10**11))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(ASKS, TEXTS, TEXTS)
def test_a_key_is_that_of_one_question(asked: TaskAsk, id: str, other: str) -> None:
    """The same each time; of one caller, server and task."""
    task = Task("may", id)
    key = SESSIONS.ask_key(ALICE, "it", task, asked)
    assert SESSIONS.ask_key(ALICE, "it", task, asked) == key
    assert SESSIONS.ask_of(ALICE, "it", task, key) == asked
    assert SESSIONS.ask_of(BOB, "it", task, key) is None
    assert SESSIONS.ask_of(ALICE, "at", task, key) is None
    if other != id:
        assert SESSIONS.ask_of(ALICE, "it", Task("may", other), key) is None


@given(TEXTS, st.lists(TEXTS, max_size=4))
def test_other_keys_are_those_of_no_question(said: str, parts: list[str]) -> None:
    """Whatever they are."""
    for key in (said, ".".join(parts)):
        assert SESSIONS.ask_of(ALICE, "it", Task("may", "t"), key) is None
        assert SESSIONS.task_of(ALICE, "it", key) is None
        assert SESSIONS.page_of(ALICE, "it", key) is None


@given(TEXTS, TEXTS, st.booleans(), st.none() | TEXTS, st.integers(0, 1000))
def test_ids_and_cursors_are_sealed(tool: str, id: str, later: bool, cursor: str | None, passed: int) -> None:
    """For a caller and a server, and until a time."""
    task = Task(tool, id, later, "flow")
    given_id = SESSIONS.task(ALICE, "it", task, 1001.0)
    assert SESSIONS.task_of(ALICE, "it", given_id) == task
    assert SESSIONS.task_of(BOB, "it", given_id) is None
    assert SESSIONS.task_of(ALICE, "at", given_id) is None
    assert SESSIONS.task_of(ALICE, "it", SESSIONS.task(ALICE, "it", task, 999.0)) is None
    page = SESSIONS.page(ALICE, "it", cursor, passed)
    assert SESSIONS.page_of(ALICE, "it", page) == (cursor, passed)
    assert SESSIONS.page_of(BOB, "it", page) is None
    assert SESSIONS.task_of(ALICE, "it", page) is None


def test_ids_of_earlier_versions_are_good() -> None:
    """They have a tool and an id alone."""
    sealed = SESSIONS.task(ALICE, "it", cast("Task", ("may", "t-1")), 1001.0)
    assert SESSIONS.task_of(ALICE, "it", sealed) == Task("may", "t-1")


@given(st.dictionaries(st.sampled_from(["status", "ttl", "ttlMs", "createdAt", "pollInterval", "x"]), JSON))
def test_a_state_has_nothing_but_what_the_protocol_says(said: dict[str, Any]) -> None:
    """Any other value is a fault of the server, or left out."""
    for later in (False, True):
        for status in ("working", said.get("status")):
            try:
                told = described(SERVER, {**said, "status": status}, later=later)
            except Refusal:
                continue
            assert told["status"] in {"working", "input_required", "completed", "failed", "cancelled"}
            numbers = [value for key, value in in_later_form(told).items() if key in ("ttlMs", "pollIntervalMs")]
            assert all(value is None or 0 <= value <= 10**10 for value in numbers)
            assert {*told} <= {"status", "ttl", "createdAt", "lastUpdatedAt", "pollInterval"}


class Store:
    """Records in memory."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}

    async def own(self, team: str, id: str, record: bytes, ttl: int) -> None:
        """Keep a record."""
        self.records[id] = record

    async def owned(self, team: str, id: str) -> bytes | None:
        """A record."""
        return self.records.get(id)

    async def disown(self, team: str, id: str) -> None:
        """Delete a record."""
        del self.records[id]


class Tools:
    """All tools are accepted; the caller may use one."""

    async def tool(self, call: Any, server: Any, name: str) -> Any:
        """An accepted tool."""
        return SimpleNamespace(name=name, tool={}) if name in ("may", "lost") else None

    async def may(self, call: Any, name: str, *, writes: bool | None = None) -> bool:
        """Whether the caller may use a tool."""
        return name == "it/may"


@given(st.lists(st.sampled_from(["mine", "lost", "bob", "none"]), max_size=450), st.integers(1, 500))
def test_all_pages_have_the_tasks_of_the_caller(owners: list[str], size: int) -> None:
    """Each once, in the order of the server, however many others it has, and wherever it cuts."""
    tools: Any = Tools()
    seen: Any = SimpleNamespace(tool=tools.tool)
    row = SimpleNamespace(restore=False, write=(), idempotent=())
    server: Any = SimpleNamespace(name="it", row=row)
    tasks = TaskOwners(cast("Any", Store()), SESSIONS, tools, seen, None)
    state = {"status": "working", "ttl": None}

    def call(subject: Subject) -> Any:
        return SimpleNamespace(subject=subject, team="red", request=SimpleNamespace(correlation_id="flow"))

    async def run() -> None:
        mine = []
        for number, owner in enumerate(owners):
            if owner != "none":
                codec: Any = SimpleNamespace(called="lost" if owner == "lost" else "may")
                subject = BOB if owner == "bob" else ALICE
                id = await tasks.begun(call(subject), codec, server, {"taskId": f"t-{number}"})
                mine += [id] if owner == "mine" else []
        asked = 0

        async def ask(params: Any) -> bytes:
            nonlocal asked
            asked += 1
            at = int(params.get("cursor", 0))
            page = [{**state, "taskId": f"t-{number}"} for number in range(len(owners))][at : at + size]
            more = {"nextCursor": str(at + size)} if at + size < len(owners) else {}
            return json.dumps({"result": {"tasks": page, **more}}).encode()

        found, params = [], dict[str, Any]()
        while True:
            codec = SimpleNamespace(params=params, added={})
            asked = 0
            told = (await tasks.listed(call(ALICE), codec, server, ask))["tasks"]
            assert asked <= 5
            assert len(told) <= 100
            found += [codec.added["tasks", at, "taskId"] for at in range(len(told))]
            if ("nextCursor",) not in codec.added:
                break
            params = {"cursor": codec.added["nextCursor",]}
        assert found == mine

    asyncio.run(run())


@pytest.mark.parametrize("id", [None, 7, "", "x" * 1025])
def test_ids_that_cannot_be_used(id: Any) -> None:
    """A task without an id is a fault of the server; an empty one is an id."""
    tasks = TaskOwners(cast("Any", Store()), SESSIONS, cast("Any", Tools()), cast("Any", None), None)
    call: Any = SimpleNamespace(subject=ALICE, team="red", request=SimpleNamespace(correlation_id="flow"))
    begun = tasks.begun(call, cast("Any", SimpleNamespace(called="may")), SERVER, {"taskId": id})
    if id == "":
        assert asyncio.run(begun)
    else:
        with pytest.raises(Refusal, match="without a usable id"):
            asyncio.run(begun)
