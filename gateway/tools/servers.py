"""The tool servers of the process: opened when a call first needs them, kept by reloads that keep their rows."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.tools import Tool
from gateway.tools.breaker import Breakers, GuardedWire
from gateway.tools.held import Held
from gateway.tools.http import HttpWire
from gateway.tools.operations import OperationsWire
from gateway.tools.processes import Processes
from gateway.tools.registry import Credentials
from gateway.tools.server import Server
from gateway.tools.user_tokens import Lease
from gateway.tools.wire import Wire
from gateway.upstream.client import Client


class Servers:
    """The open servers, by name."""

    def __init__(self, client: Client, lease: Lease, breakers: Breakers) -> None:
        self._client = client
        self.breakers = breakers
        self.credentials = Credentials(client, lease)
        self.held = Held()
        self._open: dict[str, Server] = {}

    def of(self, name: str, row: Tool) -> Server:
        """The server of a row."""
        known = self._open.get(name)
        if known is None or known.row != row:
            known = self._open[name] = Server(name, row, self._wire(name, row), self.credentials.of(name, row))
        return known

    def _wire(self, name: str, row: Tool) -> Wire:
        if row.command:
            return GuardedWire(Processes(name, row), self.breakers.of(name, own=True))
        breaker = self.breakers.of(name)
        if row.openapi:
            return OperationsWire(name, row, self._client, breaker)
        return GuardedWire(HttpWire(name, row, self._client), breaker)

    async def follow(self, rows: Mapping[str, Tool]) -> None:
        """Close the servers whose row is gone or has changed."""
        for name, server in list(self._open.items()):
            if rows.get(name) != server.row:
                del self._open[name]
                await server.close()
        self.breakers.follow(rows)

    async def close(self) -> None:
        """Close all servers."""
        self.held.close()
        for server in self._open.values():
            await server.close()
        self._open.clear()
