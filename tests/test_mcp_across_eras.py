"""Questions where client and server are of different eras: calls that are held, and calls that are repeated."""

from __future__ import annotations

import contextlib
import json
import queue
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import mcp_types as types
import pytest
from fastmcp import Client as FastClient
from fastmcp.client.transports import StreamableHttpTransport

import event_stream
import tool_server
from asking_processes import FAST, SCRIPT
from gateway.dialects import mcp_names
from gateway.exchange import kept
from gateway.tools import held
from line import Line, config, policies, running
from mcp_asking import ABLE, ACCEPTED, FORM, POLICY, SAMPLED, Asked, asking, later, prompt, required, rounds
from tool_client import Client, failed, sdk, text
from tool_server import INJECTION, MAIL, Scripted, unknown
from waiting import eventually

EVERY = ["sampling", "elicitation", "roots"]
ASK = ("elicitation/create", FORM)
STATE = "state of the server, which is nobody's business"


def discovered(message: dict[str, Any]) -> dict[str, Any]:
    """The answer of a server of the later era to `server/discover`."""
    result = {"supportedVersions": [mcp_names.MODERN], "capabilities": {"tools": {}}, "resultType": "complete"}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Scripted, Scripted]]:
    """A server of the earlier era, and one of the later."""
    with tool_server.scripted() as old, tool_server.scripted() as new:
        for made in (old, new):
            made.tools = [tool_server.tool("get_it", annotations={"readOnlyHint": True}), tool_server.tool("send_it")]
        yield old, new


@pytest.fixture
def old(served: tuple[Scripted, Scripted]) -> Scripted:
    """The server of the earlier era, as new."""
    made = served[0]
    made.answers.clear()
    made.seen.clear()
    made.told = queue.SimpleQueue()
    made.answers["server/discover"] = unknown
    return made


@pytest.fixture
def new(served: tuple[Scripted, Scripted]) -> Scripted:
    """The server of the later era, as new."""
    made = served[1]
    made.answers.clear()
    made.seen.clear()
    made.answers["initialize"] = unknown
    made.answers["server/discover"] = discovered
    return made


