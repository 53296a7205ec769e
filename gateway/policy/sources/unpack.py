"""Writes what an archive holds of a bundle into a folder: regular files, nothing outside of it, bounded in size."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from gateway.policy.sources.base import SourceError

LARGEST = 64 * 1024 * 1024
"""Bytes of all files of one bundle."""
MOST = 10_000
"""Files of one bundle."""
_HEADERS = 4096  # bytes that an archive takes for one file besides
_GZIP = b"\x1f\x8b"


def read(archive: bytes) -> dict[str, bytes]:
    """The files of a tar archive, gzipped or not, by their path in it. Raises SourceError."""
    files: dict[str, bytes] = {}
    size = 0
    try:
        # Inflated here, and bounded: an archive says of itself how much memory its reader takes.
        with tarfile.open(fileobj=io.BytesIO(_inflated(archive)), mode="r:") as tar:
            for member in tar:
                if not member.isfile():  # a link would lead elsewhere; a folder comes with its files
                    continue
                size += member.size
                bounded(len(files) + 1, size)
                content = tar.extractfile(member)
                name = plain(member.name)
                if name in files:
                    raise SourceError(f"the archive has {name} twice")
                files[name] = content.read() if content else b""
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise SourceError(f"what came is no archive of a bundle: {error}") from None
    return files


def bounded(count: int, size: int) -> None:
    """Raise SourceError for more files, or bytes of them, than a bundle may have."""
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
    """Write files below a folder. Raises SourceError where one is where another's folder must be."""
    try:
        for name, content in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    except OSError as error:
        raise SourceError(f"the bundle cannot be written: {error.strerror}") from None


def plain(name: str) -> str:
    """A path within an archive, without its root. Raises SourceError for one that leads outside."""
    path = PurePosixPath("/", name)
    if ".." in path.parts:
        raise SourceError("the archive names a file outside of itself")
    return str(path.relative_to("/"))
