"""Questions of a server to the client of a call: passed on where the operator says so, judged both ways, charged."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

import event_stream
import tool_server
from gateway.dialects import mcp_questions
from line import Line, config, policies, running
from mcp_asking import ABLE, ACCEPTED, FORM, OWN, POLICY, SAMPLED, Asked, answers, asking, prompt
from tool_client import Client, sdk
from tool_server import INJECTION, MAIL, Scripted
from waiting import eventually


@pytest.fixture(scope="module")
def served() -> Iterator[Scripted]:
    """A scripted server."""
    with tool_server.scripted() as made:
        made.tools = [tool_server.tool("get_it", annotations={"readOnlyHint": True})]
        yield made


@pytest.fixture
def server(served: Scripted) -> Scripted:
    """The same, as new."""
    served.answers.clear()
    served.seen.clear()
    served.told = queue.SimpleQueue()
    return served


@pytest.fixture(scope="module")
def line(served: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with rows of the same server: may ask all, may ask nothing, has little time."""
    folder = tmp_path_factory.mktemp("questions")
    every = ["sampling", "elicitation", "roots"]
    row = {"mcp": served.url, "timeout": "10s", "auth": {"type": "static", "token": OWN}}
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools={
            "it": {**row, "asks": every, "price": 0.5},
            "mute": row,
            "brief": {**row, "timeout": "300ms", "asks": every, "ask_timeout": "300ms"},
        },
        policy=policies(folder, POLICY),
        pii={"vault_key": "A" * 43 + "=", "entities": {"CREDIT_CARD": "block"}},
        quotas={"tokens": 1_000_000, "cost_usd": 1000},
        output={"sql": ["select"]},
    )
    with running(folder, settings) as started:
        yield started


def opened(server: Scripted) -> Any:
    """The capabilities with which the gateway opened its last session."""
    return [body for _, body in server.seen if body.get("method") == "initialize"][-1]["params"]["capabilities"]


def test_a_question_reaches_the_client_and_the_answer_the_server(line: Line, server: Scripted) -> None:
    """Each judged: new personal data is taken out of the question, and that of the answer does not leave."""
    asking(server, ("elicitation/create", {**FORM, "message": f"Is it {MAIL}?", "_meta": {"x": 1}}))
    asked = Asked(line)
    assert opened(server) == ABLE
    told = asked.call({**ACCEPTED, "content": {"mail": "bob.jones@example.org"}, "_meta": {"y": 2}})
    assert answers(told) == [{"result": {"action": "accept", "content": {"mail": "<EMAIL_1>"}}}]
    (question,) = asked.questions
    assert question["method"] == "elicitation/create"
    assert question["params"] == {**FORM, "message": "Is it <EMAIL>?"}
    assert asked.taken[0].status_code == 202
    assert asked.taken[0].content == b""
    sent = [(headers, body) for headers, body in server.seen if "method" not in body]
    assert {headers["mcp-session-id"] for headers, _ in sent} == {"s1"}
    assert type(sent[0][1]["id"]) is int


def test_values_of_the_call_are_known_in_its_questions(line: Line, server: Scripted) -> None:
    """A placeholder in a question becomes the value of the caller again."""
    asking(server, ("elicitation/create", {**FORM, "message": "Write to <EMAIL_1>?"}))
    asked = Asked(line)
    asked.call(ACCEPTED, arguments={"to": MAIL})
    assert asked.questions[0]["params"]["message"] == f"Write to {MAIL}?"


@pytest.mark.parametrize(
    ("method", "params", "result"),
    [
        ("elicitation/create", {"message": "Sure?", "requestedSchema": {"type": "object"}}, {"action": "decline"}),
        ("elicitation/create", {**FORM, "requestedSchema": {"type": "object"}}, {"action": "cancel", "content": None}),
        ("sampling/createMessage", prompt("Say it", systemPrompt="Be brief"), SAMPLED),
        (
            "elicitation/create",
            {"mode": "url", "message": "Open it", "url": "https://bank.example/pay/3", "elicitationId": "e1"},
            {"action": "accept"},
        ),
    ],
)
def test_what_clients_answer(line: Line, server: Scripted, method: str, params: Any, result: Any) -> None:
    """Each kind of question, as it was asked."""
    asking(server, (method, params))
    asked = Asked(line)
    assert answers(asked.call(result)) == [{"result": result}]
    assert (asked.questions[0]["method"], asked.questions[0]["params"]) == (method, params)


