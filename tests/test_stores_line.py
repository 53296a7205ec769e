"""Vector stores and containers through the whole gateway, with the official client: each belongs to a team."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

import passed
import upstream as scripted
from background import outcomes
from gateway.dialects.openai_stores import CONTAINERS as ONE_CONTAINER
from keeping import CONTAINERS, STORES, stores
from line import Line, running


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway."""
    folder = tmp_path_factory.mktemp("stores")
    with running(folder, stores(folder, up)) as started:
        yield started


@pytest.fixture(autouse=True)
def empty() -> None:
    """A provider that stores nothing yet."""
    for kept in (passed.FILES, passed.STORES, passed.PAGES):
        kept.clear()


def client_of(line: Line, agent: str = "alice") -> openai.OpenAI:
    """The official client of an agent."""
    return openai.OpenAI(api_key=f"mg-{agent}", base_url=f"{line.url}/v1", max_retries=0)


@pytest.fixture
def alice(line: Line) -> Iterator[openai.OpenAI]:
    """Alice's client."""
    with client_of(line) as made:
        yield made


@pytest.fixture
def mallory(line: Line) -> Iterator[openai.OpenAI]:
    """The client of another team."""
    with client_of(line, "mallory") as made:
        yield made


def put(client: openai.OpenAI) -> str:
    """A new file."""
    return client.files.create(file=("a.txt", b"hi"), purpose="assistants").id


def refused(*asked: Callable[[], object]) -> None:
    """Each is unknown to the caller."""
    for one in asked:
        with pytest.raises(openai.NotFoundError):
            one()


def test_a_vector_store(alice: openai.OpenAI, mallory: openai.OpenAI, up: scripted.Upstream) -> None:
    """Made, listed, changed, searched and deleted by its team; unknown to others, who reach no provider."""
    file = put(alice)
    made = alice.vector_stores.create(name="of ann@example.org", file_ids=[file])
    assert passed.STORES[made.id]["name"] == "of <EMAIL_1>"
    assert made.name == "of ann@example.org"
    theirs = mallory.vector_stores.create(name="theirs")
    assert [one.id for one in alice.vector_stores.list()] == [made.id]
    assert [one.id for one in mallory.vector_stores.list()] == [theirs.id]
    assert alice.vector_stores.retrieve(made.id).name == "of <EMAIL_1>"
    assert alice.vector_stores.update(made.id, name="new", metadata={"for": "bob@example.org"}).name == "new"
    assert "example.org" not in json.dumps(passed.STORES[made.id])
    found = alice.vector_stores.search(made.id, query="mail of bob@example.org")
    assert "found <EMAIL_1> mail of <EMAIL" in found.data[0].content[0].text
    assert up.last.body["query"].startswith("mail of <EMAIL")
    before = len(up.seen)
    refused(
        lambda: mallory.vector_stores.retrieve(made.id),
        lambda: mallory.vector_stores.update(made.id, name="x"),
        lambda: mallory.vector_stores.delete(made.id),
        lambda: mallory.vector_stores.search(made.id, query="x"),
        lambda: mallory.vector_stores.files.list(made.id),
        lambda: mallory.vector_stores.files.create(made.id, file_id="file-x"),
        lambda: mallory.vector_stores.files.content(file, vector_store_id=made.id),
        lambda: mallory.vector_stores.file_batches.create(made.id, file_ids=["file-x"]),
        lambda: mallory.vector_stores.list(after=made.id),
        lambda: mallory.vector_stores.list(before=made.id),
        lambda: mallory.responses.create(
            model="keep", input="hi", tools=[{"type": "file_search", "vector_store_ids": [made.id]}]
        ),
    )
    assert len(up.seen) == before
    assert alice.vector_stores.delete(made.id).deleted
    refused(lambda: alice.vector_stores.retrieve(made.id))


