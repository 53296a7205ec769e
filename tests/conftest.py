"""Shared fixtures: servers, stores and scanners. Also puts `tests/` on the path: `from servers import ...`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

import quick
import upstream as scripted
from budgets import NIGHTLY
from gateway.call import Call
from gateway.detect.personal.scanner import PiiScanner
from gateway.ids import uuid7
from gateway.stores import Store
from redis_cluster import cluster
from scan_samples import REGIONS
from servers import acl_rule, redis_server
from store_harness import Backend, backend

# Hyperscan compiles for seconds: every gateway and scanner of a run, and of the next one, shares the compiled patterns.
_SHARED = Path(__file__).parent.parent / ".pytest_cache" / "patterns"
PATTERNS = Path(os.environ.setdefault("MESHGATE_CACHE_DIR", str(_SHARED)))

# How long an example takes is for the machine to say, which others may be using.
# Where CI is set, the examples are the same in each run, as in Hypothesis' own profile for that.
_CI = bool(os.environ.get("CI")) and not NIGHTLY
hypothesis.settings.register_profile("shared", deadline=None, derandomize=_CI)
hypothesis.settings.register_profile("quick", deadline=None, derandomize=_CI, max_examples=20)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("nightly" if NIGHTLY else "shared")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only tests that start no server and take little time")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        hypothesis.settings.load_profile("quick")
        sys.addaudithook(quick.forbid)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The quick set does not even import the files whose tests need servers."""
    is_test = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    return True if config.getoption("--quick") and is_test and quick.needs_a_server(collection_path) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        kept = [item for item in items if _is_quick(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


def _is_quick(item: pytest.Item) -> bool:
    variant = getattr(item, "callspec", None)
    return not (
        quick.MARKS & {mark.name for mark in item.iter_markers()}
        or quick.FIXTURES & set(getattr(item, "fixturenames", ()))
        or (
            variant is not None
            and quick.VARIANTS & {value for value in variant.params.values() if isinstance(value, str)}
        )
    )


@pytest.fixture(autouse=True)
def freed(request: pytest.FixtureRequest) -> Iterator[None]:
    """In tests of the whole line: no call waits for the garbage collector, which collects old objects hardly ever."""
    name = request.module.__name__
    if "_line" not in name and not name.startswith(("test_mcp", "test_a2a")):
        yield
        return
    since = uuid7()  # a start of a gateway collects all garbage, also that of earlier tests
    gc.freeze()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        calls = [one.route for one in gc.garbage if type(one) is Call and since < one.id < "1"]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.unfreeze()
    assert not calls, "these calls are in cycles, or held by one"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real redis-server for the whole run; each user empties the server first."""
    with redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same of Valkey, as the user with the least rights that docs/redis.md names: the rule is tested by all."""
    users = tmp_path_factory.mktemp("users") / "users.acl"
    users.write_text(f"user default on nopass ~* &* +@all\n{acl_rule()}\n")
    with redis_server(None, "--aclfile", str(users), program="valkey-server") as url:
        yield url.replace("//", "//meshgate:password@")


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """A Cluster of three masters for the whole run; each user empties the Cluster first."""
    with cluster() as nodes:
        yield nodes.url


@pytest.fixture(params=["sqlite", "redis", "valkey", "cluster"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """An empty store of each kind, not yet opened: the test runs on each."""
    name: str = request.param
    return backend(name, tmp_path, "" if name == "sqlite" else request.getfixturevalue(f"{name}_url"))


@pytest.fixture
async def store(place: Backend) -> AsyncIterator[Store]:
    """The opened store of each kind."""
    opened = await place.open()
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def pii() -> PiiScanner:
    return PiiScanner(REGIONS, 0.4, PATTERNS)


@pytest.fixture(scope="module")
def up() -> Iterator[scripted.Upstream]:
    """The scripted upstream."""
    with scripted.running() as upstream:
        yield upstream
