"""Calls of the later era in several rounds: questions in results, answers in the next request, the state between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import mcp_types as types
import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from pydantic import BaseModel, FileUrl

import tool_server
from gateway.dialects import mcp_names
from line import Line, config, policies, running
from mcp_asking import ABLE, ACCEPTED, FORM, OWN, POLICY, SAMPLED, later, prompt, required, rounds
from tool_client import Client, failed, sdk
from tool_server import INJECTION, MAIL, Scripted
from waiting import eventually

STATE = "state of the server, which is nobody's business"


@pytest.fixture(scope="module")
def served() -> Iterator[Scripted]:
    """A scripted server with both eras."""
    with tool_server.scripted() as made:
        made.tools = [tool_server.tool("get_it"), tool_server.tool("send_it")]
        yield made


@pytest.fixture
def server(served: Scripted) -> Scripted:
    """The same, as new."""
    served.answers.clear()
    served.seen.clear()
    served.answers["server/discover"] = lambda message: {
        "jsonrpc": "2.0",
        "id": message["id"],
        "result": {"supportedVersions": ["2025-11-25", mcp_names.MODERN], "capabilities": {}, "resultType": "complete"},
    }
    return served


@pytest.fixture(scope="module")
def line(served: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with rows of the same server: may ask all, may ask nothing."""
    folder = tmp_path_factory.mktemp("rounds")
    row = {"mcp": served.url, "timeout": "10s", "auth": {"type": "static", "token": OWN}}
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools={"it": {**row, "asks": ["sampling", "elicitation", "roots"]}, "mute": row},
        policy=policies(folder, POLICY),
        pii={"vault_key": "A" * 43 + "="},
        quotas={"tokens": 1_000_000, "cost_usd": 1000},
        output={"sql": ["select"]},
    )
    with running(folder, settings) as started:
        yield started


def told(answer: Any) -> Any:
    """What the server got."""
    return json.loads(answer.json()["result"]["content"][0]["text"])


def question(method: str = "elicitation/create", params: Any = FORM) -> dict[str, Any]:
    """A question of a server."""
    return {"method": method, "params": params}


def test_questions_and_answers_pass(line: Line, server: Scripted) -> None:
    """Each judged; the state of the server comes back to it as it was, and the client does not see it."""
    rounds(server, {"a": question(params={**FORM, "message": f"Is it {MAIL}?"}), "b": question(params=FORM)})
    first = later(line)
    questions, state = required(first)
    assert questions == {"a": question(params={**FORM, "message": "Is it <EMAIL>?"}), "b": question(params=FORM)}
    assert STATE not in first.text
    answers = {"a": {"action": "accept", "content": {"mail": "bob.jones@example.org"}}, "b": {"action": "decline"}}
    second = later(line, inputResponses=answers, requestState=state)
    got = server.seen[-1][1]["params"]
    assert got["inputResponses"] == {**answers, "a": {"action": "accept", "content": {"mail": "<EMAIL_1>"}}}
    assert told(second)[1] == got["requestState"] == STATE
    assert got["_meta"][mcp_names.CAPABILITIES] == ABLE
    assert (got["name"], got["arguments"]) == ("get_it", {})
    assert server.seen[-1][0]["mcp-protocol-version"] == mcp_names.MODERN


def test_a_server_without_a_state(line: Line, server: Scripted) -> None:
    """The client gets that of the gateway; the server gets none."""
    rounds(server, {"a": question()}, state=None)
    _, state = required(later(line))
    assert told(later(line, inputResponses={"a": ACCEPTED}, requestState=state)) == [{"a": ACCEPTED}, None]


def test_a_long_state(line: Line, server: Scripted) -> None:
    """The sealed state is no text of the client: nothing in it is searched, and it has no part that cannot be read."""
    long = "".join(map(chr, range(33, 127))) * 100
    rounds(server, {"a": question()}, state=long)
    _, state = required(later(line))
    assert told(later(line, inputResponses={"a": ACCEPTED}, requestState=state)) == [{"a": ACCEPTED}, long]


