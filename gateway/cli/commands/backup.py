"""`meshgate backup FILE`: a copy of the SQLite state while the gateway runs.

The copy is a consistent snapshot, checked, readable by its owner only, and never overwrites a file. Redis has its own
tools for persistence and backup, which the error message names.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

from gateway.cli import commands

_REDIS = (
    "this command copies SQLite state only. For Redis, enable its append-only file (`appendonly yes`), and copy the "
    "data with `redis-cli --rdb FILE` or a replica"
)


def register(parser: Any) -> None:
    """Add the command to the parser."""
    words = "copy the SQLite state while the gateway runs"
    command = commands.command(parser, "backup", backup, words)
    command.description = (
        f"{words}: keys, workflows and their usage, encrypted values, and the decision log if it is in the same "
        "file. To restore: stop the gateway, copy the file to the path in `state`, start the gateway. Calls that were "
        "in flight at the time of the copy are then charged at their estimate."
    )
    command.add_argument("file", type=Path, metavar="FILE", help="the file to create; must not exist")


def backup(args: argparse.Namespace) -> int:
    """`meshgate backup`."""
    from gateway.errors import ConfigError

    state = commands.load_config(args, quiet=True).config.state.url
    if not state.startswith("sqlite:///"):
        raise ConfigError(f"backup: {_REDIS}")
    source = Path(state.removeprefix("sqlite:///"))
    if not source.is_file():
        raise ConfigError(f"backup: there is no state at {source} yet: the first start of the gateway creates it")
    size = copy(source, args.file)
    print(f"{args.file}: {size} bytes, checked. It contains hashes of keys, workflows and encrypted personal data.")
    key = source.with_suffix(".key")
    if key.exists():
        print(f"The encryption key is not in the backup: {key}. Keep a copy of that file elsewhere.", file=sys.stderr)
    return 0


def copy(source: Path, target: Path) -> int:
    """Copy a snapshot of a database in use; returns its size in bytes. Raises ConfigError, and leaves no file then."""
    from gateway.errors import ConfigError

    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise ConfigError(f"backup: {target} exists, and a backup never overwrites a file: name another file") from None
    except OSError as error:
        raise ConfigError(f"backup: {target} cannot be created: {error.strerror}") from None
    try:
        _copy(source, target)
    except BaseException as error:
        for name in (target, *(target.with_name(target.name + end) for end in ("-wal", "-shm", "-journal"))):
            name.unlink(missing_ok=True)
        if isinstance(error, sqlite3.Error | OSError):
            raise ConfigError(f"backup: {source} could not be copied to {target}: {error}") from None
        raise
    return target.stat().st_size


def _copy(source: Path, target: Path) -> None:
    from gateway.stores.watch import unstamp

    with (
        contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)) as reader,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as writer,
    ):
        reader.execute("PRAGMA busy_timeout = 5000")
        reader.backup(writer)  # all pages in one step: one read transaction, which does not block writers
        writer.execute("PRAGMA journal_mode = DELETE")  # a single file, without a -wal file
        unstamp(writer)  # a gateway that runs notices if the copy is written over its file
        (verdict,) = writer.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged: {verdict}")
    for path in (target, target.absolute().parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
