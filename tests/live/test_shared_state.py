"""The gateway on a real Redis and a real OPA: shared state of replicas, and outages of a server."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import upstream as scripted
from engines.opa_server import serve as opa_server
from gateway.errors import ConfigError
from line import config, running
from servers import redis_server

pytestmark = pytest.mark.live

VAULT = {"vault_key": base64.b64encode(b"k" * 32).decode()}


def on_redis(folder: Path, upstream: str, url: str, **fields: Any) -> dict[str, Any]:
    """The configuration of one replica."""
    folder.mkdir()
    audit = {"path": str(folder / "audit.db")}
    return config(folder, upstream, **{"state": url, "audit": audit, "pii": VAULT, **fields})


def test_replicas_share_quotas_and_placeholders(up: scripted.Upstream, tmp_path: Path) -> None:
    """Two gateways, one workflow: together they never exceed the limit, and a value has the same number on both."""
    quotas = {"calls": 30}
    with redis_server() as url:
        one = on_redis(tmp_path / "one", up.url, url, quotas=quotas)
        two = on_redis(tmp_path / "two", up.url, url, quotas=quotas)
        with running(tmp_path / "one", one) as first, running(tmp_path / "two", two) as second:
            first.chat("a@example.org b@example.org", cid="w")
            second.chat("b@example.org c@example.org", cid="w")
            assert up.last.body["messages"][0]["content"] == "<EMAIL_2> <EMAIL_3>"
            with ThreadPoolExecutor(16) as pool:
                answers = list(pool.map(lambda i: (first, second)[i % 2].chat("hi", cid="w").status_code, range(60)))
            assert answers.count(200) == 28
            first.chat("hi", cid="w")  # freezes the workflow, if all others were refused while calls were in flight
            assert first.chat("hi", cid="w").json()["error"]["code"] == "workflow_frozen"
            assert second.chat("hi", cid="w").json()["error"]["code"] == "workflow_frozen"


def test_without_its_store_the_gateway_refuses_and_recovers_by_itself(up: scripted.Upstream, tmp_path: Path) -> None:
    """Fails closed: 503 `state_unavailable`, not ready; nothing is forwarded."""
    with redis_server() as url:
        settings = on_redis(tmp_path / "one", up.url, url, quotas={"calls": 1000})
        with running(tmp_path / "one", settings) as line:
            assert line.chat("hi").status_code == 200
            import redis

            seen = len(up.seen)
            redis.Redis.from_url(url).shutdown(nosave=True)
            answer = line.chat("hi")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")
            assert line.client.get("/readyz").status_code == 503
            assert len(up.seen) == seen


def test_shared_state_needs_a_shared_key(up: scripted.Upstream, tmp_path: Path) -> None:
    """Replicas that seal with keys of their own could not read each other's vault: refused at start."""
    with redis_server() as url:
        settings = on_redis(tmp_path / "one", up.url, url, pii={})
        with pytest.raises(ConfigError, match=r"pii\.vault_key"), running(tmp_path / "one", settings):
            pass


def test_a_real_opa_judges(up: scripted.Upstream, tmp_path: Path) -> None:
    """`engine: opa` gives the shipped policies' verdicts on real calls; without OPA nothing passes."""
    with opa_server(Path("policies")) as url:
        policy = {"path": "policies", "engine": "opa", "url": url}
        settings = config(tmp_path, up.url, policy=policy)
        settings["agents"]["bob"]["roles"] = ["nobody"]
        with running(tmp_path, settings) as line:
            assert line.chat("hi").status_code == 200
            denied = line.chat("hi", agent="bob")
            assert (denied.status_code, denied.json()["error"]["code"]) == (403, "policy_denied")
