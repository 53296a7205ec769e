"""Loops on a running gateway: what is refused, what goes on, and what is written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import upstream as scripted
from line import Line, config, running

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that looks for every kind of loop."""
    folder = tmp_path_factory.mktemp("loops")
    settings = config(folder, up.url, quotas={"repeats": 3, "calls": 1000}, loops={"prompts": 2, "turns": 4})
    with running(folder, settings) as running_line:
        yield running_line


def history(*ids: str, arguments: str = '{"city": "Atlantis"}') -> list[dict[str, Any]]:
    """A question, and one round of the same tool for each id."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "how is it?"}]
    for id in ids:
        call = {"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id, "content": f"rain {id}"},
        ]
    return messages


def send(line: Line, messages: list[dict[str, Any]], cid: str, model: str = "echo", **fields: Any) -> httpx.Response:
    """One call of a workflow."""
    return line.chat(model=model, cid=cid, messages=messages, tools=TOOLS, **fields)


def code(answer: httpx.Response) -> str:
    """Why it was refused; nothing if it was not."""
    return "" if answer.status_code == 200 else str(answer.json()["error"]["code"])


def test_a_history_that_shows_its_loop_is_refused(line: Line, up: scripted.Upstream) -> None:
    """Without any memory: nothing leaves, the message names the tool and the count, never the arguments."""
    assert code(send(line, history("a", "b", "c"), "shown-1")) == ""
    seen = len(up.seen)
    answer = send(line, history("a", "b", "c", "d"), "shown-2")
    assert answer.status_code == 403
    assert answer.headers["x-should-retry"] == "false"
    error = answer.json()["error"]
    assert error["code"] == "loop_detected"
    assert "the tool weather with the same arguments 4 times; quotas.repeats allows 3" in error["message"]
    assert "Atlantis" not in answer.text
    assert len(up.seen) == seen
    assert line.metric("meshgate_violations_total", code="loop_detected") >= 1


def test_turns_without_a_result_are_refused(line: Line) -> None:
    """Only while tools are offered."""
    turns = [{"role": "user", "content": "go"}]
    for number in range(5):
        turns += [{"role": "assistant", "content": "hm"}, {"role": "user", "content": f"go on {number}"}]
    assert code(send(line, turns, "turns")) == "loop_detected"
    assert code(line.chat(cid="turns", messages=turns)) == ""
