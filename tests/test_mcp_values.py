"""What a tool gets of values, and calls that are repeated: redaction by row, restoring, retries, idempotency keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

import tool_server
from line import Line, config, running
from mcp_tasking import mailed_as_task
from tool_client import Client, failed, text
from tool_server import MAIL, Scripted, tool


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A scripted server."""
    with tool_server.scripted() as made:
        made.tools = [
            tool("send_it", annotations={"readOnlyHint": False}),
            tool("get_it", annotations={"readOnlyHint": True}),
            tool("put_it", annotations={"idempotentHint": True}),
            tool("own_it"),
            tool("task_it", execution={"taskSupport": "optional"}, outputSchema={"type": "object", "required": ["n"]}),
        ]
        yield made


@pytest.fixture(scope="module")
def line(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with three rows for one server."""
    folder = tmp_path_factory.mktemp("values")
    mails = {"default": "mask", "entities": {"EMAIL_ADDRESS": "allow"}}
    tools = {
        "plain": {"mcp": server.url, "idempotent": ["own_*"]},
        "open": {"mcp": server.url, "redact": mails},
        "mailer": {"mcp": server.url, "redact": mails, "restore": True},
    }
    with running(folder, config(folder, "http://127.0.0.1:9/v1", tools=tools)) as started:
        yield started


@pytest.fixture(autouse=True)
def calm(server: Scripted) -> Iterator[None]:
    """The server behaves again after each test."""
    yield
    server.answers.clear()


def sent(server: Scripted) -> Any:
    """The arguments that the server got last."""
    return server.seen[-1][1]["params"]["arguments"]


def test_each_tool_has_its_actions(line: Line, server: Scripted) -> None:
    """Those of its row, else those of `pii`."""
    Client(line, "/mcp/plain").call("send_it", {"to": MAIL})
    assert sent(server) == {"to": "<EMAIL_1>"}
    Client(line, "/mcp/open").call("send_it", {"to": MAIL, "phone": "call +1 212-555-0123"})
    assert sent(server) == {"to": MAIL, "phone": "call <PHONE_1>"}


def test_a_tool_gets_what_the_model_never_saw(line: Line, server: Scripted) -> None:
    """A placeholder of the workflow; the result has the placeholder again. Other rows and workflows get no value."""
    cid = "mailing"
    assert line.chat(f"Write to {MAIL}", "demo", cid=cid).status_code == 200
    answer = Client(line, "/mcp/mailer").call("send_it", {"to": ["<EMAIL_1>"], "n": 1}, x_correlation_id=cid)
    assert sent(server) == {"to": [MAIL], "n": 1}
    assert json.loads(text(answer)) == {"to": ["<EMAIL_1>"], "n": 1}
    Client(line, "/mcp/open").call("send_it", {"to": "<EMAIL_1>"}, x_correlation_id=cid)
    assert MAIL not in json.dumps(sent(server))
    Client(line, "/mcp/mailer").call("send_it", {"to": "<EMAIL_1>"}, x_correlation_id="another")
    assert MAIL not in json.dumps(sent(server))
    Client(line, "/mcp/mailer", "mallory").call("send_it", {"to": "<EMAIL_1>"}, x_correlation_id=cid)
    assert MAIL not in json.dumps(sent(server))


@pytest.mark.parametrize(("name", "tries"), [("get_it", 2), ("put_it", 2), ("own_it", 2), ("send_it", 1)])
def test_only_what_has_no_effect_is_tried_again(line: Line, server: Scripted, name: str, tries: int) -> None:
    """By the row, and by what the server says; a tool that writes is called once."""
    seen: list[Any] = []

    def once(message: Any) -> Any:
        seen.append(message)
        return (500, b"") if len(seen) == 1 else None

    server.answers["tools/call"] = once
    answer = Client(line, "/mcp/plain").call(name)
    assert len(seen) == tries
    assert ("result" in answer) == (tries == 2)
    assert line.metric("meshgate_upstream_state", provider="plain") == (tries == 2)


def test_an_idempotency_key(line: Line, server: Scripted) -> None:
    """The tool is called once, whatever the id of the request; a refusal is not kept."""
    client = Client(line, "/mcp/plain")
    server.answers["tools/call"] = lambda message: (500, b"")
    first = client.send("tools/call", {"name": "send_it", "arguments": {"a": 1}}, id=1, idempotency_key="k")
    assert failed(first.json()) == (-32000, "upstream_error")
    server.answers.clear()
    before = len(server.seen)
    answers = [
        client.send("tools/call", {"name": "send_it", "arguments": {"a": 1}}, id=id, idempotency_key="k")
        for id in (2, "three")
    ]
    assert [answer.json()["id"] for answer in answers] == [2, "three"]
    assert answers[0].json()["result"] == answers[1].json()["result"]
    assert [message["method"] for _, message in server.seen[before:]] == ["tools/call"]
    other = client.send("tools/call", {"name": "send_it", "arguments": {"a": 2}}, idempotency_key="k")
    assert other.json()["error"]["data"]["code"] == "invalid_request"


def test_a_client_cancels(line: Line, server: Scripted) -> None:
    """The server of its session hears of it."""
    client = Client(line, "/mcp/plain")
    session = client.open()
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5, "reason": MAIL}}
    assert client.post(json.dumps(note), mcp_session_id=session).status_code == 202
    assert server.seen[-1][1] == {**note, "params": {"requestId": 5}}


DATA = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="


@pytest.mark.parametrize(
    ("part", "kinds"),
    [
        ({"type": "image", "data": DATA, "mimeType": "image/png"}, "image"),
        ({"type": "audio", "data": DATA, "mimeType": "audio/wav"}, "audio"),
        ({"type": "resource", "resource": {"uri": "x://a", "blob": DATA, "mimeType": "application/pdf"}}, "file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_result_that_cannot_be_scanned(line: Line, server: Scripted, part: dict[str, Any], kinds: str) -> None:
    """The refusal says what there is, by its media type."""
    server.answers["tools/call"] = lambda message: {
        "jsonrpc": "2.0",
        "id": message["id"],
        "result": {"content": [part]},
    }
    refused = Client(line, "/mcp/plain").call("get_it")
    assert failed(refused)[1] == "output_blocked"
    assert f"({kinds})" in refused["error"]["message"]


@pytest.mark.parametrize("name", ["_meta", "capabilities", "clientInfo"])
def test_names_of_the_protocol_are_arguments_as_others(line: Line, server: Scripted, name: str) -> None:
    """What is left out of a request is judged where it is an argument, which leaves."""
    answer = Client(line, "/mcp/plain").call("get_it", {name: {"a": [MAIL]}, "b": {name: {"c": MAIL}}})
    assert MAIL in text(answer)
    assert MAIL not in json.dumps(sent(server))


@pytest.mark.parametrize("id", [MAIL, 4111111111111111])
def test_values_in_the_id_of_a_request(line: Line, server: Scripted, id: Any) -> None:
    """Are taken out as others; the answer has the caller's id."""
    answer = Client(line, "/mcp/plain").send("tools/call", {"name": "get_it", "arguments": {}}, id=id).json()
    assert answer["id"] == id
    assert "result" in answer
    assert str(id) not in json.dumps(server.seen[-1][1])


def test_no_id_of_another_form_is_cancelled(line: Line, server: Scripted) -> None:
    """Neither a text of any length."""
    client = Client(line, "/mcp/plain")
    session = client.open()
    for id, told in (("x" * 256, True), ("x" * 257, False), ({"a": 1}, False)):
        number = len(server.seen)
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}
        assert client.post(json.dumps(message), mcp_session_id=session).status_code == 202
        assert (len(server.seen) > number) is told


