"""Lists of files and batches through the whole gateway, with the official clients: a team sees its own entries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

import passed
import upstream as scripted
from keeping import VAULT
from line import Line, config, running
from waiting import eventually


def settings(folder: Path, up: scripted.Upstream) -> dict[str, Any]:
    """Two providers with files, one of them with two keys."""
    quotas = {"tokens": 10**6, "calls": 1000}
    made = config(folder, up.url, pii={"vault_key": VAULT}, output={"unscannable": "allow"}, quotas=quotas)
    made["providers"]["claude"] = {"format": "anthropic", "base_url": up.url, "api_key": "sk-ant-upstream"}
    made["models"]["claude"] = {"targets": ["claude/claude-x"], "price": {}}
    made["models"]["/v1/files"] = {"targets": ["up/any", "claude/any"]}
    made["models"]["/v1/batches"] = {"targets": ["up/any"]}
    made["models"]["/v1/messages/batches"] = {"targets": ["claude/any"]}
    return made


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway."""
    folder = tmp_path_factory.mktemp("lists")
    with running(folder, settings(folder, up)) as started:
        yield started


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    """A provider that stores nothing yet."""
    for kept in (passed.FILES, passed.BATCHES, passed.NAMES, passed.PAGES, passed.TOKENS):
        kept.clear()
    yield
    passed.TOKENS.clear()


def openai_of(line: Line, agent: str = "alice") -> openai.OpenAI:
    """OpenAI's client of an agent."""
    return openai.OpenAI(api_key=f"mg-{agent}", base_url=f"{line.url}/v1", max_retries=0)


def claude_of(line: Line, agent: str = "alice") -> anthropic.Anthropic:
    """Anthropic's client of an agent."""
    return anthropic.Anthropic(api_key=f"mg-{agent}", base_url=line.url, max_retries=0)


def put(client: openai.OpenAI, name: str = "a.txt") -> str:
    """A new file."""
    return client.files.create(file=(name, b"hi"), purpose="user_data").id


def foreign(count: int) -> list[str]:
    """Files that nobody uploaded through the gateway."""
    ids = [f"file-foreign{len(passed.FILES)}x{at}" for at in range(count)]
    passed.FILES.update(dict.fromkeys(ids, b"secret"))
    return ids


def test_a_team_sees_its_own_files(line: Line) -> None:
    """In the order of the provider, over all pages, with the SDK's own paging; another team sees its own."""
    with openai_of(line) as alice, openai_of(line, "mallory") as mallory:
        mine, theirs = [], []
        for _ in range(5):
            mine.append(put(alice))
            theirs.append(put(mallory))
            foreign(3)
        for limit in (1, 2, 5, 10_000):
            assert [one.id for one in alice.files.list(limit=limit)] == mine[::-1]
        assert [one.id for one in mallory.files.list()] == theirs[::-1]
        page = alice.files.list(limit=2)
        assert (page.has_more, [one.id for one in page.data]) == (True, mine[:-3:-1])
        raw = httpx.get(f"{line.url}/v1/files", headers={"authorization": "Bearer mg-mallory"}).json()
        assert raw == {**raw, "has_more": False, "first_id": theirs[-1], "last_id": theirs[0]}
        assert "total" not in raw


def test_a_deleted_file_is_gone(line: Line) -> None:
    """And is unknown as a cursor, as are another team's and those of nobody."""
    with openai_of(line) as alice, openai_of(line, "mallory") as mallory:
        kept, gone, other = put(alice), put(alice), put(mallory)
        alice.files.delete(gone)
        assert [one.id for one in alice.files.list()] == [kept]
        for after in (gone, other, "file-nobody", "page_AAAA"):
            with pytest.raises(openai.NotFoundError, match="after"):
                alice.files.list(after=after)


def test_empty_pages_are_passed_over(line: Line) -> None:
    """A file behind 3,000 of others is found in one call, which asks the provider for large pages."""
    with openai_of(line) as alice:
        mine = put(alice)
        foreign(3000)
        assert [one.id for one in alice.files.list(limit=2).data] == [mine]
        assert [one["limit"] for one in passed.PAGES] == ["1000"] * 4


def test_the_bound_of_a_call(line: Line) -> None:
    """Behind too many entries of others, the page is empty, and its cursor leads on."""
    with openai_of(line) as alice:
        mine = put(alice)
        foreign(16_500)
        page = alice.files.list()
        said = page.model_dump()
        assert (page.data, page.has_more, len(passed.PAGES)) == ([], True, 16)
        assert "foreign" not in said["last_id"]
        following = alice.files.list(after=said["last_id"])
        assert ([one.id for one in following.data], following.has_more) == ([mine], False)
        with openai_of(line, "mallory") as mallory, pytest.raises(openai.NotFoundError):
            mallory.files.list(after=said["last_id"])


def test_the_query(line: Line) -> None:
    """Fields that choose entries pass; others are refused, and so is a limit out of range."""
    with openai_of(line) as alice:
        put(alice)
        alice.files.list(purpose="batch", order="asc")
        assert passed.PAGES[-1] == {"purpose": "batch", "order": "asc", "limit": "1000"}
        for query in ({"limit": "0"}, {"limit": "x"}, {"evil": "1"}, {"after": ""}, {"after": "a b"}):
            with pytest.raises(openai.BadRequestError):
                alice.files.list(extra_query=query)
        answer = line.client.put("/v1/files", content=b"")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, OPTIONS")


