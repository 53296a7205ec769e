"""The configuration in force: that of the file, with the tool servers that were registered by the admin API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.call import Json
from gateway.config.grammar import Config
from gateway.errors import ConfigError
from gateway.redaction.vault import seal_of
from gateway.stores import Pins
from gateway.tools.registered import Rows, merged, record, rows_of


class Registrations:
    """Puts both together whenever one of them changes. `swap`: puts a configuration in force. `say`: writes to the log.

    What does not fit to the file is left out, with a warning: registered servers never keep a file from its effect.
    """

    def __init__(self, config: Config, swap: Callable[[Config], Awaitable[None]], say: Callable[[Json], None]) -> None:
        self._file = config
        self._swap = swap
        self._say = say
        self._changing = asyncio.Lock()
        self._data: bytes | None = None
        self._rows: Rows = {}

    async def start(self, store: Pins) -> None:
        """Put the first configuration in force. Raises ConfigError, StoreUnavailable."""
        self._data = await record(store)
        self._rows = rows_of(self._data, seal_of(self._file))
        await self.apply(self._file)

    async def apply(self, config: Config) -> None:
        """Put another file in force. Raises ConfigError, StoreUnavailable."""
        async with self._changing:
            await self._put(config, self._rows)

    async def look(self, store: Pins) -> None:
        """Follow what was registered since the last look. Raises StoreUnavailable."""
        data = await record(store)
        if data == self._data:
            return
        async with self._changing:
            try:
                await self._put(self._file, rows_of(data, seal_of(self._file)))
            except ConfigError as fault:
                self._say({"level": "error", "event": "tool servers not in force", "reason": str(fault)})
            self._data = data

    async def _put(self, config: Config, rows: Rows) -> None:
        found, left_out = merged(config, rows)
        await self._swap(found)
        self._file, self._rows = config, rows
        for server, why in left_out.items():
            self._say({"level": "warning", "event": "tool server left out", "server": server, "reason": why})
