"""The tool servers of the process: opened when a call first needs them, kept by reloads that keep their rows.

What a server tells without a request is passed on to the other workers (`tell`), and heard from them (`hear`): that its
lists have changed, what its processes tell, and which resources the streams there watch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.tools.breaker import Breakers, GuardedWire
from gateway.tools.held import Held
from gateway.tools.http import HttpWire
from gateway.tools.notices import MESSAGE
from gateway.tools.operations import OperationsWire
from gateway.tools.process_news import Holder
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
        self._processes: dict[str, Processes] = {}
        self._watched: dict[tuple[str, str], list[str]] = {}  # by worker and server
        self.tell: Callable[[str, Json], None] = lambda _, __: None
        """Sends a message to the other workers: see `SiblingNews.tell`."""

    def of(self, name: str, row: Tool) -> Server:
        """The server of a row."""
        known = self._open.get(name)
        if known is None or known.row != row:
            known = self._open[name] = Server(name, row, self._wire(name, row), self.credentials.of(name, row))
            known.pass_on = partial(self.tell, f"lists {name}", {"server": name, "lists": True})
        return known

    def _wire(self, name: str, row: Tool) -> Wire:
        if row.command:
            made = self._processes[name] = Processes(name, row)
            made.news.pass_on = partial(self._told, name)
            made.watches.changed = partial(self._chosen, name, made)
            for (worker, server), uris in self._watched.items():
                if server == name:
                    made.watches.elsewhere(worker, uris)
            return GuardedWire(made, self.breakers.of(name, own=True))
        breaker = self.breakers.of(name)
        if row.openapi:
            return OperationsWire(name, row, self._client, breaker)
        return GuardedWire(HttpWire(name, row, self._client), breaker)

    def _told(self, name: str, said: Json, holder: Holder) -> None:
        """A process has told something."""
        log = said["method"] == MESSAGE
        key = "" if log else f"{name} {said['method']} {said.get('params', {}).get('uri', '')}"
        self.tell(key, {"server": name, "said": said, "holder": holder})

    def _chosen(self, name: str, processes: Processes) -> None:
        """The streams of this worker watch other resources."""
        self.tell(f"watched {name}", {"server": name, "watched": processes.watches.here})

    def standing(self) -> Iterator[tuple[str, Json]]:
        """See `Reader`."""
        for name, processes in self._processes.items():
            yield f"watched {name}", {"server": name, "watched": processes.watches.here}

    def hear(self, worker: str, said: Json) -> None:
        """See `Reader`. A server that this worker has not opened yet is asked when a call needs it."""
        name = said["server"]
        processes, server = self._processes.get(name), self._open.get(name)
        if "watched" in said:
            self._watched[worker, name] = said["watched"]
            if processes is not None:
                processes.watches.elsewhere(worker, said["watched"])
        elif "lists" in said and server is not None:
            server.renew()
        elif "said" in said and processes is not None:
            processes.news.hear(said["said"], tuple(said["holder"]))

    def gone(self, worker: str) -> None:
        """See `Reader`."""
        for of, name in [one for one in self._watched if one[0] == worker]:
            del self._watched[of, name]
            if (processes := self._processes.get(name)) is not None:
                processes.watches.elsewhere(worker, ())

    async def follow(self, rows: Mapping[str, Tool]) -> None:
        """Close the servers whose row is gone or has changed."""
        for name, server in list(self._open.items()):
            if rows.get(name) != server.row:
                del self._open[name]
                self._processes.pop(name, None)
                await server.close()
        self.breakers.follow(rows)

    async def close(self) -> None:
        """Close all servers."""
        self.held.close()
        for server in self._open.values():
            await server.close()
        self._open.clear()
