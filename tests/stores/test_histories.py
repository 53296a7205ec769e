"""The history of a workflow, on every store: labels, tools, and marks without races."""

from __future__ import annotations

import asyncio

from gateway.amounts import LABELS, NO_HISTORY, TOOLS, UNREAD, Ask, History, Marked, Reservation
from gateway.stores import Store
from store_harness import Backend, ask, quota, take


def asking(*tools: str, cid: str = "w") -> Ask:
    return ask(quota(1000, 1), cid=cid, history=True, tools=tools)


async def reserved(store: Store, *tools: str, cid: str = "w") -> History:
    """The history in the reservation of a call."""
    outcome = await store.reserve(asking(*tools, cid=cid))
    assert isinstance(outcome, Reservation), outcome
    assert outcome.history is not None
    return outcome.history


async def marked(store: Store, *labels: str) -> History:
    """Labels that must be set."""
    known = await reserved(store)
    answer = await store.mark("t", "w", labels, known.version)
    assert answer.done
    return answer.history


async def shown(store: Store) -> History:
    workflow = await store.workflow("t", "w")
    assert workflow is not None
    return workflow.history


async def test_a_new_workflow_remembers_nothing(store: Store) -> None:
    """A new workflow has an empty history; without a request, the reservation has none."""
    assert await reserved(store) == NO_HISTORY
    assert (await take(store, quota(1000, 1))).history is None
    assert await shown(store) == NO_HISTORY


async def test_labels_come_back_with_the_next_call(store: Store) -> None:
    """Sorted by name, each once; a mark that sets nothing changes nothing."""
    known = await reserved(store)
    answer = await store.mark("t", "w", ["untrusted", "read:pii"], known.version)
    assert answer.done
    assert answer.history.labels == ("read:pii", "untrusted")
    again = await store.mark("t", "w", ["read:pii"], answer.history.version)
    assert again == Marked(True, answer.history)
    assert await reserved(store) == answer.history == await shown(store)


async def test_a_mark_of_another_version_does_nothing(store: Store) -> None:
    """The answer has the current history, so that the policy can judge again."""
    first, second = await reserved(store), await reserved(store)
    done = await store.mark("t", "w", ["untrusted"], first.version)
    late = await store.mark("t", "w", ["read:pii"], second.version)
    assert late == Marked(False, done.history)
    assert not (await store.mark("t", "w", [], UNREAD)).done
    assert (await shown(store)).labels == ("untrusted",)


async def test_of_marks_at_once_each_knows_the_others_before(store: Store) -> None:
    """Marks are in one order: every label except the last was known to a later mark, and no label is lost."""

    async def call(number: int) -> tuple[str, ...]:
        known = await reserved(store)
        while True:
            answer = await store.mark("t", "w", [f"label-{number:02}"], known.version)
            if answer.done:
                return known.labels
            known = answer.history

    knew = await asyncio.gather(*(call(number) for number in range(12)))
    assert sorted(len(labels) for labels in knew) == list(range(12))
    assert len((await shown(store)).labels) == 12


async def test_tools_are_remembered_in_the_order_of_their_first_call(store: Store) -> None:
    """Each tool once, also if a later request no longer shows it; a refused call shows none."""
    assert (await reserved(store, "search", "fetch")).tools == ("search", "fetch")
    assert (await reserved(store, "fetch", "search", "send_mail")).tools == ("search", "fetch", "send_mail")
    assert (await reserved(store)).tools == ("search", "fetch", "send_mail")
    await store.reserve(asking("drop")._replace(debits=(quota(1000, 2000),)))
    assert (await shown(store)).tools == ("search", "fetch", "send_mail")


async def test_tools_that_are_news_change_the_version(store: Store) -> None:
    """A call that was judged before another call showed a new tool is judged again; known tools change nothing."""
    first = await reserved(store, "search")
    await reserved(store, "search")
    assert (await store.mark("t", "w", [], first.version)).done
    await reserved(store, "fetch")
    assert not (await store.mark("t", "w", [], first.version)).done


