"""SIGKILL of a gateway around a charge: of an answer in the background, of a container, of a tool; real processes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, cast

import httpx
import pytest
import yaml

import responding
import upstream as scripted
from background import INTERPRETER, RUNS, SMALL, SOON, TOKENS, amounts, code, finish, made, outcomes
from gateway.call import Call, Json
from gateway.ingress.owners import Owners
from keeping import CONTAINERS, STORES, stores
from line import KEYS, running
from servers import free_port, listens, process
from waiting import eventually

pytestmark = pytest.mark.live

_SERVE = """
import os, signal, sys
from gateway.cli import main
from gateway.ingress.owners import Owners
from gateway.record.audit import Audit
from gateway.settle.settle import Settle
from gateway.stores.redis import RedisStore
from gateway.stores.sqlite import SqliteStore

end, told, at = Settle.end, Audit.ended, sys.argv[2]
logs = []

async def ending(self, call, status):
    if at == "settling":
        await self._claims._store.durable()
        os.kill(os.getpid(), signal.SIGKILL)
    if call.outcome.claimed and at in ("at once", "claimed"):
        if at == "claimed":
            await self._claims._store.durable()
        os.kill(os.getpid(), signal.SIGKILL)
    await end(self, call, status)

def telling(self, record):
    logs.append(self)
    told(self, record)

async def nothing(self, most, seconds):
    return {}

async def charged(self, call):
    await self._store.durable()
    if at == "recorded":
        await logs[-1].durable()
    os.kill(os.getpid(), signal.SIGKILL)

Settle.end, Audit.ended, SqliteStore.take_dues, RedisStore.take_dues = ending, telling, nothing, nothing
if at in ("settled", "recorded"):
    Owners.charged = charged
