"""Signed correlation tokens, which calls send if only opened workflows are served. Config key: `quotas.strict`.

A token is `<id>.<expiry>.<mac>`: the correlation id, a Unix time, and HMAC-SHA256 over team, id and expiry, truncated
to 128 bits (RFC 2104, 5). The key is derived from the vault's master key (HKDF, RFC 5869), so replicas with the same
vault key accept each other's tokens. An agent can neither invent a workflow, nor use another team's, nor its own after
the expiry. Error code: `invalid_request`. Fails closed: a token that does not verify is refused unread.
"""

from __future__ import annotations

import hmac
import math
import re
import time
from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.config.grammar import Config
from gateway.errors import Refusal
from gateway.ids import base64url
from gateway.redaction.vault import master_key
from gateway.stores import Clock

_TOKEN = re.compile(r"(.+)\.([1-9][0-9]{9,10})\.([A-Za-z0-9_-]{22})")
_MAC = 16  # bytes
LONGEST = 128 - len(".12345678901.") - 22  # maximum length of an id whose token is a valid correlation id

HOW = (
    "Open the workflow with `meshgate workflows open` or POST /admin/api/workflows/{id}, and give the token to the "
    "agents, which send it as X-Correlation-Id."
)


class Signer:
    """Creates and verifies the tokens of one master key."""

    def __init__(self, master: bytes, clock: Clock = time.time) -> None:
        self._key = HKDF(SHA256(), 32, salt=None, info=b"meshgate correlation tokens").derive(master)
        self._clock = clock

    def token(self, team: str, correlation_id: str, ttl: float) -> str:
        """A token that is valid for `ttl` seconds. Raises Refusal if the id is longer than `LONGEST`."""
        if len(correlation_id) > LONGEST:
            message = f"With quotas.strict an id has at most {LONGEST} characters; this one has {len(correlation_id)}."
            raise Refusal("invalid_request", message, param="id")
        expiry = math.ceil(self._clock() + ttl)
        return f"{correlation_id}.{expiry}.{self._mac(team, correlation_id, expiry)}"

    def read(self, team: str, token: str) -> str:
        """The bare correlation id of a token of this team. Raises Refusal(invalid_request)."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise _refusal("is not a signed correlation token, which this gateway requires (quotas.strict)")
        correlation_id, expiry = parts[1], int(parts[2])
        if not hmac.compare_digest(self._mac(team, correlation_id, expiry).encode(), parts[3].encode()):
            raise _refusal("has a token that was not made here for your team: it is forged, altered or another team's")
        if expiry <= self._clock():
            raise _refusal(f"has a token that expired {math.floor(self._clock() - expiry)} s ago")
        return correlation_id

    def _mac(self, team: str, correlation_id: str, expiry: int) -> str:
        # Neither an expiry nor an id can contain a zero byte, so each text has one team, id and expiry.
        text = f"{expiry}\0{correlation_id}\0{team}".encode("utf-8", "surrogatepass")
        return base64url(hmac.digest(self._key, text, sha256)[:_MAC])


def signer(settings: Config) -> Signer | None:
    """The signer of a configuration; None if any correlation id is accepted. Raises ConfigError without a key."""
    if not settings.quotas.strict:
        return None
    return Signer(master_key(settings.pii.vault_key if settings.pii else "", settings.state.url))


def missing() -> Refusal:
    """The refusal of a call without a correlation id."""
    message = "The call has no X-Correlation-Id, and this gateway serves opened workflows only (quotas.strict)."
    return Refusal("invalid_request", f"{message} {HOW}", param="X-Correlation-Id")


def _refusal(what: str) -> Refusal:
    return Refusal("invalid_request", f"X-Correlation-Id {what}. {HOW}", param="X-Correlation-Id")
