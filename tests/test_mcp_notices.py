"""Progress and messages of logs that a server sends before its answer: judged like results, as events to the caller."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer

import tool_server
from line import Line, config, policies, running
from tool_client import Client, sdk, text
from tool_server import INJECTION, MAIL, Scripted
from waiting import eventually

POLICY = """package gateway

import rego.v1

decision := {"allow": true, "deny": deny, "obligations": labels}

deny contains {"code": "injected", "message": "No", "class": "safety"} if input.content.injection.tool >= 0.9

labels contains {"code": "l", "labels": ["untrusted"]} if input.content.injection.tool >= 0.5
"""
OWN = "for-the-server-alone-1234567890"
TOKEN = "progress-of-the-client"


@pytest.fixture(scope="module")
def served() -> Iterator[Scripted]:
    """A scripted server."""
    with tool_server.scripted() as made:
        made.tools = [tool_server.tool("get_it"), tool_server.tool("read_it", annotations={"readOnlyHint": True})]
        yield made


@pytest.fixture
def server(served: Scripted) -> Scripted:
    """The same, as new."""
    served.answers.clear()
    served.seen.clear()
    return served


@pytest.fixture(scope="module")
def line(served: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with a policy."""
    folder = tmp_path_factory.mktemp("notices")
    row = {"mcp": served.url, "timeout": "2s", "max_answer": 300_000, "auth": {"type": "static", "token": OWN}}
    settings = config(
        folder,
        "http://127.0.0.1:9/v1",
        tools={"it": row},
        policy=policies(folder, POLICY),
        pii={"vault_key": "A" * 43 + "="},
        idempotency={},
    )
    with running(folder, settings) as started:
        yield started


def log(data: Any, level: str = "info", **more: Any) -> dict[str, Any]:
    """A message of a log."""
    return {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "data": data, **more}}


def progress(token: Any, number: Any, **more: Any) -> dict[str, Any]:
    """A report of progress."""
    params = {"progressToken": token, "progress": number, **more}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def streams(*said: Any, end: bytes | None = None) -> Any:
    """An event stream with these messages before the response; functions get the token that the gateway has sent."""

    def answer(message: dict[str, Any]) -> tuple[int, bytes, str]:
        token = message["params"].get("_meta", {}).get("progressToken")
        response = {"jsonrpc": "2.0", "id": message["id"], "result": {"content": [{"type": "text", "text": "done"}]}}
        parts = [json.dumps(one(token) if callable(one) else one) for one in said]
        data = "".join(f"data: {one}\n\n" for one in parts).encode()
        last = b"data: " + json.dumps(response, indent=1).replace("\n", "\ndata: ").encode() + b"\n\n"
        return 200, data + (last if end is None else end), "text/event-stream"

    return answer