@pytest.fixture(scope="module")
def line(served: tuple[Scripted, Scripted], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway before both, and a process."""
    folder = tmp_path_factory.mktemp("eras")
    (folder / "plain.py").write_text(SCRIPT)
    with running(folder, settings_of(folder, *served)) as started:
        yield started


def settings_of(folder: Path, old: Scripted, new: Scripted) -> Any:
    """The configuration."""
    first, second = ({"mcp": one.url, "timeout": "10s", "asks": EVERY, "price": 0.5} for one in (old, new))
    brief = {"timeout": "300ms", "ask_timeout": "300ms"}
    return config(
        folder,
        "http://127.0.0.1:9/v1",
        tools={
            "it": first,
            "brief": {**first, **brief},
            "new": second,
            "newbrief": {**second, **brief},
            "process": {"command": [sys.executable, str(folder / "plain.py")], "asks": EVERY},
        },
        policy=policies(folder, POLICY),
        pii={"vault_key": "A" * 43 + "=", "entities": {"CREDIT_CARD": "block"}},
        quotas={"tokens": 1_000_000, "cost_usd": 1000},
    )


def taken(answer: Any) -> Any:
    """What the server got."""
    return json.loads(text(answer.json()))


def test_a_call_is_held_while_the_client_is_asked(line: Line, old: Scripted) -> None:
    """Each judged; the server gets each answer in the session and under the id in which it asked."""
    asking(old, ("elicitation/create", {**FORM, "message": f"Is it {MAIL}?", "_meta": {"x": 1}}), ASK)
    questions, state = required(later(line))
    assert questions == {"q1": {"method": "elicitation/create", "params": {**FORM, "message": "Is it <EMAIL>?"}}}
    answer = {"action": "accept", "content": {"mail": "bob.jones@example.org"}}
    questions, state = required(later(line, requestState=state, inputResponses={"q1": answer}))
    assert questions == {"q2": {"method": "elicitation/create", "params": FORM}}
    told = taken(later(line, requestState=state, inputResponses={"q2": {"action": "decline"}}))
    assert told == [
        {"result": {"action": "accept", "content": {"mail": "<EMAIL_1>"}}},
        {"result": {"action": "decline"}},
    ]
    calls = [body for _, body in old.seen if body.get("method") == "tools/call"]
    assert len(calls) == 1
    assert {headers["mcp-session-id"] for headers, body in old.seen if "method" not in body} == {"s1"}
    opened = [body["params"]["capabilities"] for _, body in old.seen if body.get("method") == "initialize"]
    assert ABLE in opened or not opened  # by an earlier test
    eventually(lambda: nothing_is_held(line))


def nothing_is_held(line: Line) -> bool:
    """Whether no call waits."""
    waiting = line.gateway.shared.servers
    assert waiting is not None
    return not waiting.held._ends and not waiting.held._held and not waiting.held._of and not waiting.held._waiting


@pytest.mark.parametrize("path", ["/mcp/process", "/mcp"])
def test_a_process_and_all_servers(line: Line, old: Scripted, path: str) -> None:
    """As at the path of one server over HTTP."""
    tool = "get_it" if path != "/mcp" else "process_get_it"
    call: dict[str, Any] = {"path": path, "tool": tool, "arguments": {"questions": [ASK]}}
    _, state = required(later(line, **call))
    assert taken(later(line, **call, requestState=state, inputResponses={"q1": ACCEPTED})) == [{"result": ACCEPTED}]
    eventually(lambda: nothing_is_held(line))


def test_several_questions_at_once(line: Line, old: Scripted) -> None:
    """Those that the client does not answer get an error."""

    def answer(message: dict[str, Any]) -> Any:
        def write(handler: Any) -> None:
            send = event_stream.begin(handler)
            events = b""
            for id in ("a", "b"):
                said = {"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": {**FORM, "message": id}}
                events += b"data: " + json.dumps(said).encode() + b"\n\n"
            handler.wfile.write(events)
            got = {one["id"]: one.get("result") for one in (old.told.get(timeout=10) for _ in range(2))}
            result = {"content": [{"type": "text", "text": json.dumps(got)}]}
            send({"id": message["id"], "result": result})

        return write

    old.answers["tools/call"] = answer
    questions, state = required(later(line))
    (other,) = set(questions) - {"q1"} or {""}
    responses = {"q1": ACCEPTED}
    again = later(line, requestState=state, inputResponses=responses)
    if not other:  # the second came a moment later
        _, state = required(again)
        again = later(line, requestState=state, inputResponses={})
    assert taken(again) == {"a": ACCEPTED, "b": None}


def test_progress_reaches_the_request_that_is_there(line: Line, old: Scripted) -> None:
    """Under the token of the client in this request."""

    def answer(message: dict[str, Any]) -> Any:
        token = message["params"]["_meta"]["progressToken"]

        def write(handler: Any) -> None:
            send = event_stream.begin(handler)

            def tell(number: int) -> None:
                send({"method": "notifications/progress", "params": {"progressToken": token, "progress": number}})

            tell(1)
            send({"id": "q", "method": "elicitation/create", "params": FORM})
            old.told.get(timeout=10)
            tell(2)
            send({"id": message["id"], "result": {"content": []}})

        return write

    old.answers["tools/call"] = answer

    def events(answer: Any) -> list[Any]:
        return [json.loads(one.partition("data: ")[2]) for one in answer.text.split("\n\n") if one]

    *before, first = events(later(line, meta={"progressToken": "mine"}))
    assert [one["params"] for one in before] == [{"progress": 1, "progressToken": "mine"}]
    state = first["result"]["requestState"]
    *before, last = events(later(line, meta={"progressToken": 8}, requestState=state, inputResponses={"q1": ACCEPTED}))
    assert [one["params"] for one in before] == [{"progress": 2, "progressToken": 8}]
    assert last["result"]["resultType"] == "complete"


@pytest.mark.parametrize(
    "change",
    [
        {"agent": "bob"},
        {"tool": "send_it"},
        {"arguments": {"x": 1}},
        {"path": "/mcp/brief"},
        {"requestState": "x"},
        {"inputResponses": {"q2": ACCEPTED}},
        {"inputResponses": {"q1": {"action": "perhaps"}}},
        {"able": {}},
    ],
)
def test_answers_that_are_of_another_call(line: Line, old: Scripted, change: dict[str, Any]) -> None:
    """Refused, and the call goes on being held for its caller."""
    asking(old, ASK)
    _, state = required(later(line))
    more: dict[str, Any] = {"inputResponses": {"q1": ACCEPTED}, "requestState": state}
    assert later(line, **{**more, **change}).status_code == 400
    assert [body for _, body in old.seen if "method" not in body] == []
    assert taken(later(line, **more)) == [{"result": ACCEPTED}]


def test_a_state_is_good_once(line: Line, old: Scripted) -> None:
    """The second time, the client hears what to do."""
    asking(old, ASK)
    _, state = required(later(line))
    more: dict[str, Any] = {"inputResponses": {"q1": ACCEPTED}, "requestState": state}
    assert taken(later(line, **more)) == [{"result": ACCEPTED}]
    again = later(line, **more)
    assert again.status_code == 400
    assert "Call again" in again.json()["error"]["message"]


def test_another_gateway_has_nothing_of_it(
    line: Line, old: Scripted, served: tuple[Scripted, Scripted], tmp_path: Path
) -> None:
    """With the same key: an error at once. So after a restart."""
    (tmp_path / "plain.py").write_text(SCRIPT)
    asking(old, ASK)
    with running(tmp_path, settings_of(tmp_path, *served)) as other:
        _, state = required(later(other))
        more: dict[str, Any] = {"inputResponses": {"q1": ACCEPTED}, "requestState": state}
        wrong = later(line, **more)
        assert wrong.status_code == 400
        assert "another gateway" in wrong.json()["error"]["message"]
        assert taken(later(other, **more)) == [{"result": ACCEPTED}]
        asking(old, ASK)
        required(later(other))  # held when the gateway stops
    old.told.put({})


@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("roots/list", {}, "may not be asked"),  # by the policy
        ("tools/list", {}, "cannot be asked"),
        ("elicitation/create", {"mode": "url", "message": "Open", "url": "http://bank.example/"}, "https"),
        ("elicitation/create", {**FORM, "message": "x" * 70_000}, "bytes"),
        ("sampling/createMessage", {"messages": []}, "maxTokens"),
    ],
)
def test_questions_that_are_not_passed_on(line: Line, old: Scripted, method: str, params: Any, why: str) -> None:
    """The server gets an error at once, and the call goes on."""
    asking(old, (method, params))
    (told,) = taken(later(line))
    assert why in told["error"]["message"]


def test_a_question_that_is_refused_ends_the_call(line: Line, old: Scripted) -> None:
    """As in the era of the client; nothing is held then."""
    asking(old, ("elicitation/create", {**FORM, "message": INJECTION}))
    assert failed(later(line).json())[1] in ("injected", "policy_denied")
    eventually(lambda: nothing_is_held(line))
    old.told.put({})


def test_sampling_is_charged_to_the_workflow(line: Line, old: Scripted) -> None:
    """With the call that brings the answer."""
    asking(old, ("sampling/createMessage", prompt("a prompt of several words " * 40)))
    _, state = required(later(line, cid="held"))
    later(line, inputResponses={"q1": SAMPLED}, requestState=state, cid="held")
    eventually(lambda: line.workflow("held") is not None and not line.workflow("held").held.get("calls"))
    used = line.workflow("held").used
    assert used["calls"] == 2
    assert used["tokens"] > 200


def test_a_client_that_never_calls_again(line: Line, old: Scripted) -> None:
    """The call ends in time; an answer that comes then is refused."""
    asking(old, ASK)
    _, state = required(later(line, path="/mcp/brief"))
    eventually(lambda: nothing_is_held(line))
    late = later(line, path="/mcp/brief", inputResponses={"q1": ACCEPTED}, requestState=state)
    assert late.status_code == 400
    old.told.put({})


def test_a_client_that_goes_away_while_the_server_works(line: Line, old: Scripted) -> None:
    """The call ends at the server."""
    gone = Event()

    def answer(message: dict[str, Any]) -> Any:
        def write(handler: Any) -> None:
            send = event_stream.begin(handler)
            send({"id": 1, "method": "elicitation/create", "params": FORM})
            old.told.get(timeout=10)
            with contextlib.suppress(OSError):
                while True:
                    handler.wfile.write(b": working\n\n")
                    old.release.wait(0.02)
            gone.set()

        return write

    old.answers["tools/call"] = answer
    _, state = required(later(line))
    params = {
        "name": "get_it",
        "arguments": {},
        "requestState": state,
        "inputResponses": {"q1": ACCEPTED},
        "_meta": {mcp_names.VERSION: mcp_names.MODERN, mcp_names.CAPABILITIES: ABLE},
    }
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    headers = {**Client(line).headers, "mcp-protocol-version": mcp_names.MODERN, "mcp-method": "tools/call"}
    headers |= {"mcp-name": "get_it"}
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{line.url}/mcp/it", json=message, headers=headers, timeout=0.5)
    assert gone.wait(10)
    eventually(lambda: nothing_is_held(line))


def test_many_calls_that_wait(line: Line, old: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server hears no answer, the caller why; other agents are served."""
    monkeypatch.setattr(held, "_OWN", 2)
    asking(old, ASK)
    states = [required(later(line))[1] for _ in range(2)]
    refused = later(line).json()
    assert failed(refused) == (-32000, "upstream_error")
    assert "2 calls of yours wait" in refused["error"]["message"]
    required(later(line, agent="bob"))
    for state in states:
        later(line, inputResponses={"q1": ACCEPTED}, requestState=state)
    required(later(line))
    for _ in range(4):
        old.told.put({})
    end_all(line)


def end_all(line: Line) -> None:
    """End what waits, as for callers whose key was revoked."""
    servers = line.gateway.shared.servers
    assert servers is not None
    line.loop.call_soon_threadsafe(servers.held.sweep, lambda key: False)
    eventually(lambda: nothing_is_held(line))


def test_a_key_that_is_revoked(line: Line, old: Scripted) -> None:
    """What waits for its caller ends."""
    asking(old, ASK)
    _, state = required(later(line))
    end_all(line)
    assert later(line, inputResponses={"q1": ACCEPTED}, requestState=state).status_code == 400
    old.told.put({})


def test_a_client_of_the_earlier_era_is_asked_in_its_stream(line: Line, new: Scripted) -> None:
    """The call is repeated with the answers, and the state of the server comes back to it as it was."""
    question = {"method": "elicitation/create", "params": {**FORM, "message": f"Is it {MAIL}?", "_meta": {"x": 1}}}
    rounds(new, {"a": question, "b": {"method": "sampling/createMessage", "params": prompt("x")}})
    asked = Asked(line, "/mcp/new")
    told = asked.call({"action": "accept", "content": {"mail": "bob.jones@example.org"}}, SAMPLED)
    got = {"a": {"action": "accept", "content": {"mail": "<EMAIL_1>"}}, "b": SAMPLED}
    assert json.loads(text(told)) == [got, STATE]
    assert told["id"] == 7
    assert [one["method"] for one in asked.questions] == ["elicitation/create", "sampling/createMessage"]
    assert asked.questions[0]["params"] == {**FORM, "message": "Is it <EMAIL>?"}
    assert STATE not in json.dumps(asked.questions)
    first, second = [body["params"] for _, body in new.seen if body["method"] == "tools/call"]
    assert first["_meta"][mcp_names.CAPABILITIES] == second["_meta"][mcp_names.CAPABILITIES] == ABLE
    assert first["arguments"] == second["arguments"] == {}
    eventually(lambda: nothing_is_held(line))


@pytest.mark.parametrize("path", ["/mcp/new", "/mcp"])
def test_all_servers_and_a_state_without_questions(line: Line, new: Scripted, path: str) -> None:
    """Through the path of all servers, too; a server that only wants to be called again is."""
    asked = Asked(line, path)
    tool = "get_it" if path != "/mcp" else "new_get_it"
    rounds(new, {"a": {"method": "elicitation/create", "params": FORM}}, state=None)
    assert json.loads(text(asked.call(ACCEPTED, tool=tool))) == [{"a": ACCEPTED}, None]

    def wait(message: dict[str, Any]) -> Any:
        done = {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}
        wait = {"resultType": "input_required", "requestState": "s"}
        again = message["params"].get("requestState") == "s"
        return {"jsonrpc": "2.0", "id": message["id"], "result": done if again else wait}

    new.answers["tools/call"] = wait
    assert text(asked.call(tool=tool)) == "done"


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ({"method": "roots/list", "params": {}}, "may not be asked"),
        ({"method": "tools/list", "params": {}}, "cannot be asked"),
        ({"method": "elicitation/create", "params": {**FORM, "message": INJECTION}}, "did not pass"),
        ({"method": ["x"], "params": {}}, "cannot be asked"),
        ("what?", "cannot be asked"),
    ],
)
def test_what_ends_a_call_that_is_repeated(line: Line, new: Scripted, question: Any, why: str) -> None:
    """A question that may not be passed on: there is no error for it in this era."""
    rounds(new, {"a": question})
    told = Asked(line, "/mcp/new").call()
    assert failed(told) == (-32000, "upstream_error")
    assert why in told["error"]["message"]
    eventually(lambda: nothing_is_held(line))


