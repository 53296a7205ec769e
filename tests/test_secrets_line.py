"""Secrets in requests: they do not leave, and an agent that edits a file with a secret gets it back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import upstream as scripted
from line import config, running

KEY = "gh" + "p_" + "a8Fj3kL9sQ2xZ7mNbV5cR1tY6uW4pE0dGhJ7"
SAID = f"export GITHUB_TOKEN={KEY} # for CI"


def test_masked_by_default_and_restored(up: scripted.Upstream, tmp_path: Path) -> None:
    """The provider sees a placeholder; answers and arguments of tools contain the secret again."""
    with running(tmp_path, config(tmp_path, up.url)) as line:
        assert line.chat(SAID).json()["choices"][0]["message"]["content"] == SAID
        assert KEY.encode() not in up.last.raw
        assert b"<SECRET_GITHUB_TOKEN_1>" in up.last.raw
        called = line.chat(SAID, "call", tools=[{"type": "function", "function": {"name": "send"}}])
        arguments = called.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
        assert KEY in json.dumps(json.loads(arguments))


@pytest.mark.parametrize(("action", "status"), [("redact", 200), ("block", 403), ("allow", 403)])
def test_other_actions(up: scripted.Upstream, tmp_path: Path, action: str, status: int) -> None:
    """`redact` leaves its type, `block` refuses the call, `allow` sends it: then the answer must not repeat it."""
    settings = config(tmp_path, up.url, pii={"secrets": action})
    before = len(up.seen)
    with running(tmp_path, settings) as line:
        answer = line.chat(SAID)
        assert answer.status_code == status
        assert KEY not in answer.text
        if action == "redact":
            assert "<SECRET_GITHUB_TOKEN>" in up.last.raw.decode()
        elif status == 403:
            assert answer.json()["error"]["code"] == "secret_blocked"
        assert len(up.seen) - before == (action != "block")
        if action == "allow":
            assert KEY.encode() in up.last.raw
