"""Nothing is lost or doubled by faults between gateways and Redis."""

from __future__ import annotations

import pytest

import faults
from faults import Books

pytestmark = pytest.mark.live


def balanced(books: Books) -> None:
    """The charges are as reported; no call stays in flight; no caller waits forever."""
    assert books.calls > 0
    assert (books.charged, books.held, books.lapsed, books.hung) == (books.reported, 0, 0, 0)


@pytest.mark.parametrize("name", faults.NETWORK)
async def test_faults_of_the_network(name: str) -> None:
    """Latency, stall, reset, down and slices of three bytes, through a real proxy."""
    books = await faults.network(name)
    balanced(books)
    if name in ("latency", "3-byte slices"):  # slow is not gone
        assert books.during > 0
        assert books.refused == 0


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_a_killed_server(fsync: str) -> None:
    """SIGKILL under load, and a start from its append-only file."""
    books = await faults.killed(fsync)
    assert books.refused > 0
    balanced(books)


async def test_a_gateway_dies_with_its_redis() -> None:
    """Calls in flight in the lost server are charged at their estimates and marked, and nothing else differs."""
    books = await faults.both_killed()
    assert (books.lost, books.lapsed) == (1, 50)
    assert (books.charged, books.held, books.hung) == (books.reported + books.lapsed, 0, 0)


async def test_gateways_that_go_on_alone() -> None:
    """With `on_error: local` no call is refused, and every call is charged when Redis is back."""
    books = await faults.alone()
    assert books.during > 0
    assert books.refused == 0
    balanced(books)


async def test_a_cluster_that_loses_a_node() -> None:
    """The other slots continue; calls in flight in the lost slots are settled when their master is back."""
    books = await faults.node_lost()
    assert books.refused > 0
    assert books.during > 0
    balanced(books)


async def test_a_cluster_that_fails_over() -> None:
    """With state.replicas_ack, a replica takes over with all confirmed writes."""
    books = await faults.failover()
    assert books.refused > 0
    balanced(books)
