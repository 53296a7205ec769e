"""The credential of type `user`: each caller's own token at a tool server, from the connections.

A token is refreshed by one call at a time, over all gateways that share the store, because a refresh token may be valid
once only. A caller without a connection is told where the user may connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gateway.config.tools import ToolAuth
from gateway.errors import Refusal
from gateway.stores import StoreUnavailable
from gateway.tools.connections import Connection, Connections, Party
from gateway.tools.credentials import Caller, Credential, asked
from gateway.tools.oauth import AuthorizationServer, Denied
from gateway.tools.wire import broken

LEASE: Final = 15.0  # seconds in which one gateway refreshes a token
_LOOK: Final = 0.1  # seconds between two looks at what another gateway does
_REFUSED: Final = 4096  # tokens that servers refused


class Lease(Protocol):
    """Who may refresh: see `stores.Outages`."""

    async def probe(self, name: str, seconds: float) -> bool: ...

    async def reopen(self, name: str) -> None: ...


class Unconnected(Refusal):
    """A caller has no connection. `url`: where the user may connect."""

    def __init__(self, server: str, url: str) -> None:
        words = (
            f"The tool server {server} is called with the user's own account, which is not connected. Ask the user to "
            f"open {url} within ten minutes, and call again."
        )
        super().__init__("approval_required", words, stage="upstream", detail={"url": url, "server": server})
        self.url = url


class UserTokens(Credential):
    """The tokens of the users of one row."""

    personal = True

    def __init__(
        self,
        name: str,
        server: AuthorizationServer,
        auth: ToolAuth,
        connections: Callable[[], Connections | None],
        lease: Lease,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self.server = server
        self._auth = auth
        self._place = "\0".join((auth.issuer, auth.token_url, auth.resource))
        self._connections = connections
        self._lease = lease
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._refused: OrderedDict[str, str] = OrderedDict()  # id -> access token

    async def bearer(self, caller: Caller) -> str:
        """The user's token. Raises Unconnected, Refusal, StoreUnavailable."""
        connections = self._open()
        party = Party(self._name, caller.team, caller.agent)
        if not party.agent:
            raise broken(self._name, "is called with tokens of users, and the gateway itself has none")
        found, _ = await connections.read(party)
        if found is None or found.place != self._place:
            raise Unconnected(self._name, connections.link(party))
        if self._is_good(connections.id(party), found):
            return found.access
        id = connections.id(party)
        lock = self._locks.setdefault(id, asyncio.Lock())
        try:
            async with lock:
                return await self._refreshed(connections, party, id)
        finally:
            if not lock.locked():
                self._locks.pop(id, None)

    def forget(self, caller: Caller, bearer: str) -> bool:
        """Refresh at the next call."""
        connections = self._connections()
        if connections is None:
            return False
        self._refused[connections.id(Party(self._name, caller.team, caller.agent))] = bearer
        if len(self._refused) > _REFUSED:
            self._refused.popitem(last=False)
        return True

    async def authorization_url(self, party: Party, browser: str) -> tuple[str, Mapping[str, str]]:
        """Where a user's browser goes to agree, and the query. Raises Refusal."""
        connections = self._open()
        at = await self.server.endpoint("authorization_endpoint")
        if not at:
            raise broken(self._name, "has an authorization server without a page for users")
        state, challenge = connections.begin(party, browser)
        query = {
            "response_type": "code",
            "client_id": self._auth.client_id,
            "redirect_uri": connections.callback(party.server),
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **asked(self._auth),
        }
        return at, query

    async def connect(self, party: Party, code: str, verifier: str) -> None:
        """Exchange a code for tokens, and keep them. Raises Refusal, StoreUnavailable."""
        connections = self._open()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": connections.callback(party.server),
            "code_verifier": verifier,
            **({"resource": self._auth.resource} if self._auth.resource else {}),
        }
        try:
            made = await self.server.token(form)
        except Denied as denied:
            raise self.server.denied(denied.code) from None
        now = self._clock()
        await connections.replace(Connection(party, made.access, made.refresh, made.until, now, self._place))

    async def revoke(self, found: Connection) -> bool:
        """Revoke the tokens of a connection at the authorization server; whether that has done so."""
        try:
            return await self.server.revoke(found.refresh or found.access)
        except Refusal:
            return False

    def _open(self) -> Connections:
        connections = self._connections()
        if connections is None:
            raise broken(self._name, "is called with tokens of users, which need pii.vault_key and server.public_url")
        return connections

    def _is_good(self, id: str, found: Connection) -> bool:
        return self._clock() < found.until and self._refused.get(id) != found.access

    async def _refreshed(self, connections: Connections, party: Party, id: str) -> str:
        """A token that is valid: refreshed here, or by another gateway meanwhile."""
        name, until = f"grant {id}", time.monotonic() + LEASE
        while True:
            found, record = await connections.read(party)
            if found is None or record is None or found.place != self._place:
                raise Unconnected(self._name, connections.link(party))
            if self._is_good(id, found):
                return found.access
            if await self._lease.probe(name, LEASE):
                break
            if time.monotonic() > until:
                raise broken(self._name, "has a user's token that another gateway is refreshing", late=True)
            await asyncio.sleep(_LOOK)
        try:
            return await self._refresh(connections, found, record, id)
        finally:
            with contextlib.suppress(StoreUnavailable):
                await self._lease.reopen(name)

    async def _refresh(self, connections: Connections, old: Connection, record: bytes, id: str) -> str:
        form = {"grant_type": "refresh_token", "refresh_token": old.refresh}
        if self._auth.resource:
            form["resource"] = self._auth.resource
        if not old.refresh:
            await connections.drop(old.party, record)
            raise Unconnected(self._name, connections.link(old.party))
        try:
            made = await self.server.token(form)
        except Denied as denied:
            if denied.code != "invalid_grant":
                raise self.server.denied(denied.code) from None
            await connections.drop(old.party, record)  # the user or the server has withdrawn it
            raise Unconnected(self._name, connections.link(old.party)) from None
        new = Connection(old.party, made.access, made.refresh or old.refresh, made.until, old.since, old.place)
        if not await connections.keep(new, record):
            await self.revoke(new)  # it was revoked, or replaced by another, while the server answered
            found, _ = await connections.read(old.party)
            if found is None or not self._is_good(id, found):
                raise Unconnected(self._name, connections.link(old.party))
            return found.access
        self._refused.pop(id, None)
        return new.access
