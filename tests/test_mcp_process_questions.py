"""Questions of MCP servers that the gateway runs: each reaches the client in whose call it was asked, and no other."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import mcp_types as types
import pytest
from fastmcp import Client as FastClient
from fastmcp.client.transports import StreamableHttpTransport

from asking_processes import FAST, SCRIPT, SDK
from gateway.exchange import kept
from line import Line, config, policies, running
from mcp_asking import ABLE, ACCEPTED, FORM, POLICY, SAMPLED, Asked, answers, prompt
from tool_client import failed, sdk, text
from tool_server import INJECTION, MAIL
from waiting import eventually

EVERY = ["sampling", "elicitation", "roots"]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that runs servers that may ask: a plain one, and some of SDKs."""
    folder = tmp_path_factory.mktemp("asking")
    for name, script in (("plain", SCRIPT), ("sdk", SDK), ("fast", FAST)):
        (folder / f"{name}.py").write_text(script)
    plain = {"command": [sys.executable, str(folder / "plain.py")], "timeout": "10s"}
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools={
            "plain": {**plain, "asks": EVERY},
            "mute": plain,
            "brief": {**plain, "timeout": "2s", "asks": EVERY, "ask_timeout": "300ms"},
        },
        policy=policies(folder, POLICY),
        pii={"vault_key": "A" * 43 + "=", "entities": {"CREDIT_CARD": "block"}},
        quotas={"tokens": 1_000_000, "cost_usd": 1000},
    )
    with running(folder, settings) as started:
        yield started


def ask(asked: Asked, *told: Any, questions: Any = (("elicitation/create", FORM),), **arguments: Any) -> Any:
    """Call the tool, which asks; the answers that the server got."""
    return answers(asked.call(*told, arguments={"questions": questions, **arguments}))


def test_a_question_reaches_the_client_and_the_answer_the_process(line: Line) -> None:
    """Each judged, as over HTTP; the process was started with what this client can be asked."""
    asked = Asked(line, "/mcp/plain")
    question = ("elicitation/create", {**FORM, "message": f"Is it {MAIL}?", "_meta": {"x": 1}})
    told = ask(
        asked,
        {**ACCEPTED, "content": {"mail": "bob.jones@example.org"}},
        SAMPLED,
        questions=[question, ("sampling/createMessage", prompt("x"))],
    )
    assert told == [
        {"result": {"action": "accept", "content": {"mail": "<EMAIL_2>"}}},
        {"result": SAMPLED},
    ]
    assert asked.questions[0]["params"] == {**FORM, "message": f"Is it {MAIL}?"}  # said by the caller before
    assert [one.status_code for one in asked.taken] == [202, 202]
    assert answers(asked.call(arguments={"what": "able"})) == ABLE
    some = Asked(line, "/mcp/plain", able={"roots": {}, "voice": {}})
    assert answers(some.call(arguments={"what": "able"})) == {"roots": {}}


def test_a_session_has_a_process_of_its_own(line: Line) -> None:
    """One for all its calls; another session has another, and clients that cannot be asked share one."""
    first, second = Asked(line, "/mcp/plain"), Asked(line, "/mcp/plain")
    others = [Asked(line, "/mcp/plain", able={}), Asked(line, "/mcp/plain", agent="bob", able={})]

    def pid(asked: Asked) -> Any:
        return answers(asked.call(arguments={"what": "pid"}))

    pids = [pid(first), pid(second), pid(first), pid(others[0]), pid(others[1])]
    assert pids[0] == pids[2]
    assert pids[3] == pids[4]
    assert len(set(pids)) == 3
    headers = {**first.client.headers, "mcp-session-id": first.session}
    assert line.client.delete("/mcp/plain", headers=headers).status_code == 200
    eventually(lambda: not alive(pids[0]))
    assert alive(pids[1])


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_questions_reach_no_other_call(line: Line) -> None:
    """Two clients and two calls of one client at the same time, each asked and answered with its own words."""
    clients = [Asked(line, "/mcp/plain", agent="alice"), Asked(line, "/mcp/plain", agent="bob")]
    clients.append(Asked(line, "/mcp/plain"))
    clients[2].session = clients[0].session
    ready = [Event() for _ in clients]

    def one(number: int) -> Any:
        asked = clients[number]

        def answer(question: dict[str, Any]) -> None:
            ready[number].set()
            assert all(event.wait(10) for event in ready)  # all have been asked
            assert question["params"]["message"] == f"Number {number}?"
            content = {"action": "accept", "content": {"number": number}}
            taken = asked.answer(question["id"], agent=asked.agent, result=content)
            assert taken.status_code == 202

        return ask(asked, answer, questions=[("elicitation/create", {**FORM, "message": f"Number {number}?"})])

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(one, range(3)))
    assert [told[0]["result"]["content"]["number"] for told in found] == [0, 1, 2]


