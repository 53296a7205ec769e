"""The section `routing`: what happens when upstreams fail, or have no room."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from gateway.config.scalars import Count, Seconds
from gateway.config.sections import Section


class Breaker(Section):
    """The circuit breaker of each target and tool server: one that fails is not tried at each call."""

    failures: Count = Field(default=5, ge=1)
    """Failures in a row that open the circuit of a target."""
    ratio: float = Field(default=0.5, gt=0, le=1)
    """Share of failed calls that opens the circuit, too."""
    calls: Count = Field(default=20, ge=1)
    """Calls within `window` from which the share counts."""
    window: Seconds = Field(default=30, gt=0)
    """Seconds over which calls are counted."""
    wait: Seconds = Field(default=5, gt=0)
    """Seconds until one call probes the target again; twice as long after each failed probe."""
    max_wait: Seconds = Field(default=120, gt=0)
    """Longest time between two probes in seconds."""

    @model_validator(mode="after")
    def _grows(self) -> Breaker:
        if self.max_wait < self.wait:
            raise ValueError("max_wait must not be shorter than wait")
        return self


class Routing(Section):
    """Attempts at the targets of a model."""

    breaker: Breaker | None = Breaker()
    """The circuit breaker of each target and tool server; null: every one is tried at each call."""
    retries: Count = 1
    """Times that a call is sent again to a target that failed, if no other target answers."""
    retry_ratio: float = Field(default=0.2, ge=0, le=1)
    """Retries for each call of a provider, over all callers: with 0.2, at most one for every five calls."""
    retry_minimum: Count = 10
    """Retries of a provider in a minute in addition to that share."""
    wait: Seconds = 5
    """Seconds that a call may wait in total, before a retry or until the provider's own rate limit has room. A call
    that would have to wait longer ends at once (`rate_limited`)."""
    queue: Count = 100
    """Calls that may wait for one model at one provider; more are refused as `overloaded`. Teams take turns."""
    hedge: Seconds | None = Field(default=None, gt=0)
    """Seconds of silence after which a call is sent to the next target, too; the first that begins to answer serves the
    call, and the other attempt is ended. Counts as a retry. null: never: the provider may charge for both."""
    provider_limits: Literal["heed", "ignore"] = "heed"
    """The providers' own rate limits (429, `Retry-After`, `x-ratelimit-*`). heed: calls wait until there is room;
    ignore: each call is sent, and the caller hears the 429."""
