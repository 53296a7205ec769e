"""What is known of sessions of tool servers, in every store."""

from __future__ import annotations

import asyncio
import os

from gateway.redaction.vault import Seal
from gateway.stores import Store
from gateway.tools.session_records import SessionRecords
from gateway.tools.sessions import Sessions


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_the_end_is_known_to_all_gateways(store: Store) -> None:
    """At once where the client ended the session, a few seconds later elsewhere, and for good."""
    sessions, clock = Sessions(Seal(os.urandom(32))), Clock()
    here, there = SessionRecords(store, sessions, clock), SessionRecords(store, sessions, clock)
    assert not await there.ended("a")
    await here.end("a")
    assert await here.ended("a")
    assert not await here.ended("b")
    clock.now += 6
    assert await there.ended("a")
    await there.end("a")
    assert await SessionRecords(store, sessions, clock).ended("a")


async def test_the_level_of_the_log(store: Store) -> None:
    """The last one that the client said; none of a session that has ended."""
    sessions = Sessions(Seal(os.urandom(32)))
    records = SessionRecords(store, sessions)
    assert await records.level("a") == ""
    for level in ("debug", "error"):
        await records.set_level("a", level)
        assert await records.level("a") == level
        assert await SessionRecords(store, sessions).level("a") == level
    assert not await records.ended("a")
    await records.end("a")
    assert (await records.level("a"), await records.ended("a")) == ("", True)


async def test_few_are_remembered(store: Store) -> None:
    """Memory is bounded; what was forgotten is read again."""
    records = SessionRecords(store, Sessions(Seal(os.urandom(32))), most=3)
    await records.end("first")
    for number in range(10):
        assert not await records.ended(f"s{number}")
    assert await records.ended("first")
    assert records.remembered == 3


async def test_gateways_that_choose_at_the_same_time(store: Store) -> None:
    """No choice is lost, and no session that has ended is open again."""
    sessions = Sessions(Seal(bytes(32)))
    here, there = SessionRecords(store, sessions), SessionRecords(store, sessions)
    uris = [f"notes://{number}" for number in range(10)]
    chosen = [records.watch("a", uri, on=True, most=100) for records, uri in zip([here, there] * 5, uris, strict=True)]
    assert all(await asyncio.gather(*chosen))
    assert sorted(await SessionRecords(store, sessions).watched("a")) == uris
    await asyncio.gather(*(records.watch("a", uris[0], on=False, most=100) for records in (here, there)))
    assert sorted(await SessionRecords(store, sessions).watched("a")) == uris[1:]
    assert not await here.watch("a", "notes://more", on=True, most=9)
    for _ in range(5):
        await asyncio.gather(here.set_level("b", "info"), there.end("b"), here.set_level("b", "debug"))
        assert await SessionRecords(store, sessions).ended("b")
