"""Files that only save time: a digest and the content.

A file that is not whole, or that others may write, is not read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

_DIGEST = 32  # bytes


def read(path: Path) -> bytes:
    """The content. Raises OSError, or ValueError for a file that another user wrote or may write, or a damaged one."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid not in (os.geteuid(), 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("others may write the file")
        digest, content = file.read(_DIGEST), file.read()
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("the file is not whole")
    return content


def write(path: Path, content: bytes) -> None:
    """Replace the file in one step. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:16]}-")
    try:
        with os.fdopen(descriptor, "wb") as file:  # mkstemp opens it for the owner alone
            file.write(hashlib.sha256(content).digest())
            file.write(content)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
