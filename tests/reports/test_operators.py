"""Work of operators: mistyped names, usage, patterns of models, records without personal data."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import upstream as scripted
from gateway.cli import main
from gateway.record import workers
from gateway.record.telemetry import Telemetry
from line import Line, config, running


@pytest.fixture
def line(up: scripted.Upstream, tmp_path: Path) -> Iterator[Line]:
    """A gateway that serves every model of a provider by its own name."""
    settings = config(tmp_path, up.url, quotas={"tokens": 100_000})
    settings["models"]["any/*"] = {"targets": ["up/*"], "price": {"input": 1, "output": 2}}
    with running(tmp_path, settings) as started:
        yield started


def test_a_pattern_serves_every_model_of_a_provider(line: Line) -> None:
    """The target gets the text in place of the `*`; metrics show only the pattern."""
    assert line.chat(model="any/echo").status_code == 200
    assert line.metric("meshgate_requests_total", model="any/*") == 1
    refused = line.chat(model="any/../x y")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert line.chat(model="any/").status_code == 404


@pytest.mark.parametrize(
    ("name", "target", "words"), [("a/*/*", "up/*", "more than one"), ("plain", "up/*", "has a `*`")]
)
def test_patterns_that_cannot_be(name: str, target: str, words: str, tmp_path: Path, capsys: Any) -> None:
    """A pattern has one `*`; a target may have a `*` only if the model's name does."""
    settings = config(tmp_path, "http://127.0.0.1:9/v1")
    settings["models"][name] = {"targets": [target]}
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert main(["check", "--config", str(path)]) == 2
    assert words in capsys.readouterr().err


