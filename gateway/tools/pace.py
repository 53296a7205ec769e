"""How much a server may send in a stream."""

from __future__ import annotations

import time
from typing import Final

from gateway.tools.wire import broken

_WINDOW: Final = 60.0  # seconds


class Pace:
    """Counts messages. Raises Refusal if a server sends too many."""

    def __init__(self, server: str, most: int) -> None:
        self._server = server
        self._most = most
        self._left = most
        self._until = 0.0

    def count(self) -> None:
        """One message more."""
        now = time.monotonic()
        if now > self._until:
            self._left, self._until = self._most, now + _WINDOW
        self._left -= 1
        if self._left < 0:
            raise broken(self._server, f"told more than {self._most} things in a minute")
