"""Streams of other agents through the whole gateway: each event is judged before it leaves."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_server import GETS, POLICY, STREAMS, SUBSCRIBES, Scripted, own_code, scripted, task
from line import Line, config, policies, running
from tool_server import INJECTION, MAIL

versions = pytest.mark.parametrize("version", list(STREAMS))
CARD = "4111 1111 1111 1111"
KEY = "AKIAIOSFODNN7EXAMQLE"


@pytest.fixture(scope="module")
def up() -> Iterator[Scripted]:
    """A scripted agent."""
    with scripted() as made:
        made.card = {
            "name": "Planner",
            "url": f"{made.url}/rpc",
            "protocolVersion": "0.3.0",
            "supportedInterfaces": [
                {"url": f"{made.url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            ],
            "capabilities": {"streaming": True},
        }
        yield made


@pytest.fixture
def agent(up: Scripted) -> Scripted:
    """The same, as new."""
    up.answer, up.raw, up.status, up.stream = None, None, 200, None
    up.seen.clear()
    up.closed.clear()
    return up


@pytest.fixture(scope="module")
def line(up: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a policy, quotas and prices."""
    folder = tmp_path_factory.mktemp("a2a")
    row = {"url": up.url, "price": 0.25, "timeout": "10s", "max_answer": 100_000}
    fields = {
        "a2a": {"planner": row},
        "policy": policies(folder, POLICY),
        "quotas": {"cost_usd": 100, "calls": 1000},
        "output": {"pii": "block"},
    }
    with running(folder, config(folder, "http://127.0.0.1:9/v1", **fields)) as started:
        yield started


class Story:
    """The events of one stream, in one version of the protocol."""

    def __init__(self, version: str, id: str) -> None:
        self.version = version
        self.id = id

    def event(self, kind: str, said: dict[str, Any], *, request: Any = "r1") -> bytes:
        result: dict[str, Any] = {kind: said}
        if self.version == "0.3":
            kinds = {"statusUpdate": "status-update", "artifactUpdate": "artifact-update"}
            result = {"kind": kinds.get(kind, kind), **said}
        return b"data: " + json.dumps({"jsonrpc": "2.0", "id": request, "result": result}).encode() + b"\n\n"

    def part(self, text: str) -> dict[str, Any]:
        return {"text": text} if self.version == "1.0" else {"kind": "text", "text": text}

    def state(self, name: str) -> str:
        return f"TASK_STATE_{name.upper()}" if self.version == "1.0" else name

    def task(self) -> bytes:
        return self.event(
            "task", {"id": self.id, "contextId": f"c-{self.id}", "status": {"state": self.state("working")}}
        )

    def chunk(self, *texts: str, artifact: str = "a1", parts: list[Any] | None = None, task: str = "") -> bytes:
        said = {"artifactId": artifact, "parts": parts or [self.part(text) for text in texts]}
        return self.event(
            "artifactUpdate",
            {"taskId": task or self.id, "contextId": f"c-{self.id}", "artifact": said, "append": True},
        )

    def status(self, name: str, text: str = "") -> bytes:
        status: dict[str, Any] = {"state": self.state(name)}
        if text:
            status["message"] = {"messageId": "m9", "role": "agent", "parts": [self.part(text)]}
        said = {"taskId": self.id, "contextId": f"c-{self.id}", "status": status}
        return self.event(
            "statusUpdate", {**said, "final": True} if self.version == "0.3" and name != "working" else said
        )


