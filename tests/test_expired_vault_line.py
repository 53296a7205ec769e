"""Values that the vault no longer keeps: no answer has another's value or a raw one, and calls end clearly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import responding
import tool_server
import upstream as scripted
from background import amounts, finish
from gateway.record.usage import unended
from gateway.redaction.texts import Generations
from keeping import settings
from line import KEYS, Line, running
from mcp_tasking import mailed_as_task
from tool_client import failed, text
from tool_server import MAIL, Scripted, tool
from waiting import eventually

OTHER = "eve@example.org"
DAYS = 2 * 86400  # more than `quotas.ttl`, less than the owners of states are kept


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    """A server with a tool that is called as a task."""
    with tool_server.scripted() as made:
        made.tools = [tool("get_it"), tool("task_it", execution={"taskSupport": "optional"})]
        yield made


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def line(
    request: pytest.FixtureRequest,
    up: scripted.Upstream,
    server: Scripted,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Line]:
    """A gateway on each kind of store, whose answers are not asked for by itself."""
    folder = tmp_path_factory.mktemp("expired")
    url = f"sqlite:///{folder}/state.db" if request.param == "sqlite" else request.getfixturevalue("redis_url")
    mails = {"default": "mask", "entities": {"EMAIL_ADDRESS": "allow"}}
    tools = {"plain": {"mcp": server.url}, "mailer": {"mcp": server.url, "redact": mails, "restore": True}}
    made = settings(folder, up, state=url, tools=tools, audit={"path": str(folder / "audit.db")})
    with running(folder, made) as started:
        yield started


@pytest.fixture
def pass_days(line: Line, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Two days go by, as the store counts, and what the process remembers of the vault goes with them.

    `flying`: the calls that have not ended.
    """
    store, replacer = line.gateway.shared.store, line.gateway.runtime.line.redact._replacer
    assert replacer is not None

    def later(flying: int = 0) -> None:
        def ended() -> bool:
            asyncio.run_coroutine_threadsafe(line.gateway.runtime.audit.durable(), line.loop).result()
            return unended(line.path.parent / "audit.db") == flying

        eventually(ended)
        monkeypatch.setattr(store, "_clock", lambda: time.time() + DAYS)
        monkeypatch.setattr(replacer, "_numbers", Generations())

    return later


def ask(line: Line, said: Any, cid: str, after: str | None = None, **fields: Any) -> Any:
    """One call of a model that keeps its answers."""
    headers = {"authorization": f"Bearer {KEYS['alice']}", "x-correlation-id": cid}
    body = {"model": "keep", "input": said, **({"previous_response_id": after} if after else {}), **fields}
    return line.client.post("/v1/responses", json=body, headers=headers)


def test_between_turns(line: Line, up: scripted.Upstream, pass_days: Callable[..., None]) -> None:
    """A whole history is masked anew; what follows a stored turn is refused before it leaves."""
    first = ask(line, f"I am {MAIL}", "turns").json()["id"]
    pass_days()
    assert OTHER in ask(line, f"I am {OTHER}", "turns").text
    seen = len(up.seen)
    refused = ask(line, "who?", "turns", first)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "previous_response_id")
    assert "quotas.ttl" in refused.text
    assert len(up.seen) == seen
    history = [{"role": "user", "content": f"I am {MAIL}"}, {"role": "user", "content": f"and {OTHER}"}]
    answer = ask(line, history, "turns")
    assert OTHER in answer.text
    assert not any(one in str(up.seen[-1].body) for one in (MAIL, OTHER))


def test_a_stored_answer_is_retrieved_and_deleted(
    line: Line, up: scripted.Upstream, pass_days: Callable[..., None]
) -> None:
    """With its placeholders, which are nobody else's; the items of its request alike."""
    first = ask(line, f"I am {MAIL}", "stored").json()["id"]
    assert MAIL in line.client.get(f"/v1/responses/{first}").text
    pass_days()
    assert OTHER in ask(line, f"I am {OTHER}", "stored").text
    for path in ("", "/input_items"):
        found = line.client.get(f"/v1/responses/{first}{path}")
        assert found.status_code == 200, found.text
        assert "<EMAIL_1>" in found.text
        assert not any(one in found.text for one in (MAIL, OTHER))
    assert line.client.delete(f"/v1/responses/{first}").status_code == 200
    assert first not in responding.ANSWERS


def test_an_answer_in_the_background(line: Line, pass_days: Callable[..., None]) -> None:
    """Its workflow has a call in flight, so the vault lives on."""
    first = ask(line, f"I am {MAIL}", "behind", background=True).json()["id"]
    finish(first)
    pass_days()
    assert MAIL in line.client.get(f"/v1/responses/{first}").text
    eventually(lambda: amounts(line, "behind")[0] >= 18)


def test_between_a_request_and_its_answer(line: Line, up: scripted.Upstream, pass_days: Callable[..., None]) -> None:
    """A call has its own values."""
    up.release.clear()

    def slow() -> Iterator[bytes]:
        body = {"model": "mid-hang", "stream": True, "messages": [{"role": "user", "content": f"I am {MAIL}"}]}
        headers = {"authorization": f"Bearer {KEYS['alice']}", "x-correlation-id": "between"}
        with line.client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            yield from answer.iter_bytes()

    pieces = slow()
    said = next(pieces)
    pass_days(flying=1)
    up.release.set()
    said += b"".join(pieces)
    assert b"[DONE]" in said
    assert b"<EMAIL_1>" not in said


def test_values_that_only_a_tool_has(line: Line, server: Scripted, pass_days: Callable[..., None]) -> None:
    """The gateway cannot take them out of the result of a task any more: it is withheld."""
    client, session, id = mailed_as_task(server, line)
    asked = {"taskId": id}
    answer = client.send("tasks/result", asked, mcp_session_id=session, x_correlation_id="tasked").json()
    assert text(answer) == "sent to <EMAIL_1>"
    pass_days()
    answer = client.send("tasks/result", asked, mcp_session_id=session, x_correlation_id="tasked").json()
    assert failed(answer) == (-32000, "output_blocked")
    assert MAIL not in str(answer)
    server.answers.clear()
