"""Connects to Redis: one server or a Cluster, with TLS and an ACL user, and checks the version of the server.

Errors: `ConfigError` if the operator must change something, otherwise `StoreUnavailable`; neither contains a password.
"""

from __future__ import annotations

import functools
import re
import ssl
from pathlib import Path
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.errors import ConfigError
from gateway.stores import StoreUnavailable
from gateway.stores.address import Address, Node, parse
from gateway.stores.batch import TIMEOUT, Batch
from gateway.stores.nodes import Nodes

OLDEST = (6, 2)  # the oldest version that the test suite passes on: ACL users with rules, HELLO


def reach(url: str, script: str, *, ca_file: str = "", acks: int = 0) -> Batch | Nodes:
    """The client of the servers of a `state` URL, not connected yet. Raises `ConfigError`."""
    address = parse(url)
    if address is None:
        raise ConfigError("state: a file is not a server")
    options = _options(address, ca_file)

    def make(node: Node) -> AbstractConnection:
        kind = SSLConnection if address.tls else Connection
        return kind(host=node[0], port=node[1], **options)

    if address.cluster:
        return Nodes(address.nodes, make, script, acks=acks)
    return Batch(functools.partial(make, address.nodes[0]), script, address.name, acks=acks)


def _options(address: Address, ca_file: str) -> dict[str, Any]:
    """The options of every connection."""
    options: dict[str, Any] = {
        "socket_connect_timeout": TIMEOUT,
        "socket_timeout": None,  # the pipeline as a whole has a time limit; a limit for each write would cost a task
        "protocol": 2,  # plain replies, the same from every server since Redis 2
        "retry": Retry(NoBackoff(), 0),  # `Batch` retries by itself, and only what is safe to repeat
        "username": address.username,
        "password": address.password,
        "db": address.db,
    }
    if not address.tls:
        if ca_file:
            raise ConfigError("state.ca_file: applies to TLS only; write rediss:// or rediss+cluster:// in state.url")
        return options
    options |= address.options
    if ca_file:
        options["ssl_ca_certs"] = ca_file
    _check_files(options)
    return options


def _check_files(options: dict[str, Any]) -> None:
    """Check the files at the start, by name: a failed handshake would not name the file."""
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        path = options.get(name)
        if path and not Path(path).is_file():
            raise ConfigError(f"state: {name}: there is no file {path}")
    try:
        if options.get("ssl_ca_certs"):
            ssl.create_default_context(cafile=options["ssl_ca_certs"])
    except ssl.SSLError:
        raise ConfigError(f"state: {options['ssl_ca_certs']} holds no certificates in PEM") from None


async def check_version(servers: Batch | Nodes) -> None:
    """Raise `ConfigError` for a server that is too old, before its first command fails with an obscure error."""
    await servers.open()
    for server in servers.nodes():
        try:
            flat = await server.call("HELLO")
        except StoreUnavailable as error:
            if "unknown command" in str(error):
                raise ConfigError(f"state: {server.name} is too old: use Redis 6.2 or newer, or Valkey") from None
            if "NoPermissionError" in str(error):  # a user without this right need not know the version
                continue
            raise
        found = {bytes(name): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        version = found.get(b"version", b"").decode()
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
            raise ConfigError(f"state: {server.name} is too old ({version}): use Redis 6.2 or newer, or Valkey")