def test_foreign_answers_are_refused(line: Line) -> None:
    """Of another agent or session, and one that comes twice or too late."""
    asked, other, bob = (Asked(line, "/mcp/plain", agent=agent) for agent in ("alice", "alice", "bob"))

    def answer(question: dict[str, Any]) -> None:
        id = question["id"]
        tries: list[Callable[[], Any]] = [
            lambda: asked.answer(id, session=other.session, result=ACCEPTED),
            lambda: asked.answer(id, agent="bob", session=bob.session, result=ACCEPTED),
            lambda: asked.answer(id, agent="bob", result=ACCEPTED),
            lambda: asked.answer(id, path="/mcp/mute", result=ACCEPTED),
            lambda: asked.answer("q0", result=ACCEPTED),
        ]
        assert [attempt().status_code for attempt in tries] == [400, 400, 404, 404, 400]
        assert asked.answer(id, result=ACCEPTED).status_code == 202

    assert ask(asked, answer) == [{"result": ACCEPTED}]
    late = asked.answer(asked.questions[0]["id"], result=ACCEPTED)
    assert late.status_code == 400
    assert "has ended" in late.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("roots/list", {}, "may not be asked"),  # by the policy
        ("tools/list", {}, "cannot be asked"),
        ("elicitation/create", {**FORM, "message": "x" * 70_000}, "bytes"),
        ("elicitation/create", {**FORM, "message": INJECTION}, "not pass"),
        ("elicitation/create", {"mode": "url", "message": "Open", "url": "http://bank.example/"}, "https"),
    ],
)
def test_questions_that_are_not_passed_on(line: Line, method: str, params: Any, why: str) -> None:
    """The process gets an error at once, and the call goes on."""
    asked = Asked(line, "/mcp/plain")
    (told,) = ask(asked, questions=[(method, params)])
    assert why in told["error"]["message"]
    assert asked.questions == []


@pytest.mark.parametrize(("path", "able"), [("/mcp/mute", ABLE), ("/mcp/plain", {})])
def test_who_is_not_asked(line: Line, path: str, able: Any) -> None:
    """Without the operator's word, or without the client's, the process hears that the client cannot be asked."""
    asked = Asked(line, path, able=able)
    assert ask(asked)[0]["error"]["code"] == -32601
    assert answers(asked.call(arguments={"what": "able"})) == {}


def test_an_answer_that_the_policy_refuses(line: Line) -> None:
    """The client hears why; the process gets an error, so that the call goes on."""
    asked = Asked(line, "/mcp/plain")
    card = {**ACCEPTED, "content": {"card": "4111 1111 1111 1111"}}
    (told,) = ask(asked, card)
    assert told["error"]["code"] == -32000
    assert asked.taken[0].status_code == 403


def test_a_process_that_asks_without_end(line: Line) -> None:
    """The call ends, and the process with it."""
    asked = Asked(line, "/mcp/plain")
    pid = answers(asked.call(arguments={"what": "pid"}))
    told = asked.call(*[ACCEPTED] * 20, arguments={"questions": [("elicitation/create", FORM)] * 20})
    assert len(asked.questions) == 16
    assert failed(told) == (-32000, "upstream_error")
    assert answers(asked.call(arguments={"what": "pid"})) != pid


def test_a_client_that_does_not_answer(line: Line) -> None:
    """The call ends in time, and the circuit of the server stays closed."""
    for _ in range(6):
        told = Asked(line, "/mcp/brief").call(None, arguments={"questions": [("elicitation/create", FORM)]})
        assert failed(told) == (-32000, "upstream_timeout")
        assert "asked the client" in told["error"]["message"]


def test_a_process_that_ends_while_it_asks(line: Line) -> None:
    """The next call of the session has another."""
    asked = Asked(line, "/mcp/plain")
    told = asked.call(ACCEPTED, arguments={"questions": [("elicitation/create", FORM)], "die": True})
    assert failed(told) == (-32000, "upstream_error")
    assert ask(asked, ACCEPTED) == [{"result": ACCEPTED}]


def test_what_is_asked_after_the_answer_reaches_nobody(line: Line) -> None:
    """Neither this call nor the next of the session."""
    asked = Asked(line, "/mcp/plain")
    asked.call(None, arguments={"after": True})
    assert answers(asked.call(arguments={"what": "able"})) == ABLE


