"""Changes while the gateway runs: configuration, policies, keys. No call is dropped, mistakes have no effect."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

import yaml

import upstream as scripted
from engines.bundles import Repository
from gateway.stores import Key, open_store
from line import Line, config, running
from waiting import eventually

SHIPPED = Path(__file__).resolve().parent.parent / "policies"


def rewrite(line: Line, **fields: Any) -> None:
    """Change keys of the configuration file."""
    settings = yaml.safe_load(line.path.read_text())
    line.path.write_text(yaml.safe_dump({**settings, **fields}))


def test_a_changed_file_takes_over_and_a_stream_goes_on(up: scripted.Upstream, tmp_path: Path) -> None:
    """A running call ends under its own configuration; the next call has the new configuration."""
    with running(tmp_path, config(tmp_path, up.url)) as line:
        body = {"model": "mid-hang", "messages": [{"role": "user", "content": "one two three"}], "stream": True}
        with line.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            pieces = answer.iter_text()
            received = next(pieces)
            rewrite(line, models={"only": {"targets": ["demo/demo"]}})
            eventually(lambda: line.chat("hi", "echo").status_code == 404)
            assert line.chat("hi", "only").status_code == 200
            up.release.set()
            received += "".join(pieces)
        assert received.endswith("data: [DONE]\n\n")


def test_a_bad_file_keeps_the_running_one_and_is_reported(up: scripted.Upstream, tmp_path: Path) -> None:
    """A mistake raises a metric; mending it lowers it."""
    with running(tmp_path, config(tmp_path, up.url)) as line:
        good = line.path.read_text()
        line.path.write_text(good + "\nno_such_key: 1\n")
        eventually(lambda: line.metric("meshgate_reload_failed", what="config") == 1)
        assert line.metric("meshgate_reload_failures_total", what="config") == 1
        assert line.chat("hi").status_code == 200
        line.path.write_text(good)
        eventually(lambda: line.metric("meshgate_reload_failed", what="config") == 0)


def test_policies_change_under_a_running_gateway(up: scripted.Upstream, tmp_path: Path) -> None:
    """A saved rule takes effect; a rule that does not compile or fails its tests does not."""
    bundle = tmp_path / "policies"
    shutil.copytree(SHIPPED, bundle)
    with running(tmp_path, config(tmp_path, up.url, policy={"path": str(bundle)})) as line:
        assert line.chat("hi").status_code == 200
        version = line.gateway.shared.policies.version  # type: ignore[union-attr]
        gate = (bundle / "gateway.rego").read_text()
        (bundle / "gateway.rego").write_text(gate + "\nthis is no rego {{{\n")
        eventually(lambda: line.metric("meshgate_reload_failed", what="policy") == 1)
        assert line.chat("hi").status_code == 200
        assert line.metric("meshgate_policy_info", version=version) == 1
        (bundle / "gateway.rego").write_text(gate)
        for test in bundle.glob("*_test.rego"):
            test.unlink()
        (bundle / "data.yaml").write_text("{}")
        eventually(lambda: line.chat("hi").status_code == 403)
        assert line.chat("hi").json()["error"]["code"] == "policy_denied"
        assert line.metric("meshgate_decisions_total", verdict="deny") >= 1


def test_policies_switched_on_by_a_reload_are_enforced(up: scripted.Upstream, tmp_path: Path) -> None:
    """From `policy: null` to a bundle: no call passes unjudged once the new configuration is in force."""
    bundle = tmp_path / "policies"
    shutil.copytree(SHIPPED, bundle)
    for test in bundle.glob("*_test.rego"):
        test.unlink()
    (bundle / "data.yaml").write_text("{}")
    with running(tmp_path, config(tmp_path, up.url)) as line:
        assert line.chat("hi").status_code == 200
        rewrite(line, policy={"path": str(bundle)})
        eventually(lambda: line.chat("hi").status_code == 403)


def test_keys_are_made_and_revoked_without_a_restart(up: scripted.Upstream, tmp_path: Path) -> None:
    """A key that another process adds is good within a second or two, and no longer after it is revoked."""
    with running(tmp_path, config(tmp_path, up.url)) as line:
        auth = {"authorization": "Bearer mg-new"}
        assert line.client.get("/v1/models", headers=auth).status_code == 401
        key = Key("k1", hashlib.sha256(b"mg-new").hexdigest(), "carol", "red", ("developer",), time.time())

        async def change(revoke: bool) -> None:
            store = open_store(f"sqlite:///{tmp_path}/state.db", role="cli")
            await store.open()
            try:
                if revoke:
                    await store.revoke_key("k1")
                else:
                    await store.add_key(key)
            finally:
                await store.close()

        import asyncio

        asyncio.run(change(False))
        eventually(lambda: line.client.get("/v1/models", headers=auth).status_code == 200)
        asyncio.run(change(True))
        eventually(lambda: line.client.get("/v1/models", headers=auth).status_code == 401)


def test_the_state_survives_a_restart(up: scripted.Upstream, tmp_path: Path) -> None:
    """The next process knows the usage of a workflow; placeholders keep their numbers."""
    settings = config(tmp_path, up.url, quotas={"tokens": 10_000})
    with running(tmp_path, settings) as line:
        line.chat("a@example.org b@example.org", cid="w")
    with running(tmp_path, settings) as line:
        assert line.workflow("w").used["tokens"] == 18
        line.chat("b@example.org", cid="w")
        assert up.last.body["messages"][0]["content"] == "<EMAIL_2>"


def test_policies_from_git_follow_their_branch(up: scripted.Upstream, tmp_path: Path) -> None:
    """A commit takes effect in a running gateway; a commit whose tests fail does not, and is reported."""
    repository = Repository(tmp_path / "origin")
    shutil.copytree(SHIPPED, repository.path / "policies")
    repository.commit({})
    policy = {
        "git": {"url": str(repository.path), "path": "policies", "interval": 0.1},
        "cache": str(tmp_path / "kept"),
    }
    with running(tmp_path, config(tmp_path, up.url, policy=policy)) as line:
        assert line.chat("hi").status_code == 200
        first = line.gateway.shared.policies.version  # type: ignore[union-attr]
        repository.commit({"policies/data.yaml": "roles: {}"})
        eventually(lambda: line.metric("meshgate_reload_failed", what="policy") == 1)
        assert line.chat("hi").status_code == 200
        for test in (repository.path / "policies").glob("*_test.rego"):
            test.unlink()
        repository.commit({})
        eventually(lambda: line.chat("hi").status_code == 403)
        assert line.gateway.shared.policies.version != first  # type: ignore[union-attr]