def test_clients_that_answer_with_an_error(line: Line, new: Scripted) -> None:
    """Or whose answer may not leave: the call ends."""
    rounds(new, {"a": {"method": "elicitation/create", "params": FORM}})
    asked = Asked(line, "/mcp/new")
    told = asked.call(lambda question: asked.answer(question["id"], error={"code": -1, "message": "no"}))
    assert failed(told) == (-32000, "upstream_error")
    told = asked.call({**ACCEPTED, "content": {"card": "4111 1111 1111 1111"}})
    assert failed(told) == (-32000, "upstream_error")
    assert "4111" not in json.dumps([body for _, body in new.seen])


def test_a_client_that_does_not_answer_a_repeated_call(line: Line, new: Scripted) -> None:
    """The call ends in time; what comes then, or twice, or from others is refused."""
    rounds(new, {"a": {"method": "elicitation/create", "params": FORM}})
    asked, bob = Asked(line, "/mcp/newbrief"), Asked(line, "/mcp/newbrief", agent="bob")
    told = asked.call(lambda question: bob.answer(question["id"], result=ACCEPTED))
    assert failed(told) == (-32000, "upstream_timeout")
    assert asked.answer(asked.questions[0]["id"], result=ACCEPTED).status_code == 400
    twice = Asked(line, "/mcp/new")
    seen: list[int] = []

    def answer(question: dict[str, Any]) -> None:
        seen.extend(twice.answer(question["id"], result=ACCEPTED).status_code for _ in range(2))

    twice.call(answer)
    assert seen == [202, 400]


