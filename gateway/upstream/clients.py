"""The clients by name: those for HTTP are opened when a provider first needs them, and all outlive reloads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from gateway.upstream.client import Client
from gateway.upstream.direct import DirectClient
from gateway.upstream.realtime import Realtime


def _aiohttp() -> Client:
    from gateway.upstream.library import LibraryClient  # imported on use: aiohttp takes 12 MB

    return LibraryClient()


_KINDS: Mapping[str, Callable[[], Client]] = {
    "direct": DirectClient,
    "aiohttp": _aiohttp,
    "public": partial(DirectClient, public=True),  # for URLs that callers gave
}


class Clients(Mapping[str, Client]):
    """The open clients."""

    def __init__(self) -> None:
        self.realtime = Realtime()
        self._open: dict[str, Client] = {"realtime": self.realtime}

    def open(self, names: Iterable[str]) -> None:
        """Open those that are not open yet. In the event loop."""
        for name in names:
            if name not in self._open:
                self._open[name] = _KINDS[name]()

    async def close(self) -> None:
        """Close all connections."""
        for client in self._open.values():
            await client.close()

    def __getitem__(self, name: str) -> Client:
        return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)
