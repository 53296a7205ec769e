"""The change of a connection from HTTP to WebSocket (RFC 6455), by uvicorn's protocol over the library `websockets`.

Imported when `server.websockets` is on: the library is the extra `websockets`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class Socket(WebSocketsSansIOProtocol):
    """A connection after the change. `left`: called when it ends."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], left: Callable[[], None]) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state)
        self._left = left

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's, and the place of the connection is free again."""
        super().connection_lost(exc)
        self._left()
