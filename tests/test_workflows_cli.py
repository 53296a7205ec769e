"""`meshgate workflows`: output for real workflows, and changes, on both stores."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from gateway.amounts import Reservation
from gateway.cli import main
from gateway.config.grammar import Config
from gateway.control import workflows
from gateway.ingress.correlation import Signer
from gateway.stores import Store, Workflow, open_store
from store_harness import ask, quota, take

Result = TypeVar("Result")
CONFIG = """\
providers: {demo: {format: demo}}
models: {demo: {targets: [demo/demo]}}
quotas: {tokens: 1k, cost_usd: 0.01, calls: 10%s}
pii: {vault_key: %s}
audit: {path: audit.db}
state: %s
"""
VAULT = base64.b64encode(b"k" * 32).decode()


class Place:
    """A working directory whose configuration names a state; no gateway runs on it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.file = folder / "config" / "gateway.yaml"
        self.file.parent.mkdir()
        self.write()

    def write(self, *, strict: bool = False) -> None:
        self.file.write_text(CONFIG % (", strict: true" if strict else "", VAULT, self.url))

    def use(self, work: Callable[[Store], Awaitable[Result]]) -> Result:
        """As the gateway, which then ends."""

        async def run() -> Result:
            store = open_store(self.url)
            await store.open()
            await store.refresh()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())

    def spend(self, cid: str, tokens: int = 100, *, team: str = "t", agent: str = "a") -> None:
        """One call that has ended."""

        async def work(store: Store) -> None:
            debits = (quota(1000, 100), quota(10_000_000, 1_000_000, "cost"), quota(10, 1, "calls"))
            reservation = await store.reserve(ask(*debits, cid=cid, team=team, agent=agent))
            assert isinstance(reservation, Reservation), reservation
            await store.settle(reservation, {"tokens": tokens, "cost": 1_000_000}, "settled")

        self.use(work)

    def workflow(self, cid: str, team: str = "t") -> Workflow | None:
        return self.use(lambda store: store.workflow(team, cid))


