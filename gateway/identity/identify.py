"""Identifies the caller: a gateway key or a JWT becomes a `Subject` (agent, team, roles).

Config keys: `agents`, `jwt`, and the keys of the state store (`meshgate keys add`). The credential is in
`Authorization: Bearer`, `x-api-key`, `api-key` or `x-goog-api-key`. Error code: `unauthenticated`. Fails closed: an
unknown key is refused, and so is a token if the issuer's keys are not available. No credential is logged, stored or
repeated.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.call import Headers, Subject
from gateway.config.grammar import Agent, Jwt
from gateway.detect.secrets.own import OwnSecrets
from gateway.errors import Refusal
from gateway.identity.delegations import PREFIX, Delegations
from gateway.identity.keyfiles import read_key_file

if TYPE_CHECKING:
    import httpx

    from gateway.identity.jwks import Verifier


_REMEMBERED = 4096  # tokens of sub-agents
_REVOKED = "The key or JWT that the token of this sub-agent goes back to has expired or was revoked."
_KEYS = frozenset({b"x-api-key", b"api-key", b"x-goog-api-key"})  # headers with a key and nothing else


class KeyRecord(Protocol):
    """The fields of `stores.Key` that are used here."""

    @property
    def id(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def team(self) -> str: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def revoked(self) -> float | None: ...
    @property
    def expires(self) -> float | None: ...


class _Known(NamedTuple):
    """A valid credential. `id` is empty for keys of the configuration, whose use is not recorded."""

    digest: bytes
    subject: Subject
    id: str = ""
    expires: float | None = None


def _verifier(jwt: Jwt, client: httpx.AsyncClient | None) -> Verifier:
    """The verifier of tokens. Imported on use: its libraries take 10 MB, and many configurations have keys only."""
    from gateway.identity.jwks import Verifier

    return Verifier(jwt, client)


class Identity:
    """All valid credentials. Reads key files, and creates missing files; no network access before the first token.

    `previous`: the instance before a reload, whose issuer keys are reused.
    """

    def __init__(
        self,
        agents: Mapping[str, Agent],
        jwt: Jwt | None = None,
        keys: Iterable[KeyRecord] = (),
        *,
        client: httpx.AsyncClient | None = None,
        previous: Identity | None = None,
    ) -> None:
        self._delegations: Delegations | None = None
        self._children: dict[bytes, tuple[str, Subject]] = {}  # digest of a token -> its root, and the sub-agent
        self._configured = {
            digest: _Known(digest, Subject(name, agent.team, agent.roles))
            for name, agent in agents.items()
            if (digest := _digest_of(agent))
        }
        self.used: dict[str, float] = previous.used if previous else {}
        """Last use of the store's keys since the last write: id -> Unix seconds."""
        self._jwt = _verifier(jwt, client) if jwt else None
        if self._jwt and previous and previous._jwt:
            self._jwt.inherit(previous._jwt)
        self.update_keys(keys)

    def accept(self, delegations: Delegations | None) -> None:
        """Accept the tokens of sub-agents. To be called before the first call is served."""
        self._delegations = delegations
        self.update_roots()

    def refuse_secrets(self, own: OwnSecrets) -> None:
        """Accept no token that holds one of these secrets. To be called before the first call is served."""
        if self._jwt is not None:
            self._jwt.own = own

    def update_keys(self, records: Iterable[KeyRecord]) -> None:
        """Replace the keys of the store. A revoked key is refused from the next call on."""
        table = dict(self._configured)
        for record in records:
            digest = bytes.fromhex(record.sha256)
            if record.revoked is not None:
                table.pop(digest, None)
            else:
                subject = Subject(record.agent, record.team, tuple(record.roles))
                table[digest] = _Known(digest, subject, record.id, record.expires)
        self._table = table
        self.update_roots()

    def update_roots(self) -> None:
        """Find the keys that tokens of sub-agents go back to, after a change of keys."""
        made = self._delegations
        self._children.clear()
        self._roots = {made.root(digest): known for digest, known in self._table.items()} if made is not None else {}

    def root(self, token: bytes) -> str:
        """The credential that tokens made with this key, JWT or token go back to."""
        made = self._delegations
        assert made is not None, "tokens are accepted where they are made"
        return made.read(token)[0] if token.startswith(PREFIX) else made.root(hashlib.sha256(token).digest())

    def lookup(self, token: bytes, audiences: Sequence[str] = ()) -> Subject | None:
        """The subject of a gateway key, or of a JWT that was verified before and has not expired; no I/O.

        `audiences`: see `jwks.Verifier.verify`.
        """
        digest = hashlib.sha256(token).digest()
        # A dict lookup may take longer for a longer common prefix, but of the digest, and an attacker cannot choose a
        # key by the prefix of its digest. The final comparison takes constant time.
        known = self._table.get(digest)
        if known is not None and hmac.compare_digest(known.digest, digest):
            if known.id:
                now = time.time()
                if known.expires is not None and known.expires <= now:
                    return None
                self.used[known.id] = now
            return known.subject
        if token.startswith(PREFIX) and self._delegations is not None:
            return self._child(token, digest, self._delegations)
        return self._jwt.cached(digest, audiences) if self._jwt else None

    def _child(self, token: bytes, digest: bytes, delegations: Delegations) -> Subject:
        """The sub-agent of a token, with no more than its first agent has now. Raises Refusal(unauthenticated)."""
        known = self._children.get(digest)
        if known is None or known[1].delegation is None or known[1].delegation.expires <= time.time():
            self._children.pop(digest, None)
            if len(self._children) >= _REMEMBERED:
                self._children.clear()
            known = self._children[digest] = delegations.read(token)
        root, subject = known
        first = self._roots.get(root)
        if first is None:
            if self._jwt is None or not subject.claims:  # the token of a JWT ends with the JWT
                raise Refusal("unauthenticated", _REVOKED)
            return subject
        known_as = first.subject.team, first.subject.agent
        if (first.expires is not None and first.expires <= time.time()) or known_as != (subject.team, subject.agent):
            raise Refusal("unauthenticated", _REVOKED)
        if not set(subject.roles) <= set(first.subject.roles):
            kept = tuple(role for role in subject.roles if role in first.subject.roles)
            subject = replace(subject, roles=kept)
            self._children[digest] = root, subject
        return subject

    def source(self, token: bytes) -> str:
        """The gateway key that a credential goes back to, for `living`; "" for a JWT, or a token that does to one."""
        if token.startswith(PREFIX) and self._delegations is not None:
            root = self._delegations.read(token)[0]
            return root if root in self._roots else ""
        digest = hashlib.sha256(token).digest()
        return digest.hex() if digest in self._table else ""

    def living(self, source: str, subject: Subject) -> Subject | None:
        """The subject with the roles that it has now; None once its key is revoked, expired, or another agent's.

        What goes back to a JWT lives as long as JWTs are accepted.
        """
        if not source:
            return subject if self._jwt is not None else None
        known = self._roots.get(source) or self._table.get(bytes.fromhex(source))
        if known is None or (known.expires is not None and known.expires <= time.time()):
            return None
        if (known.subject.team, known.subject.agent) != (subject.team, subject.agent):
            return None
        return replace(subject, roles=tuple(role for role in subject.roles if role in known.subject.roles))

    def lives(self, token: bytes) -> bool:
        """Whether a key or the token of a sub-agent, which was valid before, still is. A JWT is taken to be."""
        if not token.startswith(PREFIX) and token.count(b".") == 2:
            return True
        try:
            return self.lookup(token) is not None
        except Refusal:
            return False

    def knows(self, digest: bytes) -> bool:
        """Whether this is the SHA-256 of a gateway key."""
        return digest in self._table

    async def identify(self, headers: Headers) -> Subject:
        """The subject of a call, by its headers (lower-case names). Raises Refusal(unauthenticated)."""
        return await self.bearer(credential(headers))

    async def bearer(self, token: bytes, audiences: Sequence[str] = ()) -> Subject:
        """The subject of a key or token. Raises Refusal(unauthenticated)."""
        subject = self.lookup(token, audiences)
        if subject is not None:
            return subject
        if self._jwt is not None and token.count(b".") == 2:
            return await self._jwt.verify(token, audiences)
        expired = self._table.get(hashlib.sha256(token).digest())
        if expired is not None and expired.expires is not None:
            raise Refusal(
                "unauthenticated",
                f"This key expired on {datetime.fromtimestamp(expired.expires, UTC):%Y-%m-%d %H:%M} UTC. Ask the "
                "operator of the gateway for a new one.",
            )
        raise Refusal(
            "unauthenticated",
            "This key is unknown or was revoked. Use the key that the operator of the gateway gave you; "
            "`meshgate keys add` creates a key.",
        )

    async def aclose(self) -> None:
        """Close connections to the issuer."""
        if self._jwt is not None:
            await self._jwt.aclose()


def credential(headers: Headers) -> bytes:
    """The key or token of a call (RFC 6750; headers that clients of Anthropic, Azure and Gemini send).

    Raises Refusal(unauthenticated).
    """
    found = b""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.strip().partition(b" ")
            token = token.strip()
            if scheme.lower() != b"bearer" and value.strip():
                raise Refusal("unauthenticated", "The Authorization header must be `Bearer <key>`.")
        elif name in _KEYS:
            token = value.strip()
        else:
            continue
        if not found:
            found = token
        elif token and not hmac.compare_digest(found, token):
            raise Refusal(
                "unauthenticated",
                "The call has two different keys in Authorization and x-api-key: send one key.",
            )
    if not found:
        raise Refusal("unauthenticated", "The call has no key: send `Authorization: Bearer <key>` or `x-api-key`.")
    return found


def _digest_of(agent: Agent) -> bytes | None:
    if agent.key_file:
        return hashlib.sha256(read_key_file(Path(agent.key_file)).encode()).digest()
    return bytes.fromhex(agent.key_sha256) or None
