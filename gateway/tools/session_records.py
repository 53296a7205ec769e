"""What is known of the sessions of clients beside their ids: that a session has ended, the level of its log, and
which resources of a server of the later era its client watches.

The ids of sessions are sealed, and good for as long as their clients use them. A session that its client ended must not
be served again (MCP 2025-11-25, transports: session management), by no gateway. So the end is recorded in the state. A
gateway believes for a few seconds what it read. Fails closed: if the store does not answer, there is no session.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.stores import Owners
from gateway.tools.sessions import Sessions

_KEPT: Final = 30 * 86400  # seconds
_FRESH: Final = 5.0  # seconds for which a record that was read is believed
_MOST: Final = 10_000  # sessions whose records are remembered
_ALL: Final = ""  # the id of a session names its caller
_WATCHED: Final = "\0watched"
_ENDED: Final = b"ended"


class SessionRecords:
    """The records of sessions, by the ids that clients have. `most`: how many are remembered."""

    def __init__(
        self, store: Owners, sessions: Sessions, clock: Callable[[], float] = time.monotonic, most: int = _MOST
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._clock = clock
        self._most = most
        self._known: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    @property
    def remembered(self) -> int:
        """How many records are in memory."""
        return len(self._known)

    async def ended(self, id: str) -> bool:
        """Whether a session has ended. Raises StoreUnavailable."""
        return await self._record(id) == _ENDED

    async def level(self, id: str) -> str:
        """The level from which the client of a session wants the log of its server; "" if it has said none."""
        record = await self._record(id)
        return "" if record == _ENDED else record.decode()

    async def end(self, id: str) -> None:
        """Record that a session has ended. Raises StoreUnavailable."""
        await self._edit(id, lambda _: _ENDED)

    async def set_level(self, id: str, level: str) -> None:
        """Record the level of the log, unless the session has ended. Raises StoreUnavailable."""
        await self._edit(id, lambda known: None if known == _ENDED else level.encode())

    async def watched(self, id: str) -> list[str]:
        """The resources that the client of a session watches. Raises StoreUnavailable."""
        record = await self._record(id + _WATCHED)
        return [str(uri) for uri in self._sessions.recorded(id, record)] if record else []

    async def watch(self, id: str, uri: str, *, on: bool, most: int) -> bool:
        """Record that the client of a session watches a resource, or no more; False if it watches `most` already.

        Raises StoreUnavailable.
        """

        def edited(known: bytes) -> bytes | None:
            before = [str(one) for one in self._sessions.recorded(id, known)] if known else []
            rest = [one for one in before if one != uri]
            if on and len(rest) >= most:
                return None
            return self._sessions.record(id, [*rest, uri] if on else rest)

        return await self._edit(id + _WATCHED, edited)

    async def _record(self, id: str) -> bytes:
        name, now = self._sessions.name(id), self._clock()
        until, record = self._known.get(name, (0.0, b""))
        if until < now:
            record = await self._store.owned(_ALL, name) or b""
            self._remember(name, now + _FRESH, record)
        return record

    async def _edit(self, id: str, edited: Callable[[bytes], bytes | None]) -> bool:
        """Replace a record in one step, whoever else does; False if `edited` returns None. Raises StoreUnavailable.

        `edited`: the record (empty without one) -> that in its place; called again if the record is another by now.
        """
        name = self._sessions.name(id)
        while True:
            known = await self._store.owned(_ALL, name)
            if (record := edited(known or b"")) is None:
                return False
            if await self._store.reown(_ALL, name, record, known, _KEPT):
                self._remember(name, self._clock() + _FRESH, record)
                return True

    def _remember(self, name: str, until: float, record: bytes) -> None:
        self._known[name] = until, record
        self._known.move_to_end(name)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
