"""Policies in force: a changed bundle replaces the old one as a whole or not at all."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from engines.bundles import RULE, TEST, Reports, Write
from gateway.config.sections import Policy
from gateway.errors import ConfigError
from gateway.policy.engines import bundle, trial
from gateway.policy.engines.bundle import load
from gateway.policy.engines.live import Policies

Change = Callable[[Mapping[str, str]], None]


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def folder(write: Write) -> Path:
    return write({"p.rego": RULE % "true", "data.yaml": "name: one", "p_test.rego": TEST % "true"})


@pytest.fixture
async def policies(folder: Path, reports: Reports) -> AsyncIterator[Policies]:
    opened = await Policies.open(Policy(path=str(folder)), reports)
    yield opened
    await opened.close()


@pytest.fixture
def change(write: Write) -> Change:
    """Writes files, seen as changed even within one tick of the file system's clock."""
    tick = iter(range(1, 100))

    def put(files: Mapping[str, str]) -> None:
        folder = write(files)
        for name in files:
            stamp = (folder / name).stat().st_mtime_ns + next(tick) * 1_000_000
            os.utime(folder / name, ns=(stamp, stamp))

    return put


async def test_nothing_changed(policies: Policies, reports: Reports) -> None:
    """Nothing is loaded, and nothing is reported."""
    engine = policies.engine
    assert not await policies.step()
    assert policies.engine is engine
    assert reports.problems == []


async def test_a_changed_bundle_takes_over(policies: Policies, reports: Reports, change: Change, folder: Path) -> None:
    """It is used after the next check; a call with the old engine still gets its verdict."""
    old = policies.engine
    change({"data.yaml": "name: two"})
    assert await policies.step()
    assert policies.version == load(folder).version != old.version
    assert (await policies.engine.decide({}))["from"] == "two"
    assert (await old.decide({}))["from"] == "one"
    assert reports.problems == [None]
    assert not await policies.step()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"p.rego": "package gateway\ndecision := {"}, r"p\.rego:2"),
        ({"p.rego": RULE % "false"}, "1 of the bundle's own tests failed: .*test_allow: the rule is undefined"),
        ({"p.rego": "package gateway\nx := 1"}, "no rule `decision`"),
        ({"data.yaml": "name: ["}, r"data\.yaml:"),
        (
            {"p.rego": 'package gateway\ndecision := http.send({"url": input.x})'},
            r"p\.rego:2: unsafe built-in function .*http\.send",
        ),
        ({"q.rego": "package q\nx := 1", "q_test.rego": "package q_test\ntest_x if data.q.x == 2"}, "test_x"),
    ],
)
async def test_a_bad_bundle_is_refused(
    files: dict[str, str], words: str, policies: Policies, reports: Reports, change: Change
) -> None:
    """The last good bundle stays in use; the problem is reported once, and a later good change is used."""
    engine = policies.engine
    change(files)
    assert not await policies.step()
    assert policies.engine is engine
    assert (await engine.decide({}))["from"] == "one"
    (problem,) = reports.problems
    assert problem is not None
    assert re.search(words, problem)
    assert not await policies.step()
    assert len(reports.problems) == 1
    change({"p.rego": RULE % "true", "data.yaml": "name: three", "q.rego": "package q\nx := 2"})
    assert await policies.step()
    assert (await policies.engine.decide({}))["from"] == "three"


async def test_files_and_rules_change_together(policies: Policies, change: Change) -> None:
    """A rule and its test in one change are one bundle."""
    change({"p.rego": RULE % "false", "p_test.rego": TEST % "false"})
    assert await policies.step()
    assert (await policies.engine.decide({}))["allow"] is False


async def test_a_vanished_folder(policies: Policies, reports: Reports, folder: Path) -> None:
    """A missing folder does not replace a good bundle."""
    await asyncio.to_thread(folder.rename, folder.with_name("elsewhere"))
    assert not await policies.step()
    assert "is not a directory" in str(reports.problems)
    assert (await policies.engine.decide({}))["from"] == "one"


async def test_without_a_good_bundle_nothing_starts(write: Write) -> None:
    """At the first start there is no last good bundle."""
    with pytest.raises(ConfigError, match="own tests failed"):
        await Policies.open(Policy(path=str(write({"p.rego": RULE % "true", "p_test.rego": TEST % "false"}))))


async def test_the_watch_goes_on_after_a_fault(
    policies: Policies, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed check is reported, and the next check takes place."""
    looked = asyncio.Event()
    looks = 0

    async def step() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError("no more file handles")
        looked.set()
        return False

    monkeypatch.setattr(policies, "step", step)
    monkeypatch.setattr("gateway.policy.engines.live.INTERVAL", 0)
    task = asyncio.create_task(policies.watch())
    await looked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "no more file handles" in str(reports.problems[0])


def test_a_bundle_whose_tests_do_not_end(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that do not end are stopped."""
    monkeypatch.setattr(bundle, "LIMIT", 0.05)
    slow = "test_slow if { some a in numbers.range(1, 2000); some b in numbers.range(1, 2000); a + b < 0 }"
    files = {"p.rego": RULE % "true", "p_test.rego": f"package gateway_test\n{slow}"}
    with pytest.raises(ConfigError, match=r"ran longer than 0\.05 s"):
        trial.run(write(files))