def test_usage_adds_up_the_record(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """Calls, tokens and cost by team, model and workflow are those of the calls."""
    line.chat(cid="one")
    line.chat(cid="two", agent="mallory")
    line.chat(cid="two", agent="mallory")
    line.rows("SELECT 1")
    sums: dict[str, list[Any]] = {}
    for by in ("key", "team", "model", "workflow"):
        assert main(["usage", "--by", by, "--json", "--config", str(line.path)]) == 0
        sums[by] = json.loads(capsys.readouterr().out)
    assert {row["team"]: row["calls"] for row in sums["team"]} == {"red": 1, "blue": 2}
    assert {row["key"]: row["calls"] for row in sums["key"]} == {"alice": 1, "mallory": 2}
    assert {row["workflow"]: row["calls"] for row in sums["workflow"]} == {"red one": 1, "blue two": 2}
    assert sums["model"][0]["input_tokens"] > 0
    used = line.workflow("two", "blue").used["tokens"]
    row = next(row for row in sums["team"] if row["team"] == "blue")
    assert row["input_tokens"] + row["output_tokens"] == used
    assert main(["usage", "--config", str(line.path)]) == 0
    assert "blue" in capsys.readouterr().out
    assert main(["usage", "--since", "2100-01-01", "--json", "--config", str(line.path)]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_usage_says_how_many_calls_it_does_not_know(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    """A killed gateway leaves decisions without outcomes; their estimate is charged to the workflow only."""
    line.chat(cid="lost")
    line.rows("SELECT 1")
    with contextlib.closing(sqlite3.connect(line.path.parent / "state.db")) as connection, connection:
        connection.execute("DELETE FROM outcomes WHERE correlation_id = 'lost'")
    line.chat(cid="known")
    line.rows("SELECT 1")
    for form in ((), ("--json",)):
        assert main(["usage", "--by", "workflow", *form, "--config", str(line.path)]) == 0
        told = capsys.readouterr()
        assert "red known" in told.out
        assert "red lost" not in told.out
        assert told.err.startswith("1 not in these sums")
    assert main(["usage", "--since", "2100-01-01", "--config", str(line.path)]) == 0
    assert capsys.readouterr().err == ""
    line.rows("SELECT 1")
    with contextlib.closing(sqlite3.connect(line.path.parent / "state.db")) as connection, connection:
        connection.execute("DELETE FROM decisions WHERE correlation_id = 'lost'")
    assert main(["usage", "--config", str(line.path)]) == 0
    assert capsys.readouterr().err == ""


def test_a_correlation_id_that_is_personal_data_is_kept_as_a_digest(line: Line) -> None:
    """The caller gets the id back, and its calls share one workflow; no stored record contains the id."""
    first = line.chat(cid="ann.smith@example.org")
    second = line.chat(cid="ann.smith@example.org")
    assert first.headers["x-correlation-id"] == "ann.smith@example.org"
    assert second.status_code == 200
    (kept,) = {row[0] for row in line.rows("SELECT DISTINCT correlation_id FROM outcomes")}
    assert kept.startswith("hashed:")
    assert line.workflow(kept).used["tokens"] > 0
    for path in line.path.parent.glob("state.db*"):
        assert b"ann.smith" not in path.read_bytes()
    assert line.chat(cid="ticket-4711").headers["x-correlation-id"] == "ticket-4711"
    assert line.workflow("ticket-4711") is not None


def test_mistyped_roles_and_matches_are_suggested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` warns of a role that no rule knows, and of a match that no name fits."""
    settings = config(tmp_path, "http://127.0.0.1:9/v1", policy={"path": "policies"})
    settings["agents"]["alice"]["roles"] = ["develper"]
    settings["limits"] = [{"per": "team", "match": {"model": "ecko"}, "requests": "60/min"}]
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert main(["check", "--config", str(path)]) == 0
    told = capsys.readouterr().err
    assert "'develper'" in told
    assert "developer" in told
    assert "'ecko'" in told
    assert "echo" in told


@pytest.mark.parametrize(
    ("names", "hidden"),
    [
        (["*", "openai/*"], "openai/*"),
        (["openai/*", "*"], ""),
        (["gpt*", "gpt-*"], ""),  # what stands for a `*` begins with a letter or a digit
        (["*-mini", "gpt-*-mini"], "gpt-*-mini"),
        (["a-*", "b-*", "b-c-*"], "b-c-*"),
        (["*", "gpt-4o"], ""),
    ],
)
def test_patterns_that_others_hide_are_reported(
    names: list[str], hidden: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the patterns that fit a name, the first in the file decides; a name without `*` comes before all."""
    settings = config(tmp_path, "http://127.0.0.1:9/v1")
    settings["models"] = {name: {"targets": [f"up/{'*' if '*' in name else 'm'}"]} for name in names}
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    assert main(["check", "--config", str(path)]) == 0
    told = capsys.readouterr().err
    assert ("is never used" in told) == bool(hidden)
    assert not hidden or f"models.{hidden}: " in told


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("startwith(input.action.name, `a`)", "startswith"),
        ("contians(`a`, `b`)", "contains"),
        ("regex.macth(`a`, `b`)", "regex.match"),
        ("arry.concat([], [])", "array.concat"),
        ("inptu.action.stream", "input"),
        ("count(dta.roles) > 1", "data"),
    ],
)
def test_mistyped_names_in_rego_are_suggested(written: str, meant: str, tmp_path: Path, capsys: Any) -> None:
    """A builtin, `input` and `data`; names without a similar name get no suggestion."""
    for body, hint in ((written, f"did you mean `{meant}`?"), ("zzz_nothing(1)", "")):
        (tmp_path / "p.rego").write_text(f"package gateway\n\ndecision := {{}} if {body}\n")
        assert main(["policy", "test", str(tmp_path)]) == 2
        told = capsys.readouterr().err
        assert hint in told
        assert ("did you mean" in told) is bool(hint)
        assert "p.rego:3" in told


def without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command on a platform that a package has no wheel for."""
    code = f"import sys; sys.modules[{package!r}] = None\nfrom gateway.cli import main\nsys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("package", ["orjson", "re2", "yaml"])
def test_a_package_that_is_missing_is_named(package: str) -> None:
    """In one line, with the platform and what to do."""
    done = without(package, "policy", "test")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"meshgate: the package '{package}")
    assert done.stderr.count("\n") == 1
    assert "container image" in done.stderr


def test_without_hyperscan_it_runs_and_says_what_is_less(tmp_path: Path) -> None:
    """A warning at the check and at the start."""
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path, "http://127.0.0.1:9/v1")))
    done = without("hyperscan", "check", "--config", str(path))
    assert done.returncode == 0
    assert "hyperscan has no wheel for this platform" in done.stderr
    assert "hyperscan" not in without("nothing", "check", "--config", str(path)).stderr


def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    """No traceback: which file, and why."""
    settings = config(tmp_path, "http://127.0.0.1:9/v1", state=f"sqlite:///{tmp_path}/file/state.db")
    (tmp_path / "file").write_text("")
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(path), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file") in done.stderr


SAYING = [
    *("workflows list --json", "workflows list", "keys list", "usage", "usage --by workflow --json", "audit export"),
    *("policy differences --json", "check", "check --json", "check --schema", "--help", "--version", "keys --help"),
]


@pytest.mark.parametrize("said", ["", "full"])
@pytest.mark.parametrize("command", SAYING)
def test_output_that_nobody_reads_is_no_error(kept: Path, command: str, said: str) -> None:
    """A closed pipe ends the command silently, a full disk with one line; never a traceback."""
    words = [*command.split(), *([] if "-" in command[:2] or "--help" in command else ["--config", str(kept)])]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with (
        open("/dev/full", "wb") if said else contextlib.nullcontext(subprocess.PIPE) as output,
        subprocess.Popen(
            [sys.executable, "-m", "gateway", *words], stdout=output, stderr=subprocess.PIPE, env=environment
        ) as process,
    ):
        if process.stdout is not None:
            process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read().decode()
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    assert process.returncode == (2 if said else 141)
    assert ("No space left" in told) is bool(said)


@pytest.fixture(scope="module")
def kept(up: scripted.Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a gateway that was used and has ended."""
    folder = tmp_path_factory.mktemp("kept")
    settings = config(folder, up.url, quotas={"tokens": 100_000})
    with running(folder, settings) as line:
        for number in range(40):
            line.chat(cid=f"w{number}")
        line.rows("SELECT 1")
        assert main(["keys", "add", "--agent", "a", "--team", "t", "--config", str(line.path)]) == 0
    return line.path


@pytest.mark.parametrize("command", ["keys list", "workflows list", "usage", "audit export", "backup copy.db"])
def test_commands_start_without_what_they_do_not_use(command: str, tmp_path: Path) -> None:
    """Scanners, HTTP clients and token libraries take a second to import, and lists need none of them."""
    settings = config(tmp_path, "http://127.0.0.1:9/v1")
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    code = (
        "import sys\nfrom gateway.cli import main\nmain()\n"
        "heavy = {'presidio_analyzer', 'hyperscan', 'httpx', 'aiohttp', 'jwt', 'regex', 'phonenumbers', 'sqlglot'}\n"
        "print('imported:', sorted(heavy & sys.modules.keys()))"
    )
    arguments = [sys.executable, "-c", code, *command.split(), "--config", str(path)]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "imported: []" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *(("key list", "keys"), ("keys lst", "list"), ("keys rotat x", "rotate"), ("usage --by tem", "team")),
        *(("workflows list --state frzn", "frozen"), ("policy tets", "test"), ("SERVE", "serve"), ("xyzzy", "")),
    ],
)
def test_mistyped_commands_are_suggested(typed: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also values of options; a word without a similar word gets no suggestion."""
    with pytest.raises(SystemExit) as ended:
        main(typed.split())
    assert ended.value.code == 2
    words = capsys.readouterr().err
    assert (f"did you mean {meant}?" in words) is bool(meant)


def test_no_keys_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where programs do not read."""
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path, "http://127.0.0.1:9/v1")))
    out, words = keys(path, capsys, "list")
    assert not out
    assert "meshgate keys add" in words
    assert keys(path, capsys, "list", "--json") == ("[]\n", "")


@pytest.mark.parametrize("time", ["0s", "-1d"])
def test_lifetimes_that_are_none(idle: Path, capsys: pytest.CaptureFixture[str], time: str) -> None:
    """In our words."""
    arguments = ["keys", "add", "--agent", "a", "--team", "t", f"--expires={time}", "--config", str(idle)]
    assert main(arguments) == 2
    assert "Input" not in capsys.readouterr().err


def test_metrics_of_all_workers_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters and histograms of a worker that has ended still count; without a folder there is one worker."""
    assert workers.others() == []
    monkeypatch.setenv(workers.FOLDER, str(tmp_path))
    gone, here = Telemetry(None), Telemetry(None)
    gone.cost.add(("echo", "red"), 2)
    gone.quota.observe(("tokens",), 0.3)
    (tmp_path / "1.json").write_text(json.dumps(gone.snapshot()))
    (tmp_path / "2.json").write_text("{")
    workers.leave(here.snapshot)
    here.cost.add(("echo", "red"), 1)
    here.cost.add(("echo", "blue"), 5)
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in here.collected(workers.others())
        for sample in family.samples
    }
    assert samples["meshgate_cost_usd_total", ("echo", "red")] == 3
    assert samples["meshgate_cost_usd_total", ("echo", "blue")] == 5
    assert samples["meshgate_quota_used_ratio_count", ("tokens",)] == 1


def test_the_log_says_when_a_refused_file_is_accepted_again() -> None:
    """Once, after a refusal only."""
    written = io.StringIO()
    told = Telemetry(written)
    for problem in (None, "g.yaml:1: x", None, None):
        told.reloaded("config", problem)
    told.close()
    events = [json.loads(line)["event"] for line in written.getvalue().splitlines()]
    assert events == ["config refused, the last good version stays", "config accepted again"]


@pytest.fixture
def idle(tmp_path: Path) -> Path:
    """A configuration with state of its own, and the shipped policies; no gateway has run on it."""
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path, "http://127.0.0.1:9/v1", policy={"path": "policies"})))
    return path


def keys(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """The output and the warnings of a command for keys."""
    assert main(["keys", *arguments, "--config", str(path)]) == 0
    told = capsys.readouterr()
    return told.out, told.err


@pytest.mark.parametrize(("lifetime", "grace", "ends"), [((), "2h", 2), (("--expires", "1h"), "1d", 1)])
def test_rotating_a_key_says_when_the_old_one_ends(
    idle: Path, capsys: pytest.CaptureFixture[str], lifetime: tuple[str, ...], grace: str, ends: int
) -> None:
    """After the grace period, or when the old key expires anyway; as text and as JSON."""
    added = ("add", "--agent", "bot", "--team", "red", "--role", "reader", "--json", *lifetime)
    for form in ((), ("--json",)):
        old = json.loads(keys(idle, capsys, *added)[0])
        out, words = keys(idle, capsys, "rotate", old["id"], "--grace", grace, *form)
        listed = json.loads(keys(idle, capsys, "list", "--json")[0])
        end = next(one["expires"] for one in listed if one["id"] == old["id"])
        assert (datetime.fromisoformat(end) - datetime.now(UTC)).total_seconds() == pytest.approx(ends * 3600, abs=300)
        if form:
            assert json.loads(out)["replaces"] == {"id": old["id"], "expires": end}
        else:
            assert f"The old key {old['id']} expires at {end}." in words


@pytest.mark.parametrize(("role", "meant"), [("developr", "developer"), ("Reader", "reader"), ("developer", "")])
def test_a_role_of_a_key_that_is_mistyped_is_suggested(
    idle: Path, capsys: pytest.CaptureFixture[str], role: str, meant: str
) -> None:
    """The key is created, with a warning: policies may know roles that are not in their data."""
    out, words = keys(idle, capsys, "add", "--agent", "bot", "--team", "red", "--role", role)
    assert out.startswith("mg-")
    assert (f"no role {role!r}; did you mean {meant}?" in words) is bool(meant)
    assert ("warning" in words) is bool(meant)


def test_policies_that_cannot_be_read_keep_no_key_from_being_made(
    idle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` reports their mistakes."""
    settings = yaml.safe_load(idle.read_text())
    (idle.parent / "broken").mkdir()
    (idle.parent / "broken" / "data.yaml").write_text("roles: [")
    idle.write_text(yaml.safe_dump({**settings, "policy": {"path": str(idle.parent / "broken")}}))
    assert keys(idle, capsys, "add", "--agent", "bot", "--team", "red", "--role", "x")[0].startswith("mg-")


def test_before_the_first_call_there_is_nothing_to_add_up(idle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a state that has only keys, and with one that a gateway has used; other commands report the same."""
    keys(idle, capsys, "add", "--agent", "bot", "--team", "red")
    assert main(["audit", "export", "--config", str(idle)]) == 2
    assert "no calls" in capsys.readouterr().err
    for _ in range(2):
        for form, said in (
            ((), "No calls yet.\n"),
            (("--json",), "[]\n"),
            (("--since", "1h"), "No calls since then.\n"),
        ):
            assert main(["usage", *form, "--config", str(idle)]) == 0
            assert capsys.readouterr().out == said
        with running(idle.parent, yaml.safe_load(idle.read_text())):
            pass
    (idle.parent / "state.db").write_bytes(b"no database" * 100)
    assert main(["usage", "--config", str(idle)]) == 2
    assert "is not a decision log" in capsys.readouterr().err