def stream(
    line: Line, version: str, *, who: str = "alice", method: str = "", params: Any = None, **more: str
) -> list[Any]:
    """The data of all events; of a whole answer, the one."""
    headers = {"authorization": f"Bearer mg-{who}", "a2a-version": version, "accept": "text/event-stream"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    part = {"text": "go"} if version == "1.0" else {"kind": "text", "text": "go"}
    params = params or {"message": {"messageId": "m1", "role": "user", "parts": [part]}}
    message = {"jsonrpc": "2.0", "id": "r1", "method": method or STREAMS[version], "params": params}
    with line.client.stream("POST", "/a2a/planner", json=message, headers=headers) as answer:
        raw = answer.read()
        if not answer.headers["content-type"].startswith("text/event-stream"):
            return [json.loads(raw)]
    return [json.loads(one.partition(b"data: ")[2]) for one in raw.split(b"\n\n") if b"data: " in one]


def texts(events: list[Any]) -> str:
    """All texts of artifacts, joined as a client joins them."""
    said = []
    for event in events:
        result = event.get("result", {})
        update = result.get("artifactUpdate", result)
        said += [part.get("text", "") for part in update.get("artifact", {}).get("parts", [])]
    return "".join(said)


@versions
def test_a_stream_passes_unchanged(line: Line, agent: Scripted, version: str) -> None:
    """Event by event, with the price of one message; the task can be read afterwards, and by nobody else."""
    tale = Story(version, f"s-{version}")
    agent.stream = lambda method, params: iter(
        [
            tale.task(),
            tale.status("working", "thinking"),
            tale.chunk("Hello "),
            tale.chunk("world."),
            tale.status("completed"),
        ]
    )
    events = stream(line, version, x_correlation_id=f"st-{version}")
    assert [event["id"] for event in events] == ["r1"] * 5, events
    assert texts(events) == "Hello world."
    used = line.workflow(f"st-{version}").used
    assert (used["calls"], used["cost"]) == (1, 250_000_000)
    agent.stream = None
    for who, found in (("alice", True), ("bob", False), ("mallory", False)):
        params = {"id": tale.id}
        said = stream(line, version, who=who, method=GETS[version], params=params)[0]
        assert ("result" in said) is found
        agent.stream = lambda method, params: iter([tale.task(), tale.status("completed")])
        said = stream(line, version, who=who, method=SUBSCRIBES[version], params=params)
        assert ("result" in said[0]) is found
        agent.stream = None


@versions
def test_an_event_leaves_before_the_next_is_there(line: Line, agent: Scripted, version: str) -> None:
    """A stream is not collected."""
    tale, goes_on = Story(version, f"l-{version}"), threading.Event()

    def slowly(method: str, params: Any) -> Iterator[bytes]:
        yield tale.task()
        assert goes_on.wait(10)
        yield tale.status("completed")

    agent.stream = slowly
    part = tale.part("go")
    message = {"message": {"messageId": "m1", "role": "user", "parts": [part]}}
    body = {"jsonrpc": "2.0", "id": "r1", "method": STREAMS[version], "params": message}
    with line.client.stream("POST", "/a2a/planner", json=body, headers={"a2a-version": version}) as answer:
        pieces = answer.iter_bytes()
        assert tale.id.encode() in next(pieces)
        goes_on.set()
        assert b"ompleted" in b"".join(pieces).lower().replace(b"task_state_", b"")


@versions
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    case=st.sampled_from([(CARD, "output_blocked"), (KEY, "secret_blocked")]),
    spots=st.lists(st.integers(0, 45), max_size=4).map(sorted),
    through_status=st.booleans(),
)
def test_values_that_are_split_over_events(
    line: Line, agent: Scripted, version: str, case: tuple[str, str], spots: list[int], through_status: bool
) -> None:
    """However a value is cut, over chunks of an artifact or over messages of the status, no part of it leaves."""
    value, code = case
    text = f"The value is {value} indeed."
    pieces = [text[begin:end] for begin, end in zip([0, *spots], [*spots, len(text)], strict=True)]
    tale = Story(version, "split")
    said = [tale.status("working", piece) if through_status else tale.chunk(piece) for piece in pieces]
    agent.stream = lambda method, params: iter([tale.task(), *said, tale.status("completed")])
    events = stream(line, version)
    told = json.dumps(events)
    assert own_code(events[-1]["error"]) == code
    assert value not in told
    assert value[10:] not in told
    digits = "".join(texts(events).split("The value is ")[-1:]).replace(" ", "")
    assert len(digits) < 12


@versions
@pytest.mark.parametrize("cut", [1, 5, 9, 14])
def test_personal_data_is_restored_across_events(line: Line, agent: Scripted, version: str, cut: int) -> None:
    """A placeholder that comes in two chunks is replaced by the value."""
    tale = Story(version, "restore")

    def echo(method: str, params: Any) -> Iterator[bytes]:
        said = params["message"]["parts"][0]["text"]
        yield tale.task()
        yield tale.chunk(said[: len("to ") + cut])
        yield tale.chunk(said[len("to ") + cut :])
        yield tale.status("completed")

    agent.stream = echo
    params = {"message": {"messageId": "m1", "role": "user", "parts": [tale.part(f"to {MAIL}")]}}
    assert texts(stream(line, version, params=params)) == f"to {MAIL}"
    assert MAIL not in json.dumps(agent.seen)


