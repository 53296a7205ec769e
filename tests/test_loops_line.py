"""Loops on a running gateway: what is refused, what continues, and what is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
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


def test_trimming_the_history_makes_no_difference(line: Line) -> None:
    """The workflow counts: each request shows only one call, the fourth is refused, and nothing freezes."""
    codes = [code(send(line, history(f"t{number}"), "trimmed")) for number in range(4)]
    assert codes == ["", "", "", "loop_detected"]
    answer = send(line, history("t4", arguments='{ "city":"Atlantis"}'), "trimmed")
    assert code(answer) == "loop_detected"
    assert "the tool weather with the same arguments" in answer.text
    assert "Atlantis" not in answer.text
    assert code(send(line, history("t5", arguments='{"city": "Rome"}'), "trimmed")) == ""
    assert code(line.chat(cid="trimmed", agent="bob", messages=history("t6"))) == ""
    assert line.workflow("trimmed").state == "open"
    assert code(send(line, history("t0"), "another workflow")) == "invalid_request"
    assert code(send(line, history("t0"), "another-workflow")) == ""


def test_a_result_sent_again_counts_once(line: Line) -> None:
    """A retry of an answered call takes nothing, also at the limit."""
    for number in (0, 1, 1, 2, 2, 2):
        assert code(send(line, history(f"r{number}"), "again")) == ""
    assert code(send(line, history("r3"), "again")) == "loop_detected"
    assert code(send(line, history("r2"), "again")) == ""


@pytest.mark.parametrize("model", ["reset", "status-500", "garbage", "gone"])
def test_what_failed_counts_nothing(line: Line, model: str) -> None:
    """A call without an answer gives its debits back, also after retries."""
    for _ in range(5):
        assert code(send(line, history("f1"), f"failed-{model}", model)) == "upstream_error"
    codes = [code(send(line, history(f"f{number}"), f"failed-{model}")) for number in range(4)]
    assert codes == ["", "", "", "loop_detected"]


def test_the_same_prompt_again_and_again(line: Line) -> None:
    """Counted by agent and workflow; a complete stream counts, a broken stream does not."""
    assert code(line.chat("why?", cid="prompts", stream=True)) == ""
    assert line.chat("why?", cid="prompts", model="reset").status_code == 502
    assert code(line.chat(" why? ", cid="prompts")) == ""
    answer = line.chat("why?", cid="prompts")
    assert code(answer) == "loop_detected"
    assert "loops.prompts" in answer.text
    assert "why" not in answer.text
    assert code(line.chat("why not?", cid="prompts")) == ""
    assert code(line.chat("why?", cid="prompts", agent="bob")) == ""


def test_nothing_that_was_said_is_written_down(line: Line) -> None:
    """The state file contains neither arguments nor prompts, nor digests that would confirm a guess."""
    send(line, history("w1"), "written")
    line.chat("why?", cid="written")
    line.rows("SELECT 1")
    kept = (line.path.parent / "state.db").read_bytes() + (line.path.parent / "state.db-wal").read_bytes()
    assert b"Atlantis" not in kept
    assert b"why?" not in kept
    assert line.rows("SELECT count(*) FROM repeats WHERE correlation_id = 'written'") == [(2,)]


def agents(line: Line, cid: str, order: str) -> list[str]:
    """Calls of one workflow: a for alice, b for bob, of the same team."""
    names = {"a": "alice", "b": "bob"}
    return [code(line.chat(f"{number}", cid=cid, agent=names[name])) for number, name in enumerate(order)]


def test_the_chain_of_agents_has_an_end(up: scripted.Upstream, tmp_path: Path) -> None:
    """A depth beyond `quotas.hops` is refused for any agent, others continue; no header changes this."""
    with running(tmp_path, config(tmp_path, up.url, quotas={"hops": 0})) as line:
        assert agents(line, "deep", "aaba") == ["", "", "hop_limit", ""]
        headers = {"authorization": "Bearer mg-bob", "x-correlation-id": "deep", "x-agent-chain": "bob"}
        body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
        answer = line.client.post("/v1/chat/completions", json=body, headers=headers)
        assert code(answer) == "hop_limit"
        assert "alice -> bob" in answer.json()["error"]["message"]
        assert line.workflow("deep").held.get("tokens", 0) == 0


def test_agents_in_a_ring_are_stopped(up: scripted.Upstream, tmp_path: Path) -> None:
    """More rounds than `loops.cycles` are refused; nothing freezes, and the reservation is given back."""
    settings = config(tmp_path, up.url, loops={"cycles": 2}, quotas={"tokens": 100_000})
    with running(tmp_path, settings) as line:
        assert agents(line, "ring", "aabbababa") == [""] * 8 + ["loop_detected"]
        answer = line.chat(cid="ring")
        assert "alice -> bob -> alice have handed over to each other 3 times" in answer.json()["error"]["message"]
        workflow = line.workflow("ring")
        assert (workflow.state, workflow.held["tokens"]) == ("open", 0)
        assert agents(line, "alone", "aaaaaaaa") == [""] * 8


def test_policies_see_the_chain(up: scripted.Upstream, tmp_path: Path) -> None:
    """Also without any quota or limit."""
    bundle = tmp_path / "policies"
    bundle.mkdir()
    (bundle / "chain.rego").write_text(
        "package gateway\nimport rego.v1\n"
        'decision := {"allow": input.context.hop == 0} if input.context.chain[0] == "alice"\n'
    )
    settings = config(tmp_path, up.url, policy={"path": str(bundle)})
    with running(tmp_path, settings) as line:
        assert agents(line, "chain", "aba") == ["", "policy_denied", ""]
        records = [json.loads(row[0]) for row in line.rows("SELECT record FROM outcomes ORDER BY id")]
        assert len(records) == 3
