"""A real toxiproxy (https://github.com/Shopify/toxiproxy) between a store and its server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from needs import need
from servers import free_port, listens, process


class Proxy:
    """One proxied address, whose network can be broken and restored."""

    def __init__(self, api: httpx.Client, upstream: int) -> None:
        self.port = free_port()
        self._api = api
        where = {"listen": f"127.0.0.1:{self.port}", "upstream": f"127.0.0.1:{upstream}"}
        self._send("/proxies", {"name": "redis", "enabled": True, **where})

    def spoil(self, kind: str, **attributes: int) -> None:
        """Add a toxic of this kind, in both directions; `down` refuses connections and ends those there are."""
        if kind == "down":
            self._send("/proxies/redis", {"enabled": False})
            return
        for stream in ("upstream", "downstream"):
            self._send("/proxies/redis/toxics", {"type": kind, "stream": stream, "attributes": attributes})

    def heal(self) -> None:
        """As if nothing had been."""
        self._send("/reset", {})

    def _send(self, path: str, body: dict[str, Any]) -> None:
        self._api.post(path, json=body).raise_for_status()


@contextlib.contextmanager
def proxied(upstream: int) -> Iterator[Proxy]:
    """A proxy in front of a port."""
    program = need("toxiproxy-server", "github.com/Shopify/toxiproxy/v2/cmd/server with go, as .ci/run does")
    port = free_port()
    command = [program, "-host", "127.0.0.1", "-port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with process(command, lambda: listens(port)), httpx.Client(base_url=url, timeout=10) as api:
        yield Proxy(api, upstream)
