"""URLs that callers gave lead to public addresses alone."""

from __future__ import annotations

import asyncio

import pytest
from multidict import CIMultiDict
from yarl import URL

from gateway.upstream.client import Destination, Timeouts
from gateway.upstream.direct import DirectClient
from gateway.upstream.public import NotPublic, is_public

INSIDE = """
127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 192.0.2.1
198.18.0.1 ::1 :: fe80::1%eth0 fc00::1 ff02::1 2001:db8::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1::
2001:0:4136:e378:8000:63bf:3fff:fdd2 x 1.2.3
"""


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public(address: str) -> None:
    """Those of the internet."""
    assert is_public(address)


@pytest.mark.parametrize("address", INSIDE.split())
def test_not_public(address: str) -> None:
    """Those of this machine, of private networks, of groups, and those that contain another one."""
    assert not is_public(address)


async def test_the_client_checks_where_it_connects() -> None:
    """Nothing is sent to a host with another address, whatever its name."""
    heard = asyncio.Event()
    server = await asyncio.start_server(lambda reader, writer: heard.set(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = DirectClient(public=True)
    for host in ("127.0.0.1", "localhost", "2130706433"):
        to = Destination(URL(f"http://{host}:{port}/"), CIMultiDict(), Timeouts(5, 5, 5))
        with pytest.raises(NotPublic):
            await client.post(to, b"{}")
    assert not heard.is_set()
    await client.close()
    server.close()
    await server.wait_closed()
