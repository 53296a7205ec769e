"""Token buckets and quotas: the sections `limits` and `quotas` of the configuration."""

from __future__ import annotations

from pydantic import Field, model_validator

from gateway.config.scalars import Count, Per, Rated, Seconds
from gateway.config.sections import Section


class Match(Section):
    """The calls that a limit counts: shell patterns; a field that is left out matches all."""

    agent: str = "*"
    """Pattern of the agent's name."""
    team: str = "*"
    """Pattern of the team's name."""
    model: str = "*"
    """Pattern of the model's name, as callers write it."""
    provider: str = "*"
    """Pattern of the provider's name."""
    tool: str = "*"
    """Pattern of the tool's name; any pattern other than `*` matches tool calls only."""
    role: str = "*"
    """Pattern that one of the caller's roles must match."""
    stream: bool | None = None
    """true: streamed calls only; false: calls with a whole answer only."""


class Limit(Section):
    """A rate limit, with a token bucket for each agent, team, model and so on. Every limit that matches applies."""

    per: Per
    """One bucket for each agent, team, model, provider, tool or role, or for each value of `claims.NAME` (a claim of
    the caller's token) or `attributes.NAME` (assigned by the policy)."""
    match: Match = Match()
    """The calls that the limit counts."""
    requests: Rated | None = None
    """Rate of calls, such as 60/min."""
    tokens: Rated | None = None
    """Rate of tokens in and out, such as 200k/min."""
    burst: Count | None = None
    """Capacity of the bucket; default: the number of the rate."""

    @model_validator(mode="after")
    def _one_unit(self) -> Limit:
        if (self.requests is None) == (self.tokens is None):
            raise ValueError("a limit counts either requests or tokens: write exactly one of them")
        if self.burst == 0:
            raise ValueError("a burst of 0 would refuse every call")
        return self


class Quotas(Section):
    """What one workflow may use over all its calls. None: not limited."""

    tokens: Count | None = None
    """Tokens in and out."""
    cost_usd: float | None = Field(default=None, ge=0)
    """USD, at the configured prices."""
    calls: Count | None = None
    """Calls to models and tools."""
    hops: Count | None = None
    """Depth of the agent-to-agent chain."""
    repeats: Count | None = None
    """Calls of the same tool with the same arguments by the same agent."""
    seconds: Seconds | None = None
    """Seconds from its first call, or from the last resume, after which a workflow freezes."""
    idle: Seconds | None = None
    """Seconds without a call after which a workflow expires and accepts no more calls; shorter than `ttl`."""
    ttl: Seconds = 86400
    """Seconds that the record of a workflow is kept after its last call: usage, labels, placeholders."""
    wait: Seconds = 0
    """Seconds that a call may wait until calls in flight return quota."""
    strict: bool = False
    """Accept only calls with the signed token of a workflow that was opened by command or admin API."""

    @model_validator(mode="after")
    def _kept_longer_than_idle(self) -> Quotas:
        if self.idle is not None and self.idle >= self.ttl:
            raise ValueError("idle must be shorter than ttl: a workflow whose record is deleted cannot expire")
        return self
