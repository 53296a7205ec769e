"""The section `a2a`: other agents behind the gateway, one row for each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.config.scalars import Count, HttpUrl, Seconds, Secret
from gateway.config.sections import Section


class AgentAuth(Section):
    """The credential with which the gateway calls another agent. The caller's own key or token never leaves."""

    type: Literal["static"] = "static"
    """static: `token`, for all callers."""
    token: Secret = Field(default="", repr=False)
    """Sent as `Authorization: Bearer`."""


class RemoteAgent(Section):
    """An agent that speaks A2A."""

    url: HttpUrl
    """Base URL of the agent: its card is at `/.well-known/agent-card.json` below. Interfaces that the card has on
    another host are not used."""
    headers: dict[str, Secret] = Field(default_factory=dict, repr=False)
    """Headers of every request."""
    auth: AgentAuth | None = None
    """The credential of the gateway; null: none."""
    timeout: Seconds = Field(default=300, gt=0)
    """Seconds until the answer to a message must be complete."""
    connect_timeout: Seconds = Field(default=5, gt=0)
    """Seconds to connect."""
    price: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """USD for a message."""
    refresh: Seconds = Field(default=300, gt=0)
    """Seconds for which a card is used before it is read again."""
    max_answer: Count = Field(default=16_000_000, gt=0)
    """Maximum size of an answer in bytes."""
