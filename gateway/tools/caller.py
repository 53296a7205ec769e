"""For whom the gateway calls a tool server."""

from __future__ import annotations

from gateway.call import Call
from gateway.tools.credentials import Caller


def caller_of(call: Call) -> Caller:
    """The caller of a call. A gateway key or the token of a sub-agent is no token that may be exchanged."""
    subject = call.subject
    assert subject is not None, "calls leave after identify"
    is_jwt = bool(subject.claims) and subject.delegation is None
    return Caller(subject.team, subject.agent, call.key or b"" if is_jwt else b"")