@versions
def test_instructions_that_are_split_over_events_are_withheld(line: Line, agent: Scripted, version: str) -> None:
    """The policy judges each event together with the end of what came before."""
    tale, half = Story(version, "inject"), len(INJECTION) // 2
    pieces = [tale.chunk(INJECTION[:half]), tale.chunk(INJECTION[half:])]
    agent.stream = lambda method, params: iter([tale.task(), *pieces, tale.status("completed")])
    events = stream(line, version)
    assert own_code(events[-1]["error"]) == "policy_denied"
    assert INJECTION[half:] not in json.dumps(events)


@versions
def test_data_files_and_names_of_fields(line: Line, agent: Scripted, version: str) -> None:
    """Data is text, and so is any field that the protocol does not have; files cannot be read."""
    tale = Story(version, "data")
    file: dict[str, Any] = {"raw": "AAAA"} if version == "1.0" else {"kind": "file", "file": {"bytes": "AAAA"}}
    for part in ({"data": {"card": CARD}}, {"x": CARD}, {"text": "a", "metadata": {"k": CARD}}, file):
        agent.stream = lambda method, params, part=part: iter([tale.task(), tale.chunk(parts=[part])])
        events = stream(line, version)
        assert "error" in events[-1], part
        assert CARD not in json.dumps(events)


@versions
@pytest.mark.parametrize("key", ["kind", "role", "messageId", "metadata", "final", "state", "extra"])
def test_structural_fields_hold_no_values(line: Line, agent: Scripted, version: str, key: str) -> None:
    """What is no name under the key of a name is a text."""
    tale = Story(version, "odd")
    working = {"state": tale.state("working")}
    said: dict[str, Any] = {"taskId": tale.id, "contextId": f"c-{tale.id}", "status": working}
    if key == "state":
        working["state"] = CARD
    elif key != "kind" or version == "1.0":
        said[key] = CARD
    message = {"role": "agent", "parts": [tale.part("x")], "messageId": "m", "kind": "message", key: CARD}
    for event in (tale.event("statusUpdate", said), tale.event("message", message)):
        agent.stream = lambda method, params, event=event: iter([tale.task(), event])
        assert CARD not in json.dumps(stream(line, version))


@versions
def test_hostile_streams(line: Line, agent: Scripted, version: str) -> None:
    """Other ids, other tasks, garbage, floods, nothing: an error at the end, and the next caller is served."""
    tale, other = Story(version, "mine"), Story(version, "theirs")
    endless = b"data: " + b"x" * 60_000 + b"\n\n"
    for pieces in (
        [tale.task(), other.status("completed", "secret plan")],
        [tale.task(), tale.chunk("secret plan", task="theirs")],
        [tale.event("task", {"id": "mine", "note": "secret plan"}, request="r2")],
        [b"data: {secret plan\n\n"],
        [b'data: {"jsonrpc": "2.0", "id": "r1", "result": {}, "error": {"code": 1, "message": "secret plan"}}\n\n'],
        [b'data: {"jsonrpc": "2.0", "id": "r1", "result": {"task": {"id": "a b"}, "kind": "task", "id": "a b"}}\n\n'],
        [tale.task(), endless, endless],
        [],
    ):
        agent.stream = lambda method, params, pieces=pieces: iter(pieces)
        events = stream(line, version)
        assert own_code(events[-1]["error"]) == "upstream_error", pieces
        assert "secret plan" not in json.dumps(events)
    agent.stream = lambda method, params: iter([tale.task(), tale.status("completed")])
    assert len(stream(line, version)) == 2


@versions
def test_errors_of_the_agent_pass(line: Line, agent: Scripted, version: str) -> None:
    """In a stream, and in place of one; they are judged, too."""
    for text, passes in (("no such plan", True), (f"card {CARD}", False)):
        error = json.dumps({"jsonrpc": "2.0", "id": "r1", "error": {"code": -32004, "message": text}}).encode()
        agent.stream = lambda method, params, error=error: iter([b"data: " + error + b"\n\n"])
        events = stream(line, version)
        assert (events[-1]["error"]["code"] == -32004) is passes
        agent.stream, agent.raw = None, error
        assert (stream(line, version)[0]["error"]["code"] == -32004) is passes


