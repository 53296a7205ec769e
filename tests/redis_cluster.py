"""Redis servers that tests may kill and restart, alone or as a Cluster. Their data is kept on disk."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from needs import need
from servers import free_port, listens

# The least time that a Cluster takes a silent node for failed; below it, a busy machine looks like one.
NODE_TIMEOUT = 2000  # ms
SLOTS = 16384


class Server:
    """One redis-server with an append-only file in `folder`."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        program = need("redis-server", "the Debian package redis-server")
        kept = ("--appendonly", "yes", "--save", "", "--dir", str(folder), "--bind", "127.0.0.1")
        at_once = ("--repl-diskless-sync-delay", "0")  # a replica need not wait for others that may come
        self._command = [program, "--port", str(self.port), *kept, *at_once, *options]
        self._child: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)

    def start(self) -> None:
        """Start, and return when it has read its file and answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it."""
        quiet = subprocess.DEVNULL
        self._child = subprocess.Popen(self._command, stdout=quiet, stderr=quiet, stdin=quiet)

    def wait(self) -> None:
        """Return when it answers."""
        until(lambda: listens(self.port) and self._answers(), f"redis-server on {self.port}")

    def kill(self) -> None:
        """SIGKILL."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def ask(self, *command: Any) -> Any:
        """One command on a connection of its own."""
        with self.client() as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False


class Cluster:
    """Masters, each with the given number of replicas."""

    def __init__(self, folder: Path, masters: int, replicas: int, *options: str) -> None:
        count = masters * (1 + replicas)
        self.masters = masters
        self.nodes = [_node(folder / f"node-{number}", *options) for number in range(count)]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:masters])

    def start(self) -> None:
        """Start all servers, create the Cluster, and return once each node reports a healthy state."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait()
        share = SLOTS // self.masters
        for number, node in enumerate(self.nodes[: self.masters]):
            last = SLOTS - 1 if number == self.masters - 1 else (number + 1) * share - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        for one, other in itertools.combinations(self.nodes, 2):  # all at once: gossip alone takes its time
            one.ask("CLUSTER", "MEET", "127.0.0.1", other.port, _bus(other.port))
        names = [_text(node.ask("CLUSTER", "MYID")) for node in self.nodes]
        # By name, not by number: who has not shaken hands yet is counted, too.
        until(lambda: all(self._knows(node, names) for node in self.nodes), "the Cluster to meet")
        for number, node in enumerate(self.nodes[self.masters :]):
            node.ask("CLUSTER", "REPLICATE", self.nodes[number % self.masters].ask("CLUSTER", "MYID"))
        until(lambda: all(map(self.well, self.nodes)), "the Cluster to be well")

    def well(self, node: Server) -> bool:
        """Whether the node sees all slots served, and, if it should be a replica, is a replica."""
        link = node.ask("INFO", "replication")
        return self._info(node)["cluster_state"] == "ok" and link.get("master_link_status", "up") == "up"

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def _knows(self, node: Server, names: list[str]) -> bool:
        known = _text(node.ask("CLUSTER", "NODES"))
        return all(name in known for name in names)

    def _info(self, node: Server) -> dict[str, str]:
        found: Any = node.ask("CLUSTER", "INFO")  # text, or parsed, as the client's version pleases
        if isinstance(found, dict):
            return {str(name): str(value) for name, value in found.items()}
        text = found.decode() if isinstance(found, bytes) else str(found)
        return dict(line.split(":", 1) for line in text.split())


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _bus(port: int) -> int:
    return port + 10000


def _node(folder: Path, *options: str) -> Server:
    port = free_port()
    while _bus(port) > 65535 or listens(_bus(port)):
        port = free_port()
    enabled = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT))
    return Server(folder, *enabled, *options, port=port)


def until(ready: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Return when it is so."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)


@contextlib.contextmanager
def server(*options: str) -> Iterator[Server]:
    """One server that can be killed and restarted."""
    with tempfile.TemporaryDirectory() as folder:
        one = Server(Path(folder), *options)
        try:
            one.start()
            yield one
        finally:
            one.kill()


@contextlib.contextmanager
def cluster(masters: int = 3, replicas: int = 0, *options: str) -> Iterator[Cluster]:
    """A Cluster on free ports."""
    with tempfile.TemporaryDirectory() as folder:
        nodes = Cluster(Path(folder), masters, replicas, *options)
        try:
            nodes.start()
            yield nodes
        finally:
            nodes.kill()
