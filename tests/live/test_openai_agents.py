"""Agents of `openai-agents`, unmodified, whose client has the gateway's base URL and key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.models.openai_provider import OpenAIProvider
from openai import AsyncOpenAI, PermissionDeniedError

import responding
import upstream as scripted
from formats.wires import Responses
from line import Line, config, running

pytestmark = pytest.mark.live

TEXT = "Tell bob.jones@example.org that the meeting is at noon."
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
WIRE = Responses()


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies."""
    folder = tmp_path_factory.mktemp("agents")
    with running(folder, config(folder, up.url, policy={"path": "policies"}, output={"secrets": "block"})) as started:
        yield started


@pytest.fixture
async def runs(line: Line) -> AsyncIterator[RunConfig]:
    """The settings of runs."""
    async with AsyncOpenAI(base_url=f"{line.url}/v1", api_key="mg-alice", max_retries=0) as client:
        yield RunConfig(model_provider=OpenAIProvider(openai_client=client), tracing_disabled=True)


async def said(agent: Agent[Any], text: str, settings: RunConfig, *, stream: bool) -> Any:
    """The last words of a run."""
    if not stream:
        return (await Runner.run(agent, text, run_config=settings)).final_output
    result = Runner.run_streamed(agent, text, run_config=settings)
    async for _ in result.stream_events():
        pass
    return result.final_output


either = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@either
async def test_a_run(runs: RunConfig, up: scripted.Upstream, stream: bool) -> None:
    """The agent reads its text, and the provider placeholders."""
    agent = Agent(name="a", instructions="Write to ann@example.org.", model="echo")
    assert await said(agent, TEXT, runs, stream=stream) == TEXT
    assert b"@example.org" not in up.last.raw
    assert up.last.path == "/v1/responses"


@either
async def test_a_tool(runs: RunConfig, up: scripted.Upstream, stream: bool) -> None:
    """The tool gets the values; the provider gets its own items back, with the seal of its reasoning."""
    got: list[str] = []

    @function_tool
    def send(to: str) -> str:
        """Send a message."""
        got.append(to)
        return f"sent to {to}"

    name = f"agent {stream} <EMAIL_1>"
    call = WIRE.response(responding.reasoning("They gave <EMAIL_1>."), WIRE.call('{"to": "<EMAIL_1>"}'))
    last = WIRE.response(WIRE.message("Sent to <EMAIL_1>."))
    for text, answer in ((name, call), ("sent to <EMAIL_1>", last)):
        up.script[text] = list(WIRE.codec.unfold(answer)) if stream else answer
    agent = Agent(name="a", model="script", tools=[send])
    text = f"agent {stream} bob.jones@example.org"
    assert await said(agent, text, runs, stream=stream) == "Sent to bob.jones@example.org."
    assert got == ["bob.jones@example.org"]
    kinds = [item.get("type", "message") for item in up.last.body["input"]]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
    assert up.last.body["input"][1]["encrypted_content"] == responding.SEAL
    assert b"bob.jones" not in up.last.raw


@either
async def test_a_blocked_answer(runs: RunConfig, up: scripted.Upstream, stream: bool) -> None:
    """Ends the run with an exception that names the code, in mid-stream too."""
    agent = Agent(name="a", model="script")
    answer = WIRE.response(WIRE.message(f"Take {SECRET} now."))
    up.script[f"leak {stream}"] = list(WIRE.codec.unfold(answer)) if stream else answer
    with pytest.raises(Exception, match="SECRET_GITHUB_TOKEN") as caught:
        await said(agent, f"leak {stream}", runs, stream=stream)
    assert SECRET not in str(caught.value)
    assert stream or isinstance(caught.value, PermissionDeniedError)