@pytest.fixture(params=["sqlite", "redis"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Each kind of state, empty, named by the configuration of a fresh working directory."""
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        return Place(tmp_path, "sqlite:///var/state.db")
    url = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return Place(tmp_path, url)


Output = pytest.CaptureFixture[str]


def printed(capsys: Output, *argv: str, code: int = 0) -> str:
    """Standard output of a command that must end so."""
    capsys.readouterr()
    assert main(["workflows", *argv]) == code
    out, err = capsys.readouterr()
    return err if code else out


def test_list(here: Place, capsys: Output) -> None:
    """A line for each workflow, most recently seen first; filters; a note if the list was cut."""
    for cid, team in (("one", "t"), ("two", "u"), ("three", "t")):
        here.spend(cid, team=team)
    out = printed(capsys, "list").splitlines()
    assert [line.split()[:6] for line in out] == [
        ["STATE", "TEAM", "ID", "CALLS", "TOKENS", "USD"],
        ["open", "t", "three", "1", "100", "0.001"],
        ["open", "u", "two", "1", "100", "0.001"],
        ["open", "t", "one", "1", "100", "0.001"],
    ]
    assert [row["correlation_id"] for row in json.loads(printed(capsys, "list", "--json", "--team", "t"))] == [
        "three",
        "one",
    ]
    assert json.loads(printed(capsys, "list", "--json", "--state", "frozen")) == []
    assert main(["workflows", "list", "--limit", "2"]) == 0
    assert "only the 2 most recently seen" in capsys.readouterr().err


def test_show(here: Place, capsys: Output) -> None:
    """State and reason, team, agents, and for each quota the limit, used, in flight, estimated and left."""
    here.spend("w", agent="a")
    here.spend("w", 30, agent="b")
    here.use(lambda store: take(store, quota(1000, 50), cid="w"))
    shown = json.loads(printed(capsys, "show", "w", "--json"))
    assert shown["agents"] == shown["chain"] == ["a", "b"]
    assert shown["path"] == ["a", "b", "a"]
    assert (shown["hops"], shown["repeats"]) == ({"limit": None, "deepest": 1}, {"limit": None, "most": 0})
    tokens, cost = shown["quotas"]["tokens"], shown["quotas"]["cost_usd"]
    assert tokens["used"] + tokens["held"] == 180
    assert tokens["left"] == 820
    assert cost == {"limit": 0.01, "topup": 0.0, "used": 0.002, "held": 0.0, "estimated": 0.0, "left": 0.008}
    out = printed(capsys, "show", "w")
    assert "state       open\n" in out
    assert "agents      a, b\n" in out
    (row,) = [line for line in out.splitlines() if line.startswith("USD")]
    assert row.split() == ["USD", "0.01", "0.002", "0", "0", "0.008"]


def test_freeze_resume_and_close(here: Place, capsys: Output) -> None:
    """Each change applies to any gateway that opens the state, and the output says when it takes effect."""
    here.spend("w")
    out = printed(capsys, "freeze", "w", "--reason", "runs wild")
    assert "within two seconds" in out if here.url.startswith("sqlite") else "from the next call" in out
    assert "state       frozen: runs wild" in printed(capsys, "show", "w")
    found = here.workflow("w")
    assert found
    assert (found.state, found.reason) == ("frozen", "runs wild")
    printed(capsys, "resume", "w")
    assert here.workflow("w").state == "open"  # type: ignore[union-attr]
    printed(capsys, "close", "w", "--reason", "done")
    assert here.workflow("w").state == "closed"  # type: ignore[union-attr]
    assert "is closed (done) and cannot be resumed" in printed(capsys, "resume", "w", code=2)


def test_top_up(here: Place, capsys: Output) -> None:
    """Amounts are written as in the configuration, add up, and count as left; too small top-ups are reported."""
    for _ in range(10):
        here.spend("w")
    assert "Top up: --cost 5 --calls 100" in printed(capsys, "resume", "w", "--tokens", "20k")
    printed(capsys, "resume", "w", "--cost", "0.005", "--calls", "2")
    printed(capsys, "resume", "w", "--cost", "5", "--calls", "3")
    quotas = json.loads(printed(capsys, "show", "w", "--json"))["quotas"]
    assert (quotas["cost_usd"]["topup"], quotas["calls"]["limit"], quotas["calls"]["left"]) == (5.005, 15, 5)
    assert quotas["tokens"]["limit"] == 21_000
    assert "limit with a top-up of 20,000" in printed(capsys, "show", "w")


@pytest.mark.parametrize("option", [["--tokens", "0"], ["--tokens", "lots"], ["--cost", "-1"], ["--cost", "1e99"]])
def test_a_top_up_that_is_none(here: Place, capsys: Output, option: list[str]) -> None:
    """An amount that makes no sense is refused before the state is touched."""
    assert printed(capsys, "resume", "w", *option, code=2).startswith(("tokens: ", "cost_usd: "))


def test_ids_are_of_a_team(here: Place, capsys: Output) -> None:
    """An id of one team is found without `--team`; for several teams, the error names them; unknown ids are errors."""
    here.spend("w", team="red")
    assert "team        red" in printed(capsys, "show", "w")
    here.spend("w", team="blue")
    for command in ("show", "freeze", "resume", "close"):
        assert "blue, red" in printed(capsys, command, "w", code=2)
    printed(capsys, "freeze", "w", "--team", "red")
    assert here.workflow("w", "blue").state == "open"  # type: ignore[union-attr]
    assert "No workflow has this id" in printed(capsys, "freeze", "gone", code=2)
    printed(capsys, "freeze", "gone", "--team", "red")
    assert "gone" in printed(capsys, "list", "--state", "frozen")
    assert here.workflow("gone", "red").state == "frozen"  # type: ignore[union-attr]
    assert "1 to 128" in printed(capsys, "show", "no spaces", code=2)


def test_open(here: Place, capsys: Output) -> None:
    """Standard output has only the value that calls send: the id, or in strict mode a signed token."""
    assert printed(capsys, "open", "plain", "--team", "t") == "plain\n"
    here.write(strict=True)
    token = printed(capsys, "open", "w", "--team", "t", "--ttl", "1h").strip()
    assert Signer(b"k" * 32).read("t", token) == "w"
    found = here.workflow("w")
    assert found
    assert found.strict_opened
    assert "already" in printed(capsys, "open", "w", "--team", "t", code=2)
    assert "ttl" in printed(capsys, "open", "x", "--team", "t", "--ttl", "soon", code=2)
    opened = json.loads(printed(capsys, "open", "y", "--team", "t", "--json"))
    assert set(opened) == {"team", "correlation_id", "token", "expires"}


def test_terminals_are_safe(here: Place, capsys: Output) -> None:
    """A name with control characters, as a token may claim one, is shown without them."""
    here.spend("w", agent="evil\x1b[2J", team="t\x07")
    assert "\x1b" not in printed(capsys, "show", "w") + printed(capsys, "list")


def test_changes_are_on_record(here: Place, capsys: Output) -> None:
    """A decision log on this machine records the user of the command; without a log, a note is printed."""
    here.spend("w")
    assert main(["workflows", "freeze", "w"]) == 0
    assert "no decision log" in capsys.readouterr().err
    Path("audit.db").touch()
    assert main(["workflows", "resume", "w", "--tokens", "5"]) == 0
    assert capsys.readouterr().err == ""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect("audit.db")) as log:
        ((who, action, team, cid, record),) = log.execute(
            "SELECT who, action, team, correlation_id, record FROM actions"
        )
    assert who.startswith("user ")
    assert (action, team, cid, json.loads(record)) == ("workflow resumed", "t", "w", {"tokens": 5})


def test_unlimited_quotas_have_nothing_left_to_count() -> None:
    """Without limits, no limit and no rest are shown."""
    found = Workflow("t", "w", "open", "", 1.0, 2.0, used={"tokens": 5})
    shown: dict[str, Any] = workflows.shown(found, Config(providers={}, models={}).quotas)
    assert shown["quotas"]["tokens"] == {
        "limit": None, "topup": 0, "used": 5, "held": 0, "estimated": 0, "left": None
    }  # fmt: skip


def test_labels(here: Place, capsys: Output) -> None:
    """Set, shown, permanently removed; a change without effect is reported, and an invalid label is refused."""
    here.spend("w")
    assert "labels      none" in printed(capsys, "show", "w")
    assert "labeled" in printed(capsys, "label", "w", "untrusted")
    assert "labels      untrusted" in printed(capsys, "show", "w")
    assert "has the label untrusted already" in printed(capsys, "label", "w", "untrusted", code=2)
    printed(capsys, "unlabel", "w", "untrusted")
    assert "removed     untrusted" in printed(capsys, "show", "w")
    assert "has no label untrusted; its labels: none" in printed(capsys, "unlabel", "w", "untrusted", code=2)
    assert "printable ASCII" in printed(capsys, "label", "w", 'a"b', code=2)
    assert here.workflow("w").history.cleared == ("untrusted",)  # type: ignore[union-attr]
    row = json.loads(printed(capsys, "show", "w", "--json"))
    assert (row["labels"], row["cleared"], row["tools"]) == ([], ["untrusted"], [])
