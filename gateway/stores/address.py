"""Parses the `state` URL of a shared store: servers, credentials and transport. No IO.

    redis://user:password@host:6379/0           one Redis or Valkey server
    rediss://...                                the same over TLS; certificates and host names are verified
    redis+cluster://user:password@a:6379,b:6379 a Cluster, by some of its nodes
    rediss+cluster://...                        a Cluster over TLS

Options in the query: ssl_ca_certs, ssl_certfile, ssl_keyfile (paths), ssl_check_hostname (false: any host name).
Raises `ConfigError`; no message contains the user, the password or the query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.errors import ConfigError

FORMS = (
    "sqlite:///path, redis://user:password@host:port/db, rediss://..., redis+cluster://host:port,host:port or "
    "rediss+cluster://..."
)
_SCHEMES = {  # scheme -> TLS, Cluster
    "redis": (False, False),
    "rediss": (True, False),
    "redis+cluster": (False, True),
    "rediss+cluster": (True, True),
}
_PATHS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_OFF = frozenset({"0", "false", "no", "off"})

Node = tuple[str, int]  # host, port


@dataclass(frozen=True, slots=True)
class Address:
    """A shared store: the `nodes` to start from, and the settings of a connection to any of them."""

    nodes: tuple[Node, ...]
    tls: bool
    cluster: bool
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    db: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in messages: hosts and ports, nothing else of the URL."""
        return ",".join(f"{host}:{port}" for host, port in self.nodes)


def parse(url: str) -> Address | None:
    """The address in a `state` URL; None for SQLite. Raises `ConfigError`, whose message contains no secret."""
    scheme, separator, rest = url.partition("://")
    if scheme == "sqlite" and len(rest) > 1 and rest.startswith("/"):
        return None
    if scheme not in _SCHEMES or not separator:
        raise ConfigError(f"state: must be {FORMS}")
    tls, cluster = _SCHEMES[scheme]
    parts = urlsplit(f"//{rest}")
    credentials, at, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    nodes = tuple(_node(host) for host in hosts.split(","))
    if len(nodes) > 1 and not cluster:
        raise ConfigError("state: a single server has one host; for a Cluster write redis+cluster://a:1,b:2")
    return Address(
        nodes,
        tls,
        cluster,
        unquote(username) or None if at else None,
        unquote(password) or None if at else None,
        _db(parts.path, cluster),
        _options(parts.query, tls),
    )


def _node(text: str) -> Node:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or 6379
    except ValueError:
        host, port = None, 0
    if not host:
        raise ConfigError("state: has no host, or its port is not valid; write redis://host:6379/0")
    return host, port


def _db(path: str, cluster: bool) -> int:
    text = path.strip("/")
    if not text:
        return 0
    if not text.isdecimal() or (cluster and int(text)):
        allowed = "a Cluster has only database 0" if cluster else "the database is a number, as in redis://host:6379/0"
        raise ConfigError(f"state: {allowed}")
    return int(text)


def _options(query: str, tls: bool) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "ssl_check_hostname":
            options[name] = value.lower() not in _OFF
        elif name in _PATHS:
            options[name] = value
        else:
            known = ", ".join([*sorted(_PATHS), "ssl_check_hostname"])
            raise ConfigError(f"state: the URL has an unknown option; allowed: {known}")
    if options and not tls:
        raise ConfigError("state: the URL has options for TLS but is not TLS; write rediss:// or rediss+cluster://")
    return options
