"""Servers, stores and scanners that tests share. It also puts `tests/` on the path: `from servers import ...`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import regopy  # noqa: F401  (before spaCy, which a reference loads: the other way round its C++ exceptions abort)

import upstream as scripted
from gateway.scan.pii import PiiScanner
from gateway.stores import Store
from scan_samples import REGIONS
from servers import redis_server
from store_harness import Backend, backend


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real redis-server for the whole run; who uses it empties it first."""
    with redis_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """An empty store of each kind, not yet opened: the test runs on each."""
    name: str = request.param
    return backend(name, tmp_path, request.getfixturevalue("redis_url") if name == "redis" else "")


@pytest.fixture
async def store(place: Backend) -> AsyncIterator[Store]:
    """The opened store of each kind."""
    opened = await place.open()
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def pii(tmp_path_factory: pytest.TempPathFactory) -> PiiScanner:
    return PiiScanner(REGIONS, 0.4, tmp_path_factory.mktemp("patterns"))


@pytest.fixture(scope="module")
def up() -> Iterator[scripted.Upstream]:
    """The scripted upstream."""
    with scripted.running() as upstream:
        yield upstream
