"""Obligations of a policy are met, or the call is not made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

import upstream as scripted
from gateway.record.telemetry import Telemetry
from keeping import PRICE, settings
from line import config, running

POLICY = """package gateway
decision := {"allow": true, "obligations": %s}"""

OBLIGATIONS = """package gateway
decision := {"allow": true, "obligations": obligations}
obligations contains {"code": "a", "class": "cost", "limit": {"max_tokens": 9}, "route": "renamed"}
obligations contains {"code": "b", "class": "safety", "redact": {"EMAIL": "redact"}, "limit": {"max_tokens": 50}}"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "bundle").mkdir()
    return tmp_path / "bundle"


def test_redaction_where_nothing_looks_for_personal_data(up: scripted.Upstream, tmp_path: Path, bundle: Path) -> None:
    """With `pii: null`, an obligation to redact cannot be met, so the call is refused with the reason."""
    (bundle / "p.rego").write_text(POLICY % '{"redact": ["EMAIL"]}')
    with running(tmp_path, config(tmp_path, up.url, policy={"path": str(bundle)}, pii=None)) as line:
        before = len(up.seen)
        refused = line.chat("write to bob@example.com")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "policy_unavailable"
        assert "pii: null" in refused.json()["error"]["message"]
        assert len(up.seen) == before


def test_obligations_of_several_rules(up: scripted.Upstream, tmp_path: Path, bundle: Path) -> None:
    """The obligations of all rules apply: the request is redacted, shorter, and goes to the other model."""
    (bundle / "p.rego").write_text(OBLIGATIONS)
    with running(tmp_path, config(tmp_path, up.url, policy={"path": str(bundle)})) as line:
        assert line.chat("write to bob@example.com", max_tokens=100).status_code == 200
        sent = up.seen[-1].body
        assert sent["max_tokens"] == 9
        assert sent["model"] == "echo"
        assert sent["messages"][0]["content"] == "write to <EMAIL>"


