"""How a Redis is reached: TLS, ACL users, versions old and new, and clocks that are wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import redis

from certificates import issue
from gateway.amounts import Rejection, Reservation
from gateway.errors import ConfigError
from gateway.stores import Store, StoreUnavailable, open_store
from gateway.stores.batch import TIMEOUT
from gateway.stores.redis import SCRIPT, RedisStore
from servers import acl_rule, free_port, redis_server
from store_harness import ask, bucket, quota, standing, take


@dataclass
class Place:
    """The section `state` of a configuration."""

    url: str
    ca_file: str = ""
    replicas_ack: int = 0
    on_error: Literal["closed", "local"] = "closed"
    replicas: int = 1


@contextlib.contextmanager
def over_tls(folder: Path, host: str = "127.0.0.1") -> Iterator[tuple[str, Path]]:
    """A redis-server with TLS and one user; its URL and its certificate authority."""
    ca, certificate, key = issue(folder, host)
    users = folder / "users.acl"
    users.write_text(f"user default off\n{acl_rule()}\n")
    port = free_port()
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(ca))
    tls = ("--tls-port", str(port), *files, "--tls-auth-clients", "no", "--aclfile", str(users))
    with redis_server(None, *tls):
        yield f"rediss://meshgate:password@127.0.0.1:{port}/0", ca


async def use(store: Store) -> None:
    """One call, from beginning to end."""
    await store.open()
    try:
        reservation = await take(store, bucket(5, 1), quota(1000, 400))
        assert await store.settle(reservation, {"tokens": 30}, "settled")
        assert await standing(store) == (30, 0, 0)
    finally:
        await store.close()


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    """Named in the section or in the URL, and as a user with the least rights."""
    with over_tls(tmp_path) as (url, ca):
        await use(open_store(Place(url, ca_file=str(ca))))
        store = open_store(f"{url}?ssl_ca_certs={ca}")
        await store.open()
        assert await store.teams() == ["t"]  # what the first one wrote
        await store.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "redis.example"])
async def test_certificates_are_verified(tmp_path: Path, host: str) -> None:
    """An unknown authority, or a certificate for another host, is refused before any data is sent."""
    with over_tls(tmp_path, host) as (url, ca):
        store = open_store(Place(url, ca_file="" if host == "127.0.0.1" else str(ca)))
        with pytest.raises(StoreUnavailable, match="certificate verify failed") as caught:
            await store.open()
        assert "password" not in str(caught.value)
        await store.close()


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Files of TLS are looked at before the first handshake."""
    with pytest.raises(ConfigError, match="there is no file"):
        open_store(Place("rediss://h", ca_file=str(tmp_path / "ca.pem")))
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="holds no certificates"):
        open_store(Place("rediss://h", ca_file=str(tmp_path / "ca.pem")))
    with pytest.raises(ConfigError, match="applies to TLS only"):
        open_store(Place("redis://h", ca_file="ca.pem"))


async def test_a_wrong_password_is_not_repeated(tmp_path: Path) -> None:
    """The message of the server says what is wrong, without the tried credentials."""
    with over_tls(tmp_path) as (url, ca):
        store = open_store(Place(url.replace(":password@", ":not-the-word@"), ca_file=str(ca)))
        with pytest.raises(StoreUnavailable, match="AuthenticationError") as caught:
            await store.open()
        assert "not-the-word" not in str(caught.value)
        await store.close()


@contextlib.asynccontextmanager
async def says(reply: bytes) -> AsyncIterator[str]:
    """A server that answers everything the same."""

    served: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        while sent := await reader.read(4096):
            writer.write(reply * sent.count(b"*"))  # one for each command
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*filter(None, served))


@pytest.mark.parametrize(
    "reply",
    [b"-ERR unknown command 'HELLO'\r\n", b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.0.16\r\n"],
)
async def test_too_old_a_server(reply: bytes) -> None:
    """A server before 6.2 is refused at the start; the message names the server and what to do."""
    async with says(reply) as url:
        store = open_store(url)
        with pytest.raises(ConfigError, match=r"127\.0\.0\.1:\d+ is too old.*Redis 6\.2 or newer, or Valkey"):
            await store.open()
        await store.close()


async def test_a_server_that_says_nothing_holds_nobody_up() -> None:
    """Every command has a deadline: a server that accepts connections but does not answer costs no more time."""
    async with says(b"") as url:
        store = open_store(url)
        loop = asyncio.get_running_loop()
        began = loop.time()
        outcomes = await asyncio.gather(*(store.ping() for _ in range(20)), return_exceptions=True)
        assert all(isinstance(it, StoreUnavailable) for it in outcomes)
        assert loop.time() - began < 4 * TIMEOUT
        await store.close()


async def test_two_versions_of_the_script(redis_url: str) -> None:
    """Gateways of two releases on one Redis count together, and each can settle the other's reservations."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    before, after = RedisStore(redis_url), RedisStore(redis_url, script=SCRIPT + "\n-- a later release\n")
    stores = (before, after)
    outcomes = await asyncio.gather(*(stores[i % 2].reserve(ask(quota(1000, 30), bucket(40, 1))) for i in range(100)))
    admitted = [it for it in outcomes if isinstance(it, Reservation)]
    assert len(admitted) == 33
    assert {it.reason for it in outcomes if isinstance(it, Rejection)} <= {"busy", "rate"}
    for number, reservation in enumerate(admitted):
        assert await stores[number % 2].settle(reservation, {"tokens": 10}, "settled")
    assert await standing(before) == await standing(after) == (330, 0, 0)
    with redis.Redis.from_url(redis_url) as client:
        assert client.script_exists(before._sha, after._sha) == [True, True]
    await before.close()
    await after.close()


async def test_a_wrong_local_clock_changes_nothing(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway whose clock is a day off lapses and refills nothing early, and records the times of the server."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    right, wrong = RedisStore(redis_url), RedisStore(redis_url)
    reservation = await take(right, bucket(10, 10, refill=0.001), quota(1000, 400))
    day = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: day)
    monkeypatch.setattr(time, "time_ns", lambda: int(day * 1e9))
    assert await wrong.sweep() == 0
    refused = await wrong.reserve(ask(bucket(10, 1, refill=0.001)))
    assert isinstance(refused, Rejection)
    assert refused.reason == "rate"
    await take(wrong, quota(1000, 1))
    workflow = await right.workflow("t", "w")
    assert workflow is not None
    assert workflow.last_seen - workflow.first_seen < 3600
    assert await right.settle(reservation, {"tokens": 5}, "settled")
    await right.close()
    await wrong.close()
