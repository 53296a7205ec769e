"""State written by older releases, also while this release runs; `first.lua` is the first release's script."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from gateway.amounts import History, Rejection, Reservation
from gateway.errors import ConfigError
from gateway.stores.redis import RedisStore
from gateway.stores.schema import MIGRATIONS
from gateway.stores.sqlite import SqliteStore
from store_harness import ask, hops, quota, refused, repeats, standing, take

FIRST = (Path(__file__).parent / "first.lua").read_text()
KEYS = ("mg1:{t}:w:w", "mg1:{t}:open", "mg1:{t}:seen")
TOKENS = "tokens:tokens"


class Older:
    """The requests of a replica of the first release."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def __call__(self, operation: str, keys: tuple[str, ...], *args: Any) -> Any:
        return self.client.eval(FIRST, len(keys), *keys, operation, "", *args)

    def reserve(self, id: str, amount: int, limit: int) -> bytes:
        debits = [(0, TOKENS, amount, limit, 0.0, "quotas.tokens")]
        whole = orjson.dumps(("w", "a", False, 86_400_000, 60_000, debits))
        reply: bytes = self("reserve", KEYS, whole, self.member(id, amount))
        return reply

    def settle(self, id: str, amount: int, used: int, member: bytes = b"") -> int:
        whole = orjson.dumps(("w", "settled", 86_400_000, [(0, TOKENS, amount, used, 0, 0.0)]))
        ended: int = self("settle", KEYS, whole, member or self.member(id, amount))
        return ended

    def member(self, id: str, amount: int) -> bytes:
        return orjson.dumps((id, "w", "a", 86400, [("tokens", "tokens", amount)]))


