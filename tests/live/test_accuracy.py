"""A small accuracy benchmark: real gateways on a real Redis, many calls of one workflow, one gateway killed."""

from __future__ import annotations

import pytest

from benchmarks.crowd import Provider
from benchmarks.exact import QUICK, Killed, exact, quotas
from benchmarks.replicas import LAPSE, redis_server
from needs import need

pytestmark = pytest.mark.live


async def test_a_quota_is_used_up_exactly() -> None:
    """Never over, every unit that the provider reported is charged, and less than a call's worth is left."""
    need("redis-server", "the Debian package redis-server")
    tokens, cost, _ = quotas(QUICK.calls)
    with redis_server() as redis_url:
        async with Provider(seed=2).running() as provider:
            for quota in (tokens, cost):
                row = await exact(provider, redis_url, QUICK, quota)
                assert list(row.faults()) == []
                assert row.tally.final == QUICK.callers
                assert row.tally.faults == 0, row.tally.last_fault


async def test_a_killed_gateway_loses_and_doubles_nothing() -> None:
    """The killed gateway's calls are charged at their estimates and marked, all others as reported; the limit holds."""
    need("redis-server", "the Debian package redis-server")
    tokens, *_ = quotas(QUICK.calls)
    with redis_server() as redis_url:
        async with Provider(seed=3).running() as provider:
            killed = Killed(provider, redis_url, QUICK, tokens)
            try:
                await killed.run()
                row = await killed.end(ahead=LAPSE)
            finally:
                killed.close()
    assert list(row.faults()) == []
    assert row.lapsed > 0