@pytest.mark.parametrize("name", ["method", "id", "error", "jsonrpc"])
def test_answers_with_names_of_the_protocol(line: Line, server: Scripted, name: str) -> None:
    """Fields of a form may have any name."""
    asking(server, ("elicitation/create", FORM))
    given = {"action": "accept", "content": {name: "card"}}
    assert answers(Asked(line).call(given)) == [{"result": given}]


def test_errors_of_clients_are_passed_on(line: Line, server: Scripted) -> None:
    """Code and message; the message is redacted as an answer is."""
    asking(server, ("sampling/createMessage", prompt("x")))
    asked = Asked(line)
    error = {"code": -1, "message": f"{MAIL} said no", "data": {"x": 1}}
    told = asked.call(lambda question: asked.answer(question["id"], error=error))
    assert answers(told) == [{"error": {"code": -1, "message": "<EMAIL_1> said no"}}]


def test_sampling_is_charged_to_the_workflow(line: Line, server: Scripted) -> None:
    """The tokens of prompt and answer, at the price of the model if the configuration has it, and one call."""

    long = "a prompt of several words " * 40

    def used(cid: str, model: str) -> tuple[int, int, float]:
        asked = Asked(line)
        asking(server, ("sampling/createMessage", prompt(long, systemPrompt="x")), ("elicitation/create", FORM))

        def answer(result: Any) -> Callable[[Any], Any]:
            return lambda question: Client(line).post(
                json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": result}),
                mcp_session_id=asked.session,
                x_correlation_id=cid,
            )

        asked.call(answer({**SAMPLED, "model": model}), answer(ACCEPTED))
        eventually(lambda: line.workflow(cid) is not None and not line.workflow(cid).held.get("calls"))
        found = line.workflow(cid).used
        return found["calls"], found["tokens"], found["cost"]

    calls, tokens, cost = used("sampled-1", "echo")
    assert calls == 2
    assert 200 < tokens < 300
    assert tokens * 1_000 <= cost <= tokens * 2_000  # 1 USD for a million tokens of input, 2 for one of output
    calls, more, cost = used("sampled-2", "of-nobody")
    assert (calls, cost) == (2, 0)
    assert abs(more - tokens) < 5


@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("roots/list", {}, "may not be asked"),  # by the policy
        ("tools/list", {}, "cannot be asked"),
        ("elicitation/create", {**FORM, "mode": "voice"}, "mode"),
        ("elicitation/create", {"mode": "url", "message": "Open", "url": "javascript:alert(1)"}, "https"),
        ("elicitation/create", {"mode": "url", "message": "Open", "url": "http://bank.example/"}, "https"),
        ("elicitation/create", {"mode": "url", "message": "Open", "url": "https://a@b.example/"}, "https"),
        ("elicitation/create", {"mode": "url", "message": "Open", "url": f"https://b.example/?q={MAIL}"}, "not pass"),
        ("elicitation/create", {"mode": "url", "message": "Open", "url": "https://b.example/?q=<EMAIL_1>"}, "not pass"),
        ("elicitation/create", {"mode": "form"}, "message"),
        ("elicitation/create", {**FORM, "message": "x" * 70_000}, "bytes"),
        ("elicitation/create", [], "object"),
        ("elicitation/create", {**FORM, "message": INJECTION}, "not pass"),
        ("sampling/createMessage", {"messages": []}, "maxTokens"),
    ],
)
def test_questions_that_are_not_passed_on(line: Line, server: Scripted, method: str, params: Any, why: str) -> None:
    """The server gets an error at once, and the call goes on."""
    asking(server, (method, params))
    asked = Asked(line)
    (told,) = answers(asked.call(arguments={"to": MAIL}))
    assert why in told["error"]["message"]
    assert asked.questions == []


