"""Unpacks the archive of a bundle into a folder: only regular files, only below the folder, bounded in size."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from gateway.policy.sources.base import SourceError

LARGEST = 64 * 1024 * 1024
"""Maximum bytes of all files of one bundle."""
MOST = 10_000
"""Maximum number of files of one bundle."""
_HEADERS = 4096  # bytes of an archive for each file in addition to its content
_GZIP = b"\x1f\x8b"


def read(archive: bytes) -> dict[str, bytes]:
    """The files of a tar archive, gzipped or not, by their path in it. Raises SourceError."""
    files: dict[str, bytes] = {}
    size = 0
    try:
        # Inflated here with a limit, because an archive determines how much memory its reader needs.
        with tarfile.open(fileobj=io.BytesIO(_inflated(archive)), mode="r:") as tar:
            for member in tar:
                if not member.isfile():  # links are not followed; folders are created with their files
                    continue
                size += member.size
                bounded(len(files) + 1, size)
                content = tar.extractfile(member)
                name = plain(member.name)
                if name in files:
                    raise SourceError(f"the archive has {name} twice")
                files[name] = content.read() if content else b""
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise SourceError(f"the archive of the bundle cannot be read: {error}") from None
    return files


def bounded(count: int, size: int) -> None:
    """Raise SourceError if a bundle has too many files or bytes."""
    if size > LARGEST or count > MOST:
        raise SourceError(f"the bundle is larger than {LARGEST} bytes, or has more than {MOST} files")


def _inflated(archive: bytes) -> bytes:
    if archive[:2] != _GZIP:
        return archive
    most = LARGEST + MOST * _HEADERS
    with gzip.open(io.BytesIO(archive)) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise SourceError(f"the bundle is larger than {LARGEST} bytes")
    return content


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files below a folder. Raises SourceError, for example if a path is both a file and a folder."""
    try:
        for name, content in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    except OSError as error:
        raise SourceError(f"the bundle cannot be written: {error.strerror}") from None


def plain(name: str) -> str:
    """A path within an archive, without its root. Raises SourceError for a path that leads outside."""
    path = PurePosixPath("/", name)
    if ".." in path.parts:
        raise SourceError("the archive has a file with a path outside the archive")
    return str(path.relative_to("/"))
