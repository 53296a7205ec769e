"""Writes what an archive holds of a bundle into a folder: regular files, nothing outside of it, bounded in size."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath

from gateway.engines.sources.base import SourceError

LARGEST = 64 * 1024 * 1024
"""Bytes of all files of one bundle."""
MOST = 10_000
"""Files of one bundle."""


def read(archive: bytes) -> dict[str, bytes]:
    """The files of a tar archive, gzipped or not, by their path in it. Raises SourceError."""
    files: dict[str, bytes] = {}
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if not member.isfile():  # a link would lead elsewhere; a folder comes with its files
                    continue
                size += member.size
                if size > LARGEST or len(files) >= MOST:
                    raise SourceError(f"the bundle is larger than {LARGEST} bytes, or has more than {MOST} files")
                content = tar.extractfile(member)
                files[_name(member.name)] = content.read() if content else b""
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise SourceError(f"what came is no archive of a bundle: {error}") from None
    return files


def write(files: dict[str, bytes], folder: Path) -> None:
    """Write files below a folder. Raises SourceError where one is where another's folder must be."""
    try:
        for name, content in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    except OSError as error:
        raise SourceError(f"the bundle cannot be written: {error.strerror}") from None


def _name(name: str) -> str:
    path = PurePosixPath("/", name)
    if ".." in path.parts:
        raise SourceError("the archive names a file outside of itself")
    return str(path.relative_to("/"))
