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
from background import SOON, amounts, finish, made, outcomes
from gateway.call import Call, Json
from gateway.ingress.owners import Owners
from line import KEYS, running
from servers import free_port, listens, process
from test_containers_line import INTERPRETER, RUNS, SMALL, TOKENS, code
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

end, told, at, path = Settle.end, Audit.ended, sys.argv[2], sys.argv[3]
logs = []

async def ending(self, call, status):
    if at == "settling" and path in call.route:
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
the decision log ("recorded"); before it settles a call to a path ("settling"). It does not look for the end itself, so
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
        process([sys.executable, "-c", _SERVE, str(path), at, ""], lambda: listens(port), seconds=120) as gateway,
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
