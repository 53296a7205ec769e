"""What servers ask in tests, what clients answer, and a policy over both."""

from __future__ import annotations

from typing import Any

POLICY = """package gateway

import rego.v1

decision := {"allow": allow, "deny": deny, "obligations": labels}

default allow := false

allow if not input.action.name in {"answer_roots"}

deny contains {"code": "refused", "message": "No", "class": "safety"} if input.action.args.content.text == "deny"

labels contains {"code": "l", "labels": ["untrusted"]} if input.content.injection.tool >= 0.5

deny contains {"code": "injected", "message": "No", "class": "safety"} if input.content.injection.tool >= 0.9
"""
ABLE: dict[str, Any] = {"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {}}
FORM = {"mode": "form", "message": "Which one?", "requestedSchema": {"type": "object", "properties": {}}}
ACCEPTED = {"action": "accept", "content": {"name": "x"}}
SAMPLED = {"role": "assistant", "model": "echo", "content": {"type": "text", "text": "some words of a model"}}
OWN = "for-the-server-alone-1234567890"


def prompt(said: str, **more: Any) -> dict[str, Any]:
    """The parameters of a question for a text."""
    return {"messages": [{"role": "user", "content": {"type": "text", "text": said}}], "maxTokens": 9, **more}
