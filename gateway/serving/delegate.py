"""`POST /v1/delegations`: an agent gets a token for a sub-agent, which can do no more than the agent itself.

Config key: `delegations`. The caller's workflow (X-Correlation-Id) is the only one that the sub-agent may call in.
Refuses with invalid_request, loop_detected, hop_limit and, as any call, unauthenticated, rate_limited, quota_exceeded
and workflow_frozen. Each delegation is in the record of actions, on disk before the token is given out.
"""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime
from fractions import Fraction
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.amounts import NANO_USD
from gateway.call import Call, Json, Subject
from gateway.control.mistakes import described
from gateway.delegation import Delegation, Scope, Share
from gateway.errors import Refusal
from gateway.identity.delegations import narrowed
from gateway.ingress.request import read_body
from gateway.ingress.wire import Receive
from gateway.limits.loops import refuse_hops
from gateway.serving.runtime import Runtime, Shared

_MOST_BODY: Final = 65_536  # bytes
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=100)]


def _name(said: str) -> str:
    if _NAME.fullmatch(said) is None:
        raise ValueError("must be 1 to 64 letters, digits and _.-, the first a letter or digit")
    return said


class Budget(BaseModel):
    """The share of the workflow's quotas for the sub-agent and those below."""

    model_config = ConfigDict(extra="forbid", strict=True)
    tokens: int | None = Field(default=None, ge=1, le=2**53 - 1)
    cost_usd: float | None = Field(default=None, gt=0, le=1e6)
    calls: int | None = Field(default=None, ge=1, le=2**53 - 1)


class Wanted(BaseModel):
    """The body of the request. What is left out is as for the caller."""

    model_config = ConfigDict(extra="forbid")
    agent: Annotated[str, AfterValidator(_name)]
    roles: Annotated[tuple[Pattern, ...], Field(max_length=100)] | None = None
    models: Patterns | None = None
    tools: Patterns | None = None
    agents: Patterns | None = None
    budget: Budget = Budget()
    ttl: float | None = Field(default=None, gt=0, le=31_536_000)


async def delegate(runtime: Runtime, shared: Shared, call: Call, receive: Receive) -> Json:
    """Serve the request of an identified call; returns the answer. Raises Refusal, StoreUnavailable."""
    made, settings, subject = runtime.delegations, runtime.config.delegations, call.subject
    assert subject is not None, "the caller is identified first"
    if made is None or settings is None:
        words = "This gateway gives out no tokens for sub-agents (delegations: null, or no vault key)."
        raise Refusal("invalid_request", words, status=404)
    call.request.correlation_id = runtime.correlation.of(call)
    if call.request.alone:
        words = "Send X-Correlation-Id: a sub-agent works in the workflow of its parent."
        raise Refusal("invalid_request", words, param="X-Correlation-Id")
    body = await read_body(receive, call.headers, _MOST_BODY, call.ticket.hold)
    if runtime.own.holds(body) or (call.key and call.key in body):
        raise Refusal("invalid_request", "The body holds a secret of the gateway's own, or the key of the call.")
    wanted = _wanted(body)
    _check_budget(wanted.budget, runtime)
    chain = await runtime.line.reserve.delegate(call, settings.most)
    child = _child(call, subject, wanted, chain, settings.ttl)
    assert child.delegation is not None, "a sub-agent has a delegation"
    refuse_hops(child.delegation.chain, runtime.config.quotas.hops)
    assert call.key is not None, "the caller is identified first"
    token = made.token(runtime.identity.root(call.key), child)
    await _record(runtime, shared, call, child, wanted)
    return {
        "token": token,
        "agent": child.acting,
        "chain": list(child.delegation.chain),
        "roles": list(child.roles),
        "correlation_id": child.delegation.given or child.delegation.workflow,
        "expires_at": f"{datetime.fromtimestamp(child.delegation.expires, UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def _wanted(body: bytes) -> Wanted:
    try:
        said = orjson.loads(body)
        if not isinstance(said, dict):
            raise ValueError
    except ValueError:
        raise Refusal("invalid_request", "The body must be a JSON object with `agent`.") from None
    try:
        return Wanted.model_validate(said)
    except ValidationError as error:
        raise Refusal("invalid_request", described(error.errors())) from None


def _check_budget(budget: Budget, runtime: Runtime) -> None:
    """Raise Refusal for a share of something that is not counted."""
    quotas = runtime.config.quotas
    counted = quotas.tokens is not None or quotas.cost_usd is not None
    if (budget.tokens is not None or budget.cost_usd is not None) and not counted:
        words = "A budget of tokens or money is a share of the workflow's: it needs quotas.tokens or quotas.cost_usd."
        raise Refusal("invalid_request", words, param="budget")
    if budget.calls is not None and not counted and quotas.calls is None:
        words = "A budget of calls is a share of the workflow's: it needs quotas.calls."
        raise Refusal("invalid_request", words, param="budget")


def _child(call: Call, subject: Subject, wanted: Wanted, chain: tuple[str, ...], longest: float) -> Subject:
    """The sub-agent. Raises Refusal(loop_detected) for the name of an agent above it."""
    above = subject.delegation
    names = (*(above.names if above else ()), wanted.agent)
    if wanted.agent in (*names[:-1], subject.agent, *chain):
        words = f"The chain of agents has this name already: {' -> '.join(chain)}. Give the sub-agent another name."
        raise Refusal("loop_detected", words, detail={"chain": list(chain)})
    ends = [time.time() + min(wanted.ttl or longest, longest), *([above.expires] if above else [])]
    if isinstance(until := subject.claims.get("exp"), int | float):
        ends.append(float(until))
    budget = wanted.budget
    cost = None if budget.cost_usd is None else math.floor(Fraction(str(budget.cost_usd)) * NANO_USD)
    share = Share(call.id, budget.tokens, cost, budget.calls)
    delegation = Delegation(
        call.request.correlation_id,
        (*chain, "/".join((subject.agent, *names))),
        names,
        (*(above.scopes if above else ()), Scope(wanted.models, wanted.tools, wanted.agents)),
        (*(above.shares if above else ()), share),
        min(ends),
        call.request.given_id,
    )
    return narrowed(subject, wanted.roles, delegation)


async def _record(runtime: Runtime, shared: Shared, call: Call, child: Subject, wanted: Wanted) -> None:
    """Record the delegation, on disk and in the log."""
    details: dict[str, Any] = wanted.model_dump(mode="json", exclude_none=True) | {"agent": child.acting, "id": call.id}
    assert call.subject is not None, "the caller is identified first"
    team, workflow = call.team, call.request.correlation_id
    runtime.audit.acted(f"agent {call.subject.acting}", "delegated", team, workflow, details)
    await runtime.audit.durable()
    shared.telemetry.say({"level": "info", "event": "delegated", "team": team, "correlation_id": workflow, **details})