def test_a_server_that_asks_without_end(line: Line, new: Scripted) -> None:
    """After 16 rounds, the call ends."""
    question = {"method": "elicitation/create", "params": FORM}
    new.answers["tools/call"] = lambda message: {
        "jsonrpc": "2.0",
        "id": message["id"],
        "result": {"resultType": "input_required", "inputRequests": {"a": question}},
    }
    asked = Asked(line, "/mcp/new")
    told = asked.call(*[ACCEPTED] * 20)
    assert len(asked.questions) == 16
    assert "without end" in told["error"]["message"]


def test_a_client_of_a_repeated_call_that_goes_away(line: Line, new: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for it, if it does not come back."""
    monkeypatch.setattr(kept, "_ALONE", 0.1)
    rounds(new, {"a": {"method": "elicitation/create", "params": FORM}})

    class Gone(Exception):
        pass

    def leave(question: dict[str, Any]) -> None:
        raise Gone

    with pytest.raises(Gone):
        Asked(line, "/mcp/new").call(leave)
    eventually(lambda: nothing_is_held(line))


def test_who_is_not_asked_by_a_server_of_the_later_era(line: Line, new: Scripted) -> None:
    """A client without a session, or that declared nothing: the server hears what can be asked."""
    rounds(new, {"a": {"method": "elicitation/create", "params": FORM}})
    for told in (Client(line, "/mcp/new").call("get_it"), Asked(line, "/mcp/new", able={}).call()):
        assert failed(told) == (-32000, "upstream_error")
    said = [body["params"]["_meta"][mcp_names.CAPABILITIES] for _, body in new.seen if body["method"] == "tools/call"]
    assert set(map(json.dumps, said)) == {"{}"}


def test_many_clients_at_once(line: Line, old: Scripted, new: Scripted) -> None:
    """Each gets its own question, and each server the answer to it."""

    def echo(message: dict[str, Any]) -> Any:
        params, number = message["params"], message["params"]["arguments"]["number"]
        asks = {"a": {"method": "elicitation/create", "params": {**FORM, "message": f"Number {number}?"}}}
        done = {"content": [{"type": "text", "text": json.dumps(params.get("inputResponses"))}]}
        wants: dict[str, Any] = {"resultType": "input_required", "inputRequests": asks}
        return {"jsonrpc": "2.0", "id": message["id"], "result": done if "inputResponses" in params else wants}

    new.answers["tools/call"] = echo

    def one(number: int) -> Any:
        asked = Asked(line, "/mcp/new", agent=("alice", "bob")[number % 2])

        def answer(question: dict[str, Any]) -> None:
            assert question["params"]["message"] == f"Number {number}?"
            asked.answer(question["id"], result={"action": "accept", "content": {"number": number}})

        return json.loads(text(asked.call(answer, arguments={"number": number})))["a"]["content"]["number"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(12))) == list(range(12))


@pytest.fixture
def sdk_line(tmp_path: Path, old: Scripted) -> Iterator[Line]:
    """A gateway that runs a server of fastmcp, which asks in mid-call."""
    (tmp_path / "fast.py").write_text(FAST)
    row = {"command": [sys.executable, str(tmp_path / "fast.py")], "asks": ["elicitation"]}
    with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": row})) as started:
        yield started


async def test_the_official_sdk_as_a_client_of_the_later_era(sdk_line: Line) -> None:
    """Before a server that asks in mid-call: the callback is called as without a gateway."""
    asked: list[str] = []

    async def on_elicit(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"value": "Ann"})

    async with sdk(f"{sdk_line.url}/mcp/it", mode="auto", elicitation_callback=on_elicit) as client:
        result = await client.call_tool("ask", {})
    assert result.structured_content == {"result": "Ann"}
    assert asked == ["Name of <EMAIL>?"]


async def test_fastmcp_as_a_client_of_the_later_era(sdk_line: Line) -> None:
    """The same."""
    asked: list[str] = []

    async def on_elicit(message: str, response_type: Any, params: Any, context: Any) -> Any:
        asked.append(message)
        return {"value": "Ann"}

    transport = StreamableHttpTransport(f"{sdk_line.url}/mcp/it", headers={"Authorization": "Bearer mg-alice"})
    async with FastClient(transport, mode="auto", elicitation_handler=on_elicit) as client:
        assert (await client.call_tool("ask", {})).data == "Ann"
    assert asked == ["Name of <EMAIL>?"]
