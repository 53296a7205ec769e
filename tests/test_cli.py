"""gateway.cli: output, standard error and exit codes of commands."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway import cli, serving, stores
from gateway.cli import main
from gateway.cli.commands import policy
from gateway.config.grammar import State
from gateway.errors import ConfigError
from gateway.stores import Key, StoreUnavailable

CONFIG = """\
providers:
  demo: {format: demo}
models:
  demo: {targets: [demo/demo]}
limits: [{per: tool, requests: 1/min}]
"""
PASSED: dict[str, Any] = {"path": "policies", "version": "abc", "passed": ["a.test_x"], "failed": []}
FAILED: dict[str, Any] = {**PASSED, "failed": ["a.test_y: undefined"]}


class Store:
    """A state store with keys only; `opened` counts the stores that are not closed."""

    def __init__(self) -> None:
        self.records: dict[str, Key] = {}
        self.opened = 0
        self.url = ""
        self.broken = False

    async def open(self) -> None:
        if self.broken:
            raise StoreUnavailable("state: Redis at 127.0.0.1:6379 does not answer")
        self.opened += 1

    async def close(self) -> None:
        self.opened -= 1

    async def keys(self) -> list[Key]:
        return list(self.records.values())

    async def add_key(self, key: Key) -> None:
        self.records[key.id] = key

    async def revoke_key(self, id: str) -> bool:
        if id not in self.records or self.records[id].revoked:
            return False
        self.records[id] = replace(self.records[id], revoked=1.0)
        return True

    async def expire_key(self, id: str, at: float) -> bool:
        self.records[id] = replace(self.records[id], expires=at)
        return True


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a configuration at the default path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store that the command opens."""
    store = Store()

    def open_store(state: State, *, role: str) -> Store:
        assert role == "cli"
        store.url = state.url
        return store

    monkeypatch.setattr(stores, "open_store", open_store)
    return store


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of `gateway.process.serve`."""
    calls: list[tuple[Any, ...]] = []
    process = ModuleType("gateway.serving.process")
    process.serve = lambda *args, **_: calls.append(args)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gateway.serving.process", process)
    monkeypatch.setattr(serving, "process", process, raising=False)
    return calls


# keys


def test_key_is_printed_once_and_kept_as_a_hash(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """`keys add` prints the key alone on standard output, so that a script can take it, and stores its hash only."""
    assert main(["keys", "add", "--agent", "bot", "--team", "red", "--role", "reader", "--role", "writer"]) == 0
    out, err = capsys.readouterr()
    token = out.strip()
    (record,) = store.records.values()
    assert record.sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert (record.agent, record.team, record.roles) == ("bot", "red", ("reader", "writer"))
    assert record.created > 0
    assert record.id in err
    assert token not in err
    assert store.url == "sqlite:///var/meshgate.db"
    assert store.opened == 0


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_list_shows_no_key(store: Store, capsys: pytest.CaptureFixture[str], form: list[str]) -> None:
    """`keys list` shows who has a key, never the key or its whole hash."""
    main(["keys", "add", "--agent", "bot", "--team", "red", "--json"])
    made = json.loads(capsys.readouterr().out)
    assert main(["keys", "list", *form]) == 0
    out = capsys.readouterr().out
    (record,) = store.records.values()
    assert made["id"] in out
    assert "bot" in out
    assert made["key"] not in out
    assert record.sha256 not in out
    if form:
        assert json.loads(out)[0]["revoked"] is None


def test_revoke(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """`keys revoke` revokes a key; for an unknown or revoked id, the error says how to find the ids."""
    main(["keys", "add", "--agent", "bot", "--team", "red"])
    (id,) = store.records
    assert main(["keys", "revoke", id]) == 0
    assert store.records[id].revoked
    assert main(["keys", "revoke", id]) == 2
    assert "keys list" in capsys.readouterr().err


def test_rotate(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """`keys rotate` creates a successor with the same rights; the old key stays valid for the grace period."""
    main(["keys", "add", "--agent", "bot", "--team", "red", "--role", "reader", "--expires", "90d", "--json"])
    first = json.loads(capsys.readouterr().out)
    assert main(["keys", "rotate", first["id"], "--grace", "2h", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["key"] != first["key"]
    assert (second["agent"], second["team"], second["roles"]) == ("bot", "red", ["reader"])
    old, new = store.records[first["id"]], store.records[second["id"]]
    assert old.expires == pytest.approx(time.time() + 2 * 3600, abs=60)
    assert new.expires == pytest.approx(time.time() + 90 * 86400, abs=60)
    assert main(["keys", "rotate", "key_none"]) == 2
    assert "keys list" in capsys.readouterr().err


@pytest.mark.parametrize("lifetime", ["-1d", "0", "soon", "1000y"])
def test_a_lifetime_that_is_none(store: Store, capsys: pytest.CaptureFixture[str], lifetime: str) -> None:
    """An invalid lifetime is reported, and no key is created."""
    assert main(["keys", "add", "--agent", "bot", "--team", "red", f"--expires={lifetime}"]) == 2
    assert "--expires" in capsys.readouterr().err
    assert not store.records


def test_store_that_does_not_answer(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A store that is down is one readable line, no traceback."""
    store.broken = True
    assert main(["keys", "list"]) == 2
    assert capsys.readouterr().err == "state: Redis at 127.0.0.1:6379 does not answer\n"