@versions
def test_a_caller_that_goes_away(line: Line, agent: Scripted, version: str) -> None:
    """The agent sees the end of its connection, and the message is charged."""
    tale = Story(version, f"gone-{version}")

    def endless(method: str, params: Any) -> Iterator[bytes]:
        yield tale.task()
        while True:
            yield tale.status("working", "still here.")
            agent.closed.wait(0.01)

    agent.stream = endless
    cid = f"gone-{version}"
    params = {"message": {"messageId": "m1", "role": "user", "parts": [tale.part("go")]}}
    body = json.dumps({"jsonrpc": "2.0", "id": "r1", "method": STREAMS[version], "params": params}).encode()
    with socket.create_connection(("127.0.0.1", int(line.url.rpartition(":")[2]))) as caller:
        head = f"POST /a2a/planner HTTP/1.1\r\nhost: x\r\nauthorization: Bearer mg-alice\r\na2a-version: {version}\r\n"
        head += f"x-correlation-id: {cid}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        caller.sendall(head.encode() + body)
        assert caller.recv(65536)
    assert agent.closed.wait(10)
    agent.stream = None
    said = stream(line, version, method=GETS[version], params={"id": tale.id})[0]
    assert "result" in said
    assert task(tale.id, "done", GETS[version])["id"] == said["result"]["id"]


@versions
def test_a_context_that_changes(line: Line, agent: Scripted, version: str) -> None:
    """Is passed on, because agents make one for a message that names its task alone; but not a flood of contexts."""
    tale = Story(version, f"changes-{version}")

    def told(number: int) -> list[bytes]:
        events = [tale.task()]
        for at in range(number):
            said = {"taskId": tale.id, "contextId": f"c-{version}-{at}", "status": {"state": "working"}, "final": False}
            if version == "1.0":
                said = {"taskId": tale.id, "contextId": f"c-{version}-{at}", "status": {"state": "TASK_STATE_WORKING"}}
            events.append(tale.event("statusUpdate", said))
        return [*events, tale.status("completed")]

    agent.stream = lambda method, params: iter(told(2))
    assert "error" not in stream(line, version)[-1]
    agent.stream = lambda method, params: iter(told(9))
    assert own_code(stream(line, version)[-1]["error"]) == "upstream_error"


@versions
def test_half_a_character(line: Line, agent: Scripted, version: str) -> None:
    """It becomes U+FFFD, as JSON has none."""
    tale = Story(version, "half")
    events = [tale.task(), tale.chunk("a\ud83d"), tale.chunk("b \ud83d\ude00"), tale.status("completed")]
    agent.stream = lambda method, params: iter(events)
    assert texts(stream(line, version)) == "a\ufffdb \U0001f600"


@versions
def test_a_character_in_two_events(line: Line, agent: Scripted, version: str) -> None:
    """Its halves are joined, for each artifact; a half that stays alone is U+FFFD, in its place."""
    tale = Story(version, "halves")

    def told(*events: bytes) -> list[Any]:
        agent.stream = lambda method, params: iter([tale.task(), *events])
        return stream(line, version)

    cut = (tale.chunk("a\ud83d"), tale.chunk("x\ud83d", artifact="a2"), b": alive\n\n", tale.chunk("\ude00b"))
    said = told(*cut, tale.chunk("\ude01y", artifact="a2"), tale.status("completed"))
    assert texts(said) == "ax\U0001f600b\U0001f601y"
    said = told(tale.chunk("write to ann@\ud83d", "\ude00.b\ud83d"), tale.chunk("\ude01"), tale.status("completed"))
    assert texts(said) == "write to ann@\U0001f600.b\U0001f601"
    said = told(tale.chunk("a\ud83d"), tale.chunk("b"), tale.chunk("c\ud83d"), tale.status("completed"))
    assert texts(said) == "a\ufffdbc\ufffd"
    assert said[-1]["result"].get("statusUpdate", said[-1]["result"])["status"]["state"] == tale.state("completed")
    assert own_code(told(tale.chunk("ann.lee@exam\ud83d"), tale.chunk("ple", "ann.lee@example.org"))[-1]["error"])