SPLIT = ["ghp_a1B2c3D4", "e5F6g7H8i9J0k1L2m3N4o5P6q7R8"]
RESULTS: list[tuple[str, Any, Any]] = [
    ("tools/call", {"name": "get_it", "arguments": {}}, {"content": [{"type": "text", "text": it} for it in SPLIT]}),
    ("resources/read", {"uri": "a:b"}, {"contents": [{"uri": "a:b", "text": it} for it in SPLIT]}),
    (
        "prompts/get",
        {"name": "p"},
        {"messages": [{"role": "user", "content": {"type": "text", "text": it}} for it in SPLIT]},
    ),
]


@pytest.mark.parametrize(("method", "params", "result"), RESULTS)
def test_a_secret_that_is_split_over_a_result(
    line: Line, server: Scripted, method: str, params: Any, result: Any
) -> None:
    """A model reads the texts of a result as one."""
    server.answers[method] = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": result}
    answer = Client(line, "/mcp/plain").send(method, params).text
    assert not all(it in answer for it in SPLIT)


def test_a_value_that_is_split_over_a_list(line: Line, server: Scripted) -> None:
    """The strings of a list are also judged as one text."""
    Client(line, "/mcp/plain").call("get_it", {"lines": ["ann.lee@exam", "ple.org"], "n": [1, 2]})
    assert "ple.org" not in json.dumps(sent(server))
    assert sent(server)["n"] == [1, 2]


def test_parameters_that_are_not_judged_stay_here(line: Line, server: Scripted) -> None:
    """What describes a request of the protocol belongs to the gateway."""
    beside = {"clientInfo": {"name": MAIL}, "capabilities": {"x": MAIL}, "taskIds": [MAIL], "_meta": {"x": MAIL}}
    beside["notifications"] = {"taskIds": [MAIL]}
    Client(line, "/mcp/plain").send("prompts/get", {"name": "p", "arguments": beside, **beside})
    params = server.seen[-1][1]["params"]
    assert {*params} == {"name", "arguments"}
    assert MAIL not in json.dumps(params)


def test_values_that_only_the_tool_of_a_task_has(line: Line, server: Scripted) -> None:
    """Are placeholders in its result, whenever that is asked for."""
    client, session, id = mailed_as_task(server, line)
    server.about = {"tools": {}}
    for flow in ("tasked", "elsewhere"):
        answer = client.send("tasks/result", {"taskId": id}, mcp_session_id=session, x_correlation_id=flow).json()
        assert text(answer) == "sent to <EMAIL_1>"

    def other(message: dict[str, Any]) -> Any:
        return {"jsonrpc": "2.0", "id": message["id"], "result": {"content": [], "structuredContent": {"m": 1}}}

    server.answers["tasks/result"] = other  # which does not fit the schema
    answer = client.send("tasks/result", {"taskId": id}, mcp_session_id=session).json()
    assert failed(answer) == (-32000, "upstream_error")


def test_calls_with_one_id_get_their_own_answers(tmp_path: Path) -> None:
    """Clients without a session share one of the gateway's, and count from the same number each."""
    server, arrived = MCPServer("meeting"), []

    @server.tool()
    async def meet(who: str) -> str:
        arrived.append(who)
        async with asyncio.timeout(10):
            while len(arrived) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return who

    with tool_server.serving(server.streamable_http_app()) as url:
        row = {"mcp": url, "timeout": "5s", "pins": "off"}
        with (
            running(tmp_path, config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": row})) as line,
            ThreadPoolExecutor() as pool,
        ):
            said = pool.map(lambda who: text(Client(line).call("meet", {"who": who})), ["first", "second"])
            assert list(said) == ["first", "second"]