def events(answer: Any) -> list[Any]:
    """The messages of an answer that is a stream."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    said = [event.partition("data: ")[2] for event in answer.text.split("\n\n") if event]
    return [json.loads(one) for one in said]


def called(line: Line, meta: Any = None, tool: str = "get_it", **headers: str) -> Any:
    """The answer to a call."""
    params = {"name": tool, "arguments": {"to": MAIL}, **({"_meta": meta} if meta is not None else {})}
    return Client(line).send("tools/call", params, **headers)


def redacted(line: Line) -> float:
    """Addresses that were taken out of answers."""
    return line.metric("meshgate_redactions_total", entity="EMAIL", direction="response")


@pytest.mark.parametrize("token", [TOKEN, 7])
def test_progress_reaches_the_caller_of_the_call(line: Line, server: Scripted, token: str | int) -> None:
    """Under the token of the caller; that of the gateway goes to the server. What has another token is dropped."""
    server.answers["tools/call"] = streams(
        lambda own: progress(own, 0.5, total=1, message=f"Mail to {MAIL} and ann@example.org", x="y"),
        progress(TOKEN, 1),
        progress("other", 1),
        lambda own: progress(own, "1"),
        lambda own: progress(own, 1, total="1"),
    )
    *told, last = events(called(line, {"progressToken": token}))
    assert told == [
        progress(token, 0.5, total=1, message=f"Mail to {MAIL} and <EMAIL>"),
        progress(token, 1),
    ]
    assert text(last) == "done"
    sent = server.seen[-1][1]["params"]
    assert sent["_meta"]["progressToken"] not in (token, TOKEN)
    assert sent["arguments"] == {"to": "<EMAIL_1>"}


def test_messages_of_a_log_reach_the_caller(line: Line, server: Scripted) -> None:
    """Values are put back, and new personal data is taken out, at any depth; other notifications are dropped."""
    server.answers["tools/call"] = streams(
        log({"to": ["<EMAIL_1>", "ann@example.org"]}, logger="db"),
        log("x", level="loud"),
        {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"},
        {"jsonrpc": "2.0", "method": "notifications/message", "params": "x"},
        [log("in a batch")],
    )
    before = redacted(line)
    *told, last = events(called(line))
    assert told == [log({"to": [MAIL, "<EMAIL>"]}, logger="db")]
    eventually(lambda: redacted(line) == before + 1)
    assert last["id"] == 7
    assert "_meta" not in server.seen[-1][1]["params"]


def test_a_client_without_event_streams_gets_json(line: Line, server: Scripted) -> None:
    """As does one with a key of idempotency, whose answer is kept; and nothing is asked of the server."""
    server.answers["tools/call"] = streams(log("x"), lambda own: progress(own, 1))
    for headers in ({"accept": "application/json"}, {"idempotency_key": "k1"}, {"idempotency_key": "k1"}):
        answer = called(line, {"progressToken": 1}, **headers)
        assert text(answer.json()) == "done"
        assert "_meta" not in server.seen[-1][1]["params"]
    assert answer.headers["idempotent-replayed"] == "true"


def test_a_call_without_notifications_gets_json(line: Line, server: Scripted) -> None:
    """The stream begins with the first of them."""
    answer = called(line, {"progressToken": 1})
    assert answer.headers["content-type"] == "application/json"
    assert server.seen[-1][1]["params"]["_meta"].keys() == {"progressToken"}


def test_instructions_in_a_message_are_withheld(line: Line, server: Scripted) -> None:
    """And label the workflow, as those in a result do; the call goes on."""
    server.answers["tools/call"] = streams(log(INJECTION), lambda own: progress(own, 1, message=INJECTION), log("ok"))
    told = events(called(line, {"progressToken": 1}, x_correlation_id="labelled"))
    assert [one.get("params") for one in told] == [{"level": "info", "data": "ok"}, None]
    assert line.workflow("labelled").history.labels == ("untrusted",)


def test_the_credential_of_the_gateway_ends_the_call(line: Line, server: Scripted) -> None:
    """As in an answer; the error is the last event of the stream."""
    server.answers["tools/call"] = streams(log("begun"), log(f"Bearer {OWN}"))
    answer = called(line)
    begun, last = events(answer)
    assert (begun, last["error"]["data"]["code"], last["id"]) == (log("begun"), "upstream_error", 7)
    assert OWN not in answer.text


@pytest.mark.parametrize("end", [b"", b"data: {\n\n", b'data: {"jsonrpc": "2.0", "id": 7}\n\n'])
def test_a_stream_that_breaks_off_ends_with_an_error(line: Line, server: Scripted, end: bytes) -> None:
    """With the id of the call, after what was sent; a tool that reads is called once more."""
    server.answers["tools/call"] = streams(log("begun"), end=end)
    *told, last = events(called(line, tool="read_it"))
    assert told[0] == log("begun")
    assert (last["error"]["code"], last["error"]["data"]["code"], last["id"]) == (-32000, "upstream_error", 7)


def test_more_notifications_than_anybody_reads(line: Line, server: Scripted) -> None:
    """The rest is dropped, and the answer arrives."""
    server.answers["tools/call"] = streams(*[log(number) for number in range(1005)])
    *told, last = events(called(line))
    assert [one["params"]["data"] for one in told] == list(range(1000))
    assert text(last) == "done"


def nested(levels: int) -> Sequence[Any]:
    """A list in lists."""
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


def test_a_message_that_cannot_be_judged_is_dropped(line: Line, server: Scripted) -> None:
    """One that is nested too deep."""
    server.answers["tools/call"] = streams(log(nested(200)), log(nested(600)), log("ok"))
    assert [one.get("params", {}).get("data") for one in events(called(line))] == ["ok", None]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_sdk(tmp_path: Path, mode: Any) -> None:
    """As client and server, unmodified, in both eras: the callback is called as without a gateway."""
    server = MCPServer("teller")

    @server.tool()
    async def tell(context: Context) -> str:
        """Tell of progress."""
        await context.report_progress(1, 2, f"half of {MAIL}")
        return "done"

    told: list[Any] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    with tool_server.serving(server.streamable_http_app()) as url:
        settings = config(tmp_path, "http://127.0.0.1:9/v1", tools={"it": {"mcp": url}})
        with running(tmp_path, settings) as line:
            async with sdk(f"{line.url}/mcp/it", mode=mode) as client:
                result = await client.call_tool("tell", {}, progress_callback=on_progress)
    assert told == [(1, 2, "half of <EMAIL>")]
    assert result.structured_content == {"result": "done"}


def test_a_list_that_changes_is_read_again(line: Line, server: Scripted) -> None:
    """If the server says so in the event stream of an answer, long before the list is due."""
    assert Client(line).tools() == ["get_it", "read_it"]
    server.tools.append(tool_server.tool("more"))
    server.answers["tools/call"] = streams({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    try:
        assert text(called(line).json()) == "done"
        eventually(lambda: Client(line).tools() and line.metric("meshgate_hidden_tools_total", server="it") == 1)
    finally:
        server.tools.pop()
