"""`meshgate backup`: a consistent snapshot of a state in use, in a separate file."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.commands import backup
from gateway.errors import ConfigError
from gateway.stores import Store, open_store
from store_harness import quota, standing, take

CONFIG = "providers: {demo: {format: demo}}\nmodels: {demo: {targets: [demo/demo]}}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text(CONFIG)
    return tmp_path


async def state(path: Path) -> Store:
    store = open_store(f"sqlite:///{path}")
    await store.open()
    return store


async def test_a_running_gateway_is_copied(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Charges before the copy are in it, later charges are not, and the running gateway continues."""
    store = await state(here / "var" / "meshgate.db")
    await store.settle(await take(store, quota(1000, 10)), {"tokens": 7}, "settled")
    await take(store, quota(1000, 30))
    await store.durable()
    backup.copy(here / "var" / "meshgate.db", here / "copy.db")
    await store.settle(await take(store, quota(1000, 10)), {"tokens": 5}, "settled")
    await store.close()

    restored = await state(here / "copy.db")
    assert await standing(restored) == (37, 0, 30)  # what was in flight is charged at its estimate, and marked
    await restored.close()
    assert stat.S_IMODE((here / "copy.db").stat().st_mode) == 0o600


def test_it_is_one_file_and_says_what_is_missing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The copy is a single file; the encryption key is named, not copied."""
    assert main(["keys", "add", "--agent", "a", "--team", "t"]) == 0
    (here / "var" / "meshgate.key").write_bytes(bytes(32))
    capsys.readouterr()
    assert main(["backup", "copy.db"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("copy.db: ")
    assert "var/meshgate.key" in err
    assert [path.name for path in here.glob("copy.db*")] == ["copy.db"]
    with contextlib.closing(sqlite3.connect(here / "copy.db")) as copied:
        assert copied.execute("SELECT agent FROM keys").fetchall() == [("a",)]


def test_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing file is not changed, nor is the target of a link."""
    main(["keys", "add", "--agent", "a", "--team", "t"])
    (here / "old.db").write_text("precious")
    (here / "link.db").symlink_to("old.db")
    (here / "dangling.db").symlink_to("nothing.db")
    for name in ("old.db", "link.db", "dangling.db"):
        assert main(["backup", name]) == 2
        assert "never overwrites" in capsys.readouterr().err
    assert (here / "old.db").read_text() == "precious"
    assert not (here / "nothing.db").exists()


def test_a_damaged_state_leaves_no_copy(here: Path) -> None:
    """A copy that fails its check is removed, with an error."""
    damaged = here / "damaged.db"
    with contextlib.closing(sqlite3.connect(damaged)) as made:
        made.execute("CREATE TABLE t (x)")
        made.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
        made.commit()
    damaged.write_bytes(damaged.read_bytes()[:8192] + bytes(4096) + damaged.read_bytes()[12288:])
    with pytest.raises(ConfigError, match="could not be copied"):
        backup.copy(damaged, here / "copy.db")
    assert list(here.glob("copy.db*")) == []


def test_no_state_no_backup(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a state, no copy is made; a missing folder is named."""
    assert main(["backup", "copy.db"]) == 2
    assert "no state at var/meshgate.db" in capsys.readouterr().err
    assert not (here / "var").exists()
    main(["keys", "add", "--agent", "a", "--team", "t"])
    assert main(["backup", "nowhere/copy.db"]) == 2
    assert "nowhere/copy.db cannot be created" in capsys.readouterr().err


def test_redis_is_backed_up_by_redis(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With shared state, the command explains how, and does nothing."""
    (here / "config" / "gateway.yaml").write_text(CONFIG + "state: redis://:secret@127.0.0.1:6379/0\npii: null\n")
    assert main(["backup", "copy.db"]) == 2
    err = capsys.readouterr().err
    assert "redis-cli --rdb" in err
    assert "secret" not in err
