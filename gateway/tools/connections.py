"""Connections: the tokens with which the gateway acts for a user at a tool server, and how a user gives them.

Tokens are sealed with the key of the vault (`pii.vault_key`), and kept in the state store by a digest of server, team
and agent. What travels through a user's browser (the ticket in the link, and `state`) is sealed, too, and bound to
those three; `state` is also bound to the browser that saw the page of consent.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Final

import orjson
from cryptography.exceptions import InvalidTag

from gateway.ids import base64url, from_base64url
from gateway.redaction.vault import Seal
from gateway.stores import Grants

TICKET_LIFE: Final = 600.0  # seconds in which a link must be opened
CONNECT: Final = "/connect"
CALLBACK: Final = f"{CONNECT}/callback"
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class Party:
    """For whom: a caller at a server."""

    server: str
    team: str
    agent: str


@dataclass(frozen=True, slots=True)
class Connection:
    """The tokens of one user at one server. `since`, `until`: Unix seconds; `until`: of the access token.

    `place`: the authorization server that gave them out, and the address of the tool server for which.
    """

    party: Party
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    until: float
    since: float
    place: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """A code flow that waits for the user: the PKCE verifier, and the digest of what the browser's cookie holds."""

    party: Party
    verifier: str = field(repr=False)
    browser: str = field(repr=False)


class Connections:
    """All connections, over the store. `url`: that of the gateway, as users see it."""

    def __init__(self, store: Grants, seal: Seal, url: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._seal = seal
        self._url = url
        self._clock = clock

    def callback(self, server: str) -> str:
        """The redirect URI of a server: one for each, so that no answer is taken for that of another (RFC 9700)."""
        return f"{self._url}{CALLBACK}/{server}"

    @property
    def is_secure(self) -> bool:
        """Whether users come over TLS."""
        return self._url.startswith("https:")

    def id(self, party: Party) -> str:
        """The id of a connection: a keyed digest."""
        return self._seal.digest("connection", "\0".join((party.server, party.team, party.agent))).hex()

    async def read(self, party: Party) -> tuple[Connection | None, bytes | None]:
        """The connection of a party, and its record, to replace it. Raises StoreUnavailable."""
        record = await self._store.grant(self.id(party))
        found = self._opened(self.id(party), record) if record is not None else None
        return (found if found is not None and found.party == party else None), record

    async def keep(self, made: Connection, before: bytes | None) -> bool:
        """Replace a record. False if it is another by now. Raises StoreUnavailable."""
        party, id = made.party, self.id(made.party)
        said = [party.server, party.team, party.agent, made.access, made.refresh, made.until, made.since, made.place]
        return await self._store.put_grant(id, self._seal.enclose(_context(id), orjson.dumps(said)), before)

    async def replace(self, made: Connection) -> None:
        """Keep a connection, whatever was there. Raises StoreUnavailable."""
        for _ in range(10):
            if await self.keep(made, await self._store.grant(self.id(made.party))):
                return

    async def drop(self, party: Party, record: bytes) -> bool:
        """Delete a record. False if it is another by now. Raises StoreUnavailable."""
        return await self._store.put_grant(self.id(party), None, record)

    async def all(self) -> list[tuple[Connection, bytes]]:
        """All connections that the key opens, with their records. Raises StoreUnavailable."""
        opened = [(self._opened(id, record), record) for id, record in (await self._store.grants()).items()]
        found = [(one, record) for one, record in opened if one is not None]
        return sorted(found, key=lambda pair: (pair[0].party.server, pair[0].party.team, pair[0].party.agent))

    def _opened(self, id: str, record: bytes) -> Connection | None:
        try:
            server, team, agent, *rest = orjson.loads(self._seal.disclose(_context(id), record))
            return Connection(Party(server, team, agent), *rest)
        except (InvalidTag, ValueError, TypeError):
            return None

    def link(self, party: Party) -> str:
        """The URL at which a user may connect a party, for ten minutes."""
        return f"{self._url}{CONNECT}?ticket={self._sealed('ticket', party, {})}"

    def ticket(self, text: str) -> Party | None:
        """The party of a ticket; None for one that is forged or too old."""
        opened = self._unsealed("ticket", text)
        return opened[0] if opened is not None else None

    def begin(self, party: Party, browser: str) -> tuple[str, str]:
        """`state` and the PKCE challenge of a new code flow. `browser`: what the browser's cookie holds."""
        verifier = token_urlsafe(48)
        challenge = base64url(hashlib.sha256(verifier.encode()).digest())
        return self._sealed("state", party, {"verifier": verifier, "browser": _digest(browser)}), challenge

    def resume(self, state: str, browser: str) -> Pending | None:
        """The code flow of a `state`; None if it is forged, too old, or was begun in another browser."""
        opened = self._unsealed("state", state)
        if opened is None:
            return None
        party, more = opened
        pending = Pending(party, more["verifier"], more["browser"])
        return pending if browser and hmac.compare_digest(pending.browser, _digest(browser)) else None

    def proof(self, text: str, browser: str) -> str:
        """What the form of the page of consent repeats: no other page can write it."""
        return self._seal.digest("consent", f"{browser}\0{text}").hex()

    def _sealed(self, kind: str, party: Party, more: Mapping[str, str]) -> str:
        said = [party.server, party.team, party.agent, self._clock() + TICKET_LIFE, more]
        sealed = self._seal.enclose(f"connection {kind}", orjson.dumps(said))
        return base64url(sealed)

    def _unsealed(self, kind: str, text: str) -> tuple[Party, Mapping[str, str]] | None:
        if len(text) > _LONGEST:
            return None
        try:
            sealed = from_base64url(text)
            server, team, agent, ends, more = orjson.loads(self._seal.disclose(f"connection {kind}", sealed))
        except (InvalidTag, ValueError):
            return None
        return (Party(server, team, agent), more) if self._clock() < ends else None


def _context(id: str) -> str:
    return f"connection\0{id}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