@pytest.fixture
def older(redis_url: str) -> Iterator[Older]:
    """A replica of the first release on an empty Redis."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield Older(client)


async def test_each_ends_what_the_other_began(older: Older, redis_url: str) -> None:
    """Quotas are exact across both releases, for any combination of reserving, settling and lapsing."""
    store = RedisStore(redis_url)
    older.reserve("theirs", 300, 1000)
    mine = await take(store, quota(1000, 400), hops(5, 2), repeats(3, "search"))
    assert older.reserve("late", 301, 1000).startswith(b"busy 0 0 700")
    assert await standing(store) == (0, 700, 0)
    theirs = ask(quota(1000, 300))._replace(id="theirs")
    assert await store.settle(Reservation(theirs, ()), {"tokens": 100}, "settled")
    members: Any = older.client.zrange(KEYS[1], 0, -1)
    assert older.settle(mine.ask.id, 400, 50, members[0]) == 1
    assert not await store.settle(mine, {"tokens": 50}, "settled")
    assert await standing(store) == (150, 0, 0)
    await store.close()


async def test_what_has_ended_here_is_frozen_there(older: Older, redis_url: str) -> None:
    """A workflow that was closed, which the first release does not know, refuses its calls too."""
    store = RedisStore(redis_url)
    await take(store, quota(1000, 400))
    await store.close_workflow("t", "w", "done")
    assert older.reserve("late", 1, 1000).startswith(b"frozen")
    assert await refused(store, quota(1000, 1)) == Rejection("closed")
    older("change", (KEYS[0], KEYS[2]), "w", "open", "", 1000)  # its resume knows no better
    await take(store, quota(1000, 1))
    await store.freeze("t", "w", "stop")
    workflow = await store.workflow("t", "w")
    assert workflow is not None
    assert workflow.state in ("frozen", "closed")
    assert isinstance(await store.reserve(ask(quota(1000, 1))), Rejection)
    await store.close()


async def test_topups_outlive_the_other_release(older: Older, redis_url: str) -> None:
    """The first release uses the limit without top-ups, and does not change the top-ups."""
    store = RedisStore(redis_url)
    await take(store, quota(1000, 900))
    await store.resume("t", "w", {"tokens": 500})
    assert older.reserve("theirs", 200, 1000).startswith(b"busy")
    assert older.reserve("theirs", 100, 1000).startswith(b"ok")
    assert (await take(store, quota(1000, 500))).balances[0].remaining == 0
    await store.close()


def first_release(path: Path) -> sqlite3.Connection:
    """A state file of the first release."""
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute("INSERT INTO meta VALUES ('schema', 1)")
    return old


async def test_a_file_of_the_first_release_is_brought_up(tmp_path: Path) -> None:
    """Counts, orders and open reservations of the older schema remain; the new columns have defaults."""
    path = tmp_path / "state.db"
    with first_release(path) as old:
        far = 4_000_000_000_000_000
        counts = orjson.dumps({"tokens": ["tokens", 300, 0]})
        row = ("t", "w", "open", "", 1, 1, 1, far, orjson.dumps(["a"]), counts)
        old.execute("INSERT INTO workflows VALUES (?,?,?,?,?,?,?,?,?,?)", row)
        held = orjson.dumps([["tokens", "tokens", 50]])
        old.execute("INSERT INTO reservations VALUES ('r','t','w','a',86400,?,?)", (far, held))
        for reason in ("looks wrong", None):
            old.execute("INSERT INTO orders (team, correlation_id, reason) VALUES ('t','v',?)", (reason,))
        old.execute("INSERT INTO orders (team, correlation_id, reason) VALUES ('t','u','stop')")
    old.close()
    store = SqliteStore(f"sqlite:///{path}")
    await store.open()
    assert await standing(store) == (350, 0, 50)
    assert (await refused(store, quota(1000, 1), cid="u")).reason == "frozen"
    await take(store, quota(1000, 1), cid="v")
    assert await store.resume("t", "w", {"tokens": 1000})
    assert (await take(store, quota(1000, 1650))).balances[0].added == 1000
    await store.close()


async def test_the_command_line_leaves_a_running_gateways_tables_alone(tmp_path: Path) -> None:
    """A newer command with a running older gateway says what to do; once the gateway has stopped, it works."""
    path = tmp_path / "state.db"
    first_release(path).close()
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    cli = SqliteStore(f"sqlite:///{path}", role="cli")
    with pytest.raises(ConfigError, match="restart the gateway"):
        await cli.open()
    os.close(lock)
    await cli.open()
    await cli.close()


async def test_orders_of_every_kind(tmp_path: Path) -> None:
    """Orders of an older command are applied as intended, and are visible to commands immediately."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    gateway, cli = SqliteStore(url), SqliteStore(url, role="cli")
    await gateway.open()
    await cli.open()
    assert await cli.open_workflow("t", "new", 1000)
    assert not await cli.open_workflow("t", "new", 1000)
    await take(gateway, quota(100, 100))
    await gateway.durable()
    assert await cli.resume("t", "w", {"tokens": 50})
    assert await cli.close_workflow("t", "new", "done")
    assert not await cli.resume("t", "new")
    seen = await cli.workflow("t", "w")
    assert seen is not None
    assert seen.topups == {"tokens": 50}
    await gateway.refresh()
    assert (await take(gateway, quota(100, 50))).balances[0].remaining == 0
    assert (await refused(gateway, cid="new")).reason == "closed"
    await cli.close()
    await gateway.close()


async def test_labels_outlive_the_other_release(older: Older, redis_url: str) -> None:
    """The first release does not know labels and does not change them, for any reserve, settle and freeze."""
    store = RedisStore(redis_url)
    older.reserve("theirs", 100, 1000)
    outcome = await store.reserve(ask(quota(1000, 1), history=True, tools=("search",)))
    assert isinstance(outcome, Reservation)
    assert outcome.history is not None
    marked = await store.mark("t", "w", ["untrusted"], outcome.history.version)
    older.reserve("more", 100, 1000)
    assert older.settle("theirs", 100, 50) == 1
    members: Any = older.client.zrange(KEYS[1], 0, -1)
    ours = next(it for it in members if outcome.ask.id in it.decode())
    assert older.settle(outcome.ask.id, 1, 1, ours) == 1
    workflow = await store.workflow("t", "w")
    assert workflow is not None
    assert workflow.history == marked.history == History(("untrusted",), ("search",), (), 2)
    await store.close()