def test_a_state_without_questions(line: Line, server: Scripted) -> None:
    """The client calls again without answers."""
    rounds(server, {})
    _, state = required(later(line))
    required(later(line, requestState=state))
    assert server.seen[-1][1]["params"]["requestState"] == STATE


def test_prompts_may_ask(line: Line, server: Scripted) -> None:
    """As tools may."""
    rounds(server, {"a": question()})
    meta = {mcp_names.VERSION: mcp_names.MODERN, mcp_names.CAPABILITIES: ABLE}
    headers = {"mcp_protocol_version": mcp_names.MODERN, "mcp_method": "prompts/get", "mcp_name": "p"}
    params = {"name": "p", "_meta": meta}
    _, state = required(Client(line).send("prompts/get", params, **headers))
    params |= {"inputResponses": {"a": ACCEPTED}, "requestState": state}
    Client(line).send("prompts/get", params, **headers)
    got = server.seen[-1][1]["params"]
    assert (got["inputResponses"], got["requestState"], got["name"]) == ({"a": ACCEPTED}, STATE, "p")


def test_sql_is_read_in_whatever_leaves(line: Line, server: Scripted) -> None:
    """As in arguments of tools: in answers to questions, and in what is asked of prompts and completions."""
    rounds(server, {"a": question()})
    _, state = required(later(line))
    server.seen.clear()
    for sql, status in (("DROP TABLE users", "sql_blocked"), ("SELECT 1", "")):
        answer = {"action": "accept", "content": {"name": sql}}
        said = later(line, inputResponses={"a": answer}, requestState=state).json()
        assert (failed(said)[1] if "error" in said else "") == status
    asked = {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "q", "value": "DROP TABLE users"}}
    for method, params in (
        ("prompts/get", {"name": "p", "arguments": {"q": "DROP TABLE users"}}),
        ("completion/complete", asked),
    ):
        assert failed(Client(line).send(method, params).json()) == (-32000, "sql_blocked")
    assert "DROP" not in json.dumps(server.seen)


def test_sampling_is_charged_to_the_workflow(line: Line, server: Scripted) -> None:
    """With the call that brings the answer."""

    def used(cid: str) -> dict[str, int]:
        eventually(lambda: line.workflow(cid) is not None and not line.workflow(cid).held.get("calls"))
        return dict(line.workflow(cid).used)

    rounds(server, {"a": question("sampling/createMessage", prompt("a prompt of several words " * 40))})
    _, state = required(later(line, cid="rounds"))
    assert used("rounds").get("tokens", 0) == 0
    later(line, inputResponses={"a": SAMPLED}, requestState=state, cid="rounds")
    assert used("rounds")["calls"] == 2
    assert used("rounds")["tokens"] > 200
    assert used("rounds")["cost"] > 200_000


def test_only_answered_prompts_are_charged(line: Line, server: Scripted) -> None:
    """A client may answer some of the questions of a round."""
    long = question("sampling/createMessage", prompt("a prompt of several words " * 400))
    rounds(server, {"a": long, "b": question()})
    _, state = required(later(line, cid="some"))
    later(line, inputResponses={"b": ACCEPTED}, requestState=state, cid="some")
    eventually(lambda: line.workflow("some") is not None and not line.workflow("some").held.get("calls"))
    assert line.workflow("some").used["calls"] == 2
    assert line.workflow("some").used.get("tokens", 0) == 0


def test_what_belongs_to_the_server_stays_there(line: Line, server: Scripted) -> None:
    """`_meta` of a question, and a wish for a task, are not passed on."""
    rounds(server, {"a": question(params={**FORM, "_meta": {"trace": "x"}, "task": {"ttl": 1}})})
    questions, _ = required(later(line))
    assert questions == {"a": question()}


