"""SIGKILL of a gateway between the claim of an answer in the background and its charge, with real processes."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import httpx
import pytest
import yaml

import upstream as scripted
from background import SOON, amounts, finish, made, outcomes
from line import KEYS, running
from servers import free_port, listens, process
from waiting import eventually

pytestmark = pytest.mark.live

_SERVE = """
import os, signal, sys
from gateway.cli import main
from gateway.ingress.owners import Owners
from gateway.settle.settle import Settle
from gateway.stores.sqlite import SqliteStore

end, at = Settle.end, sys.argv[2]

async def ending(self, call, status):
    if call.outcome.claimed and at != "settled":
        if at == "claimed":
            await self._claims._store.durable()
        os.kill(os.getpid(), signal.SIGKILL)
    await end(self, call, status)

async def nothing(self, most, seconds):
    return {}

async def charged(self, call):
    await self._store.durable()
    os.kill(os.getpid(), signal.SIGKILL)

Settle.end, SqliteStore.take_dues = ending, nothing
if at == "settled":
    Owners.charged = charged
sys.exit(main(["serve", "--config", sys.argv[1]]))
"""
"""A gateway that dies at one event: right after the claim, which may not be on disk ("at once"); once the claim is on
disk ("claimed"); once the charge is on disk, but not yet the note that it was made ("settled"). It does not look for
the end itself, so that the caller is first."""


def headers(agent: str, cid: str = "") -> dict[str, str]:
    """Those of a call."""
    return {"authorization": f"Bearer {KEYS[agent]}", **({"x-correlation-id": cid} if cid else {})}


@pytest.mark.parametrize("at", ["at once", "claimed", "settled"])
def test_a_claim_whose_gateway_was_killed(
    up: scripted.Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """It is charged once, by a later look of a gateway; another team gets nothing, before and after."""
    port, path, settings = free_port(), tmp_path / "gateway.yaml", made(tmp_path, up, **SOON)
    path.write_text(yaml.safe_dump({**settings, "server": {"port": port}}))
    said = {"model": "keep", "input": "I am ann@example.org", "background": True}
    with (
        process([sys.executable, "-c", _SERVE, str(path), at], lambda: listens(port), seconds=60) as gateway,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        begun = client.post("/v1/responses", json=said, headers=headers("alice", "killed"))
        assert begun.status_code == 200, begun.text
        id = begun.json()["id"]
        finish(id)
        with contextlib.suppress(httpx.HTTPError):
            client.get(f"/v1/responses/{id}", headers=headers("alice"))
        assert gateway.wait(30) == -9
    with running(tmp_path, settings) as line:

        def get(agent: str) -> httpx.Response:
            return line.client.get(f"/v1/responses/{id}", headers=headers(agent))

        def charged() -> tuple[int, int]:
            """Tokens that were charged, without those of the killed call itself, and those that are held."""
            used, held = amounts(line, "killed")
            return used - line.workflow("killed").lapsed.get("tokens", 0), held

        if at == "settled":
            assert charged() == (18, 0)
        else:
            assert charged()[0] == 0 < charged()[1]
        assert get("mallory").status_code == 404
        assert "ann@example.org" in get("alice").text  # the claim of the dead may still be that of a living gateway
        monkeypatch.setattr("gateway.ingress.owners._DEAD", 0.0)
        eventually(lambda: charged() == (18, 0))
        assert get("mallory").status_code == 404
        assert get("alice").status_code == 200
        eventually(lambda: len(outcomes(line, "killed")) >= 1)
        assert len(outcomes(line, "killed")) == 1
        assert line.workflow("killed").used["calls"] >= 1
        total = amounts(line, "killed")
    with running(tmp_path, settings) as line:
        assert amounts(line, "killed") == total
