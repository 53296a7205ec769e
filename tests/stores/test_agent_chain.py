"""The chain of agents of a workflow, in both stores."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.amounts import PATH, Rejection, Reservation
from gateway.stores import Store
from gateway.stores.record import Record
from store_harness import Backend, ask, bucket, quota


async def call(store: Store, agent: str, cid: str = "w") -> Reservation:
    """A call that takes nothing, but needs the chain of agents."""
    outcome = await store.reserve(ask(cid=cid, agent=agent)._replace(chained=True))
    assert isinstance(outcome, Reservation), outcome
    return outcome


async def test_the_parent_is_who_called_last(store: Store) -> None:
    """At an agent's first call, and for good; each workflow by itself."""
    assert (await call(store, "a")).chain == ("a",)
    assert (await call(store, "b")).chain == ("a", "b")
    assert (await call(store, "c")).chain == ("a", "b", "c")
    assert (await call(store, "a")).chain == ("a",)
    assert (await call(store, "d")).chain == ("a", "d")
    assert (await call(store, "c")).chain == ("a", "b", "c")
    assert (await call(store, "c", "other")).chain == ("c",)
    assert (await call(store, "e")).path == ("a", "b", "c", "a", "d", "c", "e")


async def test_the_path_has_changes_only(store: Store) -> None:
    """Many calls of one agent are one entry; fewer than three entries give no path; the oldest are dropped."""
    for agent in "aaab":
        assert (await call(store, agent)).path == ()
    assert (await call(store, "a")).path == ("a", "b", "a")
    for _ in range(PATH):
        await call(store, "b")
        last = await call(store, "a")
    assert last.path == ("b", "a") * (PATH // 2)


async def test_names_may_be_anything(store: Store) -> None:
    """No name can pass for another, or for two."""
    names = ["a", 'a"', '"a"', "a\nb", "b", "\\", "é\u2028", '\n"a"', "1"]
    for number, name in enumerate(names):
        found = await call(store, name)
        assert found.chain == tuple(names[: number + 1])
    assert (await call(store, "b")).path == (*names, "b")


async def test_what_was_refused_hands_nothing_over(store: Store) -> None:
    """An agent whose call was refused, or in a frozen workflow, is not a parent."""
    await call(store, "a")
    for refused in (bucket(1, 2), quota(1, 1)._replace(amount=2)):
        assert isinstance(await store.reserve(ask(refused, agent="b")), Rejection)
    assert isinstance(await store.reserve(ask(agent="b")), Rejection)
    assert await store.resume("t", "w")
    assert (await call(store, "c")).chain == ("a", "c")


async def test_a_resumed_workflow_has_a_short_path(store: Store) -> None:
    """After a resume, rounds are counted anew, and the chain stays."""
    for agent in "abababab":
        await call(store, agent)
    await store.freeze("t", "w", "enough")
    await store.resume("t", "w")
    assert (await call(store, "a")).path == ()
    again = await call(store, "b")
    assert (again.chain, again.path) == (("a", "b"), ("b", "a", "b"))


async def test_the_chain_outlives_the_process(place: Backend) -> None:
    """Another process, or a later process, has the same chain."""
    store = await place.open()
    for agent in "abab":
        await call(store, agent)
    await store.close()
    store = await place.open()
    found = await call(store, "c")
    assert (found.chain, found.path) == (("a", "b", "c"), tuple("ababc"))
    await store.close()


async def test_a_forgotten_workflow_begins_anew(place: Backend) -> None:
    """After the ttl, agents have no parents."""
    store = await place.open()
    first = await store.reserve(ask(agent="a", ttl=60))
    assert isinstance(first, Reservation)
    bare = await call(store, "a", "short")
    await store.settle(bare, {}, "settled")
    place.clock.advance(2 * 86400)
    assert (await call(store, "b", "short")).chain == ("b",)
    await store.close()


async def test_who_asks_for_nothing_leaves_nothing(store: Store) -> None:
    """A call that needs no chain and takes nothing is not recorded."""
    assert isinstance(await store.reserve(ask(agent="a")), Reservation)
    assert await store.workflow("t", "w") is None


@given(st.lists(st.sampled_from("abcd")))
def test_every_chain_is_a_way_from_the_first_agent(calls: list[str]) -> None:
    """For any order of calls, chains begin with the first agent, repeat no agent and end with the caller."""
    record = Record("t", "w", 0, 0, 0, 0)
    for agent in calls:
        record.follow(agent)
        chain = record.chain(agent)
        assert chain[0] == calls[0]
        assert chain[-1] == agent
        assert len(set(chain)) == len(chain)
