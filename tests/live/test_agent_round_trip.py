"""An agent with tools and the official client: its values are unchanged after a round trip."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

import upstream as scripted
from line import KEYS, Line, config, running

pytestmark = pytest.mark.live

ODD = '"Ann \\ Lee"@example.org'
SEND: Any = {"type": "function", "function": {"name": "send"}}  # what the scripted upstream calls
TASK = "Mail ann.lee@example.org and call 212-555-0123. Column EMAIL_1 and <PHONE_1> are names in our database."
TOOLS: Any = [{"type": "function", "function": {"name": "send", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway with the shipped policies."""
    folder = tmp_path_factory.mktemp("agent")
    with running(folder, config(folder, up.url, policy={"path": "policies"})) as started:
        yield started


def client(line: Line, agent: str = "alice", workflow: str = "agent-1") -> OpenAI:
    """The official client of an agent, in a workflow."""
    headers = {"X-Correlation-Id": workflow}
    return OpenAI(base_url=f"{line.url}/v1", api_key=KEYS[agent], max_retries=0, default_headers=headers)


def called(answer: Any) -> Any:
    """The arguments of the only tool call."""
    [call] = answer.choices[0].message.tool_calls
    return json.loads(call.function.arguments)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_loop_with_tools(line: Line, up: scripted.Upstream, streamed: bool) -> None:
    """Three turns: restored arguments are run, sent back, and leave under the placeholders they had."""
    with client(line, workflow=f"loop-{streamed}") as agent:
        messages: list[Any] = [{"role": "user", "content": TASK}]

        def ask(model: str) -> Any:
            if not streamed:
                return agent.chat.completions.create(model=model, messages=messages, tools=TOOLS)
            with agent.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as stream:
                return stream.get_final_completion()

        first = ask("call")
        assert called(first) == {"to": TASK}
        masked = up.last.body["messages"][0]["content"]
        assert masked.startswith("Mail <EMAIL_1> and call <PHONE_1>. Column <LITERAL_")
        messages.append(first.choices[0].message.model_dump(exclude_none=True, include={"role", "tool_calls"}))
        messages.append({"role": "tool", "tool_call_id": "c1", "content": json.dumps({"sent": called(first)["to"]})})
        second = ask("call")
        history = up.last.body["messages"]
        assert history[0]["content"] == masked
        assert json.loads(history[1]["tool_calls"][0]["function"]["arguments"]) == {"to": masked}
        assert json.loads(history[2]["content"]) == {"sent": masked}
        assert called(second) == {"to": json.dumps({"sent": TASK})}
        messages.append({"role": "user", "content": "Thanks. Also tell bob@example.org."})
        third = ask("echo")
        assert third.choices[0].message.content == "Thanks. Also tell bob@example.org."
        assert up.last.body["messages"][-1]["content"] == "Thanks. Also tell <EMAIL_2>."
        assert b"ann.lee" not in up.last.raw
        assert b"0123" not in up.last.raw


def test_another_workflow_or_team_gets_nothing(line: Line) -> None:
    """Placeholders are not restored in another workflow, nor in a request that did not contain the values."""
    with client(line, workflow="mine") as agent:
        agent.chat.completions.create(model="echo", messages=[{"role": "user", "content": TASK}])
    probe = "<EMAIL_1> [email 1] EMAIL_1 {{PHONE_1}} &lt;EMAIL_1&gt; <LITERAL_1>"
    for name, workflow in (("alice", "other"), ("mallory", "mine"), ("bob", "mine"), ("alice", "mine")):
        with client(line, name, workflow) as agent:
            for model in ("echo", "call"):
                answer = agent.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": probe}], tools=[SEND]
                )
                message = answer.choices[0].message
                said = message.content or called(answer)["to"]
                assert said == probe


def test_values_that_json_must_escape(line: Line) -> None:
    """A value with quotes and backslashes is escaped in arguments, and in JSON inside them."""
    text = json.dumps({"to": ODD, "inner": json.dumps({"cc": ODD})})
    with client(line, workflow="odd") as agent:
        answer = agent.chat.completions.create(model="call", messages=[{"role": "user", "content": text}], tools=[SEND])
    assert json.loads(called(answer)["to"]) == {"to": ODD, "inner": json.dumps({"cc": ODD})}


async def test_many_agents_at_once(line: Line) -> None:
    """Each workflow has its own values, also with concurrent workflows."""

    async def work(number: int) -> None:
        key, text = KEYS["alice" if number % 2 else "mallory"], f"write to person{number}@example.org"
        headers = {"X-Correlation-Id": f"shared-{number % 3}"}
        async with AsyncOpenAI(base_url=f"{line.url}/v1", api_key=key, default_headers=headers) as agent:
            answer = await agent.chat.completions.create(
                model="call", messages=[{"role": "user", "content": text}], tools=[SEND]
            )
            assert called(answer) == {"to": text}

    await asyncio.gather(*(work(number) for number in range(30)))


def test_a_block_is_the_clients_own_error(line: Line) -> None:
    """For unscannable content, the client raises its exception for a 403."""
    part: Any = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with client(line) as agent, pytest.raises(openai.PermissionDeniedError, match="no scanner can read"):
        agent.chat.completions.create(model="echo", messages=[{"role": "user", "content": [part]}])
