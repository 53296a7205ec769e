"""Stage `durable`: the reservation and the decision are on disk before the call leaves."""

from __future__ import annotations

from gateway.record.audit import Audit
from gateway.stores import Connection


class Durable:
    """The stage, built for one configuration. `store`: None where the decision log is in the store's own file."""

    def __init__(self, audit: Audit, store: Connection | None) -> None:
        self._audit = audit
        self._store = store

    async def wait(self) -> None:
        """Return when everything recorded so far is on disk. Raises StoreUnavailable."""
        await self._audit.durable()
        if self._store is not None:
            await self._store.durable()