@pytest.mark.parametrize(
    "change",
    [
        {"agent": "bob"},
        {"tool": "send_it"},
        {"arguments": {"x": 1}},
        {"path": "/mcp/mute"},
        {"requestState": STATE},
        {"requestState": None},
        {"requestState": 7},
        {"requestState": "x" * 100_000},
        {"inputResponses": {"b": ACCEPTED}},
        {"inputResponses": [ACCEPTED]},
        {"inputResponses": {"a": {"action": "perhaps"}}},
        {"inputResponses": {"a": "yes"}},
        {"able": {}},
    ],
)
def test_answers_that_are_of_another_call(line: Line, server: Scripted, change: dict[str, Any]) -> None:
    """Of another caller, tool or arguments, made up, or of the wrong form: refused before anything leaves."""
    rounds(server, {"a": question()})
    _, state = required(later(line))
    server.seen.clear()
    answer = later(line, **{"inputResponses": {"a": ACCEPTED}, "requestState": state, **change})
    assert answer.status_code == 400
    assert failed(answer.json()) == (-32602, "invalid_request")
    assert [body for _, body in server.seen if body["method"] == "tools/call"] == []


def test_answers_that_come_too_late(line: Line, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is good for as long as a call with questions may take."""
    rounds(server, {"a": question()})
    _, state = required(later(line))
    sessions = line.gateway.runtime.line.desks.mcp._sessions
    now = sessions._clock() + 311
    monkeypatch.setattr(sessions, "_clock", lambda: now)
    assert later(line, inputResponses={"a": ACCEPTED}, requestState=state).status_code == 400


@pytest.mark.parametrize(
    ("questions", "state"),
    [
        ({"a": question("roots/list", {})}, STATE),  # the policy
        ({"a": question("tools/list", {})}, STATE),
        ({"a": question(params={"mode": "url", "message": "Open", "url": "http://bank.example/"})}, STATE),
        ({"a": question(params={"mode": "url", "message": "Open", "url": f"https://b.example/?q={MAIL}"})}, STATE),
        ({"a": question(params={**FORM, "message": INJECTION})}, STATE),
        ({"a": "what?"}, STATE),
        (["what?"], STATE),
        ({"a": question(params={**FORM, "x": json.loads("[" * 400 + "]" * 400)})}, STATE),
        ({}, None),
        ({}, 7),
        ({}, "x" * 20_000),
        ({str(number): question() for number in range(17)}, None),
        ({"k" * 65: question()}, None),
    ],
)
def test_questions_that_are_not_passed_on(line: Line, server: Scripted, questions: Any, state: Any) -> None:
    """The call ends with an error; the next caller is served."""
    rounds(server, questions, state)
    answer = later(line, arguments={"to": MAIL}).json()
    assert answer["error"]["data"]["code"] in ("upstream_error", "output_blocked", "injected", "policy_denied")
    server.answers.pop("tools/call")
    assert later(line).json()["result"]["resultType"] == "complete"


def test_prompts_have_what_the_client_takes(line: Line, server: Scripted) -> None:
    """As outside of rounds."""
    said = prompt("x", includeContext="allServers")
    rounds(server, {"a": question("sampling/createMessage", said)})
    assert required(later(line))[0]["a"]["params"] == prompt("x")
    assert required(later(line, able={"sampling": {"context": {}}}))[0]["a"]["params"] == said
    rounds(server, {"a": question("sampling/createMessage", {**said, "tools": []})})
    assert failed(later(line).json()) == (-32000, "upstream_error")


def test_a_type_that_is_spelled_with_escapes(line: Line, server: Scripted) -> None:
    """It is one of questions, as any client reads it."""
    result = {"resultType": "INPUT", "requestState": STATE, "inputRequests": {"a": question("evil/method")}}
    escaped = b"input\\u005frequired"
    server.answers["tools/call"] = lambda message: (
        200,
        json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode().replace(b"INPUT", escaped),
    )
    assert failed(later(line).json()) == (-32000, "upstream_error")
    result["inputRequests"] = {"a": question()}
    assert required(later(line))[1] != STATE


def test_questions_with_half_a_character(line: Line, server: Scripted) -> None:
    """Are read as whole ones are, although not every parser reads them."""
    rounds(server, {"a": question("evil/method"), "b": "cut \ud83d"})
    assert failed(later(line).json()) == (-32000, "upstream_error")
    rounds(server, {"a": question(params={**FORM, "message": "cut \ud83d"})})
    questions, state = required(later(line))
    assert (questions["a"]["params"]["message"], state != STATE) == ("cut \ufffd", True)


@pytest.mark.parametrize(("path", "able"), [("/mcp/mute", ABLE), ("/mcp/it", {})])
def test_who_is_not_asked(line: Line, server: Scripted, path: str, able: Any) -> None:
    """Servers hear what can be asked; one that asks all the same gets nowhere."""
    rounds(server, {"a": question()})
    answer = later(line, path=path, able=able).json()
    assert answer["error"]["data"]["code"] == "upstream_error"
    assert server.seen[-1][1]["params"].get("_meta", {}).get(mcp_names.CAPABILITIES, {}) == {}


def test_clients_of_the_earlier_era_are_not_asked_by_servers_of_the_later(line: Line, server: Scripted) -> None:
    """Their error says so, and names no state."""
    rounds(server, {"a": question()})
    answer = Client(line).call("get_it")
    assert answer["error"]["data"]["code"] == "upstream_error"
    assert "is not passed on" in answer["error"]["message"]
    assert STATE not in json.dumps(answer)


def test_a_server_that_asks_without_end(line: Line, server: Scripted) -> None:
    """After 16 rounds, the call ends."""
    rounds(server, {})
    state: dict[str, Any] = {}
    for _ in range(16):
        state = {"requestState": required(later(line, **state))[1]}
    answer = later(line, **state).json()
    assert (failed(answer), "without end" in answer["error"]["message"]) == ((-32000, "upstream_error"), True)


class Choice(BaseModel):
    """What a user is asked for."""

    name: str


async def ask_user() -> Elicit[Choice]:
    """Ask the user."""
    return Elicit(f"Name of {MAIL}?", Choice)


async def ask_model() -> Sample:
    """Ask the model."""
    content = types.TextContent(text="Say something")
    return Sample([types.SamplingMessage(role="user", content=content)], max_tokens=5)


async def ask_roots() -> ListRoots:
    """Ask where the client works."""
    return ListRoots()


@pytest.mark.filterwarnings("ignore:.*deprecated as of 2026-07-28")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_sdk(tmp_path: Path, mode: Any) -> None:
    """As client and server, unmodified, in both eras: the callbacks are called as without a gateway."""
    server = MCPServer("asker")

    @server.tool()
    async def ask(
        chosen: Annotated[Choice, Resolve(ask_user)],
        said: Annotated[types.CreateMessageResult, Resolve(ask_model)],
        where: Annotated[types.ListRootsResult, Resolve(ask_roots)],
    ) -> str:
        """Ask all."""
        assert isinstance(said.content, types.TextContent)
        return f"{chosen.name} {said.content.text} {where.roots[0].uri}"

    seen: list[str] = []

    async def on_elicit(context: Any, params: Any) -> types.ElicitResult:
        seen.append(params.message)
        return types.ElicitResult(action="accept", content={"name": "Ann"})

    async def on_sample(context: Any, params: Any) -> types.CreateMessageResult:
        seen.append(params.messages[0].content.text)
        return types.CreateMessageResult(role="assistant", model="m", content=types.TextContent(text="something"))

    async def on_roots(context: Any) -> types.ListRootsResult:
        seen.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri=FileUrl("file:///srv/work"))])

    with tool_server.serving(server.streamable_http_app()) as url:
        row = {"mcp": url, "asks": ["elicitation", "sampling", "roots"]}
        settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": row})
        with running(tmp_path, settings) as line:
            async with sdk(
                f"{line.url}/mcp/it",
                mode=mode,
                elicitation_callback=on_elicit,
                sampling_callback=on_sample,
                list_roots_callback=on_roots,
            ) as client:
                result = await client.call_tool("ask", {})
    assert result.structured_content == {"result": "Ann something file:///srv/work"}
    assert sorted(seen) == ["Name of <EMAIL>?", "Say something", "roots"]
