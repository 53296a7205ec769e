"""The common part of remote sources: a task that fetches, a folder of bundles, the last good bundle.

Each bundle is in a folder of its own under `policy.cache`, named by its commit or digest, created by one rename and
never changed. The file `last` names the bundle that took effect last, with a digest of its files: a gateway that starts
without the source uses this bundle, if its files are unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.policy.engines.bundle import digested
from gateway.policy.sources import unpack
from gateway.policy.sources.base import Found, Reports, SourceError

WHAT = "policy source"
_OLD = 3600.0  # seconds after which an unused bundle is deleted; until then another process may be reading it


class Shelf:
    """The folder in which one source keeps its bundles. Shared by all processes that use the same source."""

    def __init__(self, cache: str, identity: str) -> None:
        self.path = Path(cache) / hashlib.sha256(identity.encode()).hexdigest()[:16]
        self._last = self.path / "last"

    def open(self) -> None:
        """Create the folder, readable by this user only. Raises SourceError."""
        try:
            (self.path / "bundles").mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SourceError(f"policy.cache: {self.path} cannot be created: {error.strerror}") from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """A lock: one process at a time fetches."""
        with (self.path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def place(self, name: str) -> Path:
        """The folder of the bundle with this name, existing or not."""
        return self.path / "bundles" / name

    def put(self, name: str, files: Mapping[str, bytes]) -> Path:
        """Keep a bundle; returns its folder, which appears complete. A folder with other files is replaced."""
        place = self.place(name)
        if self._holds(place, files):
            os.utime(place)  # in use again, so not old
            return place
        fresh = Path(tempfile.mkdtemp(dir=place.parent, prefix=".fresh-"))
        try:
            unpack.write(files, fresh)
            _on_disk(fresh)
            shutil.rmtree(place, ignore_errors=True)
            os.rename(fresh, place)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            if self._holds(place, files):  # another process was faster
                return place
            raise
        return place

    @staticmethod
    def _holds(place: Path, files: Mapping[str, bytes]) -> bool:
        try:
            return place.is_dir() and _digest(place) == digest(files)
        except OSError:
            return False

    def settle(self, found: Found, version: str) -> None:
        """Record which bundle took effect, and delete old bundles."""
        record = json.dumps(
            {"name": found.root.name, "version": version, "origin": found.origin, "digest": _digest(found.root)}
        )
        fresh = self._last.with_suffix(f".{os.getpid()}")
        fresh.write_text(record)
        with fresh.open() as file:
            os.fsync(file.fileno())
        os.replace(fresh, self._last)
        before = time.time() - _OLD
        for place in (self.path / "bundles").iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process deletes them too
                if place != found.root and place.stat().st_mtime < before:
                    shutil.rmtree(place, ignore_errors=True)

    def last(self) -> tuple[Found, str] | None:
        """The bundle that took effect last and its version, if its files are unchanged."""
        try:
            record = json.loads(self._last.read_text())
            root = self.place(record["name"])
            if not root.is_dir() or _digest(root) != record["digest"]:
                return None
            return Found(root, record["name"], f"{record['origin']}, kept on disk"), record["version"]
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Remote:
    """A source that a background task checks every `interval` seconds. A subclass implements `fetch`."""

    key = ""
    """The configuration key, for messages."""

    def __init__(self, cache: str, identity: str, interval: float, reports: Reports | None) -> None:
        self.shelf = Shelf(cache, identity)
        self._interval = interval
        self._reports = reports
        self._found: Found | None = None
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    async def fetch(self) -> Found:
        """The newest bundle, on disk. Raises SourceError."""
        raise NotImplementedError

    async def open(self) -> Found:
        """Fetch once; if that fails, use the last good bundle. Raises SourceError if there is none."""
        self.shelf.open()
        try:
            self._found = await self.fetch()
        except Exception as error:  # any fault, also a full disk: the kept bundle can be used nevertheless
            problem = _words(error)
            last = await asyncio.to_thread(self.last_good)
            if last is None:
                raise SourceError(f"{self.key}: {problem}; no earlier bundle is kept in {self.shelf.path}") from None
            self._found = last[0]
            self._report(f"{self.key}: {problem}; the bundle kept on disk is used")
        self._task = asyncio.create_task(self._follow())
        return self._found

    async def look(self) -> Found:
        """The bundle that was fetched last."""
        assert self._found is not None, "open comes first"
        return self._found

    async def settled(self, found: Found, version: str) -> None:
        """Record the bundle as the last good bundle."""
        with contextlib.suppress(OSError):  # with a full disk the record is missing, but the policies work
            await asyncio.to_thread(self.shelf.settle, found, version)

    def pause(self) -> float:
        """Seconds until the next check after a successful check."""
        return self._interval

    def last_good(self) -> tuple[Found, str] | None:
        """The bundle that took effect last, and its version."""
        return self.shelf.last()

    async def close(self) -> None:
        """Stop fetching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _follow(self) -> None:
        """Fetch periodically. The loss of the source is reported once, and its return once."""
        while True:
            await asyncio.sleep(self._interval if self._failing else self.pause())
            try:
                self._found = await self.fetch()
            except Exception as error:
                self._report(f"{self.key}: {_words(error)}")
            else:
                self._report(None)

    def _report(self, problem: str | None) -> None:
        if self._reports is not None and (problem is not None) != self._failing:
            self._failing = problem is not None
            self._reports.reloaded(WHAT, problem)


def _on_disk(folder: Path) -> None:
    """Sync all files and folders below to disk, so that after a crash a renamed folder has complete files."""
    for path in [folder, *folder.rglob("*")]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _digest(folder: Path) -> str:
    """A digest of the names and contents of all files below."""
    return digest(
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    )


def digest(files: Mapping[str, bytes]) -> str:
    """A digest of the names and contents of files."""
    hasher = hashlib.sha256()
    for name in sorted(files):
        hasher.update(digested(os.fsencode(name), files[name]))
    return hasher.hexdigest()


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, SourceError) else f"{type(error).__name__}: {error}"
