"""The gateway without Redis, `on_error: local`: calls continue, answers and metrics show the state, nothing is lost."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

import upstream as scripted
from line import config, running
from redis_cluster import server, until

pytestmark = pytest.mark.live


def test_calls_go_on_and_are_charged_later(up: scripted.Upstream, tmp_path: Path) -> None:
    """Redis is killed and restarted; in the end, every call is recorded in its workflow."""
    with server("--appendfsync", "always") as redis:
        settings = config(
            tmp_path,
            up.url,
            state={"url": redis.url, "on_error": "local", "replicas": 2},
            audit={"path": str(tmp_path / "audit.db")},
            pii={"vault_key": base64.b64encode(b"k" * 32).decode()},
            quotas={"calls": 20},
        )
        with running(tmp_path, settings) as line:
            first = line.chat("hi", cid="w")
            assert (first.status_code, first.headers.get("x-meshgate-state")) == (200, None)
            assert line.metric("meshgate_state_local") == 0
            redis.kill()
            alone = [line.chat("hi", cid="w") for _ in range(3)]
            assert [(it.status_code, it.headers["x-meshgate-state"]) for it in alone] == [(200, "local")] * 3
            assert line.metric("meshgate_state_local") == 1
            assert line.client.get("/readyz").status_code == 200
            refused = line.chat("write to a@example.org", cid="w")  # no vault, so nothing that must be restored
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "state_unavailable")
            codes = [line.chat("hi", cid="w").status_code for _ in range(10)]
            assert codes.count(200) == 6  # ten for each of two: one was taken before, three and six now
            redis.start()
            until(lambda: line.metric("meshgate_state_local") == 0, "the gateway to notice")
            assert line.workflow("w").used["calls"] == 10
            assert line.chat("hi", cid="w").headers.get("x-meshgate-state") is None