@pytest.mark.parametrize("stream", [False, True])
def test_the_provider_stores_nothing(up: scripted.Upstream, tmp_path: Path, bundle: Path, *, stream: bool) -> None:
    """Whatever the caller asks for; what needs storage is refused, and nothing reaches the provider."""
    (bundle / "p.rego").write_text(POLICY % '{"store": false}')
    found = settings(tmp_path, up, policy={"path": str(bundle)})
    found["providers"]["g"] = {"format": "gemini", "base_url": up.url, "api_key": "gem-upstream-secret"}
    found["providers"]["claude"] = {"format": "anthropic", "base_url": up.url, "api_key": "sk-ant-upstream"}
    for name, target in {"gem": "g/echo", "claude": "claude/x"}.items():
        found["models"][name] = {"targets": [target], "price": PRICE}
    for path in ("/v1/conversations", "/v1/files"):
        found["models"][path] = {"targets": ["up/any"], "price": {}}
    hi: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
    said: dict[str, Any] = {"model": "keep", "input": "hi"}
    acted: dict[str, Any] = {"model": "gem", "input": "hi"}
    params = {"model": "claude", "max_tokens": 9, "messages": hi}
    with running(tmp_path, found) as line:
        served: list[tuple[str, dict[str, Any]]] = [
            ("/v1/responses", said),
            ("/v1/responses", {**said, "store": True}),
            ("/v1/chat/completions", {"model": "echo", "messages": hi, "store": True}),
            ("/v1beta/interactions", acted),
        ]
        for path, body in served:
            answer = line.client.post(path, json={**body, "stream": stream})
            assert answer.status_code == 200, answer.text
            assert up.last.body["store"] is False
        assert line.chat("hi", stream=stream).status_code == 200
        assert "store" not in up.last.body
        assert line.client.post("/v1/responses/input_tokens", json=said).status_code == 200
        assert "store" not in up.last.body
        before = len(up.seen)
        refused: list[tuple[str, dict[str, Any]]] = [
            ("/v1/responses", {**said, "background": True}),
            ("/v1beta/interactions", {**acted, "background": True}),
            ("/v1/conversations", {"items": []}),
            ("/v1/messages/batches", {"requests": [{"custom_id": "a", "params": params}]}),
        ]
        for path, body in refused:
            answer = line.client.post(path, json=body)
            assert answer.status_code == 403, answer.text
            assert "stores anything" in answer.json()["error"]["message"]
        form: Any = {"file": ("a.txt", b"text", "text/plain")}
        answer = line.client.post("/v1/files", files=form, data={"purpose": "user_data"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "policy_denied")
        assert len(up.seen) == before


@pytest.mark.parametrize("stream", [False, True])
def test_gemini_stores_nothing(up: scripted.Upstream, tmp_path: Path, bundle: Path, *, stream: bool) -> None:
    """`store` of a Gemini request is sent as false; without it, the provider stores nothing."""
    (bundle / "p.rego").write_text(POLICY % '{"store": false}')
    made = config(tmp_path, up.url, policy={"path": str(bundle)})
    made["providers"]["g"] = {"format": "gemini", "base_url": up.url, "api_key": "gem-upstream-secret"}
    made["models"]["gem"] = {"targets": ["g/echo"], "price": PRICE}
    path = f"/v1beta/models/gem:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"
    said = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    with running(tmp_path, made) as line:
        for asked, sent in (({"store": True}, {"store": False}), ({"store": False}, {"store": False}), ({}, {})):
            assert line.client.post(path, json={**said, **asked}).status_code == 200
            assert up.last.body == {**said, **sent}


def test_nothing_is_added_to_what_is_stored(up: scripted.Upstream, tmp_path: Path, bundle: Path) -> None:
    """A conversation of earlier takes no items and no metadata any more; it is read and deleted as before."""
    made = settings(tmp_path, up, server={"websockets": True})
    made["models"]["/v1/conversations"] = {"targets": ["up/any"], "price": {}}
    with running(tmp_path, made) as line:
        path = f"/v1/conversations/{line.client.post('/v1/conversations', json={'items': []}).json()['id']}"
    (bundle / "p.rego").write_text(POLICY % '{"store": false}')
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    with running(tmp_path, {**made, "policy": {"path": str(bundle)}}) as line:
        before = len(up.seen)
        for where, body in ((f"{path}/items", {"items": [item]}), (path, {"metadata": {"a": "b"}})):
            answer = line.client.post(where, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "policy_denied")
        assert len(up.seen) == before
        with connect(
            f"{line.url.replace('http', 'ws')}/v1/responses", additional_headers=line.client.headers
        ) as socket:
            for more in ({}, {"conversation": path.rpartition("/")[2]}):
                socket.send(json.dumps({"type": "response.create", "model": "keep", "input": "hi", **more}))
                while (event := json.loads(socket.recv(timeout=20)))["type"] not in ("response.completed", "error"):
                    pass
                assert (event["type"] == "error") == bool(more)
        assert up.last.body["store"] is False
        assert len(up.seen) == before + 1
        assert line.client.get(f"{path}/items").json()["data"] == []
        assert line.client.delete(path).status_code == 200


@pytest.mark.parametrize("value", ["true", "0", '"no"'])
def test_storing_cannot_be_demanded(up: scripted.Upstream, tmp_path: Path, bundle: Path, value: str) -> None:
    """Any other value makes the result malformed."""
    (bundle / "p.rego").write_text(POLICY % f'{{"store": {value}}}')
    with running(tmp_path, config(tmp_path, up.url, policy={"path": str(bundle)})) as line:
        assert line.chat("hi").json()["error"]["code"] == "policy_unavailable"


def test_codes_that_a_policy_works_out_do_not_fill_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limited number of rules have their own label; all others share one label."""
    monkeypatch.setattr("gateway.record.telemetry._MOST_RULES", 2)
    told = Telemetry(None)
    assert [told._rule(code) for code in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]
