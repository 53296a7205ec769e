"""Workflows with gateways as processes: two on one Redis, and one on SQLite with the command line."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from line import KEYS, config
from servers import free_port, listens, process, redis_server

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
VAULT = {"vault_key": base64.b64encode(b"k" * 32).decode()}
PATIENCE = 20  # seconds


class Gateway:
    """A gateway in a process of its own."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.port = free_port()
        self.file = folder / f"gateway-{self.port}.yaml"
        self.file.write_text(yaml.safe_dump(settings))

    @contextmanager
    def running(self) -> Iterator[Gateway]:
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(self.file), "--port", str(self.port)]
        with process(command, lambda: listens(self.port) and self.get("/livez") == 200, seconds=60):
            yield self

    def get(self, path: str) -> int:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5).status_code
        except httpx.TransportError:
            return 0

    def chat(self, cid: str, agent: str = "alice") -> str:
        """The code of one call's error, or ok."""
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/v1/chat/completions",
            headers={"authorization": f"Bearer {KEYS[agent]}", "x-correlation-id": cid},
            json={"model": "demo", "messages": [{"role": "user", "content": "hi"}]},
            timeout=30,
        )
        return "ok" if answer.status_code == 200 else answer.json()["error"]["code"]

    def admin(self, path: str, body: dict[str, Any]) -> httpx.Response:
        key = (self.file.parent / "admin-key").read_text().strip()
        url = f"http://127.0.0.1:{self.port}/admin/api{path}"
        return httpx.post(url, headers={"authorization": f"Bearer {key}"}, json=body, timeout=30)

    def cli(self, *argv: str) -> str:
        command = [sys.executable, "-m", "gateway", *argv, "--config", str(self.file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.file.parent, env=ENV)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def until(self, cid: str, code: str) -> None:
        """Repeat a call until the answer is as expected: with SQLite, changes by other processes take a moment."""
        deadline = time.monotonic() + PATIENCE
        while (got := self.chat(cid)) != code:
            assert time.monotonic() < deadline, f"still {got}"
            time.sleep(0.05)


ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes run this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def settings(folder: Path, **fields: Any) -> dict[str, Any]:
    chosen = {"quotas": {"calls": 4}, "admin": {"key_file": f"{folder}/admin-key"}, "pii": VAULT, **fields}
    return config(folder, "http://127.0.0.1:9/v1", **chosen)


def test_two_processes_on_one_redis(tmp_path: Path) -> None:
    """A change at one replica (freeze, top-up, close, open) applies to the next call at the other."""
    with redis_server() as url, ExitStack() as stack:
        one, two = (
            stack.enter_context(
                Gateway(tmp_path, settings(tmp_path, state=url, audit={"path": f"{tmp_path}/{name}.db"})).running()
            )
            for name in ("one", "two")
        )
        assert [one.chat("w"), two.chat("w", "bob")] == ["ok", "ok"]
        assert one.admin("/workflows/w/freeze", {}).status_code == 200
        assert {it.chat("w", agent) for it in (one, two) for agent in ("alice", "bob")} == {"workflow_frozen"}
        two.cli("workflows", "resume", "w", "--calls", "1")
        assert [one.chat("w"), two.chat("w"), one.chat("w")] == ["ok"] * 3
        assert two.chat("w") == "quota_exceeded"
        assert one.chat("w") == "workflow_frozen"
        shown = json.loads(one.cli("workflows", "show", "w", "--json"))
        assert (shown["state"], shown["quotas"]["calls"]["left"]) == ("frozen", 0)
        assert two.admin("/workflows/w/close", {}).status_code == 200
        assert one.chat("w") != "ok"
        assert one.admin("/workflows/w/resume", {}).status_code == 409


def test_replicas_take_each_others_tokens(tmp_path: Path) -> None:
    """Strict, on shared state: opened at one, served by both; unopened ids are refused by both."""
    with redis_server() as url, ExitStack() as stack:
        quotas = {"calls": 4, "strict": True}
        one, two = (
            stack.enter_context(
                Gateway(
                    tmp_path, settings(tmp_path, state=url, quotas=quotas, audit={"path": f"{tmp_path}/{name}.db"})
                ).running()
            )
            for name in ("one", "two")
        )
        token = one.admin("/workflows/job", {"team": "red"}).json()["token"]
        other = two.cli("workflows", "open", "second", "--team", "red").strip()
        assert {it.chat(sent) for it in (one, two) for sent in (token, other)} == {"ok"}
        assert {it.chat("job") for it in (one, two)} == {"invalid_request"}
        assert {it.chat(token, "mallory") for it in (one, two)} == {"invalid_request"}


def test_the_command_line_beside_a_gateway_on_sqlite(tmp_path: Path) -> None:
    """Freeze, resume with a top-up, close and back up, all while the gateway has the file open."""
    with Gateway(tmp_path, settings(tmp_path)).running() as gateway:
        for _ in range(4):
            assert gateway.chat("w") == "ok"
        assert gateway.chat("w") == "quota_exceeded"
        assert "a call needed more than was left of quotas.calls" in gateway.cli("workflows", "show", "w")
        assert "within two seconds" in gateway.cli("workflows", "resume", "w", "--calls", "1")
        gateway.until("w", "ok")
        assert gateway.chat("w") == "quota_exceeded"
        gateway.cli("workflows", "freeze", "v", "--team", "red", "--reason", "not this one")
        gateway.until("v", "workflow_frozen")
        gateway.cli("backup", str(tmp_path / "copy.db"))
        gateway.cli("workflows", "close", "v")
        assert "closed" in gateway.cli("workflows", "list", "--state", "closed")
        assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
