"""gateway.stores.address: valid `state` URLs, and the messages for others."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.stores.address import parse


def test_a_cluster_with_everything() -> None:
    """Hosts, ports, user and password (decoded), and options for TLS."""
    found = parse("rediss+cluster://user:p%40ss%2F@a.example:7000,[::1]:7001,b.example?ssl_ca_certs=/ca.pem")
    assert found is not None
    assert found.nodes == (("a.example", 7000), ("::1", 7001), ("b.example", 6379))
    assert (found.username, found.password, found.tls, found.cluster) == ("user", "p@ss/", True, True)
    assert found.options == {"ssl_ca_certs": "/ca.pem"}
    assert "p@ss" not in repr(found) + found.name


def test_one_server() -> None:
    """A password without a user, and a database."""
    found = parse("redis://:secret@127.0.0.1/3")
    assert found is not None
    assert (found.nodes, found.username, found.password, found.db) == ((("127.0.0.1", 6379),), None, "secret", 3)


def test_a_file_is_no_address() -> None:
    """A SQLite URL has no address."""
    assert parse("sqlite:///var/x.db") is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mongodb://h", "state: must be sqlite:///path, redis://"),
        ("redis:h", "state: must be"),
        ("sqlite://x.db", "state: must be"),
        ("redis://:secret@", "has no host"),
        ("redis://:secret@h:port", "has no host"),
        ("redis://:secret@a,b", "a single server has one host"),
        ("redis://:secret@h/prod", "the database is a number"),
        ("redis+cluster://:secret@h/1", "a Cluster has only database 0"),
        (
            "rediss://:secret@h?ssl_cert_reqs=secret",
            "unknown option; allowed: ssl_ca_certs, ssl_certfile",
        ),
        ("redis://:secret@h?ssl_ca_certs=/secret", "write rediss://"),
    ],
)
def test_mistakes_are_named_without_the_secret(url: str, words: str) -> None:
    """Each message says what is allowed, and repeats no part of the URL that may be a password."""
    with pytest.raises(ConfigError) as caught:
        parse(url)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
