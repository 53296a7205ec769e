"""Obligations of a policy are met, or the call is not made."""

from __future__ import annotations

from pathlib import Path

import pytest

import upstream as scripted
from gateway.record.telemetry import Telemetry
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


def test_codes_that_a_policy_works_out_do_not_fill_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limited number of rules have their own label; all others share one label."""
    monkeypatch.setattr("gateway.record.telemetry._MOST_RULES", 2)
    told = Telemetry(None)
    assert [told._rule(code) for code in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]