def test_prompts_have_what_the_client_takes(line: Line, server: Scripted) -> None:
    """Texts of other servers and tools, where the client says so; otherwise it would add or get them unasked."""
    more = {"tools": [], "toolChoice": {"mode": "auto"}}
    asking(
        server,
        ("sampling/createMessage", prompt("x", includeContext="allServers")),
        ("sampling/createMessage", prompt("x", includeContext="allServers", **more)),
    )
    plain, able = Asked(line), Asked(line, able={"sampling": {"tools": {}, "context": {}}})
    assert "takes no tools" in answers(plain.call(SAMPLED))[1]["error"]["message"]
    assert [one["params"] for one in plain.questions] == [prompt("x")]
    able.call(SAMPLED, SAMPLED)
    assert able.questions[1]["params"] == prompt("x", includeContext="allServers", **more)


def test_instructions_in_a_question_label_the_workflow(line: Line, server: Scripted) -> None:
    """As those in a result do."""
    asking(server, ("sampling/createMessage", prompt(INJECTION)))
    Asked(line).call(**{"x-correlation-id": "asked"})
    assert line.workflow("asked").history.labels == ("untrusted",)


@pytest.mark.parametrize(
    ("path", "able"),
    [("/mcp/mute", ABLE), ("/mcp/it", {}), ("/mcp/it", {"elicitation": "yes", "roots": {}}), ("/mcp/it", [])],
)
def test_who_is_not_asked(line: Line, server: Scripted, path: str, able: Any) -> None:
    """Without the operator's word, or without the client's, the server hears that the client cannot be asked."""
    asking(server, ("elicitation/create", FORM))
    asked = Asked(line, path, able=able)
    assert "elicitation" not in opened(server)
    (told,) = answers(asked.call())
    assert told["error"]["code"] == -32601


def test_clients_without_a_session_or_a_stream_are_not_asked(line: Line, server: Scripted) -> None:
    """There would be no way to the client."""
    asking(server, ("elicitation/create", FORM))
    assert "error" in answers(Client(line).call("get_it"))[0]
    asked = Asked(line)
    sent = {"mcp_session_id": asked.session}
    for headers in ({"accept": "application/json"}, {"idempotency_key": "k"}):
        assert "error" in answers(asked.client.call("get_it", **sent, **headers))[0]


def test_an_answer_that_the_policy_refuses(line: Line, server: Scripted) -> None:
    """The client hears why; the server gets an error, so that the call goes on. So with what may not leave."""
    card = {**ACCEPTED, "content": {"card": "4111 1111 1111 1111"}}
    sql = {**ACCEPTED, "content": {"name": "DROP TABLE users"}}
    refused = {**SAMPLED, "content": {"type": "text", "text": "deny"}}
    for result, code in ((refused, "refused"), (card, "pii_blocked"), (sql, "sql_blocked")):
        kind = "elicitation/create" if "action" in result else "sampling/createMessage"
        asking(server, (kind, FORM if "action" in result else prompt("x")))
        asked = Asked(line)
        (told,) = answers(asked.call(result))
        assert told["error"]["code"] == -32000
        assert asked.taken[0].status_code == 403
        assert code in asked.taken[0].text
        assert "4111" not in json.dumps(server.seen[-1])
        assert "DROP" not in json.dumps(server.seen[-1])


def foreign(asked: Asked, line: Line) -> list[Callable[[Any], Any]]:
    """Answers that are not for this client to give."""
    other, bob = Asked(line), Asked(line, agent="bob")
    return [
        lambda id: asked.answer(id, agent="bob", result=ACCEPTED),
        lambda id: asked.answer(id, session=other.session, result=ACCEPTED),
        lambda id: asked.answer(id, agent="bob", session=bob.session, result=ACCEPTED),
        lambda id: asked.answer(id, path="/mcp/mute", result=ACCEPTED),
        lambda id: asked.answer(id[:-2] + ("AA" if id[-2:] != "AA" else "BB"), result=ACCEPTED),
        lambda id: asked.answer(id + "x" * 5000, result=ACCEPTED),
        lambda id: asked.answer(100, result=ACCEPTED),
        lambda id: asked.answer(None, result=ACCEPTED),
        lambda id: Client(line).post(json.dumps({"jsonrpc": "2.0", "id": id, "result": ACCEPTED})),
        lambda id: asked.answer(id, result={"action": "perhaps"}),
        lambda id: asked.answer(id, result=[]),
        lambda id: asked.answer(id, result={"action": "accept", "content": "x"}),
        lambda id: asked.answer(id, error={"code": "x", "message": "x"}),
        lambda id: asked.answer(id, error={"code": 1, "message": "x"}, result=ACCEPTED),
    ]