def test_a_client_that_goes_away(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends the call and its process, if it does not come back; the next caller is served."""
    monkeypatch.setattr(kept, "_ALONE", 0.1)
    asked = Asked(line, "/mcp/plain")
    pid = answers(asked.call(arguments={"what": "pid"}))

    class Gone(Exception):
        pass

    def leave(question: dict[str, Any]) -> None:
        raise Gone

    with pytest.raises(Gone):
        ask(asked, leave)
    eventually(lambda: not alive(pid))
    assert ask(asked, ACCEPTED) == [{"result": ACCEPTED}]


def test_cancelling_ends_the_own_call_only(line: Line) -> None:
    """Whatever number the gateway gave the calls of others at the process."""
    asked, other = Asked(line, "/mcp/plain"), Asked(line, "/mcp/plain", agent="bob")

    def cancel(of: Asked) -> Any:
        said = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        return of.client.post(json.dumps(said), mcp_session_id=of.session)

    def answer(question: dict[str, Any]) -> None:
        assert cancel(other).status_code == 202
        asked.answer(question["id"], result=ACCEPTED)

    assert ask(asked, answer) == [{"result": ACCEPTED}]
    told = asked.call(lambda question: cancel(asked), arguments={"questions": [("elicitation/create", FORM)]})
    assert "cancel" in told["error"]["message"]


def test_many_calls_of_one_agent(line: Line) -> None:
    """Eight at a time; the others hear so at once, and other agents are served."""
    ready, release = [Event() for _ in range(8)], Event()

    def one(number: int) -> Any:
        asked = Asked(line, "/mcp/plain")

        def answer(question: dict[str, Any]) -> None:
            ready[number].set()
            release.wait(20)
            asked.answer(question["id"], result=ACCEPTED)

        return ask(asked, answer)

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(one, number) for number in range(8)]
        try:
            assert all(event.wait(20) for event in ready)
            told = Asked(line, "/mcp/plain").call(arguments={})
            assert failed(told) == (-32000, "upstream_error")
            assert "8 calls" in told["error"]["message"]
            assert text(Asked(line, "/mcp/plain", agent="bob").call(arguments={})) == "[]"
        finally:
            release.set()
        assert [call.result() for call in calls] == [[{"result": ACCEPTED}]] * 8


@pytest.fixture
def sdk_line(tmp_path: Path) -> Iterator[Line]:
    """A gateway that runs a server of an SDK, unmodified."""
    for name, script in (("sdk", SDK), ("fast", FAST)):
        (tmp_path / f"{name}.py").write_text(script)
    tools = {
        name: {"command": [sys.executable, str(tmp_path / f"{name}.py")], "asks": EVERY} for name in ("sdk", "fast")
    }
    with running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", tools=tools)) as started:
        yield started


@pytest.mark.filterwarnings("ignore:.*capability")
@pytest.mark.parametrize("mode", ["legacy"])
async def test_the_official_sdk(sdk_line: Line, mode: Any) -> None:
    """As client and as server: the callbacks are called as without a gateway."""
    asked: list[str] = []

    async def on_elicit(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"name": "Ann"})

    async def on_sample(context: Any, params: Any) -> types.CreateMessageResult:
        return types.CreateMessageResult(role="assistant", model="m", content=types.TextContent(text="something"))

    async def on_roots(context: Any) -> types.ListRootsResult:
        return types.ListRootsResult.model_validate({"roots": [{"uri": "file:///srv/work"}]})

    async with sdk(
        f"{sdk_line.url}/mcp/sdk",
        mode=mode,
        elicitation_callback=on_elicit,
        sampling_callback=on_sample,
        list_roots_callback=on_roots,
    ) as client:
        result = await client.call_tool("ask", {})
    assert result.structured_content == {"result": "Ann something file:///srv/work"}
    assert asked == ["Name of <EMAIL>?"]


@pytest.mark.parametrize("mode", ["legacy"])
async def test_fastmcp(sdk_line: Line, mode: Any) -> None:
    """As client and as server."""
    asked: list[str] = []

    async def on_elicit(message: str, response_type: Any, params: Any, context: Any) -> Any:
        asked.append(message)
        return {"value": "Ann"}

    transport = StreamableHttpTransport(f"{sdk_line.url}/mcp/fast", headers={"Authorization": "Bearer mg-alice"})
    async with FastClient(transport, mode=mode, elicitation_handler=on_elicit) as client:
        assert (await client.call_tool("ask", {})).data == "Ann"
    assert asked == ["Name of <EMAIL>?"]
