"""The section `a2a`: other agents behind the gateway, one row for each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.config.scalars import Count, Header, HttpUrl, Seconds, Secret
from gateway.config.sections import Section


class AgentAuth(Section):
    """The credential with which the gateway calls another agent. The caller's own key or token never leaves."""

    type: Literal["static"] = "static"
    """static: `token`, for all callers."""
    token: Secret = Field(default="", repr=False)
    """Sent as `Authorization: Bearer`."""


class Cards(Section):
    """The signature of the agent cards that the gateway serves."""

    key: Secret = Field(repr=False)
    """Private key of P-256, Ed25519 or RSA (PKCS #8, DER) in base64: `openssl genpkey -algorithm ED25519 -outform DER |
    base64 -w0`."""
    kid: str = Field(min_length=1, max_length=128)
    """The id of the key, in the signature."""
    jku: HttpUrl = ""
    """URL at which clients find the public key, in the signature; the gateway does not serve it."""


class Push(Section):
    """Push notifications of an agent: it tells the gateway, and the gateway tells the client."""

    url: HttpUrl
    """Base URL at which the agent reaches the gateway."""
    hosts: tuple[str, ...] = ()
    """Patterns of hosts that clients may have told over http, too, and at private addresses. Any other URL must be
    https and lead to public addresses."""


class RemoteAgent(Section):
    """An agent that speaks A2A."""

    url: HttpUrl
    """Base URL of the agent: its card is at `/.well-known/agent-card.json` below. Interfaces that the card has on
    another host are not used."""
    headers: dict[Header, Secret] = Field(default_factory=dict, repr=False)
    """Headers of every request."""
    auth: AgentAuth | None = None
    """The credential of the gateway; null: none."""
    timeout: Seconds = Field(default=300, gt=0)
    """Seconds until the answer to a message must be complete."""
    connect_timeout: Seconds = Field(default=5, gt=0)
    """Seconds to connect."""
    price: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """USD for a message."""
    card_keys: tuple[dict[str, str], ...] = ()
    """Public keys (JWK) of which one must have signed the card of the agent. Default: signatures are not checked."""
    skills: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Role -> patterns of the ids of skills that callers with the role see on the extended card. Default: all."""
    push: Push | None = None
    """Push notifications; null: the agent sends none."""
    refresh: Seconds = Field(default=300, gt=0)
    """Seconds for which a card is used before it is read again."""
    max_answer: Count = Field(default=16_000_000, gt=0)
    """Maximum size of an answer in bytes."""
