"""When the gateway asks for the ends of answers in the background."""

from __future__ import annotations

import time

import orjson
import pytest

from gateway.config.sections import Stored
from gateway.ingress.dues import Dues
from gateway.redaction.vault import Seal


class Store:
    """A store of dues that are due at once, and that remembers the pauses."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.pauses: list[float] = []

    async def put_due(self, id: str, record: bytes, seconds: float) -> None:
        """Keep a record."""
        self.kept[id] = record
        self.pauses.append(seconds)

    async def take_dues(self, most: int, seconds: float) -> dict[str, bytes]:
        """All of them."""
        return dict(self.kept)

    async def drop_due(self, id: str) -> None:
        """Delete a record."""
        self.kept.pop(id, None)


SETTINGS = Stored(retrieve=30, background=3600)


async def test_the_pauses_grow() -> None:
    """Doubled with each look, up to twenty times the first."""
    store = Store()
    due = Dues(SETTINGS, store, Seal(b"k" * 32))
    await due.add("t", "response", "resp_1", {"workflow": "w"})
    for _ in range(7):
        [one] = await due.take(9, 60)
        assert (one.team, one.kind, one.id, one.record) == ("t", "response", "resp_1", {"workflow": "w"})
        await due.later(one)
    assert store.pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    await due.end("t", "response", "resp_1")
    assert await due.take(9, 60) == []


async def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its reservation, which lapses: its estimate is charged. So is one whose record cannot be read."""
    store = Store()
    due = Dues(SETTINGS, store, Seal(b"k" * 32))
    await due.add("t", "response", "resp_1", {})
    assert await Dues(SETTINGS, store, Seal(b"x" * 32)).take(9, 60) == []
    assert not store.kept
    await due.add("t", "response", "resp_1", {})
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    assert await due.take(9, 60) == []
    assert not store.kept


async def test_what_has_no_end_is_not_kept() -> None:
    """Only kinds of which the provider tells the end; and nothing without a key."""
    store = Store()
    await Dues(SETTINGS, store, Seal(b"k" * 32)).add("t", "file", "file_1", {})
    await Dues(SETTINGS, store, None).add("t", "response", "resp_1", {})
    await Dues(None, store, Seal(b"k" * 32)).add("t", "response", "resp_1", {})
    assert not store.kept


@pytest.mark.parametrize(
    "said", [["t", "response", "r", {}, 0, 0, "more"], ["t"], {}, 7, ["t", "new", "r", {}, 9e9, 0]]
)
async def test_a_record_of_another_release_stops_nothing(said: object) -> None:
    """It is given up, and the others are asked for."""
    store, seal = Store(), Seal(b"k" * 32)
    store.kept["strange"] = seal.enclose("due\0strange", orjson.dumps(said))
    store.kept["short"] = b"x"
    due = Dues(SETTINGS, store, seal)
    await due.add("t", "response", "resp_1", {})
    assert [one.id for one in await due.take(9, 60)] == ["resp_1"]
    assert len(store.kept) == 1
