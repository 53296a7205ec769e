"""Containers and searches of Responses are charged once, whole, streamed, in the background, and when retrieved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import responding
import upstream as scripted
from background import (
    INTERPRETER,
    LARGE,
    NEVER,
    PREVIEW,
    RUNS,
    SEARCH,
    SMALL,
    SOON,
    TOKENS,
    amounts,
    code,
    finish,
    made,
    outcomes,
    post,
)
from line import Line, running
from waiting import eventually


@pytest.fixture(scope="module")
def line(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A gateway that does not ask for ends by itself."""
    folder = tmp_path_factory.mktemp("containers")
    config = made(folder, up, **NEVER)
    for name in ("script", "keep"):
        config["models"][name] = {"targets": [f"up/{name}"], "price": {"input": 1, "output": 2, "runs": RUNS}}
    price = {"input": 1, "output": 2, "runs": {**RUNS, "web_search_preview": 25}}
    config["models"]["old"] = {"targets": ["up/script"], "price": price}
    with running(folder, config) as started:
        yield started


SEARCHED = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}
BIG = {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}


def ask(
    line: Line, up: scripted.Upstream, cid: str, items: list[Any], tools: list[Any], model: str = "script", **more: Any
) -> None:
    """One answer with these items, to a request with these tools."""
    word = f"{cid} {len(up.script)}"
    answer = responding.whole({"model": "script", "input": word})
    answer |= {"output": [*items, *answer["output"]], "tools": tools}
    created = {"type": "response.created", "sequence_number": 0, "response": {**answer, "status": "in_progress"}}
    done = {"type": "response.completed", "sequence_number": 1, "response": answer}
    events = [f"event: {it['type']}\ndata: {json.dumps(it)}\n\n".encode() for it in (created, done)]
    up.script[word] = events if more.get("stream") else answer
    sent = post(line, "/v1/responses", cid, {"model": model, "input": word, "tools": tools, **more})
    assert sent.status_code == 200, sent.text
    assert "event: error" not in sent.text, sent.text


def costs(line: Line, cid: str) -> list[int]:
    """The charges of a workflow, the smallest first."""
    return sorted(one["cost_nano_usd"] for one in outcomes(line, cid))


@pytest.mark.parametrize("stream", [True, False])
def test_a_container_is_charged_once(line: Line, up: scripted.Upstream, *, stream: bool) -> None:
    """However often its code runs, in one answer or in several; another container is another session."""
    cid, one, other = f"once-{stream}", f"cntr_one_{stream}", f"cntr_other_{stream}"
    ask(line, up, cid, [code(one), code(one)], [INTERPRETER], stream=stream)
    ask(line, up, cid, [code(one)], [INTERPRETER], stream=stream, store=False)
    ask(line, up, cid, [code(one), code(other)], [INTERPRETER], stream=stream)
    ask(line, up, cid, [], [INTERPRETER], stream=stream)
    assert costs(line, cid) == [TOKENS, TOKENS, TOKENS + SMALL, TOKENS + SMALL]
    runs = sum(one.get("runs", {}).get("container", 0) for one in outcomes(line, cid))
    assert runs == 2


def test_the_memory_of_a_container(line: Line, up: scripted.Upstream) -> None:
    """A size has its own price, or that of the least."""
    ask(line, up, "sizes", [code("cntr_4g")], [BIG])
    ask(line, up, "sizes", [code("cntr_16g")], [{**BIG, "container": {"type": "auto", "memory_limit": "16g"}}])
    assert costs(line, "sizes") == [TOKENS + SMALL, TOKENS + LARGE]


@pytest.mark.parametrize("stream", [True, False])
def test_the_older_search(line: Line, up: scripted.Upstream, *, stream: bool) -> None:
    """With its own price, or else that of a search."""
    tools = [{"type": "web_search_preview_2025_03_11"}]
    cid = f"search-{stream}"
    ask(line, up, cid, [SEARCHED, {**SEARCHED, "id": "ws_2"}], tools, model="old", stream=stream)
    ask(line, up, cid, [SEARCHED], tools, stream=stream)
    ask(line, up, cid, [SEARCHED], [{"type": "web_search"}], model="old", stream=stream)
    assert costs(line, cid) == [TOKENS + SEARCH, TOKENS + SEARCH, TOKENS + 2 * PREVIEW]


def background(line: Line, cid: str, container: str) -> str:
    """The id of a response that was begun in the background, in which code runs."""
    asked = {"model": "keep", "input": "hi", "background": True, "tools": [INTERPRETER]}
    id = str(post(line, "/v1/responses", cid, asked).json()["id"])
    answer = responding.ANSWERS[id]
    answer |= {"output": [code(container), *answer["output"]], "tools": [INTERPRETER]}
    return id


def test_an_answer_in_the_background(line: Line, up: scripted.Upstream) -> None:
    """Whoever retrieves its end first is charged; later retrievals are free, and open no session."""
    id = background(line, "later", "cntr_later")
    finish(id)
    for _ in range(3):
        assert line.client.get(f"/v1/responses/{id}").status_code == 200
    ask(line, up, "later", [code("cntr_later")], [INTERPRETER])
    assert costs(line, "later") == [TOKENS, TOKENS + SMALL]


def test_a_stored_answer_opens_no_session(line: Line, up: scripted.Upstream) -> None:
    """An answer that was charged when it was made is retrieved for nothing."""
    asked = {"model": "keep", "input": "hi", "tools": [INTERPRETER]}
    id = post(line, "/v1/responses", "stored", asked).json()["id"]
    responding.ANSWERS[id] |= {"output": [code("cntr_stored"), *responding.ANSWERS[id]["output"]]}
    assert line.client.get(f"/v1/responses/{id}").status_code == 200
    ask(line, up, "stored", [code("cntr_stored")], [INTERPRETER])
    assert costs(line, "stored") == [TOKENS, TOKENS + SMALL]


def test_an_answer_that_nobody_retrieves(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The gateway charges its container as a caller would be."""
    folder = tmp_path_factory.mktemp("alone")
    config = made(folder, up, **SOON)
    for name in ("script", "keep"):
        config["models"][name] = {"targets": [f"up/{name}"], "price": {"input": 1, "output": 2, "runs": RUNS}}
    with running(folder, config) as line:
        ask(line, up, "alone", [code("cntr_alone")], [INTERPRETER])
        for container in ("cntr_alone", "cntr_new"):
            finish(background(line, "alone", container))
        eventually(lambda: amounts(line, "alone") == (54, 0))
        assert costs(line, "alone") == [TOKENS, TOKENS + SMALL, TOKENS + SMALL]
