"""Coding agents from npm, unmodified: only the base URL and the key differ from a session with their provider."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import node
import responding
import upstream as scripted
from coding import Model
from line import Line, config, running

pytestmark = pytest.mark.live

MAIL = "bob.jones@example.org"
TASK = f"Read notes.txt, then write to {MAIL}."
CARD = "Charge 4111 1111 1111 1111."
CODEX = ("--json", "--skip-git-repo-check", "-m", "gpt-5", "--dangerously-bypass-approvals-and-sandbox")
QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
CLAUDE_CODE = ("--output-format", "stream-json", "--verbose", "--allowedTools", "Read,Bash")


@pytest.fixture(scope="module", params=[False, True], ids=["http", "websocket"])
def line(
    request: pytest.FixtureRequest, up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Line]:
    """A gateway with the shipped policies, with WebSocket and without; they allow the web search that Codex offers."""
    folder = tmp_path_factory.mktemp("agents")
    shutil.copytree("policies", folder / "policies")
    data = folder / "policies" / "data.yaml"
    data.write_text(data.read_text().replace("\n    - apply_patch\n", "\n    - apply_patch\n    - web_search\n"))
    pii = {"entities": {"CREDIT_CARD": "block"}}
    settings = config(
        folder, up.url, policy={"path": str(folder / "policies")}, server={"websockets": request.param}, pii=pii
    )
    claude = {"format": "anthropic", "base_url": up.url.removesuffix("/v1"), "api_key": "sk-ant-upstream"}
    settings["providers"]["claude"] = claude
    price = {"input": 1, "output": 2}
    settings["models"]["gpt-*"] = {"targets": ["up/gpt-*"], "price": price}
    settings["models"]["claude-*"] = {"targets": ["claude/claude-*"], "price": price}
    with running(folder, settings) as started:
        yield started


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder in which an agent works, with what it is to read."""
    (tmp_path / "notes.txt").write_text(f"Mail {MAIL}\n")
    return tmp_path


def _events(said: str) -> list[dict[str, Any]]:
    return [json.loads(one) for one in said.splitlines()]


def codex(line: Line, home: Path, *words: str) -> list[dict[str, Any]]:
    """The events of a session of Codex."""
    base = f'openai_base_url="{line.url}/v1"'
    command = [*node.program("codex"), "exec", *words[:-1], *CODEX, "-c", base, words[-1]]
    ended = node.run(command, home, {"CODEX_API_KEY": "mg-alice"})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    sockets = line.gateway.runtime.config.server.websockets
    assert ("failed to connect to Responses WebSocket" in ended.stderr) is not sockets  # then it goes on over HTTP
    return _events(ended.stdout)


def test_codex(line: Line, up: scripted.Upstream, home: Path) -> None:
    """A loop with its shell tool, and a session that resumes the first: values stay here, the answer has them."""
    model = Model([("exec_command", {"cmd": "cat notes.txt"}), ("exec_command", {"cmd": "echo done > out.txt"})])
    up.says = model.says
    events = codex(line, home, TASK)
    thread = events[0]["thread_id"]
    assert said_by_codex(events) == f"Wrote to {MAIL}."
    assert (home / "out.txt").read_text() == "done\n"
    assert said_by_codex(codex(line, home, "resume", thread, f"And to {MAIL} again?")) == f"Wrote to {MAIL}."
    assert len(model.turns) == 4
    assert MAIL not in json.dumps(model.turns)
    assert line.workflow(thread) is not None


@pytest.mark.parametrize("line", [False], ids=["http"], indirect=True)
def test_codex_compacts(line: Line, up: scripted.Upstream, home: Path) -> None:
    """A full context is compacted by the provider, and its seal goes back as it came."""
    model = Model([("exec_command", {"cmd": "cat notes.txt"})], fills=True)
    up.says = model.says
    events = codex(line, home, "-c", "model_auto_compact_token_limit=1000", TASK)
    assert said_by_codex(events) == f"Wrote to {MAIL}."
    assert model.turns[1]["input"][-1] == {"type": "compaction_trigger"}
    sealed = [item for turn in model.turns[2:] for item in turn["input"] if item["type"] == "compaction"]
    assert {item["encrypted_content"] for item in sealed} == {responding.SEAL}
    assert MAIL not in json.dumps(model.turns)


def said_by_codex(events: list[dict[str, Any]]) -> str:
    """The last message."""
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    return str([item["text"] for item in items if item["type"] == "agent_message"][-1])


def claude(line: Line, home: Path, *words: str) -> list[dict[str, Any]]:
    """The events of a session of Claude Code."""
    command = [*node.program("claude"), "-p", *words[:-1], *CLAUDE_CODE, "--", words[-1]]
    ended = node.run(command, home, {"ANTHROPIC_BASE_URL": line.url, "ANTHROPIC_API_KEY": "mg-alice", **QUIET})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return _events(ended.stdout)


@pytest.mark.parametrize("line", [False], ids=["http"], indirect=True)
def test_claude_code(line: Line, up: scripted.Upstream, home: Path) -> None:
    """A loop with its tools, a second session that goes on, the count of its context, and a compaction."""
    calls = [("Read", {"file_path": str(home / "notes.txt")}), ("Bash", {"command": "echo done > out.txt"})]
    model = Model(calls)
    up.says = model.says
    *_, last = events = claude(line, home, TASK)
    assert last["result"] == f"Wrote to {MAIL}."
    assert (home / "out.txt").read_text() == "done\n"
    assert claude(line, home, "--continue", f"And to {MAIL} again?")[-1]["result"] == f"Wrote to {MAIL}."
    assert len(model.turns) == 4
    assert MAIL not in json.dumps(model.turns)
    session = events[-1]["session_id"]
    assert line.workflow(session) is not None
    claude(line, home, "--continue", "/context")
    claude(line, home, "--continue", "/compact")
    assert MAIL.encode() not in b"".join(seen.raw for seen in up.seen)
    assert any(seen.path.startswith("/v1/messages/count_tokens") for seen in up.seen)


@pytest.mark.parametrize("line", [False], ids=["http"], indirect=True)
def test_refusals_are_shown(line: Line, up: scripted.Upstream, home: Path) -> None:
    """The user reads why a call was blocked. Claude Code does not try again; Codex does, in vain."""
    model = Model([])
    up.says = model.says
    base = f'openai_base_url="{line.url}/v1"'
    ended = node.run([*node.program("codex"), "exec", *CODEX, "-c", base, CARD], home, {"CODEX_API_KEY": "mg-alice"})
    last = _events(ended.stdout)[-1]
    assert last["type"] == "turn.failed"
    assert "must not be sent: CREDIT_CARD" in last["error"]["message"]
    before = line.metric("meshgate_requests_total", status="403")
    ended = node.run(
        [*node.program("claude"), "-p", *CLAUDE_CODE, "--", CARD],
        home,
        {"ANTHROPIC_BASE_URL": line.url, "ANTHROPIC_API_KEY": "mg-alice", **QUIET},
    )
    assert "must not be sent: CREDIT_CARD" in _events(ended.stdout)[-1]["result"]
    assert line.metric("meshgate_requests_total", status="403") == before + 1
    assert model.turns == []
