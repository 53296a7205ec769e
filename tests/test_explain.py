"""`meshgate policy explain` and `meshgate policy new` on the command line."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import upstream as scripted
from gateway.cli import main
from line import config, running
from replays import run

SHIPPED = Path(__file__).resolve().parent.parent / "policies"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED, tmp_path / "policies")
    return tmp_path / "policies"


def test_a_recorded_decision(up: scripted.Upstream, tmp_path: Path, bundle: Path) -> None:
    """By the id that the caller got: the verdict, the rule that won, and its line in the bundle."""
    data = (bundle / "data.yaml").read_text().replace('models: ["*"]', "models: [demo]")
    (bundle / "data.yaml").write_text(data)
    for test in bundle.glob("*_test.rego"):
        test.unlink()
    with running(tmp_path, config(tmp_path, up.url, policy={"path": str(bundle)})) as line:
        refused = line.chat("hi", cid="job")
        assert refused.status_code == 403
        line.rows("SELECT 1")
        code, printed = run(line, "policy", "explain", "--decision", refused.headers["x-request-id"])
        assert code == 0
        assert "verdict: denied by model_not_allowed of class compliance (90)" in printed
        assert "workflow: job" in printed
        assert "models.rego:" in printed
        code, printed = run(
            line, "policy", "explain", "--decision", refused.headers["x-request-id"], "--policy", str(SHIPPED), "--json"
        )
        assert json.loads(printed)["verdict"] == "allowed"


def test_an_input(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An input from a file, also as OPA's tools write it."""
    call = {
        "subject": {"agent": "a", "team": "t", "roles": ["reader"]},
        "action": {"kind": "llm", "model": "large", "providers": ["p"], "tools": [], "max_tokens": 1},
        "content": {"pii": {}, "sql": [], "injection": {}},
        "context": {"time": 0},
    }
    file = tmp_path / "input.json"
    file.write_text(json.dumps({"input": call}))
    assert main(["policy", "explain", "--input", str(file), "--policy", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert "model_not_allowed (compliance) wins" in said
    assert "rules.models.deny held" in said
    way = said.partition("rules.tools.deny did not hold")[2].splitlines()
    assert way[1].endswith("count(refused) > 0")
    assert main(["policy", "explain", "--input", str(file), "--policy", str(bundle), "--json"]) == 0
    rules = json.loads(capsys.readouterr().out)["rules"]
    assert {"rule", "file", "row", "asked", "held", "failed", "saw"} == rules[0].keys()


@pytest.mark.parametrize(("content", "words"), [("{", "is not valid JSON"), ("[1]", "must be a JSON object")])
def test_no_input(
    content: str, words: str, bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not a policy input is an error."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
    assert main(["policy", "explain", "--input", "-", "--policy", str(bundle)]) == 2
    assert words in capsys.readouterr().err


def test_no_such_decision(up: scripted.Upstream, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For an id that is not in the log, the error says what the id of a decision is."""
    with running(tmp_path, config(tmp_path, up.url)) as line:
        line.chat("hi")
        line.rows("SELECT 1")
        assert main(["policy", "explain", "--decision", "none", "--config", str(line.path)]) == 2
        assert "x-request-id" in capsys.readouterr().err


def test_new_makes_a_rule_that_passes_its_tests(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files, with which the bundle still loads and all tests pass."""
    assert main(["policy", "new", "contractors", str(bundle)]) == 0
    assert main(["policy", "test", str(bundle)]) == 0
    assert main(["policy", "new", "contractors", str(bundle)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["No", "1st", "a-b", "x_test", "../x", ""])
def test_new_refuses_names(name: str, bundle: Path) -> None:
    """A name is a package's and a file's."""
    assert main(["policy", "new", name, str(bundle)]) == 2