sys.exit(main(["serve", "--config", sys.argv[1]]))
"""
"""A gateway that dies at one event: right after the claim, which may not be on disk ("at once"); once the claim is on
disk ("claimed"); once the charge is on disk, but not yet the note that it was made ("settled"), also with its record in
the decision log ("recorded"); before it settles a call ("settling"). It does not look for the end itself, so
that the caller is first."""


def headers(agent: str, cid: str = "") -> dict[str, str]:
    """Those of a call."""
    return {"authorization": f"Bearer {KEYS[agent]}", **({"x-correlation-id": cid} if cid else {})}


class Kind(NamedTuple):
    """A kind of answer in the background: how it begins, where its end is, and what it costs in tokens and nano-USD."""

    path: str
    body: Json
    end: str
    tokens: int
    cost: int


TURN = {"model": "claude", "max_tokens": 99, "messages": [{"role": "user", "content": "I am ann@example.org"}]}
MESSAGES = [{"custom_id": one, "params": TURN} for one in "ab"]
SAID = {"model": "keep", "input": "I am ann@example.org", "background": True}
KINDS = {
    "response": Kind("/v1/responses", SAID, "", 18, TOKENS),
    "container": Kind("/v1/responses", {**SAID, "tools": [INTERPRETER]}, "", 18, TOKENS + SMALL),
    "interaction": Kind("/v1beta/interactions", {**SAID, "model": "act"}, "", 18, TOKENS),
    "batch": Kind("/v1/messages/batches", {"requests": MESSAGES}, "/results", 36, 36_000),
}
AT = ["at once", "claimed", "settled", "recorded"]
EACH = [
    *(("response", "sqlite", at) for at in AT),
    ("response", "redis", "claimed"),
    ("response", "redis", "recorded"),
    ("container", "sqlite", "claimed"),
    ("interaction", "sqlite", "recorded"),
    ("batch", "sqlite", "recorded"),
    ("batch", "redis", "claimed"),
]


@pytest.mark.parametrize(("kind", "store", "at"), EACH)
def test_a_claim_whose_gateway_was_killed(
    request: pytest.FixtureRequest,
    up: scripted.Upstream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    store: str,
    at: str,
) -> None:
    """It is charged and recorded once, by a later look of a gateway; another team gets nothing, before and after."""
    state = "" if store == "sqlite" else request.getfixturevalue("redis_url")
    port, path, settings = free_port(), tmp_path / "gateway.yaml", made(tmp_path, up, state, **SOON)
    settings["models"]["keep"] = {"targets": ["up/keep"], "price": {"input": 1, "output": 2, "runs": RUNS}}
    path.write_text(yaml.safe_dump({**settings, "server": {"port": port}}))
    it, cid = KINDS[kind], f"killed-{kind}-{at.replace(' ', '-')}"
    with (
        process([sys.executable, "-c", _SERVE, str(path), at], lambda: listens(port), seconds=120) as gateway,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        begun = client.post(it.path, json=it.body, headers=headers("alice", cid))
        assert begun.status_code == 200, begun.text
        id = begun.json()["id"]
        end = f"{it.path}/{id}{it.end}"
        if kind == "container":
            answer = responding.ANSWERS[id]
            answer |= {"output": [code(f"cntr_{store}"), *answer["output"]], "tools": [INTERPRETER]}
        finish(id)
        with contextlib.suppress(httpx.HTTPError):
            client.get(end, headers=headers("alice"))
        assert gateway.wait(30) == -9
    with running(tmp_path, settings) as line:

        def get(agent: str) -> httpx.Response:
            return line.client.get(end, headers=headers(agent))

        def charged() -> tuple[int, int]:
            """Tokens that were charged, without those of the killed call itself, and those that are held."""
            used, held = amounts(line, cid)
            return used - line.workflow(cid).lapsed.get("tokens", 0), held

        def is_noted() -> bool:
            """Whether it is on disk that the answer was charged."""
            owners = cast("Owners", line.gateway.runtime.line.settle._claims)
            of = cast("Call", SimpleNamespace(team="red"))
            name = "message_batch" if kind == "batch" else kind if kind == "interaction" else "response"
            return asyncio.run_coroutine_threadsafe(owners.is_charged(of, name, id), line.loop).result()

        if at in ("settled", "recorded"):
            assert charged()[0] == it.tokens
        elif store == "sqlite":
            assert charged()[0] == 0 < charged()[1]
        assert get("mallory").status_code == 404
        assert "ann@example.org" in get("alice").text  # the claim of the dead may still be that of a living gateway
        assert not is_noted()
        monkeypatch.setattr("gateway.ingress.owners._DEAD", 0.0)
        eventually(is_noted)
        used, left = charged()
        assert used == it.tokens
        assert left <= (1 if store == "redis" else 0)  # what the killed call itself held lapses in its time
        assert get("mallory").status_code == 404
        assert get("alice").status_code == 200
        assert [one["cost_nano_usd"] for one in outcomes(line, cid)] == [it.cost]
        assert line.workflow(cid).used["calls"] >= 1
        total = amounts(line, cid)
    with running(tmp_path, settings) as line:
        assert amounts(line, cid) == total


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_calls_whose_gateway_was_killed_before_it_settled(
    request: pytest.FixtureRequest, up: scripted.Upstream, tmp_path: Path, store: str
) -> None:
    """What was made belongs to its team, a kept answer is given again, and each costs what it has reserved, once."""
    state = f"sqlite:///{tmp_path}/state.db" if store == "sqlite" else request.getfixturevalue("redis_url")
    settings = stores(tmp_path, up) | {"state": state, "tools": {"crm": {"http": up.url, "methods": ["POST"]}}}
    settings["tools"]["crm"]["price"] = 0.5

    def keyed(path: str) -> dict[str, str]:
        """Each call with a key of its own."""
        return {**headers("alice", f"{store}{path}"), "idempotency-key": f"once-{store}{path}"}

    said = {"role": "user", "content": "I am ann@example.org"}
    calls = {
        "/tools/crm": ("/tools/crm/chat/completions", {"model": "echo", "messages": [said]}, 500_000_000),
        CONTAINERS: (CONTAINERS, {"name": "of ann@example.org"}, 0),  # prices of runs are not reserved
        STORES: (STORES, {"name": "of ann@example.org"}, 0),
    }
    got, before = dict[str, httpx.Response](), len(up.seen)
    port, file = free_port(), tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({**settings, "server": {"port": port}}))
    for at, (path, body, _) in calls.items():
        command = [sys.executable, "-c", _SERVE, str(file), "settling"]
        with (
            process(command, lambda: listens(port), seconds=120) as gateway,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
        ):
            got[at] = client.post(path, json=body, headers=keyed(path))
            assert got[at].status_code == 200, got[at].text
            assert gateway.wait(30) == -9
    with running(tmp_path, settings) as line:
        for path, body, _ in calls.values():
            again = line.client.post(path, json=body, headers=keyed(path))
            assert again.headers.get("idempotent-replayed") == "true"
        assert len(up.seen) == before + len(calls)
        for at in (CONTAINERS, STORES):
            for agent, status in (("alice", 200), ("mallory", 404)):
                found = line.client.get(f"{at}/{got[at].json()['id']}", headers=headers(agent))
                assert found.status_code == status
        for path, _, cost in calls.values():
            workflow = line.workflow(f"{store}{path}")
            of = (workflow.used.get("cost", 0) + workflow.held.get("cost", 0), workflow.held.get("calls", 0))
            assert of == (cost, 0 if store == "sqlite" else 1), path
            assert workflow.used["calls"] + workflow.held.get("calls", 0) <= 2
