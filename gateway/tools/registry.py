"""The credentials of all rows of `tools`, by their type."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.config.tools import Tool, ToolAuth
from gateway.tools.connections import Connections
from gateway.tools.credentials import ClientCredentials, Credential, Static, TokenExchange
from gateway.tools.oauth import AuthorizationServer
from gateway.tools.user_tokens import Lease, UserTokens
from gateway.upstream.client import Client


class Credentials:
    """The credentials, which outlive reloads that do not change their rows.

    `connections`: those of the configuration in force; None without a key or a public URL.
    """

    def __init__(self, client: Client, lease: Lease, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._lease = lease
        self._clock = clock
        self._made: dict[str, tuple[ToolAuth | None, str, Credential]] = {}
        self.connections: Connections | None = None

    def of(self, name: str, row: Tool) -> Credential:
        """The credential of a row."""
        known = self._made.get(name)
        if known is not None and known[:2] == (row.auth, row.url):
            return known[2]
        made = self._make(name, row)
        self._made[name] = row.auth, row.url, made
        return made

    def _make(self, name: str, row: Tool) -> Credential:
        auth = row.auth
        if auth is None or auth.type == "static":
            return Static(auth.token if auth is not None else "")
        auth = auth if auth.resource else auth.model_copy(update={"resource": row.url})
        server = AuthorizationServer(name, auth, self._client, self._clock)
        match auth.type:
            case "client_credentials":
                return ClientCredentials(server, auth, self._clock)
            case "token_exchange":
                return TokenExchange(name, server, auth, self._clock)
        return UserTokens(name, server, auth, lambda: self.connections, self._lease, self._clock)