async def test_the_newest_tools_are_kept(store: Store) -> None:
    """Of very many names, so many stay."""
    names = [f"tool-{number}" for number in range(TOOLS + 3)]
    await reserved(store, *names[:TOOLS])
    assert (await reserved(store, *names[TOOLS:])).tools == tuple(names[3:])


async def test_a_look_learns_the_history_and_shows_nothing(store: Store) -> None:
    """A replayed call takes nothing and adds nothing."""
    known = await marked(store, "untrusted")
    outcome = await store.reserve(asking("new")._replace(debits=(), look=True))
    assert isinstance(outcome, Reservation)
    assert outcome.history == known
    unseen = await store.reserve(asking(cid="unseen")._replace(debits=(), look=True))
    assert isinstance(unseen, Reservation)
    assert unseen.history == NO_HISTORY


async def test_what_an_operator_takes_off_stays_off(store: Store) -> None:
    """Policies cannot set it again in that workflow; an operator can, and then they can."""
    before = await marked(store, "untrusted")
    assert await store.relabel("t", "w", "untrusted", off=True)
    assert not (await store.mark("t", "w", [], before.version)).done
    known = await marked(store, "untrusted", "read:pii")
    assert (known.labels, known.cleared) == (("read:pii",), ("untrusted",))
    assert await store.relabel("t", "w", "untrusted")
    known = await reserved(store)
    assert (known.labels, known.cleared) == (("read:pii", "untrusted"), ())


async def test_relabeling_that_does_not_apply(store: Store) -> None:
    """Removing a missing label, setting a present label, an unknown or ended workflow, too many labels."""
    assert not await store.relabel("t", "w", "untrusted")
    await marked(store, *(f"label-{number}" for number in range(LABELS)))
    assert not await store.relabel("t", "w", "one-more")
    assert not await store.relabel("t", "w", "label-1")
    assert not await store.relabel("t", "w", "one-more", off=True)
    assert not await store.relabel("t", "v", "label-1", off=True)
    assert await store.relabel("t", "w", "label-1", off=True)
    assert await store.relabel("t", "w", "one-more")
    await store.close_workflow("t", "w", "done")
    assert not await store.relabel("t", "w", "label-2", off=True)


async def test_labels_that_are_part_of_each_other(store: Store) -> None:
    """Only whole names count."""
    known = await marked(store, "read:pii", "read", "a read", "pii")
    assert known.labels == ("a read", "pii", "read", "read:pii")
    assert await store.relabel("t", "w", "read", off=True)
    assert (await shown(store)).labels == ("a read", "pii", "read:pii")
    assert (await reserved(store, "b", "ab", "a")).tools == ("b", "ab", "a")


async def test_history_outlives_the_process(place: Backend) -> None:
    """Another process has the recorded history."""
    store = await place.open()
    await reserved(store, "search")
    known = await marked(store, "untrusted")
    await store.durable()
    await store.close()
    store = await place.open()
    assert await reserved(store) == known
    assert (known.labels, known.tools) == (("untrusted",), ("search",))
    await store.close()


async def test_history_is_forgotten_with_its_workflow(place: Backend) -> None:
    """After its ttl, the workflow begins anew, without history."""
    store = await place.open()
    reservation = await store.reserve(asking("search")._replace(ttl=100))
    assert isinstance(reservation, Reservation)
    await store.mark("t", "w", ["untrusted"], 1)
    await store.settle(reservation, {}, "settled")
    place.clock.advance(200)
    assert await reserved(store) == NO_HISTORY
    await store.close()


async def test_freezing_and_resuming_change_no_history(store: Store) -> None:
    """The history survives a resume."""
    known = await marked(store, "untrusted")
    await store.freeze("t", "w", "look at it")
    assert await store.resume("t", "w")
    assert await reserved(store) == known