def test_files_of_a_store(alice: openai.OpenAI, mallory: openai.OpenAI, up: scripted.Upstream) -> None:
    """One by one and in batches, in pages of the provider; files of others are unknown."""
    files, foreign = [put(alice) for _ in range(3)], put(mallory)
    store = alice.vector_stores.create().id
    added = alice.vector_stores.files.create(store, file_id=files[0], attributes={"to": "ann@example.org"})
    assert (added.id, added.attributes) == (files[0], {"to": "<EMAIL_1>"})
    batch = alice.vector_stores.file_batches.create_and_poll(store, file_ids=files[1:])
    assert batch.status == "completed"
    assert [one.id for one in alice.vector_stores.files.list(store, limit=2, filter="completed")] == files
    assert up.last.path.startswith(f"/v1/vector_stores/{store}/files?")
    assert [one.id for one in alice.vector_stores.file_batches.list_files(batch.id, vector_store_id=store)] == files
    assert alice.vector_stores.file_batches.cancel(batch.id, vector_store_id=store).status == "cancelled"
    assert alice.vector_stores.files.retrieve(files[0], vector_store_id=store).id == files[0]
    text = alice.vector_stores.files.content(files[0], vector_store_id=store).data[0].text
    assert text == "I am <EMAIL_1>"
    alice.vector_stores.files.update(files[0], vector_store_id=store, attributes={"a": "b"})
    assert alice.vector_stores.files.delete(files[0], vector_store_id=store).deleted
    before = len(up.seen)
    batches = alice.vector_stores.file_batches
    refused(
        lambda: alice.vector_stores.files.create(store, file_id=foreign),
        lambda: batches.create(store, file_ids=[files[1], foreign]),
        lambda: batches.create(store, files=[{"file_id": foreign}]),
        lambda: alice.vector_stores.create(file_ids=[foreign]),
        lambda: alice.containers.create(name="x", file_ids=[foreign]),
    )
    assert len(up.seen) == before
    alice.vector_stores.files.upload_and_poll(vector_store_id=store, file=("b.txt", b"hi"))


def test_any_workflow_may_search(alice: openai.OpenAI) -> None:
    """A store is of no workflow: a call about it belongs to the workflow that it names."""
    store = alice.vector_stores.create(name="x", extra_headers={"x-correlation-id": "made-here"}).id
    said = alice.vector_stores.with_raw_response.search(
        store, query="x", extra_headers={"x-correlation-id": "searched-there"}
    )
    assert said.headers["x-correlation-id"] == "searched-there"


def test_containers(line: Line, alice: openai.OpenAI, mallory: openai.OpenAI, up: scripted.Upstream) -> None:
    """Made, listed and deleted by their team; files are sent as forms or by their ids."""
    made = alice.containers.create(name="of ann@example.org")
    assert passed.STORES[made.id]["name"] == "of <EMAIL_1>"
    assert alice.containers.retrieve(made.id).name == "of ann@example.org"
    theirs = mallory.containers.create(name="theirs")
    assert [one.id for one in alice.containers.list(name="x")] == [made.id]
    assert passed.PAGES[-1]["name"] == "x"
    assert [one.id for one in mallory.containers.list()] == [theirs.id]
    sent = alice.containers.files.create(made.id, file=("a.txt", b"I am ann@example.org"))
    assert "I am <EMAIL_1>" in passed.STORES[made.id]["held"][sent.id]["raw"]
    file = put(alice)
    alice.containers.files.create(made.id, file_id=file)
    assert [one.id for one in alice.containers.files.list(made.id)] == [sent.id, file]
    assert alice.containers.files.retrieve(sent.id, container_id=made.id).id == sent.id
    assert alice.containers.files.content.retrieve(sent.id, container_id=made.id).content == b"out of the container"
    alice.containers.files.delete(sent.id, container_id=made.id)
    before = len(up.seen)
    foreign = put(mallory)
    refused(
        lambda: mallory.containers.retrieve(made.id),
        lambda: mallory.containers.delete(made.id),
        lambda: mallory.containers.files.list(made.id),
        lambda: mallory.containers.files.create(made.id, file=("a.txt", b"hi")),
        lambda: mallory.containers.files.content.retrieve(file, container_id=made.id),
        lambda: alice.containers.files.create(made.id, file_id=foreign),
    )
    assert len(up.seen) == before + 1
    alice.containers.delete(made.id)
    refused(lambda: alice.containers.retrieve(made.id))


def test_a_container_is_charged(line: Line, alice: openai.OpenAI) -> None:
    """As one session, by its memory."""
    for at, (memory, cost) in enumerate([("1g", 30_000_000), ("4g", 120_000_000)]):
        cid = f"container-{at}"
        size: Any = memory
        alice.containers.create(name="x", memory_limit=size, extra_headers={"x-correlation-id": cid})
        assert [one["cost_nano_usd"] for one in outcomes(line, cid)] == [cost]