def test_foreign_and_wrong_answers_are_refused(line: Line, server: Scripted) -> None:
    """Of other agents, sessions and servers, made up, and of the wrong form: nothing of them reaches the server."""
    asking(server, ("elicitation/create", FORM))
    asked = Asked(line)
    tries = foreign(asked, line)

    def answer(question: dict[str, Any]) -> None:
        for number, attempt in enumerate(tries):
            got = attempt(question["id"])
            assert got.status_code in (400, 404), (number, got.text)
        assert [body for _, body in server.seen if "method" not in body] == []
        asked.answer(question["id"], result=ACCEPTED)

    assert answers(asked.call(answer)) == [{"result": ACCEPTED}]


@pytest.mark.parametrize("levels", [150, 600])
def test_what_is_nested_too_deep(line: Line, server: Scripted, levels: int) -> None:
    """An answer is refused; the call goes on."""
    deep = json.loads("[" * levels + "]" * levels)
    asking(server, ("elicitation/create", FORM))
    asked = Asked(line)
    deeper = {**ACCEPTED, "content": {"x": deep}}

    def answer(question: dict[str, Any]) -> None:
        assert asked.answer(question["id"], result=deeper).status_code == 400
        asked.answer(question["id"], result=ACCEPTED)

    assert answers(asked.call(answer)) == [{"result": ACCEPTED}]


def test_a_server_that_asks_without_end(line: Line, server: Scripted) -> None:
    """The call ends with an error of the server, in the stream of the client."""
    asking(server, *[("elicitation/create", FORM)] * 20)
    asked = Asked(line)
    told = asked.call(*[ACCEPTED] * 20)
    assert len(asked.questions) == 16
    assert told["error"]["data"]["code"] == "upstream_error"
    assert "16" in told["error"]["message"]


def test_a_client_that_does_not_answer(line: Line, server: Scripted) -> None:
    """The call ends in time, without harm for others: the circuit of the server stays closed."""
    for _ in range(8):
        asking(server, ("elicitation/create", FORM))
        asked = Asked(line, "/mcp/brief")
        told = asked.call(None)
        assert told["error"]["data"]["code"] == "upstream_timeout"
        assert "asked the client" in told["error"]["message"]
        server.told.put({"result": {}})


