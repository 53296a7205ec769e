"""Tokens of sub-agents: an agent that calls gets a token with less power than its own, for another agent to call with.

A token is `mgd_` and the sealed delegation (AES-256-GCM, under a key derived from the vault's master key), so that its
bearer can neither read nor change what it may do, and every replica verifies it without a lookup. It is bound to the
credential that it goes back to: a token of a gateway key ends with the key, one of a JWT with the JWT. Config key:
`delegations`. Error code: `unauthenticated`. Fails closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import orjson
from cryptography.exceptions import InvalidTag

from gateway.call import Subject
from gateway.delegation import Delegation, Scope, Share
from gateway.errors import Refusal
from gateway.ids import base64url, from_base64url

PREFIX: Final = b"mgd_"
LONGEST: Final = 6144
"""Bytes of a token; servers and proxies accept headers of 8 KB."""
_CONTEXT: Final = "delegation"


class Seal(Protocol):
    """Encryption and digests with the master key: see `redaction.vault`."""

    def digest(self, entity: str, value: str) -> bytes:
        """A keyed digest."""
        ...

    def enclose(self, context: str, data: bytes) -> bytes:
        """The encrypted data."""
        ...

    def disclose(self, context: str, sealed: bytes) -> bytes:
        """The data. Raises InvalidTag if a bit differs, ValueError for what is too short."""
        ...


class Delegations:
    """Creates and verifies tokens. `clock`: Unix seconds."""

    def __init__(self, seal: Seal, clock: Callable[[], float] = time.time) -> None:
        self._seal = seal
        self._clock = clock

    def root(self, digest: bytes) -> str:
        """How a token names the credential that it goes back to, by the SHA-256 of that credential."""
        return self._seal.digest("root of a delegation", digest.hex()).hex()

    def token(self, root: str, subject: Subject) -> str:
        """The token of a sub-agent. Raises Refusal(invalid_request) if it would be too long for a header."""
        it = subject.delegation
        assert it is not None, "only sub-agents have tokens"
        said = {
            "root": root,
            "agent": subject.agent,
            "team": subject.team,
            "roles": subject.roles,
            "claims": dict(subject.claims),
            "workflow": it.workflow,
            "given": it.given,
            "chain": it.chain,
            "names": it.names,
            "scopes": [list(scope) for scope in it.scopes],
            "shares": [list(share) for share in it.shares],
            "expires": it.expires,
        }
        sealed = self._seal.enclose(_CONTEXT, orjson.dumps(said))
        made = PREFIX.decode() + base64url(sealed)
        if len(made) > LONGEST:
            words = f"The token would have {len(made)} bytes; at most {LONGEST} fit into a header. Use fewer patterns."
            raise Refusal("invalid_request", words)
        return made

    def read(self, token: bytes) -> tuple[str, Subject]:
        """The root of a token, and the sub-agent. Raises Refusal(unauthenticated)."""
        try:
            if len(token) > LONGEST:
                raise ValueError("too long")
            said = orjson.loads(self._seal.disclose(_CONTEXT, from_base64url(token[len(PREFIX) :].decode("ascii"))))
        except (ValueError, InvalidTag):
            raise Refusal("unauthenticated", "This token of a sub-agent was not made here, or was changed.") from None
        delegation = Delegation(
            said["workflow"],
            tuple(said["chain"]),
            tuple(said["names"]),
            tuple(Scope(*map(_patterns, it)) for it in said["scopes"]),
            tuple(Share(*it) for it in said["shares"]),
            said["expires"],
            said["given"],
        )
        if delegation.expires <= self._clock():
            words = "The token of this sub-agent has expired. Its parent gets a new one with POST /v1/delegations."
            raise Refusal("unauthenticated", words)
        return said["root"], Subject(said["agent"], said["team"], tuple(said["roles"]), said["claims"], delegation)


def narrowed(subject: Subject, roles: Sequence[str] | None, delegation: Delegation) -> Subject:
    """The sub-agent of a caller: `roles` beyond those of the caller are left out; None keeps all."""
    kept = tuple(role for role in subject.roles if roles is None or role in roles)
    return replace(subject, roles=kept, delegation=delegation)


def _patterns(said: Any) -> tuple[str, ...] | None:
    return None if said is None else tuple(said)