def test_names_are_judged(line: Line) -> None:
    """Personal data in a name that was not masked here does not leave; what was masked stays a placeholder."""
    with openai_of(line) as alice:
        mine = put(alice, "for ann@example.org (1).txt")
        assert passed.NAMES[mine] == "for <EMAIL_1> (1).txt"
        assert alice.files.list().data[0].filename == "for <EMAIL_1> (1).txt"
        assert alice.files.retrieve(mine).filename == "for ann@example.org (1).txt"
        passed.NAMES[mine] = "bob@example.org (1).txt"
        assert alice.files.list().data[0].filename == "<EMAIL> (1).txt"


def test_anthropic_files(line: Line) -> None:
    """Pages by tokens: these are sealed, and the SDK passes over empty pages."""
    passed.TOKENS.append("on")
    with claude_of(line) as alice, claude_of(line, "mallory") as mallory:
        file = ("a.txt", b"hi", "text/plain")
        mine = [alice.beta.files.upload(file=file).id for _ in range(2)]
        foreign(50)
        mine.append(alice.beta.files.upload(file=file).id)
        assert [one.id for one in alice.beta.files.list(limit=2)] == mine[::-1]
        assert list(mallory.beta.files.list(limit=2)) == []
        page = alice.beta.files.list(limit=2)
        assert page.next_page is not None
        with pytest.raises(anthropic.NotFoundError):
            mallory.beta.files.list(page=page.next_page)
        with pytest.raises(anthropic.NotFoundError):
            alice.beta.files.list(page="page_2")
        with openai_of(line) as other:
            assert list(other.files.list()) == []  # of the other provider, although the ids are the same


def test_message_batches(line: Line, up: scripted.Upstream) -> None:
    """Forwards and backwards, with the SDK."""
    with claude_of(line) as alice, claude_of(line, "mallory") as mallory:
        asked: Any = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        mine = []
        for _ in range(5):
            mine.append(alice.messages.batches.create(requests=[{"custom_id": "a", "params": asked}]).id)
            mallory.messages.batches.create(requests=[{"custom_id": "a", "params": asked}])
        assert [one.id for one in alice.messages.batches.list(limit=2)] == mine[::-1]
        back = alice.messages.batches.list(limit=2, before_id=mine[0])
        assert [one.id for one in back.data] == [mine[2], mine[1]]
        assert sorted(one.id for page in back.iter_pages() for one in page.data) == sorted(mine[1:])
        assert up.last.headers["x-api-key"] == "sk-ant-upstream"


def test_batches(line: Line) -> None:
    """Of OpenAI."""
    with openai_of(line) as alice, openai_of(line, "mallory") as mallory:
        mine = []
        for client in (alice, mallory, alice, mallory):
            body = (
                b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"echo","messages":[]}}'
            )
            file = client.files.create(file=("a.jsonl", body), purpose="batch")
            one = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
            mine += [one.id] if client is alice else []
        assert [one.id for one in alice.batches.list(limit=1)] == mine[::-1]


def test_several_keys_are_listed_one_after_the_other(
    up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each page is one of one key; together they have every entry once."""
    folder = tmp_path_factory.mktemp("keys")
    made = settings(folder, up)
    made["providers"]["up"] = {**made["providers"]["up"], "api_keys": ["sk-second-key-of-the-provider"]}
    with running(folder, made) as line, openai_of(line) as alice:
        mine = [put(alice) for _ in range(8)]
        seen = [one.id for one in alice.files.list(limit=3)]
        assert sorted(seen) == sorted(mine)


def test_without_owners_there_is_no_list(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    """And the provider is not asked."""
    folder = tmp_path_factory.mktemp("none")
    with running(folder, {**settings(folder, up), "stored": None}) as line, openai_of(line) as alice:
        with pytest.raises(openai.NotFoundError, match="owners"):
            alice.files.list()
        assert passed.PAGES == []


PAGES: dict[str, tuple[int, bytes]] = {
    "no list": (200, b'{"object": "list"}'),
    "no ids": (200, b'{"data": [{"name": "secret"}], "has_more": true}'),
    "no objects": (200, b'{"data": ["secret"], "has_more": false}'),
    "no JSON": (200, b"secret"),
    "an error": (500, b'{"error": {"message": "secret"}}'),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_none(line: Line, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Is an error of the provider, of which nothing leaves."""
    status, body = PAGES[name]
    monkeypatch.setattr(passed, "_page", lambda *_: (status, "application/json", body))
    answer = line.client.get("/v1/files")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert "secret" not in answer.text


def test_a_provider_that_reads_no_cursor(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says the same page for ever: that is the end of the list."""
    page = b'{"data": [{"id": "file-of-nobody"}], "has_more": true}'
    monkeypatch.setattr(passed, "_page", lambda *_: (200, "application/json", page))
    assert line.client.get("/v1/files").json() == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_an_entry_that_is_said_twice(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object with two ids has the one that was checked."""
    with openai_of(line) as alice:
        mine = put(alice)
    page = f'{{"data": [{{"id": "file-x", "id": "{mine}"}}, {{"id": "{mine}", "id": "file-x"}}], "has_more": false}}'
    monkeypatch.setattr(passed, "_page", lambda *_: (200, "application/json", page.encode()))
    answer = line.client.get("/v1/files")
    assert [one["id"] for one in answer.json()["data"]] == [mine]
    assert "file-x" not in answer.text


def test_a_list_costs_a_request(line: Line) -> None:
    """However many pages the provider is asked for, and no tokens."""
    foreign(2500)
    answer = line.client.get("/v1/files", headers={"x-correlation-id": "list-of-files"})
    assert (answer.status_code, len(passed.PAGES)) == (200, 3)
    eventually(lambda: not line.workflow("list-of-files").held.get("tokens"))
    used = line.workflow("list-of-files").used
    assert (used["calls"], used.get("tokens", 0)) == (1, 0)