def test_an_answer_that_comes_too_late(line: Line, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id is good for as long as the call may take."""
    asking(server, ("elicitation/create", FORM))
    asked = Asked(line, "/mcp/brief")
    asked.call(None)
    server.told.put({"result": {}})
    sessions = line.gateway.runtime.line.desks.mcp._sessions
    now = sessions._clock() + 3
    monkeypatch.setattr(sessions, "_clock", lambda: now)
    assert asked.answer(asked.questions[0]["id"], result=ACCEPTED).status_code == 400


def test_a_question_with_the_credential_of_the_gateway(line: Line, server: Scripted) -> None:
    """Ends the call, as in an answer."""
    asking(server, ("elicitation/create", {**FORM, "message": f"Bearer {OWN}"}))
    told = Asked(line).call()
    assert told["error"]["data"]["code"] == "upstream_error"
    assert OWN not in json.dumps(told)
    server.told.put({})


def test_a_call_that_asked_is_not_sent_again(line: Line, server: Scripted) -> None:
    """Although the tool only reads: the user would be asked twice."""
    asking(server, ("elicitation/create", FORM), after=b"data: {\n\n" * 2)
    server_closes = server.answers["tools/call"]

    def breaks_off(message: dict[str, Any]) -> Any:
        return server_closes({**message, "id": "of nobody"})

    server.answers["tools/call"] = breaks_off
    asked = Asked(line)
    assert asked.call(ACCEPTED)["error"]["data"]["code"] == "upstream_error"
    assert len([1 for _, body in server.seen if body.get("method") == "tools/call"]) == 1


def test_a_client_that_goes_away(line: Line, server: Scripted) -> None:
    """Ends the call at the server; the next caller is served."""
    asking(server, ("elicitation/create", FORM))
    asked = Asked(line)

    class Gone(Exception):
        pass

    def leave(question: dict[str, Any]) -> None:
        raise Gone

    with pytest.raises(Gone):
        asked.call(leave)
    server.told.put({})
    server.answers.clear()
    assert "result" in asked.client.call("get_it")


def test_several_questions_at_once(line: Line, server: Scripted) -> None:
    """Answered in another order than they were asked: each answer has the id of its question."""

    def answer(message: dict[str, Any]) -> Any:
        def write(handler: Any) -> None:
            send = event_stream.begin(handler)
            for number in range(3):
                params = {**FORM, "message": str(number)}
                send({"id": f"q{number}", "method": "elicitation/create", "params": params})
            told = [server.told.get(timeout=10) for _ in range(3)]
            got = {one["id"]: one["result"]["content"]["name"] for one in told}
            result = {"content": [{"type": "text", "text": json.dumps(got)}]}
            send({"id": message["id"], "result": result})

        return write

    server.answers["tools/call"] = answer
    asked = Asked(line)
    seen: list[dict[str, Any]] = []

    def answer_all(question: dict[str, Any]) -> None:
        seen.append(question)
        for one in reversed(seen if len(seen) == 3 else []):
            name = one["params"]["message"]
            assert asked.answer(one["id"], result={"action": "accept", "content": {"name": name}}).status_code == 202

    assert answers(asked.call(*[answer_all] * 3)) == {"q0": "0", "q1": "1", "q2": "2"}


def test_another_gateway_passes_the_answer_on(line: Line, server: Scripted, tmp_path: Path) -> None:
    """With the same key: nothing of a question is in the memory of the gateway that passed it on."""
    asking(server, ("elicitation/create", FORM))
    row = {"mcp": server.url, "asks": ["elicitation"]}
    settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": row}, pii={"vault_key": "A" * 43 + "="})
    with running(tmp_path, settings) as other:
        asked = Asked(line)

        def answer(question: dict[str, Any]) -> None:
            body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": ACCEPTED})
            assert Client(other).post(body, mcp_session_id=asked.session).status_code == 202

        assert answers(asked.call(answer)) == [{"result": ACCEPTED}]


class Choice(BaseModel):
    """What a user is asked for."""

    name: str


@pytest.mark.filterwarnings("ignore:The sampling capability")
@pytest.mark.parametrize("mode", ["legacy"])
async def test_the_official_sdk(tmp_path: Path, mode: Any) -> None:
    """As client and server, unmodified: the callbacks are called as without a gateway."""
    server = MCPServer("asker")

    @server.tool()
    async def ask(context: Context) -> str:
        """Ask the user and the model."""
        chosen = await context.elicit(f"Name of {MAIL}?", Choice)
        said = await context.session.create_message(
            [types.SamplingMessage(role="user", content=types.TextContent(text="Say something"))],
            max_tokens=5,
            related_request_id=context.request_id,
        )
        return f"{chosen.data.name if chosen.action == 'accept' else '-'} {said.content.text}"

    asked: list[str] = []

    async def on_elicit(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"name": "Ann"})

    async def on_sample(context: Any, params: Any) -> types.CreateMessageResult:
        asked.append(params.messages[0].content.text)
        return types.CreateMessageResult(role="assistant", model="m", content=types.TextContent(text="something"))

    with tool_server.serving(server.streamable_http_app()) as url:
        row = {"mcp": url, "asks": ["elicitation", "sampling"]}
        settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": row})
        with running(tmp_path, settings) as line:
            async with sdk(
                f"{line.url}/mcp/it", mode=mode, elicitation_callback=on_elicit, sampling_callback=on_sample
            ) as client:
                result = await client.call_tool("ask", {})
    assert result.structured_content == {"result": "Ann something"}
    assert asked == ["Name of <EMAIL>?", "Say something"]


@pytest.mark.parametrize("odd", [{}, [], None, 7])
def test_values_of_another_type_are_refused(odd: object) -> None:
    """As any other wrong value, of a server as of a client."""
    params = {"mode": odd, "message": "Who?"}
    modes: list[dict[str, Any]] = [{}, {"form": {}}]
    for one in modes:
        assert "mode" in mcp_questions.refused("elicitation/create", params, {"elicitation": one})
    assert "action" in mcp_questions.wrong("elicitation", {"result": {"action": odd}})