# check, policy test


def test_check_prints_warnings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A valid configuration with valid policies is one line, with warnings on standard error."""
    monkeypatch.setattr(policy, "run_tests", lambda *_, **__: PASSED)
    assert main(["check"]) == 0
    out, err = capsys.readouterr()
    assert out == "config/gateway.yaml: ok; policies: version abc, 1 of 1 tests passed\n"
    assert err.startswith("warning: config/gateway.yaml:5: limits[0] counts calls of tools")


def test_check_finds_mistakes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake of the file is listed; exit 2."""
    (here / "config/gateway.yaml").write_text(CONFIG + "lgo: json\noutput: {secrets: no}\n")
    assert main(["check"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["config/gateway.yaml:6:", "config/gateway.yaml:7:"]
    assert main(["check", "--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {"ok": False, "errors": lines}


def test_check_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` puts all of it on standard output."""
    monkeypatch.setattr(policy, "run_tests", lambda *_, **__: FAILED)
    assert main(["check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert len(found["warnings"]) == 1
    assert found["policy"]["failed"] == ["a.test_y: undefined"]


def test_check_without_policies(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that switches policies off is checked without them."""
    (here / "config/gateway.yaml").write_text(CONFIG + "policy: null\n")
    assert main(["check"]) == 0
    assert "no policies" in capsys.readouterr().out


def test_check_warns_of_types_that_no_finding_has(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the table of residency of the policy data, where such a name would leave the type to the rule for all."""
    monkeypatch.setattr(policy, "run_tests", lambda *_, **__: PASSED)
    (here / "policies").mkdir()
    (here / "policies" / "gateway.rego").write_text('package gateway\n\ndecision := {"allow": true}\n')
    table = "residency: {EMIAL: [demo], EMAIL_ADDRESS: [demo], EMAIL: [demo], PERSON: [demo], STAFF_ID: [], '*': []}\n"
    (here / "policies" / "data.yaml").write_text(table)
    own = "{name: staff, supported_entity: STAFF_ID, patterns: [{name: a, regex: 'S[0-9]{6}', score: 1}]}"
    (here / "own.yaml").write_text(f"recognizers: [{own}]\n")
    (here / "config/gateway.yaml").write_text(CONFIG + "pii: {recognizers: own.yaml}\n")
    assert main(["check"]) == 0
    lines = capsys.readouterr().err.splitlines()
    told = [line.partition("data.")[2].partition(" allowed: ")[0] for line in lines if "residency" in line]
    assert told == [
        "residency.EMIAL: is not a known entity; did you mean EMAIL?",
        "residency.EMAIL_ADDRESS: policies know this type as EMAIL",
    ]


def test_check_with_policies_that_do_not_compile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle that does not load is a mistake like one in the file; exit 2."""

    def refuse(path: Path, engine: str, **_: bool) -> dict[str, Any]:
        raise ConfigError(f"{path}/a.rego:3: unexpected token")

    monkeypatch.setattr(policy, "run_tests", refuse)
    assert main(["check"]) == 2
    assert "policies/a.rego:3" in capsys.readouterr().err


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """`check --schema` prints the JSON Schema and needs no configuration."""
    assert main(["check", "--schema", "--config", "none.yaml"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Meshgate"


def test_policy_test(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`policy test` names what failed and exits 1."""
    monkeypatch.setattr(policy, "run_tests", lambda path, engine, **_: {**FAILED, "path": str(path)})
    assert main(["policy", "test", "mine"]) == 1
    out, err = capsys.readouterr()
    assert out == "mine: version abc, 1 of 2 tests passed\n"
    assert err == "FAIL a.test_y: undefined\n"


GOOD = 'package gateway\n\nimport rego.v1\n\ndefault decision := {"allow": false}\n'
TESTS = """package gateway_test

import rego.v1

import data.gateway

test_deny if gateway.decision.allow == false

test_wrong if gateway.decision.allow == true
"""


def test_policies_are_really_tested(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle is compiled and its tests are run: what fails is named with its file."""
    (here / "policies").mkdir()
    (here / "policies" / "main.rego").write_text(GOOD)
    assert main(["check"]) == 0
    assert "no tests ran here" in capsys.readouterr().out
    (here / "policies" / "main_test.rego").write_text(TESTS)
    assert main(["check"]) == 1
    out, err = capsys.readouterr()
    assert "1 of 2 tests passed" in out
    assert "policies/main_test.rego: data.gateway_test.test_wrong" in err
    (here / "policies" / "main.rego").write_text(GOOD + "decision := }\n")
    assert main(["policy", "test"]) == 2
    assert "policies/main.rego:6" in capsys.readouterr().err


# serve


def test_serve(served: list[tuple[Any, ...]]) -> None:
    """`serve` takes host and port from the configuration, unless the command line sets them."""
    assert main(["serve"]) == 0
    assert main(["serve", "--host", "::1", "--port", "0"]) == 0
    assert [args[1:] for args in served] == [("127.0.0.1", 8080, 1), ("::1", 0, 1)]
    assert served[0][0].config.models


def test_many_workers_need_shared_state(
    here: Path, served: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """More than one worker with SQLite is refused with the setting to change; with Redis it starts."""
    assert main(["serve", "--workers", "2"]) == 2
    assert "state: redis://" in capsys.readouterr().err
    assert served == []
    (here / "config/gateway.yaml").write_text(CONFIG + "state: redis://127.0.0.1:6379/0\npii: null\n")
    assert main(["serve", "--workers", "2"]) == 0
    assert served[0][3] == 2


# The command line itself


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["serve", "--port", "70000"],
        ["serve", "--workers", "0"],
        ["keys"],
        ["keys", "add", "--agent", "bot"],
        ["keys", "add", "--agent", "a\nb", "--team", "t"],
        ["keys", "revoke"],
        ["approvals", "list"],
    ],
)
def test_usage_errors(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid command line exits with 2 and prints the usage."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: meshgate" in capsys.readouterr().err


def test_version_imports_nothing_heavy() -> None:
    """`--version` answers without loading the gateway."""
    code = "import sys; from gateway.cli import main\ntry: main(['--version'])\nexcept SystemExit: print(*sys.modules)"
    root = Path(cli.__file__).parent.parent
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
    assert out.startswith("meshgate ")
    assert not {"pydantic", "yaml", "httpx", "asyncio"} & set(out.split())
