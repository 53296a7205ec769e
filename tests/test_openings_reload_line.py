"""Reloads between two turns of a conversation whose opening is known: the next turn is judged by the new rules.

The answers, the bytes that leave and the records are those of a gateway that started with the new rules.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import upstream as scripted
from beside import differing, send
from gateway.redaction import openings
from line import Line, config, policies, running
from waiting import eventually

Json = dict[str, Any]
OPEN: Final = 'package gateway\n\ndecision := {"allow": true}\n'
CLOSED: Final = """package gateway

decision := {"allow": true, "deny": deny}

deny contains {"code": "numbers", "message": "No numbers", "class": "safety"} if input.content.pii.PHONE > 0
"""
STRICT: Final = """package gateway

decision := {"allow": true, "obligations": obligations}

obligations contains {"code": "mails", "class": "safety", "redact": {"EMAIL": "redact"}}
"""
MASK: Final[Json] = {"default": "mask", "entities": {"PHONE": "allow"}}


def body(turns: int) -> str:
    """A conversation whose opening has values of two types."""
    said = [
        {"role": "user", "content": f"{number}: {'text ' * 30} ann@example.org or 212-555-0123"}
        for number in range(turns)
    ]
    return json.dumps({"model": "echo", "messages": said, "max_tokens": 50})


def pii(**entities: str) -> Json:
    """Settings with other actions."""
    return {"pii": {**MASK, "entities": {**MASK["entities"], **entities}}}


CHANGES: Final[dict[str, tuple[Json, str]]] = {
    "redact": (pii(EMAIL_ADDRESS="redact"), OPEN),
    "partial": (pii(EMAIL_ADDRESS="partial"), OPEN),
    "allow": (pii(EMAIL_ADDRESS="allow"), OPEN),
    "block": (pii(EMAIL_ADDRESS="block"), OPEN),
    "mask more": (pii(PHONE="mask"), OPEN),
    "none": ({"pii": None}, OPEN),
    "deny": ({}, CLOSED),
    "oblige": ({}, STRICT),
}
"""The settings, and the policy, that are in force from the fourth call on."""


def settings(folder: Path, up: scripted.Upstream, rego: str, fields: Json) -> Json:
    """A configuration with a policy."""
    return config(folder, up.url, **{"pii": MASK, "policy": policies(folder, rego), **fields})


def known(line: Line) -> list[int]:
    """The messages of the openings that a gateway knows."""
    memory = line.gateway.runtime.line.ingress._openings
    several = [one for kept in memory._teams.values() for each in kept.values() for one in each]
    return [opening.number for one in several for opening in one.openings]


@pytest.mark.parametrize("change", CHANGES)
def test_the_next_turn_is_judged_by_the_new_rules(
    up: scripted.Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Nothing that the old rules determined is used again, whatever changed."""
    monkeypatch.setattr(openings, "LEAST", 16)
    fields, rego = CHANGES[change]

    def ask(line: Line, turns: int) -> Json:
        call = {"raw": body(turns), "agent": "alice", "workflow": True}
        return send(line, up, call, "reloaded", "/v1/chat/completions")

    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    with running(old, settings(old, up, OPEN, {})) as line:
        before = [ask(line, turns) for turns in (3, 4, 5)]
        assert all(one["status"] == 200 for one in before)
        assert known(line)
        runtime = line.gateway.runtime
        policy = line.gateway.shared.policies
        version = policy.version if policy is not None else ""
        if fields:
            said = yaml.safe_load(line.path.read_text())
            line.path.write_text(yaml.safe_dump({**said, **fields}))
            eventually(lambda: line.gateway.runtime is not runtime)
        if rego != OPEN:
            (old / "policies" / "gateway.rego").write_text(rego)
            eventually(lambda: line.gateway.shared.policies.version != version)  # type: ignore[union-attr]
        got = [ask(line, turns) for turns in (6, 7, 8)]
    with running(new, settings(new, up, rego, fields)) as line:
        expected = [ask(line, turns) for turns in (6, 7, 8)]
    for one in (*got, *expected):
        for document in one["decision"]:
            document["input"]["context"].pop("calls", None)
    assert got == expected, differing(got, expected)
    assert got[0]["sent"] != before[-1]["sent"]