def test_pages_of_several_keys(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Forwards, in the other order, and back: always the same entries, in the same or the reverse order."""
    folder = tmp_path_factory.mktemp("keys")
    made = stores(folder, up)
    made["providers"]["up"] = {**made["providers"]["up"], "api_keys": [f"sk-key-{at}-of-the-provider" for at in "abc"]}
    with running(folder, made) as line, client_of(line) as alice:
        mine = [alice.vector_stores.create().id for _ in range(9)]
        for limit in (1, 2, 20):
            forth = [one.id for one in alice.vector_stores.list(limit=limit)]
            assert sorted(forth) == sorted(mine)
            assert [one.id for one in alice.vector_stores.list(limit=limit, order="asc")] == forth[::-1]
            back, first = list[str](), forth[-1]
            while page := alice.vector_stores.list(limit=limit, before=first).data:
                back, first = [one.id for one in page] + back, page[0].id
            assert back == forth[:-1]
        assert {one["limit"] for one in passed.PAGES} == {"100"}


def test_the_next_page_of_a_page_that_was_before(alice: openai.OpenAI) -> None:
    """The SDK asks for what is after it, and still before the same entry: nothing."""
    mine = [alice.vector_stores.create().id for _ in range(5)][::-1]
    assert [one.id for one in alice.vector_stores.list(limit=2, before=mine[4])] == mine[2:4]
    between = alice.vector_stores.list(limit=9, extra_query={"after": mine[0], "before": mine[3]})
    assert ([one.id for one in between.data], between.has_more) == (mine[1:3], False)


def test_a_list_does_not_say_whether_an_id_is_of_another_team(alice: openai.OpenAI) -> None:
    """A list that ends before an entry of another team would say so, and what it lies between."""
    older = [alice.vector_stores.create().id for _ in range(2)]
    passed.STORES["vs_foreign"] = {**passed.STORES[older[0]], "id": "vs_foreign"}
    try:
        newer = [alice.vector_stores.create().id for _ in range(2)]
        mine = [*older, *newer][::-1]
        pages = [
            alice.vector_stores.list(limit=3, extra_query={"after": mine[0], "before": id})
            for id in ("vs_foreign", "vs_unknown")
        ]
        assert [[one.id for one in page.data][:3] for page in pages] == [mine[1:], mine[1:]]
        assert pages[0].has_more == pages[1].has_more
    finally:
        del passed.STORES["vs_foreign"]


def test_the_end_of_a_long_list_is_sought(
    up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back into a key with many entries of others: a call that ends before the last page says where to go on."""
    monkeypatch.setattr("gateway.exchange.listed._PAGES", 3)
    folder = tmp_path_factory.mktemp("long")
    made = stores(folder, up)
    made["providers"]["up"] = {**made["providers"]["up"], "api_keys": ["sk-key-b-of-the-provider"]}
    with running(folder, made) as line, client_of(line) as alice:
        mine = [alice.vector_stores.create().id for _ in range(4)]
        for at in range(950):
            passed.STORES[f"vs_foreign{at}"] = {**passed.STORES[mine[0]], "id": f"vs_foreign{at}"}
        forth, page = list[str](), alice.vector_stores.list()
        for _ in range(20):
            forth += [one.id for one in page.data]
            said = page.model_dump()
            if not said["has_more"]:
                break
            page = alice.vector_stores.list(after=said["last_id"])
        assert sorted(forth) == sorted(mine)
        back, first = list[str](), forth[-1]
        for _ in range(40):
            page = alice.vector_stores.list(before=first)
            back = [one.id for one in page.data] + back
            said = page.model_dump()
            if not said["has_more"]:
                break
            first = said["first_id"]
            assert "foreign" not in first
        assert back == forth[:-1]


def test_what_code_may_reach() -> None:
    """Hosts of a container's network are those of a tool that the provider runs, for the policy to judge."""
    network = {"type": "allowlist", "allowed_domains": ["evil.example"]}
    of = {"type": "code_interpreter", "name": "code_interpreter"}
    assert ONE_CONTAINER.hosted({"name": "x", "network_policy": network}) == [{**of, "host": "evil.example"}]
    assert ONE_CONTAINER.hosted({"name": "x"}) == [{**of, "host": ""}]


def test_queries(line: Line) -> None:
    """Other parameters, methods and paths are refused."""
    for path in (f"{STORES}?name=x", f"{CONTAINERS}?before=x", f"{STORES}/vs_x?limit=1"):
        assert line.client.get(path).status_code == 400, path
    assert line.client.post(f"{CONTAINERS}/cntr_x", json={}).headers["allow"] == "GET, DELETE, OPTIONS"
    assert line.client.get(f"{STORES}/vs_x/files/%2e%2e").status_code == 404
    assert line.client.post(CONTAINERS, json={}).json()["error"]["param"] == "name"
